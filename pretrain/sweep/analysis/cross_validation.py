"""How well responses predict trials that they were not fitted on, and which one is chosen.

Shape legend: n = trials, L = languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pretrain.sweep.analysis.analysis_schema import FitQuality
from pretrain.sweep.analysis.features import Array
from pretrain.sweep.analysis.gaussian_process import GaussianProcess
from pretrain.sweep.analysis.observations import Observations
from pretrain.sweep.analysis.responses import Response, responses
from pretrain.sweep.sweep_config import AnalysisConfig

OBJECTIVE = "objective"
# Which trials are left out.
Mask = NDArray[np.bool_]
# Errors that differ by less, as a part of them, are equal.
_EQUAL = 1e-6
# A response takes the place of the smooth one if its error is at most this part of that one's.
_CLEARLY = 0.8


class OutOfFold(NamedTuple):
    """Predictions of trials by fits on others.

    Attributes:
        losses: repeats x n x L, bits per byte.
        objective: repeats x n, computed from these losses.
    """

    losses: Array
    objective: Array


class Choice(NamedTuple):
    """Which response the recommendation is made with.

    Attributes:
        response: None where none could be fitted.
        fits: of all responses that could be, for each language and the objective.
        predicted: objective of each trial as the chosen response predicts it from other trials, n: the mean over the
            repeats; None where there is none.
        notes: what was not fitted and why, in sentences.
    """

    response: Response | None
    fits: tuple[FitQuality, ...]
    predicted: Array | None
    notes: tuple[str, ...]


def choose_response(observations: Observations, config: AnalysisConfig, seed: int) -> Choice:
    """Return the response that predicts the objective of good trials best when they are left out.

    What counts is the mean absolute error of the objective on the better half of the trials: the recommendation lies
    among these, and errors of mixtures that starve a language are many times as large. The smooth response is taken
    unless that of another is smaller by more than a fifth, which in some dozens of trials is mostly chance; where there
    is no smooth one, the response with the smallest error, and of equal ones the simplest, see `responses`.

    On languages with a known optimum this lands nearer to it than the smallest squared error of all trials does.

    Args:
        observations: finished trials.
        config: of the analysis.
        seed: of the folds.
    """
    folds = draw_folds(observations.mixtures, config.folds, config.repeats, seed)
    if not folds:
        count = len(set(observations.mixtures))
        return Choice(None, (), None, (f"nothing is fitted: {count} mixtures finished, and it takes 2 at least",))
    # A fit of the cross-validation has this many mixtures at least.
    fewest = min(_mixtures_left(observations.mixtures, fold) for repeat in folds for fold in repeat)
    fitted: list[_Fitted] = []
    fits: list[FitQuality] = []
    notes = []
    for response in responses(observations.features):
        if fewest < (needed := response.min_trials(observations.matrix.shape[1])):
            notes.append(
                f"the {_spoken(response)} response is not fitted: it takes {needed} different mixtures, "
                f"and with some left out for cross-validation there are {fewest}"
            )
            continue
        found = predict_left_out(observations, response, folds, seed)
        fits += fit_quality(observations, response.name, found)
        error = _error_of_good_trials(found.objective, observations.adaptation())
        fitted.append(_Fitted(response, error, fits[-1].error, found.objective.mean(axis=0)))
    if not fitted:
        return Choice(None, (), None, tuple(notes))
    chosen, closest = _chosen(fitted), min(fitted, key=lambda own: own.overall)
    if closest.overall < chosen.overall * (1 - _EQUAL):
        notes.append(
            f"the {_spoken(closest.response)} response is nearer to all trials together; the "
            f"{_spoken(chosen.response)} response is chosen by the better half of them"
        )
    return Choice(chosen.response, tuple(fits), chosen.predicted, tuple(notes))


def draw_folds(mixtures: Sequence[str], folds: int, repeats: int, seed: int) -> tuple[tuple[Mask, ...], ...]:
    """Return for each repeat its folds, and for each fold which trials are left out: n truth values.

    Trials of one mixture are left out together: otherwise a response would be praised for what it has seen. With
    fewer mixtures than folds each is left out in turn, once.

    Args:
        mixtures: of the trials; what is equal is the same mixture.
        folds: 2 or more.
        repeats: 1 or more, each with other folds.
        seed: of the folds.

    Returns:
        Nothing where there are fewer than 2 mixtures.
    """
    # By content, so that the folds do not depend on the order of the trials.
    names = sorted(set(mixtures))
    if len(names) < 2:
        return ()
    places = np.array([names.index(own) for own in mixtures])
    count = min(folds, len(names))
    found = []
    for repeat in range(repeats if len(names) > folds else 1):
        order = np.random.default_rng([seed, repeat]).permutation(len(names))
        fold_of = np.empty(len(names), dtype=np.intp)
        fold_of[order] = np.arange(len(names)) % count
        found.append(tuple(fold_of[places] == fold for fold in range(count)))
    return tuple(found)


def predict_left_out(
    observations: Observations, response: Response, folds: Sequence[Sequence[Mask]], seed: int
) -> OutOfFold:
    """Predict each trial from the trials of the other folds, language by language.

    Args:
        observations: finished trials.
        response: that is fitted.
        folds: see `draw_folds`.
        seed: of the response.
    """
    losses = np.empty((len(folds), *observations.losses.shape))
    for repeat, own in enumerate(folds):
        for left_out in own:
            rows = observations.matrix[~left_out]
            for column, measured in enumerate(observations.losses.T):
                predictor = response.fit(rows, measured[~left_out], seed)
                losses[repeat, left_out, column] = predictor.predict(observations.matrix[left_out])
    return OutOfFold(losses, observations.objective_value(losses, observations.references))


def fit_quality(observations: Observations, name: str, found: OutOfFold) -> tuple[FitQuality, ...]:
    """Return how good predictions are: for each language, and last for the objective.

    The rank correlation is the mean over the repeats.
    """
    targets = [
        (language, found.losses[..., column], observations.losses[:, column])
        for column, language in enumerate(observations.languages)
    ]
    targets.append((OBJECTIVE, found.objective, observations.adaptation()))
    rows = []
    for target, predicted, measured in targets:
        ranks = [own for repeat in predicted if (own := rank_correlation(repeat, measured)) is not None]
        rows.append(
            FitQuality(
                response=name,
                target=target,
                rank_correlation=float(np.mean(ranks)) if len(ranks) == len(predicted) else None,
                error=float(np.sqrt(np.mean((predicted - measured) ** 2))),
                spread=float(np.std(measured)),
                trials=len(measured),
            )
        )
    return tuple(rows)


def rank_correlation(one: Array, other: Array) -> float | None:
    """Return Spearman's rank correlation; None where one of the two is constant, or has fewer than two numbers."""
    if len(one) < 2 or not np.ptp(one) or not np.ptp(other):
        return None
    return float(spearmanr(one, other).statistic)


class _Fitted(NamedTuple):
    """A response with its error on good trials and on all, and what it predicts of each."""

    response: Response
    error: float
    overall: float
    predicted: Array


def _chosen(fitted: Sequence[_Fitted]) -> _Fitted:
    best = fitted[0]
    for own in fitted[1:]:
        if own.error < best.error * (1 - _EQUAL):
            best = own
    smooth = next((own for own in fitted if isinstance(own.response, GaussianProcess)), None)
    return best if smooth is None or best.error < _CLEARLY * smooth.error else smooth


def _error_of_good_trials(predicted: Array, measured: Array) -> float:
    good = measured <= np.median(measured)
    return float(np.mean(np.abs(predicted - measured)[:, good]))


def _spoken(response: Response) -> str:
    return response.name.replace("_", " ")


def _mixtures_left(mixtures: Sequence[str], left_out: Mask) -> int:
    return len({own for own, out in zip(mixtures, left_out.tolist(), strict=True) if not out})
