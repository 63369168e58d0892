"""The recommended mixture where the best one is known: inside, at bounds, cut off by forgetting or by the caps."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest

from pretrain.sweep.analysis.analysis_schema import Recommendation
from pretrain.sweep.analysis.recommend import Resolves, recommend
from pretrain.sweep.trial import Point
from tests.pretrain.sweep.known_sweeps import (
    LeastSquares,
    Losses,
    Sweep,
    bowl,
    known_sweep,
    mixture_config,
    share,
    sweep_config,
)

NAMES = ("Greek", "Finnish", "English")


def can_be_read(point: Point) -> None:
    return None


def recommended(sweep: Sweep, resolves: Resolves = can_be_read, seed: int = 1) -> Recommendation:
    found = recommend(sweep.observations(), LeastSquares(), sweep.space(), sweep.config, seed, resolves)
    assert isinstance(found, Recommendation), found
    assert all(sum(shares.values()) == 1 for shares in found.point.shares.values())
    return found


def shares_of(point: Point) -> list[float]:
    return [share(point, name) for name in NAMES]


def test_an_optimum_inside_is_found() -> None:
    found = recommended(known_sweep(bowl(0.45, 0.25)))
    assert shares_of(found.point) == pytest.approx([0.45, 0.25, 0.3], abs=0.0011)
    assert found.optimum is None
    assert found.bounds == ()
    assert found.objective.value == pytest.approx(-0.2, abs=1e-5)
    assert found.base_objective == pytest.approx(-0.2 + (0.15**2 + 0.05**2) / 2)
    assert found.losses["el"].value == pytest.approx(1.6, abs=1e-5)
    assert found.better_than_base == 1
    # Without noise each sample of the trials says the same.
    assert found.shares["only"]["Greek"].low == pytest.approx(0.45, abs=0.0011)
    assert found.shares["only"]["Greek"].high == pytest.approx(0.45, abs=0.0011)


def test_shares_are_whole_permille() -> None:
    found = recommended(known_sweep(bowl(0.4447, 0.2553)))
    assert all((1000 * own).denominator == 1 for own in found.point.shares["only"].values())


def test_an_optimum_beyond_a_bound_of_the_user_stops_there() -> None:
    config = sweep_config(constraints={"shares": {"Greek": {"max": "35%"}}})
    found = recommended(known_sweep(bowl(0.45, 0.25), config))
    # With Greek fixed, Finnish is where its own bowl is lowest.
    assert shares_of(found.point) == pytest.approx([0.35, 0.25, 0.4], abs=0.0011)
    assert found.bounds == ("Greek is at its upper bound 35%",)


def test_bounds_that_are_no_whole_permille_are_kept_exactly() -> None:
    config = sweep_config(constraints={"shares": {"Greek": {"max": "1/3"}, "English": {"min": "0.33333"}}})
    found = recommended(known_sweep(bowl(0.6, 0.3), config))
    assert found.point.shares["only"]["Greek"] <= Fraction(1, 3)
    assert found.point.shares["only"]["English"] >= Fraction(33333, 100000)
    assert shares_of(found.point) == pytest.approx([1 / 3, 0.3, 1 - 1 / 3 - 0.3], abs=0.0021)


def test_the_bound_on_forgetting_cuts_the_optimum_off() -> None:
    # English rises by half of what its share falls below 0.4, so the bound of 2% is a share of 0.36; of the mixtures
    # there the nearest to the optimum is the best.
    found = recommended(known_sweep(bowl(0.45, 0.25, english=0.5)))
    assert shares_of(found.point) == pytest.approx([0.42, 0.22, 0.36], abs=0.0021)
    assert share(found.point, "English") >= 0.36 - 1e-9
    assert any("bound on forgetting holds it: en" in text for text in found.bounds)


def test_no_bound_on_forgetting_is_none() -> None:
    config = sweep_config(constraints={"max_forgetting": None})
    found = recommended(known_sweep(bowl(0.45, 0.25, english=0.5), config))
    assert shares_of(found.point) == pytest.approx([0.45, 0.25, 0.3], abs=0.0011)
    assert found.bounds == ()


def test_a_bound_that_nothing_keeps_says_how_far_it_is() -> None:
    def forgetful(point: Point) -> Mapping[str, float]:
        return dict(bowl(0.45, 0.25)(point)) | {"en": 1.2 - 0.1 * share(point, "English")}

    config = sweep_config(constraints={"shares": {"English": {"max": "50%"}}})
    sweep = known_sweep(forgetful, config)
    found = recommend(sweep.observations(), LeastSquares(), sweep.space(), config, 1, can_be_read)
    assert isinstance(found, str)
    # The most English there may be forgets least: 1.2 - 0.1 * 0.5.
    assert "en rises by 15.00%" in found
    assert "more than 2.00%" in found


def test_caps_on_epochs_stop_on_the_way_from_the_base_mixture() -> None:
    asked: list[Point] = []

    def little_greek(point: Point) -> str | None:
        asked.append(point)
        return f"Greek {share(point, 'Greek'):.1%} is read 9 times" if share(point, "Greek") > 0.4 else None

    found = recommended(known_sweep(bowl(0.45, 0.25)), little_greek)
    assert found.optimum is not None
    assert shares_of(found.optimum) == pytest.approx([0.45, 0.25, 0.3], abs=0.0011)
    assert shares_of(found.point) == pytest.approx([0.4, 0.8 / 3, 1 / 3], abs=0.0021)
    assert share(found.point, "Greek") <= 0.4
    assert len(asked) <= 12
    assert any("read 9 times" in text for text in found.bounds)
    # Losses and intervals are those of the mixture that is recommended.
    assert found.losses["el"].value == pytest.approx(2 * (0.8 + 0.05**2), abs=1e-3)
    assert found.shares["only"]["Greek"].low == pytest.approx(0.4, abs=0.003)


def test_a_base_mixture_that_cannot_be_read_has_no_recommendation() -> None:
    sweep = known_sweep(bowl(0.45, 0.25))
    found = recommend(
        sweep.observations(), LeastSquares(), sweep.space(), sweep.config, 1, lambda point: "el has 3 tokens"
    )
    assert isinstance(found, str)
    assert found.endswith("el has 3 tokens")


def variant_losses(point: Point) -> Mapping[str, float]:
    losses = bowl(0.45, 0.25)(point)
    rate = point.learning_rate or 1e-3
    worse = 0.05 * (np.log2(rate / 2e-3)) ** 2 + (0 if point.variant == "clean" else 0.1)
    return {language: loss + worse for language, loss in losses.items()}


OTHERS = {
    "shares": {"method": "dirichlet", "trials": 30},
    "learning_rate": [1e-3, 2e-3, 4e-3],
    "corpora": {"raw": {}, "clean": {"Greek": "Greek-clean"}},
}


def test_other_axes_are_chosen_among_what_was_tried() -> None:
    config = sweep_config(design=OTHERS, constraints={"max_forgetting": None})
    found = recommended(known_sweep(variant_losses, config))
    assert (found.point.learning_rate, found.point.variant) == (2e-3, "clean")
    assert shares_of(found.point) == pytest.approx([0.45, 0.25, 0.3], abs=0.0021)
    assert found.bounds == ()


def test_a_learning_rate_at_the_end_of_what_was_tried_is_told() -> None:
    design = OTHERS | {"learning_rate": [5e-4, 1e-3]}
    config = sweep_config(design=design, constraints={"max_forgetting": None})
    found = recommended(known_sweep(variant_losses, config))
    assert found.bounds == ("the learning rate 0.001 is the highest that was tried",)


def test_a_variant_that_cannot_be_read_at_all_gives_way() -> None:
    config = sweep_config(design=OTHERS, constraints={"max_forgetting": None})
    found = recommended(
        known_sweep(variant_losses, config),
        lambda point: "el-clean has too few tokens" if point.variant == "clean" else None,
    )
    assert found.point.variant == "raw"
    assert found.optimum is not None
    assert found.optimum.variant == "clean"
    assert any("too few tokens" in text for text in found.bounds)


def test_without_shares_the_best_of_the_other_axes_is_found() -> None:
    config = sweep_config(design={"learning_rate": [1e-3, 2e-3, 4e-3, 8e-3]}, constraints={"max_forgetting": None})
    found = recommended(known_sweep(rates_alone, config))
    assert found.point.learning_rate == 2e-3
    assert found.shares == {}


def rates_alone(point: Point) -> Mapping[str, float]:
    worse = 0.05 * np.log2((point.learning_rate or 1e-3) / 2e-3) ** 2
    return {"el": 1.6 + worse, "fi": 1.6 + worse, "en": 1.0}


def test_shares_go_beyond_what_was_tried_only_where_the_user_bounds_them() -> None:
    axis = {"method": "dirichlet", "trials": 24, "bounds": {"Greek": {"min": "20%", "max": "40%"}}}
    sweep = known_sweep(bowl(0.6, 0.2), sweep_config(design={"shares": axis}))
    most = max(trial.point.shares["only"]["Greek"] for trial in sweep.trials)
    found = recommended(sweep)
    assert share(found.point, "Greek") == pytest.approx(float(most), abs=0.001)
    assert any(text.startswith("Greek is at") and "the most that was tried" in text for text in found.bounds)
    assert found.beyond == ()
    config = sweep_config(design={"shares": axis}, constraints={"shares": {"Greek": {"max": 1}}})
    further = recommended(known_sweep(bowl(0.6, 0.2), config))
    assert shares_of(further.point) == pytest.approx([0.6, 0.2, 0.2], abs=0.0021)
    assert len(further.beyond) == 1
    assert further.beyond[0].startswith("Greek is at 60%, more than in any trial")


def test_each_stage_has_its_own_shares() -> None:
    def two_bowls(point: Point) -> Mapping[str, float]:
        first, second = (Point(shares={name: shares}) for name, shares in point.shares.items())
        one, other = bowl(0.45, 0.25)(first), bowl(0.25, 0.4)(second)
        return {language: (one[language] + other[language]) / 2 for language in one}

    axes = [{"method": "dirichlet", "trials": 60, "stages": [stage]} for stage in ("early", "late")]
    mixture = mixture_config(stages=("early", "late"))
    found = recommended(known_sweep(two_bowls, sweep_config(design={"shares": axes}), mixture))
    assert list(found.shares) == ["early", "late"]
    early, late = (Point(shares={stage: found.point.shares[stage]}) for stage in ("early", "late"))
    assert shares_of(early) == pytest.approx([0.45, 0.25, 0.3], abs=0.0031)
    assert shares_of(late) == pytest.approx([0.25, 0.4, 0.35], abs=0.0031)


def test_the_order_of_the_trials_does_not_matter() -> None:
    sweep = known_sweep(bowl(0.45, 0.25), noise=0.01)
    turned = sweep._replace(trials=sweep.trials[::-1], outcomes=sweep.outcomes[3:] + sweep.outcomes[:3])
    assert recommended(sweep) == recommended(turned)


def covered(losses: Losses, optimum: Mapping[str, float], sweeps: int) -> list[bool]:
    """Return whether the intervals of shares hold the best ones, for sweeps whose noise is drawn anew."""
    design = {"shares": {"method": "dirichlet", "trials": 40}}
    found = []
    for seed in range(sweeps):
        config = sweep_config(design=design, analysis={"bootstrap": 40, "candidates": 200})
        shares = recommended(known_sweep(losses, config, noise=0.02, seed=seed), seed=seed).shares["only"]
        found += [shares[name].low <= own <= shares[name].high for name, own in optimum.items()]
    return found


@pytest.mark.slow
def test_intervals_hold_the_best_shares_about_as_often_as_they_say() -> None:
    found = covered(bowl(0.4, 0.3), {"Greek": 0.4, "Finnish": 0.3, "English": 0.3}, sweeps=30)
    assert 0.75 <= np.mean(found) <= 0.99


def test_intervals_are_wide_where_the_noise_is() -> None:
    quiet, loud = (recommended(known_sweep(bowl(0.4, 0.3), noise=noise)) for noise in (0.001, 0.02))
    widths = [max(own.high - own.low for own in found.shares["only"].values()) for found in (quiet, loud)]
    assert widths[0] < widths[1] / 4
    assert loud.objective.high - loud.objective.low > 4 * (quiet.objective.high - quiet.objective.low)
