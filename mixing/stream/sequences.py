"""Documents into sequences of L tokens: one stream cut every L tokens, or documents packed as whole as can be.

`Concatenated` is what Megatron-LM's GPTDataset does: documents follow each other, a sequence ends after L tokens, and a
document that does not end with it goes on in the next one. Each sequence also tells the token after its last one, which
is the target of the last; that token is the first of the next sequence. No token is dropped, none is padding.

`BestFit` keeps a document that fits into L tokens whole; a longer one is cut into what is over and pieces of L (H. Ding
et al., Fewer Truncations Improve Language Modeling, arXiv 2404.10830, who pack all documents at once). A sequence takes
documents in their order until one does not fit, then fills the gap: the longest of the next `window` documents that
fits, again and again. That is best fit decreasing in a window that slides: what did not fit begins the next sequence,
so nothing waits for long, and there is no last sequence of a window to be left half empty. The rest is padding.

Shape legend: L = tokens of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol

from mixing.stream.cursor import Piece

Packing = Literal["concatenate", "best_fit"]


class PieceFeed(Protocol):
    """Pieces in their order."""

    def peek(self) -> Piece | None:
        """Return the next piece; None if there is none."""

    def take(self, tokens: int) -> Piece:
        """Return the next `tokens` of the piece that `peek` shows, or all of it if it has fewer."""


class Sequence(NamedTuple):
    """What a sequence is made of.

    Attributes:
        pieces: in their order; together at most L tokens.
        following: begins with the token after the last one; None if there is none, or if it is not asked for.
    """

    pieces: tuple[Piece, ...]
    following: Piece | None

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return sum(piece.length for piece in self.pieces)

    def segments(self) -> list[list[Piece]]:
        """Return the pieces by document: those that go on with the one before them are together with it."""
        found: list[list[Piece]] = []
        for piece in self.pieces:
            if found and piece.follows(found[-1][-1]):
                found[-1].append(piece)
            else:
                found.append([piece])
        return found


class SequenceMaker(Protocol):
    """Makes sequences of a feed."""

    @property
    def waiting(self) -> list[Piece]:
        """Pieces taken from the feed and not put into a sequence, in the order of the feed."""

    def next(self) -> Sequence | None:
        """Return the next sequence; None if the feed has no more. The last one may be short."""


class Concatenated:
    """The stream of a feed's tokens, cut every L."""

    def __init__(self, feed: PieceFeed, length: int) -> None:
        """Cut `feed` into sequences of `length` tokens."""
        self._feed, self._length = feed, length
        self.waiting: list[Piece] = []

    def next(self) -> Sequence | None:
        """Return the next sequence."""
        pieces = []
        free = self._length
        while free and (piece := self._feed.peek()) is not None:
            pieces.append(self._feed.take(min(free, piece.length)))
            free -= pieces[-1].length
        return Sequence(tuple(pieces), self._feed.peek()) if pieces else None


class BestFit:
    """Documents packed into sequences of L tokens, whole if they fit."""

    def __init__(
        self, feed: PieceFeed, length: int, window: int, reach: int | None = None, waiting: Iterable[Piece] = ()
    ) -> None:
        """Pack.

        Args:
            feed: of the documents.
            length: L.
            window: documents that a gap is filled from.
            reach: tokens of the feed that a gap is filled from, at most. None is for the feed of one source: all in the
                window, which ends where an epoch does.
            waiting: of an earlier packer with the same settings.
        """
        self._feed, self._length, self._window, self._reach = feed, length, window, reach
        self.waiting = list(waiting)

    def next(self) -> Sequence | None:
        """Return the next sequence."""
        self._fill()
        pieces: list[Piece] = []
        free = self._length
        while self.waiting and self._head(self.waiting[0]) <= free:
            pieces.append(self._take(0))
            free -= pieces[-1].length
            if not self.waiting:
                self._fill()
        while free and (place := self._longest(free)) is not None:
            pieces.append(self._take(place))
            free -= pieces[-1].length
        return Sequence(tuple(pieces), None) if pieces else None

    def _fill(self) -> None:
        while len(self.waiting) < self._window and (piece := self._feed.peek()) is not None:
            if self._reach is None and self.waiting and piece.epoch > self.waiting[0].epoch:
                return
            self.waiting.append(self._feed.take(piece.length))

    def _head(self, piece: Piece) -> int:
        """Return how many tokens go first: all that fit, and of a longer document what is over after pieces of L."""
        return piece.length if piece.length <= self._length else piece.length % self._length or self._length

    def _take(self, place: int) -> Piece:
        piece = self.waiting[place]
        head = self._head(piece)
        if head == piece.length:
            return self.waiting.pop(place)
        taken, self.waiting[place] = piece.split(head)
        return taken

    def _longest(self, most: int) -> int | None:
        """Return the place of the longest head of at most `most` tokens, the first of equals; None if there is none."""
        found = []
        passed = 0
        for place, piece in enumerate(self.waiting):
            if self._reach is not None and passed > self._reach:
                break
            passed += piece.length
            head = self._head(piece)
            if head <= most:
                found.append((-head, place))
        return next((place for _, place in sorted(found) if self._may_go(place)), None)

    def _may_go(self, place: int) -> bool:
        """Whether nothing of an earlier epoch of its source, or of its own document, waits before it."""
        source, epoch, position = self.waiting[place][:3]
        return not any(
            other.source == source and (other.epoch < epoch or other.position == position)
            for other in self.waiting[:place]
        )
