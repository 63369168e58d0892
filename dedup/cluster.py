"""From documents in buckets to one survivor each: every dropped document is truly similar to a document that is kept.

Documents are whole numbers here, the better document the smaller one.

Shape legend: N = documents in buckets, E = edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# So many pairs are looked at together: what that takes is little beside all of them.
_TOGETHER = 1 << 18
# better documents, worse documents -> similarity of each pair
Similarities = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Edges:
    """Pairs of similar documents, each pair once.

    Attributes:
        better: the smaller number of each pair, shape (E,).
        worse: the larger one, shape (E,).
        similarity: of the pair, shape (E,).
    """

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    similarity: NDArray[np.float64]


def compare_buckets(
    bucket: NDArray[np.int64],
    document: NDArray[np.int64],
    base: NDArray[np.bool_],
    similarities: Similarities,
    minimum: float,
    max_leaders: int,
) -> Edges:
    """Compare the documents of LSH buckets and return the pairs that are similar enough.

    In a bucket a document is compared with the leaders, best first, until one of them is similar; a document that is
    similar to none becomes a leader itself. At most N x `max_leaders` pairs are compared, and similar ones only once.

    Args:
        bucket: number of the bucket of each entry, shape (N,).
        document: the document of each entry, shape (N,).
        base: by document, whether it belongs to a corpus that stands already: two of these are never compared.
        similarities: true similarities of pairs of documents.
        minimum: similarity from which two documents are duplicates.
        max_leaders: most documents that one document of a bucket is compared with.
    """
    count = max(1, len(base))
    entries = bucket * count + document
    entries.sort()
    bucket, document = np.divmod(entries[np.diff(entries, prepend=-1) != 0], count)
    del entries
    pairs = _SimilarPairs(count, similarities, minimum)
    for _ in range(max_leaders):
        if not len(bucket):
            break
        # The first entry of each bucket leads; the others are compared with it and stay while they are not similar.
        leads = np.diff(bucket, prepend=-1) != 0
        leader = document[leads]
        # The number of the bucket among those that are left finds its leader.
        place = np.cumsum(leads)[~leads] - 1
        bucket, document = bucket[~leads], document[~leads]
        apart = np.ones(len(bucket), dtype=np.bool_)
        for start in range(0, len(bucket), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            better, worse = leader[place[some]], document[some]
            compared = ~(base[better] & base[worse])
            apart[some][compared] = ~pairs.compare(better[compared], worse[compared])
        bucket, document = bucket[apart], document[apart]
    return pairs.edges()


class _SimilarPairs:
    """The pairs that were found to be similar. The others are forgotten: there may be `max_leaders` times as many."""

    def __init__(self, documents: int, similarities: Similarities, minimum: float) -> None:
        self._documents, self._similarities, self._minimum = documents, similarities, minimum
        # better * documents + worse of each pair, rising
        self._keys = np.zeros(0, dtype=np.int64)
        self._values = np.zeros(0)

    def compare(self, better: NDArray[np.int64], worse: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of the pairs are similar; one that stands there twice, or is known to be, is compared once."""
        keys = better * self._documents + worse
        order = np.argsort(keys, kind="stable")
        fresh = np.diff(keys[order], prepend=-1) != 0
        found = self._of(keys[order][fresh])
        similar = np.empty(len(keys), dtype=np.bool_)
        similar[order] = found[np.cumsum(fresh) - 1]
        return similar

    def _of(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of the pairs, rising by key, are similar."""
        similar = np.zeros(len(keys), dtype=np.bool_)
        if len(self._keys):
            place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            similar = self._keys[place] == keys
        new = np.flatnonzero(~similar)
        values = self._similarities(*np.divmod(keys[new], self._documents))
        good = values >= self._minimum
        similar[new[good]] = True
        every = np.concatenate([self._keys, keys[new[good]]])
        order = np.argsort(every, kind="stable")
        self._keys, self._values = every[order], np.concatenate([self._values, values[good]])[order]
        return similar

    def edges(self) -> Edges:
        """Return all similar pairs."""
        return Edges(*np.divmod(self._keys, self._documents), self._values)


def components(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return for each of `count` nodes the smallest node that it is connected with.

    Union-find with whole arrays: every root that meets a smaller one is hung under it, then all paths are halved until
    they are flat, and edges inside a tree are forgotten. Of such passes O(log(count) ** 2) are enough (Liu and Tarjan
    2019, Simple concurrent labeling algorithms for connected components).

    Args:
        first: one node of each edge, shape (E,).
        second: the other, shape (E,).
        count: number of nodes.
    """
    root = np.arange(count)
    while True:
        one, other = root[first], root[second]
        apart = one != other
        if not apart.any():
            return root
        first, second, one, other = first[apart], second[apart], one[apart], other[apart]
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while ((above := root[root]) != root).any():
            root = above


def choose_survivors(edges: Edges, count: int) -> Edges:
    """Return for each document to drop the edge to the kept document that it duplicates.

    Documents are decided from the best to the worst: one that is similar to a kept document is dropped, any other is
    kept. So no document goes only because it is similar to another dropped one, as chains A~B~C of merely transitive
    clusters do. Of several kept neighbours the most similar counts, then the better one.

    Args:
        edges: all similar pairs.
        count: number of documents.
    """
    # Within the edges of a document the first to a kept one is the right one.
    order = np.lexsort((edges.better, -edges.similarity, edges.worse))
    dropped = bytearray(count)
    chosen = [np.zeros(0, dtype=np.int64)]
    worse_before = -1
    for start in range(0, len(order), _TOGETHER):
        some = order[start : start + _TOGETHER]
        right = []
        for place, better, worse in zip(
            range(len(some)), edges.better[some].tolist(), edges.worse[some].tolist(), strict=True
        ):
            # All edges of better documents stand before: whether `better` is kept is decided.
            if worse != worse_before and not dropped[better]:
                dropped[worse] = 1
                right.append(place)
                worse_before = worse
        chosen.append(some[right])
    return take(edges, np.concatenate(chosen))


def without_weak_edges_of_giants(
    edges: Edges, cluster: NDArray[np.int64], sizes: NDArray[np.int64], max_cluster: int | None, minimum: float
) -> Edges:
    """Return the edges without those below `minimum` in clusters of more than `max_cluster` documents.

    Args:
        edges: all similar pairs.
        cluster: of each document.
        sizes: documents of each cluster.
        max_cluster: the limit; None for none.
        minimum: similarity that counts in a giant cluster.
    """
    if max_cluster is None:
        return edges
    giant = sizes[cluster[edges.better]] > max_cluster
    return take(edges, np.flatnonzero(~giant | (edges.similarity >= minimum)))


def take(edges: Edges, numbers: NDArray[np.int64]) -> Edges:
    """Return some of the edges."""
    return Edges(edges.better[numbers], edges.worse[numbers], edges.similarity[numbers])
