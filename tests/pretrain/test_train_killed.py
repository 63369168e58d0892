"""Runs that are killed at random moments of training and saving: they go on to the very same end."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.pretrain.small_runs import finish, small_run, write_mixture
from tests.pretrain.started_runs import end, ranks_of, rows_in, start, wait_until
from tests.pretrain.test_train import assert_same_run

pytestmark = pytest.mark.slow


def write_run(folder: Path, **changes: object) -> Path:
    """Write a mixture and the file of a run on it."""
    file = folder / "run.yaml"
    file.write_text(small_run(write_mixture(folder), **changes).model_dump_json())  # type: ignore[arg-type]
    return file


def kill_again_and_again(file: Path, runs: Path, ranks: int, kills: int, draw: random.Random) -> int:
    """Start a run and kill one of its processes soon after it went on; return how often it was not too late."""
    log, killed = runs / "small" / "log.jsonl", 0
    for _ in range(kills):
        before = rows_in(log)
        process = start(file, runs, ranks)
        # Rows of steps after the last checkpoint are taken out first: the log may get shorter, and is longer again.
        wait_until(lambda before=before: rows_in(log) > before, process)  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.5))
        for victim in [draw.choice(ranks_of(process) or [0])] if ranks > 1 else [process.pid]:
            if victim and process.poll() is None:
                os.kill(victim, signal.SIGKILL)
                killed += 1
        end(process)
    return killed


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path: Path) -> None:
    # A checkpoint after every step: half of the time of a step of this size is spent on saving.
    changes = {"checkpoint": {"every_steps": 1, "keep": 2}}
    file = write_run(tmp_path, **changes)
    unbroken = finish(small_run(tmp_path / "mixtures" / "m", **changes), tmp_path / "unbroken")  # type: ignore[arg-type]
    assert kill_again_and_again(file, tmp_path / "killed", 1, 5, random.Random(1)) >= 3
    code, errors = end(start(file, tmp_path / "killed"))
    assert code == 0, errors[-2000:]
    assert_same_run(tmp_path / "killed" / "small", unbroken)


def test_ranks_of_which_one_is_killed_go_on_even_if_the_newest_checkpoint_is_cut_off(tmp_path: Path) -> None:
    file = write_run(tmp_path, checkpoint={"every_steps": 1, "keep": 3})
    code, errors = end(start(file, tmp_path / "unbroken", 2))
    assert code == 0, errors[-2000:]
    assert kill_again_and_again(file, tmp_path / "killed", 2, 2, random.Random(2)) >= 1
    folder = tmp_path / "killed" / "small"
    newest = max((folder / "checkpoints").glob("step_*"))
    data = max(newest.glob("*.distcp"))
    os.truncate(data, data.stat().st_size // 2)
    code, errors = end(start(file, tmp_path / "killed", 2))
    assert code == 0, errors[-2000:]
    assert errors.count(f"{newest} is damaged and passed over") == 1
    assert_same_run(folder, tmp_path / "unbroken" / "small")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_with_143(number: signal.Signals, tmp_path: Path) -> None:
    file = write_run(tmp_path, checkpoint={"every_steps": None})
    process = start(file, tmp_path)
    wait_until(lambda: rows_in(tmp_path / "small" / "log.jsonl") > 0, process)
    process.send_signal(number)
    code, errors = end(process)
    assert code == 143, errors[-2000:]
    assert "which has a checkpoint" in errors
    assert list((tmp_path / "small" / "checkpoints").glob("step_*"))


def test_ranks_that_get_a_signal_twice_save_once_and_name_a_shard_that_went_missing_once(tmp_path: Path) -> None:
    """As from a terminal, or a scheduler: it reaches all processes, and torchrun passes it on to its own."""
    file = write_run(tmp_path, checkpoint={"every_steps": None})
    process = start(file, tmp_path, 2)
    wait_until(lambda: rows_in(tmp_path / "small" / "log.jsonl") > 0, process)
    for each in (*ranks_of(process), process.pid):
        os.kill(each, signal.SIGINT)
    _, errors = end(process)
    assert errors.count("which has a checkpoint") == 1, errors[-2000:]
    (checkpoint,) = (tmp_path / "small" / "checkpoints").glob("step_*")
    shard = next((tmp_path / "tokens" / "en").rglob("*.bin"))
    shard.rename(tmp_path / "away")
    code, errors = end(start(file, tmp_path, 2))
    assert code != 0
    assert errors.count(shard.stem) == 1, errors[-3000:]
    assert "pretrain/train.py" not in errors  # no traceback but torchrun's own
    (tmp_path / "away").rename(shard)
    code, errors = end(start(file, tmp_path, 2))
    assert code == 0, errors[-2000:]
    assert f"goes on at {checkpoint}" in errors
