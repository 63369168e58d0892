"""The exponential mixing law: L = c + exp(a + t·x) (J. Ye et al., Data Mixing Laws, arXiv 2403.16952, section 3).

c is the loss that no mixture goes below, exp(a) their factor k. What is no share, such as the logarithm of a learning
rate, stands in the exponent like a share.

Shape legend: n = trials, d = numbers of a mixture's vector, r = directions in which the trials differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from pretrain.sweep.analysis.features import Array, Features
from pretrain.sweep.analysis.predictors import Predictor, fit_by_content, free_numbers

# Where c starts: below the smallest loss by so many standard deviations of the losses.
_GAPS = (0.05, 0.3, 1.0, 3.0, 10.0)
# So many of these starts are followed: those that fit best as they are.
_FOLLOWED = 2
_MOST_STEPS = 60
# A residual counts in full up to this part of the standard deviation of the losses, and less than squared beyond.
_ROBUST = 0.1
# Keeps the exponents small where trials do not say what they are, as when a bootstrap sample has too few.
_RIDGE = 1e-3
_HIGHEST_EXPONENT = 50.0
_FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class Exponential:
    """The exponential mixing law, fitted to each loss by robust least squares."""

    features: Features
    name: str = "exponential"

    def min_trials(self, width: int) -> int:
        """Return one trial more than there are parameters."""
        return free_numbers(width, len(self.features.blocks)) + 3

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        """Fit it; nothing is drawn. See `Response.fit`."""
        return fit_by_content(rows, losses, fit_law)


class Law(NamedTuple):
    """A fitted law: floor + exp(height + (x - centre) @ slopes).

    Attributes:
        floor: c.
        height: the exponent at `centre`.
        centre: d.
        slopes: d, t up to a constant for each block: shares sum to a total, so such a constant only moves a. These
            have no part in the directions in which the trials do not differ.
    """

    floor: float
    height: float
    centre: Array
    slopes: Array

    def predict(self, rows: Array) -> Array:
        """Return the losses, m x d -> m."""
        exponents = np.clip(self.height + (rows - self.centre) @ self.slopes, -_HIGHEST_EXPONENT, _HIGHEST_EXPONENT)
        return np.asarray(self.floor + np.exp(exponents))


def fit_law(rows: Array, losses: Array) -> Law:
    """Fit the law with 0 <= c < the smallest loss.

    For a given c the logarithm of what is above it is a plane, which gives the starts; a trust region method goes on
    from there with a loss that is linear in large residuals, as Ye et al. fit with Huber's.

    Args:
        rows: n x d, of which not all are alike.
        losses: n, above 0, of which not all are alike.
    """
    centre, basis = _directions(rows)
    design = np.column_stack([np.ones(len(rows)), (rows - centre) @ basis])
    lowest, spread = float(losses.min()), float(losses.std())
    starts = [_start(design, losses, max(lowest - gap * spread, 0.0)) for gap in _GAPS]
    problem = _Problem(design, losses, _RIDGE * spread)
    starts.sort(key=lambda start: float(np.sum(problem.residuals(start) ** 2)))
    bounds = (np.array([0.0, *[-np.inf] * design.shape[1]]), np.array([lowest, *[np.inf] * design.shape[1]]))
    found = [
        least_squares(
            problem.residuals,
            start,
            problem.jacobian,
            bounds=bounds,
            # c is a loss, the others are exponents.
            x_scale=np.array([spread, *[1.0] * design.shape[1]]),
            loss="soft_l1",
            f_scale=_ROBUST * spread,
            max_nfev=_MOST_STEPS,
        )
        for start in starts[:_FOLLOWED]
    ]
    floor, height, *slopes = min(found, key=lambda own: float(own.cost)).x.tolist()
    return Law(floor, height, centre, basis @ np.array(slopes))


class _Problem(NamedTuple):
    """Residuals of the parameters c, exponent at the centre, slopes; the last ones are the ridge's."""

    design: Array
    losses: Array
    ridge: float

    def residuals(self, law: Array) -> Array:
        return np.concatenate([law[0] + self._rise(law) - self.losses, self.ridge * law[2:]])

    def jacobian(self, law: Array) -> Array:
        count, width = len(self.losses), len(law)
        found = np.zeros((count + width - 2, width))
        found[:count, 0] = 1
        found[:count, 1:] = self.design * self._rise(law)[:, None]
        found[count:, 2:] = self.ridge * np.eye(width - 2)
        return found

    def _rise(self, law: Array) -> Array:
        return np.exp(np.clip(self.design @ law[1:], -_HIGHEST_EXPONENT, _HIGHEST_EXPONENT))


def _directions(rows: Array) -> tuple[Array, Array]:
    """Return the mean, d, and d x r directions in which the rows have a standard deviation of 1 and no correlation."""
    centre = rows.mean(axis=0)
    _, sizes, across = np.linalg.svd(rows - centre, full_matrices=False)
    there = sizes > _FLAT * sizes.max()
    return centre, across[there].T / sizes[there] * np.sqrt(len(rows))


def _start(design: Array, losses: Array, floor: float) -> Array:
    """Return the law with this floor that is nearest in logarithms."""
    rise = np.maximum(losses - floor, _FLAT * losses)
    return np.array([floor, *np.linalg.lstsq(design, np.log(rise), rcond=1e-6)[0]])
