"""Which trials end early: those whose held-out loss is far above the base mixture's after as many tokens.

The verdict depends on the evaluations alone, in their order, and not on when they were seen: a trial that was faster
than its watcher is judged by the same rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pretrain.sweep.launch.trial_rows import Measured


class Curve(NamedTuple):
    """Mean bits per byte by the tokens of training, which rise."""

    tokens: tuple[int, ...]
    bits: tuple[float, ...]

    def at(self, tokens: int) -> float | None:
        """Return the value after so many tokens, on the line between two evaluations.

        Before the first one there is none; after the last one it stays as it is.
        """
        after = bisect_right(self.tokens, tokens)
        if not after:
            return None
        if after == len(self.tokens):
            return self.bits[-1]
        left, right = self.tokens[after - 1], self.tokens[after]
        part = (tokens - left) / (right - left)
        return self.bits[after - 1] + part * (self.bits[after] - self.bits[after - 1])


class StoppingRule(NamedTuple):
    """When a trial ends early.

    Attributes:
        above_base: how far its mean may be above the base trial's, as a part of that.
        begin: tokens before which it does not end.
        end: tokens of the whole trial: the last evaluation comes too late to stop it.
        weights: of the languages of the mean.
        base: the base trial's mean.
    """

    above_base: float
    begin: float
    end: int
    weights: Mapping[str, float]
    base: Curve

    def stops_at(self, rows: Sequence[Measured]) -> int | None:
        """Return the place of the first evaluation that ends the trial; None if none does."""
        return next((place for place, row in enumerate(rows) if self._is_far_above(row)), None)

    def words(self, row: Measured) -> str:
        """Return why an evaluation ends the trial."""
        mean, base = mean_bits(row, self.weights), self.base.at(row.tokens)
        assert mean is not None
        assert base is not None
        return (
            f"{mean:.4f} bits per byte after {row.tokens:,} tokens, {mean / base - 1:.1%} above the base mixture's "
            f"{base:.4f}; early_stopping.above_base is {self.above_base:.1%}"
        )

    def _is_far_above(self, row: Measured) -> bool:
        if not self.begin <= row.tokens < self.end:
            return False
        mean, base = mean_bits(row, self.weights), self.base.at(row.tokens)
        return mean is not None and base is not None and mean > (1 + self.above_base) * base


def mean_bits(row: Measured, weights: Mapping[str, float]) -> float | None:
    """Return the weighted mean of the bits per byte; None where a language has none."""
    if not weights or any(name not in row.bits for name in weights):
        return None
    total = sum(weights.values())
    return sum(weight / total * row.bits[name] for name, weight in weights.items())


def mean_curve(rows: Sequence[Measured], weights: Mapping[str, float]) -> Curve:
    """Return the means of a trial's evaluations; those where a language has no finite loss are left out."""
    means = {row.tokens: mean for row in rows if (mean := mean_bits(row, weights)) is not None}
    return Curve(tuple(sorted(means)), tuple(means[tokens] for tokens in sorted(means)))
