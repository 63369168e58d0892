"""Responses find the laws that losses were made by, and bear what sweeps bring: few, equal and collinear trials."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from pretrain.sweep.analysis.features import Array, Features, ShareBlock
from pretrain.sweep.analysis.gaussian_process import GaussianProcess
from pretrain.sweep.analysis.mixing_law import fit_law
from pretrain.sweep.analysis.polynomials import Linear, Quadratic, fit_ridge
from pretrain.sweep.analysis.responses import Boosted, Response, responses
from tests.pretrain.sweep import markov_losses

BLOCK = Features((ShareBlock(("only",), ("a", "b", "c"), 1.0),))
# Two blocks, one of 0.6 in all; a learning rate; a variant of the corpora.
MANY = Features(
    (ShareBlock(("one",), ("a", "b", "c"), 1.0), ShareBlock(("two",), ("a", "b"), 0.6)), True, 0, False, ("raw",)
)
ALL = pytest.mark.parametrize("response", responses(BLOCK), ids=lambda own: own.name)
ALL_MANY = pytest.mark.parametrize("response", responses(MANY), ids=lambda own: own.name)


@pytest.fixture(autouse=True)
def _no_warning_leaks() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def shares(count: int, seed: int, width: int = 3) -> Array:
    return np.random.default_rng(seed).dirichlet(np.ones(width), count)


def many(count: int, seed: int) -> Array:
    draws = np.random.default_rng(seed)
    rates, raw = np.log2(draws.choice([1e-5, 3e-5], count)), draws.integers(0, 2, count)
    return np.column_stack([shares(count, seed), 0.6 * shares(count, seed + 1, 2), rates, raw])


def law(rows: Array) -> Array:
    return np.asarray(1.5 + np.exp(-1 + rows[:, :3] @ [-3.0, -1.0, 0.5]))


def test_a_plane_is_found_exactly() -> None:
    rows, others = many(20, 1), many(50, 2)
    slopes = np.array([0.3, -0.2, 0.1, -0.4, 0.2, 0.05, 0.1])
    predictor = Linear(MANY).fit(rows, 3 + rows @ slopes, 1)
    assert predictor.predict(others) == pytest.approx(3 + others @ slopes, abs=1e-6)


def test_a_scheffe_polynomial_of_the_logarithm_is_found_exactly() -> None:
    def true(rows: Array) -> Array:
        one, two, three = rows.T
        return np.asarray(np.exp(0.8 * one + 1.1 * two + 0.9 * three - 0.7 * one * two + 0.4 * two * three))

    predictor = Quadratic(BLOCK).fit(shares(12, 1), true(shares(12, 1)), 1)
    assert predictor.predict(shares(50, 2)) == pytest.approx(true(shares(50, 2)), rel=1e-5)


def test_interactions_of_blocks_and_learning_rates_are_found_where_trials_suffice() -> None:
    def true(rows: Array) -> Array:
        return np.asarray(np.exp(1 + 0.3 * rows[:, 0] * (rows[:, 5] + 16) - 0.2 * rows[:, 3] * rows[:, 6]))

    predictor = Quadratic(MANY).fit(many(80, 1), true(many(80, 1)), 1)
    assert predictor.predict(many(50, 3)) == pytest.approx(true(many(50, 3)), rel=1e-4)


def test_the_mixing_law_finds_its_parameters() -> None:
    rows = shares(24, 3)
    found = fit_law(rows, law(rows))
    assert found.floor == pytest.approx(1.5, abs=1e-3)
    # Slopes are known up to a constant: the shares sum to 1.
    assert found.slopes - found.slopes.mean() == pytest.approx(np.array([-3.0, -1.0, 0.5]) + 3.5 / 3, abs=0.01)
    assert found.predict(shares(50, 4)) == pytest.approx(law(shares(50, 4)), abs=1e-4)


def test_the_mixing_law_is_robust_to_a_trial_that_went_wrong() -> None:
    rows = shares(24, 3)
    losses = law(rows) + 0.001 * np.random.default_rng(1).standard_normal(24)
    losses[5] += 0.5
    assert fit_law(rows, losses).predict(shares(50, 4)) == pytest.approx(law(shares(50, 4)), abs=0.02)


@given(seed=st.integers(0, 10**6), spread=st.sampled_from([1e-6, 1e-3, 0.3, 3.0]))
@settings(max_examples=30, deadline=None)
def test_the_mixing_laws_floor_is_between_nothing_and_the_smallest_loss(seed: int, spread: float) -> None:
    draws = np.random.default_rng(seed)
    rows, losses = shares(16, seed), 0.5 + spread * draws.random(16)
    found = fit_law(rows, losses)
    assert 0 <= found.floor <= losses.min()
    assert np.isfinite(found.predict(np.eye(3))).all()


def test_the_gaussian_process_is_scikit_learns_on_roots_of_shares() -> None:
    rows, others = shares(20, 5), shares(30, 6)
    losses = law(rows) + 0.01 * np.random.default_rng(1).standard_normal(20)
    scale = np.sqrt(rows).std(axis=0).mean()
    kernel = ConstantKernel() * RBF([2.0] * 3, (0.3, 10)) + WhiteKernel(1e-3, (1e-7, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=3, random_state=0)
        oracle.fit(np.sqrt(rows) / scale, np.log(losses))
    predictor = GaussianProcess(BLOCK).fit(rows, losses, 1)
    assert predictor.predict(others) == pytest.approx(np.exp(oracle.predict(np.sqrt(others) / scale)), rel=1e-3)


def test_the_gaussian_process_goes_between_trials_that_contradict_each_other() -> None:
    rows = np.repeat(shares(12, 7), 2, axis=0)
    noise = np.tile([0.02, -0.02], 12)
    predictor = GaussianProcess(BLOCK).fit(rows, law(rows) + noise, 1)
    assert predictor.predict(rows) == pytest.approx(law(rows), abs=0.02)


def test_trees_find_a_step_and_do_not_go_beyond_what_was_measured() -> None:
    rows = shares(60, 8)
    losses = np.where(rows[:, 0] > 0.4, 2.0, 3.0)
    predicted = Boosted(BLOCK).fit(rows, losses, 1).predict(shares(200, 9))
    far = np.abs(shares(200, 9)[:, 0] - 0.4) > 0.1
    assert predicted[far] == pytest.approx(np.where(shares(200, 9)[:, 0] > 0.4, 2.0, 3.0)[far], abs=0.05)
    assert predicted.min() >= 2 - 1e-3
    assert predicted.max() <= 3 + 1e-3


def test_the_ridge_is_the_one_with_the_smallest_errors_on_left_out_trials() -> None:
    draws = np.random.default_rng(1)
    rows, slopes = draws.standard_normal((15, 8)), np.array([1, -1, *[0] * 6])
    values = rows @ slopes + 0.7 * draws.standard_normal(15)
    plane = fit_ridge(rows, values)
    # The plane of each ridge with every trial left out in turn, by solving for it.
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)

    def solved(ridge: float, kept: Array) -> Array:
        # The mean is a column of its own that no ridge shrinks, and columns keep the scale of all trials.
        columns = np.column_stack([np.ones(15), scaled])[kept]
        return np.linalg.solve(columns.T @ columns + ridge * np.diag([0.0, *[1.0] * 8]), columns.T @ values[kept])

    def error(ridge: float) -> float:
        left_out = [np.arange(15) != own for own in range(15)]
        guesses = [np.array([1, *scaled[~kept][0]]) @ solved(ridge, kept) for kept in left_out]
        return float(np.sum((values - guesses) ** 2))

    best = min(15 * np.logspace(-8, 2, 21), key=error)
    assert 1e-3 < best < 1000
    assert plane.slopes == pytest.approx(solved(best, np.ones(15, dtype=bool))[1:], rel=1e-6)


@ALL_MANY
def test_the_order_of_trials_changes_no_byte(response: Response) -> None:
    rows = many(24, 1)
    losses = law(rows) + 0.01 * np.random.default_rng(2).standard_normal(24)
    expected = response.fit(rows, losses, 1).predict(many(20, 3))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(24)
        assert response.fit(rows[order], losses[order], 1).predict(many(20, 3)).tobytes() == expected.tobytes()


@ALL_MANY
def test_all_losses_alike_are_predicted_alike(response: Response) -> None:
    predictor = response.fit(many(24, 1), np.full(24, 1.7), 1)
    assert predictor.predict(many(9, 2)) == pytest.approx(np.full(9, 1.7), rel=1e-12)


@ALL_MANY
@pytest.mark.parametrize("spread", [1e-12, 1e-8, 1e-5])
def test_losses_that_are_nearly_alike_are_predicted_so(response: Response, spread: float) -> None:
    losses = 1.7 + spread * np.random.default_rng(1).standard_normal(24)
    predicted = response.fit(many(24, 1), losses, 1).predict(many(9, 2))
    assert predicted == pytest.approx(np.full(9, 1.7), abs=100 * spread + 1e-9)


@ALL_MANY
def test_one_mixture_alone_gives_its_mean(response: Response) -> None:
    rows = np.repeat(many(1, 1), 12, axis=0)
    losses = np.linspace(1, 2, 12)
    assert response.fit(rows, losses, 1).predict(many(4, 2)) == pytest.approx(np.full(4, 1.5))


@ALL_MANY
@given(seed=st.integers(0, 10**6), count=st.integers(2, 9))
@settings(max_examples=8, deadline=None)
def test_few_and_repeated_trials_do_not_blow_up(response: Response, seed: int, count: int) -> None:
    rows = many(count, seed)[np.random.default_rng(seed).integers(0, count, 12)]
    losses = 2 + np.random.default_rng(seed).random(12)
    predicted = response.fit(rows, losses, 1).predict(many(40, seed + 9))
    assert np.isfinite(predicted).all()
    fitted = response.fit(rows, losses, 1).predict(rows)
    assert 1 < fitted.min() <= fitted.max() < 4


@ALL
def test_losses_in_another_unit_give_predictions_in_that_unit(response: Response) -> None:
    rows, others = shares(24, 1), shares(9, 2)
    losses = law(rows) + 0.01 * np.random.default_rng(2).standard_normal(24)
    ours, theirs = (response.fit(rows, scale * losses, 1).predict(others) / scale for scale in (1.0, 4.0))
    assert theirs == pytest.approx(ours, rel=1e-3)


@ALL
def test_a_category_that_does_not_vary_changes_nothing_between_trials(response: Response) -> None:
    four = Features((ShareBlock(("only",), ("a", "b", "c", "fixed"), 1.0),))
    other = next(own for own in responses(four) if own.name == response.name)
    rows, losses = shares(24, 1), law(shares(24, 1))
    wider = np.column_stack([0.9 * rows, np.full(24, 0.1)])
    ours, theirs = response.fit(rows, losses, 1).predict(rows), other.fit(wider, losses, 1).predict(wider)
    assert theirs == pytest.approx(ours, rel=0.01)


def test_all_responses_are_there_and_a_wider_mixture_takes_more_trials() -> None:
    found = responses(BLOCK)
    assert [own.name for own in found] == ["linear", "quadratic", "exponential", "gaussian_process", "boosted"]
    for own in found[:-1]:
        assert own.min_trials(3) < own.min_trials(6)


@pytest.mark.parametrize("seed", range(5))
def test_the_known_optimum_of_languages_that_interfere_is_found(seed: int) -> None:
    """28 trials with noise of 0.005 bits: the optimum within 5 points, ranks of other mixtures above 0.9."""
    weights = np.array(markov_losses.WEIGHTS[seed])
    languages, rows = markov_losses.tables(seed), markov_losses.mixtures(28, seed)
    noise = 0.005 * np.random.default_rng([seed, 1]).standard_normal((28, 3))
    measured = markov_losses.losses(languages, rows) + noise
    process = GaussianProcess(markov_losses.FEATURES)
    predictors = [process.fit(rows, own, 1) for own in measured.T]

    def predict(mixtures: Array) -> Array:
        return np.asarray(np.column_stack([own.predict(mixtures) for own in predictors]) @ weights)

    candidates, others = markov_losses.grid(rows), shares(200, seed + 50)
    best = candidates[int(np.argmin(predict(candidates)))]
    assert np.abs(best - weights).max() <= 0.05 + 1e-9
    assert spearmanr(predict(others), markov_losses.losses(languages, others) @ weights).statistic >= 0.9


def test_a_known_optimum_is_where_the_losses_are_smallest() -> None:
    """What the test above rests on, by search."""
    everywhere = markov_losses.grid(np.eye(3))
    inner = everywhere[(everywhere > 0).all(axis=1)]
    for seed, weights in enumerate(markov_losses.WEIGHTS):
        found = inner[int(np.argmin(markov_losses.losses(markov_losses.tables(seed), inner) @ weights))]
        assert np.abs(found - weights).max() <= 0.01
