"""Where a source stands: its documents in their order, epoch after epoch, taken piece by piece.

The state of a source is a cursor (epoch, and position of the first document that was not touched) and the pieces that
were touched and not used: the rest of a document that was cut, or documents that wait to be packed. These come first
when reading goes on, so nothing is read twice or skipped, whatever happens to the mixture around it. All of an epoch
comes before the next one. Documents that another slice of the source drew in the epoch are passed over: see `order.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np

from configs.errors import UserError
from mixing.stream.document_source import DocumentSource
from mixing.stream.order import Cursor, DocumentOrder
from mixing.stream.shuffle import Numbers

# Of a piece: epoch, position, start, length.
Place = tuple[int, int, int, int]
# Documents whose lengths are looked up together, and those that are looked through where others drew them all.
_FEWEST_AHEAD, _MOST_AHEAD, _MOST_PASSED = 32, 512, 1 << 14


class Piece(NamedTuple):
    """Consecutive tokens of a document.

    Attributes:
        source: number of the source in the mixture.
        epoch: from 0.
        position: of the document in the order of its epoch.
        document: its number in the source.
        start: first token.
        length: tokens.
    """

    source: int
    epoch: int
    position: int
    document: int
    start: int
    length: int

    def split(self, tokens: int) -> tuple[Piece, Piece]:
        """Return the first `tokens`, and the rest."""
        source, epoch, position, document, start, length = self
        return (
            Piece(source, epoch, position, document, start, tokens),
            Piece(source, epoch, position, document, start + tokens, length - tokens),
        )

    def follows(self, other: Piece) -> bool:
        """Whether this is the same document, read on."""
        return self[:3] == other[:3] and self.start == other.start + other.length


class DocumentFeed:
    """The documents of a source, piece by piece. Documents without tokens are passed over."""

    def __init__(self, source: DocumentSource, number: int, seed: int, epochs: int | None = None) -> None:
        """Begin at the first document.

        Args:
            source: whose documents.
            number: of the source in the mixture.
            seed: of the order.
            epochs: how many there are at most; None is no end.

        Raises:
            UserError: the source has no documents.
        """
        if source.documents < 1:
            raise UserError(f"the source {source.name!r} has no documents; take it out of the mixture")
        self.source, self._number, self._epochs = source, number, epochs
        self.order = DocumentOrder(source, seed)
        self._moving: tuple[DocumentOrder, ...] = ()
        self._waiting: deque[Piece] = deque()
        self.go_to(0, 0, ())

    def share_with(self, moving: Sequence[DocumentOrder], resting: Sequence[DocumentOrder]) -> None:
        """Pass over documents that others draw of the same source.

        Args:
            moving: orders that are drawn from now, side by side with this one.
            resting: orders that were drawn from before.
        """
        self._moving, self.order.others = tuple(moving), (*moving, *resting)

    def go_to(self, epoch: int, position: int, pieces: Iterable[Place]) -> None:
        """Go on at a document, after some pieces.

        Args:
            epoch: of the document.
            position: of the document.
            pieces: places of what comes before it.

        Raises:
            UserError: a document has not so many tokens.
        """
        self.order.cursor = epoch, position
        self._read_to, self._ahead_count, self._empty = position, _FEWEST_AHEAD, 0
        # Position, document and length, and its positions in the orders that move, too.
        self._ahead: deque[tuple[int, int, int, tuple[int, ...]]] = deque()
        self._waiting.clear()
        for piece in self.pieces(pieces):
            if self._waiting and piece.follows(self._waiting[-1]):
                before = self._waiting.pop()
                piece = before._replace(length=before.length + piece.length)
            self._waiting.append(piece)

    def pieces(self, places: Iterable[Place]) -> list[Piece]:
        """Return pieces by their places.

        Raises:
            UserError: a document has not so many tokens.
        """
        rows = np.array(list(places), dtype=np.int64).reshape(-1, 4)
        epochs, positions, starts, lengths = rows.T
        documents = np.empty(len(rows), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            own = epochs == epoch
            documents[own] = self.order.documents(epoch, positions[own])
        wrong = np.flatnonzero(starts + lengths > self.source.lengths(documents))
        if len(wrong):
            raise UserError(
                f"the state of the token stream is damaged: it tells of {lengths[wrong[0]]:,} tokens from token "
                f"{starts[wrong[0]]:,} on in document {documents[wrong[0]]:,} of {self.source.name!r}, which has fewer"
            )
        columns = (epochs, positions, documents, starts, lengths)
        return [Piece(self._number, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    @property
    def cursor(self) -> Cursor:
        """Epoch and position of the first document that was not touched."""
        return self.order.cursor

    @property
    def waiting(self) -> tuple[Piece, ...]:
        """Pieces that were touched and not taken."""
        return tuple(self._waiting)

    def peek(self) -> Piece | None:
        """Return what is left of the next document; None after the last epoch.

        Raises:
            UserError: there is not one token in the source.
        """
        if not self._waiting:
            self._touch_next()
        return self._waiting[0] if self._waiting else None

    def take(self, tokens: int) -> Piece:
        """Return the next `tokens` of the document that `peek` shows."""
        piece = self._waiting[0]
        if tokens >= piece.length:
            return self._waiting.popleft()
        taken, self._waiting[0] = piece.split(tokens)
        return taken

    def _touch_next(self) -> None:
        while not self._waiting:
            if not self._ahead and not self._look_ahead():
                return
            position, document, length, elsewhere = self._ahead.popleft()
            epoch = self.order.cursor[0]
            if elsewhere and self._drawn_meanwhile(epoch, elsewhere):
                self._empty = 0
                continue
            self.order.cursor = epoch, position + 1
            if length > 0:
                self._empty = 0
                self._waiting.append(Piece(self._number, epoch, position, document, 0, length))
            else:
                self._empty += 1
            # Two epochs: one text at the begin of an epoch and at the end of the next has nearly as many in between.
            if self._empty >= 2 * self.source.documents:
                raise UserError(f"the source {self.source.name!r} has no tokens; take it out of the mixture")

    def _drawn_meanwhile(self, epoch: int, positions: tuple[int, ...]) -> bool:
        """Whether an order that moves has come to a document since lengths were looked up, by its positions in them."""
        return any(
            position >= 0 and order.cursor > (epoch, position)
            for order, position in zip(self._moving, positions, strict=True)
        )

    def _look_ahead(self) -> bool:
        """Read lengths of the next documents that are to be drawn; False if there are none."""
        while not self._ahead:
            if self._read_to == self.source.documents:
                self.order.cursor, self._read_to = (self.order.cursor[0] + 1, 0), 0
            if self.order.skip_epochs():
                self._read_to = 0
            epoch = self.order.cursor[0]
            if self._epochs is not None and epoch >= self._epochs:
                return False
            end = min(self._read_to + self._ahead_count, self.source.documents)
            positions, documents = self.order.not_drawn(self._read_to, end)
            if len(positions) < end - self._read_to:
                self._empty = 0
            if len(positions):
                lengths = self.source.lengths(documents)
                columns = positions.tolist(), documents.tolist(), lengths.tolist()
                self._ahead.extend(zip(*columns, self._positions_elsewhere(epoch, documents), strict=False))
            self._read_to = end
            self._ahead_count = min(2 * self._ahead_count, _MOST_AHEAD if len(positions) else _MOST_PASSED)
        return True

    def _positions_elsewhere(self, epoch: int, documents: Numbers) -> Iterable[tuple[int, ...]]:
        """Return for each document its positions in the orders that move, too; -1 where it is not in one."""
        if not self._moving:
            return repeat(())
        numbers = self.order.in_whole(documents)
        return zip(*(order.positions(epoch, numbers).tolist() for order in self._moving), strict=True)
