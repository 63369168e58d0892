"""Embeddings without a model: hashed counts of character n-grams.

They know spelling, not meaning: texts are similar that share most of their words, in whatever order, inflected or
misspelt; a paraphrase in other words is not found. The hashing trick is that of Weinberger et al. 2009; every n-gram
counts 1 + log(how often), so that no frequent one decides alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.minhash import mix

_STEP = np.uint64(0x9E3779B97F4A7C15)


class HashedEncoder:
    """Counts n-grams of 3 to 5 characters in numbers that they are hashed to, half of them with a minus."""

    def __init__(self, width: int = 512, lengths: tuple[int, ...] = (3, 4, 5)) -> None:
        """Make embeddings of so many numbers from n-grams of some lengths."""
        self._width, self._lengths = width, lengths

    def encode(self, texts: list[str]) -> NDArray[np.floating]:
        """Return the embeddings of some texts, shape (N, D); case and the amount of white space do not count."""
        embeddings = np.zeros((len(texts), self._width))
        for embedding, text in zip(embeddings, texts, strict=True):
            grams, counts = np.unique(self._ngrams(text), return_counts=True)
            signs = np.where(grams >> np.uint64(63), -1.0, 1.0)
            places = (grams % np.uint64(self._width)).astype(np.int64)
            embedding += np.bincount(places, signs * (1 + np.log(counts)), minlength=self._width)
        return embeddings

    def _ngrams(self, text: str) -> NDArray[np.uint64]:
        plain = f" {' '.join(text.lower().split())} "
        points = mix(np.frombuffer(plain.encode("utf-32-le", "replace"), dtype="<u4").astype(np.uint64))
        found, grams, length = [], points, 1
        for wanted in self._lengths:
            while length < wanted:
                grams = grams[:-1] * _STEP + points[length:]
                length += 1
            found.append(mix(grams))
        return np.concatenate(found)


def hashed_encoder() -> HashedEncoder:
    """Return the encoder, as `SemanticConfig.encoder` names it."""
    return HashedEncoder()
