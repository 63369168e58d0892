"""From similar pairs to one survivor each: every dropped document is truly similar to a document that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

# What documents are known by: anything with a total order, the better document first.
Rank = TypeVar("Rank", int, bytes)


@dataclass(frozen=True)
class Edge(Generic[Rank]):
    """Two documents that were found to be similar: their ranks, the better (smaller) first, and the similarity."""

    better: Rank
    worse: Rank
    similarity: float


def bucket_edges(
    ranks: Sequence[Rank], similarity: Callable[[Rank, Rank], float], minimum: float, max_leaders: int
) -> list[Edge[Rank]]:
    """Compare the documents of one LSH bucket and return the pairs that are similar enough.

    A document is compared with the leaders of the bucket, best rank first, until one of them is similar; a document
    that is similar to none becomes a leader itself. The work is bounded by documents x `max_leaders`.

    Args:
        ranks: ranks of the documents in the bucket; the smaller is the better document.
        similarity: the true similarity of two documents by rank.
        minimum: similarity from which two documents are duplicates.
        max_leaders: most documents that one document is compared with.
    """
    leaders: list[Rank] = []
    edges: list[Edge[Rank]] = []
    for rank in sorted(set(ranks)):
        for leader in leaders:
            value = similarity(leader, rank)
            if value >= minimum:
                edges.append(Edge(leader, rank, value))
                break
        else:
            if len(leaders) < max_leaders:
                leaders.append(rank)
    return edges


def choose_survivors(edges: Iterable[Edge[Rank]]) -> dict[Rank, Edge[Rank]]:
    """Return for each document to drop the edge to the kept document that it duplicates.

    Documents are decided from the best rank to the worst: one that is similar to a kept document is dropped, any
    other is kept. So no document goes only because it is similar to another dropped one, as chains A~B~C of merely
    transitive clusters do. Of several kept neighbours the most similar counts, then the better rank.
    """
    neighbours: dict[Rank, list[Edge[Rank]]] = {}
    for edge in edges:
        neighbours.setdefault(edge.worse, []).append(edge)
    dropped: dict[Rank, Edge[Rank]] = {}
    for rank in sorted(neighbours):
        kept = [edge for edge in neighbours[rank] if edge.better not in dropped]
        if kept:
            dropped[rank] = min(kept, key=lambda edge: (-edge.similarity, edge.better))
    return dropped
