"""What an audit looks at: documents drawn by the hash of their id, and their shingles, aside on the disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from curation.audit_parts import AuditPart, Text, document_ids, members, read_texts
from dedup.minhash import shingles_of_texts
from filters.words import Segmentation, shingle_units, words_of_texts

# Number of the part among those of the audit, and row in it.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A document of the sample.

    Attributes:
        order: hash of its id.
        id: of the document.
        place: where it is.
        dropped: whether `minhash` dropped it.
        duplicate_of: id of the document that it was dropped for, or None.
        similarity: of these two as the ledger tells it, or not a number.
    """

    order: int
    id: str
    place: Place
    dropped: bool
    duplicate_of: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn.

    Attributes:
        population: documents that took part in `minhash`, without those of a corpus that stood already.
        base: documents of that corpus.
        dropped: documents of the population that `minhash` dropped.
        compared: documents drawn of the population.
        checked: documents drawn of the dropped ones.
    """

    population: int
    base: int
    dropped: int
    compared: list[Drawn]
    checked: list[Drawn]


def draw(parts: Sequence[AuditPart], count: int) -> Sample:
    """Return the `count` documents of smallest hash, of the population and of those that `minhash` dropped."""
    population = base = dropped = 0
    compared: list[Drawn] = []
    checked: list[Drawn] = []
    for number, part in enumerate(parts):
        own = members(part)
        if part.base:
            base += len(own.ids)
            continue
        population += len(own.ids)
        dropped += int(own.dropped.sum())
        columns = zip(
            own.ids, own.rows.tolist(), own.dropped.tolist(), own.duplicate_of, own.similarity.tolist(), strict=True
        )
        drawn = [
            Drawn(xxhash.xxh3_64_intdigest(identifier), identifier, (number, row), gone, of, similarity)
            for identifier, row, gone, of, similarity in columns
        ]
        compared = _smallest([*compared, *drawn], count)
        checked = _smallest([*checked, *(own for own in drawn if own.dropped)], count)
    return Sample(population, base, dropped, compared, checked)


def _smallest(drawn: list[Drawn], count: int) -> list[Drawn]:
    return sorted(drawn, key=lambda own: (own.order, own.id))[:count]


def locate(parts: Sequence[AuditPart], ids: set[str]) -> dict[str, Place]:
    """Return where documents are; one that is in no part is left out.

    An input that was read by an earlier job, too, has its documents in the corpus that stood already as well: these are
    what the new ones are dropped for.
    """
    wanted = pa.array(sorted(ids), pa.string())
    found: dict[str, Place] = {}
    for number, part in enumerate(parts):
        stored = document_ids(part)
        rows = np.flatnonzero(pc.is_in(stored, value_set=wanted).to_numpy())
        for row, identifier in zip(rows.tolist(), stored.take(pa.array(rows)).to_pylist(), strict=True):
            found[identifier] = number, row
    return found


def texts_at(parts: Sequence[AuditPart], places: set[Place]) -> Iterator[tuple[Place, Text]]:
    """Yield the documents at some places, part by part."""
    rows = defaultdict(list)
    for number, row in sorted(places):
        rows[number].append(row)
    for number, own in rows.items():
        for text in read_texts(parts[number], np.array(own, dtype=np.int64)):
            yield (number, text.row), text


def distinct_shingles(text: Text, segmentations: Mapping[str, Segmentation], ngram: int) -> NDArray[np.uint64]:
    """Return the set of a document's shingles, sorted: those that its signature is made of."""
    words = words_of_texts([text.text], shingle_units(segmentations[text.language]))
    return np.unique(shingles_of_texts(*words, ngram)[0])


class ShingleSets:
    """Sets of shingles of documents, in a file: memory holds those that are in use."""

    def __init__(self, file: BinaryIO) -> None:
        """Prepare; the file is empty."""
        self._file = file
        self._ranges: dict[Place, tuple[int, int]] = {}
        self._count = 0

    def add(self, place: Place, shingles: NDArray[np.uint64]) -> None:
        """Store the set of the document at a place."""
        self._file.write(shingles.tobytes())
        self._ranges[place] = self._count, len(shingles)
        self._count += len(shingles)

    def size(self, place: Place) -> int:
        """Return the number of shingles of a document."""
        return self._ranges[place][1]

    def get(self, place: Place) -> NDArray[np.uint64]:
        """Return the set of the document at a place."""
        start, count = self._ranges[place]
        self._file.seek(start * 8)
        return np.frombuffer(self._file.read(count * 8), dtype=np.uint64)
