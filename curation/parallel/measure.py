"""All measures of a part's pairs, and the score of the rules: one task a part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.ledger import check_conservation
from curation.models import identifier_of
from curation.parallel.schema import WORK_PAIR_MEASURES
from curation.stage import Result
from filters.langid import LangIdConfig
from filters.parallel.language import Scores
from filters.parallel.lengths import LengthModel
from filters.parallel.measures import PairMeasurer, PairSide
from filters.parallel.score import pair_scores

_BATCH_ROWS = 2_000
# Probabilities that are asked for: of languages that are alike, the right one is seldom the first.
_LANGUAGES = 10


@dataclass(frozen=True, slots=True)
class MeasurePairs:
    """The payload of one measuring task.

    Attributes:
        pairs: file of the part's pairs.
        source, target: what is known of the two languages.
        langid: how languages are identified; None leaves the measure out.
        lengths: what lengths to expect; None takes the prior of the two languages.
    """

    pairs: Path
    source: PairSide
    target: PairSide
    langid: LangIdConfig | None
    lengths: LengthModel | None


def measure_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `measures.parquet`: a row for each pair of the part, in the same order."""
    assert isinstance(payload, MeasurePairs)
    measurer = PairMeasurer(payload.source, payload.target, _identify(payload.langid), payload.lengths)
    rows = 0
    with (
        pq.ParquetFile(payload.pairs) as pairs,
        pq.ParquetWriter(out / "measures.parquet", WORK_PAIR_MEASURES, compression="zstd") as writer,
    ):
        for batch in pairs.iter_batches(_BATCH_ROWS, columns=["src_text", "tgt_text"]):
            columns = measurer.measure(batch["src_text"].to_pylist(), batch["tgt_text"].to_pylist())
            table = pa.table({**columns, "score_rules": pair_scores(columns)}, schema=WORK_PAIR_MEASURES)
            writer.write_table(table)
            rows += table.num_rows
        check_conservation(f"measures of {payload.pairs}", pairs.metadata.num_rows, {"rows": rows})
    return Result({"pairs": rows})


def _identify(config: LangIdConfig | None) -> Scores | None:
    if config is None:
        return None
    identifier = identifier_of(config)
    return lambda text: identifier.scores(text, _LANGUAGES)
