"""Which source gives the next sample of a mixture: the one that is furthest behind its share.

`sample_choices` and `SampleBlend` count samples, by Megatron-LM's rule (`build_blending_indices` in
`core/datasets/helpers.cpp`, core 0.16) and index for index the same: at step i the source with the largest
`weight * max(i, 1) - taken`, the first one of equals. `TokenBlend` is the same rule on tokens, for pieces of any
length. Neither keeps an index: the state is one number a source. How far shares may be off is in `blend_bounds.py`.

Shape legend: S = sources, N = steps, L = lanes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError

Counts = NDArray[np.int64]
_ROUNDING = 1e-9
# Steps of a lane, steps that it runs before them from a guess, lanes side by side, and how often lanes are run again.
_LANE_STEPS, _WARM_UP, _FEWEST_LANES, _MOST_LANES, _MOST_PASSES = 256, 16, 16, 1024, 32
# Choices that are made together.
_FEWEST_AHEAD, _MOST_AHEAD = 64, 1 << 15
# A source of which less than this is due before the last lane begins is guessed to stay where it is.
_SLOW = 0.5


def check_weights(names: Sequence[str], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return weights as an array.

    Raises:
        UserError: a weight is negative or no number, or they do not sum to 1.
    """
    if len(names) != len(weights):
        raise UserError(f"there are {len(names):,} sources and {len(weights):,} weights")
    for name, weight in zip(names, weights, strict=True):
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"the weight of {name!r} is {weight}; it must be a number that is not negative")
    if abs(math.fsum(weights) - 1) > _ROUNDING:
        raise UserError(f"the weights sum to {math.fsum(weights):.12g}; they must sum to 1")
    return np.array(weights, dtype=np.float64)


def sample_choices(weights: Sequence[float], taken: Sequence[int], count: int) -> tuple[NDArray[np.int32], Counts]:
    """Return the source of each of the next `count` samples, shape (N,), and what is taken after them, shape (S,).

    Args:
        weights: of the sources; one of weight 0 is never drawn.
        taken: samples of each source before; all 0 at the beginning.
        count: N.
    """
    whole = np.array(weights, dtype=np.float64)
    after = np.array(taken, dtype=np.int64)
    drawn = np.flatnonzero(whole > 0)
    shares, counts = whole[drawn], after[drawn]
    parts = [np.zeros(0, np.int64)]
    step, left, most = int(counts.sum()), count, _MOST_LANES
    while left:
        lanes = min(left // _LANE_STEPS, most)
        if lanes > 1:
            part, counts = _run_lanes(shares, counts, step, lanes)
            guessed_well = 2 * len(part) >= lanes * _LANE_STEPS
            most = min(2 * most, _MOST_LANES) if guessed_well else max(most // 2, _FEWEST_LANES)
        else:
            chosen, ends = _run(shares, counts[None], np.array([step]), min(left, _LANE_STEPS))
            part, counts = chosen[0], ends[0]
        parts.append(part)
        step, left = step + len(part), left - len(part)
    after[drawn] = counts
    return drawn[np.concatenate(parts)].astype(np.int32), after


class Blend(Protocol):
    """A rule that says which source is next."""

    taken: Counts

    def choose(self) -> int:
        """Return the source of what comes next; nothing is counted."""

    def add(self, source: int, tokens: int) -> None:
        """Count what was taken from the source that `choose` returned."""


class SampleBlend:
    """Megatron-LM's blend, sample by sample."""

    def __init__(self, weights: Sequence[float], taken: Sequence[int] | None = None) -> None:
        """Begin where `taken` samples of each source have been drawn, at the beginning if None."""
        self._weights = list(weights)
        self.taken: Counts = np.array(taken if taken is not None else [0] * len(self._weights), dtype=np.int64)
        self._ahead: list[int] = []
        self._after_ahead = self.taken
        self._count = _FEWEST_AHEAD

    def choose(self) -> int:
        """Return the source of the next sample; nothing is counted."""
        if not self._ahead:
            chosen, self._after_ahead = sample_choices(self._weights, self._after_ahead.tolist(), self._count)
            self._ahead = chosen[::-1].tolist()
            self._count = min(2 * self._count, _MOST_AHEAD)
        return self._ahead[-1]

    def add(self, source: int, tokens: int) -> None:
        """Count a sample, however many tokens it has."""
        del tokens
        if self._ahead.pop() != source:
            raise ValueError(f"the next sample is not from source {source}")
        self.taken[source] += 1


class TokenBlend:
    """The same rule on tokens taken, not on samples: the next piece is from the source that is furthest behind."""

    def __init__(self, weights: Sequence[float], taken: Sequence[int] | None = None) -> None:
        """Begin where `taken` tokens of each source have been drawn, at the beginning if None."""
        self._weights = np.array(weights, dtype=np.float64)
        self.taken: Counts = np.array(taken if taken is not None else [0] * len(self._weights), dtype=np.int64)
        # Where no source is behind by more than rounding, one without a weight could be drawn.
        self._barred = np.where(self._weights > 0, 0.0, -np.inf)
        self._total = int(self.taken.sum())

    def choose(self) -> int:
        """Return the source of the next piece; nothing is counted."""
        behind = self._weights * max(self._total, 1) - self.taken
        return int((behind + self._barred).argmax())

    def add(self, source: int, tokens: int) -> None:
        """Count a piece."""
        self.taken[source] += tokens
        self._total += tokens


def _run_lanes(weights: NDArray[np.float64], taken: Counts, step: int, lanes: int) -> tuple[Counts, Counts]:
    """Return the choices of many steps, at most `lanes * _LANE_STEPS`, and the counts after them.

    The steps are cut into lanes that run side by side, each from guessed counts. Two runs of this rule with different
    counts soon agree, so nearly every guess has come right within a few steps. Every lane is proved: it stands if it
    began with the counts that the lane before it ended with; if not, it is run again from them. With each pass the
    first lane that does not stand is a later one. Where that would take long, only what stands is returned.
    """
    steps = step + _LANE_STEPS * np.arange(lanes)
    starts = np.empty((lanes, len(weights)), np.int64)
    starts[0] = taken
    early = steps[1:] - _WARM_UP
    starts[1:] = _run(weights, _guess(weights, taken, step, early), early, _WARM_UP)[1]
    chosen, ends = _run(weights, starts, steps, _LANE_STEPS)
    for _ in range(_MOST_PASSES):
        wrong = _changed(starts, ends)
        if not len(wrong):
            return chosen.ravel(), ends[-1]
        starts[wrong] = ends[wrong - 1]
        chosen[wrong], ends[wrong] = _run(weights, starts[wrong], steps[wrong], _LANE_STEPS)
    standing = int(np.append(_changed(starts, ends), lanes)[0])
    return chosen[:standing].ravel(), ends[standing - 1]


def _changed(starts: Counts, ends: Counts) -> Counts:
    """Return the lanes that did not begin where the one before them ended."""
    return 1 + np.flatnonzero((starts[1:] != ends[:-1]).any(axis=1))


def _run(weights: NDArray[np.float64], taken: Counts, steps: Counts, count: int) -> tuple[Counts, Counts]:
    """Return `count` choices of each lane, shape (L, N), and the counts after them, shape (L, S).

    Args:
        weights: of the sources, shape (S,).
        taken: counts that each lane begins with, shape (L, S).
        steps: number of each lane's first step, shape (L,).
        count: steps of a lane.
    """
    # Products and differences are rounded one by one, as in the C++ compiled for x86-64, to be equal to the last bit.
    counts = np.array(taken, dtype=np.float64, order="C")
    cells, begin = counts.reshape(-1), np.arange(len(steps)) * len(weights)
    chosen = np.empty((count, len(steps)), np.int64)
    behind = np.empty_like(counts)
    place = steps[:, None].astype(np.float64)
    for number in range(count):
        np.multiply(np.maximum(place, 1.0), weights, out=behind)
        np.subtract(behind, counts, out=behind)
        behind.argmax(axis=1, out=chosen[number])
        cells[begin + chosen[number]] += 1
        place += 1
    return chosen.T, counts.astype(np.int64)


def _guess(weights: NDArray[np.float64], taken: Counts, step: int, steps: Counts) -> Counts:
    """Return counts near those before each of `steps`, shape (L, S), given those before `step`.

    Sources with small weights stay where they are; the others get their shares of the rest, by largest remainders.
    """
    slow = weights * (steps[-1] - step) < _SLOW
    if slow.all():
        slow[:] = False
    counts = np.empty((len(steps), len(weights)), np.int64)
    counts[:, slow] = taken[slow]
    rest = steps - taken[slow].sum()
    due = steps[:, None] * weights[~slow]
    due -= (due.sum(axis=1) - rest)[:, None] / due.shape[1]
    whole = np.floor(due).astype(np.int64)
    missing = rest - whole.sum(axis=1)
    rank = (whole - due).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    counts[:, ~slow] = whole + (rank < missing[:, None])
    return counts
