"""The story of a record is that of its ledger row, with every measure beside its bounds."""

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from configs.errors import UserError
from curation.cli import app
from curation.explain import MAX_STORIES, explain
from curation.record_schema import LEDGER
from curation.records import STAGES
from curation.schema import DOCUMENTS
from filters.metrics import MEASURES
from filters.rules import Bounds
from tests.curation.published import publish_measures

ROW = {
    "record_id": "urn:1", "url": "https://example.org/0", "language": "el", "outcome": "kept",
    "record_type": "response",
    "warc_file": "a.warc.gz", "warc_offset": 0, "sequence": 0, "document_id": f"{0:032x}",
}  # fmt: skip


def publish(out: Path, rows: list[dict[str, object]], off: tuple[str, ...] = ()) -> None:
    """A corpus with three measured documents and these rows of the ledger."""
    folder = publish_measures(out, {"words": [10.0, 80.0, 90.0]}, {"words": Bounds(min=50)})
    (folder / "ledger").mkdir()
    (folder / "documents").mkdir()
    data = [{name: {**ROW, **row}.get(name) for name in LEDGER.names} for row in rows]
    pq.write_table(pa.Table.from_pylist(data, schema=LEDGER), folder / "ledger" / "0.parquet")
    document = {"id": f"{1:032x}", "text": "the other text", "url": "https://example.org/1", "language": "el"}
    plain = {"language_score": 0.9, "cluster_size": 2, "removed_chars": 0, "metrics": dict.fromkeys(MEASURES, 0.0)}
    table = pa.Table.from_pylist([{**document, **plain}], schema=DOCUMENTS)
    pq.write_table(table, folder / "documents" / "0.parquet")
    summary = json.loads((folder / "summary.json").read_text())
    summary["config"] = {"stages": {stage: (None if stage in off else {}) for stage in STAGES}}
    (folder / "summary.json").write_text(json.dumps(summary))


def test_a_dropped_document_shows_the_rule_that_it_broke(tmp_path: Path) -> None:
    publish(tmp_path, [{"outcome": "dropped", "stage": "rules", "rule": "words.min", "value": 10.0, "threshold": 50.0}])
    (story,) = explain(tmp_path, "https://example.org/0")
    assert [step.stage for step in story.steps] == list(STAGES[: STAGES.index("rules") + 1])
    assert {step.result for step in story.steps[:-1]} == {"passed"}
    assert story.steps[-1].result == "dropped"
    assert story.steps[-1].note == "words.min, value 10, threshold 50"
    assert [(own.measure, own.value, own.low) for own in story.measures if own.broken] == [("words", 10, 50)]
    assert story.text == "text 0"


def test_a_record_that_was_never_measured_ends_where_it_ended(tmp_path: Path) -> None:
    publish(tmp_path, [{"outcome": "dropped", "stage": "glance", "rule": "script_chars", "document_id": "f" * 32}])
    (story,) = explain(tmp_path, "urn:1")
    assert [step.stage for step in story.steps] == ["ingest", "url", "glance"]
    assert (story.measures, story.text) == ([], None)


def test_a_duplicate_shows_what_it_is_a_duplicate_of(tmp_path: Path) -> None:
    duplicate = {"outcome": "duplicate", "stage": "minhash", "rule": "minhash_duplicate", "duplicate_of": f"{1:032x}",
                 "similarity": 0.9}  # fmt: skip
    publish(tmp_path, [duplicate])
    (story,) = explain(tmp_path, f"{0:032x}")
    assert story.original == ("https://example.org/1", "the other text")
    assert "similarity 0.900" in story.steps[-1].note


def test_a_kept_document_passed_every_stage_that_was_run(tmp_path: Path) -> None:
    publish(tmp_path, [{}], off=("glance", "minhash"))
    (story,) = explain(tmp_path, "example.org/0", "el")
    results = {step.stage: step.result for step in story.steps}
    assert (results["glance"], results["minhash"], results["corpus"]) == ("not run", "not run", "kept")
    assert results["rules"] == "passed"


def test_text_of_a_text_corpus_was_not_extracted(tmp_path: Path) -> None:
    publish(tmp_path, [{"record_type": "text"}])
    (story,) = explain(tmp_path, "urn:1")
    assert {step.stage: step.result for step in story.steps}["extract"] == "not run"


def test_an_address_is_found_exactly_or_by_a_part(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"url": "https://example.org/0"}, {"url": "https://example.org/00"}]
    publish(tmp_path, rows)
    assert len(explain(tmp_path, "https://example.org/0")) == 1
    assert len(explain(tmp_path, "example.org")) == 2


def test_no_more_stories_than_anyone_reads(tmp_path: Path) -> None:
    publish(tmp_path, [{"url": f"https://example.org/{number}"} for number in range(50)])
    assert len(explain(tmp_path, "example.org")) == MAX_STORIES


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished corpus"):
        explain(tmp_path, "x")
    publish(tmp_path, [{}])
    with pytest.raises(UserError, match="no ledger"):
        explain(tmp_path, "nowhere.example")
    with pytest.raises(UserError, match="no finished corpus"):
        explain(tmp_path, "x", "tr")


@pytest.mark.parametrize("hostile", ["[bold]", "[/]", "[/nothing]", "\\[red]", ":fire:"])
def test_what_a_page_says_is_no_markup(tmp_path: Path, hostile: str) -> None:
    url = f"https://example.org/{hostile}"
    publish(tmp_path, [{"url": url, "record_id": f"<{hostile}>", "warc_file": f"{hostile}.gz"}])
    done = CliRunner().invoke(app, ["explain", "--url", url, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for text in (url, f"<{hostile}>", f"{hostile}.gz"):
        assert text in done.output


def test_what_a_page_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences would rewrite lines, set the title or the clipboard; marks of direction would reorder them."""
    hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\r\n\u202egnp.exe\x7f"
    row = dict.fromkeys(("url", "record_id", "warc_file"), f"https://example.org/{hostile}")
    publish(tmp_path, [{**row, "outcome": "dropped", "stage": "langid", "rule": "language", "detail": hostile}])
    done = CliRunner().invoke(app, ["explain", "--url", "https://example.org/", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "⟨U+001B⟩[2J" in done.output
    hidden = {mark for mark in done.output.replace("\n", "") if unicodedata.category(mark) in ("Cc", "Cf")}
    assert hidden == set()


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    publish(tmp_path, [{}])
    (tmp_path / "el" / "ledger" / "0.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cannot read .*ledger"):
        explain(tmp_path, "urn:1")
    (tmp_path / "el" / "ledger" / "0.parquet").unlink()
    with pytest.raises(UserError, match="holds no table"):
        explain(tmp_path, "urn:1")
    (tmp_path / "el" / "summary.json").write_text("{")
    with pytest.raises(UserError, match="no finished corpus"):
        explain(tmp_path, "urn:1")
