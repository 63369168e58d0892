"""Runs that are killed at random moments of training and saving: they go on to the very same end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT
from tests.pretrain.small_runs import finish, small_run, write_mixture
from tests.pretrain.test_train import assert_same_run

pytestmark = pytest.mark.slow
KILLS = 6


def start(config: Path, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pretrain", "cpt", "--run", str(config), "--runs", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait until a file is there, or the process has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("seed", [1])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path: Path, seed: int) -> None:
    mixture = write_mixture(tmp_path)
    # A checkpoint after every step: half of the time of a step of this size is spent on saving.
    run = small_run(mixture, checkpoint={"every_steps": 1, "keep": 2})
    unbroken = finish(run, tmp_path / "unbroken")
    file = tmp_path / "run.yaml"
    file.write_text(run.model_dump_json())
    draw, killed = random.Random(seed), 0
    for _ in range(KILLS):
        process = start(file, tmp_path / "killed")
        log = tmp_path / "killed" / "small" / "log.jsonl"
        before = log.read_text().count("\n") if log.exists() else 0
        wait_for(log, process)
        while process.poll() is None and log.read_text().count("\n") <= before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert process.stderr is not None
        process.stderr.close()
    assert killed >= KILLS // 2
    process = start(file, tmp_path / "killed")
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]
    assert_same_run(tmp_path / "killed" / "small", unbroken)


def test_sigterm_saves_and_exits_with_143(tmp_path: Path) -> None:
    mixture = write_mixture(tmp_path)
    file = tmp_path / "run.yaml"
    file.write_text(small_run(mixture, checkpoint={"every_steps": None}).model_dump_json())
    process = start(file, tmp_path)
    log = tmp_path / "small" / "log.jsonl"
    wait_for(log, process)
    while process.poll() is None and not log.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143, errors.decode()[-2000:]
    assert b"which has a checkpoint" in errors
    assert list((tmp_path / "small" / "checkpoints").glob("step_*"))
