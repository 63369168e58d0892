"""How far a run is in the order of a source's documents, and in those of its slices, which share documents.

The whole source and each of its slices has an order of its own, and a cursor in it: epoch, and position. All that
stands before the cursor was drawn in that epoch, by this order or by another one of the source: what another one drew
already, it passes over. So a document is drawn from a slice only if every other document of that slice has been drawn
as often already: none comes twice within an epoch, and none is left out, whichever slices drew it. Nothing but cursors
is kept.

That a slice drew a document in an epoch is computed: the document's rank among those of the slice, the position of that
in the slice's order, which is the inverse permutation, and whether the cursor is behind it.

Shape legend: P = documents that are asked for.
"""

from __future__ import annotations

import numpy as np

from mixing.stream.document_source import DocumentSource
from mixing.stream.shuffle import Numbers, Permutation, epoch_order
from mixing.stream.sliced_documents import SlicedDocuments

# Permutations that are kept: a slice's own epoch, and those in which others ask for its positions.
_MOST_ORDERS = 4
Cursor = tuple[int, int]


class DocumentOrder:
    """The order of a source, or of a slice, and the cursor in it."""

    def __init__(self, source: DocumentSource, seed: int) -> None:
        """Stand before the first document of the first epoch; nobody else draws from the source yet."""
        self.source, self._seed = source, seed
        self.cursor: Cursor = (0, 0)
        self.others: tuple[DocumentOrder, ...] = ()
        self._orders: dict[int, Permutation] = {}

    @property
    def whole(self) -> DocumentSource:
        """The source that the documents are of: itself, but for a slice."""
        return self.source.whole if isinstance(self.source, SlicedDocuments) else self.source

    def documents(self, epoch: int, positions: Numbers) -> Numbers:
        """Return the documents at positions of an epoch, as this source counts them, shape (P,)."""
        return self._order_of(epoch)(positions)

    def in_whole(self, documents: Numbers) -> Numbers:
        """Return the numbers in the whole source of documents that this source counts, shape (P,)."""
        return self.source.numbers.at(documents) if isinstance(self.source, SlicedDocuments) else documents

    def positions(self, epoch: int, numbers: Numbers) -> Numbers:
        """Return the positions in an epoch of documents by their numbers in the whole source, shape (P,); or -1."""
        if not isinstance(self.source, SlicedDocuments):
            return self._order_of(epoch).inverse(numbers)
        ranks = self.source.numbers.ranks(numbers)
        found, there = ranks.copy(), np.flatnonzero(ranks >= 0)
        found[there] = self._order_of(epoch).inverse(ranks[there])
        return found

    def times(self, numbers: Numbers) -> Numbers:
        """Return how often documents have been drawn, as far as this order tells, shape (P,)."""
        epoch, position = self.cursor
        found = self.positions(epoch, numbers)
        return np.where(found < 0, 0, epoch + (found < position))

    def not_drawn(self, begin: int, end: int) -> tuple[Numbers, Numbers]:
        """Return positions in the epoch, and documents at them, that no other order has drawn in it.

        Args:
            begin: first position.
            end: last position and one.
        """
        epoch = self.cursor[0]
        positions = np.arange(begin, end)
        documents = self.documents(epoch, positions)
        ahead = [other for other in self.others if other.cursor > (epoch, 0)]
        if ahead:
            numbers = self.in_whole(documents)
            left = np.ones(len(numbers), dtype=np.bool_)
            for other in ahead:
                left &= other.times(numbers) <= epoch
            positions, documents = positions[left], documents[left]
        return positions, documents

    def skip_epochs(self) -> bool:
        """Leave out epochs of which an order of the whole source has drawn all documents; whether there are any."""
        drawn = [other.cursor[0] for other in self.others if not isinstance(other.source, SlicedDocuments)]
        if not drawn or max(drawn) <= self.cursor[0]:
            return False
        self.cursor = max(drawn), 0
        return True

    def _order_of(self, epoch: int) -> Permutation:
        if epoch not in self._orders:
            while len(self._orders) >= _MOST_ORDERS:
                del self._orders[next(iter(self._orders))]
            self._orders[epoch] = epoch_order(self.source.documents, self._seed, self.source.name, epoch)
        return self._orders[epoch]
