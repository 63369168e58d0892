"""Texts into numbers for MinHash: band keys of every document, and shingles of those that share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.duplicates.parts import DedupPart, parts_and_rows, places, read_documents, remaining_rows
from curation.duplicates.shuffle import read_partition, write_partitions
from curation.schema import BAND_KEYS, CANDIDATES, SHINGLES, SIGNATURES
from curation.stage import Result
from dedup.minhash import MinHashConfig, MinHasher, shingles_of_texts
from dedup.stretches import stretches
from filters.words import Segmentation, Segmenter, shingle_units, words_of_texts

# Shingles of this many characters of text are in memory at a time.
_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class SignPart:
    """The payload of one signing task.

    Attributes:
        part: whose documents are signed.
        signatures: the part's file of band keys, when it was signed before: then no text is read.
        gone: files of documents that go already.
        segmentations: how words are found, by language.
        config: MinHash settings.
        partitions: number of partitions that the band keys are spread over.
    """

    part: DedupPart
    signatures: Path | None
    gone: tuple[Path, ...]
    segmentations: dict[str, Segmentation]
    config: MinHashConfig
    partitions: int


def sign_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `bands.arrow`: band keys and places by partition, and `signatures.parquet`: the band keys by row."""
    assert isinstance(payload, SignPart)
    rows = remaining_rows(payload.part, payload.gone)
    if payload.signatures is not None:
        table = pq.read_table(payload.signatures, schema=SIGNATURES, partitioning=None)
        stored = table["row"].to_numpy()
        flat = table["band_keys"].combine_chunks().flatten().to_numpy()
        wanted = np.isin(stored, rows)
        rows, keys = stored[wanted], flat.reshape(len(stored), payload.config.bands)[wanted]
    else:
        rows, keys = _sign(payload, rows)
        _write_signatures(out / "signatures.parquet", rows, keys)
    columns = {"key": keys.ravel(), "place": np.repeat(places(payload.part.number, rows), payload.config.bands)}
    partition = (columns["key"] % np.uint64(payload.partitions)).astype(np.int64)
    write_partitions(out / "bands.arrow", BAND_KEYS, columns, partition, payload.partitions)
    return Result({"documents": len(rows)})


def _sign(payload: SignPart, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return rows and band keys of the documents that have words: a text without is like no other one."""
    hasher = _hasher(payload.config)
    signed, keys = [np.zeros(0, dtype=np.int64)], [np.zeros((0, payload.config.bands), dtype=np.uint64)]
    for own, shingles, borders in _shingles(payload.part, rows, payload.segmentations, payload.config.ngram):
        keys.append(hasher.band_keys(hasher.signatures(shingles, borders))[np.diff(borders) > 0])
        signed.append(own[np.diff(borders) > 0])
    return np.concatenate(signed), np.concatenate(keys)


@lru_cache(maxsize=2)
def _hasher(config: MinHashConfig) -> MinHasher:
    return MinHasher(config)


def _write_signatures(path: Path, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> None:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(keys.shape[1])
    lists = pa.ListArray.from_arrays(offsets, keys.ravel())
    pq.write_table(pa.table([pa.array(rows), lists], schema=SIGNATURES), path, compression="zstd")


def _shingles(
    part: DedupPart, rows: NDArray[np.int64], segmentations: Mapping[str, Segmentation], ngram: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]]:
    """Yield rows of documents, their shingles in the order of the text, and the borders of each document's."""
    for own, batch in read_documents(part.documents, rows, ("text", "language")):
        texts = batch.column("text").to_pylist()
        kinds = [segmentations[code] for code in batch.column("language").to_pylist()]
        start = 0
        while start < len(texts):
            end, characters = start, 0
            while end < len(texts) and kinds[end] == kinds[start] and (end == start or characters < _CHARACTERS):
                characters += len(texts[end])
                end += 1
            words, borders = _words(texts[start:end], shingle_units(kinds[start]))
            yield own[start:end], *shingles_of_texts(words, borders, ngram)
            start = end


def _words(texts: Sequence[str], segmenter: Segmenter) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the word hashes of texts and their borders; a single text may be very long."""
    if len(texts) > 1:
        return words_of_texts(texts, segmenter)
    words = np.concatenate([words_of_texts([piece], segmenter)[0] for piece in stretches(texts[0], _CHARACTERS)])
    return words, np.array([0, len(words)])


@dataclass(frozen=True, slots=True)
class ShinglePart:
    """The payload of one task that finds the shingles of documents that share a band key with another one.

    Attributes:
        part: whose documents are meant.
        candidates: files of candidates of all partitions.
        segmentations: how words are found, by language.
        config: MinHash settings.
    """

    part: DedupPart
    candidates: tuple[Path, ...]
    segmentations: dict[str, Segmentation]
    config: MinHashConfig


def shingle_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `shingles.arrow`: the distinct shingles of each candidate of the part, rows rising, in one batch."""
    assert isinstance(payload, ShinglePart)
    low, high = (places(payload.part.number + step, np.zeros(1, dtype=np.int64))[0] for step in (0, 1))
    found = [np.zeros(0, dtype=np.uint64)]
    for path in payload.candidates:
        place = read_partition([path], 0, CANDIDATES)["place"].astype(np.uint64, copy=False)
        found.append(place[np.searchsorted(place, low) : np.searchsorted(place, high)].copy())
    rows = np.unique(parts_and_rows(np.concatenate(found))[1])
    sets = [np.zeros(0, dtype=np.uint64)]
    for _, shingles, borders in _shingles(payload.part, rows, payload.segmentations, payload.config.ngram):
        sets += [_distinct(shingles[start:end]) for start, end in pairwise(borders.tolist())]
    offsets = np.cumsum([len(own) for own in sets], dtype=np.int64)
    lists = pa.LargeListArray.from_arrays(offsets, np.concatenate(sets))
    batch = pa.record_batch([pa.array(rows), lists], schema=SHINGLES)
    with pa.OSFile(str(out / "shingles.arrow"), "wb") as sink, pa.ipc.new_file(sink, SHINGLES) as file:
        file.write_batch(batch)
    return Result({"candidates": len(rows), "shingles": int(offsets[-1])})


def _distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the distinct values, rising; `np.unique` takes twice as long for the few of a document."""
    values = np.sort(values)
    fresh = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=fresh[1:])
    return values[fresh]


class ShingleStore:
    """Shingles of any candidate, read from memory-mapped files: what is not looked at takes no memory."""

    def __init__(self, paths: Mapping[int, Path]) -> None:
        """Prepare; a file is opened when a document of its part is asked for.

        Args:
            paths: files of shingles by the number of their part.
        """
        self._paths = dict(paths)
        # Rows, offsets and shingles by part.
        self._open: dict[int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]] = {}

    def at(self, place: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
        """Return the distinct shingles of the documents at some places, which rise.

        Raises:
            KeyError: one of them is no candidate.
        """
        numbers, rows = parts_and_rows(place)
        found: list[NDArray[np.uint64]] = []
        borders = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(numbers)]
        for start, end in pairwise(borders):
            stored, offsets, values = self._part(int(numbers[start]))
            index = np.searchsorted(stored, rows[start:end])
            if not len(stored) or (stored[np.minimum(index, len(stored) - 1)] != rows[start:end]).any():
                raise KeyError(f"part {numbers[start]} has no shingles for some of its rows")
            ends = zip(offsets[index].tolist(), offsets[index + 1].tolist(), strict=True)
            found += [values[first:last] for first, last in ends]
        return found

    def _part(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        if number not in self._open:
            with pa.ipc.open_file(pa.memory_map(str(self._paths[number]))) as file:
                batch = file.get_batch(0)
            lists = batch.column("shingles")
            self._open[number] = batch.column("row").to_numpy(), lists.offsets.to_numpy(), lists.values.to_numpy()
        return self._open[number]
