"""HTTP responses as crawlers store them: every coding, every disorder of codings, and what is no page."""

import gzip
import random
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curation.decode import decode_page
from curation.http import IngestConfig, page_kind, read_response
from curation.records import Record
from tests.curation.archives import PAGE, SMALL, checked, http
from tests.curation.peak import peak_growth_mb

CHUNKED = "Transfer-Encoding: chunked"
CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=4),
    "zstd": zstandard.ZstdCompressor().compress,
}
LONG_PAGE = b"<html><body>" + random.Random(7).randbytes(3000).hex().encode() + b"</body></html>"


def answer(raw: bytes, config: IngestConfig | None = None) -> Record:
    record = read_response(Record("test", 0, 0, "response"), raw, config or IngestConfig())
    return checked([record])[0]


def ending(record: Record) -> tuple[str, str]:
    assert record.ending is not None, record
    assert record.ending.stage == "ingest"
    return record.ending.outcome, record.ending.verdict.rule


def chunked(body: bytes, size: int = 40, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return (
        b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in [*pieces, b""])[:-2]
        + trailer
        + b"\r\n"
    )


# Codings


@pytest.mark.parametrize(
    "raw",
    [
        http(PAGE),
        http(PAGE).replace(b"\r\n", b"\n"),
        http(PAGE).replace(b"HTTP/1.1 200 OK", b"HTTP/1.0 200"),
        http(PAGE).replace(b"HTTP/1.1 200 OK", b"HTTP/2 200"),
        http(PAGE, "X-Folded: one\r\n two", "no colon", "X-Latin: ä", status="206 Partial Content"),
        http(chunked(PAGE), CHUNKED),
        http(chunked(PAGE, extension=b";name=value"), CHUNKED),
        http(chunked(PAGE, extension=b"  "), CHUNKED),
        http(chunked(PAGE, trailer=b"X-Check: 1\r\nX-More: 2\r\n"), CHUNKED),
        http(chunked(PAGE, extension=b";a=b", trailer=b"X-Check: 1\r\n"), CHUNKED),
        http(chunked(PAGE), "TRANSFER-ENCODING: Chunked"),
        http(PAGE, CHUNKED),
        http(PAGE, "Content-Encoding: identity"),
        http(gzip.compress(PAGE), "Content-Encoding: x-gzip"),
        http(gzip.compress(PAGE), "Content-Encoding: gzip", "Content-Encoding: identity"),
        http(PAGE, "Content-Encoding: utf-8"),
        http(gzip.compress(gzip.compress(PAGE)), "Content-Encoding: gzip, gzip"),
        http(brotli.compress(gzip.compress(PAGE)), "Content-Encoding: gzip, br"),
        http(gzip.compress(brotli.compress(PAGE)), "Content-Encoding: br", "Content-Encoding: gzip"),
        http(chunked(gzip.compress(PAGE)), "Transfer-Encoding: gzip, chunked"),
        http(gzip.compress(PAGE[:40]) + gzip.compress(PAGE[40:]), "Content-Encoding: gzip"),
    ],
)
def test_the_page_is_found_however_it_was_sent(raw: bytes) -> None:
    record = answer(raw)
    assert record.body == PAGE


def test_a_large_page_comes_whole_through_chunks_and_codings() -> None:
    body = b"<html>" + random.Random(9).randbytes(700_000).hex().encode()
    for coding, coder in CODERS.items():
        packed = coder(body)
        for size in (1000, 4096, 70_000):
            raw = http(chunked(packed, size), CHUNKED, f"Content-Encoding: {coding}")
            assert answer(raw).body == body


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("header", ["Content-Encoding: {}", "content-encoding:{}", "Content-Encoding: {} "])
def test_content_codings_are_undone(coding: str, header: str) -> None:
    for name in (coding, coding.upper()):
        lines = [header.format(name)]
        packed = CODERS[coding](PAGE)
        assert answer(http(packed, *lines)).body == PAGE
        assert answer(http(chunked(packed), CHUNKED, *lines)).body == PAGE
        assert answer(http(chunked(packed, extension=b";x"), CHUNKED, *lines)).body == PAGE


@pytest.mark.parametrize("coding", CODERS)
def test_a_header_may_promise_a_coding_that_the_archive_undid(coding: str) -> None:
    """Stored decoded under the headers of the coded body, as Common Crawl did; or without its chunks alone."""
    header = f"Content-Encoding: {coding}"
    assert answer(http(PAGE, header)).body == PAGE
    assert answer(http(PAGE, header, CHUNKED)).body == PAGE
    assert answer(http(CODERS[coding](PAGE), header, CHUNKED)).body == PAGE


@pytest.mark.parametrize("coding", CODERS)
def test_a_body_that_is_not_what_it_is_said_to_be_fails(coding: str) -> None:
    garbage = bytes(range(128, 256)) * 8
    record = answer(http(garbage, f"Content-Encoding: {coding}"))
    assert ending(record) == ("failed", "ContentDecodingError")
    image = answer(http(garbage, f"Content-Encoding: {coding}", kind="image/png"))
    assert ending(image) == ("dropped", "content_type")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_broken_compression_fails(coding: str) -> None:
    packed = bytearray(CODERS[coding](LONG_PAGE))
    packed[len(packed) // 2] ^= 0xFF
    assert ending(answer(http(bytes(packed), f"Content-Encoding: {coding}"))) == ("failed", "ContentDecodingError")


@pytest.mark.parametrize(
    "body", [b"zz\r\n" + PAGE, b"-5\r\n" + PAGE, b"ffffffffffffffff\r\n" + PAGE, chunked(PAGE)[:-50]]
)
def test_broken_chunks_fail(body: bytes) -> None:
    assert ending(answer(http(body, CHUNKED))) == ("failed", "ContentDecodingError")


@given(st.binary(max_size=300), st.sampled_from([*CODERS, "gzip, br", "none"]), st.booleans())
def test_no_body_makes_the_reader_fail(body: bytes, coding: str, is_chunked: bool) -> None:
    answer(http(body, f"Content-Encoding: {coding}", *([CHUNKED] if is_chunked else [])))


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Type: "]),
)
def test_no_response_makes_the_reader_fail(raw: bytes, start: bytes) -> None:
    answer(start + raw)


# Bombs

IMPORTS = """
from curation.http import IngestConfig, read_response
from curation.records import Record
"""
ANSWER = """
record = read_response(Record("x", 0, 0, "response"), open(sys.argv[1], "rb").read(), IngestConfig())
assert (record.ending.outcome, record.ending.verdict.rule) == ("dropped", "record_bytes"), record
"""


def zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)), packer.flush()])


@pytest.mark.parametrize("lines", [[], [CHUNKED]])
def test_a_bomb_is_dropped_in_little_memory(tmp_path: Path, lines: list[str]) -> None:
    packed = zeros(300_000_000)
    assert len(packed) < 320_000
    path = tmp_path / "bomb"
    path.write_bytes(http(chunked(packed, 8000, b";x") if lines else packed, "Content-Encoding: gzip", *lines))
    assert peak_growth_mb(IMPORTS, ANSWER, str(path)) < 100


def test_bombs_of_other_codings_are_dropped() -> None:
    for coding, coder in CODERS.items():
        record = answer(http(coder(bytes(2_000_000)), f"Content-Encoding: {coding}"), SMALL)
        assert ending(record) == ("dropped", "record_bytes")
    twice = http(gzip.compress(zeros(50_000_000)), "Content-Encoding: gzip, gzip")
    assert ending(answer(twice, SMALL)) == ("dropped", "record_bytes")


def test_the_limit_is_the_largest_size_that_is_kept() -> None:
    limit = SMALL.max_record_bytes
    for coding, coder in CODERS.items():
        body = b"<p>" + b"x" * (limit - 3)
        assert answer(http(coder(body), f"Content-Encoding: {coding}"), SMALL).body == body
        assert ending(answer(http(coder(body + b"x"), f"Content-Encoding: {coding}"), SMALL))[1] == "record_bytes"


# What is no page


@pytest.mark.parametrize(
    "status", ["404 Not Found", "301 Moved Permanently", "500 Error", "199 Odd", "300 Choices", "999 No"]
)
def test_a_status_that_is_no_success_drops(status: str) -> None:
    record = answer(http(PAGE, status=status))
    assert ending(record) == ("dropped", "http_status")
    assert record.ending is not None
    assert record.ending.verdict.value == int(status.split()[0])


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\n\r\n", PAGE, b"HTTP/1.1 abc\r\n\r\n" + PAGE, b"HTTP/1.1 -200 OK\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_response_fails(raw: bytes) -> None:
    assert ending(answer(raw)) == ("failed", "MalformedHttp")


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t\r\n"])
def test_an_empty_body_drops(body: bytes) -> None:
    assert ending(answer(http(body))) == ("dropped", "empty_body")
    assert ending(answer(http(gzip.compress(body), "Content-Encoding: gzip"))) == ("dropped", "empty_body")
    assert ending(answer(http(chunked(body), CHUNKED))) == ("dropped", "empty_body")


@pytest.mark.parametrize(
    "kind", ["application/pdf", "image/jpeg", "text/css", "application/json", "TEXT/CSS; charset=utf-8"]
)
def test_other_types_drop(kind: str) -> None:
    record = answer(http(PAGE, kind=kind))
    assert ending(record) == ("dropped", "content_type")
    assert record.ending is not None
    assert record.ending.verdict.detail == kind.split(";")[0].lower()


@pytest.mark.parametrize("kind", [None, "", "application/octet-stream", "unknown/unknown"])
def test_without_a_type_the_first_bytes_tell(kind: str | None) -> None:
    for start in ("<!DOCTYPE html>", "\n  <HTML>", "<head>", "<!-- hello -->", "<div>", "<p>", "<body onload=x>"):
        assert answer(http(start.encode() + PAGE, kind=kind)).body is not None
    for body in (b"\x89PNG\r\n\x1a\n" + bytes(50), b"%PDF-1.5", b"just words"):
        assert ending(answer(http(body, kind=kind))) == ("dropped", "content_type")


def test_a_binary_body_drops_and_a_page_with_a_few_zeros_does_not() -> None:
    assert ending(answer(http(bytes(100) + PAGE))) == ("dropped", "binary_body")
    assert answer(http(PAGE + bytes(3))).body == PAGE + bytes(3)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_page_in_utf_16_is_a_page(codec: str) -> None:
    text = "\ufeff<html><body>Ο δήμος υποσχέθηκε</body></html>"
    record = answer(http(text.encode(codec), kind="text/html; charset=utf-16"))
    assert record.body is not None
    assert decode_page(record.body, record.charset).text == text[1:]


def test_plain_text_is_decoded_at_once_and_html_only_drops_it() -> None:
    raw = http("Straße".encode("iso-8859-1"), kind="text/plain; charset=iso-8859-1")
    record = answer(raw)
    assert (record.text, record.body) == ("Straße", None)
    for kind in ("text/plain", "application/xml", "text/xml"):
        assert answer(http(PAGE, kind=kind)).ending is None
        assert ending(answer(http(PAGE, kind=kind), IngestConfig(html_only=True))) == ("dropped", "content_type")
    for kind in ("text/html", "application/xhtml+xml; charset=x"):
        assert answer(http(PAGE, kind=kind), IngestConfig(html_only=True)).body == PAGE


@pytest.mark.parametrize(
    ("kind", "charset"),
    [("text/html; charset=windows-1253", "windows-1253"), ("text/html;CHARSET=UTF-8", "utf-8"), ("text/html", None)],
)
def test_the_charset_of_the_header_is_kept(kind: str, charset: str | None) -> None:
    found = answer(http(PAGE, kind=kind)).charset
    assert (found and found.lower()) == charset


def test_a_type_is_read_without_its_parameters() -> None:
    assert page_kind(" Text/HTML ; charset=x", b"") == "text/html"
    assert page_kind(None, b"\n<!doctype HTML>") == "text/html"
    assert page_kind("image/png", b"<html>") == "image/png"
