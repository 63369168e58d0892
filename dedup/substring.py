"""Exact substring deduplication: every window of k tokens that occurred before, in the same document or in another one.

After Lee et al. 2022, "Deduplicating training data makes language models better", section 4.1, which finds the windows
with a suffix array of the whole corpus. Here equal windows meet by their anchors (`dedup.winnow`), so that documents
are read part by part, and anchors are compared partition by partition. A window's hash only proposes a copy; what
decides is that the tokens are equal (`dedup.repeats`).

What goes are all tokens of all windows that go. Where a text repeats itself within the length of a window, a later
window shares tokens with the first one, and these go, too: of a word that stands there a hundred times one is left.

Shape legend: R = runs of windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.load import StrictModel
from dedup.periods import folded, with_folded
from dedup.repeats import AnchoredWindows, Remove, repeated_runs
from dedup.winnow import find_anchors, joined, running_sums, window_hashes, windows_of


class SubstringConfig(StrictModel):
    """Exact substring deduplication.

    Attributes:
        min_tokens: length of the windows (k): a stretch of fewer tokens is no repetition. Lee et al. take 50.
        min_tokens_unspaced: the same for languages without spaces between words, where each letter is a token.
        remove: `repeats` leaves the first occurrence of a window where it is, in the best document that has it;
            `all` removes that, too.
        min_remaining_chars: a document goes as a whole if fewer characters are left of it after removal; None keeps
            whatever is left.
        partitions: files that the anchors are shuffled through; None takes as many as memory asks for.
    """

    min_tokens: int = Field(default=50, ge=2, le=100_000)
    min_tokens_unspaced: int = Field(default=100, ge=2, le=100_000)
    remove: Remove = "repeats"
    min_remaining_chars: int | None = Field(default=200, ge=0)
    partitions: int | None = Field(default=None, ge=1)


def merged(
    starts: NDArray[np.int64], ends: NDArray[np.int64], *groups: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Join the runs of one group that overlap.

    Args:
        starts: first token of each run, shape (R,).
        ends: after the last token of its last window.
        groups: numbers that are equal for runs of one group, shape (R,) each.

    Returns:
        The index of the first run of each union, by its start, and the start and the end of the union.
    """
    order = np.lexsort((starts, *groups))
    begins = np.ones(len(order), dtype=np.bool_)
    # Of two runs the one that begins later does not end earlier: a window is in one run only.
    begins[1:] = starts[order][1:] >= ends[order][:-1]
    for group in groups:
        begins[1:] |= group[order][1:] != group[order][:-1]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(order))[: len(first)] - 1
    unions = np.argsort(starts[order[first]], kind="stable")
    return order[first][unions], starts[order[first]][unions], ends[order[last]][unions]


class TokenNumbers:
    """Tokens in memory that are known by numbers, equal for equal tokens."""

    def __init__(self, tokens: NDArray[np.uint64]) -> None:
        """Take the tokens, shape (T,)."""
        self._tokens = tokens

    def equal(
        self, first: NDArray[np.int64], second: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Compare stretches."""
        rows = zip(first.tolist(), second.tolist(), counts.tolist(), strict=True)
        tokens = self._tokens
        return np.array([np.array_equal(tokens[a : a + n], tokens[b : b + n]) for a, b, n in rows], dtype=np.bool_)

    def content(self, start: int, count: int) -> bytes:
        """Return the numbers of a stretch."""
        return self._tokens[start : start + count].tobytes()


def repeated_spans(
    tokens: NDArray[np.uint64],
    lengths: Sequence[int],
    order: Sequence[int],
    width: int,
    remove: Remove = "repeats",
) -> list[tuple[int, int]]:
    """Return the spans of tokens that go from documents in memory, [start, end), without overlaps, rising.

    Args:
        tokens: of all documents, one after the other; equal numbers for equal tokens.
        lengths: tokens of each document.
        order: precedence of each document, the smallest first.
        width: tokens of a window.
        remove: see `SubstringConfig`.
    """
    ends, sums, texts = np.cumsum(np.asarray(lengths, dtype=np.int64)), running_sums(tokens), TokenNumbers(tokens)
    anchors = joined([folded(block, width, texts) for block in find_anchors(sums, ends, width)])
    documents = np.searchsorted(ends, anchors.tokens, side="right")
    anchors = anchors.at(np.lexsort((anchors.tokens, np.asarray(order, dtype=np.int64)[documents])))
    starts, first = windows_of(anchors.tokens, anchors.low, anchors.high)
    hashes = window_hashes(sums, starts, width)
    windows = AnchoredWindows(anchors.tokens, anchors.low, anchors.high, anchors.again, hashes, first)
    runs = with_folded(repeated_runs(windows, width, texts, remove), windows)
    owner = np.searchsorted(ends, runs.targets, side="right")
    _, begins, stops = merged(runs.targets, runs.targets + runs.windows + width - 1, owner)
    return list(zip(begins.tolist(), stops.tolist(), strict=True))
