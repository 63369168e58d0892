"""Responses that are linear in what they fit: shares, and products of shares.

Shape legend: n = trials, d = numbers of a mixture's vector, t = terms of the polynomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pretrain.sweep.analysis.features import Array, Features
from pretrain.sweep.analysis.predictors import Predictor, fit_by_content, free_numbers

# Ridges that are tried, as a part of n: from next to none to almost only the mean.
_RIDGES = np.logspace(-8, 2, 21)
# A column whose values differ by less than this part of its largest one is constant.
_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Linear:
    """Least squares on the numbers of a mixture, as RegMix's linear response (arXiv 2407.01492, section 3.2).

    Shares sum to their total, so ordinary least squares have no single solution: see `fit_ridge`.
    """

    features: Features
    name: str = "linear"

    def min_trials(self, width: int) -> int:
        """Return one trial more than there are parameters."""
        return free_numbers(width, len(self.features.blocks)) + 2

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        """Fit it; nothing is drawn. See `Response.fit`."""
        return fit_by_content(rows, losses, fit_ridge)


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A canonical mixture polynomial of degree two (H. Scheffé 1958), of the logarithm of the loss.

    Its terms are all shares and the products of two shares of a block; all other numbers of a mixture with their
    squares; and, where there are at least as many trials as terms then, the products between blocks and other numbers.
    The ridge keeps it near a plane where there are fewer trials than terms.
    """

    features: Features
    name: str = "quadratic"

    def min_trials(self, width: int) -> int:
        """Return two trials more than a plane has parameters; the ridge makes up for the rest."""
        return free_numbers(width, len(self.features.blocks)) + 3

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        """Fit it; nothing is drawn. See `Response.fit`."""
        return fit_by_content(rows, losses, self._fit)

    def _fit(self, rows: Array, losses: Array) -> Predictor:
        terms = _Terms.of(self.features, rows)
        return _Polynomial(terms, fit_ridge(terms.values(rows), np.log(losses)))


class RidgeFit(NamedTuple):
    """A plane: mean + ((terms - centre) / scale) @ slopes."""

    mean: float
    centre: Array
    scale: Array
    slopes: Array

    def predict(self, rows: Array) -> Array:
        """Return its height, m x t -> m."""
        return np.asarray(self.mean + ((rows - self.centre) / self.scale) @ self.slopes)


def fit_ridge(terms: Array, losses: Array) -> RidgeFit:
    """Fit a plane by ridge regression (A. Hoerl and R. Kennard 1970) on terms of mean 0 and standard deviation 1.

    The ridge is the one, of 21 from 1e-8 to 100 times n, whose errors on trials that are left out in turn are smallest
    (PRESS, D. Allen 1974), which follow from one fit; of equal ones the largest.

    Args:
        terms: n x t; they may be collinear.
        losses: n.
    """
    count = len(losses)
    centre, scale = terms.mean(axis=0), terms.std(axis=0)
    scale = np.where(scale <= _CONSTANT * np.abs(terms).max(axis=0), np.inf, scale)
    mean = float(losses.mean())
    left, sizes, right = np.linalg.svd((terms - centre) / scale, full_matrices=False)
    # Directions in which nothing varies hold rounding only.
    sizes = np.where(sizes > _CONSTANT * count * max(sizes.max(), 1.0), sizes, 0.0)
    seen = left.T @ (losses - mean)
    best, slopes = np.inf, np.zeros(terms.shape[1])
    for ridge in _RIDGES[::-1] * count:
        kept = sizes**2 / (sizes**2 + ridge)
        leverage = np.minimum((left**2) @ kept + 1 / count, 1 - 1e-9)
        error = float(np.sum(((losses - mean - left @ (kept * seen)) / (1 - leverage)) ** 2))
        if error < best * (1 - 1e-9):
            best, slopes = error, right.T @ (sizes / (sizes**2 + ridge) * seen)
    return RidgeFit(mean, centre, scale, slopes)


class _Polynomial(NamedTuple):
    terms: _Terms
    plane: RidgeFit

    def predict(self, rows: Array) -> Array:
        return np.exp(self.plane.predict(self.terms.values(rows)))


class _Terms(NamedTuple):
    """Terms of a polynomial; numbers that are no shares have mean 0 and standard deviation 1 in it.

    Attributes:
        centre, scale: d, of the numbers.
        pairs: columns whose products are terms.
    """

    centre: Array
    scale: Array
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, features: Features, rows: Array) -> _Terms:
        blocks = features.share_columns
        shares = {column for block in blocks for column in block}
        width = rows.shape[1]
        others = [column for column in range(width) if column not in shares]
        # What is 0 or 1 is its own square.
        numbers = others[: len(others) - len(features.variants)]
        within = [pair for block in blocks for pair in combinations(block, 2)] + [(own, own) for own in numbers]
        between = [pair for pair in combinations(range(width), 2) if not any(set(pair) <= set(own) for own in blocks)]
        pairs = within + between if 1 + width + len(within) + len(between) <= len(rows) else within
        centre, scale = np.zeros(width), np.ones(width)
        centre[others] = rows[:, others].mean(axis=0)
        scale[others] = [spread if spread > 0 else 1.0 for spread in rows[:, others].std(axis=0).tolist()]
        return cls(centre, scale, tuple(pairs))

    def values(self, rows: Array) -> Array:
        """Return the terms, m x d -> m x t."""
        own = (rows - self.centre) / self.scale
        return np.column_stack([own, *[own[:, one] * own[:, other] for one, other in self.pairs]])
