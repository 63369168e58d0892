"""The commands on quality, through `make`, on what a real job left, and a run that uses what they made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from curation.cli import app
from curation.kenlm_build import find_kenlm_tools
from filters.metrics import MEASURES
from tests.jobs.conftest import ROOT, Finished, Job
from tests.jobs.in_process import run_here

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv" / ".installed").exists(), reason="needs the environment of `make setup`"
)
# The sample crawl has a few dozen documents a language.
SMALL = {"rules": {"min_documents": 20, "min_removed": 1, "percentile": 10, "max_removed": 0.2}}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make; `-o`: a newer list of requirements is no reason to install anything now."""
    environment = {name: value for name, value in os.environ.items() if name not in ("LANG", "MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-o", ".venv/.installed", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def curation(*arguments: str) -> tuple[int, str, str]:
    """Run `python -m curation` in this process; return its exit code and what it printed."""
    return run_here(lambda: app(args=list(arguments)))


def test_every_measured_document_is_published(sample_job: Finished) -> None:
    for code in ("el", "th", "zh"):
        table = pq.read_table(sample_job.out / code / "measures", partitioning=None)
        rows = {
            row["document_id"]: row
            for row in sample_job.ledger(code)
            if row["stage"] in (None, "rules", "exact", "minhash")
        }
        assert set(table["document_id"].to_pylist()) == set(rows)
        assert set(MEASURES) <= set(table.column_names)
        assert table["outcome"].to_pylist() == [rows[own]["outcome"] for own in table["document_id"].to_pylist()]
        assert all(0 <= value <= 1 for value in table["own_language_ratio"].to_pylist())


@pytest.mark.parametrize("outcome", ["kept", "dropped", "duplicate"])
def test_every_outcome_is_explained(sample_job: Finished, outcome: str) -> None:
    row = next(row for row in sample_job.ledger("el") if row["outcome"] == outcome)
    code, stdout, stderr = curation("explain", "--url", str(row["document_id"]), "--out", str(sample_job.out))
    assert code == 0, stderr
    assert str(row["url"]) in stdout
    if outcome == "dropped":
        assert f"{row['rule']}, value" in stdout
        assert "broken" in stdout
    if outcome == "duplicate":
        assert "the document that was kept" in stdout


def test_whatif_says_what_a_run_would_do(sample_job: Finished, sample: Path, run_job: Job, tmp_path: Path) -> None:
    done = make("whatif", "LANG=el", "SET=prose_chars.min=null,chars.min=null,words.min=5", f"OUT={sample_job.out}")
    assert done.returncode == 0, done.stderr
    config = tmp_path / "loose.yaml"
    loose = {name: {"min": bound} for name, bound in (("prose_chars", None), ("chars", None), ("words", 5))}
    config.write_text(
        yaml.safe_dump({"stages": {"exact": None, "minhash": None, "substring": None, "rules": {"rules": loose}}})
    )
    truth = run_job("el", sample, tmp_path / "out", "--config", str(config), "--workers", "2")
    assert truth.code == 0, truth.stderr
    duplicates = sum(row["outcome"] == "duplicate" for row in sample_job.ledger("el"))
    documents = len(truth.documents("el")) - duplicates
    line = next(line for line in done.stdout.splitlines() if "documents" in line)
    assert f" {documents} " in line, (documents, line)


def test_a_calibrated_profile_is_used_and_nothing_is_read_again(
    greek_job: Finished, sample: Path, run_job: Job, tmp_path: Path
) -> None:
    out, profiles = tmp_path / "out", tmp_path / "profiles"
    shutil.copytree(greek_job.out, out)
    config = tmp_path / "calibration.yaml"
    config.write_text(yaml.safe_dump(SMALL))
    done = make("calibrate", "LANG=el", f"OUT={out}", f"PROFILES={profiles}", f"CONFIG={config}")
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    second = run_job("el", sample, out, "--workers", "2", "--profiles", str(profiles))
    assert second.code == 0, second.stderr
    assert "read, extract, identify: 3 shards done (3 finished before)" in second.stderr
    assert "measure: 3 shards done (3 finished before)" in second.stderr
    fitted = yaml.safe_load((profiles / "el" / "thresholds.yaml").read_text(encoding="utf-8"))
    rules = second.summary("el")["rules"]
    assert isinstance(rules, dict)
    for threshold in fitted["thresholds"]:
        assert rules[threshold["measure"]][threshold["side"]] == threshold["value"]
    report = (out / "el" / "report.html").read_text(encoding="utf-8")
    assert f"fitted to {fitted['documents']} documents" in report


def test_a_language_from_text_to_a_corpus_with_perplexities(
    sample_job: Finished, sample: Path, run_job: Job, tmp_path: Path
) -> None:
    if find_kenlm_tools() is None:
        pytest.skip("KenLM's lmplz is not built: run `make lmplz`")
    text = tmp_path / "clean.jsonl"
    texts = [str(own["text"]) for own in sample_job.documents("el")]
    pieces = [piece for text in texts for piece in text.split("\n") if len(piece) > 80]
    assert len(pieces) >= 20
    text.write_text("\n".join(json.dumps({"text": piece}) for piece in pieces))
    profiles = tmp_path / "profiles"
    done = make("language", "CODE=el", f"TEXT={text}", f"PROFILES={profiles}")
    assert done.returncode == 0, done.stderr
    assert (profiles / "el" / "report.html").is_file()
    job = run_job("el", sample, tmp_path / "out", "--workers", "2", "--profiles", str(profiles))
    assert job.code == 0, job.stderr
    measures = pq.read_table(tmp_path / "out" / "el" / "measures", partitioning=None)
    assert all(value > 1 for value in measures["perplexity"].to_pylist())
    resources = job.summary("el")["resources"]
    assert isinstance(resources, dict)
    assert resources["KenLM model"].endswith("model.bin")
    assert "profile" in resources["stop words"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("whatif", "LANG=el"), "usage: make whatif LANG="),
        (("calibrate",), "usage: make calibrate LANG="),
        (("explain",), "usage: make explain URL="),
        (("kenlm", "LANG=el"), "usage: make kenlm LANG="),
        (("language", "CODE=sw"), "usage: make language CODE="),
    ],
)
def test_make_says_what_is_missing(arguments: tuple[str, ...], message: str) -> None:
    done = make(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("whatif", "--lang", "el", "--set", "words.min=3", "--out", "/nowhere"), "no finished corpus in /nowhere/el"),
        (("explain", "--url", "x", "--out", "/nowhere"), "no finished corpus in /nowhere"),
        (("calibrate", "--lang", "el,tr"), "one at a time"),
        (("stopwords", "--lang", "el", "--text", "/nowhere.txt"), "no text at /nowhere.txt"),
    ],
)
def test_mistakes_end_with_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    code, _, stderr = curation(*arguments)
    assert code == 2
    assert message in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("corpus", "LANG=el", "PROFILES=/no where"), "no folder of language profiles at /no where"),
        (("explain", "URL=https://example.org/l'eau$HOME", "OUT=/nowhere"), "no finished corpus in /nowhere"),
    ],
)
def test_mistakes_come_through_make(arguments: tuple[str, ...], message: str) -> None:
    done = make(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
