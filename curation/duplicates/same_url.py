"""Captures of one address: of several the newest stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curation.duplicates.found import write_all_but_first
from curation.duplicates.identities import Identities, best_first, ranks
from curation.duplicates.parts import DedupPart, parts_and_rows, places, read_documents, remaining_rows
from curation.duplicates.shuffle import digest_halves, read_partition, write_partitions
from curation.stage import Result
from dedup.equal_keys import equal_keys
from dedup.urls import instant, web_address

# A document's address on its way to its partition: hash, document, and when it was captured (`instant`).
URLS = pa.schema(
    [
        pa.field("hash0", pa.uint64(), nullable=False),
        pa.field("hash1", pa.uint64(), nullable=False),
        pa.field("place", pa.uint64(), nullable=False),
        pa.field("instant", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class SameUrlPart:
    """The payload of one task that sends the addresses of a part to their partitions.

    Attributes:
        part: whose documents are meant.
        gone: files of documents that go already; none where this stage is the first.
        partitions: number of partitions.
    """

    part: DedupPart
    gone: tuple[Path, ...]
    partitions: int


def same_url_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `urls.arrow`: address and date of every document that has an address of the web, by partition."""
    assert isinstance(payload, SameUrlPart)
    rows = remaining_rows(payload.part, payload.gone)
    known: list[int] = []
    digests: list[bytes] = []
    instants: list[int] = []
    for own, batch in read_documents(payload.part.documents, rows, ("url", "date")):
        for row, document in zip(own.tolist(), batch.to_pylist(), strict=True):
            # A text corpus may say `n/a` of every document: only what is an address can be one and the same.
            if (address := web_address(document["url"] or "")) is not None:
                known.append(row)
                digests.append(xxhash.xxh3_128_digest(address.encode("utf-8", "replace")))
                instants.append(instant(document["date"] or ""))
    hash0, hash1 = digest_halves(digests)
    columns: dict[str, NDArray[np.generic]] = {
        "hash0": hash0,
        "hash1": hash1,
        "place": places(payload.part.number, np.array(known, dtype=np.int64)),
        "instant": np.array(instants, dtype=np.int64),
    }
    partition = (hash0 % np.uint64(payload.partitions)).astype(np.int64)
    write_partitions(out / "urls.arrow", URLS, columns, partition, payload.partitions)
    return Result({"documents": len(rows), "addresses": len(known)})


@dataclass(frozen=True, slots=True)
class SameUrlPartition:
    """The payload of one task that finds the captures of equal addresses.

    Attributes:
        urls: the files of addresses of all parts.
        number: of the partition.
        identities: files of identities by part.
        base_parts: parts of a corpus that stands already. Its documents stay; a new capture of an address that it
            holds goes, however new it is, as two versions of one page would stand side by side otherwise.
    """

    urls: tuple[Path, ...]
    number: int
    identities: dict[int, Path]
    base_parts: frozenset[int]


def same_url_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write `duplicates.parquet`: all captures of an address but the newest, or of equally new ones the best."""
    assert isinstance(payload, SameUrlPartition)
    urls = read_partition(payload.urls, payload.number, URLS)
    hash0, hash1 = urls["hash0"].astype(np.uint64, copy=False), urls["hash1"].astype(np.uint64, copy=False)
    shared, group = equal_keys(hash0, hash1)
    place, moment = urls["place"].astype(np.uint64, copy=False)[shared], urls["instant"].astype(np.int64)[shared]
    numbers = Identities(payload.identities).at(place)
    rank = ranks(best_first(numbers))
    new = ~np.isin(parts_and_rows(place)[0], sorted(payload.base_parts))
    # `~moment` falls as the moment rises, and has no overflow.
    best = np.lexsort((rank, ~moment, new, group))
    written = write_all_but_first(
        out / "duplicates.parquet", place[best], group[best], numbers[best], payload.base_parts
    )
    return Result({"addresses": len(hash0), "duplicates": written})
