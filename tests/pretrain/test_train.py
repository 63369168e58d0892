"""Whole runs: they learn, keep to their plan, stop and go on as if they had not, and leave a model that others load."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM

from configs.errors import UserError
from mixing.mixture.manifest import read_manifest
from pretrain.parallel.parallel import make_runner
from pretrain.parallel.whole_model import WholeModel
from pretrain.run.spikes import DivergedError
from pretrain.run.stopping import RunStoppedError
from tests.pretrain.small_runs import (
    CATEGORIES,
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


@pytest.fixture(scope="module")
def unbroken(mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was never stopped."""
    return finish(small_run(mixture), tmp_path_factory.mktemp("runs"))


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "hf" / "model.safetensors")


def assert_same_run(folder: Path, other: Path) -> None:
    assert steps_of(folder) == steps_of(other)
    assert evaluations_of(folder) == evaluations_of(other)
    own, others = weights_of(folder), weights_of(other)
    assert own.keys() == others.keys()
    assert all(torch.equal(own[name], others[name]) for name in own)


def test_the_held_out_loss_of_each_language_falls(unbroken: Path) -> None:
    changes = evaluations_of(unbroken)[-1]["changes"]
    assert isinstance(changes, list)
    assert {own["language"]: own["kind"] for own in changes} == {"el": "adaptation", "en": "forgetting"}
    assert all(own["now"] < 0.8 * own["first"] for own in changes)


def test_each_stage_gets_its_tokens_and_less_than_a_step_more(unbroken: Path) -> None:
    rows = steps_of(unbroken)
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    by_stage = {name: [row for row in rows if row["stage"] == name] for name in STAGES}
    begin = 0
    for name, own in by_stage.items():
        done = int(str(own[-1]["tokens"])) - begin
        assert 0 <= done - int(str(STAGES[name]["tokens"])) < 128
        begin += done


def test_the_learning_rate_follows_the_plan_of_each_stage_anew(unbroken: Path, mixture: Path) -> None:
    stages = {stage.name: stage for stage in read_manifest(mixture).stages}
    rows = [{"tokens": 0, "stage": ""}, *steps_of(unbroken)]
    begin = 0
    for before, row in pairwise(rows):
        if row["stage"] != before["stage"]:
            begin = int(str(before["tokens"]))
        stage = stages[str(row["stage"])]
        middle = (int(str(before["tokens"])) + int(str(row["tokens"]))) // 2 - begin
        assert row["learning_rate"] == pytest.approx(stage.learning_rate.rate(middle, stage.tokens), rel=1e-6)


def test_the_first_loss_is_that_of_a_guess(unbroken: Path) -> None:
    assert steps_of(unbroken)[0]["loss"] == pytest.approx(math.log(320), abs=0.2)


def test_the_run_leaves_what_a_person_looks_at(unbroken: Path) -> None:
    assert {"report.html", "plot.svg", "log.jsonl", "evaluations.jsonl", "tensorboard", "hf"} <= {
        path.name for path in unbroken.iterdir()
    }
    assert (unbroken / "plot.svg").read_text().startswith("<?xml")
    page = (unbroken / "report.html").read_text()
    assert "Greek" in page
    assert "adaptation" in page


def test_transformers_computes_the_same_with_the_export(unbroken: Path) -> None:
    """Against the losses that the run itself measured last, on the same held-out text."""
    model = AutoModelForCausalLM.from_pretrained(unbroken / "hf", dtype=torch.float32)
    tokenizer = Tokenizer.from_file(str(unbroken / "hf" / "tokenizer.json"))
    texts = ("Είναι προικισμένοι.",)
    last = evaluations_of(unbroken)[-1]["sources"]
    assert isinstance(last, list)
    told = next(row for row in last if row["source"] == "el-news")
    nll = 0.0
    for text in texts:
        ids = torch.tensor([[*tokenizer.encode(text).ids, 0]])
        with torch.no_grad():
            nll += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
    assert told["nll"] == pytest.approx(nll, rel=1e-4)


@pytest.mark.parametrize("step", [3, 5, 16, 20])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    step: int, unbroken: Path, mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first checkpoint, at one, at the end of the first stage, and in the second."""
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(RunStoppedError, match="step"):
            finish(small_run(mixture), tmp_path)
    assert not (tmp_path / "small" / "hf").exists()
    assert_same_run(finish(small_run(mixture), tmp_path), unbroken)


def test_a_finished_run_stays_as_it_is(unbroken: Path, mixture: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(unbroken, tmp_path / "small")
    assert_same_run(finish(small_run(mixture), tmp_path), unbroken)
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == sorted(
        path.name for path in (unbroken / "checkpoints").iterdir()
    )


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    unbroken: Path, mixture: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(unbroken, tmp_path / "small")
    shutil.rmtree(copy / "hf")
    newest = max((copy / "checkpoints").glob("step_*"))
    data = max(newest.glob("*.distcp"), key=lambda path: path.stat().st_size)
    data.write_bytes(data.read_bytes()[:-100])
    assert_same_run(finish(small_run(mixture), tmp_path), unbroken)
    assert newest.name in capfd.readouterr().err


def test_a_run_may_begin_with_the_export_or_a_checkpoint_of_another(
    unbroken: Path, mixture: Path, tmp_path: Path
) -> None:
    last = evaluations_of(unbroken)[-1]["languages"]
    checkpoint = max((unbroken / "checkpoints").glob("step_*"))
    for number, path in enumerate((unbroken / "hf", checkpoint)):
        config = small_run(mixture, f"from-{number}", stages=["second"], model={"path": str(path)})
        first = evaluations_of(finish(config, tmp_path))[0]["languages"]
        assert isinstance(first, list)
        assert isinstance(last, list)
        own, others = ({row["language"]: row["tokens"] for row in rows} for rows in (first, last))
        assert own.keys() == others.keys()
        assert first[0]["bits_per_byte"] < 1.5 * last[0]["bits_per_byte"]


def test_another_mixture_is_refused_unless_it_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = write_mixture(tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(RunStoppedError):
            finish(small_run(mixture), tmp_path / "runs")
    other = ({**CATEGORIES["low"], "share": "1/4"}, {**CATEGORIES["high"], "share": "3/4"})
    changed = {"low": other[0], "high": other[1]}
    write_mixture(tmp_path, first={**STAGES["first"], "categories": changed}, second=STAGES["second"])
    with pytest.raises(UserError, match=r"another one than at the last checkpoint.*CHANGED=yes"):
        finish(small_run(mixture), tmp_path / "runs")
    rows = steps_of(finish(small_run(mixture), tmp_path / "runs", changed_mixture=True))
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    shares = [row["shares"]["en"] for row in rows[4:16]]  # type: ignore[index]
    assert sum(shares) / len(shares) == pytest.approx(0.75, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"shape": {"family": "qwen2", "vocab_size": 200, "hidden_size": 32, "intermediate_size": 48,
          "layers": 1, "heads": 4, "kv_heads": 2, "head_dim": 8}}}, "has 300 tokens, the model an embedding of 200"),
        ({"stages": ["first", "third"]}, "has no stage 'third'; it has: first, second"),
        ({"stages": ["first", "first"]}, "name each stage of the run once"),
        ({"batch": {"tokens": 16, "micro_tokens": 64}}, "raise batch.tokens"),
        ({"model": {"path": "models/nowhere"}}, "config.json"),
        ({"parallel": {"tensor": 3}}, "parallel: 1 ranks are no multiple"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_before_a_step(
    changes: dict[str, object], message: str, mixture: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        finish(small_run(mixture, "small", **changes), tmp_path)
    assert not list(tmp_path.rglob("step_*"))


def test_sequences_longer_than_the_model_are_refused_and_can_be_allowed(mixture: Path, tmp_path: Path) -> None:
    from tests.pretrain.small_runs import SHAPE

    short = {**SHAPE, "max_positions": 32}
    with pytest.raises(
        UserError, match=r"'second' has sequences of 64 tokens, the model is made for 32.*max_positions"
    ):
        finish(small_run(mixture, model={"shape": short}), tmp_path)
    longer = small_run(mixture, model={"shape": short, "max_positions": 64}, stages=["second"])
    assert (finish(longer, tmp_path) / "hf" / "config.json").read_text().count('"max_position_embeddings": 64') == 1


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    mixture = write_mixture(tmp_path)
    shard = next((tmp_path / "tokens" / "en").rglob("*.bin"))
    shard.unlink()
    with pytest.raises(UserError, match=shard.stem):
        finish(small_run(mixture), tmp_path / "runs")


def test_steps_without_a_finite_loss_leave_the_weights_and_end_the_run_when_they_are_many(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = WholeModel.forward_backward
    calls = 0

    def failing(runner: WholeModel, micro_batches: object) -> object:
        nonlocal calls
        calls += 1
        found = plain(runner, micro_batches)  # type: ignore[arg-type]
        return found._replace(nll=found.nll * math.nan) if calls in bad else found

    monkeypatch.setattr(WholeModel, "forward_backward", failing)
    bad: set[int] = {2, 4, 5}
    config = small_run(mixture, stages=["first"], evaluation={"every_steps": None})
    rows = steps_of(finish(config, tmp_path / "some"))
    assert [row["step"] for row in rows if row["skipped"]] == [2, 4, 5]
    assert rows[1]["loss"] == "nan"
    calls, bad = 0, {7, 8, 9}
    with pytest.raises(DivergedError, match="3 steps in a row gave no finite loss"):
        finish(config, tmp_path / "many")


def test_make_runner_is_what_the_run_uses() -> None:
    """The failing runner above stands in for the one of a run without a pipeline."""
    assert make_runner.__annotations__["return"] == "StepRunner"


def test_categories_of_the_small_runs_are_those_of_the_mixture(mixture: Path) -> None:
    names = {own.name for stage in read_manifest(mixture).stages for own in stage.categories}
    assert names == set(CATEGORIES)
