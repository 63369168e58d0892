"""Documents of made-up lengths, packed into sequences."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

# Rows of 40 tokens: documents of one token, of many, and one that fills a row.
LENGTHS = ((1, 7, 1, 20, 11), (40,), (13, 26, 1))
LENGTH = 40


def starts_of(rows: Sequence[Sequence[int]], length: int, documents: int | None = None) -> Tensor:
    """Return `starts`, int32 (B, D + 1), of documents of these lengths; D is that of the longest row, or given."""
    most = max(map(len, rows)) if documents is None else documents
    starts = torch.full((len(rows), most + 1), length, dtype=torch.int32)
    for row, lengths in zip(starts, rows, strict=True):
        row[: len(lengths)] = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    return starts


def documents_of(rows: Sequence[Sequence[int]]) -> list[tuple[int, slice]]:
    """Return row and place of each document."""
    found = []
    for row, lengths in enumerate(rows):
        begin = 0
        for length in lengths:
            found.append((row, slice(begin, begin + length)))
            begin += length
    return found


@st.composite
def packings(draw: st.DrawFn, most: int = 60) -> tuple[list[list[int]], int]:
    """Return lengths of documents, 0 too, in rows of one length."""
    length = draw(st.integers(1, most))
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        cuts = draw(st.lists(st.integers(0, length), max_size=6))
        ends = [*sorted(cuts), length]
        # The first document begins at 0; all others may be empty.
        rows.append([end - begin for begin, end in zip([0, *ends], ends, strict=False)])
    return rows, length
