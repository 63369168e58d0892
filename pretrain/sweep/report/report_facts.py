"""What the sections of a sweep's report share: trials beside their outcomes, what varies, how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from curation.charts import number, share
from pretrain.sweep.analysis.analysis_schema import Analysis, Interval, Measured
from pretrain.sweep.analysis.features import Features
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Outcome, Point, Trial


class Axis(NamedTuple):
    """One thing that varies.

    Attributes:
        name: of it; of a share, its category.
        stages: in which a share is this one, in words; else nothing.
        kind: what its numbers are.
        column: of a vector.
        names: of variants, in the order of their numbers.
        block: of a share, the number of its block.
    """

    name: str
    stages: str
    kind: Literal["share", "log2", "part", "variant"]
    column: int
    names: tuple[str, ...] = ()
    block: int | None = None

    @property
    def title(self) -> str:
        """Its name, and where several blocks of shares vary, the stages."""
        return f"{self.name} ({self.stages})" if self.stages else self.name

    def value(self, vector: Sequence[float]) -> float:
        """Return the number of a point that has this vector: the logarithm where that is what is even."""
        if self.kind != "variant":
            return vector[self.column]
        return float(next((at for at in range(1, len(self.names)) if vector[self.column + at - 1]), 0))

    def words(self, value: float) -> str:
        """Return a number as it is read."""
        if self.kind == "variant":
            return self.names[round(value)]
        return f"{2**value:.4g}" if self.kind == "log2" else share(value, 1)


@dataclass(frozen=True)
class Facts:
    """A sweep as its report shows it.

    Attributes:
        config: of the sweep.
        trials: in their order.
        outcomes: by the trial's id; some may be missing.
        analysis: of them.
        features: what varies.
    """

    config: SweepConfig
    trials: tuple[Trial, ...]
    outcomes: Mapping[str, Outcome]
    analysis: Analysis
    features: Features

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Finished trials of the design by id."""
        return {own.trial: own for own in self.analysis.measured}

    @cached_property
    def design(self) -> tuple[Trial, ...]:
        """The base trial and those of the design."""
        return tuple(own for own in self.trials if own.kind in ("base", "design"))

    @cached_property
    def ranked(self) -> tuple[Measured, ...]:
        """Finished trials of the design, the best first."""
        return tuple(sorted(self.analysis.measured, key=lambda own: (own.adaptation, own.number)))

    @cached_property
    def base(self) -> Trial | None:
        """The base mixture's trial, however it ended."""
        return next((own for own in self.trials if own.kind == "base"), None)

    @cached_property
    def best(self) -> Trial | None:
        """The trial with the best objective among those that forget no more than they may; of all, if none does."""
        first = (self._allowed or self.ranked or (None,))[0]
        return None if first is None else next((own for own in self.trials if own.id == first.trial), None)

    @property
    def best_is_within(self) -> bool:
        """Whether the best trial was chosen among those that forget no more than they may."""
        return 0 < len(self._allowed) < len(self.ranked)

    @cached_property
    def _allowed(self) -> list[Measured]:
        most = self.config.constraints.max_forgetting
        return [own for own in self.ranked if most is None or own.forgetting is None or own.forgetting <= most]

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages with a loss: those of the objective, those that may be forgotten, others."""
        known = {language for own in self.outcomes.values() for language in own.last}
        weights, forgetting = self.analysis.weights, self.analysis.forgetting
        return tuple(sorted(known, key=lambda own: (own not in weights, own not in forgetting, own)))

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """All that varies, in the order of the vectors; the variants of the corpora are one axis."""
        features, found = self.features, []
        for place, (block, columns) in enumerate(zip(features.blocks, features.share_columns, strict=True)):
            stages = ", ".join(block.stages) if len(features.blocks) > 1 else ""
            for name, at in zip(block.categories, columns, strict=True):
                found.append(Axis(name, stages, "share", at, block=place))
        at = len(found)
        if features.learning_rate:
            found.append(Axis("learning rate", "", "log2", at))
            at += 1
        for place in range(features.splits):
            found.append(Axis(f"tokens of stage {place + 1}", "", "part", at))
            at += 1
        if features.max_epochs:
            found.append(Axis("most epochs", "", "log2", at))
            at += 1
        if features.variants:
            first = next((own for own in self.config.design.corpora if own not in features.variants), "base")
            found.append(Axis("corpora", "", "variant", at, (first, *features.variants)))
        return tuple(found)

    def outcome(self, trial: Trial | None) -> Outcome | None:
        """Return how a trial ended; None where that is not known."""
        return None if trial is None else self.outcomes.get(trial.id)

    def last(self, trial: Trial | None) -> dict[str, float]:
        """Return the bits per byte of a finished trial by language; of another, none."""
        outcome = self.outcome(trial)
        return outcome.last if outcome is not None and outcome.status == "finished" else {}

    def vector(self, point: Point) -> list[float]:
        """Return a point as numbers."""
        return self.features.vector(point)

    def shares(self, point: Point, block: int) -> list[float]:
        """Return a point's shares of the categories of a block."""
        vector, columns = self.vector(point), self.features.share_columns[block]
        return [vector[column] for column in columns]

    def forgetting_of(self, losses: Mapping[str, float]) -> float | None:
        """Return the largest rise of these bits per byte among languages that may be forgotten.

        The rise is against what the analysis compares with: the base trial's end, or a trial's start, which is the
        same model's in all of them.
        """
        base = self.outcome(self.base)
        if self.analysis.compare_with == "base":
            reference = self.last(self.base)
        else:
            reference = base.first if base is not None else {}
        names = [own for own in self.analysis.forgetting if reference.get(own) and own in losses]
        return max((losses[own] / reference[own] - 1 for own in names), default=None)

    def words_of(self, trial: Trial) -> str:
        """Return a trial in a few words: what it varies and how good it is."""
        vector = self.vector(trial.point)
        parts = [f"{own.title} {own.words(own.value(vector))}" for own in self.axes[:16]]
        own = self.measured.get(trial.id)
        if own is not None:
            parts.append(f"objective {signed(own.adaptation)}")
            if own.forgetting is not None:
                parts.append(f"forgetting {signed(own.forgetting)}")
        elif (outcome := self.outcome(trial)) is not None and outcome.status != "finished":
            parts.append(status_words(outcome.status))
        return f"trial {trial.number} · " + " · ".join(parts)


def signed(value: float | None, digits: int = 2) -> str:
    """Return a change in per cent, with its sign."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return number(value)
    text = f"{100 * value:+,.{digits}f}"
    return "0%" if not float(text.replace(",", "")) else text.replace("-", "\u2212") + "%"


def bits_words(value: float | None) -> str:
    """Return bits per byte."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def order_words(value: float | None, sign: str = "") -> str:
    """Return a rank correlation; `+` as the sign writes that of positive ones, too."""
    if value is None:
        return "–"
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return "0.00" if not float(text) else text.replace("-", "\u2212")


def interval_words(own: Interval) -> str:
    """Return where most samples lie, of a change."""
    return f"{signed(own.low)} to {signed(own.high)}"


def share_words(own: Interval) -> str:
    """Return where most samples lie, of a share."""
    return f"{share(own.low, 1)} to {share(own.high, 1)}"


def status_words(status: str) -> str:
    """Return how a trial ended, as it is read."""
    return {"infeasible": "cannot be made"}.get(status, status.replace("_", " "))
