"""Runs as a user starts them: in a process of their own, or in several that torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.jobs.conftest import ROOT

TORCHRUN = ("-m", "torch.distributed.run", "--standalone")


def start(config: Path, runs: Path, ranks: int = 1) -> subprocess.Popen[bytes]:
    """Start a run; with several ranks, torchrun does."""
    launcher = [] if ranks == 1 else [*TORCHRUN, f"--nproc-per-node={ranks}"]
    command = [sys.executable, *launcher, "-m", "pretrain", "cpt", "--config", str(config), "--runs", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for the end; return the exit code and what was said."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors.decode(errors="replace")


def ranks_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the processes that torchrun started and that are there."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended
            continue
        if int(parent) == process.pid and state != "Z":
            found.append(int(folder.name))
    return sorted(found)


def rows_in(log: Path) -> int:
    """Return how many steps are in a log."""
    return log.read_text().count("\n") if log.exists() else 0


def wait_until(there: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 240) -> None:
    """Wait until something is so, or the process has ended."""
    last = time.monotonic() + seconds
    while not there() and process.poll() is None and time.monotonic() < last:
        time.sleep(0.01)
