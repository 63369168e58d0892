"""Line-aligned files -> pairs: line k of one file is the translation of line k of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import BinaryIO, NoReturn

from configs.errors import UserError
from curation.parallel.lines import Line, LineFault, bad_line, read_lines
from curation.parallel.origins import NO_ORIGINS, LineOrigins, fit_origins, read_ids
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, text_bytes, unreadable


@dataclass(frozen=True, slots=True)
class NamedStream:
    """An open, seekable file and its name for messages."""

    name: str
    stream: BinaryIO

    def lines(self, config: PairIngestConfig) -> Iterator[Line]:
        """Yield the lines of the file from its beginning; a second call takes the file away from the first."""
        yield from read_lines(text_bytes(self.stream, self.name, config), config.max_line_bytes)


@dataclass(frozen=True, slots=True)
class Side:
    """The lines of one side, and the name of its file for messages."""

    name: str
    lines: Iterator[Line]


def read_moses(
    name: str, src: NamedStream, tgt: NamedStream, ids: NamedStream | None, ids_swapped: bool, config: PairIngestConfig
) -> Iterator[Unit]:
    """Yield a unit for each line of two files, plain or compressed.

    Args:
        name: of the input.
        src: the source side.
        tgt: the target side.
        ids: OPUS's `.ids` file of the two, or None.
        ids_swapped: the `.ids` file names the target's document first.
        config: limits.

    Raises:
        UserError: the files have different numbers of lines, once the longer one has been counted.
    """
    origins = None
    if ids is not None:
        origins = fit_origins(lambda: read_ids(ids.lines(config), ids_swapped), lambda: src.lines(config))
        if origins is None:
            raise UserError(
                f"{ids.name} does not have a line for each line of {src.name}, with or without the blank ones: fetch "
                "the files of one release again, or move it elsewhere to go on without documents"
            )
    yield from align(name, Side(src.name, src.lines(config)), Side(tgt.name, tgt.lines(config)), origins, config)


def align(name: str, src: Side, tgt: Side, origins: LineOrigins | None, config: PairIngestConfig) -> Iterator[Unit]:
    """Yield a unit for each two lines.

    Raises:
        UserError: one side ends before the other.
    """
    sequence = 0
    try:
        for src_line, tgt_line in zip_longest(src.lines, tgt.lines):
            if src_line is None or tgt_line is None:
                _raise_mismatch(src, tgt, sequence, src_line is None)
            yield _unit(name, sequence, src_line, tgt_line, origins, config.max_line_bytes)
            sequence += 1
    except DAMAGES as error:
        yield unreadable(name, sequence, error)


def _unit(name: str, sequence: int, src: Line, tgt: Line, origins: LineOrigins | None, max_bytes: int) -> Unit:
    # OPUS puts a blank line behind each document.
    is_blank = isinstance(src, str) and isinstance(tgt, str) and not src.strip() and not tgt.strip()
    origin = NO_ORIGINS if origins is None else origins.next(is_blank)
    if isinstance(src, LineFault):
        return bad_line(name, sequence, src, max_bytes, "source side")
    if isinstance(tgt, LineFault):
        return bad_line(name, sequence, tgt, max_bytes, "target side")
    if is_blank:
        return BadPair(name, sequence, "skipped", "blank_line")
    return Pair(name, sequence, src, tgt, *origin)


def _raise_mismatch(src: Side, tgt: Side, shared: int, tgt_longer: bool) -> NoReturn:
    longer = shared + 1 + sum(1 for _ in (tgt if tgt_longer else src).lines)
    src_count, tgt_count = (shared, longer) if tgt_longer else (longer, shared)
    raise UserError(
        f"{src.name} has {src_count:,} lines and {tgt.name} has {tgt_count:,}: they are not aligned line by line; "
        "fetch both files of one release again"
    )
