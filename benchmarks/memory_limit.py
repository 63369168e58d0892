"""A command and all that it starts inside a limit of memory that the kernel enforces, and what they took of it.

Control groups do it, version 2 or 1; where none may be made, each process gets a limit of its own data instead, which
`MemoryGroup.kind` says.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.machine import ROOT

_CGROUP = Path("/sys/fs/cgroup")
_MIB = 1 << 20
_LOOK_S, _LOOK_CLOSELY_S = 0.1, 2.0


@dataclass
class Use:
    """What a command took, in MiB.

    Attributes:
        wall_s: seconds from its start to its end.
        code: its exit code.
        output: its standard output.
        private: most memory that is no file's, of all processes together: what the limit is about.
        shared: most shared memory at a time, the object store for one.
        pss: most proportional set size of all processes together: files that are mapped included.
        by_kind: the proportional set size of each kind of process at that moment, in MiB, and their number.
        cpu_s: processor seconds of each process, as last seen, by number of the process and kind.
        killed: processes that the kernel killed for memory.
    """

    wall_s: float = 0.0
    code: int = 0
    output: str = ""
    private: float = 0.0
    shared: float = 0.0
    pss: float = 0.0
    by_kind: dict[str, tuple[float, int]] = field(default_factory=dict)
    cpu_s: dict[tuple[int, str], float] = field(default_factory=dict)
    killed: int = 0

    def cpu_of(self, *kinds: str) -> float:
        """Return the processor seconds of all processes of some kinds."""
        return sum(seconds for (_, kind), seconds in self.cpu_s.items() if kind in kinds)


class MemoryGroup:
    """A control group with a limit."""

    def __init__(self, path: Path | None, limit: int) -> None:
        """Hold a group that was made, or none."""
        self._path, self._limit = path, limit
        self._v1 = path is not None and (path / "memory.limit_in_bytes").exists()

    @property
    def kind(self) -> str:
        """What enforces the limit."""
        if self._path is None:
            return "RLIMIT_DATA of each process alone: no control group could be made"
        return f"control group, version {1 if self._v1 else 2}"

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Use:
        """Run a command inside the limit and watch it; its errors go to this process' own."""
        use = Use()
        with tempfile.TemporaryFile() as output:
            start = time.monotonic()
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=output,
                preexec_fn=self._enter,
            )
            looked = 0.0
            while process.poll() is None:
                self._look(use)
                if time.monotonic() - looked > _LOOK_CLOSELY_S:
                    _look_closely(use, process.pid)
                    looked = time.monotonic()
                time.sleep(_LOOK_S)
            use.wall_s, use.code = time.monotonic() - start, process.returncode
            output.seek(0)
            use.output = output.read().decode("utf-8", "replace")
        use.killed = self._killed()
        return use

    def _enter(self) -> None:
        if self._path is None:
            resource.setrlimit(resource.RLIMIT_DATA, (self._limit, self._limit))
        else:
            (self._path / "cgroup.procs").write_text(str(os.getpid()))

    def _look(self, use: Use) -> None:
        if self._path is None:
            return
        names = ("total_rss", "total_shmem") if self._v1 else ("anon", "shmem")
        lines = (self._path / "memory.stat").read_text().splitlines()
        values = {name: int(value) for name, _, value in (line.partition(" ") for line in lines) if name in names}
        use.private = max(use.private, values.get(names[0], 0) / _MIB)
        use.shared = max(use.shared, values.get(names[1], 0) / _MIB)

    def _killed(self) -> int:
        if self._path is None:
            return 0
        lines = (self._path / ("memory.oom_control" if self._v1 else "memory.events")).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _look_closely(use: Use, pid: int) -> None:
    """Add up the memory of a process and all below it, each file that they share counted once."""
    by_kind: dict[str, tuple[float, int]] = {}
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            kind, size = _kind(process, root), process.memory_full_info().pss / _MIB
            times = process.cpu_times()
            use.cpu_s[process.pid, kind] = times.user + times.system
            total, count = by_kind.get(kind, (0.0, 0))
            by_kind[kind] = total + size, count + 1
    except psutil.Error:
        return
    if (together := sum(size for size, _ in by_kind.values())) > use.pss:
        use.pss, use.by_kind = together, by_kind


def _kind(process: psutil.Process, root: psutil.Process) -> str:
    if process.pid == root.pid:
        return "driver"
    line = " ".join(process.cmdline())
    if line.startswith("ray::"):
        return "worker"
    for name in ("gcs_server", "raylet/raylet", "dashboard", "runtime_env", "log_monitor", "monitor"):
        if name in line:
            return f"Ray: {name.split('/')[-1]}"
    return "other"


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """Make a control group of a limit in bytes, and remove it afterwards."""
    path = _make(limit)
    try:
        yield MemoryGroup(path, limit)
    finally:
        if path is not None:
            _remove(path)


def _make(limit: int) -> Path | None:
    name = f"bench-{os.getpid()}"
    try:
        if (_CGROUP / "cgroup.controllers").exists():
            path = _CGROUP / name
            path.mkdir()
            (path / "memory.max").write_text(str(limit))
            (path / "memory.swap.max").write_text("0")
        else:
            path = _CGROUP / "memory" / name
            path.mkdir()
            (path / "memory.limit_in_bytes").write_text(str(limit))
    except OSError:
        return None
    return path


def _remove(path: Path) -> None:
    """Remove a group; what is left in it, Ray's last processes, ends within moments."""
    for _ in range(100):
        try:
            path.rmdir()
            return
        except OSError:
            time.sleep(0.1)
