"""WARC and WET files -> records (WARC 1.1, ISO 28500:2017), with every unreadable stretch accounted for.

FastWARC reads the good files. Where it stops, or where a record comes out without a type, the file is damaged: the
reader looks for the next place that begins a record, goes on there, and yields one failed record for the stretch
between, so that a broken header costs one record and not the rest of the file.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator
from warcio.archiveiterator import ArchiveIterator as WarcioIterator
from warcio.exceptions import ArchiveLoadFailed

from curation.http import IngestConfig, read_page, read_response
from curation.records import Record, error_detail

_SKIPPED_TYPES = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})
_ERRORS = (OSError, ValueError, EOFError, zlib.error)
_GZIP_MAGIC = b"\x1f\x8b\x08"
_OTHER_MAGIC = (b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")  # LZ4, Zstandard, and its dictionary
_RECORD_START = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n", re.IGNORECASE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_SCAN_BYTES = 1 << 20
_OVERLAP_BYTES = 64
# A compressed member has to show its first bytes, and a record the end of its header, within this much data.
_PROBE_BYTES = 1 << 16
# A compressed record up to this size is decompressed to find what follows; behind a larger one the reader looks for
# the next member, which costs less where it is a decompression bomb.
_MAX_SKIP_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class _RawRecord:
    """A record as a reader found it: header by lower-case name, place, length of its block, and how to read that."""

    headers: dict[str, str]
    offset: int
    length: int
    read: Callable[[int], bytes]


class WarcReader:
    """Iterates over the records of one seekable WARC or WET file, plain or compressed by record."""

    def __init__(self, stream: BinaryIO, name: str, config: IngestConfig) -> None:
        """Prepare; `name` is the file's name in the ledger."""
        self._stream, self._name, self._config = stream, name, config
        self._size = stream.seek(0, 2)
        self._sequence = 0
        stream.seek(0)
        start = stream.read(_SCAN_BYTES)
        # Other compressions (LZ4, Zstandard) are FastWARC's to follow: their members cannot be looked for here.
        self._searchable = not start.startswith(_OTHER_MAGIC)
        self._gzip = start.startswith(_GZIP_MAGIC)
        if self._searchable and not self._gzip and not _RECORD_START.search(start):  # garbage, then perhaps members
            self._gzip = True
            self._gzip = self._next_start(0) is not None
        self._plain = self._searchable and not self._gzip

    def __iter__(self) -> Iterator[Record]:
        """Yield one record for each record of the file, and one failed record for each unreadable stretch."""
        position: int | None = 0
        while position is not None and position < self._size:
            last: _RawRecord | None = None
            problem, at_end = "no record begins here", False
            for iterate in (self._iterate, self._iterate_quirks, self._iterate_lenient):
                try:
                    for raw in iterate(position):
                        last, problem = raw, "what follows cannot be read"
                        record = self._read(raw)
                        yield record
                        if self._is_better_searched(record, raw.length):
                            break
                    else:
                        at_end = True
                except _ERRORS as error:
                    problem = error_detail(error)
                if last:
                    break
            end, is_lost = self._end_of(last, at_end) if last else (position, False)
            position = self._next_start(max(end, position + 1))
            if is_lost or self._has_content(end, self._size if position is None else position):
                yield self._unreadable(last.offset if last and is_lost else end, problem)

    def _is_better_searched(self, record: Record, length: int) -> bool:
        """Whether the next record is looked for behind this one, instead of reading up to it."""
        too_large = record.ending is not None and record.ending.verdict.rule == "record_bytes"
        return too_large and (self._plain or length > _MAX_SKIP_BYTES)

    def _iterate(self, position: int, quirks: bool = False) -> Iterator[_RawRecord]:
        """Iterate from a position with FastWARC, up to the first record whose header is damaged."""
        self._stream.seek(position)
        for found in ArchiveIterator(self._stream, parse_http=False, quirks_mode=quirks):
            headers = {name.lower(): value for name, value in found.headers.items()}
            if not headers.get("warc-type") or found.content_length != int(headers.get("content-length", "-1")):
                raise ValueError("a record without type or length")
            yield _RawRecord(headers, found.stream_pos, found.content_length, found.reader.read)

    def _iterate_quirks(self, position: int) -> Iterator[_RawRecord]:
        """The same, forgiving line ends without a carriage return; one record where the next can be looked for."""
        found = next(self._iterate(position, quirks=True), None)
        if found and (not self._searchable or self._stands_at(position, found)):  # it passes over what it cannot read
            yield from islice(self._iterate(position, quirks=True), 1 if self._plain else None)

    def _iterate_lenient(self, position: int) -> Iterator[_RawRecord]:
        """Read one record with warcio, which unfolds header lines and forgives misspelt ones."""
        if not _HEADER_END.search(self._header_at(position)):
            return
        self._stream.seek(position)
        try:
            found = next(WarcioIterator(self._stream, no_record_parse=True), None)
            if found is None or found.length is None:
                return
            headers = {name.lower(): value for name, value in found.rec_headers.headers}
            if headers.get("warc-type"):
                yield _RawRecord(headers, position, int(found.length), found.raw_stream.read)
        except (ArchiveLoadFailed, AttributeError):  # warcio trips over a missing date or address
            return

    def _read(self, raw: _RawRecord) -> Record:
        headers = raw.headers
        kind = headers["warc-type"].strip().lower()
        record = Record(
            record_id=headers.get("warc-record-id", "").strip() or f"{self._name}:{self._sequence}",
            sequence=self._sequence,
            offset=raw.offset,
            record_type=kind[:40],
            url=headers.get("warc-target-uri", "").strip().strip("<>"),
            date=headers.get("warc-date", "").strip()[:40],
        )
        self._sequence += 1
        if kind in _SKIPPED_TYPES:
            return record.end("skipped", kind)
        if kind not in ("response", "resource", "conversion"):
            return record.end("skipped", "unknown_type", detail=kind[:100])
        if raw.length > self._config.max_record_bytes:
            return record.end("dropped", "record_bytes", raw.length, self._config.max_record_bytes)
        try:
            content = raw.read(raw.length)
        except _ERRORS as error:
            return record.end("failed", "UnreadableBytes", detail=error_detail(error))
        if len(content) < raw.length:
            return record.end("failed", "TruncatedRecord", len(content), raw.length)
        try:
            return self._read_payload(record, content, headers.get("content-type", ""))
        except _ERRORS as error:  # the file is sound, so that the next record can be read: only this one is not
            return record.end("failed", "MalformedHttp", detail=error_detail(error))

    def _read_payload(self, record: Record, raw: bytes, content_type: str) -> Record:
        if record.record_type == "conversion":
            record.text = raw.decode("utf-8", "replace")
            return record
        if record.record_type == "response":
            if content_type.lower().startswith("application/http") or raw.startswith(b"HTTP/"):
                return read_response(record, raw, self._config)
            return record.end("dropped", "content_type", detail=content_type[:100] or "none")
        charset = re.search(r"charset=([\w.:-]+)", content_type)
        return read_page(record, raw, content_type, charset[1] if charset else None, self._config)

    def _unreadable(self, offset: int, problem: str) -> Record:
        record = Record(f"{self._name}:{self._sequence}", self._sequence, offset, "unreadable")
        self._sequence += 1
        return record.end("failed", "UnreadableBytes", detail=problem)

    def _end_of(self, raw: _RawRecord, at_end: bool) -> tuple[int, bool]:
        """Return where the file goes on after a record, and whether anything before that place was not read.

        Args:
            raw: the last record that was read.
            at_end: the file ended behind it, as far as its reader could tell.
        """
        if not self._searchable or (self._gzip and not self._stands_at(raw.offset, raw)):
            return self._size, not at_end  # in a member of many records the place of one is not known
        end = len(self._header_at(raw.offset)) + raw.length
        if self._gzip:
            return self._end_of_member(raw.offset, end)
        end += raw.offset
        return (end if end <= self._size else self._next_start(raw.offset + 1) or self._size), False

    def _end_of_member(self, offset: int, record_bytes: int) -> tuple[int, bool]:
        inflate, inflated, behind = zlib.decompressobj(wbits=31), 0, b""
        self._stream.seek(offset)
        try:
            while not inflate.eof and inflated <= self._config.max_record_bytes + _PROBE_BYTES:
                compressed = inflate.unconsumed_tail or self._stream.read(_PROBE_BYTES)
                if not compressed:
                    break  # damaged data may run on through the members behind it
                more = inflate.decompress(compressed, _SCAN_BYTES)
                behind += more[max(record_bytes - inflated, 0) :]
                inflated += len(more)
        except zlib.error:
            return self._next_start(offset + 1) or self._size, False
        end = self._stream.tell() - len(inflate.unused_data) if inflate.eof else self._next_start(offset + 1)
        return end or self._size, bool(behind.strip())

    def _stands_at(self, offset: int, raw: _RawRecord) -> bool:
        """Whether it is the header of this record that stands at a place."""
        header = "".join(self._header_at(offset).decode("utf-8", "replace").split())
        return all("".join(value.split()) in header for value in raw.headers.values())

    def _header_at(self, offset: int) -> bytes:
        """Return the header at a place with its blank line, or as much as there is of it."""
        self._stream.seek(offset)
        data = self._stream.read(_PROBE_BYTES)
        if self._gzip:
            inflate, compressed, data = zlib.decompressobj(wbits=31), data, b""
            try:  # in steps as small as the end of a header: damage right behind it is no concern here
                while len(data) < _PROBE_BYTES and not _HEADER_END.search(data, max(len(data) - 8, 0)):
                    if not (more := inflate.decompress(compressed, 4)):
                        break
                    data, compressed = data + more, inflate.unconsumed_tail
            except zlib.error:
                pass
        end = _HEADER_END.search(data)
        return data[: end.end()] if end else data

    def _next_start(self, offset: int) -> int | None:
        """Return the first place from `offset` on that looks like the start of a record, or None."""
        marker = re.compile(re.escape(_GZIP_MAGIC)) if self._gzip else _RECORD_START
        while self._searchable and offset < self._size:
            self._stream.seek(offset)
            block = self._stream.read(_SCAN_BYTES)
            for found in marker.finditer(block):
                # The magic of gzip alone occurs by chance.
                if not self._gzip or self._header_at(offset + found.start()).upper().startswith(b"WARC/"):
                    return offset + found.start()
            if len(block) < _SCAN_BYTES:
                return None
            offset += len(block) - _OVERLAP_BYTES
        return None

    def _has_content(self, start: int, end: int) -> bool:
        """Whether anything but white space stands between two places of the file."""
        self._stream.seek(start)
        while start < end:
            block = self._stream.read(min(_SCAN_BYTES, end - start))
            if not block:
                return False
            if block.strip():
                return True
            start += len(block)
        return False
