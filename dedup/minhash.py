"""MinHash signatures and LSH bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3).

Shape legend: S = shingles of a document, P = permutations = bands x rows.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from configs.load import StrictModel


class MinHashConfig(StrictModel):
    """MinHash deduplication.

    The defaults are FineWeb's: 5-grams, 14 bands of 8 rows, so that a pair of Jaccard similarity 0.75 meets in some
    band with probability 0.77, one of 0.85 with 0.99.

    Attributes:
        bands: number of LSH bands.
        rows: hashes per band.
        ngram: words per shingle.
        min_similarity: Jaccard similarity of two documents' shingle sets at which one of them is dropped.
        seed: of the permutations.
        partitions: files that the bands are shuffled through; None takes one per 100,000 documents.
        max_leaders: documents that every document of a band's bucket is compared with at most.
    """

    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    ngram: int = Field(default=5, ge=1)
    min_similarity: float = Field(default=0.75, ge=0, le=1)
    seed: int = 1
    partitions: int | None = Field(default=None, ge=1)
    max_leaders: int = Field(default=50, ge=1)

    @cached_property
    def permutations(self) -> int:
        """P, the number of hashes in a signature."""
        return self.bands * self.rows


# A block of permutations is computed at a time, so that the P x S matrix stays in the processor's cache.
_BLOCK = 16


def shingle_hashes(words: list[str], ngram: int) -> NDArray[np.uint64]:
    """Return the distinct 64-bit hashes of a document's word n-grams, sorted, shape (S,).

    A document of fewer words than `ngram` is one shingle; an empty one has none.
    """
    if not words:
        return np.zeros(0, dtype=np.uint64)
    cache: dict[str, int] = {}
    for word in words:
        if word not in cache:
            cache[word] = xxhash.xxh3_64_intdigest(word)
    hashes = np.fromiter((cache[word] for word in words), dtype=np.uint64, count=len(words))
    n = min(ngram, len(words))
    count = len(words) - n + 1
    shingles = np.zeros(count, dtype=np.uint64)
    for position in range(n):
        shingles = mix(shingles ^ hashes[position : position + count])
    return np.unique(shingles)


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a bijective mix of 64-bit values (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class MinHasher:
    """Computes signatures with a fixed family of P hash functions."""

    def __init__(self, config: MinHashConfig) -> None:
        """Draw the hash functions h(x) = (a * x + b) mod 2**64, its upper half, with odd a, from the seed."""
        self._bands, self._rows = config.bands, config.rows
        generator = np.random.Generator(np.random.PCG64(config.seed))
        limit = np.iinfo(np.uint64).max
        factors = generator.integers(0, limit, (2, config.permutations), dtype=np.uint64, endpoint=True)
        self._multipliers = factors[0] | np.uint64(1)
        self._offsets = factors[1]

    def signature(self, shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Return the smallest hash of the shingles under each function, shape (P,).

        Multiply-shift (Dietzfelbinger et al. 1997) on mixed 64-bit shingles: its upper 32 bits behave as a random
        permutation does, without a modulus by a prime.
        """
        if not len(shingles):
            return np.full(len(self._offsets), np.iinfo(np.uint32).max, dtype=np.uint32)
        smallest = [
            (shingles * multipliers[:, None] + offsets[:, None]).min(axis=1)
            for multipliers, offsets in zip(
                np.split(self._multipliers, range(_BLOCK, len(self._multipliers), _BLOCK)),
                np.split(self._offsets, range(_BLOCK, len(self._offsets), _BLOCK)),
                strict=True,
            )
        ]
        return (np.concatenate(smallest) >> np.uint64(32)).astype(np.uint32)

    def band_keys(self, signature: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """Return one 64-bit key for each band, shape (bands,). Equal rows of a band give equal keys."""
        rows = signature.reshape(self._bands, self._rows).astype(np.uint64)
        # The number of the band goes into the key: equal rows of different bands must not meet.
        keys = np.arange(self._bands, dtype=np.uint64)
        for row in range(self._rows):
            keys = mix(keys ^ rows[:, row]) + np.uint64(row + 1)
        return mix(keys)


def jaccard(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """Return the Jaccard similarity of two sets of shingles, each sorted and distinct; of two empty sets it is 0."""
    if not len(first) or not len(second):
        return 0.0
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)
