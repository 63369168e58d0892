"""The parallel job on the sample pairs: what its README calls bad ends where it says, and nothing else is lost."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

import curation.parallel.cli
from tests.jobs.conftest import ROOT, read_rows
from tests.jobs.in_process import InProcessRunner
from tests.jobs.parallel_runs import run_parallel

SAMPLE = ROOT / "samples" / "parallel"
NAMES = {"letters": "letters.el-en.el+en", "travel": "travel.tmx", "web": "web.el-en.tsv"}
STAGES = ("ingest", "rules", "pair", "source", "target")
ONE_STAYS = ("pair", "source", "target")

Row = dict[str, object]
Place = tuple[str, int]  # input, line from 1


@dataclass(frozen=True)
class Bad:
    """A row of the README."""

    places: tuple[Place, ...]
    ends: str


@pytest.fixture(scope="module")
def told() -> list[Bad]:
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (letters|travel|web) \| ([\d, ]+) \|.*\| (\w+) \|$", readme, re.MULTILINE)
    return [Bad(tuple((NAMES[file], int(line)) for line in lines.split(",")), ends) for file, lines, ends in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample-pairs")
    with patch.object(curation.parallel.cli, "Runner", InProcessRunner):
        done = run_parallel("el-en", SAMPLE, out, "--laser", "off")
    assert done.code == 0, done.stderr
    return done.folder


@pytest.fixture(scope="module")
def ledger(folder: Path) -> dict[Place, Row]:
    return {(str(row["warc_file"]), int(str(row["sequence"])) + 1): row for row in read_rows(folder / "ledger")}


def test_sample_is_as_large_and_as_good_as_promised(ledger: dict[Place, Row], told: list[Bad]) -> None:
    assert Counter(name for name, _ in ledger) == {NAMES["letters"]: 240, NAMES["travel"]: 60, NAMES["web"]: 62}
    assert sum(row["outcome"] == "kept" for row in ledger.values()) == 310
    assert {bad.ends for bad in told} == {*STAGES, "kept"}
    listed = Counter(place for bad in told for place in bad.places)
    assert set(listed.values()) == {1}
    assert set(listed) <= set(ledger)


def test_bad_lines_end_where_the_readme_says(ledger: dict[Place, Row], told: list[Bad]) -> None:
    for bad in told:
        found = Counter(str(ledger[place]["stage"] or "kept") for place in bad.places)
        wanted = Counter({bad.ends: len(bad.places)})
        if bad.ends in ONE_STAYS:
            wanted = Counter({bad.ends: len(bad.places) - 1, "kept": 1})
        assert found == wanted, bad.places


def test_good_lines_are_kept(ledger: dict[Place, Row], told: list[Bad]) -> None:
    listed = {place for bad in told for place in bad.places}
    lost = {place: row["rule"] for place, row in ledger.items() if place not in listed and row["outcome"] != "kept"}
    assert lost == {}


def test_every_stage_gives_its_reasons(ledger: dict[Place, Row]) -> None:
    reasons: dict[str, set[str]] = {stage: set() for stage in STAGES}
    for row in ledger.values():
        if row["outcome"] != "kept":
            reasons[str(row["stage"])].add(str(row["rule"]))
    assert reasons["ingest"] >= {"empty_side", "side_missing", "blank_line", "column_count"}
    assert reasons["rules"] >= {"length_ratio.max", "number_mismatch.max", "upper_mismatch.max", "src_script_ratio.min"}
    assert all(reasons.values())


def test_codes_are_left_out_and_encodings_repaired(folder: Path) -> None:
    pairs = {(row["source"], int(str(row["sequence"])) + 1): row for row in read_rows(folder / "pairs")}
    assert "enter the code printed on your room card" in str(pairs[NAMES["travel"], 8]["tgt_text"])
    assert pairs[NAMES["travel"], 56]["tgt_text"] == "Bring your passport or identity card with you."
    assert pairs[NAMES["letters"], 73]["src_text"] == "Ο Γιάννης μένει στο διπλανό σπίτι."


def test_web_sentences_know_their_documents(folder: Path) -> None:
    own = [row for row in read_rows(folder / "pairs") if row["source"] == NAMES["web"]]
    documents = Counter((row["src_origin"], row["tgt_origin"]) for row in own)
    assert len(documents) == 8
    assert min(documents.values()) >= 4
