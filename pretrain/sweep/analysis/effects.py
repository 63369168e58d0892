"""Whether a variant of the corpora is worth it, such as a filter: pairs of trials that differ in nothing else."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy import stats

from pretrain.sweep.analysis.analysis_schema import Effect, Interval
from pretrain.sweep.analysis.cross_validation import OBJECTIVE
from pretrain.sweep.analysis.features import Array
from pretrain.sweep.analysis.observations import Observations
from pretrain.sweep.trial import Point

_CONFIDENCE = 0.95
# One pair says nothing of its own chance.
_LEAST_PAIRS = 2


def variant_effects(observations: Observations, variants: Sequence[str]) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Return what each variant of the corpora changes against the first one, on the objective and on each language.

    Pairs are finished trials with the same shares, other axes and seed. The interval is that of a paired t-test
    (Student 1908): of 20 languages on which nothing changes, one is expected to look as if it did.

    Args:
        observations: finished trials.
        variants: names, the first is what the others are compared with.

    Returns:
        Effects by variant, the objective first; and a sentence for each variant that has too few pairs.
    """
    effects: list[Effect] = []
    notes = []
    for variant in variants[1:]:
        pairs = _pairs(observations.points, variant, variants[0])
        if len(pairs) < _LEAST_PAIRS:
            notes.append(
                f"the corpora {variant!r} are not compared with {variants[0]!r}: that takes {_LEAST_PAIRS} pairs of "
                f"finished trials that differ in nothing else, and there {'is 1' if pairs else 'is none'}; several "
                "seeds, or `combine: cross`, make more"
            )
        else:
            effects += _effects(observations, variant, variants[0], pairs)
    return tuple(effects), tuple(notes)


def seed_noise(observations: Observations) -> float | None:
    """Return the standard deviation of the objective between seeds of one mixture, pooled over mixtures.

    None where no mixture has two finished trials.
    """
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for key, value in zip(observations.mixtures, observations.adaptation().tolist(), strict=True):
        groups[key].append(value)
    free = sum(len(values) - 1 for values in groups.values())
    if not free:
        return None
    squares = math.fsum(float(np.var(values)) * len(values) for values in groups.values() if len(values) > 1)
    return math.sqrt(squares / free)


def _pairs(points: Sequence[Point], variant: str, against: str) -> list[tuple[int, int]]:
    """Return the rows of trials of the two variants that differ in nothing else."""
    rows: dict[tuple[str, int], dict[str, int]] = {}
    for row, point in enumerate(points):
        if point.variant in (variant, against):
            rest = point.model_copy(update={"variant": None}).mixture_key()
            rows.setdefault((rest, point.seed), {}).setdefault(point.variant, row)
    return [(own[variant], own[against]) for own in rows.values() if len(own) == 2]


def _effects(observations: Observations, variant: str, against: str, pairs: Sequence[tuple[int, int]]) -> list[Effect]:
    ours, theirs = (list(rows) for rows in zip(*pairs, strict=True))
    objective = observations.adaptation()
    changes = {OBJECTIVE: objective[ours] - objective[theirs]}
    for column, language in enumerate(observations.languages):
        losses = observations.losses[:, column]
        changes[language] = losses[ours] / losses[theirs] - 1
    effects = []
    for target, values in changes.items():
        change = paired_interval(values)
        words = "better" if change.high < 0 else "worse" if change.low > 0 else "no difference seen"
        effects.append(
            Effect(variant=variant, against=against, target=target, pairs=len(pairs), change=change, words=words)
        )
    return effects


def paired_interval(differences: Array) -> Interval:
    """Return the mean of two differences or more with the 95% interval of a t-test."""
    count = len(differences)
    mean = float(np.mean(differences))
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, count - 1) * np.std(differences, ddof=1) / math.sqrt(count))
    return Interval(value=mean, low=mean - half, high=mean + half)
