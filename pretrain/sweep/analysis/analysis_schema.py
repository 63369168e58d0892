"""What the trials of a sweep say, as `analysis.json` holds it and the report shows it."""

from __future__ import annotations

from configs.load import StrictModel
from pretrain.sweep.trial import Point, Status


class Interval(StrictModel):
    """A number, and where 90% of the bootstrap samples lie."""

    value: float
    low: float
    high: float


class LeftOut(StrictModel):
    """A trial that the analysis does not use, and why."""

    trial: str
    number: int
    status: Status
    cause: str


class Measured(StrictModel):
    """A finished trial in the numbers of the objective.

    Attributes:
        trial, number: of it.
        adaptation: weighted mean change of the bits per byte of the languages that it adapts to; below 0 is better.
        forgetting: the largest rise among the languages that it may forget; None where there are none.
        front: whether no other trial is better in one of the two and as good in the other.
        predicted: its adaptation as the chosen response predicts it from other trials; None where there is none.
    """

    trial: str
    number: int
    adaptation: float
    forgetting: float | None
    front: bool
    predicted: float | None = None


class FitQuality(StrictModel):
    """How well a response predicts trials that it was not fitted on.

    Attributes:
        response: its name.
        target: a language, or `objective`.
        rank_correlation: Spearman's, of the predictions with what was measured; None where it is not defined.
        error: root of the mean squared error, in bits per byte; of the objective in its own unit.
        spread: standard deviation of what was measured: what the error would be of a constant prediction.
        trials: that were predicted.
    """

    response: str
    target: str
    rank_correlation: float | None
    error: float
    spread: float
    trials: int


class Predicted(StrictModel):
    """What the response predicts of mixtures around the recommended one, for a picture.

    Attributes:
        shares: of some mixtures, each in the order of the block's categories; all else is as recommended.
        objective: of each.
    """

    shares: tuple[tuple[float, ...], ...]
    objective: tuple[float, ...]


class Recommendation(StrictModel):
    """The mixture that the chosen response finds best under the constraints.

    Attributes:
        response: that predicts it.
        point: the mixture.
        optimum: the same before the caps on epochs moved it, where they did.
        shares: of the categories of each stage that varies, with their uncertainty.
        objective: predicted.
        base_objective: what the response predicts of the base mixture.
        losses: predicted bits per byte by language.
        better_than_base: part of the bootstrap samples in which it is predicted to be better than the base mixture.
        bounds: constraints that hold it where it is, in words.
        beyond: shares outside of all finished trials, in words: there the response extrapolates.
        samples: by stage, the best shares by each bootstrap sample, in the order of `shares`.
        around: by stage, where it has three categories that vary.
    """

    response: str
    point: Point
    optimum: Point | None = None
    shares: dict[str, dict[str, Interval]]
    objective: Interval
    base_objective: float
    losses: dict[str, Interval]
    better_than_base: float
    bounds: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    samples: dict[str, tuple[tuple[float, ...], ...]] = {}
    around: dict[str, Predicted] = {}


class Confirmation(StrictModel):
    """The recommended mixture's own trial.

    Attributes:
        trial: of it.
        objective: measured.
        predicted: before.
        losses: measured bits per byte by language.
        rank: 1 is better than all trials of the design.
        trials: that it is ranked among, itself counted.
    """

    trial: str
    objective: float
    predicted: Interval
    losses: dict[str, float]
    rank: int
    trials: int


class Scaling(StrictModel):
    """Whether the order of the mixtures is the same on the other proxy.

    Attributes:
        trials: finished on both.
        weights: parameters of the two models.
        rank_correlation: Spearman's, of the objective, with its uncertainty; None where it is not defined.
        by_language: the same for the bits per byte of each language.
        same_best: whether the best mixture of these is the same.
        numbers: of the trials of the design.
        small, large: objectives of the two.
        words: what follows, in a sentence.
    """

    trials: int
    weights: tuple[int, int]
    rank_correlation: Interval | None
    by_language: dict[str, float | None]
    same_best: bool
    numbers: tuple[int, ...]
    small: tuple[float, ...]
    large: tuple[float, ...]
    words: str


class Effect(StrictModel):
    """What a variant of the corpora changes: pairs of trials that differ in nothing else.

    Attributes:
        variant, against: their names.
        target: a language, or `objective`.
        pairs: of finished trials.
        change: mean difference, variant less against, of bits per byte as a part of the other's (of the objective, as
            it is), with the 95% interval of a paired t-test; below 0 is better.
        words: `better`, `worse`, or `no difference seen`.
    """

    variant: str
    against: str
    target: str
    pairs: int
    change: Interval
    words: str


class Analysis(StrictModel):
    """All of it.

    Attributes:
        objective: what is minimised, in words.
        compare_with: `start` or `base`.
        weights: of the languages of the objective; they sum to 1.
        forgetting: languages that may be forgotten.
        measured: the finished trials of the design, the base one among them.
        left_out: all others.
        fits: of each response, for each language and the objective.
        chosen: the response that the recommendation is made with; None where there is none.
        recommendation, confirmation, scaling: None where there is none.
        effects: of variants of the corpora.
        noise: standard deviation of the objective between seeds of one mixture; None where no mixture has two.
        notes: what was not done and why, in sentences.
    """

    objective: str
    compare_with: str
    weights: dict[str, float]
    forgetting: tuple[str, ...]
    measured: tuple[Measured, ...]
    left_out: tuple[LeftOut, ...]
    fits: tuple[FitQuality, ...] = ()
    chosen: str | None = None
    recommendation: Recommendation | None = None
    confirmation: Confirmation | None = None
    scaling: Scaling | None = None
    effects: tuple[Effect, ...] = ()
    noise: float | None = None
    notes: tuple[str, ...] = ()
