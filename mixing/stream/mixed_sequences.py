"""Sequences of a mixture, in the one order that all ranks share.

`BySequence` draws whole sequences: each source makes its own, and the blend says which source is next. For sequences
that are cut, without padding, that is Megatron-LM's blend. `ByPiece` draws pieces: the blend says which source the next
piece of at most P tokens is from, and pieces of all sources go into a sequence together, so that shares hold in much
shorter windows than of many sequences.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Protocol

from mixing.stream.blend import Blend, TokenBlend
from mixing.stream.cursor import DocumentFeed, Piece
from mixing.stream.sequences import BestFit, Concatenated, Sequence, SequenceMaker


class MixedSequences(Protocol):
    """Makes the sequences of a mixture."""

    def next(self) -> Sequence | None:
        """Return the next sequence; None when a source that is to be drawn has no more documents."""

    @property
    def taken(self) -> list[int]:
        """What the blend counted of each source."""

    @property
    def waiting(self) -> list[Piece]:
        """Pieces that were counted and are in no sequence yet, in the order they were drawn in."""

    @property
    def packed_apart(self) -> list[Piece]:
        """Pieces that were taken from their sources, not counted, and are in no sequence yet."""


class BySequence:
    """Each source makes sequences of its own."""

    def __init__(self, makers: Many[SequenceMaker], blend: Blend) -> None:
        """Draw from `makers`, one a source, as `blend` says."""
        self._makers, self._blend = makers, blend
        self.waiting: list[Piece] = []

    def next(self) -> Sequence | None:
        """Return the next sequence."""
        source = self._blend.choose()
        sequence = self._makers[source].next()
        if sequence is not None:
            self._blend.add(source, sequence.tokens)
        return sequence

    @property
    def taken(self) -> list[int]:
        """What the blend counted of each source."""
        return [int(count) for count in self._blend.taken]

    @property
    def packed_apart(self) -> list[Piece]:
        """What waits in the sources' own packers."""
        return [piece for maker in self._makers for piece in maker.waiting]


class PieceBlend:
    """Pieces of all sources in one feed: the next one is from the source that is furthest behind."""

    def __init__(self, feeds: Many[DocumentFeed], blend: TokenBlend, longest: int, first: Piece | None = None) -> None:
        """Draw from `feeds`, one a source, pieces of at most `longest` tokens; `first` was drawn and counted before."""
        self._feeds, self.blend, self._longest = feeds, blend, longest
        self.drawn = first

    def peek(self) -> Piece | None:
        """Return the next piece; None if the source that it is to be from has no more documents."""
        if self.drawn is None:
            source = self.blend.choose()
            rest = self._feeds[source].peek()
            if rest is None:
                return None
            # A document is cut into equal pieces: a short one at its end would have little to be understood from.
            pieces = -(-rest.length // self._longest)
            self.drawn = self._feeds[source].take(-(-rest.length // pieces))
            self.blend.add(source, self.drawn.length)
        return self.drawn

    def take(self, tokens: int) -> Piece:
        """Return the next `tokens` of the piece that `peek` shows, or all of it if it has fewer."""
        piece, self.drawn = self.drawn, None
        assert piece is not None, "take comes after peek"
        if tokens < piece.length:
            piece, self.drawn = piece.split(tokens)
        return piece


class ByPiece:
    """Pieces of all sources go into sequences together."""

    def __init__(self, feed: PieceBlend, maker: Concatenated | BestFit) -> None:
        """Make sequences of `feed` with `maker`."""
        self._feed, self._maker = feed, maker
        self.packed_apart: list[Piece] = []

    def next(self) -> Sequence | None:
        """Return the next sequence."""
        return self._maker.next()

    @property
    def taken(self) -> list[int]:
        """What the blend counted of each source."""
        return [int(count) for count in self._feed.blend.taken]

    @property
    def waiting(self) -> list[Piece]:
        """What was drawn and is in no sequence yet."""
        return [*self._maker.waiting, *([self._feed.drawn] if self._feed.drawn else [])]
