"""A trial's process: what ends it, what is left of it, and what its outcome says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.job_folder import locked_output
from pretrain.run import journal
from pretrain.sweep.launch import trial_process, trial_rows
from pretrain.sweep.launch.early_stopping import Curve, StoppingRule
from pretrain.sweep.launch.process_tree import ProcessTree
from pretrain.sweep.launch.trial_ending import Attempt, process_ending, telling_line
from pretrain.sweep.launch.trial_process import Limits, TrialSpec, run_trial
from pretrain.sweep.trial import Outcome
from tests.jobs.conftest import ROOT
from tests.pretrain.small_runs import STAGES, finish, small_run, write_mixture
from tests.pretrain.started_runs import rows_in
from tests.pretrain.sweep.fake_trial import program, row
from tests.pretrain.test_train import assert_same_run

FINISHED = ["write", row(0, el=3.0, en=1.0) + row(100, el=2.0, en=1.1)]
RULE = StoppingRule(0.1, 20, 100, {"el": 1.0}, Curve((0, 100), (3.0, 2.0)))


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial of these tests takes a moment."""
    monkeypatch.setattr(trial_process, "_TICK_S", 0.05)
    monkeypatch.setattr(trial_process, "_GRACE_S", 1.0)


def fake(folder: Path, *acts: Sequence[object]) -> TrialSpec:
    return TrialSpec("t1", folder / "trials" / "t1", folder / "runs", program(folder / "runs" / "t1", *acts))


def run(
    folder: Path, *acts: Sequence[object], limits: Limits | None = None, rule: StoppingRule | None = None
) -> Outcome:
    return run_trial(fake(folder, *acts), limits or Limits(), rule, Attempt())


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(there: Callable[[], object], seconds: float = 60) -> None:
    last = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < last
        time.sleep(0.02)


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_a_finished_trial_has_its_first_and_last_losses_and_its_tokens(tmp_path: Path) -> None:
    log = json.dumps({"step": 1, "tokens": 50}) + "\n" + json.dumps({"step": 2, "tokens": 104}) + '\n{"step": 3, "tok'
    found = run(tmp_path, FINISHED, ["write", '{"step": 200, "tok'], ["log", log], ["say", "\x1b[31mdone"])
    assert (found.status, found.cause, found.attempts, found.tokens) == ("finished", "", 1, 104)
    assert (found.first, found.last) == ({"el": 3.0, "en": 1.0}, {"el": 2.0, "en": 1.1})
    assert found.versions.keys() == {"python", "torch", "numpy"}
    assert found.seconds > 0
    assert "=== t1, attempt 1: " in (tmp_path / "trials/t1/output.log").read_text()


@pytest.mark.parametrize(
    ("acts", "status", "cause"),
    [
        ([["exit", 3]], "diverged", "no finite loss or gradient"),
        ([["say", "the run failed: 3 steps in a row"], ["exit", 3]], "diverged", "3 steps in a row"),
        ([["say", "the run failed: no \x1b[1mmemory\x1b[0m"], ["exit", 4]], "out_of_memory", "no memory"),
        ([["say", "terminate called: std::bad_alloc"], ["signal", 6]], "out_of_memory", "std::bad_alloc"),
        ([["say", "error: no such file\nbye"], ["exit", 2]], "failed", "no such file"),
        ([["say", "Traceback:\nKeyError: 'a'\nwarning: leaked"], ["exit", 1]], "failed", "KeyError: 'a'"),
        ([["exit", 7]], "failed", "exit code 7, and nothing said"),
        ([["exit", 143]], "killed", "asked to stop by a signal that the sweep did not send"),
        ([["signal", 9]], "killed", "ended by SIGKILL, which the sweep did not send: the kernel or Ray"),
        ([["signal", 11]], "killed", "ended by SIGSEGV, which the sweep did not send"),
        ([["exit", 0]], "failed", "ended without an evaluation"),
        ([["write", row(0, el=3.0, tr=2.0) + row(9, el=3.0)]], "diverged", "no finite held-out loss at the end: tr"),
        ([["write", row(0, el=3.0, tr=2.0) + row(9, el=None, tr=2.0)]], "diverged", "at the end: el"),
        ([["write", row(0, el=3.0) + "{}\n" + row(9, el=3.0)]], "failed", "line 2 is no evaluation"),
    ],
)  # fmt: skip
def test_each_ending_is_told_from_the_others(acts: list[list[object]], status: str, cause: str, tmp_path: Path) -> None:
    found = run(tmp_path, *acts)
    assert found.status == status
    assert cause in found.cause


def test_what_an_earlier_attempt_said_is_not_the_cause(tmp_path: Path) -> None:
    assert "a mistake" in run(tmp_path, ["say", "error: a mistake"], ["exit", 2]).cause
    assert run(tmp_path, ["exit", 1]).cause == "exit code 1, and nothing said"
    assert (tmp_path / "trials/t1/output.log").read_text().count("===") == 2


def test_torchrun_tells_the_exit_code_of_the_rank_that_failed_first() -> None:
    said = (
        "the run failed: 3 steps in a row gave no finite loss\n"
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n"
        "Failures:\n[1]:\n  rank      : 1 (local_rank: 1)\n  exitcode  : 1 (pid: 18)\n"
        "Root Cause (first observed failure):\n[0]:\n  exitcode  : {} (pid: 17)\n  error_file: <N/A>\n=====\n"
    )
    assert process_ending(1, said.format(3)) == ("diverged", "3 steps in a row gave no finite loss")
    assert process_ending(1, said.format(4)).status == "out_of_memory"
    assert process_ending(1, said.format(-9)).status == "killed"


@given(st.text(max_size=2000), st.integers(-64, 255))
def test_whatever_is_said_the_cause_is_short_and_has_no_control_characters(said: str, code: int) -> None:
    found = process_ending(code, said)
    assert bool(found.cause) == (found.status != "finished")
    assert (found.status == "finished") == (code == 0)
    for text in (found.cause, telling_line(said)):
        assert len(text) <= 500
        assert all(letter == " " or letter.isprintable() or ord(letter) > 0xA0 for letter in text)


def test_a_trial_that_takes_too_much_memory_is_ended_with_the_figures(tmp_path: Path) -> None:
    found = run(tmp_path, ["allocate", 300], ["sleep", 60], limits=Limits(memory_gib=0.2))
    assert found.status == "out_of_memory"
    assert "GiB of memory on the host; launch.memory_gib is 0.2" in found.cause
    assert found.seconds < 20


def test_memory_of_all_processes_of_a_trial_counts() -> None:
    held = "import time; x = b'x' * (80 << 20); print('ready', flush=True); time.sleep(60)"
    started = f"p = subprocess.Popen([sys.executable, '-c', {held!r}])"
    code = f"import subprocess, sys; x = b'x' * (40 << 20); {started}; p.wait()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    tree = ProcessTree(process.pid)
    assert process.stdout is not None
    process.stdout.readline()
    assert 120 <= tree.memory_bytes() / (1 << 20) <= 220
    assert len(tree.look()) == 2
    tree.kill()
    assert process.wait() == -signal.SIGKILL
    assert tree.look() == []


def test_a_trial_that_takes_too_long_is_asked_to_stop_and_then_killed_with_all_that_it_started(tmp_path: Path) -> None:
    limits = Limits(minutes=0.5 / 60)
    found = run(tmp_path / "a", ["sleep", 60], limits=limits)
    assert (found.status, found.cause) == ("timed_out", "not finished after 0.00833333 minutes (launch.minutes)")
    assert (tmp_path / "a/runs/t1/saved").exists()
    found = run(tmp_path / "b", ["deaf"], ["child"], ["sleep", 60], limits=limits)
    assert found.status == "timed_out"
    assert 1.5 <= found.seconds < 20
    for name in ("pid", "child"):
        assert not is_there(int((tmp_path / "b/runs/t1" / name).read_text()))


def test_minutes_of_earlier_attempts_count(tmp_path: Path) -> None:
    spec = fake(tmp_path, ["sleep", 60])
    found = run_trial(spec, Limits(minutes=10), None, Attempt(2, 599.8))
    assert (found.status, found.attempts) == ("timed_out", 2)
    assert 600 <= found.seconds < 620


def test_a_trial_is_stopped_early_while_it_runs_and_when_it_was_faster(tmp_path: Path) -> None:
    rows = row(0, el=3.0) + row(30, el=2.8) + row(50, el=2.8)
    slow = run(tmp_path / "a", ["write", rows], ["sleep", 60], rule=RULE)
    fast = run(tmp_path / "b", ["write", rows + row(80, el=2.1) + row(100, el=2.0)], rule=RULE)
    broken = run(tmp_path / "c", ["write", rows], ["signal", 9], rule=RULE)
    assert slow.status == "stopped"
    assert slow.cause.startswith("2.8000 bits per byte after 50 tokens, 12.0% above the base mixture's 2.5000")
    assert (slow.tokens, slow.first, slow.last) == (50, {"el": 3.0}, {"el": 2.8})
    for other in (fast, broken):
        assert other.model_copy(update={"seconds": slow.seconds}) == slow
    assert run(tmp_path / "a", FINISHED, rule=RULE).status == "stopped"  # and is not started again
    assert (tmp_path / "a/trials/t1/output.log").read_text().count("===") == 1
    good = run(tmp_path / "d", ["write", row(0, el=3.0) + row(50, el=2.7) + row(100, el=9.0)], rule=RULE)
    assert (good.status, good.last) == ("finished", {"el": 9.0})


def test_a_trial_waits_for_the_process_that_still_works_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = locked_output(tmp_path / "runs" / "t1")
    held.__enter__()
    threading.Timer(0.5, lambda: held.__exit__(None, None, None)).start()
    found = run(tmp_path, FINISHED)
    assert found.status == "finished"
    assert found.seconds > 0.4
    monkeypatch.setattr(trial_process, "_LOCK_PATIENCE_S", 0.1)
    with locked_output(tmp_path / "runs" / "t1"):
        found = run(tmp_path, ["exit", 0])
    assert found.status == "failed"
    assert "another job is writing to" in found.cause


def test_the_trial_has_our_modules_its_threads_and_no_gpu_that_it_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    run(tmp_path, ["environment"], limits=Limits(cpus=6, processes=1))
    found = json.loads((tmp_path / "runs/t1/environment.json").read_text())
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "6"
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert str(ROOT) in found["PYTHONPATH"].split(":")
    assert "hunter2" not in (tmp_path / "trials/t1/output.log").read_text()
    assert trial_process.environment(Limits(gpus=0.5))["CUDA_VISIBLE_DEVICES"] == "3"
    assert trial_process.environment(Limits(cpus=8, processes=2))["OMP_NUM_THREADS"] == "4"


def test_a_trial_whose_parent_is_killed_is_asked_to_stop(tmp_path: Path) -> None:
    spec = fake(tmp_path, ["sleep", 60])
    code = (
        "from pretrain.sweep.launch.trial_process import *\nfrom pretrain.sweep.launch.trial_ending import Attempt\n"
        f"from pathlib import PosixPath\nrun_trial(TrialSpec{tuple(spec)!r}, Limits(), None, Attempt())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    own = pid_in(spec.run / "pid")
    assert is_there(own)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_there(own), 10)
    assert (spec.run / "saved").exists()


def test_a_trial_whose_parent_gets_a_signal_saves(tmp_path: Path) -> None:
    """As Ray does it when a task is cancelled, and a person with Ctrl-C."""
    spec = fake(tmp_path, ["sleep", 60])

    def interrupt() -> None:
        pid_in(spec.run / "pid")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    found = run_trial(spec, Limits(), None, Attempt())
    assert (found.status, found.cause) == ("killed", "the sweep was asked to stop")
    assert (spec.run / "saved").exists()


def test_file_names_are_those_of_the_journal() -> None:
    """They are stated twice, because the journal loads PyTorch."""
    assert trial_rows.LOG_FILE == journal.LOG_FILE
    assert trial_rows.EVALUATIONS_FILE == journal.EVALUATIONS_FILE
    code = "import pretrain.sweep.launch.trial_process, sys; assert not {'torch', 'ray'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def real(folder: Path, **changes: object) -> TrialSpec:
    """Write the files of a trial that `make cpt` could train as well."""
    spec = TrialSpec("t1", folder / "trials" / "t1", folder / "runs")
    spec.folder.mkdir(parents=True)
    run = small_run(folder / "mixtures" / "m", "t1", **changes)
    (spec.folder / "run.yaml").write_text(run.model_dump_json())
    return spec


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_end_of_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mixture(tmp_path)
    spec = real(tmp_path)
    monkeypatch.chdir("/")

    def kill() -> None:
        wait_until(lambda: rows_in(spec.run / "log.jsonl") > 7, 240)
        (found,) = (int(own.name) for own in Path("/proc").glob("[0-9]*") if _is_ours(own, spec))
        os.kill(found, signal.SIGKILL)

    threading.Thread(target=kill).start()
    broken = run_trial(spec, Limits(), None, Attempt())
    assert broken.status == "killed", broken
    assert broken.tokens > 0
    whole = run_trial(spec, Limits(), None, Attempt(2, broken.seconds))
    assert (whole.status, whole.attempts) == ("finished", 2), whole
    assert whole.tokens >= sum(int(str(stage["tokens"])) for stage in STAGES.values())
    assert whole.first.keys() == whole.last.keys() == {"el", "en"}
    assert all(whole.last[name] < whole.first[name] for name in whole.last)
    assert_same_run(spec.run, finish(small_run(tmp_path / "mixtures" / "m", "t1"), tmp_path / "unbroken"))


def _is_ours(process: Path, spec: TrialSpec) -> bool:
    try:
        own = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(spec.folder / "run.yaml").encode() in own


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_with_too_high_a_learning_rate_diverges(processes: int, tmp_path: Path) -> None:
    stage = STAGES["first"] | {"learning_rate": {"schedule": "constant", "peak": 1e38}}
    write_mixture(tmp_path, first=stage)
    found = run_trial(real(tmp_path, optimizer={"clip": None}), Limits(cpus=2, processes=processes), None, Attempt())
    assert found.status == "diverged", found
    assert "3 steps in a row gave no finite loss or gradient" in found.cause


@pytest.mark.slow
def test_a_run_is_stopped_early_by_its_own_evaluations(tmp_path: Path) -> None:
    write_mixture(tmp_path)
    spec = real(tmp_path, evaluation={"every_steps": 2, "forgetting": ["en"]})
    rule = StoppingRule(0.1, 500, 3000, {"el": 1.0}, Curve((0, 3000), (0.1, 0.1)))
    found = run_trial(spec, Limits(), rule, Attempt())
    assert found.status == "stopped", found
    assert 500 <= found.tokens < 900
    assert "early_stopping.above_base is 10.0%" in found.cause
