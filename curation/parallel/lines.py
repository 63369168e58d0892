"""Bytes -> lines of text in constant memory, however long a line is.

Only a line feed ends a line, a carriage return before it included. All other things that Unicode or Python call line
breaks (U+2028, U+0085, vertical tab, a carriage return alone) are characters of the text: files that are aligned by
line were written so, and splitting one of them there moves every later line against its partner.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from enum import Enum

from curation.parallel.pairs import BadPair
from curation.records import Outcome

_BLOCK_BYTES = 1 << 16


class LineFault(Enum):
    """Why a line has no text: the rule of its bad pair."""

    TOO_LONG = "line_too_long"
    NOT_UTF8 = "not_utf8"


Line = str | LineFault


def read_lines(stream: io.BufferedReader, max_bytes: int) -> Iterator[Line]:
    """Yield the text of each line without its end, or the fault that it has.

    Args:
        stream: plain bytes; a byte order mark is text here.
        max_bytes: longest line, without its end, in bytes.
    """
    begun: list[bytes] = []  # pieces of the line whose end was not read yet
    begun_bytes = 0
    while block := stream.read1(_BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        if end:
            if begun_bytes > max_bytes + 1:  # as long as it may be, a carriage return included, and it went on
                yield LineFault.TOO_LONG
                whole = block[block.index(b"\n") + 1 : end]
            else:
                whole = b"".join([*begun, block[:end]])
            if whole:
                yield from _split(whole[:-1], max_bytes)
            begun, begun_bytes, block = [], 0, block[end:]
        begun_bytes += len(block)
        if begun_bytes > max_bytes + 1:
            begun = []
        elif block:
            begun.append(block)
    if begun_bytes > max_bytes + 1:
        yield LineFault.TOO_LONG
    elif begun_bytes:
        yield _line(b"".join(begun), max_bytes)


def _split(data: bytes, max_bytes: int) -> Iterator[Line]:
    """Yield the lines of whole lines that are joined by line feeds."""
    if len(data) <= max_bytes:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if "\r" in text:
                text = f"{text}\n".replace("\r\n", "\n")[:-1]
            yield from text.split("\n")
            return
    for line in data.split(b"\n"):
        yield _line(line.removesuffix(b"\r"), max_bytes)


def _line(line: bytes, max_bytes: int) -> Line:
    if len(line) > max_bytes:
        return LineFault.TOO_LONG
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return LineFault.NOT_UTF8


def bad_line(name: str, sequence: int, fault: LineFault, max_bytes: int, where: str | None = None) -> BadPair:
    """Return the bad pair of a line with a fault; `where` says in which file it stands, where there are several."""
    outcome: Outcome = "failed"
    detail = "not valid UTF-8"
    if fault is LineFault.TOO_LONG:
        outcome, detail = "dropped", f"longer than {max_bytes:,} bytes"
    return BadPair(name, sequence, outcome, fault.value, f"{where}: {detail}" if where else detail)
