"""A smooth response: it follows trials as far as their noise allows; far from all of them it returns to their mean.

Shape legend: n = trials, d = numbers of a mixture's vector.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from pretrain.sweep.analysis.features import Array, Features
from pretrain.sweep.analysis.predictors import Predictor, fit_by_content, free_numbers, one_thread

# Lengths over which a loss changes, in standard deviations of the trials: shorter is noise, longer is a plane.
_LENGTH, _LENGTHS = 2.0, (0.3, 10.0)
# Variances of the response and of the noise, in those of the losses.
_HEIGHT, _HEIGHTS = 1.0, (1e-2, 1e3)
_NOISE, _NOISES = 1e-3, (1e-7, 1.0)


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A Gaussian process of the logarithm of the loss (C. Rasmussen and C. Williams 2006, sections 2.2 and 5.4).

    Its covariance is squared exponential with a length for each number, and noise; these are where the likelihood of
    the losses is highest. Shares stand in it as their square roots: a loss changes fast where what it needs has a small
    share, so there a little more counts as much as a lot more does where the share is large.
    """

    features: Features
    name: str = "gaussian_process"

    def min_trials(self, width: int) -> int:
        """Return three trials more than numbers are free."""
        return free_numbers(width, len(self.features.blocks)) + 3

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        """Fit it; nothing is drawn. See `Response.fit`."""
        return fit_by_content(rows, losses, self._fit)

    def _fit(self, rows: Array, losses: Array) -> Predictor:
        scaling = _Scaling.of(self.features, rows)
        kernel = ConstantKernel(_HEIGHT, _HEIGHTS) * RBF(np.full(rows.shape[1], _LENGTH), _LENGTHS)
        process = GaussianProcessRegressor(kernel + WhiteKernel(_NOISE, _NOISES), normalize_y=True)
        with warnings.catch_warnings():
            # A length at its bound is a number that a loss does not depend on, and no reason for concern. A search that
            # stops early has a likelihood that is lower than it could be: cross-validation sees what that is worth.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(scaling.values(rows), np.log(losses))
        return _Surface(scaling, process)


class _Scaling(NamedTuple):
    """Numbers as the covariance sees them.

    Attributes:
        shares: columns of shares.
        centre, scale: d, of square roots of shares and of other numbers.
    """

    shares: tuple[int, ...]
    centre: Array
    scale: Array

    @classmethod
    def of(cls, features: Features, rows: Array) -> _Scaling:
        shares = tuple(column for block in features.share_columns for column in block)
        values = _rooted(rows, shares)
        scale = values.std(axis=0)
        for block in features.share_columns:
            # One scale for a block, so that a share that hardly varies is not blown up.
            scale[list(block)] = scale[list(block)].mean()
        return cls(shares, values.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def values(self, rows: Array) -> Array:
        return np.asarray((_rooted(rows, self.shares) - self.centre) / self.scale)


class _Surface(NamedTuple):
    scaling: _Scaling
    process: GaussianProcessRegressor

    def predict(self, rows: Array) -> Array:
        with one_thread():
            logarithms: Array = self.process.predict(self.scaling.values(rows))
        return np.asarray(np.exp(logarithms))


def _rooted(rows: Array, shares: tuple[int, ...]) -> Array:
    values = rows.copy()
    values[:, shares] = np.sqrt(np.maximum(values[:, shares], 0))
    return values
