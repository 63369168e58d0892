"""Repeated windows in memory, against a suffix array."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from dedup import winnow
from dedup.periods import folded
from dedup.repeats import AnchoredWindows, repeated_runs
from dedup.substring import SubstringConfig, TokenNumbers, repeated_spans
from dedup.winnow import anchor_width, find_anchors, joined, running_sums, sliding_minimum, window_hashes, windows_of
from tests.dedup.suffix_array import removed_by_suffix_array

# Small alphabets and rows of one token, so that windows meet.
DOCUMENT = st.one_of(
    st.lists(st.integers(0, 2), max_size=30),
    st.builds(lambda token, count: [token] * count, st.integers(0, 2), st.integers(0, 40)),
    st.builds(lambda tokens, count: tokens * count, st.lists(st.integers(0, 4), max_size=5), st.integers(0, 12)),
)
DOCUMENTS = st.lists(DOCUMENT, max_size=6)
WIDTHS = st.integers(2, 6)
REMOVE = st.sampled_from(["repeats", "all"])
# All bits of a hash, three of them, none: results must not depend on it.
BITS = [0xFFFFFFFFFFFFFFFF, 0b111 << 61, 0]


def spans_of(documents: list[list[int]], width: int, remove: str, order: list[int] | None = None) -> list[set[int]]:
    """Return the tokens that go of each document, by their places in it."""
    tokens = np.array([token for own in documents for token in own], dtype=np.uint64)
    lengths = [len(own) for own in documents]
    order = list(range(len(documents))) if order is None else order
    spans = repeated_spans(tokens, lengths, order, width, "all" if remove == "all" else "repeats")
    assert all(first[1] <= second[0] for first, second in pairwise(spans)), "nothing is removed twice"
    ends = np.cumsum([0, *lengths]).tolist()
    removed: list[set[int]] = [set() for _ in documents]
    for start, end in spans:
        owner = max(number for number in range(len(documents)) if ends[number] <= start)
        assert start < end <= ends[owner + 1], "no span goes over the end of a document"
        removed[owner] |= set(range(start - ends[owner], end - ends[owner]))
    return removed


@pytest.mark.parametrize("bits", BITS)
@settings(max_examples=400)
@given(documents=DOCUMENTS, width=WIDTHS, remove=REMOVE, data=st.data())
def test_what_goes_is_what_a_suffix_array_finds(
    bits: int, documents: list[list[int]], width: int, remove: str, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(documents))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winnow, "HASH_BITS", np.uint64(bits))
        patch.setattr(winnow, "_BLOCK", data.draw(st.sampled_from([5, 1 << 15])))
        found = spans_of(documents, width, remove, order)
    best_first = sorted(range(len(documents)), key=lambda number: order[number])
    expected = removed_by_suffix_array([documents[number] for number in best_first], width, remove)
    assert [found[number] for number in best_first] == [set().union(*own.values()) for own in expected]


@given(DOCUMENTS, WIDTHS)
def test_every_window_keeps_an_occurrence(documents: list[list[int]], width: int) -> None:
    """The first occurrence of a window is not cut for its own sake; documents that share nothing keep all of it."""
    apart = [[100 * number + place for place in range(len(own))] for number, own in enumerate(documents)]
    assert not any(spans_of(apart, width, "repeats") + spans_of(apart, width, "all"))
    first = spans_of(documents[:1], width, "repeats")
    assert spans_of(documents, width, "repeats")[:1] == first, "later documents take nothing from the first one"


@pytest.mark.parametrize(
    ("documents", "width", "remove", "expected"),
    [
        ([[1, 2, 3], [1, 2, 3], [1, 2, 3]], 3, "repeats", [set(), {0, 1, 2}, {0, 1, 2}]),
        ([[1, 2, 3], [1, 2, 3], [1, 2, 3]], 3, "all", [{0, 1, 2}] * 3),
        ([[1, 2], [1, 2]], 3, "all", [set(), set()]),
        ([[9, 1, 2, 3, 8], [7, 1, 2, 3, 6]], 3, "repeats", [set(), {1, 2, 3}]),
        ([[5] * 10], 4, "repeats", [set(range(1, 10))]),
        ([[5] * 4], 4, "all", [set()]),
        ([[1, 2], [3, 1, 2], [1, 2, 3]], 2, "repeats", [set(), {1, 2}, {0, 1}]),
        ([[], []], 2, "all", [set(), set()]),
        ([], 2, "repeats", []),
    ],
)
def test_examples(documents: list[list[int]], width: int, remove: str, expected: list[set[int]]) -> None:
    assert spans_of(documents, width, remove) == expected


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(1, 20), max_size=5), WIDTHS)
def test_anchors_stand_for_every_window_once_and_equal_windows_have_equal_ones(
    tokens: list[int], lengths: list[int], width: int
) -> None:
    ends = np.minimum(np.cumsum([*lengths, len(tokens)]), len(tokens))
    anchors = joined(list(find_anchors(running_sums(np.array(tokens, dtype=np.uint64)), ends, width)))
    assert min(anchors.low.tolist(), default=0) >= 0
    assert max(anchors.high.tolist(), default=0) <= width - anchor_width(width)
    by_window: dict[int, tuple[int, int]] = {}
    columns = (anchors.hashes, anchors.tokens, anchors.low, anchors.high)
    for value, token, low, high in zip(*(column.tolist() for column in columns), strict=True):
        for distance in range(low, high + 1):
            assert token - distance not in by_window
            by_window[token - distance] = (value, distance)
    begins = [0, *ends.tolist()]
    inside = {start for first, last in pairwise(begins) for start in range(first, last - width + 1)}
    assert set(by_window) == inside
    by_content: dict[tuple[int, ...], tuple[int, int]] = {}
    for start, anchor in by_window.items():
        assert by_content.setdefault(tuple(tokens[start : start + width]), anchor) == anchor


def test_anchors_are_few() -> None:
    tokens = np.random.default_rng(5).integers(0, 1 << 40, 100_000).astype(np.uint64)
    count = len(joined(list(find_anchors(running_sums(tokens), np.array([len(tokens)]), 50))).tokens)
    assert count == pytest.approx(2 / 27 * len(tokens), rel=0.05)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=40), WIDTHS, st.integers(0, 200_000))
def test_a_window_hash_depends_on_its_tokens_alone(tokens: list[int], width: int, first: int) -> None:
    sums = running_sums(np.array(tokens, dtype=np.uint64), first, before=12345)
    starts = np.arange(len(tokens) - width + 1) if width <= len(tokens) else np.zeros(0, dtype=np.int64)
    hashes = window_hashes(sums, starts, width, first).tolist()
    contents = [tuple(tokens[start : start + width]) for start in starts.tolist()]
    alone = [
        window_hashes(running_sums(np.array(own, dtype=np.uint64)), np.zeros(1, dtype=np.int64), width)
        for own in contents
    ]
    assert hashes == [int(own[0]) for own in alone]
    assert len(set(hashes)) == len(set(contents))


def test_sums_go_on_where_they_stopped() -> None:
    tokens = np.arange(200_000, dtype=np.uint64) % np.uint64(977)
    whole = running_sums(tokens)
    rest = running_sums(tokens[70_000:], 70_000, int(whole[70_000]))
    assert np.array_equal(whole[70_000:], rest)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.data())
def test_sliding_minimum(values: list[int], data: st.DataObject) -> None:
    width = data.draw(st.integers(1, len(values)))
    found = sliding_minimum(np.array(values, dtype=np.uint64), width)
    assert found.tolist() == [min(values[start : start + width]) for start in range(len(values) - width + 1)]


@pytest.mark.parametrize("period", [1, 2, 3, 20])
def test_text_that_repeats_itself_on_and_on_has_few_anchors(period: int) -> None:
    tokens = np.tile(np.arange(period, dtype=np.uint64), 60_000 // period)
    sums, texts = running_sums(tokens), TokenNumbers(tokens)
    blocks = list(find_anchors(sums, np.array([len(tokens)]), 50))
    assert len(joined(blocks).tokens) >= len(tokens) // period - 50
    assert len(joined([folded(block, 50, texts) for block in blocks]).tokens) <= 50 * len(blocks)
    assert repeated_spans(tokens, [len(tokens)], [0], 50) == [(period, len(tokens))]


class CountedTexts(TokenNumbers):
    """Counts what is compared."""

    tokens_compared = 0

    def equal(
        self, first: NDArray[np.int64], second: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        self.tokens_compared += int(counts.sum())
        return super().equal(first, second, counts)


def test_the_work_grows_with_the_number_of_occurrences_and_no_faster() -> None:
    copies, length, width = 3_000, 60, 50
    tokens = np.tile(np.arange(length, dtype=np.uint64), copies)
    sums, texts = running_sums(tokens), CountedTexts(tokens)
    anchors = joined(list(find_anchors(sums, np.arange(1, copies + 1) * length, width)))
    starts, first = windows_of(anchors.tokens, anchors.low, anchors.high)
    hashes = window_hashes(sums, starts, width)
    windows = AnchoredWindows(anchors.tokens, anchors.low, anchors.high, anchors.again, hashes, first)
    runs = repeated_runs(windows, width, texts, "repeats")
    assert int(runs.windows.sum()) == (copies - 1) * (length - width + 1)
    assert texts.tokens_compared <= copies * length


def test_the_configuration_is_strict() -> None:
    assert SubstringConfig().model_dump() == {
        "min_tokens": 50,
        "min_tokens_unspaced": 100,
        "remove": "repeats",
        "min_remaining_chars": 200,
        "partitions": None,
    }
    for wrong in ({"min_tokens": 1}, {"remove": "first"}, {"min_tokns": 50}, {"partitions": 0}):
        with pytest.raises(ValidationError):
            SubstringConfig.model_validate(wrong)
