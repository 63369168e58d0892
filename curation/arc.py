"""ARC files (Internet Archive, before WARC) -> records, as far as warcio reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import DecompressingBufferedReader
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from curation.http import IngestConfig, read_page, read_response
from curation.records import Record, error_detail

_ERRORS = (ArchiveLoadFailed, OSError, ValueError, EOFError, AttributeError, IndexError, KeyError)
_MAX_LINE_BYTES = 1 << 20


def read_arc(stream: BinaryIO, name: str, config: IngestConfig) -> Iterator[Record]:
    """Yield one record for each record of an ARC file, and a failed one for what cannot be read behind them.

    Args:
        stream: a seekable binary file.
        name: the file's name in the ledger.
        config: limits.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    sequence, offset = 0, 0
    try:
        iterator = ArchiveIterator(stream, no_record_parse=True, arc2warc=False)
        iterator.reader = _LineReader(stream)
        for found in iterator:
            offset = iterator.offset  # `get_record_offset()` would read the record to its end
            yield _read(found, f"{name}:{sequence}", sequence, offset, config)
            sequence += 1
        if (offset := iterator.offset) < size:
            raise EOFError("the file ends within a compressed record")  # where warcio ends without a word
    except _ERRORS as error:
        # The format has no marker to look for: what follows a broken header cannot be found again.
        broken = Record(f"{name}:{sequence}", sequence, offset, "unreadable")
        yield broken.end("failed", "UnreadableBytes", detail=error_detail(error))


def _read(found: ArcWarcRecord, record_id: str, sequence: int, offset: int, config: IngestConfig) -> Record:
    header = found.rec_headers.get_header
    record = Record(record_id, sequence, offset, "arc", header("uri") or "", _iso_date(header("archive-date") or ""))
    if found.rec_type == "arc_header":
        return record.end("skipped", "arc_header")
    length = int(found.length or 0)
    if length > config.max_record_bytes:
        return record.end("dropped", "record_bytes", length, config.max_record_bytes)
    raw = found.raw_stream.read(length)
    if len(raw) < length:
        return record.end("failed", "TruncatedRecord", len(raw), length)
    if raw.startswith(b"HTTP/"):
        return read_response(record, raw, config)
    return read_page(record, raw, header("content-type"), None, config)


def _iso_date(date: str) -> str:
    """20080430204825 -> 2008-04-30T20:48:25Z; any other form stays as it is."""
    if len(date) != 14 or not date.isdigit():
        return date[:40]
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z"


class _LineReader(DecompressingBufferedReader):  # type: ignore[misc]
    """warcio's reader, which takes a line of any length into memory, with an end to its patience."""

    def readline(self, length: int | None = None) -> bytes:
        line: bytes = super().readline(min(length or _MAX_LINE_BYTES, _MAX_LINE_BYTES))
        if len(line) >= _MAX_LINE_BYTES:
            raise ArchiveLoadFailed(f"a line of more than {_MAX_LINE_BYTES} bytes")
        return line
