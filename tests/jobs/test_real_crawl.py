"""The corpus job on real archives: what crawlers and archive tools have really written."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.inputs import format_of
from tests.jobs.conftest import Job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def index(data_folder: Path) -> list[dict[str, object]]:
    with (data_folder / "web" / "index.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_greek_corpus_of_the_real_crawl(
    run_process: Job, data_folder: Path, index: list[dict[str, object]], tmp_path: Path
) -> None:
    done = run_process("el", data_folder / "web" / "warc" / "*.warc.gz", tmp_path / "out")
    assert done.code == 0, done.stderr
    rows = {(row["warc_file"], row["warc_offset"]): row for row in done.ledger("el")}
    responses = [row for row in rows.values() if row["record_type"] == "response"]
    assert len(responses) == len(index) == 1661
    assert all(row["outcome"] in ("kept", "dropped", "duplicate", "failed") for row in responses)
    greek = [rows[entry["warc"], entry["offset"]] for entry in index if entry["lang"] == "el"]
    survived = [
        row for row in greek if row["stage"] not in ("ingest", "url", "glance", "extract", "normalize", "langid")
    ]
    assert len(survived) >= 45
    kept = {entry["url"]: entry["lang"] for entry in index}
    languages = Counter(kept[document["url"]] for document in done.documents("el"))
    assert languages["el"] >= 40
    assert sum(languages.values()) == languages["el"]


def test_three_languages_in_one_pass(
    run_process: Job, data_folder: Path, index: list[dict[str, object]], tmp_path: Path
) -> None:
    done = run_process("de,zh,pl", data_folder / "web" / "warc" / "*.warc.gz", tmp_path / "out", timeout=580)
    assert done.code == 0, done.stderr
    rows = [row for code in ("de", "zh", "pl", "und") for row in done.ledger(code)]
    assert sum(row["record_type"] == "response" for row in rows) == 1661
    assert len({(row["warc_file"], row["sequence"]) for row in rows}) == len(rows)
    truth = {(entry["warc"], entry["offset"]): entry["lang"] for entry in index}
    for code in ("de", "zh", "pl"):
        documents = done.documents(code)
        right = sum(truth[document["warc_file"], document["warc_offset"]] == code for document in documents)
        assert right >= 0.97 * len(documents)
        there = [row for row in rows if truth.get((row["warc_file"], row["warc_offset"])) == code]
        survived = [row for row in there if row["stage"] in (None, "rules", "exact", "minhash")]
        assert len(survived) >= 0.86 * len(there)


def test_files_of_archive_tools_are_accounted_for(run_process: Job, data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "warc_quirks"
    done = run_process("en", f"{folder}/**", tmp_path / "out")
    assert done.code == 0, done.stderr
    rows = done.ledger("en")
    assert Counter(row["warc_file"] for row in rows).keys() == {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and format_of(path.name)
    }
    assert len({(row["warc_file"], row["sequence"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["outcome"] == "kept" or row["rule"]
        if row["outcome"] == "failed":
            assert str(row["rule"])[0].isupper()


def test_the_same_texts_as_jsonl_and_parquet(
    run_process: Job, declaration: Callable[[str], str], tmp_path: Path
) -> None:
    """A Greek declaration and its neighbours, as text corpora: the language decides, and the rows are all there."""
    texts = [declaration(name) for name in ("ell_monotonic", "deu_1996", "tur", "tha")]
    source = tmp_path / "in"
    source.mkdir()
    with gzip.open(source / "texts.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "id": str(number)}) + "\n" for number, text in enumerate(texts))
    pq.write_table(
        pa.table({"text": texts, "url": [f"https://example.org/{n}" for n in range(4)]}), source / "t.parquet"
    )
    done = run_process("el,th", source, tmp_path / "out")
    assert done.code == 0, done.stderr
    outcomes = {code: Counter(row["outcome"] for row in done.ledger(code)) for code in ("el", "th", "und")}
    assert outcomes["el"] == Counter(kept=1, duplicate=1)
    assert outcomes["th"] == Counter(kept=1, duplicate=1)
    assert outcomes["und"] == Counter(dropped=4)
