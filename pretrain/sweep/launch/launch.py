"""Trials on Ray: one task a trial, as many at a time as there is room for, on this machine or a cluster.

How a trial fails is its outcome; what is raised here is about the sweep. A trial that was cut short goes on at its last
checkpoint, whoever cut it short.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from configs.errors import UserError
from curation.report import visible
from pretrain.cluster import ray_session
from pretrain.run.stopping import RunStoppedError, StopRequest, stop_requests
from pretrain.sweep.launch.early_stopping import StoppingRule, mean_curve
from pretrain.sweep.launch.trial_ending import Attempt, Ending, trial_outcome
from pretrain.sweep.launch.trial_process import Limits, TrialSpec, run_trial
from pretrain.sweep.launch.trial_rows import read_evaluations
from pretrain.sweep.sweep_config import EarlyStopping, Launch
from pretrain.sweep.trial import FINAL, Outcome, Status

# What may go better another time; a trial that has used up its minutes is not given them again.
RETRIED: frozenset[Status] = frozenset({"killed", "out_of_memory", "failed"})
# Called every second: trials that run, that have ended, and all.
Progress = Callable[[int, int, int], None]
_TICK_S = 1.0
# What trials get to save in when the sweep is asked to stop: more than one gives its processes.
_GRACE_S = 90.0


class Comparison(NamedTuple):
    """What trials are compared with while they run.

    Attributes:
        config: the rule.
        base: folder of the base mixture's run. If its trial is among those to run, it is the first, and alone.
        tokens: of a trial, all stages of its run together.
        weights: of the languages of the objective; None is all that are measured, alike.
        leave_out: languages that are not of the objective where `weights` is None.
    """

    config: EarlyStopping
    base: Path
    tokens: int
    weights: Mapping[str, float] | None = None
    leave_out: Sequence[str] = ()


class _Started(NamedTuple):
    spec: TrialSpec
    attempt: Attempt
    begin_s: float


def run_trials(
    specs: Sequence[TrialSpec],
    launch: Launch,
    on_done: Callable[[Outcome], None],
    comparison: Comparison | None = None,
    progress: Progress | None = None,
) -> None:
    """Run trials, in their order as far as there is room.

    Args:
        specs: of the trials; their paths are read by all machines of a cluster.
        launch: what each may take, and how often it is tried.
        on_done: called with each outcome as soon as there is one, to make it last.
        comparison: for early stopping; None is none. Where the base trial did not come to its end, none is stopped.
        progress: told how far it is.

    Raises:
        UserError: Ray does not start, or no machine has room for a trial.
        RunStoppedError: a signal asked to stop; trials that ran have saved, as far as they could.
    """
    if not specs:
        return
    with ray_session(), stop_requests() as request:
        _check_room(launch)
        first = [spec for spec in specs if comparison is not None and spec.run == comparison.base]
        rest = [spec for spec in specs if spec not in first]
        run = _Launcher(launch, on_done, progress or (lambda *_: None), request, len(specs))
        run.run(first, None)
        run.run(rest, None if comparison is None else stopping_rule(comparison))


def stopping_rule(comparison: Comparison) -> StoppingRule | None:
    """Return the rule that the base trial's evaluations make; None where it did not come to a finite end."""
    try:
        rows = read_evaluations(comparison.base)
    except ValueError:  # its outcome says so
        return None
    if not rows:
        return None
    weights = comparison.weights
    if weights is None:
        weights = {name: 1.0 for name in sorted(rows[0].bits) if name not in comparison.leave_out}
    curve = mean_curve(rows, weights)
    if not curve.tokens or curve.tokens[-1] < comparison.tokens:
        return None
    config = comparison.config
    begin = float(config.after * comparison.tokens)
    return StoppingRule(config.above_base, begin, comparison.tokens, dict(weights), curve)


class _Launcher:
    """Keeps as many trials running as there is room for."""

    def __init__(
        self, launch: Launch, on_done: Callable[[Outcome], None], progress: Progress, request: StopRequest, total: int
    ) -> None:
        self._launch, self._on_done, self._progress, self._request = launch, on_done, progress, request
        self._done, self._total = 0, total
        self._limits = Limits(**launch.model_dump(include=set(Limits._fields)))
        self._task = ray.remote(num_cpus=launch.cpus, num_gpus=launch.gpus, max_retries=0)(run_trial)
        self._running: dict[ray.ObjectRef[Outcome], _Started] = {}

    def run(self, specs: Sequence[TrialSpec], rule: StoppingRule | None) -> None:
        """Run trials to their ends."""
        waiting = deque((spec, Attempt()) for spec in specs)
        try:
            while waiting or self._running:
                while waiting and len(self._running) < max(1, _slots(self._launch)):
                    self._start(*waiting.popleft(), rule)
                self._progress(len(self._running), self._done, self._total)
                for reference in ray.wait(list(self._running), timeout=_TICK_S)[0]:
                    started = self._running.pop(reference)
                    outcome = _outcome(reference, started, rule)
                    if outcome.status in RETRIED and started.attempt.number <= self._launch.retries:
                        again = Attempt(started.attempt.number + 1, outcome.seconds)
                        waiting.appendleft((started.spec, again))
                    else:
                        self._end(outcome)
                if self._request.asked:
                    left = self._total - self._done
                    raise RunStoppedError(f"stopped with {left} trials to go; start the sweep again to go on")
        finally:
            self._stop()

    def _start(self, spec: TrialSpec, attempt: Attempt, rule: StoppingRule | None) -> None:
        reference = self._task.remote(spec, self._limits, rule, attempt)
        self._running[reference] = _Started(spec, attempt, time.monotonic())

    def _end(self, outcome: Outcome) -> None:
        self._done += 1
        self._on_done(outcome)
        self._progress(len(self._running), self._done, self._total)

    def _stop(self) -> None:
        """Let what still runs save, and end it; a trial that ends meanwhile has its outcome."""
        running, self._running = self._running, {}
        for reference in running:
            ray.cancel(reference)
        ended, left = ray.wait(list(running), num_returns=len(running), timeout=_GRACE_S) if running else ([], [])
        for reference in ended:
            outcome = _outcome(reference, running[reference], None)
            if outcome.status in FINAL:
                self._end(outcome)
        for reference in left:
            ray.cancel(reference, force=True)


def _outcome(reference: ray.ObjectRef[Outcome], started: _Started, rule: StoppingRule | None) -> Outcome:
    """Return what a task found; where its process or machine was lost, what is left of the trial."""
    try:
        return ray.get(reference)
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        status: Status = "killed"
        if isinstance(error, OutOfMemoryError):
            status = "out_of_memory"
        elif isinstance(error, RayTaskError):
            status = "failed"
        words = visible(f"{type(cause).__name__}: {' '.join(str(cause).split())}", 400)
        seconds = started.attempt.seconds_before + time.monotonic() - started.begin_s
        attempt = Attempt(started.attempt.number, seconds)
        return trial_outcome(started.spec.trial, started.spec.run, Ending(status, words), attempt, rule)


def _check_room(launch: Launch) -> None:
    if launch.gpus > 1 and launch.gpus % 1:
        raise UserError(f"launch.gpus is {launch.gpus:g}: give a part of one GPU, or a whole number")
    if launch.gpus and not ray.cluster_resources().get("GPU"):  # type: ignore[no-untyped-call]
        raise UserError(f"launch.gpus is {launch.gpus:g}, and there is no GPU here; 0 trains on processors")
    if not _slots(launch):
        raise UserError(
            f"no machine has room for a trial of launch.cpus {launch.cpus} and launch.gpus {launch.gpus:g}: give less"
        )


def _slots(launch: Launch) -> int:
    """Return how many trials the machines have room for together."""
    total = 0
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        resources = node["Resources"] if node["Alive"] else {}
        fits = int(resources.get("CPU", 0) // launch.cpus)
        if launch.gpus:
            fits = min(fits, _gpu_slots(int(resources.get("GPU", 0)), launch.gpus))
        total += fits
    return total


def _gpu_slots(there: int, asked: float) -> int:
    """Return how many trials GPUs are enough for: several share one, or each has whole ones."""
    return there * int(1 / asked + 1e-9) if asked < 1 else int(there // asked)
