"""Jaccard similarities of a few sets with many others, all of them and exactly: what MinHash is judged by.

No candidates are chosen: an inverted index of the few sets counts the elements that each of the many has in common
with each of them.

Shape legend: Q = sets in the index, K = their distinct elements, D = sets that are compared with them, S = elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dedup.minhash import mix

# Counts that are added up at a time.
_ADDED = 1 << 21


class InvertedIndex:
    """Which of Q sets hold an element.

    Elements that are held by the same sets, as the shingles of a notice that stands in all of them are, count as one
    group: the work does not multiply with their number.
    """

    def __init__(self, sets: Sequence[NDArray[np.uint64]]) -> None:
        """Build the index.

        Args:
            sets: elements of each set, none twice in one.
        """
        self._sizes = np.array([len(own) for own in sets], dtype=np.int64)
        elements = np.concatenate([np.zeros(0, dtype=np.uint64), *sets])
        order = np.argsort(elements, kind="stable")
        elements, owner = elements[order], np.repeat(np.arange(len(sets)), self._sizes)[order]
        starts = np.flatnonzero(np.concatenate([[True], elements[1:] != elements[:-1]])[: len(elements)])
        self._keys = elements[starts]
        self._group, first = _groups(owner, starts)
        ends = np.append(starts[1:], len(owner))
        # The sets that hold the elements of each group, one group after the other.
        self._counts = (ends - starts)[first]
        self._starts = np.cumsum(self._counts) - self._counts
        self._owners = owner[_ranges(starts[first], self._counts)]

    def similarities(self, elements: NDArray[np.uint64], borders: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the Jaccard similarities of D sets with those of the index, shape (D, Q); of two empty sets it is 0.

        Args:
            elements: of all sets, none twice in one, shape (S,).
            borders: set n has the elements [borders[n], borders[n + 1]), shape (D + 1,).
        """
        sizes = np.diff(borders)
        common = np.zeros((len(sizes), len(self._sizes)))
        for document, group, count in self._hits(elements, sizes):
            cells = np.repeat(document * len(self._sizes), self._counts[group])
            cells += self._owners[_ranges(self._starts[group], self._counts[group])]
            weights = np.repeat(count, self._counts[group])
            common += np.bincount(cells, weights, common.size).reshape(common.shape)
        together = sizes[:, None] + self._sizes[None, :] - common
        return np.asarray(common / np.maximum(1, together), dtype=np.float64)

    def _hits(
        self, elements: NDArray[np.uint64], sizes: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield documents, groups, and how many elements of the group the document has, a bounded number at a time."""
        if not len(self._keys):
            return
        place = np.minimum(np.searchsorted(self._keys, elements), len(self._keys) - 1)
        hit = np.flatnonzero(self._keys[place] == elements)
        document = np.repeat(np.arange(len(sizes)), sizes)[hit]
        both, count = np.unique(document * len(self._counts) + self._group[place[hit]], return_counts=True)
        document, group = np.divmod(both, len(self._counts))
        added = np.cumsum(self._counts[group])
        start = 0
        while start < len(both):
            before = added[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(added, before + _ADDED, side="right")))
            yield document[start:end], group[start:end], count[start:end]
            start = end


def _groups(owner: NDArray[np.int64], starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each element, and of each group one element; the elements of a group have the same owners.

    Two sums of 64 bits over the owners tell the groups apart: that any two of a million different ones are taken for
    one has a chance of 1.5e-27.
    """
    if not len(starts):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    mixed = mix(owner.astype(np.uint64) + np.uint64(1))
    sums = np.column_stack([np.add.reduceat(own, starts) for own in (mixed, mix(~mixed))])
    order = np.lexsort(sums.T)
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (sums[order][1:] != sums[order][:-1]).any(axis=1)
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(fresh) - 1
    return group, order[fresh]


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [starts[0], starts[0] + 1, ...] of counts[0] numbers, followed by those of the next start."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.repeat(starts - before, counts) + np.arange(int(counts.sum())), dtype=np.int64)
