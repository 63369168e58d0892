"""Exact duplicates: who each document is, equal texts through partitions of hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.duplicates.found import write_all_but_first
from curation.duplicates.identities import Identities, best_first, identity
from curation.duplicates.parts import DedupPart, places, read_documents, remaining_rows
from curation.duplicates.shuffle import digest_halves, read_partition, write_batch, write_partitions
from curation.schema import EXACT_HASHES, EXACT_KEYS, IDENTITIES
from curation.stage import Result
from dedup.equal_keys import equal_keys
from dedup.exact import document_hash

_COLUMNS = ("id", "text", "url", "language_score")


@dataclass(frozen=True, slots=True)
class IdentifyPart:
    """The payload of one identification task.

    Attributes:
        part: whose documents are read.
    """

    part: DedupPart


def identify_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `identities.arrow` and `hashes.arrow`: order, id and hash of every document of the part, by row."""
    assert isinstance(payload, IdentifyPart)
    rows, numbers, hashes = [], [], []
    for own, batch in read_documents(payload.part.documents, remaining_rows(payload.part, ()), _COLUMNS):
        rows += own.tolist()
        for document in batch.to_pylist():
            text, score, url = document["text"], float(document["language_score"] or 0), document["url"] or ""
            numbers.append(identity(text, score, url, document["id"], payload.part.base))
            hashes.append(document_hash(text))
    columns = {
        name: np.array([getattr(own, name) for own in numbers], dtype=np.uint64) for name in IDENTITIES.names[1:]
    }
    hash0, hash1 = digest_halves(hashes)
    row = np.array(rows, dtype=np.int64)
    write_batch(out / "identities.arrow", IDENTITIES, {"row": row, **columns})
    write_batch(out / "hashes.arrow", EXACT_HASHES, {"row": row, "hash0": hash0, "hash1": hash1})
    return Result({"documents": len(rows)})


@dataclass(frozen=True, slots=True)
class ExactKeysPart:
    """The payload of one task that sends the hashes of a part to their partitions.

    Attributes:
        part: whose documents are meant.
        hashes: the part's file of hashes.
        gone: files of documents that go already.
        partitions: number of partitions.
    """

    part: DedupPart
    hashes: Path
    gone: tuple[Path, ...]
    partitions: int


def exact_keys_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `keys.arrow`: hash and place of every document that is still there, by partition."""
    assert isinstance(payload, ExactKeysPart)
    found = read_partition([payload.hashes], 0, EXACT_HASHES)
    rows = remaining_rows(payload.part, payload.gone)
    own = np.isin(found["row"], rows)
    columns: dict[str, NDArray[np.uint64]] = {name: found[name][own].astype(np.uint64) for name in ("hash0", "hash1")}
    columns["place"] = places(payload.part.number, found["row"][own].astype(np.int64))
    partition = (columns["hash0"] % np.uint64(payload.partitions)).astype(np.int64)
    write_partitions(out / "keys.arrow", EXACT_KEYS, columns, partition, payload.partitions)
    return Result({"documents": len(rows)})


@dataclass(frozen=True, slots=True)
class ExactPartition:
    """The payload of one exact task.

    Attributes:
        keys: the files of keys of all parts.
        number: of the partition.
        identities: files of identities by part.
        base_parts: parts of a corpus that stands already.
    """

    keys: tuple[Path, ...]
    number: int
    identities: dict[int, Path]
    base_parts: frozenset[int]


def exact_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Find the duplicates among documents of equal hash: `duplicates.parquet`."""
    assert isinstance(payload, ExactPartition)
    keys = read_partition(payload.keys, payload.number, EXACT_KEYS)
    hash0, hash1 = (keys[name].astype(np.uint64, copy=False) for name in ("hash0", "hash1"))
    shared, group = equal_keys(hash0, hash1)
    place = keys["place"].astype(np.uint64, copy=False)[shared]
    numbers = Identities(payload.identities).at(place)
    best = best_first(np.column_stack([group.astype(np.uint64), numbers]))
    written = write_all_but_first(
        out / "duplicates.parquet", place[best], group[best], numbers[best], payload.base_parts
    )
    return Result({"documents": len(hash0), "duplicates": written})
