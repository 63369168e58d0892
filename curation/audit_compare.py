"""Every document of the sample with every other one that took part in `minhash`: which similar pairs it missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.audit_parts import AuditPart, members, read_texts
from curation.audit_sample import Drawn, Place, ShingleSets, distinct_shingles
from dedup.brute_force import InvertedIndex
from dedup.minhash import MinHashConfig, mix
from dedup.s_curve import probabilities
from filters.words import Segmentation

# So much below `min_similarity` a pair is a near miss.
NEAR = 0.1
_BAND = 0.05
# Shingles of the sample that are in memory at a time; another pass over the texts for each so many.
_INDEXED = 1 << 23
# Documents that are compared at a time, and the shingles from which on fewer are.
_DOCUMENTS, _SHINGLES = 256, 1 << 20

# Told how many parts are done, and of how many.
Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """A document of the sample, another one, and their similarity."""

    sampled: Drawn
    other: Place
    similarity: float


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some documents of a part: rows, ids, verdicts, and shingles with the borders of each document's."""

    part: int
    rows: NDArray[np.int64]
    ids: list[str]
    dropped: NDArray[np.bool_]
    shingles: NDArray[np.uint64]
    borders: NDArray[np.int64]


class _Kept:
    """The pairs of smallest value; ties are broken by a hash of the two documents."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._columns = np.zeros((5, 0))
        self._ties = np.zeros(0, dtype=np.uint64)

    def add(self, values: NDArray[np.float64], ties: NDArray[np.uint64], *columns: NDArray[np.generic]) -> None:
        """Consider pairs: number of the sampled document, part and row of the other one, similarity."""
        self._columns = np.concatenate([self._columns, np.vstack([values, *columns]).astype(np.float64)], axis=1)
        self._ties = np.concatenate([self._ties, ties])
        order = np.lexsort((self._ties, self._columns[0]))[: self._limit]
        self._columns, self._ties = self._columns[:, order], self._ties[order]

    def pairs(self, sample: Sequence[Drawn]) -> list[Pair]:
        """Return the pairs, the smallest value first."""
        return [
            Pair(sample[int(number)], (int(part), int(row)), similarity)
            for _, number, part, row, similarity in self._columns.T.tolist()
        ]


@dataclass(slots=True)
class Comparison:
    """What was counted.

    Attributes:
        borders: of the bands of similarity, the last band with its end, shape (B + 1,).
        found: pairs of each band of which `minhash` dropped at least one document, shape (B,).
        missed: the other pairs, shape (B,).
        expected: sums of the S-curve's probabilities over all pairs, shape (B,).
        partnered: documents of the sample that are similar to another one.
        alone: those of them that none of the pairs missed.
        missed_pairs: some pairs that were missed, drawn by hash.
        near_pairs: some pairs just below `min_similarity` of which both documents stayed, the nearest first.
    """

    borders: NDArray[np.float64]
    found: NDArray[np.int64] = field(init=False)
    missed: NDArray[np.int64] = field(init=False)
    expected: NDArray[np.float64] = field(init=False)
    partnered: int = 0
    alone: int = 0
    missed_pairs: list[Pair] = field(default_factory=list)
    near_pairs: list[Pair] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start from nothing."""
        bands = len(self.borders) - 1
        self.found, self.missed = np.zeros(bands, dtype=np.int64), np.zeros(bands, dtype=np.int64)
        self.expected = np.zeros(bands)


def band_borders(minimum: float) -> NDArray[np.float64]:
    """Return the borders of the bands of similarity: the minimum, then the multiples of 0.05 up to 1."""
    steps = np.arange(1, round(1 / _BAND) + 1) * _BAND
    return np.concatenate([[min(minimum, 1.0 - _BAND)], steps[steps > min(minimum, 1.0 - _BAND) + 1e-9]]).round(12)


class Comparer:
    """Compares a sample with all documents."""

    def __init__(
        self,
        parts: Sequence[AuditPart],
        sample: Sequence[Drawn],
        segmentations: Mapping[str, Segmentation],
        config: MinHashConfig,
        shown: int,
    ) -> None:
        """Prepare; nothing is read.

        Args:
            parts: of the job.
            sample: documents of the sample.
            segmentations: how words are found, by language.
            config: MinHash settings of the job.
            shown: most pairs of each kind that are kept.
        """
        self._parts, self._sample = parts, sample
        self._segmentations, self._config = segmentations, config
        self._number = {own.place: number for number, own in enumerate(sample)}
        self._orders = np.array([own.order for own in sample], dtype=np.uint64)
        self._dropped = np.array([own.dropped for own in sample], dtype=np.bool_)
        self._similar, self._remain = (np.zeros(len(sample), dtype=np.bool_) for _ in range(2))
        self._result = Comparison(band_borders(config.min_similarity))
        self._missed, self._near = _Kept(shown), _Kept(shown)

    def compare(self, sets: ShingleSets, watch: Watch) -> Comparison:
        """Return what was counted.

        Args:
            sets: shingles of the documents of the sample.
            watch: told of every part that is done.
        """
        groups = list(self._groups(sets))
        for turn, (first, last) in enumerate(groups):
            index = InvertedIndex([sets.get(own.place) for own in self._sample[first:last]])
            for number in range(len(self._parts)):
                for batch in self._batches(number):
                    self._count(batch, index.similarities(batch.shingles, batch.borders), first)
                watch(turn * len(self._parts) + number + 1, len(groups) * len(self._parts))
        self._result.partnered = int(self._similar.sum())
        self._result.alone = int((self._similar & ~self._remain).sum())
        self._result.missed_pairs = self._missed.pairs(self._sample)
        self._result.near_pairs = self._near.pairs(self._sample)
        return self._result

    def _groups(self, sets: ShingleSets) -> Iterator[tuple[int, int]]:
        """Yield ranges of the sample whose shingles go into one index."""
        start = size = 0
        for number, own in enumerate(self._sample):
            if number > start and size + sets.size(own.place) > _INDEXED:
                yield start, number
                start, size = number, 0
            size += sets.size(own.place)
        if start < len(self._sample):
            yield start, len(self._sample)

    def _batches(self, number: int) -> Iterator[_Batch]:
        """Yield the documents of a part that took part in `minhash`."""
        own = members(self._parts[number])
        start, sets, size = 0, list[NDArray[np.uint64]](), 0
        for end, text in enumerate(read_texts(self._parts[number], own.rows), 1):
            sets.append(distinct_shingles(text, self._segmentations, self._config.ngram))
            size += len(sets[-1])
            if size >= _SHINGLES or len(sets) == _DOCUMENTS or end == len(own.rows):
                borders = np.cumsum([0, *map(len, sets)])
                columns = own.rows[start:end], own.ids[start:end], own.dropped[start:end]
                yield _Batch(number, *columns, np.concatenate(sets), borders)
                start, sets, size = end, [], 0

    def _count(self, batch: _Batch, similarity: NDArray[np.float64], first: int) -> None:
        """Count the pairs of some documents with those of the sample from `first` on; the shape is (D, Q)."""
        minimum = self._config.min_similarity
        document, sampled = np.nonzero(similarity >= max(minimum - NEAR, np.finfo(np.float64).tiny))
        values, sampled = similarity[document, sampled], sampled + first
        places = zip(repeat(batch.part), batch.rows.tolist(), strict=False)
        numbers = np.array([self._number.get(place, -1) for place in places], dtype=np.int64)
        apart = numbers[document] != sampled
        document, sampled, values = document[apart], sampled[apart], values[apart]
        if not len(values):
            return
        similar, found = values >= minimum, batch.dropped[document] | self._dropped[sampled]
        self._similar[sampled[similar]] = True
        self._remain[sampled[similar & ~found]] = True
        # Two documents of the sample meet twice.
        once = numbers[document] < sampled
        self._add(values[similar & once], found[similar & once])
        stayed = np.flatnonzero(once & ~found)
        hashes = [xxhash.xxh3_64_intdigest(batch.ids[number]) for number in document[stayed].tolist()]
        ties = mix(np.array(hashes, dtype=np.uint64) ^ mix(self._orders[sampled[stayed]]))
        columns = sampled[stayed], np.full(len(stayed), batch.part), batch.rows[document[stayed]], values[stayed]
        for kept, own, rank in (
            (self._missed, similar[stayed], np.zeros(len(stayed))),
            (self._near, ~similar[stayed], minimum - values[stayed]),
        ):
            kept.add(rank[own], ties[own], *(column[own] for column in columns))

    def _add(self, similarity: NDArray[np.float64], found: NDArray[np.bool_]) -> None:
        result, bands = self._result, len(self._result.borders) - 1
        band = np.clip(np.searchsorted(result.borders, similarity, side="right") - 1, 0, bands - 1)
        result.found += np.bincount(band[found], minlength=bands)
        result.missed += np.bincount(band[~found], minlength=bands)
        chances = probabilities(similarity, self._config.bands, self._config.rows)
        result.expected += np.bincount(band, chances, bands)
