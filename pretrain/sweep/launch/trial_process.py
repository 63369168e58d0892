"""A trial's run in a process of its own, watched until it ends: what it takes, for how long, and how it learns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from configs.errors import UserError
from curation.job_folder import locked_output
from pretrain.run.stopping import StopRequest, stop_requests
from pretrain.sweep.launch.early_stopping import StoppingRule
from pretrain.sweep.launch.process_tree import ProcessTree
from pretrain.sweep.launch.trial_ending import Attempt, Ending, process_ending, trial_outcome
from pretrain.sweep.launch.trial_rows import read_evaluations
from pretrain.sweep.trial import Outcome

LOG_NAME = "output.log"
_TICK_S = 0.5
# A run that is asked to stop ends its step and saves; torchrun gives its ranks half a minute.
_GRACE_S = 60.0
# What another process of the same trial, which lost its parent, may take to save.
_LOCK_PATIENCE_S = 120.0
_SAID_BYTES = 64 << 10
_GIB = 1 << 30
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_WITH_PARENT = Path(__file__).with_name("with_parent.py")


class TrialSpec(NamedTuple):
    """A trial as it is started.

    Attributes:
        trial: its id, which is the name of its run.
        folder: of the trial; `run.yaml` is there, and its output goes there.
        runs: folder of runs.
        program: arguments of the Python interpreter; None trains `run.yaml`.
    """

    trial: str
    folder: Path
    runs: Path
    program: tuple[str, ...] | None = None

    @property
    def run(self) -> Path:
        """The folder of its run."""
        return self.runs / self.trial


class Limits(NamedTuple):
    """What a trial may take; see `sweep_config.Launch`."""

    cpus: int = 1
    gpus: float = 0
    processes: int = 1
    memory_gib: float | None = None
    minutes: float | None = None


def run_trial(spec: TrialSpec, limits: Limits, rule: StoppingRule | None, attempt: Attempt) -> Outcome:
    """Start a trial, or go on with it at its last checkpoint, and wait for its end.

    It is asked to stop, so that it saves, when this process gets SIGTERM or SIGINT, and when this process is gone.

    Args:
        spec: of the trial.
        limits: what it may take; the minutes are those of all attempts.
        rule: of early stopping; None is none.
        attempt: which one it is.
    """
    begin = time.monotonic()
    with stop_requests() as request:
        watched = _Watched(spec, limits, rule, attempt, request)
        ending = watched.wait_for_folder() or watched.early() or watched.run()
    seconds = attempt.seconds_before + time.monotonic() - begin
    return trial_outcome(spec.trial, spec.run, ending, Attempt(attempt.number, seconds), rule)


def command(spec: TrialSpec, limits: Limits) -> list[str]:
    """Return what is started for a trial."""
    run = spec.program or ("-m", "pretrain", "cpt", "--config", str(spec.folder / "run.yaml"), "--runs", str(spec.runs))
    if limits.processes > 1:
        run = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={limits.processes}", *run)
    return [sys.executable, *run]


def environment(limits: Limits) -> dict[str, str]:
    """Return the environment of a trial: this process's, with its modules and as many threads as it has processors."""
    threads = str(max(1, limits.cpus // limits.processes))
    found = {**os.environ, **dict.fromkeys(_THREADS, threads)}
    found["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(str(Path(place).absolute()) for place in sys.path))
    if not limits.gpus:  # a machine may have some all the same
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found


class _Watched(NamedTuple):
    """A trial, and what ends it. Methods return how it ended, or None where it has not."""

    spec: TrialSpec
    limits: Limits
    rule: StoppingRule | None
    attempt: Attempt
    request: StopRequest

    def wait_for_folder(self) -> Ending | None:
        """Wait until no other process works in the folder of the run, such as one that lost its parent and saves."""
        last = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                with locked_output(self.spec.run):
                    return self._asked()
            except UserError as error:
                if time.monotonic() > last:
                    return Ending("failed", str(error))
            time.sleep(_TICK_S)
            if (asked := self._asked()) is not None:
                return asked

    def early(self) -> Ending | None:
        """Look whether the rule stops the trial, by the evaluations so far."""
        if self.rule is None:
            return None
        with suppress(ValueError):  # a damaged row is told at the end
            rows = read_evaluations(self.spec.run)
            if (place := self.rule.stops_at(rows)) is not None:
                return Ending("stopped", self.rule.words(rows[place]))
        return None

    def run(self) -> Ending:
        """Run the process to its end."""
        self.spec.folder.mkdir(parents=True, exist_ok=True)
        own = command(self.spec, self.limits)
        with (self.spec.folder / LOG_NAME).open("a+b") as log:
            log.write(f"=== {self.spec.trial}, attempt {self.attempt.number}: {' '.join(own)}\n".encode())
            log.flush()
            said_from = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_WITH_PARENT), str(os.getpid()), *own],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(self.limits),
                start_new_session=True,
            )
            tree = ProcessTree(process.pid)
            try:
                ending = self._watch(process, tree)
            finally:
                _end(process, tree)
            log.seek(max(said_from, log.seek(0, os.SEEK_END) - _SAID_BYTES))
            said = log.read().decode(errors="replace")
        code = process.returncode
        return process_ending(code, said) if ending is None or code == 0 else ending

    def _watch(self, process: subprocess.Popen[bytes], tree: ProcessTree) -> Ending | None:
        """Wait until the process ends, which is None, or has to."""
        begin_s = time.monotonic() - self.attempt.seconds_before
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TICK_S)
                return None
            if (full := self._too_large(tree)) is not None:
                tree.kill()
                return full
            if (ending := self._asked() or self._too_long(time.monotonic() - begin_s) or self.early()) is not None:
                return ending

    def _too_large(self, tree: ProcessTree) -> Ending | None:
        taken, limit = tree.memory_bytes() / _GIB, self.limits.memory_gib
        if limit is None or taken <= limit:
            return None
        told = f"took {taken:.2f} GiB of memory on the host; launch.memory_gib is {limit:g}"
        return Ending("out_of_memory", told)

    def _too_long(self, seconds: float) -> Ending | None:
        limit = self.limits.minutes
        if limit is None or seconds <= limit * 60:
            return None
        return Ending("timed_out", f"not finished after {limit:g} minutes (launch.minutes)")

    def _asked(self) -> Ending | None:
        return Ending("killed", "the sweep was asked to stop") if self.request.asked else None


def _end(process: subprocess.Popen[bytes], tree: ProcessTree) -> None:
    """Ask a process to stop, if it still runs; kill it, and all that it started, where it does not."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
    finally:
        tree.kill()
        process.wait()
