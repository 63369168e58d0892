"""Signals that ask a run to stop: it ends its step, writes a checkpoint, and goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What a shell says of a process that SIGTERM ended: a scheduler sees that the run is not finished.
STOPPED_EXIT_CODE = 128 + signal.SIGTERM
# A signal that follows so soon is the same request: torchrun passes on to its processes what reached them already.
SAME_REQUEST_S = 5.0


class StopRequest:
    """Whether a signal came."""

    asked = False


class StopAskedError(Exception):
    """Between two steps, or two micro-batches of an evaluation, some rank was found to have been asked to stop."""


class RunStoppedError(RuntimeError):
    """The run was asked to stop, and did; it goes on from its checkpoint."""


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Take SIGTERM and SIGINT as requests, until the end of the block; a second one, later, ends the process at once.

    Until the block begins, when there is nothing to save yet, a signal ends the process at once, too.
    """
    request = StopRequest()
    first_s = 0.0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        if not request.asked:
            request.asked, first_s = True, time.monotonic()
        elif time.monotonic() - first_s > SAME_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

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
