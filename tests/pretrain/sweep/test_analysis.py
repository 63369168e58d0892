"""All of the analysis: what is said of a whole sweep, of a part of one, and of none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain.sweep.analysis import analysis
from pretrain.sweep.analysis.analysis import add_confirmation, analyse
from pretrain.sweep.analysis.analysis_schema import Analysis
from pretrain.sweep.analysis.cross_validation import Choice
from pretrain.sweep.analysis.observations import Observations
from pretrain.sweep.sweep_config import AnalysisConfig
from pretrain.sweep.trial import Outcome, Point, Status, Trial
from tests.pretrain.sweep.known_sweeps import (
    LeastSquares,
    Losses,
    Sweep,
    bowl,
    finished,
    known_sweep,
    mixture_config,
    share,
    sweep_config,
)

STATUSES: tuple[Status, ...] = (
    "finished", "stopped", "diverged", "out_of_memory", "killed", "timed_out", "failed", "infeasible",
)  # fmt: skip
SCALING = {"run": "large.yaml", "trials": 8}


def analysed(sweep: Sweep, models: tuple[int, int] | None = None) -> Analysis:
    found = analyse(sweep.config, sweep.mixture, sweep.run, sweep.trials, sweep.outcomes, models, lambda point: None)
    # What is written has to be read again, and JSON has no infinity.
    text = json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert Analysis.model_validate_json(text) == found
    return found


def with_larger(sweep: Sweep, losses: Losses, count: int = 8) -> Sweep:
    """Return a sweep whose first mixtures were trained on another proxy, too."""
    added = [
        Trial(
            id=f"s{trial.number}", number=len(sweep.trials) + place, kind="scaling", point=trial.point, of=trial.number
        )
        for place, trial in enumerate(sweep.trials[:count])
    ]
    outcomes = [finished(trial, losses(trial.point)) for trial in added]
    return sweep._replace(trials=(*sweep.trials, *added), outcomes=(*sweep.outcomes, *outcomes))


def confirmed(sweep: Sweep, point: Point, last: Mapping[str, float], status: Status = "finished") -> Sweep:
    trial = Trial(id="c", number=len(sweep.trials), kind="confirmation", point=point)
    outcome = finished(trial, last).model_copy(update={"status": status, "cause": "" if last else "no memory"})
    return sweep._replace(trials=(*sweep.trials, trial), outcomes=(*sweep.outcomes, outcome))


def test_a_whole_sweep_is_read() -> None:
    losses = bowl(0.45, 0.25)
    sweep = with_larger(known_sweep(losses, noise=0.002), lambda point: {k: 0.9 * v for k, v in losses(point).items()})
    found = analysed(sweep, models=(1000, 5000))
    assert found.weights == {"el": 0.5, "fi": 0.5}
    assert (found.compare_with, found.forgetting) == ("start", ("en",))
    assert len(found.measured) == 25
    assert found.left_out == ()
    assert {own.response for own in found.fits} >= {"linear", "quadratic", "gaussian_process"}
    assert found.chosen in {own.response for own in found.fits}
    assert found.recommendation is not None
    assert share(found.recommendation.point, "Greek") == pytest.approx(0.45, abs=0.05)
    assert share(found.recommendation.point, "Finnish") == pytest.approx(0.25, abs=0.05)
    assert found.scaling is not None
    assert found.scaling.trials == 8
    assert found.scaling.weights == (1000, 5000)
    assert found.scaling.rank_correlation is not None
    assert found.scaling.rank_correlation.value > 0.9
    assert any(own.front for own in found.measured)
    assert all(own.predicted == pytest.approx(own.adaptation, abs=0.02) for own in found.measured)
    assert "el 0.5, fi 0.5" in found.objective


def test_the_order_of_trials_and_outcomes_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    sweep = known_sweep(bowl(0.45, 0.25), noise=0.01)
    turned = sweep._replace(trials=sweep.trials[::-1], outcomes=(*sweep.outcomes[7:], *sweep.outcomes[:7]))
    assert analysed(sweep) == analysed(turned)


def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One response without cross-validation, so that many sweeps can be read."""

    def choose(seen: Observations, config: AnalysisConfig, seed: int) -> Choice:
        return Choice(LeastSquares(), (), None, ()) if len(seen) > 1 else Choice(None, (), None, ("too few",))

    monkeypatch.setattr(analysis, "choose_response", choose)


def end(sweep: Sweep, statuses: Sequence[Status | None]) -> Sweep:
    """Return the sweep with these ends; None is a trial that did not run."""
    outcomes = [
        own if status == "finished" else Outcome(trial=own.trial, status=status, cause=f"because of {status}")
        for own, status in zip(sweep.outcomes, statuses, strict=True)
        if status is not None
    ]
    return sweep._replace(outcomes=tuple(outcomes))


@given(st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_trials_may_have_failed(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    chosen(monkeypatch)
    design = {
        "shares": {"method": "dirichlet", "trials": 5},
        "seeds": [1, 2],
        "corpora": {"raw": {}, "clean": {"Greek": "Greek-clean"}},
    }
    config = sweep_config(
        design=design,
        scaling=SCALING,
        objective={"compare_with": data.draw(st.sampled_from(["start", "base"]))},
    )
    sweep = with_larger(known_sweep(bowl(0.45, 0.25), config), bowl(0.4, 0.3), count=4)
    sweep = confirmed(sweep, sweep.trials[3].point, bowl(0.45, 0.25)(sweep.trials[3].point))
    size = len(sweep.trials)
    kinds: st.SearchStrategy[Status | None] = st.sampled_from(("finished",) * 9 + (*STATUSES, None))
    statuses = data.draw(st.lists(kinds, min_size=size, max_size=size))
    found = analysed(end(sweep, statuses), models=(1, 2))
    done = {trial.id for trial, status in zip(sweep.trials, statuses, strict=True) if status == "finished"}
    assert [own.trial for own in found.left_out] == [trial.id for trial in sweep.trials if trial.id not in done]
    assert all(own.cause for own in found.left_out)
    ours = [trial.id for trial in sweep.trials if trial.kind in ("base", "design") and trial.id in done]
    assert [own.trial for own in found.measured] == ours
    assert found.recommendation is not None or found.notes


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8])
def test_few_finished_trials_say_as_much_as_they_can(count: int) -> None:
    sweep = known_sweep(bowl(0.45, 0.25))
    found = analysed(sweep._replace(outcomes=sweep.outcomes[:count]))
    assert len(found.measured) == count
    assert len(found.left_out) == 25 - count
    assert (found.recommendation is None) == (found.chosen is None)
    assert found.notes
    if count < 3:
        assert found.recommendation is None
        assert any(note.startswith("no recommendation") for note in found.notes)


def test_the_confirmation_is_ranked_and_does_not_change_the_recommendation(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    sweep = known_sweep(bowl(0.45, 0.25), noise=0.005)
    before = analysed(sweep)
    assert before.recommendation is not None
    point = before.recommendation.point
    more = confirmed(sweep, point, bowl(0.45, 0.25)(point))
    after = analysed(more)
    assert after == add_confirmation(before, more.config, more.mixture, more.run, more.trials, more.outcomes)
    assert after.confirmation is not None
    assert after == before.model_copy(update={"confirmation": after.confirmation})
    assert after.confirmation.trials == 26
    better = sum(own.adaptation < after.confirmation.objective for own in after.measured)
    assert after.confirmation.rank == better + 1
    assert after.confirmation.predicted == before.recommendation.objective
    assert after.confirmation.losses["el"] == pytest.approx(1.6, abs=0.02)


def test_a_confirmation_that_failed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    sweep = known_sweep(bowl(0.45, 0.25))
    more = confirmed(sweep, sweep.trials[0].point, {}, "out_of_memory")
    found = analysed(more)
    assert found == add_confirmation(analysed(sweep), more.config, more.mixture, more.run, more.trials, more.outcomes)
    assert found.confirmation is None
    assert found.recommendation is not None
    assert [(own.trial, own.status, own.cause) for own in found.left_out] == [("c", "out_of_memory", "no memory")]


def test_a_trial_of_another_mixture_confirms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    sweep = known_sweep(bowl(0.45, 0.25))
    point = sweep.trials[3].point
    found = analysed(confirmed(sweep, point, bowl(0.45, 0.25)(point)))
    assert found.confirmation is None
    assert any("another mixture" in note for note in found.notes)


def test_changes_against_the_base_mixture_are_so_in_the_confirmation_too(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    losses = bowl(0.45, 0.25)
    sweep = known_sweep(losses, sweep_config(objective={"compare_with": "base"}))
    point = analysed(sweep).recommendation
    assert point is not None
    found = analysed(confirmed(sweep, point.point, losses(point.point)))
    assert found.measured[0].adaptation == 0
    base, best = losses(sweep.trials[0].point), losses(point.point)
    assert found.confirmation is not None
    expected = (best["el"] / base["el"] + best["fi"] / base["fi"]) / 2 - 1
    assert found.confirmation.objective == pytest.approx(expected)


def test_the_other_proxy_is_compared_on_what_finished_there(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    sweep = with_larger(known_sweep(bowl(0.45, 0.25)), bowl(0.2, 0.6))
    statuses: list[Status | None] = ["finished"] * len(sweep.trials)
    statuses[-1], statuses[1] = "diverged", "killed"
    found = analysed(end(sweep, statuses), models=(1, 2)).scaling
    assert found is not None
    assert found.numbers == (0, 2, 3, 4, 5, 6)
    assert found.trials == 6
    assert set(found.by_language) == {"el", "en", "fi"}


def test_the_filter_ablation_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    design = {
        "shares": {"method": "dirichlet", "trials": 4},
        "corpora": {"clean": {}, "raw": {"Greek": "Greek-raw"}},
        "combine": "cross",
    }

    def losses(point: Point) -> Mapping[str, float]:
        own = dict(bowl(0.4, 0.3)(point))
        return own | {"el": own["el"] + (0.05 if point.variant == "raw" else 0)}

    found = analysed(known_sweep(losses, sweep_config(design=design), noise=1e-4))
    assert {own.target: own.words for own in found.effects}["el"] == "worse"
    assert {own.variant for own in found.effects} == {"raw"}
    assert found.recommendation is not None
    assert found.recommendation.point.variant == "clean"


def test_each_seed_of_a_mixture_tells_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    design = {"shares": {"method": "dirichlet", "trials": 6}, "seeds": [1, 2, 3]}
    found = analysed(known_sweep(bowl(0.4, 0.3), sweep_config(design=design), mixture_config(), noise=0.01))
    assert found.noise is not None
    assert 0 < found.noise < 0.02
