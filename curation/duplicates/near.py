"""Near duplicates: documents that share a band key, compared by their true Jaccard similarity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.duplicates.identities import Identities, best_first, ranks
from curation.duplicates.parts import parts_and_rows
from curation.duplicates.shuffle import read_partition, write_batch
from curation.duplicates.sign import ShingleStore
from curation.schema import BAND_KEYS, BUCKETS, CANDIDATES, EDGES
from curation.stage import Result
from dedup.cluster import compare_buckets
from dedup.minhash import MinHashConfig, jaccard

# Pairs are compared so many at a time: as Python's numbers they take eight times the memory.
_TOGETHER = 10_000


@dataclass(frozen=True, slots=True)
class BucketsPartition:
    """The payload of one task that looks for shared band keys.

    Attributes:
        bands: files of band keys of all parts.
        number: of the partition.
        base_parts: parts of a corpus that stands already: its documents are not compared with one another.
    """

    bands: tuple[Path, ...]
    number: int
    base_parts: frozenset[int]


def buckets_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write `buckets.arrow`: documents by shared key, and `candidates.arrow`: the same ones by place."""
    assert isinstance(payload, BucketsPartition)
    columns = read_partition(payload.bands, payload.number, BAND_KEYS)
    key, place = columns["key"].astype(np.uint64, copy=False), columns["place"].astype(np.uint64, copy=False)
    count = len(key)
    # By key, then by place: a document whose bands share a key meets itself.
    order = np.argsort(key, kind="stable")
    key, place = key[order], place[order]
    del order, columns
    shared = np.zeros(count + 1, dtype=np.bool_)
    np.equal(key[1:], key[:-1], out=shared[1:-1])
    starts = ~shared[:-1]
    wanted = shared[:-1] | shared[1:]
    bucket, place = np.cumsum(starts)[wanted], place[wanted]
    if payload.base_parts and len(place):
        new = ~np.isin(parts_and_rows(place)[0], sorted(payload.base_parts))
        with_new = np.zeros(int(bucket[-1]) + 1, dtype=np.bool_)
        with_new[bucket[new]] = True
        bucket, place = bucket[with_new[bucket]], place[with_new[bucket]]
    for name, schema, own in (
        ("buckets.arrow", BUCKETS, {"bucket": bucket.astype(np.uint64), "place": place}),
        ("candidates.arrow", CANDIDATES, {"place": np.unique(place)}),
    ):
        write_batch(out / name, schema, own)
    return Result({"band_keys": count, "in_buckets": len(place), "buckets": len(np.unique(bucket))})


@dataclass(frozen=True, slots=True)
class EdgesPartition:
    """The payload of one comparison task.

    Attributes:
        buckets: the partition's file of buckets.
        shingles: the shingle file of each part.
        identities: the file of identities of each part.
        base_parts: parts of a corpus that stands already.
        config: MinHash settings.
    """

    buckets: Path
    shingles: dict[int, Path]
    identities: dict[int, Path]
    base_parts: frozenset[int]
    config: MinHashConfig


def edges_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Compare the documents that share a band key: `edges.arrow` holds the pairs that are similar enough."""
    assert isinstance(payload, EdgesPartition)
    columns = read_partition([payload.buckets], 0, BUCKETS)
    place = columns["place"].astype(np.uint64, copy=False)
    documents = np.unique(place)
    own = np.searchsorted(documents, place)
    # Documents are numbered from the best to the worst.
    best = best_first(Identities(payload.identities).at(documents))
    documents = documents[best]
    number_of = ranks(best)
    bucket, document = columns["bucket"].view(np.int64), number_of[own]
    del columns, place, own
    base = np.isin(parts_and_rows(documents)[0], sorted(payload.base_parts))
    store = ShingleStore(payload.shingles)
    compared = 0

    def similarities(better: NDArray[np.int64], worse: NDArray[np.int64]) -> NDArray[np.float64]:
        nonlocal compared
        compared += len(better)
        values = np.empty(len(better))
        for start in range(0, len(better), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            place, own = np.unique(documents[np.concatenate([better[some], worse[some]])], return_inverse=True)
            sets = store.at(place)
            pairs = zip(*(half.tolist() for half in np.split(own, 2)), strict=True)
            values[some] = [jaccard(sets[first], sets[second]) for first, second in pairs]
        return values

    config = payload.config
    edges = compare_buckets(bucket, document, base, similarities, config.min_similarity, config.max_leaders)
    found = {"better": documents[edges.better], "worse": documents[edges.worse], "similarity": edges.similarity}
    write_batch(out / "edges.arrow", EDGES, found)
    return Result({"compared": compared, "edges": len(edges.better)})
