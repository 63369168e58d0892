"""Runs tasks on Ray: the only place that knows it. Local by default, a cluster through RAY_ADDRESS.

Shards are scheduled, not records. As many tasks are in flight as there are workers, so that a long list of tasks takes
no memory in the scheduler. A task that fails, or whose worker dies, is tried again; then the job raises.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import ray
from ray.exceptions import RayError, RayTaskError

from configs.errors import UserError
from curation.capacity import available_memory_bytes
from curation.stage import PACKAGES, Task, run_task
from curation.store import Manifest

# Called every two seconds, and when a task is finished: stage, tasks finished so far, tasks in all, tasks that an
# earlier run had finished.
Progress = Callable[[str, int, int, int], None]

_TICK_S = 2.0
_PATIENCE_S = 10.0
# One task a processor: libraries that start threads of their own would only get in each other's way. Arrow's own
# allocator keeps what it was given; the system's gives it back.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def check_cluster(address: str) -> None:
    """Refuse a cluster that nobody answers for: Ray itself asks for minutes.

    Args:
        address: as RAY_ADDRESS has it, `host:port` or `ray://host:port`; of another form, Ray has its say.

    Raises:
        UserError: no connection in ten seconds.
    """
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"the Ray cluster at {address} (RAY_ADDRESS) does not answer: {error}") from error


class ShardError(RuntimeError):
    """A shard failed on every attempt."""


class Runner:
    """A Ray session for the length of a job."""

    def __init__(self, workers: int | None, retries: int) -> None:
        """Prepare; nothing is started before `__enter__`.

        Args:
            workers: tasks that run at the same time; None takes every processor of the machine or cluster.
            retries: further attempts at a task that fails.
        """
        self._workers, self._retries = workers, retries
        self._owner, self._in_flight = False, 0

    def __enter__(self) -> Runner:
        """Return the runner. Ray starts with the first task: on this machine, or the cluster of RAY_ADDRESS."""
        return self

    @property
    def workers(self) -> int:
        """Tasks that run at the same time, as far as it is known before the first one runs."""
        return self._in_flight or self._workers or os.cpu_count() or 1

    @property
    def memory_bytes(self) -> int | None:
        """Memory that tasks may take; of the machines of a cluster it is not known."""
        return None if os.environ.get("RAY_ADDRESS") else available_memory_bytes()

    def _connect(self) -> None:
        """Start Ray with the first task that has to run: a job that is finished already needs none."""
        if self._in_flight:
            return
        if not ray.is_initialized():
            self._owner = True
            self._start()
        cluster = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        self._in_flight = min(self._workers or cluster, cluster)

    def _start(self) -> None:
        address = os.environ.get("RAY_ADDRESS")
        # Ray's own uv hook and usage report have no place in a batch job.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        root = Path(__file__).resolve().parent.parent
        try:
            if address:
                check_cluster(address)
                # Machines of a cluster need not have this checkout.
                modules = [str(root / package) for package in PACKAGES]
                environment = {"py_modules": modules, "env_vars": _WORKER_ENVIRONMENT}
                ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
                return
            # Workers of this machine inherit the environment: a runtime environment would cost them a second each.
            path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
            os.environ.update({**_WORKER_ENVIRONMENT, "PYTHONPATH": path})
            # "local": a cluster that somebody else started on this machine is not ours.
            ray.init(
                "local",
                num_cpus=self._workers or os.cpu_count() or 1,
                num_gpus=0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=100 << 20,
            )
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:
            place = f"the Ray cluster at {address} (RAY_ADDRESS)" if address else "Ray on this machine"
            raise UserError(f"cannot start {place}: {' '.join(str(error).split())[:300]}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what `__enter__` started."""
        if self._owner:
            ray.shutdown()

    def run(self, stage: str, tasks: Sequence[Task], progress: Progress | None = None) -> list[Manifest]:
        """Run the tasks that are not finished yet and return all manifests, in the order of the tasks.

        Raises:
            UserError: a mistake of the user's that a worker met, or a cluster that does not answer.
            ShardError: a task failed on every attempt; the message names the shard, the record and the cause.
        """
        manifests = {number: done for number, task in enumerate(tasks) if (done := task.finished()) is not None}
        resumed = len(manifests)
        waiting = [(number, 0) for number in reversed(range(len(tasks))) if number not in manifests]
        if waiting:
            self._connect()
        running: dict[ray.ObjectRef[Manifest], tuple[int, int]] = {}
        try:
            while True:
                if progress:
                    progress(stage, len(manifests), len(tasks), resumed)
                while waiting and len(running) < self._in_flight:
                    number, attempt = waiting.pop()
                    running[_run_remote.remote(tasks[number])] = (number, attempt)
                if not running:
                    return [manifests[number] for number in range(len(tasks))]
                for reference in ray.wait(list(running), num_returns=1, timeout=_TICK_S)[0]:
                    number, attempt = running.pop(reference)
                    try:
                        manifests[number] = ray.get(reference)
                    except RayError as error:
                        self._raise_unless_retryable(tasks[number], attempt, error)
                        waiting.append((number, attempt + 1))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _raise_unless_retryable(self, task: Task, attempt: int, error: RayError) -> None:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(cause, UserError):
            raise UserError(str(cause)) from None
        if attempt < self._retries:
            return
        reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:1000]}"
        raise ShardError(f"{task.stage} of {task.name} failed {attempt + 1} times: {reason}") from error


@ray.remote(num_cpus=1, max_retries=0)
def _run_remote(task: Task) -> Manifest:
    return run_task(task)
