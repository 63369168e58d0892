"""Trials on Ray: their order, further attempts, what is left of a lost worker, and the end of a sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
import ray

from configs.errors import UserError
from configs.load import validate_config
from pretrain.cluster import ray_session
from pretrain.run.stopping import RunStoppedError
from pretrain.sweep.launch import launch
from pretrain.sweep.launch.launch import Comparison, run_trials, stopping_rule
from pretrain.sweep.launch.trial_process import TrialSpec
from pretrain.sweep.sweep_config import EarlyStopping, Launch
from pretrain.sweep.trial import Outcome
from tests.jobs.conftest import ROOT
from tests.pretrain.sweep.fake_trial import program, row
from tests.pretrain.sweep.test_trial_process import is_there, pid_in, wait_until

FINISHED = ["write", row(0, el=3.0) + row(100, el=2.0)]
EARLY = EarlyStopping(above_base=0.1, after=Fraction(1, 5))


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    """Give all tests one start of Ray, which takes longer than each of them."""
    with ray_session():
        yield


@pytest.fixture(autouse=True)
def one_at_a_time(session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial at a time, whatever the machine has; tests of what has room are told so."""
    monkeypatch.setattr(launch, "_slots", lambda config: 1)


def fake(folder: Path, name: str, *acts: Sequence[object]) -> TrialSpec:
    return TrialSpec(name, folder / "trials" / name, folder / "runs", program(folder / "runs" / name, *acts))


def launched(*specs: TrialSpec, retries: int = 0, comparison: Comparison | None = None) -> list[Outcome]:
    found: list[Outcome] = []
    run_trials(specs, Launch(retries=retries), found.append, comparison)
    return found


def test_trials_end_in_their_order_each_with_its_cause_and_none_stops_the_others(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    specs = [fake(tmp_path, "a", FINISHED), fake(tmp_path, "b", ["exit", 3]), fake(tmp_path, "c", FINISHED)]
    found: list[Outcome] = []
    run_trials(specs, Launch(), found.append, progress=lambda *own: told.append(own))
    assert [(own.trial, own.status) for own in found] == [("a", "finished"), ("b", "diverged"), ("c", "finished")]
    assert told[0] == (1, 0, 3)
    assert told[-1] == (0, 3, 3)
    assert all(running <= 1 and running + done <= total for running, done, total in told)


def test_a_trial_is_tried_again_where_that_may_help(tmp_path: Path) -> None:
    found = launched(
        fake(tmp_path, "a", ["once", "signal", 9], FINISHED),
        fake(tmp_path, "b", ["say", "error: a mistake"], ["exit", 2]),
        fake(tmp_path, "c", ["exit", 3]),
        fake(tmp_path, "d", ["once", "exit", 4], ["once", "exit", 1], FINISHED),
        retries=2,
    )
    assert [(own.trial, own.status, own.attempts) for own in found] == [
        ("a", "finished", 2),
        ("b", "failed", 3),
        ("c", "diverged", 1),
        ("d", "finished", 3),
    ]
    assert found[1].cause == "a mistake"
    lines = (tmp_path / "trials/d/output.log").read_text().splitlines()
    assert [line.partition(":")[0] for line in lines if line.startswith("===")] == [
        f"=== d, attempt {number}" for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_a_worker_of_ray_that_is_lost_is_a_trial_that_was_killed(tmp_path: Path) -> None:
    """Its process is asked to stop by the kernel, and the next attempt goes on."""
    spec = fake(tmp_path, "a", ["write", row(0, el=3.0)], ["once", "kill_parent"], ["write", row(100, el=2.0)])
    (found,) = launched(spec)
    assert (found.status, found.attempts, found.first) == ("killed", 1, {"el": 3.0})
    assert "WorkerCrashedError" in found.cause
    wait_until(lambda: not is_there(pid_in(spec.run / "pid")))
    (found,) = launched(fake(tmp_path, "b", ["once", "kill_parent"], FINISHED), retries=1)
    assert (found.status, found.attempts) == ("finished", 2)


def test_what_goes_wrong_in_a_worker_is_the_outcome_of_its_trial(tmp_path: Path) -> None:
    spec = fake(tmp_path, "a", FINISHED)
    spec.folder.parent.mkdir(parents=True)
    spec.folder.write_text("a file where the folder of the trial should be")
    (bad, good) = launched(spec, fake(tmp_path, "b", FINISHED))
    assert (bad.status, good.status) == ("failed", "finished")
    assert "FileExistsError" in bad.cause


def test_the_base_trial_is_first_and_the_others_are_compared_with_it(tmp_path: Path) -> None:
    comparison = Comparison(EARLY, tmp_path / "runs" / "base", 100, leave_out=["en"])
    base = fake(tmp_path, "base", ["write", row(0, el=3.0, en=1.0) + row(100, el=2.0, en=1.0)])
    bad = fake(tmp_path, "bad", ["write", row(0, el=3.0, en=1.0) + row(50, el=2.8, en=1.0)], ["sleep", 60])
    fine = fake(tmp_path, "fine", ["write", row(0, el=3.0, en=9.0) + row(50, el=2.7, en=9.0) + row(100, el=2, en=9)])
    found = launched(bad, base, fine, comparison=comparison)
    assert [(own.trial, own.status) for own in found] == [
        ("base", "finished"),
        ("bad", "stopped"),
        ("fine", "finished"),
    ]
    assert found[1].seconds < 30
    again = launched(fake(tmp_path, "later", *[["write", row(0, el=3) + row(20, el=9, en=1)]]), comparison=comparison)
    assert again[0].status == "stopped"  # the base trial had ended before


def test_without_a_finished_base_trial_none_is_stopped(tmp_path: Path) -> None:
    comparison = Comparison(EARLY, tmp_path / "runs" / "base", 100)
    base = fake(tmp_path, "base", ["write", row(0, el=3.0) + row(50, el=2.0)], ["exit", 3])
    other = fake(tmp_path, "other", ["write", row(0, el=3.0) + row(50, el=9.0) + row(100, el=9.0)])
    assert [own.status for own in launched(base, other, comparison=comparison)] == ["diverged", "finished"]
    (tmp_path / "runs/base/evaluations.jsonl").write_text("{}\n")
    assert stopping_rule(comparison) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_sweep_that_is_asked_to_stop_lets_its_trials_save(number: signal.Signals, tmp_path: Path) -> None:
    running = fake(tmp_path, "b", ["sleep", 60])
    found: list[Outcome] = []

    def ask(running_now: int, done: int, total: int) -> None:
        if done == 1 and (running.run / "pid").exists():
            os.kill(os.getpid(), number)

    specs = [fake(tmp_path, "a", FINISHED), running, fake(tmp_path, "c", FINISHED)]
    begin = time.monotonic()
    with pytest.raises(RunStoppedError, match="2 trials to go"):
        run_trials(specs, Launch(), found.append, progress=ask)
    assert time.monotonic() - begin < 30
    assert [own.trial for own in found] == ["a"]
    assert (running.run / "saved").exists()
    assert not (tmp_path / "runs" / "c").exists()


def test_room_is_counted_machine_by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 3.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    expected = {(1, 0): 11, (2, 0): 5, (8, 0): 1, (9, 0): 0, (1, 1): 2, (1, 2): 1, (1, 3): 0, (1, 0.3): 6, (3, 0.1): 2}
    for (cpus, gpus), count in expected.items():
        assert launch._slots(Launch(cpus=cpus, gpus=gpus)) == count
    for config, said in ((Launch(cpus=9), "launch.cpus 9 and launch.gpus 0"), (Launch(gpus=1.5), "launch.gpus is 1.5")):
        with pytest.raises(UserError, match=said):
            launch._check_room(config)


def test_limits_are_those_of_the_configuration(tmp_path: Path) -> None:
    config = validate_config({"memory_gib": 0.2, "minutes": 5, "retries": 0}, Launch, "launch")
    found: list[Outcome] = []
    run_trials([fake(tmp_path, "a", ["allocate", 400], ["sleep", 60])], config, found.append)
    assert found[0].status == "out_of_memory"


@pytest.mark.slow
def test_when_a_sweep_is_killed_no_trial_goes_on(tmp_path: Path) -> None:
    spec = fake(tmp_path, "a", ["sleep", 120])
    code = (
        "from pretrain.sweep.launch.launch import *\nfrom pathlib import PosixPath\n"
        f"run_trials([TrialSpec{tuple(spec)!r}], Launch(), print)"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    own = pid_in(spec.run / "pid")
    sweep.kill()
    sweep.wait()
    wait_until(lambda: not is_there(own), 60)
