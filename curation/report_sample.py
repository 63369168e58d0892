"""Excerpts and measures for the report, drawn by hash: the same ones whatever the shards."""

from __future__ import annotations

from pathlib import Path

import xxhash

from curation.config import ReportConfig
from curation.records import DEDUPLICATION_STAGES
from curation.schema import EXAMPLES, MEASURE_SAMPLE
from curation.store import TableWriter

_EXCERPT_CHARS, PAIR_CHARS = 700, 5000

# A row of any table here: its columns are stated in `curation.schema`.
Row = dict[str, object]


class ReportSample:
    """Keeps the rows of smallest hash: the same ones whatever the shards and the order."""

    def __init__(self, config: ReportConfig) -> None:
        """Start with nothing."""
        self._config = config
        self._examples: dict[tuple[str, ...], list[Row]] = {}
        self._measures: list[Row] = []

    def add(self, row: Row, document: Row, duplicate: Row | None) -> None:
        """Consider a stored document, whatever its outcome."""
        order = xxhash.xxh3_64_intdigest(str(document["id"]))
        outcome = row["outcome"]
        self._measures.append(
            {"order": order, "language": row["language"], "outcome": outcome, "metrics": document["metrics"]}
        )
        if len(self._measures) > 2 * max(1, self._config.sample_documents):
            self._measures = _smallest(self._measures, self._config.sample_documents)
        if outcome != "kept":
            part = duplicate["duplicate_of_part"] if duplicate else None
            excerpt = str(document["text"])[: PAIR_CHARS if duplicate else _EXCERPT_CHARS]
            limit = self._config.duplicate_pairs if duplicate else self._config.examples_per_rule
            self._keep({**row, "order": order, "excerpt": excerpt, "duplicate_of_part": part}, limit)

    def add_early(self, row: Row, language: str) -> None:
        """Consider a record that never became a stored document."""
        if row["stage"] in ("rules", "contamination", *DEDUPLICATION_STAGES):
            return
        order = xxhash.xxh3_64_intdigest(str(row["document_id"]))
        self._keep({**row, "language": language, "order": order, "excerpt": ""}, self._config.examples_per_rule)

    def _keep(self, example: Row, limit: int) -> None:
        key = tuple(str(example[name]) for name in ("language", "stage", "outcome", "rule"))
        group = self._examples.setdefault(key, [])
        group.append(example)
        if len(group) > limit:
            self._examples[key] = _smallest(group, limit)

    def write(self, out: Path) -> None:
        """Write the two files."""
        examples = [row for _, group in sorted(self._examples.items()) for row in _smallest(group, len(group))]
        for name, schema, rows in (
            ("examples", EXAMPLES, examples),
            ("sample", MEASURE_SAMPLE, _smallest(self._measures, self._config.sample_documents)),
        ):
            with TableWriter(out / f"{name}.parquet", schema) as writer:
                for row in rows:
                    writer.write({column: row.get(column) for column in schema.names})


def _smallest(rows: list[Row], limit: int) -> list[Row]:
    return sorted(rows, key=lambda row: row["order"])[:limit]  # type: ignore[arg-type,return-value]
