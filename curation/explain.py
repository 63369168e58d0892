"""`make explain URL=...`: the whole story of one record, stage by stage, from the ledger and the stored measures.

Nothing is run again: what is told is what happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

from configs.errors import UserError
from curation.measured import read_summary, reading
from curation.records import STAGES
from filters.metrics import MEASURES

Row = dict[str, object]
MAX_STORIES = 20
_TEXT_CHARS = 240
_MOST_SPANS, _SPAN_CHARS = 20, 100
# What each stage asks, in the words of the report.
STAGE_WORDS = {
    "ingest": "read the record",
    "url": "address against the lists",
    "glance": "could the page be in a target language?",
    "extract": "main text",
    "normalize": "normalise the text",
    "langid": "identify the language",
    "rules": "measures against thresholds",
    "contamination": "texts of benchmarks",
    "same_url": "captures of one address",
    "exact": "equal texts",
    "minhash": "near duplicates",
    "semantic": "texts of one meaning",
    "lines": "lines that stand elsewhere, too",
    "substring": "passages that stand elsewhere, too",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a record's way: `passed`, or how it ended, with the reason and the values."""

    stage: str
    result: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A measure beside the bounds of its rule; `broken` where it lies beyond one."""

    measure: str
    value: float
    low: float | None
    high: float | None
    broken: bool


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one record.

    Attributes:
        corpus: folder whose ledger has the record.
        row: its row of the ledger.
        steps: its way, stage by stage, in order.
        measures: all its measures with the rules of the corpus; empty where it was not measured.
        text: the beginning of its text, where one was stored.
        original: of a duplicate, the URL and the beginning of the document that was kept.
    """

    corpus: Path
    row: Row
    steps: list[Step]
    measures: list[Checked]
    text: str | None
    original: tuple[str, str] | None


def explain(out: Path, wanted: str, language: str | None = None) -> list[Story]:
    """Return the stories of the records with an address, in every corpus of a folder.

    Args:
        out: folder of corpora.
        wanted: a URL, the end of one, a record's identifier or a document's.
        language: only the corpus of this language.

    Raises:
        UserError: there is no finished corpus, none of their ledgers has the record, or a table is damaged.
    """
    folders = [folder for folder in _finished(out) if language in (None, folder.name)]
    if not folders:
        raise UserError(f"no finished corpus in {out / (language or '')}: run `make corpus` first, or name its OUT")
    rows = _find(folders, _equals(wanted))
    if not rows and wanted.strip():
        rows = _find(folders, pc.match_substring(ds.field("url"), wanted))
    if not rows:
        raise UserError(
            f"no ledger in {out} has {wanted!r}: the record was not in the input, or its address is written otherwise; "
            "a part of the address will do"
        )
    return [_story(out, folder, row) for folder, row in rows[:MAX_STORIES]]


def _finished(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/summary.json") if read_summary(path.parent) is not None)


def _equals(wanted: str) -> ds.Expression:
    return (ds.field("url") == wanted) | (ds.field("record_id") == wanted) | (ds.field("document_id") == wanted)


def _find(folders: list[Path], condition: ds.Expression) -> list[tuple[Path, Row]]:
    return [(folder, row) for folder in folders for row in _rows(folder / "ledger", MAX_STORIES, condition)]


def _rows(folder: Path, most: int, condition: ds.Expression) -> list[Row]:
    """Return the first rows of a published table that meet a condition.

    Raises:
        UserError: the table is damaged.
    """
    paths = [str(path) for path in sorted(folder.glob("*.parquet"))]
    if not paths:
        raise UserError(f"{folder} holds no table: run `make corpus` with the same OUT again")
    with reading(folder):
        rows: list[Row] = ds.dataset(paths, format="parquet").head(most, filter=condition).to_pylist()
    return rows


def _story(out: Path, folder: Path, row: Row) -> Story:
    summary = read_summary(folder) or {}
    measured = _row(folder / "measures", "document_id", row["document_id"]) if (folder / "measures").is_dir() else None
    rules = summary.get("rules")
    return Story(
        corpus=folder,
        row=row,
        steps=_steps(row, summary, measured, _cuts(folder, row)),
        measures=_checked(measured, rules) if measured is not None and isinstance(rules, dict) else [],
        text=str(measured["excerpt"]) if measured is not None else None,
        original=_original(out, summary, row),
    )


def _row(folder: Path, column: str, value: object) -> Row | None:
    rows = _rows(folder, 1, ds.field(column) == value)
    return rows[0] if rows else None


def _cuts(folder: Path, row: Row) -> dict[str, str]:
    """Return what was cut out of the record's text, by stage."""
    if row["document_id"] is None or not (folder / "spans").is_dir():
        return {}
    notes: dict[str, list[str]] = {}
    for span in _rows(folder / "spans", _MOST_SPANS, ds.field("document_id") == row["document_id"]):
        excerpt = " ".join(str(span["text"])[:_SPAN_CHARS].split())
        length = int(str(span["end"])) - int(str(span["start"]))
        note = f"{length:,} characters that {span['duplicate_of']} holds, too: {excerpt} ..."
        notes.setdefault(str(span["stage"]), []).append(note)
    return {stage: "; ".join(own) for stage, own in notes.items()}


def _steps(row: Row, summary: Mapping[str, object], measured: Row | None, cuts: Mapping[str, str]) -> list[Step]:
    """Return the stages that the record passed, and the one where its way ended."""
    own = _stages_of(summary, row)
    ended = row["stage"]
    steps = []
    for stage in STAGES:
        if stage == ended:
            steps.append(Step(stage, str(row["outcome"]), "; ".join(filter(None, (_reason(row), cuts.get(stage))))))
            return steps
        if stage in cuts:
            steps.append(Step(stage, "cut", cuts[stage]))
            continue
        if stage in own:
            note = (
                f"{row['language']}, confidence {measured['language_score']:.3f}"
                if measured and stage == "langid"
                else ""
            )
            steps.append(Step(stage, "passed", note))
        else:
            steps.append(Step(stage, "not run", "left out of this job"))
    steps.append(Step("corpus", str(row["outcome"])))
    return steps


def _stages_of(summary: Mapping[str, object], row: Row) -> set[str]:
    """Return the stages that were run on a record of its type."""
    config = summary.get("config")
    stages = config["stages"] if isinstance(config, dict) else {}
    run = {stage for stage in STAGES if stages.get(stage, {}) is not None}
    return run - {"glance", "extract"} if row["record_type"] in ("text", "conversion") else run


def _reason(row: Row) -> str:
    value, threshold = row["value"], row["threshold"]
    pieces = [str(row["rule"])]
    if isinstance(value, float) and not math.isnan(value):
        pieces.append(f"value {value:.6g}")
    if isinstance(threshold, float) and not math.isnan(threshold):
        pieces.append(f"threshold {threshold:.6g}")
    if row["detail"]:
        pieces.append(str(row["detail"]))
    if row["duplicate_of"]:
        pieces.append(f"of {row['duplicate_of']}, similarity {row['similarity']:.3f}")
    return ", ".join(pieces)


def _checked(measured: Row, rules: Mapping[str, Mapping[str, float | None]]) -> list[Checked]:
    checked = []
    for name in MEASURES:
        bounds = rules.get(name, {})
        value, low, high = float(str(measured[name])), bounds.get("min"), bounds.get("max")
        broken = (low is not None and value < low) or (high is not None and value > high)
        checked.append(Checked(name, value, low, high, broken))
    return checked


def _original(out: Path, summary: Mapping[str, object], row: Row) -> tuple[str, str] | None:
    """Return the document that stays for a duplicate, wherever among the corpora it is.

    An exact duplicate may be one of a document that went as a near duplicate in turn, and so on, a stage each time.
    """
    against = summary.get("against")
    folders = [*_finished(out), *(_finished(Path(against)) if isinstance(against, str) else ())]
    wanted: object = row["duplicate_of"]
    for _ in STAGES:
        if not wanted:
            return None
        for folder in folders:
            found = _row(folder / "documents", "id", wanted)
            if found is not None:
                return str(found["url"]), " ".join(str(found["text"])[:_TEXT_CHARS].split())
        rows = (_row(folder / "ledger", "document_id", wanted) for folder in folders)
        wanted = next((found["duplicate_of"] for found in rows if found is not None), None)
    return None
