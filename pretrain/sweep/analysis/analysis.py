"""Outcomes of trials -> what they say: the front, the responses, the recommended mixture, its confirmation.

Whatever finished is used; what cannot be said, and why, is a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from configs.errors import UserError
from mixing.mixture.mixture import MixtureConfig
from pretrain.run.run_config import RunConfig
from pretrain.sweep.analysis.analysis_schema import (
    Analysis,
    Confirmation,
    LeftOut,
    Measured,
    Recommendation,
    Scaling,
)
from pretrain.sweep.analysis.cross_validation import Choice, choose_response
from pretrain.sweep.analysis.effects import seed_noise, variant_effects
from pretrain.sweep.analysis.features import Array, Features
from pretrain.sweep.analysis.observations import Observations, observe
from pretrain.sweep.analysis.pareto import pareto_front
from pretrain.sweep.analysis.predictors import Response
from pretrain.sweep.analysis.recommend import Resolves, recommend
from pretrain.sweep.analysis.scaling_check import compare_proxies
from pretrain.sweep.analysis.space import Space
from pretrain.sweep.design.design import base_point, features_of
from pretrain.sweep.sweep_config import Objective, SweepConfig
from pretrain.sweep.trial import Outcome, Trial

_OF_THE_DESIGN = ("base", "design")


def analyse(
    config: SweepConfig,
    mixture: MixtureConfig,
    run: RunConfig,
    trials: Sequence[Trial],
    outcomes: Sequence[Outcome],
    weights_of_models: tuple[int, int] | None,
    resolves: Resolves,
) -> Analysis:
    """Say what the finished trials say.

    The order of trials and outcomes does not matter. The recommendation is made of the trials of the design alone, so
    that the trial that confirms it does not change it.

    Args:
        config: of the sweep.
        mixture: the base mixture.
        run: of the trials.
        trials: of the sweep.
        outcomes: of them; one without has not run.
        weights_of_models: parameters of the two proxies, where there is a scaling check.
        resolves: says why a mixture cannot be read under the caps on epochs with the real tokens; None if it can.

    Raises:
        UserError: the design does not fit the base mixture, or the objective names a language without held-out texts.
    """
    trials = sorted(trials, key=lambda trial: (trial.number, trial.id))
    ended = {outcome.trial: outcome for outcome in outcomes}
    features = features_of(config, mixture)
    seen = _observe([trial for trial in trials if trial.kind in _OF_THE_DESIGN], ended, features, config.objective, run)
    effects, notes = variant_effects(seen, tuple(config.design.corpora))
    notes = (*seen.notes, *notes)
    choice = _choose(config, seen)
    found = _recommended(config, mixture, seen, choice.response, resolves)
    recommendation, why = (None, (found,)) if isinstance(found, str) else (found, ())
    scaling, more = _scaling(config, run, trials, ended, seen, weights_of_models)
    confirmation, also = _confirmation(trials, ended, seen, recommendation)
    return Analysis(
        objective=_objective_in_words(seen),
        compare_with=seen.compare_with,
        weights=seen.weights,
        forgetting=seen.forgetting_languages,
        measured=_measured(seen, choice.predicted),
        left_out=_left_out(trials, ended),
        fits=choice.fits,
        chosen=None if choice.response is None else choice.response.name,
        recommendation=recommendation,
        confirmation=confirmation,
        scaling=scaling,
        effects=effects,
        noise=seed_noise(seen),
        notes=(*notes, *choice.notes, *why, *more, *also),
    )


def add_confirmation(
    earlier: Analysis,
    config: SweepConfig,
    mixture: MixtureConfig,
    run: RunConfig,
    trials: Sequence[Trial],
    outcomes: Sequence[Outcome],
) -> Analysis:
    """Return what `analyse` would after the recommended mixture's own trial, without fitting anything again.

    Args:
        earlier: analysis of the same trials before that one.
        config: of the sweep.
        mixture: the base mixture.
        run: of the trials.
        trials: of the sweep, that one among them.
        outcomes: of them.
    """
    trials = sorted(trials, key=lambda trial: (trial.number, trial.id))
    ended = {outcome.trial: outcome for outcome in outcomes}
    ours = [trial for trial in trials if trial.kind in _OF_THE_DESIGN]
    seen = _observe(ours, ended, features_of(config, mixture), config.objective, run)
    confirmation, notes = _confirmation(trials, ended, seen, earlier.recommendation)
    changes = {
        "confirmation": confirmation,
        "left_out": _left_out(trials, ended),
        "notes": (*earlier.notes, *notes),
    }
    return earlier.model_copy(update=changes)


def _observe(
    trials: Sequence[Trial], ended: Mapping[str, Outcome], features: Features, objective: Objective, run: RunConfig
) -> Observations:
    """Observe these trials; outcomes of others are not looked at."""
    own = [ended[name] for name in dict.fromkeys(trial.id for trial in trials) if name in ended]
    return observe(trials, own, features, objective, run)


def _measured(seen: Observations, predicted: Array | None) -> tuple[Measured, ...]:
    adaptation, forgetting = seen.adaptation().tolist(), seen.forgetting()
    lost: list[float | None] = [None] * len(seen) if forgetting is None else forgetting.tolist()
    told: list[float | None] = [None] * len(seen) if predicted is None else predicted.tolist()
    rows = zip(seen.trials, adaptation, lost, pareto_front(adaptation, lost), told, strict=True)
    return tuple(
        Measured(trial=trial.id, number=trial.number, adaptation=own, forgetting=rise, front=front, predicted=expected)
        for trial, own, rise, front, expected in rows
    )


def _left_out(trials: Sequence[Trial], ended: Mapping[str, Outcome]) -> tuple[LeftOut, ...]:
    found = []
    for trial in trials:
        outcome = ended.get(trial.id, Outcome(trial=trial.id, status="failed", cause="it did not run", attempts=0))
        if outcome.status != "finished":
            found.append(LeftOut(trial=trial.id, number=trial.number, status=outcome.status, cause=outcome.cause))
    return tuple(found)


def _choose(config: SweepConfig, seen: Observations) -> Choice:
    """Return how well responses predict, and the one that is chosen."""
    if not seen.weights:
        return Choice(None, (), None, ("no trial that finished measured a language of the objective",))
    return choose_response(seen, config.analysis, config.design.seed)


def _recommended(
    config: SweepConfig, mixture: MixtureConfig, seen: Observations, response: Response | None, resolves: Resolves
) -> Recommendation | str:
    """Return what a response recommends, or why nothing is recommended."""
    if response is None:
        return "no recommendation: no response could be fitted"
    try:
        space = Space.of(seen.features, base_point(config, mixture), seen.points, config.constraints.shares)
    except UserError as error:
        return f"no recommendation: {error}"
    return recommend(seen, response, space, config, config.design.seed, resolves)


def _confirmation(
    trials: Sequence[Trial], ended: Mapping[str, Outcome], seen: Observations, found: Recommendation | None
) -> tuple[Confirmation | None, tuple[str, ...]]:
    """Return what the recommended mixture's own trial measured, and why nothing is said of it."""
    trial = next((own for own in reversed(trials) if own.kind == "confirmation"), None)
    if trial is None or trial.id not in ended or ended[trial.id].status != "finished":
        return None, ()
    if found is None or trial.point.mixture_key() != found.point.mixture_key():
        return None, ("the trial that was to confirm is of another mixture than what is recommended now",)
    outcome = ended[trial.id]
    needed = (outcome.first, outcome.last) if seen.compare_with == "start" else (outcome.last,)
    if missing := [language for language in seen.languages if any(own.get(language, 0) <= 0 for own in needed)]:
        return None, (f"the recommended mixture's own trial did not measure {', '.join(missing)}",)
    last, first = (np.array([own.get(language, 0) for language in seen.languages]) for own in (outcome.last, needed[0]))
    objective = float(seen.objective_value(last, first if seen.compare_with == "start" else None))
    better = int(np.sum(seen.adaptation() < objective))
    confirmation = Confirmation(
        trial=trial.id,
        objective=objective,
        predicted=found.objective,
        losses=dict(zip(seen.languages, last.tolist(), strict=True)),
        rank=better + 1,
        trials=len(seen) + 1,
    )
    return confirmation, ()


def _scaling(
    config: SweepConfig,
    run: RunConfig,
    trials: Sequence[Trial],
    ended: Mapping[str, Outcome],
    seen: Observations,
    weights: tuple[int, int] | None,
) -> tuple[Scaling | None, tuple[str, ...]]:
    """Return how the order of the mixtures is on the other proxy, and what could not be compared."""
    base = next((trial.number for trial in trials if trial.kind == "base"), None)
    # As if they were a sweep of their own, of the same numbers.
    others = [
        trial.model_copy(update={"kind": "base" if trial.of == base else "design", "number": trial.of})
        for trial in trials
        if trial.kind == "scaling" and trial.of is not None
    ]
    if weights is None or not others:
        return None, ()
    ours = {name for trial in others if trial.id in ended for name in ended[trial.id].last}
    counted = {language: weight for language, weight in seen.weights.items() if language in ours}
    if not counted:
        return None, ("scaling check: no trial on the other proxy measured a language of the objective",)
    objective = Objective(weights=counted, compare_with=seen.compare_with)
    larger = _observe(others, ended, seen.features, objective, run)
    both = [number for number in seen.numbers if number in larger.numbers]
    rows = [seen.numbers.index(number) for number in both]
    columns = [larger.numbers.index(number) for number in both]
    losses = {
        language: (
            seen.losses[rows, seen.languages.index(language)].tolist(),
            larger.losses[columns, larger.languages.index(language)].tolist(),
        )
        for language in seen.languages
        if language in larger.languages
    }
    objectives = (seen.adaptation()[rows].tolist(), larger.adaptation()[columns].tolist())
    found = compare_proxies(both, objectives, losses, weights, config.analysis.bootstrap, config.design.seed)
    notes = list(larger.notes)
    if lost := sorted(set(seen.weights) - set(counted)):
        notes.append(f"the other proxy's objective is without {', '.join(lost)}")
    return found, tuple(f"scaling check: {note}" for note in notes)


def _objective_in_words(seen: Observations) -> str:
    weights = ", ".join(f"{language} {weight:.3g}" for language, weight in seen.weights.items())
    against = "the start of each trial" if seen.compare_with == "start" else "the end of the base mixture's trial"
    return f"weighted mean change of the bits per byte against {against}, below 0 is better; weights: {weights}"
