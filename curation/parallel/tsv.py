"""Tables with a pair a line and tabs between the columns -> pairs. There is no quoting: a quotation mark is text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain, islice

from curation.parallel.lines import Line, LineFault, bad_line, read_lines
from curation.parallel.origins import origin, score
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, unreadable
from curation.parallel.tsv_layout import Layout, find_layout

_SAMPLE_LINES = 100
_SAMPLE_CHARS = 4 << 20  # pages of CCAligned are long


def read_tsv(
    stream: io.BufferedReader, name: str, languages: tuple[str, str], swapped: bool, config: PairIngestConfig
) -> Iterator[Unit]:
    """Yield a unit for each line.

    Args:
        stream: decompressed bytes without a byte order mark.
        name: of the input.
        languages: codes of source and target.
        swapped: the target side stands first, where the columns do not say which is which.
        config: limits and columns.

    Raises:
        UserError: the columns are of no known layout.
    """
    sequence = 0
    try:
        lines = read_lines(stream, config.max_line_bytes)
        first: Line | None = None
        for line in lines:
            if isinstance(line, str) and line.strip():
                first = line
                break
            yield _unit(name, sequence, line, None, config)
            sequence += 1
        if first is None:
            return
        sample, damage = _sample(first, lines)
        rows = [line.split("\t") for line in sample if isinstance(line, str) and line.strip()]
        layout = find_layout(rows, name, languages, swapped, config.columns)
        if layout.header:
            yield BadPair(name, sequence, "skipped", "header")
            sequence += 1
            sample = sample[1:]
        for line in chain(sample, lines):
            yield _unit(name, sequence, line, layout, config)
            sequence += 1
        if damage is not None:
            raise damage
    except DAMAGES as error:
        yield unreadable(name, sequence, error)


def _sample(first: Line, lines: Iterator[Line]) -> tuple[list[Line], BaseException | None]:
    """Return the first lines, and what broke them off, if it was no end."""
    sample = [first]
    chars = 0
    try:
        for line in islice(lines, _SAMPLE_LINES):
            sample.append(line)
            chars += len(line) if isinstance(line, str) else 0
            if chars > _SAMPLE_CHARS:
                break
    except DAMAGES as error:
        return sample, error
    return sample, None


def _unit(name: str, sequence: int, line: Line, layout: Layout | None, config: PairIngestConfig) -> Unit:
    if isinstance(line, LineFault):
        return bad_line(name, sequence, line, config.max_line_bytes)
    if layout is None or not line.strip():
        return BadPair(name, sequence, "skipped", "blank_line")
    cells = line.split("\t")
    needed = max(layout.src, layout.tgt) + 1
    if len(cells) < needed or (layout.columns is not None and len(cells) != layout.columns):
        wanted = f"{layout.columns}" if layout.columns is not None else f"{needed} or more"
        return BadPair(name, sequence, "failed", "column_count", f"{len(cells)} columns, not {wanted}")

    def cell(column: int | None) -> str | None:
        return cells[column] if column is not None and column < len(cells) else None

    places = origin(cell(layout.src_origin)), origin(cell(layout.tgt_origin))
    return Pair(name, sequence, cells[layout.src], cells[layout.tgt], *places, score(cell(layout.score)))
