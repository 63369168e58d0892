"""Which columns of a TSV hold the two sides: by number, by the names of its header, or by a known layout.

Known layouts, recognised on the first lines:

| columns | release |
|---|---|
| text, text | WMT, ParaCrawl |
| text, text, score | CCAligned sentence pairs |
| score, text, text | CCMatrix, WikiMatrix, what LASER mines |
| domain, address, text, address, text | CCAligned document pairs |
| address, address, text, text, scores, anything | ParaCrawl with addresses; the last of the scores counts |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from configs.errors import UserError
from curation.parallel.codes import choose_labels
from curation.parallel.origins import score
from curation.parallel.pairs import PairColumns

# Names of the two sides in a header or of two fields, first side first; language labels are looked for before these.
SIDE_NAMES = (
    ("src_text", "tgt_text"),
    ("source_text", "target_text"),
    ("src", "tgt"),
    ("src", "trg"),
    ("source", "target"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("source_content", "target_content"),
)
ORIGIN_NAMES = (
    ("src_origin", "tgt_origin"),
    ("src_url", "tgt_url"),
    ("source_url", "target_url"),
    ("url1", "url2"),
    ("src_doc", "tgt_doc"),
    ("url", "url"),
    ("doc_id", "doc_id"),
    ("document_id", "document_id"),
)
SCORE_NAMES = ("score", "laser_score", "bicleaner_score", "bicleaner")

_ADDRESS = re.compile(r"unknown_url|(https?://)?[^\s/]+\.[^\s/]{2,}(/\S*)?", re.IGNORECASE)
_SHARE = 0.8  # of the first lines that have to look like a layout: single addresses and scores are damaged anywhere


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a table, from 0.

    Attributes:
        src: of the source side.
        tgt: of the target side.
        score: of the score, or None.
        src_origin: of the source side's address, or None.
        tgt_origin: of the target side's.
        columns: how many columns every line has, or None where lines may have more.
        header: the first line names the columns.
    """

    src: int
    tgt: int
    score: int | None = None
    src_origin: int | None = None
    tgt_origin: int | None = None
    columns: int | None = None
    header: bool = False


def find_layout(
    rows: Sequence[Sequence[str]], name: str, languages: tuple[str, str], swapped: bool, columns: PairColumns | None
) -> Layout:
    """Return the layout of a table.

    Args:
        rows: the cells of its first lines, one line or more.
        name: of the input.
        languages: codes of source and target.
        swapped: the target side stands first, where no language label says which side is which.
        columns: what the configuration says; it names the sides of the job, so that nothing is swapped.

    Raises:
        UserError: a column that it names is not there, or no layout fits.
    """
    if columns is not None:
        return _configured(rows[0], name, columns)
    found = _named(rows[0], languages, swapped)
    if found is not None:
        return found
    width = min(len(row) for row in _most(rows))
    first, second, places, rated, exact = _known(rows, width, name)
    if swapped:
        first, second, places = second, first, (places[1], places[0])
    return Layout(first, second, rated, *places, exact)


def _configured(header: Sequence[str], name: str, columns: PairColumns) -> Layout:
    names = [cell.strip() for cell in header]
    wanted = (columns.src, columns.tgt, columns.score, columns.src_origin, columns.tgt_origin)
    for column in wanted:
        if isinstance(column, str) and column not in names:
            raise UserError(f"{name} has no column {column!r}; its first line is: {' | '.join(names)[:300]}")
    src, tgt, rated, src_origin, tgt_origin = (
        names.index(column) if isinstance(column, str) else None if column is None else column - 1 for column in wanted
    )
    assert src is not None
    assert tgt is not None
    return Layout(src, tgt, rated, src_origin, tgt_origin, header=any(isinstance(column, str) for column in wanted))


def _named(header: Sequence[str], languages: tuple[str, str], swapped: bool) -> Layout | None:
    """Return the layout that a header names, or None where the first line is none."""
    names = [cell.strip().lower() for cell in header]
    sides = side_columns(names, languages, swapped)
    if sides is None:
        return None
    places = next((own for own in ORIGIN_NAMES if own[0] in names and own[1] in names), None)
    if places and swapped:
        places = places[1], places[0]
    rated = next((names.index(own) for own in SCORE_NAMES if own in names), None)
    src_origin, tgt_origin = (names.index(places[0]), names.index(places[1])) if places else (None, None)
    return Layout(names.index(sides[0]), names.index(sides[1]), rated, src_origin, tgt_origin, header=True)


def side_columns(names: Sequence[str], languages: tuple[str, str], swapped: bool) -> tuple[str, str] | None:
    """Return the names of the source and the target column among some names, or None."""
    src, tgt = choose_labels(names, *languages)
    if src is not None and tgt is not None:
        return src, tgt
    found = next((own for own in SIDE_NAMES if own[0] in names and own[1] in names), None)
    return (found[1], found[0]) if found and swapped else found


def _most(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return the rows without the fifth with the fewest columns, which may be damaged."""
    ordered = sorted(rows, key=len)
    return ordered[int(len(ordered) * (1 - _SHARE)) :]


_Found = tuple[int, int, tuple[int | None, int | None], int | None, int | None]


def _known(rows: Sequence[Sequence[str]], width: int, name: str) -> _Found:
    """Return the columns of first and second side, their addresses, the score, and the number of columns if fixed."""
    is_address = [_looks(rows, column, lambda cell: bool(_ADDRESS.fullmatch(cell.strip()))) for column in range(width)]
    is_score = [_looks(rows, column, lambda cell: score(cell) is not None) for column in range(width)]
    if width == 5 and is_address[1] and is_address[3]:  # the domain looks like an address, too
        return 2, 4, (1, 3), None, 5
    if width >= 4 and is_address[0] and is_address[1]:
        rated = 4
        while rated < width and is_score[rated]:
            rated += 1
        return 2, 3, (0, 1), rated - 1 if rated > 4 else None, None
    if width == 3 and is_score[0] and not is_score[2]:
        return 1, 2, (None, None), 0, 3
    if width == 3 and is_score[2]:
        return 0, 1, (None, None), 2, 3
    if width == 2:
        return 0, 1, (None, None), None, 2
    raise UserError(
        f"{name} is a table of {width} columns of no known layout; say which is which, e.g. columns: {{src: 1, tgt: 2}}"
        f"; its first line is: {' | '.join(rows[0])[:200]}"
    )


def _looks(rows: Sequence[Sequence[str]], column: int, test: Callable[[str], bool]) -> bool:
    """Return whether the cells of a column pass a test, save for a few."""
    cells = [row[column] for row in rows if column < len(row)]
    return sum(map(test, cells)) >= _SHARE * len(cells)
