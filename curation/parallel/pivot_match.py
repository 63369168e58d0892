"""Which pairs of two corpora have the same text in the shared language: by hashes, without texts.

keys    a task a file        hashes of the shared text, and what ranks the pair, by partition
match   a task a partition   rows of either corpus that meet some of the other; of too many partners the best ones
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from curation.duplicates.parts import parts_and_rows, places
from curation.duplicates.shuffle import Columns, digest_halves, read_partition, write_partitions
from curation.parallel.pivot_corpora import SIDES, PivotPart
from curation.parallel.pivot_partners import best_partners, tally
from curation.stage import Result
from dedup.equal_keys import equal_keys

# 128 bits of the shared text; 64 bits of both texts, and of the pair's id, which break ties.
HASHES = tuple(pa.field(name, pa.uint64(), nullable=False) for name in ("hash0", "hash1", "content", "identity"))
KEYS = pa.schema(
    [
        *HASHES,
        pa.field("place", pa.uint64(), nullable=False),
        pa.field("bytes", pa.uint64(), nullable=False),  # of both texts
        pa.field("score", pa.float64(), nullable=False),  # not a number for none
    ]
)
MATCHED_ROWS = pa.schema([pa.field("row", pa.int64(), nullable=False)])


def pivot_hash(text: bytes) -> bytes:
    """Return the 16-byte hash of a text in the shared language, as it stands."""
    return xxhash.xxh3_128_digest(text)


def bucket(hash0: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Return the partition of each hash, of `count`: it rises with the hash."""
    return ((hash0 >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def hash_rows(batch: pa.RecordBatch) -> Columns:
    """Return the hashes of rows, by the names of `HASHES`, and the `bytes` of their texts."""
    pivots, texts, pairs = (batch[name].cast(pa.large_binary()).to_pylist() for name in ("pivot_text", "text", "pair"))
    hash0, hash1 = digest_halves(map(pivot_hash, pivots))
    both = list(zip(pivots, texts, strict=True))
    content = [xxhash.xxh3_64_intdigest(text, xxhash.xxh3_64_intdigest(pivot)) for pivot, text in both]
    return {
        "hash0": hash0,
        "hash1": hash1,
        "content": np.array(content, dtype=np.uint64),
        "identity": np.array(list(map(xxhash.xxh3_64_intdigest, pairs)), dtype=np.uint64),
        "bytes": np.array([len(pivot) + len(text) for pivot, text in both], dtype=np.uint64),
    }


@dataclass(frozen=True, slots=True)
class KeysPart:
    """The payload of one task that sends the hashes of a file to their partitions, `partitions` in number."""

    part: PivotPart
    partitions: int


def pivot_keys_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `keys.arrow`: hashes, place and score of every pair of a file, by partition."""
    assert isinstance(payload, KeysPart)
    found: list[Columns] = [{field.name: np.empty(0, field.type.to_pandas_dtype()) for field in KEYS}]
    for rows, batch in payload.part.read():
        score = pc.fill_null(batch["score"], np.nan).to_numpy(zero_copy_only=False)
        found.append({**hash_rows(batch), "place": places(payload.part.number, rows), "score": score})
    columns = {name: np.concatenate([own[name] for own in found]) for name in KEYS.names}
    partition = bucket(columns["hash0"].astype(np.uint64), payload.partitions)
    write_partitions(out / "keys.arrow", KEYS, columns, partition, payload.partitions)
    return Result({"pairs": len(partition)})


@dataclass(frozen=True, slots=True)
class MatchPartition:
    """The payload of one task that finds the shared texts of a partition.

    Attributes:
        keys: files of keys of the two corpora.
        number: of the partition.
        max_partners: pairs of one shared text that each corpus may send.
    """

    keys: tuple[tuple[Path, ...], tuple[Path, ...]]
    number: int
    max_partners: int


def pivot_match_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write `matched-src.arrow` and `matched-tgt.arrow`: rows that meet some of the other corpus, by file."""
    assert isinstance(payload, MatchPartition)
    keys, side = _read_keys(payload)
    numbers = {name: keys[name].astype(np.uint64, copy=False) for name in KEYS.names if name != "score"}
    rows, group = equal_keys(numbers["hash0"], numbers["hash1"], min_count=1)
    texts = tally(group, side[rows]) > 0
    shared = texts[:, 0] & texts[:, 1]
    own = shared[group]
    rows, group = rows[own], group[own]
    distinct, best = best_partners(
        2 * group + side[rows],
        numbers["content"][rows],
        keys["score"][rows].astype(np.float64),
        numbers["identity"][rows],
        payload.max_partners,
    )
    for number, name in enumerate(SIDES):
        part, row = parts_and_rows(numbers["place"][rows[best & (side[rows] == number)]])
        write_partitions(out / f"matched-{name}.arrow", MATCHED_ROWS, {"row": row}, part, len(payload.keys[number]))
    masks = np.ones(len(rows), dtype=np.bool_), distinct, best
    matched, different, chosen = (tally(group[mask], side[rows][mask], len(texts)) for mask in masks)
    counts = {"shared": int(shared.sum()), "bytes": int(numbers["bytes"][rows[best]].sum())}
    counts["candidates"] = int(chosen.prod(axis=1).sum())
    counts["left_out"] = int(different.prod(axis=1).sum()) - counts["candidates"]
    for number, name in enumerate(SIDES):
        counts[f"{name}_texts"] = int(texts[:, number].sum())
        counts[f"{name}_matched"] = int(matched[:, number].sum())
        counts[f"{name}_repeated"] = int((matched - different)[:, number].sum())
        counts[f"{name}_over_max"] = int((different - chosen)[:, number].sum())
    return Result(counts)


def _read_keys(payload: MatchPartition) -> tuple[Columns, NDArray[np.int64]]:
    """Return the keys of both corpora, and to which of them each belongs."""
    sides = [read_partition(paths, payload.number, KEYS) for paths in payload.keys]
    side = np.repeat(np.arange(2), [len(own["place"]) for own in sides])
    return {name: np.concatenate([own[name] for own in sides]) for name in KEYS.names}, side
