"""Documents in memory, or made up on the fly, for tests of token streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mixing.stream.cursor import Piece
from mixing.stream.shuffle import Numbers
from mixing.stream.stream import TokenStream


@dataclass(frozen=True)
class MadeDocuments:
    """Documents of given lengths whose tokens tell what they are: `1_000_000 * number + place`."""

    name: str
    of_lengths: tuple[int, ...]
    identity: str = "made"

    @property
    def documents(self) -> int:
        return len(self.of_lengths)

    def lengths(self, numbers: Numbers) -> NDArray[np.int64]:
        return np.array(self.of_lengths, dtype=np.int64)[numbers]

    def tokens(self, number: int, start: int, length: int) -> NDArray[np.int64]:
        assert 0 <= start <= start + length <= self.of_lengths[number]
        return 1_000_000 * number + np.arange(start, start + length)


def pieces_of(stream: TokenStream, batches: int) -> list[list[Piece]]:
    """Return what the sequences of the next batches are made of; fewer where the stream ends."""
    found = []
    for batch in islice(stream, batches):
        found += [list(sequence.pieces) for sequence in batch.sequences]
    return found


def shares_of(pieces: Sequence[Piece], sources: int) -> NDArray[np.int64]:
    """Return the tokens of each source up to each piece's end, shape (pieces + 1, sources)."""
    counts = np.zeros((len(pieces) + 1, sources), dtype=np.int64)
    for place, piece in enumerate(pieces):
        counts[place + 1, piece.source] = piece.length
    return counts.cumsum(axis=0)
