"""What a response is: fitted on mixtures and one loss of each, it predicts that loss of other mixtures.

Shape legend: n = trials that it is fitted on, m = mixtures that are predicted, d = numbers of a mixture's vector.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from pretrain.sweep.analysis.features import Array

# Losses that differ by less, as a part of them, are the same: rounding of the sums that they are made of.
_SAME = 1e-9


class Predictor(Protocol):
    """A fitted response."""

    def predict(self, rows: Array) -> Array:
        """Return the predicted losses of mixtures, m x d -> m."""
        ...


class Response(Protocol):
    """A family of functions from mixtures to a loss."""

    @property
    def name(self) -> str:
        """What `analysis.json` calls it."""
        ...

    def min_trials(self, width: int) -> int:
        """Return how many different mixtures of `width` numbers it takes at least."""
        ...

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        """Fit it; the order of the trials does not matter, not even to the last digit.

        Args:
            rows: n x d, the mixtures; one may be there several times.
            losses: n, above 0.
            seed: of what is drawn, where anything is.
        """
        ...


class Constant(NamedTuple):
    """Predicts the same of all mixtures."""

    value: float

    def predict(self, rows: Array) -> Array:
        """Return it for each mixture."""
        return np.full(len(rows), self.value)


def fit_by_content(rows: Array, losses: Array, fit: Callable[[Array, Array], Predictor]) -> Predictor:
    """Fit in an order that the content of the trials gives, on one thread, so that all digits are the same.

    Where all losses are alike, or all mixtures, their mean is all that can be said.

    Args:
        rows: n x d.
        losses: n.
        fit: what is fitted on them.
    """
    order = np.lexsort((losses, *rows.T[::-1]))
    rows, losses = rows[order], losses[order]
    if np.ptp(losses) <= _SAME * np.max(np.abs(losses)) or not np.ptp(rows, axis=0).any():
        return Constant(float(np.mean(losses)))
    with one_thread():
        return fit(rows, losses)


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which linear algebra has one thread: matrices are small here, and threads only wait."""
    limited: AbstractContextManager[object] = _libraries().limit(limits=1)
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def free_numbers(width: int, blocks: int) -> int:
    """Return how many numbers of a mixture are free: the shares of each block sum to its total."""
    return width - blocks
