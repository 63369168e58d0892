"""Whole sweeps as a user starts them: real trials on Ray, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from configs.load import load_config
from pretrain.run.run_config import RunConfig
from pretrain.sweep.trial import Outcome
from tests.jobs.conftest import ROOT
from tests.pretrain.evaluate.text_mixture import write_text_mixture
from tests.pretrain.small_runs import SHAPE, finish

pytestmark = pytest.mark.slow


def write_sweep(folder: Path) -> Path:
    """Write a sweep of five trials of a few steps; return its file."""
    write_text_mixture(folder)
    categories = {name: {"share": "1/3", "sources": [name]} for name in ("el", "el-news", "en")}
    rate = {"schedule": "cosine", "peak": 1e-2, "final": 1e-3, "warmup_tokens": 100}
    stage = {"name": "only", "tokens": 1600, "categories": categories, "learning_rate": rate}
    mixture = {"name": "base", "sequence_length": 32, "max_epochs": 900, "stages": [stage]}
    run = {
        "name": "proxy",
        "mixture": "unused",
        "model": {"shape": SHAPE},
        "batch": {"tokens": 128, "micro_tokens": 128},
        "compute": {"dtype": "fp32", "compile": False},
        "checkpoint": {"every_steps": 4},
        "evaluation": {"every_steps": 5, "forgetting": ["en"]},
        "export": False,
    }
    sweep = {
        "name": "killed",
        "mixture": str(folder / "mixture.yaml"),
        "tokens": str(folder / "tokens"),
        "run": str(folder / "run.yaml"),
        "design": {"shares": {"method": "dirichlet", "trials": 4}},
        "constraints": {"max_forgetting": None},
        "analysis": {"bootstrap": 20, "candidates": 200, "repeats": 1, "confirm": False},
    }
    for name, own in (("mixture", mixture), ("run", run), ("sweep", sweep)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    return folder / "sweep.yaml"


def start(config: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pretrain", "sweep", "--config", str(config), "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def outcomes(out: Path) -> dict[str, Outcome]:
    files = (out / "killed" / "trials").glob("*/outcome.json")
    return {file.parent.name: Outcome.model_validate_json(file.read_text()) for file in files}


def without_time(outcome: Outcome) -> Outcome:
    return outcome.model_copy(update={"seconds": 0.0, "attempts": 1})


def test_a_killed_sweep_repeats_no_finished_trial_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    config, out = write_sweep(tmp_path), tmp_path / "sweeps"
    assert start(config, tmp_path / "unbroken").wait(400) == 0
    process = start(config, out)
    deadline = time.monotonic() + 200
    while len(outcomes(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("outcome.json")}
    assert 2 <= len(done) < 5
    assert start(config, out).wait(400) == 0
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in done} == done
    for path in done:
        assert path.with_name("output.log").read_text().count("=== ") == 1
    found, expected = outcomes(out), outcomes(tmp_path / "unbroken")
    assert {name: without_time(own) for name, own in found.items()} == {
        name: without_time(own) for name, own in expected.items()
    }
    analyses = [
        json.loads((folder / "killed" / "analysis.json").read_text()) for folder in (out, tmp_path / "unbroken")
    ]
    assert analyses[0] == analyses[1]
    assert_a_trial_is_a_run_of_its_own(out, tmp_path / "runs")


def assert_a_trial_is_a_run_of_its_own(out: Path, runs: Path) -> None:
    """Its file, without the sweep, trains the same."""
    name, outcome = next(iter(sorted(outcomes(out).items())))
    folder = finish(load_config(out / "killed" / "trials" / name / "run.yaml", RunConfig), runs)
    last = json.loads((folder / "evaluations.jsonl").read_text().splitlines()[-1])
    assert {own["language"]: own["bits_per_byte"] for own in last["languages"]} == pytest.approx(outcome.last, rel=1e-5)
