"""Cross-validation leaves whole mixtures out, tells good responses from bad ones, and chooses one that is good."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from pretrain.sweep.analysis.cross_validation import (
    OBJECTIVE,
    choose_response,
    draw_folds,
    fit_quality,
    predict_left_out,
    rank_correlation,
)
from pretrain.sweep.analysis.features import Array
from pretrain.sweep.analysis.observations import Observations
from pretrain.sweep.analysis.predictors import Constant, Predictor
from pretrain.sweep.analysis.responses import responses
from pretrain.sweep.sweep_config import AnalysisConfig
from pretrain.sweep.trial import Point, Trial
from tests.pretrain.sweep.markov_losses import FEATURES, losses, mixtures, tables

LANGUAGES = ("left", "right", "helper")
FAST = AnalysisConfig(repeats=1)


def observed(rows: Array, measured: Array, seeds: Sequence[int] | None = None) -> Observations:
    exact = [[Fraction(share) for share in row] for row in rows.tolist()]
    points = [
        Point(shares={"only": dict(zip(LANGUAGES, own, strict=True))}, seed=seed)
        for own, seed in zip(exact, seeds or [1] * len(rows), strict=True)
    ]
    trials = [Trial(id=f"t{place}", number=place, kind="design", point=own) for place, own in enumerate(points)]
    weights = {"left": 0.35, "right": 0.25, "helper": 0.4}
    references = np.broadcast_to(measured[0], measured.shape)
    return Observations(FEATURES, tuple(trials), rows, LANGUAGES, measured, references, weights, (), "base")


def markov(count: int, seed: int = 1, noise: float = 0.002) -> Observations:
    rows = mixtures(count, seed)
    drawn = noise * np.random.default_rng(seed).standard_normal((count, 3))
    return observed(rows, losses(tables(seed), rows) + drawn)


class Remembers:
    """Knows each mixture that it was fitted on, and says 9 of all others."""

    name = "remembers"

    def min_trials(self, width: int) -> int:
        return 1

    def fit(self, rows: Array, losses: Array, seed: int) -> Predictor:
        known = {row.tobytes(): float(loss) for row, loss in zip(rows, losses, strict=True)}

        class Known(Constant):
            def predict(self, rows: Array) -> Array:
                return np.array([known.get(np.ascontiguousarray(row).tobytes(), 9.0) for row in rows])

        return Known(0.0)


@given(
    mixtures=st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=20),
    folds=st.integers(2, 6),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_each_trial_is_left_out_once_a_repeat_with_all_of_its_mixture(
    mixtures: list[str], folds: int, repeats: int, seed: int
) -> None:
    names = set(mixtures)
    found = draw_folds(mixtures, folds, repeats, seed)
    if len(names) < 2:
        assert found == ()
        return
    assert len(found) == (repeats if len(names) > folds else 1)
    for repeat in found:
        assert np.sum(repeat, axis=0).tolist() == [1] * len(mixtures)
        assert len(repeat) == min(folds, len(names))
        sizes = []
        for fold in repeat:
            out = {own for own, left in zip(mixtures, fold, strict=True) if left}
            assert out.isdisjoint(own for own, left in zip(mixtures, fold, strict=True) if not left)
            sizes.append(len(out))
        assert max(sizes) - min(sizes) <= 1
    backwards = draw_folds(mixtures[::-1], folds, repeats, seed)
    for ours, theirs in zip(found, backwards, strict=True):
        assert [own.tolist()[::-1] for own in theirs] == [own.tolist() for own in ours]


def test_folds_differ_between_repeats_and_seeds() -> None:
    names = [str(own) for own in range(30)]
    one, two = draw_folds(names, 5, 2, 1)
    assert np.array(one).tolist() != np.array(two).tolist()
    assert np.array(one).tolist() != np.array(draw_folds(names, 5, 1, 2)[0]).tolist()
    assert np.array(one).tolist() == np.array(draw_folds(names, 5, 1, 1)[0]).tolist()


def test_the_other_seeds_of_a_mixture_do_not_help_to_predict_it() -> None:
    rows = np.repeat(mixtures(8, 1), 3, axis=0)
    seen = observed(rows, losses(tables(1), rows), [1, 2, 3] * 8)
    found = predict_left_out(seen, Remembers(), draw_folds(seen.mixtures, 4, 2, 1), 1)
    assert (found.losses == 9).all()


def test_predictions_are_those_of_fits_on_the_other_folds() -> None:
    seen = markov(12)
    linear = responses(FEATURES)[0]
    folds = draw_folds(seen.mixtures, 99, 1, 1)
    found = predict_left_out(seen, linear, folds, 1)
    for place in range(12):
        others = np.arange(12) != place
        for column in range(3):
            predictor = linear.fit(seen.matrix[others], seen.losses[others, column], 1)
            assert found.losses[0, place, column] == pytest.approx(predictor.predict(seen.matrix[[place]])[0])
    assert found.objective[0] == pytest.approx(seen.objective_value(found.losses[0], seen.references))


def test_quality_is_told_for_each_language_and_the_objective() -> None:
    seen = markov(12)
    found = predict_left_out(seen, responses(FEATURES)[0], draw_folds(seen.mixtures, 4, 3, 1), 1)
    rows = fit_quality(seen, "linear", found)
    assert [own.target for own in rows] == [*LANGUAGES, OBJECTIVE]
    for column, own in enumerate(rows[:-1]):
        predicted, measured = found.losses[..., column], seen.losses[:, column]
        assert own.error == pytest.approx(np.sqrt(((predicted - measured) ** 2).mean()))
        assert own.spread == pytest.approx(measured.std())
        ranks = [np.corrcoef(rankdata(repeat), rankdata(measured))[0, 1] for repeat in predicted]
        assert own.rank_correlation == pytest.approx(np.mean(ranks))
        assert own.trials == 12


def test_a_constant_has_no_rank_correlation() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.arange(5.0), np.ones(5)) is None
    assert rank_correlation(np.ones(1), np.ones(1)) is None
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([5.0, 5.5, 99])) == pytest.approx(1)
    flat = replace(markov(12), losses=np.ones((12, 3)), references=np.ones((12, 3)))
    choice = choose_response(flat, FAST, 1)
    assert choice.fits
    assert all(own.rank_correlation is None for own in choice.fits)
    assert all(own.error == pytest.approx(0, abs=1e-9) for own in choice.fits)


def test_without_a_clear_difference_the_smooth_response_is_chosen_or_else_the_simplest() -> None:
    flat = replace(markov(16), losses=np.ones((16, 3)), references=np.ones((16, 3)))
    choice = choose_response(flat, FAST, 1)
    assert choice.response is not None
    assert choice.response.name == "gaussian_process"
    # Too few for the smooth one.
    choice = choose_response(flat.take(range(6)), FAST, 1)
    assert choice.response is not None
    assert choice.response.name == "linear"


def test_a_plane_is_read_with_a_plane() -> None:
    rows = mixtures(16, 2)
    slopes = np.array([[1.0, 2.0, 3.0], [2.0, 2.5, 1.0], [3.0, 1.0, 2.0]])
    choice = choose_response(observed(rows, rows @ slopes), FAST, 1)
    assert choice.response is not None
    assert choice.response.name == "linear"
    assert next(own for own in choice.fits if own.target == OBJECTIVE).rank_correlation == pytest.approx(1)


def test_languages_that_interfere_are_read_with_the_smooth_response() -> None:
    seen = markov(28)
    choice = choose_response(seen, FAST, 1)
    assert choice.response is not None
    assert choice.response.name == "gaussian_process"
    quality = {own.response: own for own in choice.fits if own.target == OBJECTIVE}
    assert len(quality) == 5
    assert quality["gaussian_process"].rank_correlation is not None
    assert quality["gaussian_process"].rank_correlation > 0.9
    assert choice.predicted is not None
    assert np.abs(choice.predicted - seen.adaptation()).mean() < quality["gaussian_process"].error
    assert choice.notes == ()


def test_the_order_of_trials_does_not_change_the_choice() -> None:
    seen = markov(14)
    mixed = seen.take(np.random.default_rng(1).permutation(14).tolist())
    one, two = choose_response(seen, FAST, 1), choose_response(mixed, FAST, 1)
    assert one.response is not None
    assert two.response is not None
    assert one.response.name == two.response.name
    for ours, theirs in zip(one.fits, two.fits, strict=True):
        assert ours.error == pytest.approx(theirs.error, rel=1e-9)
        assert ours.rank_correlation == pytest.approx(theirs.rank_correlation, rel=1e-9)


def test_responses_that_take_more_trials_are_left_out_in_words() -> None:
    choice = choose_response(markov(6), FAST, 1)
    assert {own.response for own in choice.fits} == {"linear"} | {
        own.name for own in responses(FEATURES) if own.min_trials(3) <= 4
    }
    assert any("the boosted response is not fitted: it takes 10 different mixtures" in note for note in choice.notes)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_handful_of_trials_is_no_error(count: int) -> None:
    choice = choose_response(markov(28).take(range(count)), FAST, 1)
    assert choice.response is None
    assert choice.fits == ()
    assert choice.notes
