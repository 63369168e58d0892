"""Edges on their way to the partition of their cluster, when they are too many for one task.

links     one task an edges file     a spanning forest of its documents; edges by partition of their better document
stars     one task a partition       rounds of `dedup.stars` until nothing changes
label     one task a partition       edges by partition of their cluster
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curation.duplicates.shuffle import read_partition, write_partitions
from curation.schema import EDGES, LINKS
from curation.stage import Result
from dedup.cluster import components
from dedup.minhash import mix
from dedup.stars import checksum, labels, large_star, small_star

# A thousand million documents need far fewer rounds.
MAX_ROUNDS = 64
_ROUNDS: dict[str, Callable[..., tuple[NDArray[np.uint64], NDArray[np.uint64]]]] = {
    "large": large_star,
    "small": small_star,
}


def _partition(nodes: NDArray[np.uint64], partitions: int) -> NDArray[np.int64]:
    return (mix(nodes) % np.uint64(partitions)).astype(np.int64)


def _write_links(path: Path, first: NDArray[np.uint64], second: NDArray[np.uint64], partitions: int) -> None:
    both = {"first": np.concatenate([first, second]), "second": np.concatenate([second, first])}
    write_partitions(path, LINKS, both, _partition(both["first"], partitions), partitions)


@dataclass(frozen=True, slots=True)
class LinksFile:
    """The payload of one links task: a file of edges, and the number of partitions."""

    edges: Path
    partitions: int


def links_file(payload: object, out: Path, scratch: Path) -> Result:
    """Write `links.arrow`, each document linked to the first of its component here, and `edges.arrow`."""
    assert isinstance(payload, LinksFile)
    columns = read_partition([payload.edges], 0, EDGES)
    better, worse = columns["better"].astype(np.uint64), columns["worse"].astype(np.uint64)
    nodes, own = np.unique(np.concatenate([better, worse]), return_inverse=True)
    first, second = np.split(own, 2)
    root = components(first, second, len(nodes))
    child = np.flatnonzero(root != np.arange(len(nodes)))
    _write_links(out / "links.arrow", nodes[child], nodes[root[child]], payload.partitions)
    write_partitions(out / "edges.arrow", EDGES, columns, _partition(better, payload.partitions), payload.partitions)
    return Result({"edges": len(better), "links": len(child)})


@dataclass(frozen=True, slots=True)
class StarsPartition:
    """The payload of one task of a round: files of links, the partition, the kind of round, and the partitions."""

    links: tuple[Path, ...]
    number: int
    kind: Literal["large", "small"]
    partitions: int


def stars_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write the rewired links of the partition's nodes: `links.arrow`. The details hold a checksum of those before."""
    assert isinstance(payload, StarsPartition)
    columns = read_partition(payload.links, payload.number, LINKS)
    before = columns["first"].astype(np.uint64), columns["second"].astype(np.uint64)
    first, second = _ROUNDS[payload.kind](*before)
    _write_links(out / "links.arrow", first, second, payload.partitions)
    return Result({"links": len(first)}, {"checksum": f"{checksum(*before):016x}"})


@dataclass(frozen=True, slots=True)
class LabelPartition:
    """The payload of one label task: links of finished stars, edges, the partition, and the number of partitions."""

    links: tuple[Path, ...]
    edges: tuple[Path, ...]
    number: int
    partitions: int


def label_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write `edges.arrow`: the edges of the partition's better documents, by the partition of their cluster."""
    assert isinstance(payload, LabelPartition)
    columns = read_partition(payload.links, payload.number, LINKS)
    nodes, centres = labels(columns["first"].astype(np.uint64), columns["second"].astype(np.uint64))
    edges = read_partition(payload.edges, payload.number, EDGES)
    cluster = centres[np.searchsorted(nodes, edges["better"].astype(np.uint64))]
    write_partitions(out / "edges.arrow", EDGES, edges, _partition(cluster, payload.partitions), payload.partitions)
    return Result({"edges": len(cluster)})
