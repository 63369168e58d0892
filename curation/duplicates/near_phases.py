"""The phases of MinHash deduplication, one after the other.

sign          one task a part             band keys                                     (sign.py)
buckets       one task a partition        documents that share a band key               (near.py)
shingle       one task a part             shingles of these                             (sign.py)
edges         one task a partition        their true similarities                       (near.py)
links, stars, label                       clusters, when there are several partitions   (components.py)
survivors     one task a partition        who of each cluster stays                     (clusters.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from curation.duplicates.clusters import SurvivorsPartition, survivors_partition
from curation.duplicates.components import (
    MAX_ROUNDS,
    LabelPartition,
    LinksFile,
    StarsPartition,
    label_partition,
    links_file,
    stars_partition,
)
from curation.duplicates.context import Context, numbered
from curation.duplicates.near import BucketsPartition, EdgesPartition, buckets_partition, edges_partition
from curation.duplicates.sign import ShinglePart, SignPart, shingle_part, sign_part
from curation.store import Manifest
from dedup.minhash import MinHashConfig

EDGES_PER_PARTITION = 1_000_000


def find_near(context: Context, config: MinHashConfig) -> None:
    """Find near duplicates: `context.found` tells of them afterwards."""
    found, segmentations, base = context.found, context.segmentations, context.base
    count = context.plan.partitions("minhash")
    common: dict[str, object] = {"config": config.model_dump(), "segmentations": segmentations, "partitions": count}
    bands = _sign(context, config, count, common)
    buckets = context.on_partitions(
        "buckets",
        buckets_partition,
        numbered([BucketsPartition(bands, number, base) for number in range(count)]),
        common,
    )
    candidates = tuple(manifest.path("candidates.arrow") for manifest in buckets)
    shingled = context.on_parts(
        "shingle",
        shingle_part,
        lambda part: ShinglePart(part, candidates, segmentations, config),
        {**common, "candidates": [manifest.checksum for manifest in buckets]},
    )
    shingles = {
        part.number: manifest.path("shingles.arrow") for part, manifest in zip(context.parts, shingled, strict=True)
    }
    edges = context.on_partitions(
        "edges",
        edges_partition,
        numbered(
            [
                EdgesPartition(manifest.path("buckets.arrow"), shingles, found.identities, base, config)
                for manifest in buckets
            ]
        ),
        common,
    )
    files, partitions = _by_cluster(context, edges, common)
    payloads = [SurvivorsPartition(files, number, found.identities, base, config) for number in range(partitions)]
    found.survivors = context.on_partitions("survivors", survivors_partition, numbered(payloads), [common, partitions])
    found.add_gone("minhash", found.survivors)


def _sign(context: Context, config: MinHashConfig, count: int, common: dict[str, object]) -> tuple[Path, ...]:
    found = context.found
    gone = found.gone_files
    signed = context.on_parts(
        "sign",
        sign_part,
        lambda part: SignPart(part, found.signatures.get(part.number), gone, context.segmentations, config, count),
        common,
    )
    for part, manifest in zip(context.parts, signed, strict=True):
        found.signatures.setdefault(part.number, manifest.path("signatures.parquet"))
    return tuple(manifest.path("bands.arrow") for manifest in signed)


def _by_cluster(context: Context, edges: Sequence[Manifest], common: dict[str, object]) -> tuple[tuple[Path, ...], int]:
    """Return files of edges in which a cluster's are in one partition, and the number of partitions."""
    files = tuple(manifest.path("edges.arrow") for manifest in edges)
    count = max(1, -(-sum(manifest.counts["edges"] for manifest in edges) // EDGES_PER_PARTITION))
    if count == 1:
        return files, 1
    facts = [common, count]
    linked = context.on_partitions("links", links_file, numbered([LinksFile(path, count) for path in files]), facts)
    links = tuple(manifest.path("links.arrow") for manifest in linked)
    before = ""
    for number in range(MAX_ROUNDS):
        links, checksum = _stars(context, links, "large", number, count, facts)
        links, _ = _stars(context, links, "small", number, count, facts)
        if checksum == before:
            break
        before = checksum
    else:
        raise RuntimeError(f"clusters are not found after {MAX_ROUNDS} rounds")
    own = tuple(manifest.path("edges.arrow") for manifest in linked)
    payloads = [LabelPartition(links, own, number, count) for number in range(count)]
    labelled = context.on_partitions("label", label_partition, numbered(payloads), facts)
    return tuple(manifest.path("edges.arrow") for manifest in labelled), count


def _stars(
    context: Context, links: tuple[Path, ...], kind: Literal["large", "small"], number: int, count: int, facts: object
) -> tuple[tuple[Path, ...], str]:
    """Run one round and return the files of links after it, and a checksum of the links before it."""
    payloads = {f"{number:02d}-{kind}-{own:05d}": StarsPartition(links, own, kind, count) for own in range(count)}
    rewired = context.on_partitions("stars", stars_partition, payloads, facts)
    total = sum(int(str(manifest.details["checksum"]), 16) for manifest in rewired)
    return tuple(manifest.path("links.arrow") for manifest in rewired), f"{total % (1 << 64):016x}"
