"""Runs that go on: what may be another than before, what may not, and what is not done again."""

from __future__ import annotations

import json
import signal
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from configs.errors import UserError
from pretrain.evaluate.evaluate import Evaluator
from pretrain.run.run_config import RunConfig
from pretrain.run.stopping import RunStoppedError
from pretrain.train import Run
from tests.pretrain.evaluate import text_mixture
from tests.pretrain.small_runs import (
    SHAPE,
    STAGES,
    evaluations_of,
    finish,
    small_run,
    steps_of,
    stop_after,
    write_mixture,
)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mixture(tmp_path_factory.mktemp("mixture"))


def stopped(config: RunConfig, runs: Path, monkeypatch: pytest.MonkeyPatch, step: int = 4) -> Path:
    """Begin a run, and stop it after a step; return its folder."""
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(RunStoppedError):
            finish(config, runs)
    return runs / config.name


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return which files there are, by inode and time of change: one that is written anew has others."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def test_nothing_of_a_finished_run_is_written_again(mixture: Path, tmp_path: Path) -> None:
    config = small_run(mixture, stages=["first"], evaluation={"every_steps": None})
    folder = finish(config, tmp_path)
    before = files_of(folder)
    finish(config, tmp_path)
    assert files_of(folder) == before
    (folder / "hf" / "training.json").write_text("{}")  # an export of other weights
    finish(config, tmp_path)
    assert {path for path in before if files_of(folder)[path] != before[path]} == set((folder / "hf").iterdir())
    assert json.loads((folder / "hf" / "training.json").read_text())["checkpoint"] == f"step_{16:08}"


def test_an_evaluation_that_was_asked_to_stop_is_made_when_the_run_goes_on(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One every so often, one at the end of a stage, and the very first."""
    config = small_run(mixture)
    unbroken = finish(config, tmp_path / "unbroken")
    plain = Evaluator.run
    for step, checkpoint in ((0, None), (10, f"step_{10:08}"), (16, f"step_{16:08}")):

        def stopping(evaluator: Evaluator, nll: object, at: int, *others: object, stops: int = step) -> object:
            if at == stops:
                signal.raise_signal(signal.SIGTERM)
            return plain(evaluator, nll, at, *others)  # type: ignore[arg-type]

        folder = tmp_path / "stopped" / "small"
        with monkeypatch.context() as patch:
            patch.setattr(Evaluator, "run", stopping)
            with pytest.raises(RunStoppedError):
                finish(config, tmp_path / "stopped")
        assert step not in {row["step"] for row in evaluations_of(folder)}
        assert max((path.name for path in (folder / "checkpoints").glob("step_*")), default=None) == checkpoint
    finish(config, tmp_path / "stopped")
    assert evaluations_of(folder) == evaluations_of(unbroken)
    assert steps_of(folder) == steps_of(unbroken)


def test_changed_settings_are_told_and_used(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = stopped(small_run(mixture, stages=["first"]), tmp_path, monkeypatch)
    capfd.readouterr()
    other = small_run(
        mixture,
        stages=["first"],
        batch={"tokens": 256, "micro_tokens": 64},
        model={"shape": SHAPE, "seed": 6},
        checkpoint={"every_steps": None},
        evaluation={"every_steps": None},
    )
    finish(other, tmp_path)
    told = capfd.readouterr().err
    assert "from here on with batch.tokens: 256 instead of 128" in told
    assert "model.seed: 6 instead of 5 changes nothing" in told
    rows = steps_of(folder)
    tokens = [0, *(int(str(row["tokens"])) for row in rows)]
    assert [after - before for before, after in pairwise(tokens)] == [128] * 4 + [256] * 6
    assert json.loads((folder / "config.json").read_text())["batch"]["tokens"] == 256


def test_a_refused_configuration_leaves_the_folder_as_it_was(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped(small_run(mixture), tmp_path, monkeypatch)
    before = files_of(folder)
    refused = (
        (small_run(mixture, model={"shape": {**SHAPE, "layers": 1}}), "of a model of another shape"),
        (small_run(mixture, stages=["second", "first"]), "the stages before it cannot be others"),
        (small_run(mixture, stages=["second"]), "is of stage 'first', which the run has not"),
        (small_run(mixture, batch={"tokens": 32, "micro_tokens": 32}), r"64 tokens \(stage 'second'\)"),
        (small_run(mixture, evaluation={"sequence_length": 65}), "evaluation.sequence_length is 65"),
        (small_run(mixture, parallel={"shard": 2}), "2 ranks, but there are 1"),
    )
    for config, message in refused:
        with pytest.raises(UserError, match=message):
            finish(config, tmp_path)
    assert files_of(folder) == before


def test_stages_that_were_never_trained_are_not_passed_over(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(small_run(mixture, stages=["second"]), tmp_path, monkeypatch, 2)
    with pytest.raises(UserError, match="the stages before it cannot be others"):
        finish(small_run(mixture, stages=["first", "second"]), tmp_path)


def test_a_finished_run_goes_on_with_stages_or_tokens_that_are_added(tmp_path: Path) -> None:
    mixture = write_mixture(tmp_path)
    plain = small_run(mixture, stages=["first"], evaluation={"every_steps": None})
    folder = finish(plain, tmp_path / "runs")
    first = (folder / "hf" / "training.json").read_text()
    write_mixture(tmp_path, first={**STAGES["first"], "tokens": 2500}, second=STAGES["second"])
    finish(plain, tmp_path / "runs", changed_mixture=True)
    assert [row["step"] for row in steps_of(folder)] == list(range(1, 21))
    assert 2500 <= int(str(steps_of(folder)[-1]["tokens"])) < 2628
    assert (folder / "hf" / "training.json").read_text() != first
    both = small_run(mixture, stages=["first", "second"], evaluation={"every_steps": None})
    finish(both, tmp_path / "runs", changed_mixture=True)
    assert {row["stage"] for row in steps_of(folder)[20:]} == {"second"}
    assert [row["step"] for row in evaluations_of(folder)] == [0, 16, 20, len(steps_of(folder))]


def test_tokens_of_another_tokenizer_are_refused_even_if_the_mixture_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_mixture(tmp_path / "own")
    folder = stopped(small_run(own), tmp_path / "runs", monkeypatch)
    plain = text_mixture.small_tokenizer

    def other_tokenizer() -> object:
        tokenizer = plain()
        tokenizer.add_tokens(["another"])
        return tokenizer

    monkeypatch.setattr(text_mixture, "small_tokenizer", other_tokenizer)
    other = write_mixture(tmp_path / "other")
    with pytest.raises(UserError, match="trained on tokens of another tokenizer"):
        finish(small_run(other), tmp_path / "runs", changed_mixture=True)
    checkpoint = max((folder / "checkpoints").glob("step_*"))
    with pytest.raises(UserError, match="trained on tokens of another tokenizer"):
        finish(small_run(other, "new", model={"path": str(checkpoint)}), tmp_path / "runs")
    with pytest.raises(UserError, match=r"is the folder of a run: give one of .*step_"):
        finish(small_run(own, "new", model={"path": str(folder)}), tmp_path / "runs")


def test_a_mixture_without_held_out_texts_trains_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mixture = write_mixture(tmp_path)
    monkeypatch.setattr("pretrain.train.open_plan", _without_validation)
    folder = finish(small_run(mixture, stages=["first"], checkpoint={"every_steps": None}), tmp_path / "runs")
    assert "nothing is evaluated" in capfd.readouterr().err
    assert "Nothing was evaluated yet" in (folder / "report.html").read_text()
    assert not evaluations_of(folder)
    assert [path.name for path in (folder / "checkpoints").glob("step_*")] == [f"step_{16:08}"]


def _without_validation(config: RunConfig, options: object) -> object:
    from pretrain.run.run_setup import open_plan

    plan = open_plan(config, options)  # type: ignore[arg-type]
    return plan._replace(manifest=plan.manifest.model_copy(update={"validation": ()}))


def test_what_goes_wrong_at_the_end_does_not_hide_what_went_wrong(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> None:
        raise OSError("the second")

    def breaking(*_: object) -> None:
        raise torch.OutOfMemoryError("the first")

    monkeypatch.setattr("pretrain.checkpoint.checkpoint.Checkpointer.close", failing)
    monkeypatch.setattr(Run, "_train_step", breaking)
    with pytest.raises(torch.OutOfMemoryError, match="the first"):
        finish(small_run(mixture), tmp_path)
    assert "the second" in capfd.readouterr().err
