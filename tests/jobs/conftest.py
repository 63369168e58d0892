"""Running whole jobs: as a user does, in a process of their own, or without Ray in the process of the test."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curation.cli
from samples.pack import pack
from tests.jobs.in_process import InProcessRunner, run_here

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finished:
    """A job that ended."""

    code: int
    stdout: str
    stderr: str
    out: Path

    def ledger(self, language: str) -> list[dict[str, object]]:
        return read_rows(self.out / language / "ledger")

    def documents(self, language: str) -> list[dict[str, object]]:
        return read_rows(self.out / language / "documents")

    def summary(self, language: str) -> dict[str, object]:
        loaded = json.loads((self.out / language / "summary.json").read_text())
        assert isinstance(loaded, dict)
        return loaded


def read_rows(folder: Path) -> list[dict[str, object]]:
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.glob("*.parquet"))]
    rows: list[dict[str, object]] = pa.concat_tables(tables).to_pylist()
    return rows


KINDS = ("documents", "ledger", "measures", "spans", "index")


def fingerprint(out: Path) -> dict[str, str]:
    """The bytes of everything that has to be the same from run to run."""
    files = sorted(path for kind in KINDS for path in out.glob(f"*/{kind}/*"))
    assert files
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def arguments(lang: str, source: object, out: Path, *options: str) -> list[str]:
    return ["corpus", "--lang", lang, "--input", str(source), "--out", str(out), *options]


def command(lang: str, source: object, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "curation", *arguments(lang, source, out, *options)]


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, **extra}


Job = Callable[..., Finished]


@pytest.fixture(scope="session")
def run_process() -> Job:
    """The command line in a process of its own, whose tasks run on Ray."""

    def run(lang: str, source: object, out: Path, *options: str, timeout: float = 300) -> Finished:
        done = subprocess.run(
            command(lang, source, out, *options),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Finished(done.returncode, done.stdout, done.stderr, out)

    return run


@pytest.fixture(scope="session")
def run_job() -> Job:
    """The same command line in this process, its tasks one after the other: for what does not depend on processes."""

    def run(lang: str, source: object, out: Path, *options: str) -> Finished:
        with patch.object(curation.cli, "Runner", InProcessRunner):
            return Finished(*run_here(lambda: curation.cli.app(args=arguments(lang, source, out, *options))), out)

    return run


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample crawl, packed."""
    folder = tmp_path_factory.mktemp("sample")
    pack(ROOT / "samples" / "crawl", folder)
    return folder


@pytest.fixture(scope="session")
def sample_job(run_process: Job, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The job over the sample crawl for all of its languages, run once for all tests that look at its results."""
    done = run_process("el,de,tr,th,kk,zh,en", sample, tmp_path_factory.mktemp("sample-out"), "--workers", "2")
    assert done.code == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def greek_job(run_job: Job, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The job over the sample crawl for Greek alone; tests copy what they change of its output."""
    done = run_job("el", sample, tmp_path_factory.mktemp("greek-out"))
    assert done.code == 0, done.stderr
    return done
