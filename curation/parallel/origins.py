"""Which documents a line-aligned corpus was made from: OPUS's `.ids` files and alignments, beside its lines.

An `.ids` file has a line for each pair: the documents of the two sides, then the sentences, between tabs.
An alignment has a link for each pair. Newer releases put a blank line behind each document, which has no link.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from curation.parallel.lines import Line
from curation.parallel.streams import DAMAGES

Origins = tuple[str | None, str | None]
NO_ORIGINS: Origins = (None, None)
_MAX_CHARS = 2000  # of an address or identifier


def origin(value: object) -> str | None:
    """Return an identifier or address as it may be stored: None for none, for one beyond all length or no string."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text = str(value).strip()
    return text if 0 < len(text) <= _MAX_CHARS and not any("\ud800" <= c <= "\udfff" for c in text) else None


def score(value: object) -> float | None:
    """Return a score that a file gives as a number or as text; None for none, and for what is not finite."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class LineOrigins:
    """The documents of the lines of a corpus, in order."""

    def __init__(self, origins: Iterator[Origins], with_blank: bool) -> None:
        """Begin; `with_blank` says whether a blank line has an entry of its own."""
        self._origins, self._with_blank = origins, with_blank

    def next(self, is_blank: bool) -> Origins:
        """Return the documents of the next line."""
        return next(self._origins, NO_ORIGINS) if self._with_blank or not is_blank else NO_ORIGINS


def fit_origins(
    read_origins: Callable[[], Iterator[Origins]], read_lines: Callable[[], Iterator[Line]]
) -> LineOrigins | None:
    """Return the documents of the lines, or None where their numbers do not fit or one of the two is damaged.

    Both are read through and counted first: documents that are one line off would be worse than none.

    Args:
        read_origins: begins to read the documents.
        read_lines: begins to read the lines of one side.
    """
    lines = blank = 0
    try:
        entries = sum(1 for _ in read_origins())
        for line in read_lines():
            lines += 1
            blank += isinstance(line, str) and not line.strip()
    except DAMAGES:
        return None
    if entries not in (lines, lines - blank):
        return None
    return LineOrigins(read_origins(), with_blank=entries == lines)


def read_ids(lines: Iterator[Line], swapped: bool) -> Iterator[Origins]:
    """Yield the documents of the two sides for each line of an `.ids` file; None for what is damaged or not there."""
    for line in lines:
        cells = line.split("\t") if isinstance(line, str) else []
        first, second = (origin(cells[0]), origin(cells[1])) if len(cells) > 1 else NO_ORIGINS
        yield (second, first) if swapped else (first, second)
