"""Pairs with the same text - on both sides, or on one of them - through partitions of hashes.

Of the pairs of a group those with the best score stay: LASER's cosine where it was taken, else the score of the rules;
of equal scores the smaller hash of both texts, then the smaller id. Nothing of it depends on the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from curation.duplicates.found import write_duplicates
from curation.duplicates.parts import DedupPart, places, read_documents, remaining_rows
from curation.duplicates.shuffle import digest_halves, read_partition, write_partitions
from curation.parallel.schema import LASER_SCORES
from curation.stage import Result
from dedup.equal_keys import equal_keys
from dedup.exact import document_hash

Sides = Literal["pair", "source", "target"]
# The texts that have to be the same.
_COMPARED: dict[Sides, tuple[str, ...]] = {
    "pair": ("src_text", "tgt_text"),
    "source": ("src_text",),
    "target": ("tgt_text",),
}

_IDENTITY = ("rank0", "rank1", "rank2", "id0", "id1")
_KEYS = pa.schema([pa.field(name, pa.uint64(), nullable=False) for name in ("key0", "key1", "place", *_IDENTITY)])
_LARGEST = 0xFFFFFFFF
# A task that sorts a partition takes about 300 bytes a row. Copies of one text are in one partition, however many.
_PARTITION_ROWS = 1_000_000


def partitions_for(pairs: int) -> int:
    """Return the number of partitions for so many pairs: a task on one takes about 300 MB."""
    return max(1, -(-pairs // _PARTITION_ROWS))


@dataclass(frozen=True, slots=True)
class PairKeys:
    """The payload of one task that sends the keys of a part to their partitions.

    Attributes:
        part: whose pairs are meant; its documents are pairs.
        gone: files of pairs that go already.
        sides: which texts have to be the same.
        measures: file of the part's measures, with `score_rules`.
        laser: file of LASER's scores; None where none were taken.
        partitions: number of partitions.
    """

    part: DedupPart
    gone: tuple[Path, ...]
    sides: Sides
    measures: Path
    laser: Path | None
    partitions: int


def pair_keys(payload: object, out: Path, scratch: Path) -> Result:
    """Write `keys.arrow`: key, place and order of every pair that is still there, by partition."""
    assert isinstance(payload, PairKeys)
    rows = remaining_rows(payload.part, payload.gone)
    keys, contents, ids = list[bytes](), list[bytes](), list[bytes]()
    for _, batch in read_documents(payload.part.documents, rows, ("id", "src_text", "tgt_text")):
        for pair in batch.to_pylist():
            texts = [pair[name] for name in _COMPARED[payload.sides]]
            hashes = [document_hash(text) for text in texts]
            keys.append(hashes[0] if len(hashes) == 1 else xxhash.xxh3_128_digest(b"".join(hashes)))
            contents.append(xxhash.xxh3_128_digest(f"{pair['src_text']}\0{pair['tgt_text']}".encode()))
            ids.append(bytes.fromhex(pair["id"]))
    columns: dict[str, NDArray[np.uint64]] = {}
    columns["key0"], columns["key1"] = digest_halves(keys)
    columns["rank1"], columns["rank2"] = digest_halves(contents)
    columns["id0"], columns["id1"] = digest_halves(ids)
    columns["place"] = places(payload.part.number, rows)
    columns["rank0"] = np.round((1 - _scores(payload, rows)) * _LARGEST).astype(np.uint64)
    partition = (columns["key0"] % np.uint64(payload.partitions)).astype(np.int64)
    write_partitions(out / "keys.arrow", _KEYS, columns, partition, payload.partitions)
    return Result({"pairs": len(rows)})


def _scores(payload: PairKeys, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the score of each row, from 0 to 1."""
    if payload.laser is None:
        column = pq.read_table(payload.measures, columns=["score_rules"], partitioning=None)["score_rules"]
        scores = column.to_numpy()[rows]
    else:
        table = pq.read_table(payload.laser, schema=LASER_SCORES, partitioning=None)
        scores = table["score_laser_cosine"].to_numpy()[np.searchsorted(table["row"].to_numpy(), rows)]
    return np.clip(np.asarray(scores, dtype=np.float64), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class EqualPartition:
    """The payload of one task that finds equal pairs.

    Attributes:
        keys: the files of keys of all parts.
        number: of the partition.
        keep: pairs of each group that stay.
    """

    keys: tuple[Path, ...]
    number: int
    keep: int


def equal_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Find the pairs of equal key that go, each for the best one: `duplicates.parquet`."""
    assert isinstance(payload, EqualPartition)
    columns = {name: own.astype(np.uint64) for name, own in read_partition(payload.keys, payload.number, _KEYS).items()}
    rows, group = equal_keys(columns["key0"], columns["key1"])
    numbers = np.column_stack([columns[name][rows] for name in _IDENTITY])
    order = np.lexsort((*numbers.T[::-1], group))
    rows, group, numbers = rows[order], group[order], numbers[order]
    best = np.searchsorted(group, group)
    gone = np.flatnonzero(np.arange(len(group)) - best >= payload.keep)
    place = columns["place"][rows]
    count = write_duplicates(
        out / "duplicates.parquet", place[gone], place[best[gone]], numbers[best[gone]], np.ones(len(gone))
    )
    return Result({"pairs": len(columns["place"]), "duplicates": count})
