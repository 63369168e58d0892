"""Clusters of similar documents, and who of each survives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.duplicates.found import write_duplicates
from curation.duplicates.identities import Identities, best_first, document_ids, ranks
from curation.duplicates.parts import parts_and_rows
from curation.duplicates.shuffle import read_partition
from curation.schema import CLUSTERS, EDGES
from curation.stage import Result
from dedup.cluster import Edges, choose_survivors, components, without_weak_edges_of_giants
from dedup.minhash import MinHashConfig

# Of the largest clusters so many are named to the user.
_NAMED = 100


@dataclass(frozen=True, slots=True)
class SurvivorsPartition:
    """The payload of one survivors task.

    Attributes:
        edges: files of edges; a cluster's are in one partition.
        number: of the partition.
        identities: files of identities by part.
        base_parts: parts of a corpus that stands already.
        config: MinHash settings.
    """

    edges: tuple[Path, ...]
    number: int
    identities: dict[int, Path]
    base_parts: frozenset[int]
    config: MinHashConfig


def survivors_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Decide which near duplicates go: `duplicates.parquet`, and `clusters.parquet` with the largest clusters."""
    assert isinstance(payload, SurvivorsPartition)
    config = payload.config
    edges, documents = _read_edges(payload)
    numbers = Identities(payload.identities).at(documents)
    cluster = components(edges.better, edges.worse, len(documents))
    sizes = np.bincount(cluster, minlength=len(documents))
    # A document of a corpus that stands already is no duplicate of another one of it.
    strong = without_weak_edges_of_giants(edges, cluster, sizes, config.max_cluster, config.giant_min_similarity)
    dropped = choose_survivors(strong, len(documents))
    written = write_duplicates(
        out / "duplicates.parquet", documents[dropped.worse], documents[dropped.better], numbers[dropped.better],
        dropped.similarity, payload.base_parts,
    )  # fmt: skip
    _write_clusters(out / "clusters.parquet", cluster, sizes, edges, dropped, documents, numbers)
    limit = config.max_cluster
    giant = int((sizes > limit).sum()) if limit is not None else 0
    details: dict[str, object] = {"sizes": _histogram(sizes)}
    counts = {"edges": len(edges.better), "duplicates": written, "clusters": int((sizes > 0).sum())}
    return Result({**counts, "giant_clusters": giant}, details)


def _read_edges(payload: SurvivorsPartition) -> tuple[Edges, NDArray[np.uint64]]:
    """Return each pair once, and the places of the documents, whose numbers in the pairs rise from the best on."""
    columns = read_partition(payload.edges, payload.number, EDGES)
    better, worse = (columns[name].astype(np.uint64, copy=False) for name in ("better", "worse"))
    documents = np.union1d(better, worse)
    best = best_first(Identities(payload.identities).at(documents))
    number_of = ranks(best)
    # One number for each pair: several partitions of band keys may have found it.
    pairs = number_of[np.searchsorted(documents, better)] * len(documents)
    pairs += number_of[np.searchsorted(documents, worse)]
    pairs, first = np.unique(pairs, return_index=True)
    similarity = columns["similarity"].astype(np.float64, copy=False)[first]
    return Edges(*np.divmod(pairs, max(1, len(documents))), similarity), documents[best]


def _histogram(sizes: NDArray[np.int64]) -> list[list[int]]:
    """Return numbers of clusters by size, sizes of a thousand and more rounded down to powers of two."""
    own = sizes[sizes > 0]
    rounded = np.where(own < 1000, own, 1 << np.floor(np.log2(np.maximum(own, 1))).astype(np.int64))
    values, counts = np.unique(rounded, return_counts=True)
    return np.column_stack([values, counts]).tolist()  # type: ignore[no-any-return]


def _write_clusters(
    path: Path,
    cluster: NDArray[np.int64],
    sizes: NDArray[np.int64],
    edges: Edges,
    dropped: Edges,
    documents: NDArray[np.uint64],
    numbers: NDArray[np.uint64],
) -> None:
    """Write the largest clusters: their size, the documents that stay, the lowest similarity, and the best document."""
    largest = np.flatnonzero(sizes)
    largest = largest[np.lexsort((largest, -sizes[largest]))][:_NAMED]
    gone = np.bincount(cluster[dropped.worse], minlength=len(sizes))
    lowest = np.ones(len(sizes))
    np.minimum.at(lowest, cluster[edges.better], edges.similarity)
    columns = {
        "size": sizes[largest],
        "kept": sizes[largest] - gone[largest],
        "min_similarity": lowest[largest],
        # The best document of a cluster is its smallest number, which names the cluster.
        "id": document_ids(numbers[largest]),
        "part": parts_and_rows(documents[largest])[0],
        "row": parts_and_rows(documents[largest])[1],
    }
    pq.write_table(pa.table(columns, schema=CLUSTERS), path, compression="zstd")
