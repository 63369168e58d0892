"""Scores of a part's pairs by LASER's embeddings, and what they decide: one task a part each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import UserError
from curation.duplicates.parts import DedupPart, read_documents, remaining_rows
from curation.ledger import check_conservation, ending_columns
from curation.parallel.decide import rule_verdicts, write_kept
from curation.parallel.laser_files import LaserFiles
from curation.parallel.rows import ledger_row
from curation.parallel.schema import LASER_SCORES
from curation.record_schema import LEDGER
from curation.records import Ending
from curation.schema import KEPT_ROWS
from curation.stage import Result
from curation.store import TableWriter, read_tables
from filters.parallel.laser import LaserConfig, LaserEncoder
from filters.parallel.margin import cosine, ratio_margin
from filters.rules import Bounds

EMBEDDINGS, LEFT = "embeddings.npy", "left.parquet"
# A batch of other sentences moves an embedding by 1e-5: what is decided and published must not follow it.
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class LeftPairs:
    """The payload of one task that says which pairs of a part are still there.

    Attributes:
        part: whose pairs are meant.
        gone: files of pairs that go already.
    """

    part: DedupPart
    gone: tuple[Path, ...]


def left_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `left.parquet`: the rows of the pairs that are still there.

    What is encoded depends on this file alone: a pair that goes in another part encodes nothing anew.
    """
    assert isinstance(payload, LeftPairs)
    rows = remaining_rows(payload.part, payload.gone)
    write_kept(out / LEFT, rows)
    return Result({"pairs": len(rows)})


@dataclass(frozen=True, slots=True)
class EncodePairs:
    """What an encoding task, or a scoring task without stored embeddings, reads.

    Attributes:
        pairs: file of the part's pairs.
        left: file of the rows of those that are still there.
        files: of the encoder of each side.
        encoder: how texts are encoded.
    """

    pairs: Path
    left: Path
    files: tuple[LaserFiles, ...]
    encoder: LaserConfig


def encode_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `embeddings.npy`: float16, shape (2, N, D), of the sources and targets that are still there."""
    assert isinstance(payload, EncodePairs)
    embeddings = _encode(payload)
    np.save(out / EMBEDDINGS, embeddings)
    return Result({"pairs": embeddings.shape[1]})


@dataclass(frozen=True, slots=True)
class ScorePairs:
    """The payload of one scoring task.

    Attributes:
        texts: what is encoded.
        embeddings: stored embeddings of it; None encodes it now.
        neighbours: nearest sentences that the margin is taken over; None leaves it out.
        pool_pairs: pairs that neighbours are looked for among.
    """

    texts: EncodePairs
    embeddings: Path | None
    neighbours: int | None
    pool_pairs: int


def score_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `scores.parquet`: cosine and margin of the pairs that are still there, by row."""
    assert isinstance(payload, ScorePairs)
    rows = _rows(payload.texts.left)
    stored = payload.embeddings
    embeddings = _encode(payload.texts) if stored is None else np.load(stored, mmap_mode="r", allow_pickle=False)
    check_conservation(f"embeddings of {payload.texts.pairs}", len(rows), {"rows": embeddings.shape[1]})
    cosines, margins = np.zeros(len(rows)), np.zeros(len(rows))
    for first, end in _pools(len(rows), payload.pool_pairs):
        source, target = (np.asarray(side[first:end], dtype=np.float32) for side in embeddings)
        cosines[first:end] = cosine(source, target)
        if payload.neighbours is not None:
            margins[first:end] = ratio_margin(source, target, payload.neighbours)
    margin = pa.nulls(len(rows), pa.float64()) if payload.neighbours is None else np.round(margins, _DIGITS)
    columns = {"row": rows, "score_laser_cosine": np.round(cosines, _DIGITS), "score_laser_margin": margin}
    pq.write_table(pa.table(columns, schema=LASER_SCORES), out / "scores.parquet", compression="zstd")
    return Result({"pairs": len(rows)})


def _rows(left: Path) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = read_tables([left], KEPT_ROWS)["row"].to_numpy()
    return rows


def _encode(payload: EncodePairs) -> NDArray[np.float16]:
    """Return the embeddings of a part; float16 also where they are not stored, so that storing changes no score."""
    texts: dict[str, list[str]] = {"src_text": [], "tgt_text": []}
    for _, batch in read_documents(payload.pairs, _rows(payload.left), tuple(texts)):
        for name, own in texts.items():
            own += batch[name].to_pylist()
    encoders = [_encoder(files, payload.encoder) for files in payload.files]
    sides = [_encode_side(encoder, own) for encoder, own in zip(encoders, texts.values(), strict=True)]
    return np.stack(sides)


def _encode_side(encoder: LaserEncoder, texts: Sequence[str]) -> NDArray[np.float16]:
    return encoder.encode(texts).astype(np.float16)


def check_encoders(files: tuple[LaserFiles, ...], config: LaserConfig) -> None:
    """Load the encoders of both sides, so that what is wrong with them is said before an input is read.

    Raises:
        UserError: one cannot be loaded, or their embeddings cannot be compared.
    """
    numbers = {
        own.model: LaserEncoder(own.model, own.pieces, config, own.vocabulary).dimension for own in dict.fromkeys(files)
    }
    if len(set(numbers.values())) > 1:
        sizes = " and ".join(f"{path} of {number:,} numbers" for path, number in numbers.items())
        raise UserError(f"the embeddings of the two sides cannot be compared: {sizes} (stages.laser.files.laser3)")


@lru_cache(maxsize=2)
def _encoder(files: LaserFiles, config: LaserConfig) -> LaserEncoder:
    """Return the encoder of a side, loaded once a worker."""
    return LaserEncoder(files.model, files.pieces, config, files.vocabulary)


def _pools(count: int, size: int) -> list[tuple[int, int]]:
    """Return where each pool begins and ends: all about equal, none above `size`."""
    pools = max(1, -(-count // size))
    borders = np.linspace(0, count, pools + 1).round().astype(int).tolist()
    return list(pairwise(borders))


@dataclass(frozen=True, slots=True)
class JudgePairs:
    """The payload of one task that holds scores against thresholds.

    Attributes:
        pairs: file of the part's pairs.
        left: file of the rows of those that are still there.
        scores: file of their scores.
        rules: bounds by score.
        language: the pair of languages, `de-en`.
    """

    pairs: Path
    left: Path
    scores: Path
    rules: dict[str, Bounds]
    language: str


def judge_pairs(payload: object, out: Path, scratch: Path) -> Result:
    """Write `ledger.parquet` for what is dropped, and `kept.parquet` for the rows that stay."""
    assert isinstance(payload, JudgePairs)
    rows = _rows(payload.left)
    verdicts = rule_verdicts(payload.scores, payload.rules, rows)
    dropped = np.array(sorted(verdicts), dtype=np.int64)
    columns = ("id", "source", "sequence", "src_origin")
    with TableWriter(out / "ledger.parquet", LEDGER) as ledger:
        for own, batch in read_documents(payload.pairs, dropped, columns):
            for row, pair in zip(own.tolist(), batch.to_pylist(), strict=True):
                ending = ending_columns(Ending("dropped", "laser", verdicts[row]))
                ledger.write(ledger_row(pair, str(pair["id"]), payload.language, ending))
    kept = np.setdiff1d(rows, dropped)
    write_kept(out / "kept.parquet", kept)
    check_conservation(f"scores of {payload.scores}", len(rows), {"kept": len(kept), "dropped": ledger.row_count})
    return Result({"pairs": len(rows), "kept": len(kept), "dropped": ledger.row_count})
