"""What became of each pair of a part: the final tables, and a complete ledger. One task a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.duplicates.sizes import cluster_sizes
from curation.ledger import check_conservation
from curation.parallel.report_sample import PairReportConfig, sample_ledger, sample_pairs
from curation.parallel.rows import ledger_row
from curation.parallel.schema import LASER_SCORES, PAIRS, PUBLISHED_PAIR_MEASURES, SCORES
from curation.record_schema import LEDGER
from curation.schema import DUPLICATES
from curation.stage import Result
from curation.store import TableWriter, read_tables
from filters.parallel.measures import PAIR_MEASURES
from filters.rules import Bounds

_GROUP_ROWS = 5_000
_ENDINGS = ("outcome", "stage", "rule", "value", "threshold", "duplicate_of")


@dataclass(frozen=True, slots=True)
class OutputPairs:
    """The payload of one output task.

    Attributes:
        part: number of the part in the job.
        records: units of the input in the part.
        language: the pair of languages, `de-en`.
        pairs: file of the part's pairs.
        measures: file of their measures.
        laser: file of LASER's scores; None where none were taken.
        ledgers: ledger files of the part, by stage.
        gone: files of duplicates, by stage.
        sizes: files of cluster sizes, and the partition that is the part's.
        bounds: the thresholds of all measures and scores, for the report.
        report: what the report will show.
    """

    part: int
    records: int
    language: str
    pairs: Path
    measures: Path
    laser: Path | None
    ledgers: tuple[Path, ...]
    gone: dict[str, tuple[Path, ...]]
    sizes: tuple[tuple[Path, ...], int]
    bounds: dict[str, Bounds]
    report: PairReportConfig


def write_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `pairs.parquet`, `measures.parquet` and `ledger.parquet`, and `sample.parquet` and `examples.parquet` for
    the report.

    Raises:
        ConservationError: the ledger has not exactly one row for each unit of the part.
    """
    assert isinstance(payload, OutputPairs)
    pairs = pq.read_table(payload.pairs, partitioning=None)
    rows = {int(row["sequence"]): row for row in read_tables(payload.ledgers, LEDGER).to_pylist()}
    duplicates = _duplicates(payload)
    endings = []
    for number, pair in enumerate(pairs.select(["id", "source", "sequence", "src_origin"]).to_pylist()):
        if (row := rows.get(pair["sequence"])) is None:
            columns = duplicates.get(number, {"outcome": "kept", "stage": None, "rule": None})
            row = rows[pair["sequence"]] = ledger_row(pair, pair["id"], payload.language, columns)
        endings.append({name: row.get(name) for name in _ENDINGS})
    ended = pa.Table.from_pylist(endings, schema=pa.schema([LEDGER.field(name) for name in _ENDINGS]))
    measures = _measures(payload, pairs.num_rows)
    sizes = cluster_sizes(payload.sizes[0], payload.part, payload.sizes[1])
    size = pa.array([sizes.get(number, 1) for number in range(pairs.num_rows)], pa.int64())
    kept = _write_kept(out, pairs, measures, ended, size)
    _write_measures(out, pairs, measures, ended, size)
    with TableWriter(out / "ledger.parquet", LEDGER, _GROUP_ROWS) as ledger:
        for _, row in sorted(rows.items()):
            ledger.write(row)
    check_conservation(f"output of part {payload.part}", payload.records, {"ledger rows": ledger.row_count})
    sample, examples = sample_pairs(pairs, measures, ended, payload.bounds, payload.report)
    early = sample_ledger(read_tables(payload.ledgers[:1], LEDGER), payload.report)
    pq.write_table(sample, out / "sample.parquet", compression="zstd")
    pq.write_table(pa.concat_tables([examples, early]), out / "examples.parquet", compression="zstd")
    return Result({"records": payload.records, "pairs": kept.num_rows}, _details(rows, kept, measures, ended))


def _duplicates(payload: OutputPairs) -> dict[int, dict[str, object]]:
    """Return the ledger's columns of pairs that go for another one, by row."""
    found: dict[int, dict[str, object]] = {}
    for stage, paths in payload.gone.items():
        for row in read_tables(paths, DUPLICATES, payload.part).to_pylist():
            kept = {name: row[name] for name in ("duplicate_of", "similarity")}
            found[row["row"]] = {"outcome": "duplicate", "stage": stage, "rule": f"{stage}_duplicate", **kept}
    return found


def _measures(payload: OutputPairs, count: int) -> pa.Table:
    """Return the measures of all pairs of the part, and their scores; NaN where LASER did not come to a pair."""
    table = pq.read_table(payload.measures, partitioning=None)
    columns = {name: np.full(count, np.nan) for name in ("score_laser_cosine", "score_laser_margin")}
    if payload.laser is not None:
        scores = pq.read_table(payload.laser, schema=LASER_SCORES, partitioning=None)
        for name, column in columns.items():
            column[scores["row"].to_numpy()] = scores[name].to_numpy()
    for name, column in columns.items():
        table = table.append_column(name, pa.array(column))
    return table


def _scores(measures: pa.Table) -> list[pa.ChunkedArray]:
    """Return the scores in the order of `SCORES`, null where none was taken."""
    columns = (measures[f"score_{name}"] for name in SCORES)
    return [pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column) for column in columns]


def _write_kept(out: Path, pairs: pa.Table, measures: pa.Table, ended: pa.Table, size: pa.Array) -> pa.Table:
    scores = pa.StructArray.from_arrays(
        [column.combine_chunks() for column in _scores(measures)], fields=list(PAIRS.field("scores").type)
    )
    table = pairs.append_column("cluster_size", size).append_column("scores", scores).cast(PAIRS)
    table = table.filter(pc.equal(ended["outcome"], "kept"))
    pq.write_table(table, out / "pairs.parquet", compression="zstd", row_group_size=_GROUP_ROWS)
    return table


def _write_measures(out: Path, pairs: pa.Table, measures: pa.Table, ended: pa.Table, size: pa.Array) -> None:
    columns = {
        "id": pairs["id"],
        **{name: ended[name] for name in ("outcome", "stage", "rule")},
        "cluster_size": size,
        **{f"score_{name}": column for name, column in zip(SCORES, _scores(measures), strict=True)},
        **{name: measures[name] for name in PAIR_MEASURES},
    }
    table = pa.table(columns, schema=PUBLISHED_PAIR_MEASURES)
    pq.write_table(table, out / "measures.parquet", compression="zstd", row_group_size=_GROUP_ROWS)


def _details(
    rows: Mapping[int, Mapping[str, object]], kept: pa.Table, measures: pa.Table, ended: pa.Table
) -> dict[str, object]:
    """Return the counts by stage, outcome and rule, and the sums over the pairs that are kept."""
    counts = Counter((str(row["stage"] or ""), str(row["outcome"]), str(row["rule"] or "")) for row in rows.values())
    stays = pc.equal(ended["outcome"], "kept")
    totals = {
        f"{side}_{name}": int(pc.sum(pc.filter(measures[f"{side}_{name}"], stays)).as_py() or 0)
        for side in ("src", "tgt")
        for name in ("chars", "words")
    }
    return {"counts": [[*key, count] for key, count in sorted(counts.items())], "totals": totals, "kept": kept.num_rows}
