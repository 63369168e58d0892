"""What a sweep is configured with; `configs/sweeps/` has those that are shipped."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from configs.load import StrictModel
from mixing.mixture.amounts import Exact, Tokens
from mixing.mixture.mixture import Label, Name
from pretrain.run.run_config import Count, Language, NotNegative, Positive, Size

Combine = Literal["balanced", "cross"]
# The recommended mixture's name is the sweep's, and "-recommended".
SweepName = Annotated[Name, Field(max_length=88)]


class Range(StrictModel):
    """Bounds of a share; None is no bound."""

    min: Exact | None = None
    max: Exact | None = None

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class ShareAxis(StrictModel):
    """How the shares of categories vary in some stages.

    Attributes:
        method: `grid`: the values of `values`, all combinations; `lattice`: the simplex lattice, all shares that are
            multiples of 1/`levels` (H. Scheffé 1958); `dirichlet`: draws around the base mixture, as RegMix does
            (Q. Liu et al., arXiv 2407.01492, section 3.1).
        stages: in which the shares are these; None is all.
        categories: that vary, the others keep the shares of the base mixture; None is all of these stages.
        trials: draws of `dirichlet`.
        strength: of `dirichlet`, lowest and highest: each draw has a concentration of a number between, drawn evenly
            by its logarithm, times the base share, times the number of categories. 1 at equal base shares is all
            mixtures with the same probability; more is nearer to the base mixture.
        levels: of `lattice`.
        values: of `grid`: shares by category, one category at least left out, which take what is left in the
            proportions of the base mixture.
        bounds: of shares, by category; what is outside is not tried.
    """

    method: Literal["grid", "lattice", "dirichlet"]
    stages: tuple[Label, ...] | None = None
    categories: tuple[Label, ...] | None = None
    trials: Size | None = None
    strength: tuple[Positive, Positive] = (0.5, 4.0)
    levels: Size | None = None
    values: dict[Label, tuple[Exact, ...]] = {}
    bounds: dict[Label, Range] = {}

    @model_validator(mode="after")
    def _has_what_its_method_takes(self) -> Self:
        given = {"trials": self.trials is not None, "levels": self.levels is not None, "values": bool(self.values)}
        needed = {"grid": "values", "lattice": "levels", "dirichlet": "trials"}[self.method]
        for name, there in given.items():
            if there != (name == needed):
                raise ValueError(f"the method {self.method} {'needs' if name == needed else 'has no'} {name}")
        if self.method != "dirichlet" and self.strength != type(self).model_fields["strength"].default:
            raise ValueError(f"the method {self.method} has no strength")
        if self.strength[0] > self.strength[1]:
            raise ValueError("strength: the lowest is above the highest")
        return self


class DesignConfig(StrictModel):
    """What varies; an axis that is left out stays as in the base mixture.

    Attributes:
        shares: of categories, one axis or several.
        learning_rate: peaks of the first stage; those of other stages change by the same factor.
        stage_split: shares of the run's tokens that the stages have, in their order.
        max_epochs: how often a text may be read over all stages.
        corpora: variants, by name: which sources take the place of which of the base mixture, such as the same crawl
            without a filter.
        seeds: of the order of documents and of new weights: the same mixture again, to see what is chance.
        combine: `balanced`: each mixture of shares has one combination of the other axes, each about as often; `cross`:
            all combinations.
        seed: of the draws.
    """

    shares: tuple[ShareAxis, ...] = ()
    learning_rate: tuple[Positive, ...] = ()
    stage_split: tuple[tuple[Exact, ...], ...] = ()
    max_epochs: tuple[Exact, ...] = ()
    corpora: dict[Label, dict[Label, Label]] = {}
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    combine: Combine = "balanced"
    seed: Count = 1

    @field_validator("shares", mode="before")
    @classmethod
    def _one_or_several(cls, data: object) -> object:
        return data if isinstance(data, (list, tuple)) else (data,)


class EarlyStopping(StrictModel):
    """A trial ends early when its objective is far above that of the base mixture's trial after as many tokens.

    The base mixture's trial is made first, so the rule does not depend on which trial is faster.

    Attributes:
        above_base: how far, as a part of the base trial's mean bits per byte.
        after: part of the tokens before which no trial ends, below 1.
    """

    above_base: Positive
    after: Exact

    @field_validator("after")
    @classmethod
    def _is_before_the_end(cls, after: Fraction) -> Fraction:
        if after >= 1:
            raise ValueError("a part of a trial's tokens, such as 50%: from its end on, none is stopped")
        return after


class Objective(StrictModel):
    """What is minimised: the weighted mean change of the bits per byte of languages that the model adapts to.

    Attributes:
        weights: of languages; None is all of those with held-out texts that are not in the run's
            `evaluation.forgetting`, alike.
        compare_with: what changes are against: the `start` of each trial, or the end of the `base` mixture's trial.
            None is `start` for a model that was trained before and `base` for a new one, which knew nothing: what it
            gains or loses is against the base mixture, in the languages that may be forgotten, too.
    """

    weights: dict[Language, Positive] | None = None
    compare_with: Literal["start", "base"] | None = None


class Constraints(StrictModel):
    """What the recommended mixture has to fulfil, besides the caps on epochs, which are the base mixture's.

    Attributes:
        shares: bounds by category, in all stages that vary.
        max_forgetting: how far the bits per byte of a language of `evaluation.forgetting` may rise; None is no bound.
        tokens: of the run that is to be paid for, which the caps on epochs count; None is the base mixture's.
    """

    shares: dict[Label, Range] = {}
    max_forgetting: NotNegative | None = 0.02
    tokens: Tokens | None = None


class Launch(StrictModel):
    """How trials are run.

    Attributes:
        cpus: processors of a trial, and threads of each of its processes together.
        gpus: of a trial; a part of one is shared.
        processes: of a trial: more than one start through torchrun.
        memory_gib: that a trial may take on the host; None is no limit.
        minutes: that a trial may take; None is no limit.
        retries: further attempts at a trial that was killed, ran out of memory or failed; it goes on at its checkpoint.
    """

    cpus: Size = 1
    gpus: NotNegative = 0
    processes: Size = 1
    memory_gib: Positive | None = None
    minutes: Positive | None = None
    retries: Count = 1


class ScalingCheck(StrictModel):
    """The same mixtures on another proxy: whether what a small model says holds for a larger one.

    Attributes:
        run: configuration of its runs.
        trials: the first so many mixtures of the design, the base mixture among them.
        budget: tokens of each; None is the sweep's.
    """

    run: Path
    trials: Annotated[int, Field(ge=3)]
    budget: Tokens | None = None


class AnalysisConfig(StrictModel):
    """How trials are read.

    Attributes:
        folds: of the cross-validation; with fewer trials than that, each is left out in turn.
        repeats: of the cross-validation, each with other folds.
        bootstrap: samples of the trials that the uncertainty is measured on.
        candidates: mixtures that are looked at for the recommendation.
        confirm: whether the recommended mixture is trained and measured, too.
    """

    folds: Annotated[int, Field(ge=2)] = 5
    repeats: Size = 4
    bootstrap: Annotated[int, Field(ge=20)] = 100
    candidates: Annotated[int, Field(ge=100)] = 20_000
    confirm: bool = True


class SweepConfig(StrictModel):
    """A sweep.

    Attributes:
        name: of the sweep, and of its folder.
        mixture: YAML file of the base mixture.
        tokens: folder of the sources' tokens.
        run: YAML file of the runs: the proxy model, its batch and optimizer.
        budget: tokens of a trial, by which the stages and their warm-ups shrink; None is the base mixture's own.
        same_epochs: each source is cut to a part of its documents, chosen by their ids, so that a trial reads a text as
            often as the run that is to be paid for would: as many times smaller as its budget is.
        constant_rate: trials stay at each stage's peak after the warm-up, as in Marco-LLM's experiments (arXiv
            2412.04003, section 3.2); the recommended mixture has the base mixture's schedule.
        design, early_stopping, objective, constraints, launch, scaling, analysis: see their classes.
    """

    name: SweepName
    mixture: Path
    tokens: Path
    run: Path
    budget: Tokens | None = None
    same_epochs: bool = False
    constant_rate: bool = False
    design: DesignConfig
    objective: Objective = Objective()
    constraints: Constraints = Constraints()
    early_stopping: EarlyStopping | None = None
    launch: Launch = Launch()
    scaling: ScalingCheck | None = None
    analysis: AnalysisConfig = AnalysisConfig()
