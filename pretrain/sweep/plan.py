"""A sweep's files -> its trials: which mixtures are trained, on which proxy, with which tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from configs.errors import UserError
from configs.load import load_config
from curation.store import scratch_folder
from mixing.mixture.mixture import MixtureConfig, load_mixture
from mixing.mixture.resolve import resolve_mixture
from pretrain.run.run_config import RunConfig
from pretrain.sweep.design.design import base_point, check_design, design_points
from pretrain.sweep.plan_checks import (
    check_early_stopping,
    check_other_proxy,
    check_same_epochs,
    check_trained_stages,
    trained_stages,
)
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Point, Trial
from pretrain.sweep.trial_files import Base, mixture_problem, target_mixture, trial_configs, trial_mixture

MIXTURES, RUNS, TRIALS, SCRATCH = "mixtures", "runs", "trials", ".scratch"


class PlannedTrial(NamedTuple):
    """A trial and what it trains."""

    trial: Trial
    mixture: MixtureConfig
    run: RunConfig

    @property
    def tokens(self) -> int:
        """Of the stages that the run trains."""
        return sum(stage.tokens for stage in trained_stages(self.mixture, self.run))


class SweepPlan(NamedTuple):
    """What is to be done.

    Attributes:
        config: of the sweep.
        folder: of the sweep.
        base: what trials are made of.
        larger: what those of the scaling check are made of.
        trials: in their order; the base mixture's is the first.
    """

    config: SweepConfig
    folder: Path
    base: Base
    larger: Base | None
    trials: tuple[PlannedTrial, ...]


def open_sweep(config: SweepConfig, out: Path) -> SweepPlan:
    """Read what a sweep names, and plan its trials.

    Args:
        config: of the sweep.
        out: folder of sweeps.

    Raises:
        UserError: something is missing, does not fit, or the base mixture cannot be made of the tokens.
    """
    folder, tokens = out.expanduser().absolute() / config.name, config.tokens.expanduser().absolute()
    mixture = load_mixture(config.mixture.expanduser())
    check_design(config, mixture)
    planned = sum(stage.tokens for stage in mixture.stages)
    budget, target = config.budget or planned, config.constraints.tokens or planned
    if config.same_epochs and budget > target:
        raise UserError(f"same_epochs: a trial has {budget:,} tokens, the run that is to be paid for {target:,}")
    run = _proxy(config.run)
    base = Base(mixture, run, tokens, config.design.corpora, budget, target, config.same_epochs, config.constant_rate)
    first = base_point(config, mixture)
    check_trained_stages(config, mixture, run)
    check_same_epochs(base)
    held_out = _held_out(base, first, folder / SCRATCH)
    check_early_stopping(config, trial_mixture(base, first), run)
    _check_objective(config, run, set(held_out.values()))
    base = base._replace(mixture=mixture.model_copy(update={"validation": tuple(sorted(held_out))}))
    larger = None
    if config.scaling is not None:
        other = config.scaling.budget or budget
        larger = base._replace(run=_proxy(config.scaling.run), budget=other)
        _check_same_texts(run, larger.run)
        check_other_proxy(base, larger, first, folder / SCRATCH)
    trials = _trials(design_points(config, mixture), base, larger, config, folder)
    return SweepPlan(config, folder, base, larger, trials)


def confirmation_trial(plan: SweepPlan, point: Point) -> PlannedTrial:
    """Return the trial of the recommended mixture."""
    return _plan_trial(
        plan.base, point, plan.folder, Trial(id="", number=len(plan.trials), kind="confirmation", point=point)
    )


def _trials(
    points: Sequence[Point], base: Base, larger: Base | None, config: SweepConfig, folder: Path
) -> tuple[PlannedTrial, ...]:
    found = [
        _plan_trial(base, point, folder, Trial(id="", number=number, kind="design" if number else "base", point=point))
        for number, point in enumerate(points)
    ]
    if larger is not None and config.scaling is not None:
        firsts: dict[str, int] = {}
        for number, point in enumerate(points):
            firsts.setdefault(point.mixture_key(), number)
        for of in list(firsts.values())[: config.scaling.trials]:
            trial = Trial(id="", number=len(found), kind="scaling", point=points[of], of=of)
            found.append(_plan_trial(larger, points[of], folder, trial))
    return tuple(found)


def _plan_trial(base: Base, point: Point, folder: Path, trial: Trial) -> PlannedTrial:
    mixture, run = trial_configs(base, point, folder / MIXTURES)
    return PlannedTrial(trial.model_copy(update={"id": run.name}), mixture, run)


def _proxy(path: Path) -> RunConfig:
    """Return the configuration of the trials' runs, whose paths do not depend on where a process stands."""
    run = load_config(path.expanduser(), RunConfig)
    where = run.model.path
    if where is not None:
        where = where.expanduser().absolute()
    earlier = tuple(own.expanduser().absolute() for own in run.earlier)
    return run.model_copy(update={"model": run.model.model_copy(update={"path": where}), "earlier": earlier})


def _held_out(base: Base, point: Point, scratch: Path) -> dict[str, str]:
    """Return the sources whose held-out texts all trials are measured on, whatever they train on, and their languages.

    Raises:
        UserError: the base mixture cannot be made of the tokens, for a trial or for the run that is to be paid for.
    """
    if problem := mixture_problem(target_mixture(base, point), base.tokens, scratch):
        raise UserError(f"the base mixture cannot be made: {problem}")
    with scratch_folder(scratch) as folder:
        try:
            manifest = resolve_mixture(trial_mixture(base, point), base.tokens, folder, folder)
        except UserError as error:
            raise UserError(
                f"the base mixture cannot be made with a trial's {base.budget:,} tokens: {error}"
            ) from error
    if not manifest.validation:
        raise UserError(
            f"the sources of the mixture {base.mixture.name} have no held-out texts, so nothing can be compared; run "
            "`make tokens` with `validation: {share: ...}`"
        )
    return {own.source: own.language for own in manifest.validation}


def _check_objective(config: SweepConfig, run: RunConfig, languages: set[str]) -> None:
    """Refuse an objective that nothing is measured of."""
    there, weights = ", ".join(sorted(languages)), config.objective.weights
    if unknown := sorted(set(weights or ()) - languages):
        raise UserError(f"objective.weights: no held-out texts are in {', '.join(unknown)}; there are some in {there}")
    if weights is None and languages <= set(run.evaluation.forgetting):
        raise UserError(
            f"there is no language to adapt to: all with held-out texts ({there}) are in evaluation.forgetting of "
            f"{config.run}; change that, or give objective.weights"
        )


def _check_same_texts(small: RunConfig, large: RunConfig) -> None:
    one, other = small.evaluation, large.evaluation
    for name in ("forgetting", "max_tokens", "sequence_length"):
        if getattr(one, name) != getattr(other, name):
            raise UserError(f"scaling: both runs need the same evaluation.{name}, or they are not compared alike")
