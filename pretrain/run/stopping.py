"""Signals that ask a run to stop: it ends its step, writes a checkpoint, and goes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What a shell says of a process that SIGTERM ended: a scheduler sees that the run is not finished.
STOPPED_EXIT_CODE = 128 + signal.SIGTERM


class StopRequest:
    """Whether a signal came."""

    asked = False


class RunStoppedError(RuntimeError):
    """The run was asked to stop, and did, after a checkpoint."""


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Take SIGTERM and SIGINT as requests, until the end of the block; a second one ends the process at once."""
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        request.asked = True
        for own, handler in before.items():
            signal.signal(own, handler)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread, as in a worker of Ray: it has signals of its own
        yield request
        return
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
