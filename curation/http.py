"""The HTTP response inside a record -> the bytes of a page, within a budget of decompressed bytes."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from functools import partial

from fastwarc.stream_io import BrotliReader, ChunkedReader, GzipReader, WarcReader, ZstdReader
from fastwarc.warc import WarcRecord
from pydantic import Field

from configs.load import StrictModel
from curation.decode import decode_page
from curation.records import Record, error_detail

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/plain", "application/xml", "text/xml"})


class IngestConfig(StrictModel):
    """Reading of archives.

    Attributes:
        max_record_bytes: largest record, before and after content decoding; larger ones are dropped.
        html_only: drop `text/plain` and XML responses too.
    """

    max_record_bytes: int = Field(default=16 << 20, ge=1 << 10)
    html_only: bool = False


# Without or with a wrong Content-Type a page is known by its first bytes (WHATWG MIME Sniffing Standard, section 7.1).
_HTML_STARTS = (
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<body",
    b"<title",
    b"<meta",
    b"<script",
    b"<!--",
    b"<div",
    b"<p",
)
_MAX_NUL_SHARE = 0.1
# FastWARC's own `auto_decode` holds the whole decoded body in memory, which for a bomb has no bound. These readers
# decode no more than is read from them.
_CODINGS: dict[str, Callable[[WarcReader], WarcReader]] = {
    "chunked": ChunkedReader,
    "gzip": GzipReader,
    "x-gzip": GzipReader,
    "deflate": partial(GzipReader, zlib=True),
    "br": BrotliReader,
    "zstd": ZstdReader,
}
_NO_CODINGS = frozenset({"", "identity", "none", "utf-8"})


def read_response(record: Record, raw: bytes, config: IngestConfig) -> Record:
    """Fill a record from the raw bytes of an HTTP response, or end it with the reason.

    Args:
        record: the record, with its URL.
        raw: status line, headers and body as captured.
        config: limits.
    """
    parsed, body, problem = _decode(raw, config.max_record_bytes)
    headers = parsed.http_headers
    status = headers.status_code if headers is not None else None
    if status is None:
        return record.end("failed", "MalformedHttp", detail=f"no status line: {raw[:60]!r}")
    if not 200 <= status < 300:
        return record.end("dropped", "http_status", status, 200)
    if problem:
        kind = page_kind(parsed.http_content_type, b"")
        if kind not in PAGE_TYPES and kind != "none":  # no page anyhow, however it was coded
            return record.end("dropped", "content_type", detail=kind[:100])
        return record.end("failed", "ContentDecodingError", detail=problem)
    if len(body) > config.max_record_bytes:
        return record.end("dropped", "record_bytes", len(body), config.max_record_bytes, "after content decoding")
    return read_page(record, body, parsed.http_content_type, parsed.http_charset, config)


def page_kind(content_type: str | None, body: bytes) -> str:
    """Return the media type of a body; where the server declared none, or a generic one, by its first bytes."""
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind in ("", "application/octet-stream", "unknown/unknown"):
        kind = "text/html" if body[:1024].lstrip().lower().startswith(_HTML_STARTS) else kind or "none"
    return kind


def read_page(
    record: Record, body: bytes, content_type: str | None, charset: str | None, config: IngestConfig
) -> Record:
    """Fill a record with the bytes of a page, or end it when the bytes are no page."""
    if not body.strip():
        return record.end("dropped", "empty_body", 0, 1)
    kind = page_kind(content_type, body)
    if kind not in PAGE_TYPES or (config.html_only and kind not in ("text/html", "application/xhtml+xml")):
        return record.end("dropped", "content_type", detail=kind[:100])
    nul_share = body.count(b"\0") / len(body)
    if nul_share > _MAX_NUL_SHARE and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return record.end("dropped", "binary_body", nul_share, _MAX_NUL_SHARE)
    record.charset = charset
    if kind == "text/plain":
        record.text = decode_page(body, charset).text  # there is no markup to extract from
    else:
        record.body = body
    return record


def _decode(raw: bytes, max_bytes: int) -> tuple[WarcRecord, bytes, str | None]:
    """Parse the response and undo its transfer and content coding; the last value says why that was impossible.

    Archives hold every kind of disorder: chunks with extensions or trailers, and bodies that were stored decoded
    under the headers of the coded ones.
    """
    problem = ""
    for attempt in (_as_declared, _with_lenient_chunks, _without_chunks, _as_stored):
        try:
            parsed, body = attempt(raw, max_bytes)
        except (OSError, ValueError, EOFError, http.client.HTTPException) as error:
            problem = problem or error_detail(error)
            continue
        return parsed, body, None
    try:
        return _parse(raw), b"", problem
    except OSError:  # a header longer than FastWARC reads: there is no status
        return WarcRecord(), b"", problem


def _parse(raw: bytes) -> WarcRecord:
    parsed = WarcRecord()
    parsed.set_bytes_content(raw)
    parsed.is_http = True
    parsed.parse_http(auto_decode="none", quirks_mode=True)  # header lines may end in a bare line feed
    return parsed


def _as_declared(raw: bytes, max_bytes: int) -> tuple[WarcRecord, bytes]:
    parsed = _parse(raw)
    reader: WarcReader = parsed.reader
    for header in ("transfer-encoding", "content-encoding"):
        values = [value for name, value in parsed.http_headers.items() if name.lower() == header]
        for coding in reversed(",".join(values).lower().split(",")):  # the last one was applied last
            if (name := coding.strip()) in _CODINGS:
                reader = _CODINGS[name](reader)
            elif name not in _NO_CODINGS:
                raise ValueError(f"unknown coding {name[:40]!r}")
    return parsed, reader.read(max_bytes + 1)


def _with_lenient_chunks(raw: bytes, max_bytes: int) -> tuple[WarcRecord, bytes]:
    response = http.client.HTTPResponse(_Socket(raw))  # type: ignore[arg-type]
    response.begin()
    if not response.chunked:
        raise ValueError("not chunked")
    body = response.read(max_bytes + 1)
    headers = [f"{name}: {value}" for name, value in response.getheaders() if name.lower() != "transfer-encoding"]
    head = "\r\n".join([f"HTTP/1.1 {response.status} {response.reason}", *headers])
    return _as_declared(head.encode("latin-1", "replace") + b"\r\n\r\n" + body, max_bytes)


def _without_chunks(raw: bytes, max_bytes: int) -> tuple[WarcRecord, bytes]:
    """Read a body that was stored without the chunks that its header announces, but compressed still."""
    head, gap, stored = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"transfer-encoding:")]
    parsed, body = _as_declared(b"\r\n".join(lines) + gap + stored, max_bytes)
    if stored.startswith(body):
        raise ValueError("not compressed")
    return parsed, body


def _as_stored(raw: bytes, max_bytes: int) -> tuple[WarcRecord, bytes]:
    parsed = _parse(raw)
    body = parsed.reader.read(max_bytes + 1)
    if not body[:512].lstrip().startswith(b"<"):
        raise ValueError("the body is neither coded as declared nor plain markup")
    return parsed, body


class _Socket:
    """What `http.client` wants of a socket, over bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)
