"""The best mixture of a space, as fitted responses predict it.

Shape legend: m = mixtures that are looked at, d = numbers of a mixture's vector, L = languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pretrain.sweep.analysis.features import Array
from pretrain.sweep.analysis.observations import Observations
from pretrain.sweep.analysis.predictors import Predictor, Response
from pretrain.sweep.analysis.space import UNIT, Space

# How far shares move around the best mixture so far: once all such moves are worse, the next step is taken.
_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)
# The last ones are whole units, so that the exact shares are what was looked at.
_LAST_STEPS = (2 * float(UNIT), float(UNIT))
_MOVES = 64
# Of changes of losses: what is less is no excess over a bound.
_ROUNDING = 1e-9
_MOST_MOVES_A_STEP = 30


class Score(NamedTuple):
    """How good mixtures are: first they have to keep the bound on forgetting, then the objective counts.

    Attributes:
        excess: of forgetting above its bound, m; 0 where it is kept, or there is none.
        objective: m.
    """

    excess: Array
    objective: Array


@dataclass(frozen=True)
class Surface:
    """Responses fitted for all languages, and what is made of their predictions.

    Attributes:
        observations: what changes are against, and the weights.
        predictors: by language.
        limit: of forgetting; None is no bound.
    """

    observations: Observations
    predictors: tuple[Predictor, ...]
    limit: float | None

    @classmethod
    def fit(
        cls,
        observations: Observations,
        response: Response,
        limit: float | None,
        seed: int,
        rows: Sequence[int] | None = None,
    ) -> Surface:
        """Fit a response for each language, on all trials or on some rows of them."""
        own = observations if rows is None else observations.take(rows)
        predictors = tuple(response.fit(own.matrix, losses, seed) for losses in own.losses.T)
        return cls(observations, predictors, limit)

    def losses(self, rows: Array) -> Array:
        """Return the predicted bits per byte, m x L."""
        return np.column_stack([predictor.predict(rows) for predictor in self.predictors])

    def score(self, rows: Array) -> Score:
        """Return how good mixtures are predicted to be; only languages that count are looked at."""
        seen = self.observations
        counts = set(seen.weights) | (set(seen.forgetting_languages) if self.limit is not None else set())
        losses = np.empty((len(rows), len(self.predictors)))
        for column, (language, predictor) in enumerate(zip(seen.languages, self.predictors, strict=True)):
            losses[:, column] = predictor.predict(rows) if language in counts else seen.reference[column]
        excess = np.zeros(len(rows))
        if self.limit is not None and (forgetting := seen.forgetting_value(losses)) is not None:
            excess = np.maximum(forgetting - self.limit - _ROUNDING, 0)
        return Score(excess, seen.objective_value(losses))


def best_of(surface: Surface, rows: Array, home: Array) -> Array:
    """Return the best of some mixtures; of equally good ones the nearest to `home`, then the first by its numbers."""
    score = surface.score(rows)
    distance = np.abs(rows - home).sum(axis=1)
    order = np.lexsort((*rows.T[::-1], distance, score.objective, score.excess))
    return np.asarray(rows[order[0]])


def refine(surface: Surface, space: Space, start: Array, seed: int) -> Array:
    """Return a mixture near `start` that no small move makes better, with shares that are exact in `space.point`.

    Compass search (T. Kolda, R. Lewis, V. Torczon, SIAM Review 45(3), 2003, section 1): moves of one step, which
    shrinks when none is better. The moves are all exchanges between two shares, and some in directions of a seeded
    draw, for where the bound on forgetting lies across all exchanges. It needs no gradients, which trees have none of.
    """
    random = np.random.default_rng(seed)
    best = start
    for step in _STEPS:
        directions = _directions(space, random)
        for _ in range(_MOST_MOVES_A_STEP):
            moves = np.concatenate([space.exchanges(best, step), space.inside(best + step * directions)])
            if (found := _better(surface, moves, best)) is None:
                break
            best = found
    best = space.row(space.point(best))
    for step in _LAST_STEPS:
        for _ in range(_MOST_MOVES_A_STEP):
            if (found := _better(surface, space.exchanges(best, step), best)) is None:
                break
            best = found
    return space.row(space.point(best))


def _directions(space: Space, random: np.random.Generator) -> Array:
    """Return changes of all shares, in each block of a length of 1; nothing else changes."""
    directions = np.zeros((_MOVES, len(space.features.names)))
    for columns in space.features.share_columns:
        drawn = random.standard_normal((_MOVES, len(columns)))
        drawn -= drawn.mean(axis=1, keepdims=True)
        directions[:, columns] = drawn / np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-9)
    return directions if space.limits else directions[:0]


def _better(surface: Surface, moves: Array, best: Array) -> Array | None:
    """Return the best of some moves if it is better than where they start from."""
    if not len(moves):
        return None
    score = surface.score(np.concatenate([best[None], moves]))
    order = np.lexsort((np.arange(len(moves) + 1), score.objective, score.excess))
    return None if order[0] == 0 else np.asarray(moves[order[0] - 1])
