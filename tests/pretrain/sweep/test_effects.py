"""What a variant of the corpora changes, against scipy's paired t-test, and the noise between seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pretrain.sweep.analysis.effects import paired_interval, seed_noise, variant_effects
from pretrain.sweep.trial import Point
from tests.pretrain.sweep.known_sweeps import bowl, known_sweep, mixture_config, sweep_config

VARIANTS = {"with": {}, "without": {"Greek": "Greek-raw"}, "both": {"Greek": "Greek-raw", "Finnish": "Finnish-raw"}}
CROSSED = {
    "shares": {"method": "dirichlet", "trials": 5},
    "corpora": VARIANTS,
    "seeds": [1, 2],
    "combine": "cross",
}


def filtered(point: Point) -> Mapping[str, float]:
    """Greek is 3% worse without the filter, all else is as it was."""
    losses = dict(bowl(0.4, 0.3)(point))
    return losses | {"el": losses["el"] * (1 if point.variant == "with" else 1.03)}


def test_an_effect_is_found_where_it_is_and_nowhere_else() -> None:
    sweep = known_sweep(filtered, sweep_config(design=CROSSED), noise=1e-3)
    effects, notes = variant_effects(sweep.observations(), tuple(VARIANTS))
    assert not notes
    assert {own.variant for own in effects} == {"without", "both"}
    assert {own.against for own in effects} == {"with"}
    found = {own.target: own for own in effects if own.variant == "without"}
    assert list(found) == ["objective", "el", "en", "fi"]
    assert found["el"].pairs == 12  # the base mixture and 5 others, with 2 seeds each
    assert found["el"].words == found["objective"].words == "worse"
    assert found["el"].change.value == pytest.approx(0.03, abs=0.002)
    # Half of the objective is Greek, which has a loss of about 0.8 of its start's.
    assert found["objective"].change.value == pytest.approx(0.03 * 0.5 * 0.81, abs=0.002)
    assert found["fi"].words == found["en"].words == "no difference seen"


def test_the_other_way_round_the_same_effect_is_better() -> None:
    sweep = known_sweep(filtered, sweep_config(design=CROSSED), noise=1e-3)
    effects, _ = variant_effects(sweep.observations(), ("without", "with"))
    assert {own.target: own.words for own in effects}["el"] == "better"


def test_pairs_of_which_one_did_not_finish_do_not_count() -> None:
    sweep = known_sweep(filtered, sweep_config(design=CROSSED))
    lost = {trial.id for trial in sweep.trials if trial.point.variant == "without"}
    kept = next(iter(sorted(lost)))
    done = tuple(own for own in sweep.outcomes if own.trial not in lost or own.trial == kept)
    effects, notes = variant_effects(sweep._replace(outcomes=done).observations(), tuple(VARIANTS))
    assert {own.variant for own in effects} == {"both"}
    assert len(notes) == 1
    assert "'without'" in notes[0]
    assert "there is 1" in notes[0]


def test_nothing_is_compared_without_variants() -> None:
    assert variant_effects(known_sweep(bowl(0.4, 0.3)).observations(), ()) == ((), ())


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12).filter(lambda own: len(set(own)) > 1))
def test_the_interval_is_that_of_a_paired_t_test(differences: list[float]) -> None:
    found = paired_interval(np.array(differences))
    expected = stats.ttest_rel(differences, np.zeros(len(differences))).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.value == pytest.approx(statistics.fmean(differences), abs=1e-12)


def test_the_noise_is_that_between_seeds_of_a_mixture() -> None:
    design = {"shares": {"method": "dirichlet", "trials": 100}, "seeds": [1, 2, 3], "combine": "cross"}
    sweep = known_sweep(bowl(0.4, 0.3), sweep_config(design=design), noise=0.02)
    # The mean of two languages, each of a standard deviation of 0.02 / 2.0.
    assert seed_noise(sweep.observations()) == pytest.approx(0.01 / np.sqrt(2), rel=0.15)


def test_no_mixture_with_two_seeds_has_no_noise() -> None:
    assert seed_noise(known_sweep(bowl(0.4, 0.3), mixture=mixture_config()).observations()) is None
