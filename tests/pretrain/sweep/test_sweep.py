"""The job of a sweep: which trials run, which do not run again, and what it leaves behind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.errors import UserError
from configs.load import load_config
from mixing.mixture.manifest import load_manifest
from mixing.mixture.mixture import load_mixture
from pretrain.run.run_config import RunConfig
from pretrain.sweep import sweep as job
from pretrain.sweep.analysis.analysis_schema import Analysis
from pretrain.sweep.sweep import NothingFinishedError, run_sweep
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Outcome
from tests.mixing.mixture.token_folders import even_rows, write_source
from tests.pretrain.small_runs import SHAPE
from tests.pretrain.sweep.small_sweeps import QUICK, FormulaTrials, write_sweep

# The best share of three whose losses fall with the root of their own: alike. `en` is not of the objective.
RESULTS = ("analysis.json", "trials.csv", "report.html", "recommended.yaml", "plan.json")


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> FormulaTrials:
    own = FormulaTrials()
    monkeypatch.setattr(job, "run_trials", own)
    return own


def run(config: SweepConfig, folder: Path) -> tuple[Analysis, list[str]]:
    said: list[str] = []
    return run_sweep(config, folder / "sweeps", said.append), said


def change(path: Path, how: Callable[[dict[str, Any]], object]) -> None:
    told = yaml.safe_load(path.read_text())
    how(told)
    path.write_text(yaml.safe_dump(told))


def in_two_stages(mixture: dict[str, Any]) -> None:
    (only,) = mixture["stages"]
    mixture["stages"] = [only | {"name": name, "tokens": 2000} for name in ("a", "b")]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweeps" / "small" / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_recommends_the_best_mixture_and_trains_it(trials: FormulaTrials, tmp_path: Path) -> None:
    analysis, said = run(write_sweep(tmp_path), tmp_path)
    assert len(trials.ran) == 1 + 12 + 1
    assert analysis.recommendation is not None
    assert analysis.confirmation is not None
    assert analysis.confirmation.rank == 1
    shares = {name: own.value for name, own in analysis.recommendation.shares["only"].items()}
    assert shares["el"] == pytest.approx(0.5, abs=0.05)
    assert shares["kk"] == pytest.approx(0.5, abs=0.05)
    assert "13 trials" in said[0]
    assert any(line.startswith("recommended: only: ") for line in said)


def test_the_recommended_mixture_is_ready_to_be_trained(trials: FormulaTrials, tmp_path: Path) -> None:
    analysis, _ = run(write_sweep(tmp_path), tmp_path)
    folder = tmp_path / "sweeps" / "small"
    told = load_config(folder / "recommended_run.yaml", RunConfig)
    manifest = load_manifest(told.mixture, deep=False)
    assert manifest.tokens == 4000
    assert load_mixture(folder / "recommended.yaml").name == manifest.name
    assert analysis.recommendation is not None
    for own in manifest.stages[0].categories:
        assert own.tokens / 4000 == pytest.approx(analysis.recommendation.shares["only"][own.name].value, abs=1e-3)


def test_each_trial_is_an_ordinary_run_on_its_own_manifest(trials: FormulaTrials, tmp_path: Path) -> None:
    run(write_sweep(tmp_path), tmp_path)
    for name in trials.ran:
        told = load_config(tmp_path / "sweeps" / "small" / "trials" / name / "run.yaml", RunConfig)
        manifest = load_manifest(told.mixture)
        assert (told.name, manifest.name, manifest.tokens) == (name, name, 800)


def test_a_finished_sweep_is_only_read_again(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path)
    run(config, tmp_path)
    before = {name: (tmp_path / "sweeps" / "small" / name).read_bytes() for name in RESULTS}
    trials.ran.clear()
    _, said = run(config, tmp_path)
    assert trials.ran == []
    assert "13 of them ended before; 0 tokens" in said[0]
    assert {name: (tmp_path / "sweeps" / "small" / name).read_bytes() for name in RESULTS} == before


def test_an_interrupted_sweep_runs_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(FormulaTrials):
        def outcome(self, *arguments: object) -> Outcome:
            if len(self.ran) == 6:
                raise KeyboardInterrupt
            return super().outcome(*arguments)  # type: ignore[arg-type]

    first, second = Interrupted(), FormulaTrials()
    config = write_sweep(tmp_path)
    monkeypatch.setattr(job, "run_trials", first)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path)
    monkeypatch.setattr(job, "run_trials", second)
    run(config, tmp_path)
    assert not set(first.ran[:5]) & set(second.ran)
    assert len(set(first.ran) | set(second.ran)) == 14


def test_while_trials_run_no_earlier_result_looks_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(FormulaTrials):
        def outcome(self, *arguments: object) -> Outcome:
            raise KeyboardInterrupt

    monkeypatch.setattr(job, "run_trials", FormulaTrials())
    run(write_sweep(tmp_path), tmp_path)
    monkeypatch.setattr(job, "run_trials", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run(write_sweep(tmp_path, design={"shares": {"method": "dirichlet", "trials": 13}}), tmp_path)
    left = {path.name for path in (tmp_path / "sweeps" / "small").iterdir()}
    assert not left & {"report.html", "analysis.json", "trials.csv", "recommended.yaml"}


def test_more_trials_keep_those_that_there_are(trials: FormulaTrials, tmp_path: Path) -> None:
    run(write_sweep(tmp_path, analysis=QUICK | {"confirm": False}), tmp_path)
    before = set(trials.ran)
    trials.ran.clear()
    more = {"shares": {"method": "dirichlet", "trials": 15}}
    run(write_sweep(tmp_path, design=more, analysis=QUICK | {"confirm": False}), tmp_path)
    assert len(trials.ran) == 3
    assert not before & set(trials.ran)


def test_changed_tokens_make_all_trials_run_again(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path)
    run(config, tmp_path)
    count = len(trials.ran)
    trials.ran.clear()
    stale = tmp_path / "sweeps" / "small" / "runs" / "stale"
    write_source(tmp_path / "tokens", "kk", [even_rows(32, 4096)], ["kk"], even_rows(4, 64))
    run(config, tmp_path)
    assert len(trials.ran) == count
    assert not stale.exists()


def test_a_kill_while_tokens_change_leaves_no_old_outcome(
    trials: FormulaTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    config = write_sweep(tmp_path)
    run(config, tmp_path)
    count = len(trials.ran)
    write_source(tmp_path / "tokens", "kk", [even_rows(32, 4096)], ["kk"], even_rows(4, 64))
    with monkeypatch.context() as patch:
        patch.setattr(job, "forget_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path)
    trials.ran.clear()
    run(config, tmp_path)
    assert len(trials.ran) == count


def test_moved_tokens_of_the_same_bytes_repeat_nothing(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path)
    run(config, tmp_path)
    trials.ran.clear()
    moved = (tmp_path / "tokens").rename(tmp_path / "elsewhere")
    run(config.model_copy(update={"tokens": moved}), tmp_path)
    assert trials.ran == []


def test_an_outcome_that_cannot_be_read_is_made_again(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path)
    run(config, tmp_path)
    name = trials.ran[3]
    (tmp_path / "sweeps" / "small" / "trials" / name / "outcome.json").write_bytes(b'{"trial": "\xff\xfe')
    trials.ran.clear()
    run(config, tmp_path)
    assert trials.ran == [name]


def test_where_nothing_is_recommended_any_more_no_earlier_recommendation_is_left(
    trials: FormulaTrials, tmp_path: Path
) -> None:
    run(write_sweep(tmp_path), tmp_path)
    folder = tmp_path / "sweeps" / "small"
    assert (folder / "mixtures" / "small-recommended").is_dir()
    shares = {"el": {"max": "30%"}, "kk": {"max": "30%"}}
    tight = {"tokens": 12_000, "max_forgetting": None, "shares": shares}  # `en` has 4,096 tokens, not 40% of 12,000
    analysis, _ = run(write_sweep(tmp_path, constraints=tight), tmp_path)
    assert analysis.recommendation is None
    assert not list(folder.glob("recommended*"))
    assert not (folder / "mixtures" / "small-recommended").exists()


def test_mixtures_that_cannot_be_made_have_not_ended_before(trials: FormulaTrials, tmp_path: Path) -> None:
    design = {"shares": {"method": "dirichlet", "trials": 30}}
    constraints = {"max_forgetting": None, "tokens": 8000}
    _, said = run(write_sweep(tmp_path, budget=8000, constraints=constraints, design=design), tmp_path)
    assert "cannot be made of the tokens; " in said[0]
    assert "ended before" not in said[0]


def test_trials_that_are_not_trained_on_a_stage_do_not_count_its_tokens(trials: FormulaTrials, tmp_path: Path) -> None:
    write_sweep(tmp_path)
    change(tmp_path / "mixture.yaml", in_two_stages)
    change(tmp_path / "run.yaml", lambda told: told.update(stages=["b"]))
    _, said = run(load_config(tmp_path / "sweep.yaml", SweepConfig), tmp_path)
    assert f"{13 * 400:,} tokens to train on" in said[0]


def test_shares_of_a_stage_that_is_not_trained_are_refused(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path, design={"shares": {"method": "dirichlet", "trials": 6, "stages": ["a"]}})
    change(tmp_path / "mixture.yaml", in_two_stages)
    change(tmp_path / "run.yaml", lambda told: told.update(stages=["b"]))
    with pytest.raises(UserError, match="does not train"):
        run(config, tmp_path)


def test_a_scaling_check_on_the_same_proxy_is_refused(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path, scaling={"run": str(tmp_path / "run.yaml"), "trials": 4})
    with pytest.raises(UserError, match="the same proxy and budget"):
        run(config, tmp_path)


def test_a_scaling_check_without_tokens_is_refused_before_any_trial(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path, scaling={"run": str(tmp_path / "run.yaml"), "trials": 4, "budget": 80_000})
    with pytest.raises(UserError, match="scaling: the base mixture cannot be made with its 80,000 tokens"):
        run(config, tmp_path)
    assert trials.ran == []


@pytest.mark.parametrize(
    ("every", "after", "refused"),
    [(100, "50%", True), (None, "50%", True), (6, "50%", False), (6, "97%", True), (3, "80%", False), (7, "1%", True)],
)
def test_early_stopping_without_an_evaluation_to_stop_at_is_refused(
    every: int | None, after: str, refused: bool, trials: FormulaTrials, tmp_path: Path
) -> None:
    config = write_sweep(tmp_path, early_stopping={"above_base": 0.1, "after": after})  # 800 tokens, 128 a step: 7
    change(tmp_path / "run.yaml", lambda told: told["evaluation"].update(every_steps=every))
    if refused:
        with pytest.raises(UserError, match="early_stopping: a trial has 800 tokens"):
            run(config, tmp_path)
    else:
        run(config, tmp_path)


@pytest.mark.parametrize("name", ["https://example.org/1", "12", "0C000000000000000000000000000000"])
def test_texts_are_not_cut_by_ids_that_are_no_hashes(name: str, trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path, same_epochs=True)
    rows = [{**row, "document_id": name} for row in even_rows(64, 4096)]
    write_source(tmp_path / "tokens", "kk", [rows], ["kk"], even_rows(4, 64))
    with pytest.raises(UserError, match="same_epochs: the source 'kk' has the document id"):
        run(config, tmp_path)


def test_texts_that_the_mixture_chooses_by_id_are_not_cut_by_id(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path, same_epochs=True)
    where = {"document_id": {"min": "8"}}
    change(tmp_path / "mixture.yaml", lambda told: told["stages"][0]["categories"]["el"].update(where=where))
    with pytest.raises(UserError, match="`where` chooses by document_id"):
        run(config, tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "n" * 89}, "88"),
        ({"early_stopping": {"above_base": 0.1, "after": 50}}, "a part of a trial's tokens"),
        ({"design": {"shares": {"method": "lattice", "levels": 3, "strength": [1, 2]}}}, "lattice has no strength"),
    ],
)
def test_a_configuration_that_would_do_nothing_is_refused(
    changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=expected):
        write_sweep(tmp_path, **changes)


def test_an_output_folder_that_cannot_be_written_is_said(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path)
    (tmp_path / "sweeps").write_text("in the way")
    with pytest.raises(UserError, match="cannot write to the output folder"):
        run(config, tmp_path)


def test_trials_that_fail_are_rows_with_their_causes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = FormulaTrials({2: "diverged", 3: "out_of_memory", 4: "killed", 5: "timed_out", 6: "stopped", 7: "failed"})
    monkeypatch.setattr(job, "run_trials", trials)
    config = write_sweep(tmp_path, design={"shares": {"method": "dirichlet", "trials": 20}})
    analysis, said = run(config, tmp_path)
    causes = {row["status"]: row["cause"] for row in rows_of(tmp_path)}
    told = set(trials.statuses.values())
    assert causes.keys() == {"finished", *told}
    assert all(causes[status] == f"made to be {status}" for status in told)
    assert {own.status for own in analysis.left_out} == told
    assert any("made to be out_of_memory" in line for line in said)
    page = (tmp_path / "sweeps" / "small" / "report.html").read_text()
    assert all(f"made to be {status}" in page for status in told)


def test_what_may_go_better_is_tried_again_and_what_may_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FormulaTrials({2: "diverged", 3: "out_of_memory", 4: "killed", 5: "timed_out", 6: "stopped", 7: "failed"})
    config = write_sweep(tmp_path, analysis=QUICK | {"confirm": False})
    monkeypatch.setattr(job, "run_trials", first)
    run(config, tmp_path)
    second = FormulaTrials()
    monkeypatch.setattr(job, "run_trials", second)
    run(config, tmp_path)
    assert set(second.ran) == {first.ran[place] for place in (3, 4, 5, 6, 7)}  # no rule would stop the sixth


def test_a_mixture_that_the_caps_forbid_is_a_row(trials: FormulaTrials, tmp_path: Path) -> None:
    design = {"shares": {"method": "dirichlet", "trials": 30}}
    config = write_sweep(tmp_path, budget=8000, constraints={"max_forgetting": None, "tokens": 8000}, design=design)
    analysis, _ = run(config, tmp_path)
    rows = [row for row in rows_of(tmp_path) if row["status"] == "infeasible"]
    assert rows
    assert all("only" in row["cause"] for row in rows)
    assert {own.trial for own in analysis.left_out} == {row["trial"] for row in rows}
    assert analysis.recommendation is not None
    assert all(own.value <= 4096 / 8000 + 1e-3 for own in analysis.recommendation.shares["only"].values())


def test_a_sweep_whose_trials_all_fail_says_the_first_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "run_trials", FormulaTrials(dict.fromkeys(range(20), "killed")))
    with pytest.raises(NothingFinishedError, match="killed: made to be killed"):
        run(write_sweep(tmp_path), tmp_path)
    assert {row["status"] for row in rows_of(tmp_path)} == {"killed"}
    assert json.loads((tmp_path / "sweeps" / "small" / "analysis.json").read_text())["measured"] == []


def test_the_other_proxy_trains_the_same_mixtures(trials: FormulaTrials, tmp_path: Path) -> None:
    config = write_sweep(tmp_path)
    text = (tmp_path / "run.yaml").read_text().replace("hidden_size: 32", "hidden_size: 64")
    (tmp_path / "larger.yaml").write_text(text)
    config = write_sweep(tmp_path, scaling={"run": str(tmp_path / "larger.yaml"), "trials": 5})
    analysis, _ = run(config, tmp_path)
    assert analysis.scaling is not None
    assert analysis.scaling.trials == 5
    assert analysis.scaling.numbers == (0, 1, 2, 3, 4)
    assert analysis.scaling.same_best
    assert analysis.scaling.weights[0] < analysis.scaling.weights[1]
    assert SHAPE["hidden_size"] == 32


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mixture": "nowhere.yaml"}, "nowhere.yaml"),
        ({"tokens": "nowhere"}, "nowhere"),
        ({"budget": 80_000}, "the base mixture cannot be made with a trial's 80,000 tokens"),
        ({"constraints": {"tokens": 80_000}}, "the base mixture cannot be made"),
        ({"budget": 4000, "same_epochs": True, "constraints": {"tokens": 400}}, "same_epochs"),
        ({"objective": {"weights": {"xx": 1}}}, "xx"),
    ],
)
def test_a_mistake_is_said_before_any_trial_runs(
    changes: dict[str, object], expected: str, trials: FormulaTrials, tmp_path: Path
) -> None:
    config = write_sweep(tmp_path, **changes)
    with pytest.raises(UserError, match=expected):
        run(config, tmp_path)
    assert trials.ran == []


def test_a_sweep_of_another_process_is_not_disturbed(trials: FormulaTrials, tmp_path: Path) -> None:
    from curation.job_folder import locked_output

    config = write_sweep(tmp_path)
    with locked_output(tmp_path / "sweeps" / "small"), pytest.raises(UserError, match="another job"):
        run(config, tmp_path)
