"""A process and all that it has started, by /proc: the memory that they take, and their end."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
# What a process has to itself or shares with others of its own; files that it has mapped can be dropped by the kernel.
_MEMORY = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)
_KILL_S = 10.0


class _Process(NamedTuple):
    pid: int
    parent: int
    session: int
    born: int  # in ticks since the start of the system: a number of a process that has ended may be another's


class ProcessTree:
    """The processes that one process started, and those that these started.

    What was seen once belongs to it for good, also when the process between has ended: torchrun's ranks have sessions
    of their own, and would go on without it. So does what is in the first one's session.
    """

    def __init__(self, root: int) -> None:
        """Begin with a process that has just been started, in a session of its own."""
        self._session = root
        self._seen = {process.pid: process.born for process in _processes() if process.pid == root}

    def look(self) -> list[int]:
        """Return the ids of all that run."""
        there = list(_processes())
        own = {
            process.pid
            for process in there
            if self._seen.get(process.pid) == process.born or process.session == self._session
        }
        found = -1
        while found != len(own):
            found = len(own)
            own.update(process.pid for process in there if process.parent in own)
        self._seen = {process.pid: process.born for process in there if process.pid in own}
        return sorted(own)

    def memory_bytes(self) -> int:
        """Return the memory on the host that all of them take; pages that several share count for each."""
        return sum(_memory_bytes(pid) for pid in self.look())

    def kill(self) -> None:
        """Kill all of them, and what they start meanwhile."""
        last = time.monotonic() + _KILL_S
        while (left := self.look()) and time.monotonic() < last:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _processes() -> Iterator[_Process]:
    """Yield those that run; one that has ended and was not waited for yet takes nothing."""
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):  # it has ended
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] not in "ZX":
                yield _Process(int(folder.name), int(fields[1]), int(fields[3]), int(fields[19]))


def _memory_bytes(pid: int) -> int:
    try:
        return 1024 * sum(map(int, _MEMORY.findall((_PROC / str(pid) / "status").read_bytes())))
    except OSError:  # it has ended
        return 0
