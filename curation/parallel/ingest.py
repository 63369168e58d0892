"""One parallel input -> parts of pairs, and ledger rows of what is no pair. Nothing later reads the input again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curation.crawl import HEARTBEAT, RecordError
from curation.ledger import ConservationError, check_conservation, ending_columns
from curation.normalize import NormalizeConfig, normalize
from curation.parallel.inputs import ParallelInput
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.read import open_pairs
from curation.parallel.rows import ledger_row, pair_id
from curation.parallel.schema import WORK_PAIRS
from curation.record_schema import LEDGER
from curation.records import Ending
from curation.stage import Result
from curation.store import TableWriter
from filters.verdict import Verdict

# A part is the unit of memory in every later task.
PART_PAIRS = 20_000
PART_CHARS = 32 << 20
_GROUP_ROWS = 2_000
_HEARTBEAT_UNITS = 20_000


@dataclass(frozen=True, slots=True)
class IngestShard:
    """The payload of one reading task: an input, and how it is read."""

    entry: ParallelInput
    ingest: PairIngestConfig
    normalize: NormalizeConfig


def ingest_input(payload: object, out: Path, scratch: Path) -> Result:
    """Read one input into parts: `pairs-00000.parquet` and `ledger-00000.parquet`, `-00001` and so on.

    Raises:
        UserError: the input as a whole cannot be read: sides of different lengths, other languages.
        RecordError: an unexpected error, naming input and unit.
        ConservationError: the reader passed over a unit.
    """
    assert isinstance(payload, IngestShard)
    name = payload.entry.name
    writer = _PartWriter(f"{payload.entry.src}-{payload.entry.tgt}", out)
    units = 0
    with open_pairs(payload.entry, scratch, payload.ingest) as opened, writer:
        for unit in opened.units:
            if unit.sequence != units:
                raise ConservationError(f"{name}: unit {units} never left the reader")
            try:
                _write(writer, unit, payload)
            except Exception as error:
                raise RecordError(f"{name}, unit {units}: {type(error).__name__}: {error}") from error
            if units % _HEARTBEAT_UNITS == 0:
                (scratch / HEARTBEAT).write_text(str(units))
            units += 1
        checksums = list(opened.checksums)
    totals = {kind: sum(part[kind] for part in writer.parts) for kind in ("records", "pairs", "ledger")}
    check_conservation(f"reading {name}", units, {kind: totals[kind] for kind in ("pairs", "ledger")})
    return Result({**totals, "parts": len(writer.parts)}, {"checksums": checksums, "parts": writer.parts})


def _write(writer: _PartWriter, unit: Unit, payload: IngestShard) -> None:
    """Write what a unit became: a pair with text on both sides, or the end of its way."""
    place: dict[str, object] = {"source": unit.source, "sequence": unit.sequence}
    if isinstance(unit, BadPair):
        writer.end(place, Ending(unit.outcome, "ingest", Verdict(unit.rule, detail=unit.detail)))
        return
    src, tgt = (normalize(text, payload.normalize) for text in (unit.src_text, unit.tgt_text))
    place |= {"src_origin": unit.src_origin}
    if not src or not tgt:
        sides = " and ".join(side for side, text in (("source", src), ("target", tgt)) if not text)
        writer.end(place, Ending("dropped", "ingest", Verdict("empty_side", 0, 1, sides)))
        return
    writer.write(_row(unit, src, tgt, payload.entry))


def _row(unit: Pair, src: str, tgt: str, entry: ParallelInput) -> dict[str, object]:
    return {
        "id": pair_id(unit.source, unit.sequence, src, tgt),
        "src_lang": entry.src,
        "tgt_lang": entry.tgt,
        "src_text": src,
        "tgt_text": tgt,
        "source": unit.source,
        "sequence": unit.sequence,
        "src_origin": unit.src_origin,
        "tgt_origin": unit.tgt_origin,
        "input_score": unit.score,
    }


class _PartWriter:
    """Writes pairs and ledger rows into parts of bounded size."""

    def __init__(self, language: str, out: Path) -> None:
        self._language, self._out = language, out
        self.parts: list[dict[str, int]] = []
        self._pairs: TableWriter | None = None
        self._ledger: TableWriter | None = None
        self._records = self._chars = 0

    def __enter__(self) -> _PartWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def write(self, row: dict[str, object]) -> None:
        """Write a pair."""
        self._open()[0].write(row)
        self._count(len(str(row["src_text"])) + len(str(row["tgt_text"])))

    def end(self, place: dict[str, object], ending: Ending) -> None:
        """Write the ledger row of a unit whose way ends here."""
        self._open()[1].write(ledger_row(place, None, self._language, ending_columns(ending)))
        self._count(0)

    def _open(self) -> tuple[TableWriter, TableWriter]:
        if self._pairs is None or self._ledger is None:
            number = f"{len(self.parts):05d}"
            self._pairs = TableWriter(self._out / f"pairs-{number}.parquet", WORK_PAIRS, _GROUP_ROWS)
            self._ledger = TableWriter(self._out / f"ledger-{number}.parquet", LEDGER, _GROUP_ROWS)
        return self._pairs, self._ledger

    def _count(self, chars: int) -> None:
        self._records += 1
        self._chars += chars
        if self._records >= PART_PAIRS or self._chars >= PART_CHARS:
            self._close()

    def _close(self) -> None:
        if self._pairs is None or self._ledger is None:
            return
        self._pairs.close()
        self._ledger.close()
        rows = {"pairs": self._pairs.row_count, "ledger": self._ledger.row_count}
        self.parts.append({"records": self._records, **rows})
        self._pairs = self._ledger = None
        self._records = self._chars = 0
