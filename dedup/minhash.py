"""MinHash signatures and LSH bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3).

Shape legend: N = documents, W = their words, S = shingles, P = permutations = bands x rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from configs.load import StrictModel

# FineWeb (Penedo et al. 2024, section 3.4): 5-grams, 112 hashes in 14 bands of 8. RefinedWeb (Penedo et al. 2023,
# appendix G.3) follows Lee et al. (2022): 9,000 hashes of 5-grams, as 450 bands of 20, and duplicates from 0.8 on.
PRESETS: Mapping[str, Mapping[str, int | float]] = MappingProxyType(
    {
        "fineweb": {"bands": 14, "rows": 8, "ngram": 5, "min_similarity": 0.75},
        "refinedweb": {"bands": 450, "rows": 20, "ngram": 5, "min_similarity": 0.8},
    }
)


class MinHashConfig(StrictModel):
    """MinHash deduplication.

    Attributes:
        preset: where the values come from that are not named: `fineweb` or `refinedweb`.
        bands: number of LSH bands.
        rows: hashes per band.
        ngram: words per shingle; letters, in languages without spaces between words.
        min_similarity: Jaccard similarity of two documents' shingle sets at which one of them is dropped.
        seed: of the permutations.
        partitions: files that the bands are shuffled through; None takes one per four million band keys.
        max_leaders: documents that every document of a band's bucket is compared with at most.
        max_cluster: documents from which on a cluster is giant and raises an alarm; None for no limit.
        giant_min_similarity: similarity that counts inside a giant cluster instead of `min_similarity`.
    """

    preset: Literal["fineweb", "refinedweb"] = "fineweb"
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    ngram: int = Field(default=5, ge=1)
    min_similarity: float = Field(default=0.75, ge=0, le=1)
    seed: int = Field(default=1, ge=0, lt=1 << 32)
    partitions: int | None = Field(default=None, ge=1)
    max_leaders: int = Field(default=50, ge=1)
    max_cluster: int | None = Field(default=10_000, ge=2)
    giant_min_similarity: float = Field(default=0.8, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        return {**PRESETS.get(str(data.get("preset", "fineweb")), {}), **data}

    @cached_property
    def permutations(self) -> int:
        """P, the number of hashes in a signature."""
        return self.bands * self.rows


# A permutation is applied to so many shingles at a time that they stay in the processor's cache.
_CHUNK = 1 << 14
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.iinfo(np.uint64).max


def shingles_of_texts(
    words: NDArray[np.uint64], borders: NDArray[np.int64], ngram: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the 64-bit hashes of all word n-grams of several documents, in the order of the text.

    A document of fewer words than `ngram` is one shingle; one without words has none.

    Args:
        words: hashes of the documents' words, shape (W,).
        borders: document n has the words [borders[n], borders[n + 1]), shape (N + 1,).
        ngram: words per shingle.

    Returns:
        Shingles, shape (S,), repeated ones included, and their borders, shape (N + 1,).
    """
    lengths = np.diff(borders)
    counts = np.where(lengths >= ngram, lengths - ngram + 1, np.minimum(lengths, 1))
    shingle_borders = np.zeros(len(borders), dtype=np.int64)
    np.cumsum(counts, out=shingle_borders[1:])
    mixed = mix(words)
    # Position in `words` of the first word of each shingle.
    first = np.repeat(borders[:-1] - shingle_borders[:-1], counts) + np.arange(shingle_borders[-1])
    shingles = np.zeros(len(first), dtype=np.uint64)
    short = np.flatnonzero((lengths > 0) & (lengths < ngram))
    for position in range(ngram):
        shingles *= _SPREAD
        shingles += mixed[np.minimum(first + position, max(0, len(mixed) - 1))]
    for number in short.tolist():
        value = 0
        for word in mixed[borders[number] : borders[number + 1]].tolist():
            value = (value * int(_SPREAD) + word) & _EMPTY
        shingles[shingle_borders[number]] = value
    return mix(shingles), shingle_borders


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a bijective mix of 64-bit values (the finaliser of MurmurHash3, Appleby 2011)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


class MinHasher:
    """Computes signatures with a fixed family of P hash functions.

    They are those of datasketch 2 with `scheme="affine64"`: h(x) = a * mix(x) + b modulo 2**64, a odd. So
    `datasketch.MinHash(scheme="affine64", seed=seed, hashvalues=signature)` reads a signature, and computes the same
    one from the same shingles.
    """

    def __init__(self, config: MinHashConfig) -> None:
        """Draw the hash functions from the seed."""
        self._bands, self._rows = config.bands, config.rows
        generator = np.random.RandomState(config.seed)
        count = config.permutations
        self._factors = generator.randint(0, 1 << 63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._offsets = generator.randint(0, 1 << 64, count, dtype=np.uint64)

    def signature(self, shingles: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the signature of one document, shape (P,)."""
        own: NDArray[np.uint64] = self.signatures(shingles, np.array([0, len(shingles)]))[0]
        return own

    def signatures(self, shingles: NDArray[np.uint64], borders: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the smallest hash of each document's shingles under each function, shape (N, P).

        Args:
            shingles: of all documents, repeated ones do no harm, shape (S,).
            borders: document n has the shingles [borders[n], borders[n + 1]), shape (N + 1,).

        The signature of a document without shingles is the largest value throughout.
        """
        result = np.full((len(self._factors), len(borders) - 1), _EMPTY, dtype=np.uint64)
        filled = np.flatnonzero(np.diff(borders))
        mixed = mix(shingles)
        start = 0
        while start < len(filled):
            limit = borders[filled[start]] + _CHUNK
            end = max(start + 1, int(np.searchsorted(borders[filled + 1], limit, side="right")))
            own = filled[start:end]
            self._smallest(mixed, borders, own, result)
            start = end
        return np.ascontiguousarray(result.T)

    def _smallest(
        self,
        mixed: NDArray[np.uint64],
        borders: NDArray[np.int64],
        documents: NDArray[np.int64],
        result: NDArray[np.uint64],
    ) -> None:
        """Fill in the columns of some documents, none of them empty."""
        first, last = int(borders[documents[0]]), int(borders[documents[-1] + 1])
        chunk = mixed[first:last]
        starts = borders[documents] - first
        hashes = np.empty_like(chunk)
        for number, (factor, offset) in enumerate(zip(self._factors, self._offsets, strict=True)):
            np.multiply(chunk, factor, out=hashes)
            np.add(hashes, offset, out=hashes)
            result[number, documents] = np.minimum.reduceat(hashes, starts)

    def band_keys(self, signatures: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return one 64-bit key for each band, shape (N, bands); of a single signature, shape (bands,).

        Equal rows of a band give equal keys.
        """
        rows = signatures.reshape(*signatures.shape[:-1], self._bands, self._rows)
        # The number of the band goes into the key: equal rows of different bands must not meet.
        keys = np.broadcast_to(np.arange(self._bands, dtype=np.uint64), rows.shape[:-1])
        for row in range(self._rows):
            keys = mix(keys ^ rows[..., row]) + np.uint64(row + 1)
        return mix(keys)


def jaccard(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """Return the Jaccard similarity of two sets of shingles, each without repeated ones; of two empty sets it is 0."""
    together = np.concatenate((first, second))
    together.sort()
    common = int(np.count_nonzero(together[1:] == together[:-1]))
    return common / max(1, len(together) - common)
