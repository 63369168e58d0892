"""The front door: what `make` hands on, and above all that LANG stays a language and never becomes a locale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT

STUB = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["STUB_OUT"], "a") as file:
    file.write(json.dumps({{"args": sys.argv[1:], "environment": dict(os.environ)}}) + "\\n")
"""

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv" / ".installed").exists(), reason="needs the environment of `make setup`"
)


def make(
    tmp_path: Path, *arguments: str, locale: str | None
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, object]]]:
    """Run make with a stand-in for Python that only notes how it was called.

    `-o`: neither a newer list of requirements nor a newer sample is a reason to make anything with it now.
    """
    stub, notes = tmp_path / "python", tmp_path / "notes.jsonl"
    stub.write_text(STUB)
    stub.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("LANG", "MAKEFLAGS", "MAKELEVEL")}
    environment["STUB_OUT"] = str(notes)
    if locale is not None:
        environment["LANG"] = locale
    made = ["-o", ".venv/.installed", "-o", "samples/build/.packed"]
    command = ["make", *made, f"PY={stub}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    calls = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    return done, calls


def job_of(calls: list[dict[str, object]]) -> dict[str, object]:
    (job,) = [call for call in calls if "corpus" in str(call["args"]).split("'")]
    return job


@pytest.mark.parametrize("locale", [None, "C.UTF-8", "de_DE.UTF-8"])
def test_the_job_gets_the_language_and_the_callers_locale(tmp_path: Path, locale: str | None) -> None:
    done, calls = make(tmp_path, "corpus", "LANG=el,tr", "INPUT=a b/*.warc.gz", "OUT=o", "WORKERS=3", locale=locale)
    assert done.returncode == 0, done.stderr
    job = job_of(calls)
    environment = job["environment"]
    assert isinstance(environment, dict)
    assert environment.get("LANG") == locale
    assert "LANG=el" not in environment.get("MAKEFLAGS", "")
    assert job["args"] == [
        "-m", "curation", "corpus", "--lang", "el,tr", "--input", "a b/*.warc.gz", "--out", "o", "--workers", "3",
    ]  # fmt: skip


def test_the_locale_is_never_taken_for_a_language(tmp_path: Path) -> None:
    done, calls = make(tmp_path, "corpus", locale="el")
    assert done.returncode == 2
    assert "usage: make corpus LANG=" in done.stderr
    assert all("corpus" not in str(call["args"]).split("'") for call in calls)


def test_without_a_language_the_known_ones_are_listed() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("LANG", "MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-o", ".venv/.installed", "corpus"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "el Greek" in done.stderr
    assert "kk Kazakh" in done.stderr


def test_every_option_is_handed_on(tmp_path: Path) -> None:
    _, calls = make(tmp_path, "corpus", "LANG=all", "CONFIG=c.yaml", "SKIP=minhash,url", locale=None)
    arguments = job_of(calls)["args"]
    assert isinstance(arguments, list)
    assert arguments[3:5] == ["--lang", "all"]
    assert arguments[arguments.index("--config") + 1] == "c.yaml"
    assert arguments[arguments.index("--skip") + 1] == "minhash,url"
    assert arguments[arguments.index("--input") + 1] == "samples/build"
