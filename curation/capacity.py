"""What this machine has to give: memory and disk."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from configs.errors import UserError

# Limits and use of the control group that the process is in, versions 2 and 1.
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory.stat")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.stat"),
    ),
)


def available_memory_bytes() -> int:
    """Return the memory that new processes may take: what the system has left, within the limit of its control group.

    `CORPUS_MEMORY_BYTES` overrides it, for machines that share their memory in a way that cannot be seen here.
    """
    if stated := os.environ.get("CORPUS_MEMORY_BYTES"):
        if not stated.isdecimal():
            raise UserError(f"CORPUS_MEMORY_BYTES is {stated!r}; it has to be a number of bytes")
        return int(stated)
    own = _meminfo("MemAvailable")
    for group in _CGROUPS:
        with suppress(OSError, ValueError):
            limit, used, stat = (path.read_text() for path in group)
            # Cached files are given back when memory is needed.
            numbers = dict(line.split() for line in stat.splitlines())
            cached = numbers.get("total_inactive_file", numbers.get("inactive_file", "0"))
            own = min(own, int(limit) - int(used) + int(cached))
    return max(0, own)


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"/proc/meminfo does not tell {name}")


def free_disk_bytes(folder: Path) -> int:
    """Return what may still be written into a folder that exists."""
    return shutil.disk_usage(folder).free


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; a folder that is not there has none."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(root) / name).stat().st_size
    return total
