"""The finished trials of a sweep as numbers: what was varied, what was measured, and what is minimised.

Shape legend: n = finished trials of the design, d = numbers of a mixture's vector, L = languages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from configs.errors import UserError
from pretrain.run.run_config import RunConfig
from pretrain.sweep.analysis.features import Array, Features
from pretrain.sweep.sweep_config import Objective
from pretrain.sweep.trial import Outcome, Point, Trial

CompareWith = Literal["start", "base"]


@dataclass(frozen=True, slots=True)
class Observations:
    """Finished trials in the order of their numbers.

    Attributes:
        features: what the columns of `matrix` are.
        trials: the base one and those of the design.
        matrix: n x d, their vectors.
        languages: that were measured in all of them, sorted.
        losses: n x L, bits per byte at the end.
        references: n x L, bits per byte that changes are against.
        weights: of the languages of the objective; they sum to 1.
        forgetting_languages: those of the run's `evaluation.forgetting` that were measured.
        compare_with: what the references are.
        notes: what was left out and why, in sentences.
    """

    features: Features
    trials: tuple[Trial, ...]
    matrix: Array
    languages: tuple[str, ...]
    losses: Array
    references: Array
    weights: dict[str, float]
    forgetting_languages: tuple[str, ...]
    compare_with: CompareWith
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def points(self) -> tuple[Point, ...]:
        """What the trials vary."""
        return tuple(trial.point for trial in self.trials)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the trials."""
        return tuple(trial.number for trial in self.trials)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the trials."""
        return tuple(trial.id for trial in self.trials)

    @property
    def mixtures(self) -> tuple[str, ...]:
        """What is the same for trials of one mixture with other seeds."""
        return tuple(point.mixture_key() for point in self.points)

    @property
    def reference(self) -> Array:
        """L: what changes of a mixture without a trial are against: the median over the trials."""
        return np.median(self.references, axis=0) if len(self) else np.zeros(len(self.languages))

    def changes(self) -> Array:
        """Return the changes of all languages, n x L: 0.01 is 1% more bits per byte than the reference."""
        return self.losses / self.references - 1

    def adaptation(self) -> Array:
        """Return the objective of each trial: the weighted mean change of its languages; below 0 is better."""
        return self.objective_value(self.losses, self.references)

    def forgetting(self) -> Array | None:
        """Return each trial's largest rise among the languages that may be forgotten; None where there are none."""
        return self.forgetting_value(self.losses, self.references)

    def objective_value(self, losses: Array, reference: Array | None = None) -> Array:
        """Return the objective of measured or predicted losses.

        Args:
            losses: ... x L, bits per byte.
            reference: of the same shape, or L; None is `reference`.

        Returns:
            One number for each row of losses.
        """
        weights = np.array([self.weights.get(language, 0.0) for language in self.languages])
        changes: Array = losses / (self.reference if reference is None else reference) - 1
        return np.asarray(np.sum(changes * weights, axis=-1))

    def forgetting_value(self, losses: Array, reference: Array | None = None) -> Array | None:
        """Return the largest rise among the languages that may be forgotten; arguments as in `objective_value`."""
        if not self.forgetting_languages:
            return None
        columns = [self.languages.index(language) for language in self.forgetting_languages]
        changes: Array = losses / (self.reference if reference is None else reference) - 1
        return np.asarray(np.max(changes[..., columns], axis=-1))

    def take(self, rows: Sequence[int]) -> Observations:
        """Return some of the trials in this order; one may be there several times."""
        places = np.asarray(rows, dtype=np.intp)
        return replace(
            self,
            trials=tuple(self.trials[row] for row in rows),
            matrix=self.matrix[places],
            losses=self.losses[places],
            references=self.references[places],
        )


def observe(
    trials: Sequence[Trial],
    outcomes: Sequence[Outcome],
    features: Features,
    objective: Objective,
    run: RunConfig,
) -> Observations:
    """Return what the finished trials of the design say; none at all gives none, and no error.

    Args:
        trials: of the sweep, in any order; other kinds than `base` and `design` are left out.
        outcomes: of them, in any order; a trial without one is left out.
        features: of the sweep.
        objective: what is minimised.
        run: of the trials.

    Raises:
        UserError: the objective names a language that has no held-out texts, or there is none that it could be of.
    """
    ended = {own.trial: own for own in outcomes}
    ours = sorted((own for own in trials if own.kind in ("base", "design")), key=lambda own: own.number)
    done = tuple(own for own in ours if own.id in ended and ended[own.id].status == "finished")
    results = [ended[own.id] for own in done]
    known = sorted({language for own in outcomes for language in (*own.first, *own.last)})
    compare_with: CompareWith = objective.compare_with or ("start" if run.model.path is not None else "base")
    languages, notes = _measured_everywhere(results, compare_with)
    weights, more = _weights(objective, run.evaluation.forgetting, known, languages)
    losses = _table([own.last for own in results], languages)
    if compare_with == "start":
        references = _table([own.first for own in results], languages)
    else:
        reference, also = _end_of_base(ours, done, losses)
        references, more = np.broadcast_to(reference, losses.shape), more + also
    return Observations(
        features=features,
        trials=done,
        matrix=features.matrix([own.point for own in done]),
        languages=languages,
        losses=losses,
        references=references,
        weights=weights,
        forgetting_languages=tuple(own for own in dict.fromkeys(run.evaluation.forgetting) if own in languages),
        compare_with=compare_with,
        notes=(*notes, *more),
    )


def _measured_everywhere(results: Sequence[Outcome], compare_with: CompareWith) -> tuple[tuple[str, ...], list[str]]:
    """Return the languages that all trials have a loss of, and of each other one a sentence."""
    found, notes = [], []
    for language in sorted({language for own in results for language in (*own.first, *own.last)}):
        count = sum(_is_measured(own, language, compare_with) for own in results)
        if count == len(results):
            found.append(language)
        else:
            notes.append(
                f"{language} is left out: only {count} of {len(results)} finished trials have its held-out loss"
            )
    return tuple(found), notes


def _is_measured(outcome: Outcome, language: str, compare_with: CompareWith) -> bool:
    needed = (outcome.last,) if compare_with == "base" else (outcome.first, outcome.last)
    # A change is a part of the reference: text of 0 bits a byte has none.
    return all(math.isfinite(loss := own.get(language, math.nan)) and loss > 0 for own in needed)


def _weights(
    objective: Objective, forgetting: Sequence[str], known: Sequence[str], languages: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """Return the weights of the measured languages of the objective, and what is said of the others."""
    own: Mapping[str, float]
    if objective.weights is not None:
        if known and (unknown := sorted(set(objective.weights) - set(known))):
            raise UserError(
                f"objective.weights: no held-out texts of {', '.join(unknown)}; there are some of {', '.join(known)}"
            )
        own = objective.weights
    else:
        own = {language: 1.0 for language in known if language not in forgetting}
        if known and not own:
            raise UserError(
                "no language is left to adapt to: all with held-out texts are in the run's evaluation.forgetting; "
                f"give objective.weights of some of {', '.join(known)}"
            )
    kept = {language: own[language] for language in languages if language in own}
    lost = sorted(set(own) & set(known) - set(kept)) if languages else []
    total = math.fsum(kept.values())
    notes = [f"the objective is without {', '.join(lost)}, which not all finished trials measured"] if lost else []
    return {language: weight / total for language, weight in kept.items()}, notes


def _end_of_base(trials: Sequence[Trial], done: Sequence[Trial], losses: Array) -> tuple[Array, list[str]]:
    """Return the losses that the base mixture's trial ended with, or what stands in their place, and why."""
    base = next((own for own in trials if own.kind == "base"), None)
    for place, own in enumerate(done):
        if own.kind == "base":
            return losses[place], []
    if not done:
        return np.zeros(losses.shape[1]), []
    if base is not None:
        key = base.point.mixture_key()
        for place, own in enumerate(done):
            if own.point.mixture_key() == key:
                return losses[place], [
                    f"the base mixture's trial did not finish: changes are against trial {own.number}, "
                    "the same mixture with another seed"
                ]
    return np.median(losses, axis=0), [
        "the base mixture's trial did not finish: changes are against the median of the trials that did"
    ]


def _table(rows: Sequence[Mapping[str, float]], languages: Sequence[str]) -> Array:
    """Return the losses of some languages, a row for each trial."""
    return np.array([[own[language] for language in languages] for own in rows], dtype=np.float64).reshape(
        len(rows), len(languages)
    )
