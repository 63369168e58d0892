"""Gathers what the report shows: excerpts, duplicate pairs and distributions, the same ones whatever the shards."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import pyarrow.parquet as pq

from curation.config import CorpusConfig
from curation.job_parts import JobResult
from curation.output import UNDETERMINED
from curation.records import STAGES
from curation.report import Example, MeasureSample, ReportData
from curation.report_cuts import gather_cuts
from curation.report_pairs import DuplicatePair
from curation.report_sample import PAIR_CHARS
from curation.schema import EXAMPLES, MEASURE_SAMPLE
from filters.metrics import MEASURES
from filters.rules import Bounds

Row = dict[str, object]


def collect_report_data(
    job: JobResult, code: str, name: str, summary: Mapping[str, object], config: CorpusConfig
) -> ReportData:
    """Return the data of one language's report."""
    examples, pairs = _examples(job, code, config)
    measures = [] if code == UNDETERMINED else _measures(job, code, config)
    spans = f"spans-{code}.parquet"
    cuts, excerpts = gather_cuts(manifest.path(spans) for manifest in job.outputs if spans in manifest.files)
    return ReportData(
        summary=summary,
        language_name=name,
        examples=examples,
        duplicates=pairs,
        measures=measures,
        cuts=cuts,
        excerpts=excerpts,
    )


def _rows(job: JobResult, file: str, code: str) -> list[Row]:
    """Return one language's rows of a file of every part, by rising hash."""
    schema = {"examples.parquet": EXAMPLES, "sample.parquet": MEASURE_SAMPLE}[file]
    rows: list[Row] = []
    for manifest in job.outputs:
        table = pq.read_table(manifest.path(file), schema=schema, filters=[("language", "=", code)], partitioning=None)
        rows += table.to_pylist()
    return sorted(rows, key=lambda row: row["order"])  # type: ignore[arg-type,return-value]


def _examples(job: JobResult, code: str, config: CorpusConfig) -> tuple[list[Example], list[DuplicatePair]]:
    groups: dict[tuple[int, str, str], list[Row]] = defaultdict(list)
    for row in _rows(job, "examples.parquet", code):
        groups[STAGES.index(str(row["stage"])), str(row["outcome"]), str(row["rule"])].append(row)
    examples: list[Example] = []
    pairs: list[DuplicatePair] = []
    for _, rows in sorted(groups.items()):
        if rows[0]["outcome"] == "duplicate":
            pairs += [_pair(job, row) for row in rows[: config.report.duplicate_pairs]]
        else:
            examples += [_example(row) for row in rows[: config.report.examples_per_rule]]
    return examples, pairs


def _example(row: Row) -> Example:
    return Example(
        stage=str(row["stage"]),
        outcome=str(row["outcome"]),
        rule=str(row["rule"]),
        url=str(row["url"]),
        value=_number(row["value"]),
        threshold=_number(row["threshold"]),
        detail=None if row["detail"] is None else str(row["detail"]),
        excerpt=str(row["excerpt"]),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _pair(job: JobResult, row: Row) -> DuplicatePair:
    kept = _kept(job, int(str(row["duplicate_of_part"])), str(row["duplicate_of"])) if row["duplicate_of"] else {}
    return DuplicatePair(
        method=str(row["stage"]),
        similarity=_number(row["similarity"]) or 0.0,
        dropped_url=str(row["url"]),
        dropped_text=str(row["excerpt"]),
        kept_url=str(kept.get("url") or ""),
        kept_text=str(kept.get("text") or "")[:PAIR_CHARS],
    )


def _kept(job: JobResult, part: int, identifier: str) -> Row:
    """Return the document that stays, of this job or of a corpus that stood already."""
    path = job.base_documents.get(part) or job.parts[part].documents_path
    rows: list[Row] = pq.read_table(
        path, columns=["url", "text"], filters=[("id", "=", identifier)], partitioning=None
    ).to_pylist()
    return rows[0]


def _measures(job: JobResult, code: str, config: CorpusConfig) -> list[MeasureSample]:
    rows = _rows(job, "sample.parquet", code)[: config.report.sample_documents]
    bounds = job.rules.get(code, {})
    samples = []
    for name, about in MEASURES.items():
        values: dict[bool, list[float]] = {True: [], False: []}
        for row in rows:
            metrics = row["metrics"]
            assert isinstance(metrics, dict)
            if not math.isnan(value := float(metrics[name])):
                values[row["outcome"] == "kept"].append(value)
        bound = bounds.get(name, Bounds())
        samples.append(
            MeasureSample(name, about.description, tuple(values[True]), tuple(values[False]), bound.min, bound.max)
        )
    return samples
