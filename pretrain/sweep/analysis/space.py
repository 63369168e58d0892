"""The mixtures that may be recommended: shares within bounds, and what else was tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pretrain.sweep.analysis.features import Array, Features, ShareBlock
from pretrain.sweep.analysis.space_limits import Limit, block_limits, block_total, other_levels, refuse_fixed_outside
from pretrain.sweep.sweep_config import Range
from pretrain.sweep.trial import Point

# Recommended shares are whole multiples of this, where their bounds and their sum are.
UNIT = Fraction(1, 1000)
_HALVINGS = 60


@dataclass(frozen=True)
class Space:
    """Mixtures that may be recommended.

    Attributes:
        features: of the sweep.
        base: point of the base mixture, which says what is fixed.
        limits: of each category of each block of shares.
        others: combinations of tried levels of all that is no share, as points without shares.
    """

    features: Features
    base: Point
    limits: tuple[tuple[Limit, ...], ...]
    others: tuple[Point, ...]

    @classmethod
    def of(cls, features: Features, base: Point, tried: Sequence[Point], bounds: Mapping[str, Range]) -> Space:
        """Return the space of a sweep.

        A share may be what no trial had only within bounds that the user gave it; where there is none, the least and
        the most that was tried bound it. Of the other axes there are the levels of trials that finished.

        Args:
            features: of the sweep.
            base: point of the base mixture, with all that varies.
            tried: points of finished trials, one at least.
            bounds: of the user, by category.

        Raises:
            UserError: no mixture is within the bounds.
        """
        refuse_fixed_outside(features, base, bounds)
        limits = tuple(block_limits(block, base, tried, bounds) for block in features.blocks)
        return cls(features, base, limits, other_levels(features, base, tried))

    @property
    def totals(self) -> tuple[Fraction, ...]:
        """What the shares of each block sum to."""
        return tuple(block_total(block, self.base) for block in self.features.blocks)

    def point(self, row: Array) -> Point:
        """Return a vector's point, with shares in whole `UNIT`s as far as bounds and sums are, which it keeps exactly.

        The vector's other numbers have to be those of a combination in `others`.
        """
        shares = {stage: dict(own) for stage, own in self.base.shares.items()}
        for block, columns, limits, total in self._blocks():
            values = _exact_shares(row[columns].tolist(), limits, total)
            for stage in block.stages:
                shares[stage] |= dict(zip(block.categories, values, strict=True))
        tail = row[self._share_count :]
        other = min(self.others, key=lambda own: float(np.abs(self._tail(own) - tail).sum()))
        return other.model_copy(update={"shares": shares})

    def row(self, point: Point) -> Array:
        """Return a point's vector."""
        return np.array(self.features.vector(point))

    def contains(self, point: Point) -> bool:
        """Return whether a point's shares are within the bounds and the rest of it was tried."""
        inside = all(
            limit.low <= point.shares[block.stages[0]][name] <= limit.high
            for block, _, limits, _ in self._blocks()
            for name, limit in zip(block.categories, limits, strict=True)
        )
        return inside and point.model_copy(update={"shares": {}, "seed": self.base.seed}) in self.others

    def draw(self, count: int, random: np.random.Generator) -> Array:
        """Return mixtures drawn from all of the space, count x d; without shares that vary, all of its few.

        Shares are evenly distributed over the simplex above the lower bounds; those above an upper bound move to the
        nearest mixture within.
        """
        tails = np.array([self._tail(own) for own in self.others])
        if not self.limits:
            return tails
        rows = np.empty((count, len(self.features.names)))
        rows[:, self._share_count :] = tails[np.arange(count) % len(tails)]
        for _, columns, limits, total in self._blocks():
            low = np.array([float(limit.low) for limit in limits])
            free = float(total) - low.sum()
            rows[:, columns] = low + free * random.dirichlet(np.ones(len(limits)), size=count)
        return self.inside(rows)

    def inside(self, rows: Array) -> Array:
        """Return the nearest mixtures within the bounds, n x d, by Euclidean distance of the shares of each block."""
        rows = rows.copy()
        for _, columns, limits, total in self._blocks():
            low, high = (np.array([float(own[side]) for own in limits]) for side in (0, 1))
            rows[:, columns] = _nearest(rows[:, columns], low, high, float(total))
        return rows

    def triangle(self, block: int, row: Array, steps: int) -> Array:
        """Return the mixtures with other shares in a block of three categories that lie on a lattice within the bounds.

        Args:
            block: its number.
            row: what all else is like.
            steps: along each side of the triangle above the lower bounds.
        """
        columns, limits = self.features.share_columns[block], self.limits[block]
        low, high = (np.array([float(own[side]) for own in limits]) for side in (0, 1))
        parts = np.array(
            [(one, two, steps - one - two) for one in range(steps + 1) for two in range(steps + 1 - one)],
            dtype=np.float64,
        )
        shares = low + (float(self.totals[block]) - low.sum()) * parts / steps
        shares = shares[(shares <= high + 1e-9).all(axis=1)]
        rows = np.tile(row, (len(shares), 1))
        rows[:, columns] = shares
        return rows

    def along(self, start: Array, end: Array, part: float, tail: Array) -> Array:
        """Return the mixture of a part of the way between two, within the bounds; what is no share is as in `tail`."""
        row = start + part * (end - start)
        row[self._share_count :] = tail[self._share_count :]
        return np.asarray(self.inside(row[None])[0])

    def exchanges(self, row: Array, step: float) -> Array:
        """Return all mixtures that differ by one exchange of so much between two shares of a block, or of what is left.

        The combinations of the other axes with the same shares are among them.
        """
        found = []
        for _, columns, limits, _ in self._blocks():
            for (source, own), (target, other) in itertools.permutations(zip(columns, limits, strict=True), 2):
                amount = min(step, row[source] - float(own.low), float(other.high) - row[target])
                if amount > float(UNIT) / 1000:
                    moved = row.copy()
                    moved[source] -= amount
                    moved[target] += amount
                    found.append(moved)
        for tail in map(self._tail, self.others):
            if not np.array_equal(tail, row[self._share_count :]):
                found.append(np.concatenate([row[: self._share_count], tail]))
        return np.array(found).reshape(-1, len(row))

    @property
    def _share_count(self) -> int:
        return sum(len(block.categories) for block in self.features.blocks)

    def _tail(self, other: Point) -> Array:
        """Return what stands behind the shares in the vector of a combination."""
        return self.row(other.model_copy(update={"shares": self.base.shares}))[self._share_count :]

    def _blocks(self) -> Iterable[tuple[ShareBlock, range, tuple[Limit, ...], Fraction]]:
        return zip(self.features.blocks, self.features.share_columns, self.limits, self.totals, strict=True)


def _exact_shares(values: Sequence[float], limits: Sequence[Limit], total: Fraction) -> list[Fraction]:
    """Return the shares in whole units within their bounds, with their exact sum (largest remainders first)."""
    pairs = zip(values, limits, strict=True)
    shares = [min(max(round(Fraction(value) / UNIT) * UNIT, own.low), own.high) for value, own in pairs]
    rest = total - sum(shares)
    sign = 1 if rest > 0 else -1
    order = sorted(range(len(shares)), key=lambda place: (-sign * (Fraction(values[place]) - shares[place]), place))
    # One unit each first; what is left then is less than a unit, or more only where bounds were in the way.
    for largest in (UNIT, None):
        for place in order:
            limit = limits[place]
            room = limit.high - shares[place] if sign > 0 else shares[place] - limit.low
            amount = min(abs(rest), room)
            if largest is not None:
                amount = largest if amount >= largest else Fraction(0)
            shares[place] += sign * amount
            rest -= sign * amount
    return shares


def _nearest(rows: Array, low: Array, high: Array, total: float) -> Array:
    """Return the nearest points of a simplex within bounds: all shares less one number, cut at the bounds."""
    least = (rows - high).min(axis=1, keepdims=True)
    most = (rows - low).max(axis=1, keepdims=True)
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        above = np.clip(rows - middle, low, high).sum(axis=1, keepdims=True) > total
        least, most = np.where(above, middle, least), np.where(above, most, middle)
    return np.asarray(np.clip(rows - (least + most) / 2, low, high))
