"""Where a source stands: its documents in their order, epoch after epoch, taken piece by piece.

A source is read through a small protocol, so a mixture may be of token shards or of anything else. Its state is a
cursor (epoch, and position of the first document that was not touched) and the pieces that were touched and not used:
the rest of a document that was cut, or documents that wait to be packed. These come first when reading goes on, so
nothing is read twice or skipped, whatever happens to the mixture around it. All of an epoch comes before the next one.

Shape legend: N = documents of the source, P = documents that are asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.stream.shuffle import Numbers, Permutation, epoch_order

# Of a piece: epoch, position, start, length.
Place = tuple[int, int, int, int]
# Documents whose lengths are looked up together.
_FEWEST_AHEAD, _MOST_AHEAD = 32, 512


class DocumentSource(Protocol):
    """Documents as tokens, each ending with its end-of-document token."""

    @property
    def name(self) -> str:
        """The source's name: in a mixture there is one of it."""

    @property
    def identity(self) -> str:
        """What the documents are: another one means that positions in an older state say nothing about them."""

    @property
    def documents(self) -> int:
        """N."""

    def lengths(self, numbers: Numbers) -> NDArray[np.integer]:
        """Return the tokens of documents, shape (P,)."""

    def tokens(self, number: int, start: int, length: int) -> NDArray[np.integer]:
        """Return tokens of a document, shape (length,)."""


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
        self.source, self._number, self._seed, self._epochs = source, number, seed, epochs
        self._waiting: deque[Piece] = deque()
        self._order: tuple[int, Permutation] | None = None
        self.go_to(0, 0, ())

    def go_to(self, epoch: int, position: int, pieces: Iterable[Place]) -> None:
        """Go on at a document, after some pieces.

        Args:
            epoch: of the document.
            position: of the document.
            pieces: places of what comes before it.

        Raises:
            UserError: a document has not so many tokens.
        """
        self._epoch, self._position = epoch, position
        self._read_to, self._ahead_count, self._empty = position, _FEWEST_AHEAD, 0
        self._ahead: deque[tuple[int, int]] = deque()
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
            documents[own] = self._order_of(epoch)(positions[own])
        wrong = np.flatnonzero(starts + lengths > self.source.lengths(documents))
        if len(wrong):
            raise UserError(
                f"the state of the token stream is damaged: it tells of {lengths[wrong[0]]:,} tokens from token "
                f"{starts[wrong[0]]:,} on in document {documents[wrong[0]]:,} of {self.source.name!r}, which has fewer"
            )
        columns = (epochs, positions, documents, starts, lengths)
        return [Piece(self._number, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    @property
    def cursor(self) -> tuple[int, int]:
        """Epoch and position of the first document that was not touched."""
        return self._epoch, self._position

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
            document, length = self._ahead.popleft()
            if length > 0:
                self._empty = 0
                self._waiting.append(Piece(self._number, self._epoch, self._position, document, 0, length))
            else:
                self._empty += 1
            self._position += 1
            # Two epochs: one text at the begin of an epoch and at the end of the next has nearly as many in between.
            if self._empty >= 2 * self.source.documents:
                raise UserError(f"the source {self.source.name!r} has no tokens; take it out of the mixture")

    def _look_ahead(self) -> bool:
        """Read lengths of the next documents; False if there are none."""
        if self._position == self.source.documents:
            self._epoch, self._position, self._read_to = self._epoch + 1, 0, 0
        if self._epochs is not None and self._epoch >= self._epochs:
            return False
        end = min(self._read_to + self._ahead_count, self.source.documents)
        documents = self._order_of(self._epoch)(np.arange(self._read_to, end))
        self._ahead.extend(zip(documents.tolist(), self.source.lengths(documents).tolist(), strict=True))
        self._read_to, self._ahead_count = end, min(2 * self._ahead_count, _MOST_AHEAD)
        return True

    def _order_of(self, epoch: int) -> Permutation:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, epoch_order(self.source.documents, self._seed, self.source.name, epoch)
        return self._order[1]
