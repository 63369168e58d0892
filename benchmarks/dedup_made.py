"""Made-up documents with known duplicates, any number of them: a document follows from its number and the seed alone.

Words are drawn from a made vocabulary, frequent ones more often, so that no two documents are alike by chance. One in
ten is an exact copy of another document, two in ten are near copies: the last words are others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dedup.minhash import mix

_VOCABULARY = 50_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
EXACT_SHARE, NEAR_SHARE = 0.1, 0.2
_NGRAM = 5
# Of a near copy at most so many 5-grams are others that its similarity is 0.78.
_LARGEST_CHANGE = (1 - 0.78) / (1 + 0.78)
_BATCH = 1000
ORIGINAL, EXACT, NEAR = 0, 1, 2

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class MadeDocuments:
    """Documents by number.

    Attributes:
        count: number of documents.
        shortest: fewest words of a document.
        longest: most words.
        seed: another one makes other documents.
    """

    count: int
    shortest: int
    longest: int
    seed: int = 1

    def kinds(self, numbers: Numbers) -> NDArray[np.int8]:
        """Return what each document is: an original, an exact copy or a near copy."""
        share = self._random(numbers, 0)
        kinds = np.full(len(numbers), ORIGINAL, dtype=np.int8)
        kinds[share < EXACT_SHARE + NEAR_SHARE] = NEAR
        kinds[share < EXACT_SHARE] = EXACT
        return kinds

    def origins(self, numbers: Numbers) -> Numbers:
        """Return the original of each document; of an original, itself."""
        copies = np.flatnonzero(self.kinds(numbers) != ORIGINAL)
        origins = numbers.copy()
        origins[copies] = (self._random(numbers[copies], 1) * self.count).astype(np.int64)
        for _ in range(self.count):
            lost = copies[self.kinds(origins[copies]) != ORIGINAL]
            if not len(lost):
                return origins
            origins[lost] = (origins[lost] + 1) % self.count
        raise ValueError("there is no original among the documents")

    def similarities(self, numbers: Numbers) -> NDArray[np.float64]:
        """Return the Jaccard similarity of 5-grams between each document and its original."""
        shingles = self._lengths(self.origins(numbers)) - _NGRAM + 1
        changed = np.where(self.kinds(numbers) == NEAR, self._changes(numbers, shingles), 0)
        return (shingles - changed) / (shingles + changed)

    def texts(self, numbers: Numbers) -> Iterator[str]:
        """Yield the texts of documents."""
        for start in range(0, len(numbers), _BATCH):
            yield from self._batch(numbers[start : start + _BATCH])

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield all documents with their numbers as names."""
        numbers = np.arange(self.count)
        yield from zip(map(str, range(self.count)), self.texts(numbers), strict=True)

    def _batch(self, numbers: Numbers) -> Iterator[str]:
        origins = self.origins(numbers)
        lengths = self._lengths(origins)
        changed = np.where(self.kinds(numbers) == NEAR, self._changes(numbers, lengths - _NGRAM + 1), 0)
        ends = np.cumsum(lengths)
        place = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        own = place >= np.repeat(lengths - changed, lengths)
        source = np.where(own, np.repeat(numbers, lengths) + self.count, np.repeat(origins, lengths))
        # The fourth power makes frequent words: the first of them is one in fifteen.
        words = self._words[(self._random(source, 1000 + place) ** 4 * _VOCABULARY).astype(np.int64)].tolist()
        for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True):
            yield " ".join(words[start:end])

    def _lengths(self, origins: Numbers) -> Numbers:
        return self.shortest + (self._random(origins, 2) * (self.longest - self.shortest + 1)).astype(np.int64)

    def _changes(self, numbers: Numbers, shingles: Numbers) -> Numbers:
        most = np.maximum(1, (shingles * _LARGEST_CHANGE).astype(np.int64))
        return 1 + (self._random(numbers, 3) * most).astype(np.int64)

    def _random(self, numbers: Numbers, purpose: int | Numbers) -> NDArray[np.float64]:
        """Return a number from 0 to 1 for each document and purpose."""
        salt = mix(np.atleast_1d(np.asarray(purpose, dtype=np.uint64)) + np.uint64(self.seed << 32))
        return (mix(mix(numbers.astype(np.uint64)) ^ salt) >> np.uint64(11)).astype(np.float64) / (1 << 53)

    @cached_property
    def _words(self) -> NDArray[np.object_]:
        generator = np.random.default_rng(self.seed)
        lengths = generator.integers(2, 10, _VOCABULARY)
        letters = generator.integers(0, len(_LETTERS), (_VOCABULARY, 10))
        return np.array(
            [
                "".join(_LETTERS[letter] for letter in own[:length])
                for own, length in zip(letters, lengths, strict=True)
            ],
            dtype=object,
        )
