"""Hand-made archives, sound ones and the pieces of damaged ones, and what every reader owes to any input."""

import gzip
import io
from collections.abc import Iterable

from curation.http import IngestConfig
from curation.records import Record
from curation.warc import WarcReader

PAGE = b"<html><body><p>A page about nothing much, long enough to be one.</p></body></html>"
SMALL = IngestConfig(max_record_bytes=4096)


def http(body: bytes = PAGE, *headers: str, status: str = "200 OK", kind: str | None = "text/html") -> bytes:
    """A captured HTTP response."""
    lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {kind}"] if kind is not None else []), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def page(number: int) -> bytes:
    """The response of a page that no other number has."""
    return http(b"<html><body><p>This is page number %d of the archive.</p></body></html>" % number)


def warc(
    number: int, block: bytes | None = None, length: object = None, kind: str = "response", end: str = "\r\n"
) -> bytes:
    """A WARC record, named after its number; `length` may lie, and is left out when it is an empty string."""
    block = page(number) if block is None else block
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: {name(number)}",
        "WARC-Date: 2024-01-02T03:04:05Z",
        f"WARC-Target-URI: https://example.org/{number}",
        "Content-Type: application/http; msgtype=response",
        *([f"Content-Length: {len(block) if length is None else length}"] if length != "" else []),
    ]
    return (end.join(lines) + end + end).encode() + block + b"\r\n\r\n"


def name(number: int) -> str:
    """The identifier of the record with that number."""
    return f"<urn:test:{number:04d}>"


def names(numbers: Iterable[int]) -> list[str]:
    return [name(number) for number in numbers]


def packed(records: Iterable[bytes]) -> list[bytes]:
    """The records, each in a gzip member of its own."""
    return [gzip.compress(record, mtime=0) for record in records]


def read(data: bytes, config: IngestConfig | None = None) -> list[Record]:
    """Read a WARC file to its end, and check what holds for every input."""
    return checked(WarcReader(io.BytesIO(data), "test.warc", config or IngestConfig()))


def checked(records: Iterable[Record]) -> list[Record]:
    """Return the records after a check: numbered without a gap, each with a payload or an ending, all storable."""
    found = list(records)
    assert [record.sequence for record in found] == list(range(len(found)))
    for record in found:
        has_payload = record.body is not None or record.text is not None
        assert has_payload == (record.ending is None), record
        ending = record.ending.verdict.rule + (record.ending.verdict.detail or "") if record.ending else ""
        for text in (record.record_id, record.record_type, record.url, record.date, record.charset or "", ending):
            text.encode("utf-8")  # a lone surrogate could not be stored
        assert record.offset >= 0
    return found


def good(records: Iterable[Record]) -> list[str]:
    """Return the identifiers of the records that came with a payload."""
    return [record.record_id for record in records if record.ending is None]


def rules(records: Iterable[Record]) -> list[str]:
    """Return the rule that ended each record, an empty string for those that go on."""
    return [record.ending.verdict.rule if record.ending else "" for record in records]
