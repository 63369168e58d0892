"""Positions, documents and cumulative lengths, against loops over the documents."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pretrain.model.segments import find_segments
from tests.pretrain.model.packed import packings, starts_of


@given(packings(), st.integers(0, 5))
def test_segments_are_those_of_a_loop_over_documents(packing: tuple[list[list[int]], int], padding: int) -> None:
    rows, length = packing
    starts = starts_of(rows, length, max(map(len, rows)) + padding)
    segments = find_segments(starts, length)
    assert segments.positions.tolist() == [[place for size in row for place in range(size)] for row in rows]
    assert segments.documents.tolist() == [
        [number for number, size in enumerate(row) for _ in range(size)] for row in rows
    ]
    assert segments.length == length
    cumulative = segments.cumulative()
    assert cumulative.dtype == torch.int32
    assert cumulative[0] == 0
    sizes = cumulative.diff().tolist()
    assert len(sizes) == starts.shape[0] * (starts.shape[1] - 1)
    assert [size for size in sizes if size] == [size for row in rows for size in row if size]


def test_their_shapes_follow_from_the_shape_of_starts() -> None:
    """So that a compiled model is compiled once."""
    one, many = (find_segments(starts_of([row], 8, 4), 8) for row in ([8], [2, 2, 2, 2]))
    assert one.cumulative().shape == many.cumulative().shape == (5,)
    assert one.positions.shape == many.positions.shape
