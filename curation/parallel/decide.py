"""Measures against thresholds, and texts against benchmarks: which pairs of a part stay, and why the others go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.benchmark_files import BenchmarkFile
from curation.contamination import BenchmarkFilter
from curation.ledger import check_conservation, ending_columns
from curation.parallel.rows import ledger_row
from curation.record_schema import LEDGER
from curation.records import Ending
from curation.schema import KEPT_ROWS
from curation.stage import Result
from curation.store import TableWriter
from dedup.decontaminate import ContaminationConfig
from filters.decisions import KEPT, decide_columns
from filters.rules import Bounds
from filters.verdict import Verdict
from filters.words import Segmentation

_BATCH_ROWS = 1_000
_COLUMNS = ("id", "source", "sequence", "src_origin", "src_text", "tgt_text")


@dataclass(frozen=True, slots=True)
class DecidePairs:
    """The payload of one decision task.

    Attributes:
        pairs: file of the part's pairs.
        measures: file of their measures.
        rules: bounds by measure, in the order in which they are tried; empty when the stage is off.
        contamination: benchmarks that neither side may hold; None when the stage is off.
        languages: code and segmentation of the source and of the target.
    """

    pairs: Path
    measures: Path
    rules: dict[str, Bounds]
    contamination: tuple[tuple[BenchmarkFile, ...], ContaminationConfig] | None
    languages: tuple[tuple[str, Segmentation], tuple[str, Segmentation]]


def decide_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Apply the rules to one part: `ledger.parquet` for what is dropped, `kept.parquet` for the rows that stay."""
    assert isinstance(payload, DecidePairs)
    benchmarks = BenchmarkFilter(*payload.contamination) if payload.contamination is not None else None
    pair = "-".join(code for code, _ in payload.languages)
    verdicts = rule_verdicts(payload.measures, payload.rules)
    rows = []
    with TableWriter(out / "ledger.parquet", LEDGER) as ledger:
        for row, own in enumerate(_pairs(payload.pairs)):
            stage, verdict = "rules", verdicts.get(row)
            if verdict is None and benchmarks is not None:
                stage, verdict = "contamination", _contaminated(benchmarks, own, payload)
            if verdict is None:
                rows.append(row)
            else:
                ending = ending_columns(Ending("dropped", stage, verdict))
                ledger.write(ledger_row(own, str(own["id"]), pair, ending))
    write_kept(out / "kept.parquet", np.array(rows, dtype=np.int64))
    seen = pq.read_metadata(payload.pairs).num_rows
    check_conservation(f"rules on {payload.pairs}", seen, {"kept": len(rows), "dropped": ledger.row_count})
    return Result({"pairs": seen, "kept": len(rows), "dropped": ledger.row_count})


def rule_verdicts(
    measures: Path, rules: Mapping[str, Bounds], rows: NDArray[np.int64] | None = None
) -> dict[int, Verdict]:
    """Return the first rule that each pair breaks, by its row; pairs that keep all rules are not among them.

    Args:
        measures: Parquet file with a column for each rule; null and NaN break none.
        rules: bounds by column, in the order in which they are tried.
        rows: of the pairs that the file's rows are about; None numbers them.
    """
    table = pq.read_table(measures, columns=list(rules), partitioning=None)
    columns = {name: table[name].to_numpy().astype(np.float64) for name in rules}
    count = pq.read_metadata(measures).num_rows
    broken, names = decide_columns(columns, rules, count)
    found = {}
    for place in np.flatnonzero(broken != KEPT).tolist():
        rule = names[broken[place]]
        name, _, side = rule.rpartition(".")
        row = place if rows is None else int(rows[place])
        found[row] = Verdict(rule, float(columns[name][place]), getattr(rules[name], side))
    return found


def write_kept(path: Path, rows: NDArray[np.int64]) -> None:
    """Write the rows of a part that stay."""
    pq.write_table(pa.table({"row": rows}, schema=KEPT_ROWS), path, compression="zstd")


def _pairs(path: Path) -> Iterator[dict[str, object]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=list(_COLUMNS)):
            yield from batch.to_pylist()


def _contaminated(benchmarks: BenchmarkFilter, pair: Mapping[str, object], payload: DecidePairs) -> Verdict | None:
    for side, (code, segmentation) in zip(("src", "tgt"), payload.languages, strict=True):
        verdict = benchmarks.judge(str(pair[f"{side}_text"]), code, segmentation)
        if verdict is not None:
            return Verdict(verdict.rule, verdict.value, verdict.threshold, f"{side}: {verdict.detail}")
    return None
