"""What a stream reads: documents as tokens, from token shards or from anything else.

Shape legend: N = documents of the source, P = documents that are asked for.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixing.stream.shuffle import Numbers


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
