"""What a trainer gets: tokens of sequences, and where documents begin in them.

Shape legend: B = sequences of the batch, L = tokens of a sequence, D = documents in a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixing.stream.document_source import DocumentSource
from mixing.stream.sequences import Sequence

# PyTorch's losses leave out targets of this value.
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of one rank.

    Attributes:
        tokens: int64, shape (B, L + 1) where documents are concatenated, the last one being a target only; (B, L) where
            they are packed. What is not used is padding.
        boundaries: of each sequence, int32, shape (D + 1,): where documents, or parts of them, begin, and L: the
            cumulative lengths that attention kernels take. Padding is the last part, if there is any.
        length: L.
        sequences: what each one is made of.
    """

    tokens: NDArray[np.int64]
    boundaries: tuple[NDArray[np.int32], ...]
    length: int
    sequences: tuple[Sequence, ...]

    def inputs(self) -> NDArray[np.int64]:
        """Return what the model reads, shape (B, L)."""
        return self.tokens[:, : self.length]

    def targets(self, across_documents: bool = False) -> NDArray[np.int64]:
        """Return the token after each one, shape (B, L); IGNORED where there is none.

        Args:
            across_documents: the last token of a document has a target, too: the first one of the next document in the
                sequence, or after it, as in Megatron-LM without `--eod-mask-loss`.
        """
        targets = np.full((len(self.tokens), self.length), IGNORED, dtype=np.int64)
        targets[:, : self.tokens.shape[1] - 1] = self.tokens[:, 1:]
        for row, (sequence, boundaries) in enumerate(zip(self.sequences, self.boundaries, strict=True)):
            used = sequence.tokens
            after = sequence.following
            if after is None or not (across_documents or after.follows(sequence.pieces[-1])):
                targets[row, used - 1 :] = IGNORED
            if not across_documents:
                inner = boundaries[1:-1]
                targets[row, inner - 1] = IGNORED
        return targets

    def positions(self) -> NDArray[np.int64]:
        """Return each token's place in its part, from 0, shape (B, L)."""
        places = np.tile(np.arange(self.length), (len(self.tokens), 1))
        for row, boundaries in enumerate(self.boundaries):
            places[row] -= np.repeat(boundaries[:-1], np.diff(boundaries))
        return places


def make_batch(
    sequences: Many[Sequence], sources: Many[DocumentSource], length: int, with_next: bool, padding: int
) -> Batch:
    """Return the tokens of sequences.

    Args:
        sequences: B.
        sources: by the numbers in the pieces.
        length: L.
        with_next: whether there is a column for the token after each sequence.
        padding: token that fills what is not used.
    """
    tokens = np.full((len(sequences), length + with_next), padding, dtype=np.int64)
    boundaries = []
    for row, sequence in zip(tokens, sequences, strict=True):
        begins = [0]
        for segment in sequence.segments():
            first, count = segment[0], sum(piece.length for piece in segment)
            end = begins[-1] + count
            row[begins[-1] : end] = sources[first.source].tokens(first.document, first.start, count)
            begins.append(end)
        after = sequence.following
        if with_next and after is not None:
            row[begins[-1]] = sources[after.source].tokens(after.document, after.start, 1)[0]
        if begins[-1] < length:
            begins.append(length)
        boundaries.append(np.array(begins, dtype=np.int32))
    return Batch(tokens, tuple(boundaries), length, tuple(sequences))
