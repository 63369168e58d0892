"""Finished trials become numbers: changes, the objective and forgetting are what one would compute by hand."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from configs.load import validate_config
from pretrain.run.run_config import RunConfig
from pretrain.sweep.analysis.features import Features, ShareBlock
from pretrain.sweep.analysis.observations import Observations, observe
from pretrain.sweep.sweep_config import Objective
from pretrain.sweep.trial import Outcome, Point, Status, Trial

FEATURES = Features((ShareBlock(("only",), ("Greek", "English"), 1.0),))
START = {"el": 2.0, "en": 1.0, "fi": 4.0}


def run(new: bool = False, forgetting: tuple[str, ...] = ("en",)) -> RunConfig:
    shape = {
        "family": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "layers": 1, "heads": 1,
        "kv_heads": 1, "head_dim": 8, "max_positions": 8, "qkv_bias": False, "tied_head": True,
    }  # fmt: skip
    data = {
        "name": "r",
        "mixture": "m",
        "model": {"shape": shape} if new else {"path": "model"},
        "batch": {"tokens": 8, "micro_tokens": 8},
        "evaluation": {"forgetting": list(forgetting)},
    }
    return validate_config(data, RunConfig, "run.yaml")


def trial(number: int, greek: str = "0.5", kind: str = "", seed: int = 1) -> Trial:
    share = Fraction(greek)
    point = Point(shares={"only": {"Greek": share, "English": 1 - share}}, seed=seed)
    data = {"id": f"t{number}", "number": number, "kind": kind or ("design" if number else "base"), "point": point}
    return Trial.model_validate(data)


def ended(number: int, last: Mapping[str, float], status: Status = "finished", **first: float) -> Outcome:
    return Outcome(trial=f"t{number}", status=status, first=START | first, last=dict(last))


BASE, OTHER = {"el": 1.6, "en": 1.01, "fi": 3.0}, {"el": 1.4, "en": 1.05, "fi": 3.4}
TRIALS = [trial(0), trial(1, "0.8")]
OUTCOMES = [ended(0, BASE), ended(1, OTHER)]


def seen(objective: Objective | None = None, new: bool = False) -> Observations:
    return observe(TRIALS, OUTCOMES, FEATURES, objective or Objective(), run(new))


def test_changes_are_against_the_start_of_a_model_that_was_trained_before() -> None:
    found = seen()
    assert found.compare_with == "start"
    assert found.languages == ("el", "en", "fi")
    assert found.weights == {"el": 0.5, "fi": 0.5}
    assert found.adaptation() == pytest.approx([(-0.2 - 0.25) / 2, (-0.3 - 0.15) / 2])
    assert found.forgetting() == pytest.approx([0.01, 0.05])
    assert found.matrix.tolist() == [[0.5, 0.5], [0.8, 0.2]]
    assert found.notes == ()


def test_changes_are_against_the_end_of_the_base_trial_of_a_new_model() -> None:
    found = seen(new=True)
    assert found.compare_with == "base"
    assert found.adaptation() == pytest.approx([0, ((1.4 / 1.6 - 1) + (3.4 / 3.0 - 1)) / 2])
    assert found.forgetting() == pytest.approx([0, 1.05 / 1.01 - 1])


def test_what_changes_are_against_can_be_given() -> None:
    assert seen(Objective(compare_with="start"), new=True).adaptation() == pytest.approx(seen().adaptation())
    assert seen(Objective(compare_with="base")).adaptation() == pytest.approx(seen(new=True).adaptation())


def test_weights_of_the_user_sum_to_one_and_may_name_what_may_be_forgotten() -> None:
    found = seen(Objective(weights={"el": 3, "en": 1}))
    assert found.weights == {"el": 0.75, "en": 0.25}
    assert found.adaptation() == pytest.approx([0.75 * -0.2 + 0.25 * 0.01, 0.75 * -0.3 + 0.25 * 0.05])


def test_weights_of_a_language_without_held_out_texts_are_refused_with_those_that_have_some() -> None:
    with pytest.raises(UserError, match=r"no held-out texts of de; there are some of el, en, fi"):
        seen(Objective(weights={"de": 1, "el": 1}))


def test_a_run_that_may_forget_all_its_languages_adapts_to_none() -> None:
    with pytest.raises(UserError, match=r"no language is left to adapt to.*objective\.weights of some of el, en, fi"):
        observe(TRIALS, OUTCOMES, FEATURES, Objective(), run(forgetting=("el", "en", "fi")))


def test_without_languages_that_may_be_forgotten_there_is_no_forgetting() -> None:
    found = observe(TRIALS, OUTCOMES, FEATURES, Objective(), run(forgetting=("zh",)))
    assert found.forgetting() is None
    assert found.forgetting_languages == ()
    assert sorted(found.weights) == ["el", "en", "fi"]


def test_only_finished_trials_of_the_design_are_seen_in_the_order_of_their_numbers() -> None:
    statuses: list[Status] = ["stopped", "diverged", "out_of_memory", "killed", "timed_out", "failed", "infeasible"]
    bad = [ended(number, {}, status) for number, status in enumerate(statuses, 10)]
    trials = [trial(own + 10) for own in range(len(bad))] + [trial(30), trial(5, kind="scaling"), *TRIALS[::-1]]
    trials.append(trial(6, kind="confirmation"))
    found = observe(trials, [*bad, ended(5, OTHER), ended(6, OTHER), *OUTCOMES], FEATURES, Objective(), run())
    assert found.numbers == (0, 1)
    assert found.ids == ("t0", "t1")


def test_a_language_that_a_trial_did_not_measure_is_left_out_with_a_note() -> None:
    without = {name: loss for name, loss in OTHER.items() if name != "fi"}
    found = observe(TRIALS, [OUTCOMES[0], ended(1, without)], FEATURES, Objective(), run())
    assert found.languages == ("el", "en")
    assert found.weights == {"el": 1.0}
    assert "fi is left out: only 1 of 2" in found.notes[0]
    assert "the objective is without fi" in found.notes[1]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_loss_that_is_none_is_not_measured(loss: float) -> None:
    found = observe(TRIALS, [OUTCOMES[0], ended(1, OTHER | {"fi": loss})], FEATURES, Objective(), run())
    assert found.languages == ("el", "en")
    found = observe(TRIALS, [OUTCOMES[0], ended(1, OTHER, fi=loss)], FEATURES, Objective(), run())
    assert found.languages == ("el", "en")


def test_without_the_base_trial_its_mixture_with_another_seed_stands_in_then_the_median() -> None:
    trials = [*TRIALS, trial(2, seed=2)]
    twin = {"el": 1.7, "en": 1.0, "fi": 3.1}
    outcomes = [ended(0, {}, "killed"), OUTCOMES[1], ended(2, twin)]
    found = observe(trials, outcomes, FEATURES, Objective(), run(new=True))
    assert found.reference == pytest.approx([1.7, 1.0, 3.1])
    assert "changes are against trial 2" in found.notes[0]
    found = observe(trials[:2], outcomes[:2], FEATURES, Objective(), run(new=True))
    assert found.adaptation() == pytest.approx([0])
    assert "against the median" in found.notes[0]


def test_no_finished_trial_is_no_error() -> None:
    for outcomes in ([], [ended(0, {}, "failed")]):
        found = observe(TRIALS, outcomes, FEATURES, Objective(), run())
        assert len(found) == 0
        assert found.matrix.shape == (0, 2)
        assert found.adaptation().shape == (0,)
        assert found.reference.shape == (0,)


def test_predictions_are_read_as_measurements_are() -> None:
    found = seen()
    assert found.objective_value(found.losses) == pytest.approx(found.adaptation())
    assert found.objective_value(found.losses[1]) == pytest.approx(found.adaptation()[1])
    assert found.forgetting_value(found.losses) == pytest.approx(found.forgetting())
    assert found.objective_value(np.stack([found.losses] * 3)).shape == (3, 2)


def test_trials_can_be_taken_several_times() -> None:
    found = seen().take([1, 1, 0])
    assert found.numbers == (1, 1, 0)
    assert found.adaptation() == pytest.approx(seen().adaptation()[[1, 1, 0]])


@given(
    last=st.lists(st.tuples(*[st.floats(0.1, 9)] * 3), min_size=1, max_size=6),
    weights=st.dictionaries(st.sampled_from(["el", "en", "fi"]), st.floats(0.01, 100), min_size=1),
    data=st.data(),
)
def test_the_objective_is_the_weighted_mean_whatever_the_order(
    last: list[tuple[float, float, float]], weights: dict[str, float], data: st.DataObject
) -> None:
    trials = [trial(number) for number in range(len(last))]
    outcomes = [ended(number, dict(zip(("el", "en", "fi"), own, strict=True))) for number, own in enumerate(last)]
    objective = Objective(weights=weights)
    found = observe(trials, outcomes, FEATURES, objective, run())
    total = sum(weights.values())
    for value, outcome in zip(found.adaptation(), outcomes, strict=True):
        by_hand = sum(weights[name] * (outcome.last[name] / START[name] - 1) for name in weights) / total
        assert value == pytest.approx(by_hand, abs=1e-12)
    mixed = observe(
        data.draw(st.permutations(trials)), data.draw(st.permutations(outcomes)), FEATURES, objective, run()
    )
    assert mixed.losses.tobytes() == found.losses.tobytes()
    assert mixed.weights == found.weights
