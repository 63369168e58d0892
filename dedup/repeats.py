"""Windows of tokens that are copies of windows before them, found by hash and proved on the tokens themselves.

Shape legend: N = anchors, W = windows of all anchors, R = runs of windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Remove = Literal["repeats", "all"]


@dataclass(frozen=True, slots=True)
class AnchoredWindows:
    """Windows by their anchors, which are sorted by precedence: what comes first stays.

    Attributes:
        tokens: number of the first token of each anchor, shape (N,), int64.
        low: smallest distance from the start of a window to its anchor, shape (N,), int64.
        high: largest one.
        again: number of windows after these that repeat them in turn.
        hashes: of the windows, shape (W,), uint64.
        first: index of the hash of each anchor's window at distance `low`, shape (N,); the next distances follow it.
    """

    tokens: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    again: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    first: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Runs:
    """Neighbouring windows that go, and the equally many windows that each of them is a copy of.

    Attributes:
        targets: number of the first token of the first window that goes, shape (R,), int64.
        sources: number of the first token of the first occurrence; the same number for a first occurrence that goes.
        windows: how many windows, each of which begins a token after the one before, shape (R,), int64.
    """

    targets: NDArray[np.int64]
    sources: NDArray[np.int64]
    windows: NDArray[np.int64]


class Texts(Protocol):
    """The tokens themselves, by number."""

    def equal(
        self, first: NDArray[np.int64], second: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Say of pairs of stretches whether they hold the same tokens, given their first tokens and their lengths."""
        ...

    def content(self, start: int, count: int) -> bytes:
        """Return what is equal for stretches of equal tokens only."""
        ...


# Hashes of windows that are no proof, by distance to the anchor.
_Doubts = Mapping[int, NDArray[np.uint64]]


def repeated_runs(windows: AnchoredWindows, width: int, texts: Texts, remove: Remove) -> Runs:
    """Return all windows that are equal to one that comes before, as runs.

    Equal windows have anchors at the same distance, so that windows are compared with those of the same distance
    only, one distance after the other; the work is linear in their number, but for sorting, however often a window
    occurs. Where a hash has collided, its windows are told apart by their tokens.

    Args:
        windows: all windows that may occur twice.
        width: tokens of a window.
        texts: the tokens.
        remove: `repeats` leaves first occurrences, `all` does not.
    """
    anchors, sources, low, high = _proposed(windows, width, texts, remove, {})
    runs = _as_runs(windows, anchors, sources, low, high)
    wrong = _unequal(runs, width, texts)
    if not len(wrong):
        return runs
    doubts: dict[int, list[np.uint64]] = {}
    for run in wrong.tolist():
        for distance in range(int(low[run]), int(high[run]) + 1):
            own = windows.first[anchors[run]] + distance - windows.low[anchors[run]]
            doubts.setdefault(distance, []).append(windows.hashes[own])
    settled = {distance: np.unique(np.asarray(hashes)) for distance, hashes in doubts.items()}
    return _as_runs(windows, *_proposed(windows, width, texts, remove, settled))


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _proposed(windows: AnchoredWindows, width: int, texts: Texts, remove: Remove, doubts: _Doubts) -> _Found:
    """Return runs as anchor, anchor of the first occurrence, smallest and largest distance."""
    known = np.full(len(windows.tokens), -1, dtype=np.int64)
    since = np.zeros(len(windows.tokens), dtype=np.int64)
    found: list[_Found] = []
    for distance in range(int(windows.high.max(initial=-1)) + 2):
        sources = np.full(len(known), -1, dtype=np.int64)
        own = np.flatnonzero((windows.low <= distance) & (distance <= windows.high))
        if len(own):
            hashes = windows.hashes[windows.first[own] + distance - windows.low[own]]
            firsts = _first_of_equal(hashes)
            if distance in doubts:
                starts = windows.tokens[own] - distance
                _settle(firsts, np.isin(hashes, doubts[distance]), starts, width, texts)
            goes = firsts != np.arange(len(own))
            if remove == "all":
                goes[firsts[goes]] = True
                goes |= windows.again[own] > 0
            sources[own[goes]] = own[firsts[goes]]
        changed = np.flatnonzero(sources != known)
        ended = changed[known[changed] >= 0]
        found.append((ended, known[ended], since[ended], np.full(len(ended), distance - 1)))
        known[changed], since[changed] = sources[changed], distance
    anchors, first, low, high = (np.concatenate(column) for column in zip(*found, strict=True))
    return anchors, first, low, high


def _first_of_equal(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each hash the index of the first one that equals it."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    firsts = np.empty(len(hashes), dtype=np.int64)
    firsts[order] = np.repeat(np.minimum.reduceat(order, begins), np.diff(begins, append=len(order)))
    return firsts


def _settle(
    firsts: NDArray[np.int64], doubtful: NDArray[np.bool_], starts: NDArray[np.int64], width: int, texts: Texts
) -> None:
    """Correct the first occurrence of doubtful windows, one group of equal hashes after the other."""
    members = np.flatnonzero(doubtful)
    members = members[np.argsort(firsts[members], kind="stable")]
    borders = np.flatnonzero(np.diff(firsts[members])) + 1
    for group in np.split(members, borders):
        seen: dict[bytes, int] = {}
        for member in group.tolist():
            firsts[member] = seen.setdefault(texts.content(int(starts[member]), width), member)


def _as_runs(
    windows: AnchoredWindows,
    anchors: NDArray[np.int64],
    sources: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> Runs:
    return Runs(windows.tokens[anchors] - high, windows.tokens[sources] - high, high - low + 1)


def _unequal(runs: Runs, width: int, texts: Texts) -> NDArray[np.int64]:
    """Return the runs that are no copies of what they are said to be copies of.

    Runs that go on from one anchor to the next are compared as one, and one by one only where that fails.
    """
    order = np.lexsort((runs.targets, runs.targets - runs.sources))
    order = order[(runs.targets != runs.sources)[order]]
    targets, sources, windows = runs.targets[order], runs.sources[order], runs.windows[order]
    follows = (targets[1:] == targets[:-1] + windows[:-1]) & (sources[1:] == sources[:-1] + windows[:-1])
    begins = np.flatnonzero(np.append(True, ~follows)) if len(order) else np.zeros(0, dtype=np.int64)
    stops = np.append(begins[1:], len(order))[: len(begins)]
    lengths = targets[stops - 1] + windows[stops - 1] - targets[begins] + width - 1
    failed = np.flatnonzero(~texts.equal(targets[begins], sources[begins], lengths))
    single = [np.arange(begins[group], stops[group]) for group in failed.tolist()]
    doubtful = np.concatenate(single) if single else np.zeros(0, dtype=np.int64)
    wrong = ~texts.equal(targets[doubtful], sources[doubtful], windows[doubtful] + width - 1)
    runs_wrong: NDArray[np.int64] = order[doubtful[wrong]]
    return runs_wrong
