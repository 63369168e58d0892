"""What the report shows of stretches that were cut out of documents, gathered from the tables of spans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.report_duplicates import METHODS, CutExcerpt, CutStage
from curation.schema import PUBLISHED_SPANS

_EXCERPTS = 10
_COLUMNS = ["document_id", "stage", "start", "end"]


def gather_cuts(paths: Iterable[Path]) -> tuple[list[CutStage], list[CutExcerpt]]:
    """Return what each stage found, and some of it: the first stretches of the documents of smallest id, a hash.

    Args:
        paths: tables of spans (`PUBLISHED_SPANS`), a document's rows all in one of them.
    """
    totals: dict[str, tuple[int, int, int]] = {}
    drawn: list[tuple[str, str, int, Path]] = []
    for path in paths:
        spans = pq.read_table(path, columns=_COLUMNS, partitioning=None)
        spans = spans.append_column("length", pc.subtract(spans["end"], spans["start"]))
        grouped = spans.group_by(["document_id", "stage"]).aggregate(
            [("length", "count"), ("length", "sum"), ("start", "min")]
        )
        for row in grouped.to_pylist():
            documents, stretches, characters = totals.get(row["stage"], (0, 0, 0))
            own = documents + 1, stretches + row["length_count"], characters + row["length_sum"]
            totals[row["stage"]] = own
            drawn.append((row["document_id"], row["stage"], row["start_min"], path))
        drawn = sorted(drawn)[:_EXCERPTS]
    cuts = [CutStage(stage, *totals[stage]) for stage in METHODS if stage in totals]
    return cuts, [_excerpt(*first) for first in drawn]


def _excerpt(identifier: str, stage: str, start: int, path: Path) -> CutExcerpt:
    """Return the longest of a stage's stretches that begin at a place of a document."""
    filters = [("document_id", "=", identifier), ("stage", "=", stage), ("start", "=", start)]
    rows = pq.read_table(path, schema=PUBLISHED_SPANS, filters=filters, partitioning=None).to_pylist()
    longest = max(rows, key=lambda row: int(row["end"]))
    return CutExcerpt(stage, str(longest["url"] or ""), longest["end"] - start, str(longest["text"]))
