"""Measures against thresholds: which documents of a part stay, and why the others go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.benchmark_files import BenchmarkFile
from curation.contamination import BenchmarkFilter
from curation.ledger import check_conservation, document_row, ending_columns
from curation.measure import documents_with_measures
from curation.record_schema import LEDGER
from curation.records import Ending
from curation.schema import KEPT_ROWS
from curation.stage import Result
from curation.store import TableWriter
from dedup.decontaminate import ContaminationConfig
from filters.rules import Bounds, decide
from filters.words import Segmentation

_COLUMNS = (
    "id", "text", "url", "language", "language_score", "record_id", "record_type", "sequence", "warc_file",
    "warc_offset", "pii",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DecideShard:
    """The payload of one decision task.

    Attributes:
        documents: file of the part's documents.
        measures: file of their measures.
        rules: bounds by language, then by measure; empty when the stage is off.
        contamination: benchmarks that no document may hold; None when the stage is off.
        segmentations: how words are found, by language.
    """

    documents: Path
    measures: Path
    rules: dict[str, dict[str, Bounds]]
    contamination: tuple[tuple[BenchmarkFile, ...], ContaminationConfig] | None
    segmentations: dict[str, Segmentation]


def decide_part(payload: object, out: Path, scratch: Path) -> Result:
    """Apply the rules to one part: `ledger.parquet` for what is dropped, `kept.parquet` for the rows that stay."""
    assert isinstance(payload, DecideShard)
    benchmarks = BenchmarkFilter(*payload.contamination) if payload.contamination is not None else None
    rows, words, characters = [], 0, 0
    seen = 0
    with TableWriter(out / "ledger.parquet", LEDGER) as ledger:
        for document, measures in documents_with_measures(payload.documents, payload.measures, _COLUMNS):
            language, text = str(document["language"]), str(document["text"])
            stage, verdict = "rules", decide(measures, payload.rules.get(language, {}))
            if verdict is None and benchmarks is not None:
                stage, verdict = "contamination", benchmarks.judge(text, language, payload.segmentations[language])
            if verdict is not None:
                columns = ending_columns(Ending("dropped", stage, verdict))
                ledger.write(document_row(document, columns))
            else:
                rows.append(seen)
                words += int(measures["words"])
                characters += len(text)
            seen += 1
    pq.write_table(pa.table({"row": rows}, schema=KEPT_ROWS), out / "kept.parquet", compression="zstd")
    check_conservation(f"rules on {payload.documents}", seen, {"kept": len(rows), "dropped": ledger.row_count})
    totals = {"words": words, "characters": characters}
    return Result({"documents": seen, "kept": len(rows), "dropped": ledger.row_count, **totals})
