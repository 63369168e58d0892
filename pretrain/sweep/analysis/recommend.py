"""The mixture that a response finds best under the user's constraints, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pretrain.sweep.analysis.analysis_schema import Interval, Predicted, Recommendation
from pretrain.sweep.analysis.features import Array
from pretrain.sweep.analysis.observations import Observations
from pretrain.sweep.analysis.predictors import Response
from pretrain.sweep.analysis.search import Surface, best_of, refine
from pretrain.sweep.analysis.space import Space
from pretrain.sweep.analysis.space_words import beyond_in_words, bounds_in_words
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Point

# Says why a mixture cannot be read under the caps on epochs; None if it can.
Resolves = Callable[[Point], str | None]
# Of a bootstrap sample of the trials this part of the candidates is looked at: its best one is near the first optimum.
_FEWER = 10
_CAP_CALLS = 12
# Steps along each side of a triangle that is drawn.
_TRIANGLE = 20
_QUANTILES = (0.05, 0.95)


def recommend(
    observations: Observations, response: Response, space: Space, config: SweepConfig, seed: int, resolves: Resolves
) -> Recommendation | str:
    """Return the best mixture that the response predicts, or why there is none.

    Its uncertainty is that of the trials: they are drawn again with replacement (B. Efron 1979), all seeds of a mixture
    together, the response is fitted to them and the search made again. Intervals of shares are those of these optima;
    intervals of losses and of the objective are what the responses predict of the one mixture that is recommended.

    Args:
        observations: finished trials.
        response: that is fitted.
        space: of mixtures.
        config: of the sweep.
        seed: of the candidates and of the bootstrap.
        resolves: says why a mixture cannot be read under the caps on epochs.
    """
    limit = config.constraints.max_forgetting
    surface = Surface.fit(observations, response, limit, seed)
    home = space.row(space.base)
    best = _optimum(surface, space, _candidates(space, observations, config.analysis.candidates, seed), home, seed)
    if surface.score(best[None]).excess[0] > 0:
        return _too_forgetful(surface, best)
    optimum = space.point(best)
    moved = _within_caps(space, home, best, resolves)
    if isinstance(moved, str):
        return f"no recommendation: not even the base mixture can be read under the caps on epochs: {moved}"
    point = moved.point
    row = space.row(point)
    words = [*_held_by_forgetting(surface, space, best, seed), *moved.words]
    if (excess := float(surface.score(row[None]).excess[0])) > 0 and limit is not None:
        words.append(f"there forgetting is predicted to be {limit + excess:.2%}, above its bound of {limit:.2%}")
    samples = _bootstrap(surface, response, space, config, best, seed)
    shown = home + moved.part * (np.array([own.optimum for own in samples]) - home)
    objectives = np.array([own.surface.score(np.stack([row, home])).objective for own in samples])
    losses = np.array([own.surface.losses(row[None])[0] for own in samples])
    ours, base = surface.score(np.stack([row, home])).objective.tolist()
    return Recommendation(
        response=response.name,
        point=point,
        optimum=None if point == optimum else optimum,
        shares=_share_intervals(space, row, shown),
        samples=_share_samples(space, shown),
        around=_around(surface, space, row),
        objective=_interval(ours, objectives[:, 0]),
        base_objective=base,
        losses={
            language: _interval(value, losses[:, column])
            for column, (language, value) in enumerate(
                zip(observations.languages, surface.losses(row[None])[0].tolist(), strict=True)
            )
        },
        better_than_base=float(np.mean(objectives[:, 0] < objectives[:, 1])),
        bounds=(*bounds_in_words(space, point), *words),
        beyond=beyond_in_words(space, point, observations.points),
    )


class _Sample(NamedTuple):
    """A bootstrap sample of the trials: what was fitted to it, and the best mixture by that."""

    surface: Surface
    optimum: Array


def _candidates(space: Space, observations: Observations, count: int, seed: int) -> Array:
    """Return mixtures of the space, and those of its trials."""
    tried = [space.row(point) for point in observations.points if space.contains(point)]
    drawn = space.draw(count, np.random.default_rng(seed))
    return np.concatenate([drawn, np.array(tried).reshape(-1, drawn.shape[1])])


def _optimum(surface: Surface, space: Space, rows: Array, home: Array, seed: int) -> Array:
    return refine(surface, space, best_of(surface, rows, home), seed)


def _bootstrap(
    surface: Surface, response: Response, space: Space, config: SweepConfig, best: Array, seed: int
) -> list[_Sample]:
    observations, home = surface.observations, space.row(space.base)
    fewer = max(100, config.analysis.candidates // _FEWER)
    rows = np.concatenate([_candidates(space, observations, fewer, seed), best[None]])
    groups: dict[str, list[int]] = {}
    for place, mixture in enumerate(observations.mixtures):
        groups.setdefault(mixture, []).append(place)
    found = []
    for number in range(config.analysis.bootstrap):
        drawn = _drawn_again(list(groups.values()), np.random.default_rng((seed, number)))
        own = Surface.fit(observations, response, surface.limit, seed, drawn)
        found.append(_Sample(own, _optimum(own, space, rows, home, seed)))
    return found


def _drawn_again(groups: Sequence[Sequence[int]], random: np.random.Generator) -> list[int]:
    """Return the rows of as many mixtures as there are, drawn with replacement; two different ones at least."""
    while True:
        drawn = random.integers(len(groups), size=len(groups)).tolist()
        if len(set(drawn)) > 1 or len(groups) == 1:
            return [row for own in drawn for row in groups[own]]


class _Moved(NamedTuple):
    """A mixture that can be read.

    Attributes:
        point: it.
        part: of the way from the base mixture to the optimum.
        words: what held it.
    """

    point: Point
    part: float
    words: tuple[str, ...]


def _within_caps(space: Space, home: Array, best: Array, resolves: Resolves) -> _Moved | str:
    """Return the furthest mixture on the way from the base mixture to the best one that can be read, or why none can.

    What is no share stays as in the best one, unless even the base shares cannot be read so. The mixtures that can be
    read are convex in the shares, so there is one furthest.
    """
    known: dict[str, str | None] = {}

    def problem(part: float, tail: Array) -> str | None:
        point = at(part, tail)
        key = point.model_dump_json()
        if key not in known:
            known[key] = resolves(point)
        return known[key]

    def at(part: float, tail: Array) -> Point:
        return space.point(space.along(home, best, part, tail))

    if (reason := problem(1, best)) is None:
        return _Moved(at(1, best), 1, ())
    tail, words = best, f"the caps on epochs do not allow the optimum: {reason}"
    if problem(0, best) is not None:
        tail = home
        if (own := problem(0, home)) is not None:
            return own
        if problem(1, home) is None:
            return _Moved(at(1, home), 1, (words, "its shares stand, all else is as in the base mixture"))
    low, high = 0.0, 1.0
    for _ in range(_CAP_CALLS - len(known)):
        middle = (low + high) / 2
        low, high = (middle, high) if problem(middle, tail) is None else (low, middle)
    return _Moved(at(low, tail), low, (words, f"so it is {low:.0%} of the way from the base mixture to there"))


def _held_by_forgetting(surface: Surface, space: Space, best: Array, seed: int) -> tuple[str, ...]:
    """Return what the bound on forgetting costs, in words; nothing where it does not hold the optimum."""
    if surface.limit is None or not surface.observations.forgetting_languages:
        return ()
    free = Surface(surface.observations, surface.predictors, None)
    other = refine(free, space, best, seed)
    ours, theirs = free.score(np.stack([best, other])).objective.tolist()
    if theirs >= ours or surface.score(other[None]).excess[0] == 0:
        return ()
    language, rise = _most_forgotten(surface, best)
    return (
        f"the bound on forgetting holds it: {language} is predicted to rise by {rise:.2%}, it may by "
        f"{surface.limit:.2%}; without the bound the objective would be {theirs:+.4f} instead of {ours:+.4f}",
    )


def _most_forgotten(surface: Surface, row: Array) -> tuple[str, float]:
    seen = surface.observations
    changes = dict(zip(seen.languages, (surface.losses(row[None])[0] / seen.reference - 1).tolist(), strict=True))
    return max(((language, changes[language]) for language in seen.forgetting_languages), key=lambda own: own[1])


def _too_forgetful(surface: Surface, best: Array) -> str:
    language, rise = _most_forgotten(surface, best)
    return (
        f"no recommendation: every mixture within the bounds is predicted to forget more than {surface.limit:.2%} "
        f"(constraints.max_forgetting); with the one that forgets least {language} rises by {rise:.2%}"
    )


def _share_intervals(space: Space, row: Array, shown: Array) -> dict[str, dict[str, Interval]]:
    return {
        stage: {
            name: _interval(float(row[column]), shown[:, column])
            for name, column in zip(block.categories, columns, strict=True)
        }
        for block, columns in zip(space.features.blocks, space.features.share_columns, strict=True)
        for stage in block.stages
    }


def _share_samples(space: Space, shown: Array) -> dict[str, tuple[tuple[float, ...], ...]]:
    return {
        stage: tuple(map(tuple, np.round(shown[:, columns], 6).tolist()))
        for block, columns in zip(space.features.blocks, space.features.share_columns, strict=True)
        for stage in block.stages
    }


def _around(surface: Surface, space: Space, row: Array) -> dict[str, Predicted]:
    """Return what is predicted over the triangle of each block of three categories, as far as its bounds go."""
    found: dict[str, Predicted] = {}
    for number, (block, columns) in enumerate(zip(space.features.blocks, space.features.share_columns, strict=True)):
        if len(columns) == 3:
            rows = space.triangle(number, row, _TRIANGLE)
            shares = tuple(map(tuple, np.round(rows[:, columns], 6).tolist()))
            predicted = Predicted(shares=shares, objective=tuple(surface.score(rows).objective.tolist()))
            found |= dict.fromkeys(block.stages, predicted)
    return found


def _interval(value: float, samples: Array) -> Interval:
    low, high = np.quantile(samples, _QUANTILES).tolist()
    return Interval(value=float(value), low=low, high=high)
