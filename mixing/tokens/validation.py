"""Which documents are held out for validation: by a hash of their normalised text, so exact duplicates stay together.

scan     one task a file     documents that may be held out: their hashes are small enough
choose   one task            those that are, by share or by count, with their MinHash band keys
near     one task a file     which of these band keys a training document has, too
settle   one task            held-out documents that share a band key with a training document go to training

Band keys are those that the corpus was deduplicated with, from its published index. Two documents that share one may be
near duplicates; whether they truly are is not asked: validation can spare them, and none is lost. A document that goes
to training takes those with it that share a band key with it, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray
from pydantic import Field, model_validator

from configs.load import StrictModel
from curation.stage import Result
from dedup.exact import document_hash
from mixing.tokens.corpus_folder import read_batches
from mixing.tokens.token_source import file_checksum

_INDEX_ROWS = 20_000
_HASHES = 2.0**64
# A held-out document: the number of its file, its row there, its language, its hash, its band keys if it has some.
CANDIDATES = pa.schema(
    [
        pa.field("file", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("value", pa.uint64(), nullable=False),
        pa.field("band_keys", pa.list_(pa.uint64())),
    ]
)


class ValidationConfig(StrictModel):
    """Documents held out for validation, of each language of a corpus.

    Attributes:
        share: of the documents; None where `documents` says how many.
        documents: how many, and all of the same text as the last one.
        seed: of the hash.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    documents: int | None = Field(default=None, ge=1)
    seed: int = Field(default=1, ge=0, lt=1 << 64)

    @model_validator(mode="after")
    def _one_of_both(self) -> ValidationConfig:
        if (self.share is None) == (self.documents is None):
            raise ValueError("name either `share`, of the documents, or `documents`, their number")
        return self


@dataclass(frozen=True, slots=True)
class ScanShard:
    """The payload of one scan.

    Attributes:
        documents: Parquet file of documents.
        index: of them, row by row; None where there is none.
        number: of the file in the corpus.
        language: of documents that name none.
        config: what is held out; None for nothing.
    """

    documents: Path
    index: Path | None
    number: int
    language: str
    config: ValidationConfig | None


def scan_documents(payload: object, out: Path, scratch: Path) -> Result:
    """Write `candidates.parquet`, and report the checksum of the file."""
    assert isinstance(payload, ScanShard)
    details: dict[str, object] = {"checksum": file_checksum(payload.documents)}
    if payload.index is not None:
        details["index"] = file_checksum(payload.index)
    found = _Smallest(payload.config)
    if payload.config is not None:
        for number, (language, text) in enumerate(_documents(payload.documents, payload.language)):
            found.add(language, xxhash.xxh3_64_intdigest(document_hash(text), payload.config.seed), number)
    rows = sorted((row, language, value) for language, own in found.rows.items() for value, row in own)
    keys = _band_keys(payload.index, np.array([row for row, _, _ in rows], dtype=np.int64))
    table = pa.table(
        [
            pa.array([payload.number] * len(rows), pa.int64()),
            pa.array([row for row, _, _ in rows], pa.int64()),
            pa.array([language for _, language, _ in rows], pa.string()),
            pa.array([value for _, _, value in rows], pa.uint64()),
            keys,
        ],
        schema=CANDIDATES,
    )
    pq.write_table(table, out / "candidates.parquet", compression="zstd")
    return Result({"documents": pq.read_metadata(payload.documents).num_rows, "candidates": len(rows)}, details)


class _Smallest:
    """Documents whose hashes are below the share, or among the smallest, by language."""

    def __init__(self, config: ValidationConfig | None) -> None:
        self._limit = _HASHES if config is None or config.share is None else config.share * _HASHES
        self._most = config.documents if config is not None else None
        self.rows: dict[str, list[tuple[int, int]]] = {}

    def add(self, language: str, value: int, row: int) -> None:
        """Add a document, unless enough smaller ones are known."""
        if value >= self._limit:
            return
        own = self.rows.setdefault(language, [])
        own.append((value, row))
        if self._most is not None and len(own) > 4 * self._most:
            own.sort()
            border = own[self._most - 1][0]
            self.rows[language] = [entry for entry in own if entry[0] <= border]


def _documents(path: Path, language: str) -> Iterator[tuple[str, str]]:
    columns = [name for name in ("text", "language") if name in pq.read_schema(path).names]
    for batch in read_batches(path, columns):
        texts = batch.column("text").to_pylist()
        named = batch.column("language").to_pylist() if "language" in columns else [None] * len(texts)
        yield from ((own or language, text) for own, text in zip(named, texts, strict=True))


def _band_keys(index: Path | None, rows: NDArray[np.int64]) -> pa.Array:
    """Return the band keys of some rows of an index, rising; null where there are none."""
    if index is None:
        return pa.nulls(len(rows), CANDIDATES.field("band_keys").type)
    found = [keys.take(pa.array(rows[own] - start)) for start, own, keys in _index_batches(index, rows)]
    return pa.concat_arrays([pa.array([], CANDIDATES.field("band_keys").type), *found])


def _index_batches(index: Path, rows: NDArray[np.int64]) -> Iterator[tuple[int, slice, pa.Array]]:
    """Yield for each batch of an index its first row, which of `rows`, rising, are in it, and its band keys."""
    start = 0
    with pq.ParquetFile(index) as table:
        for batch in table.iter_batches(_INDEX_ROWS, columns=["band_keys"]):
            keys = batch.column(0).cast(CANDIDATES.field("band_keys").type)
            first, last = np.searchsorted(rows, (start, start + batch.num_rows)).tolist()
            yield start, slice(first, last), keys
            start += batch.num_rows


@dataclass(frozen=True, slots=True)
class ChooseShard:
    """The payload of the task that chooses.

    Attributes:
        candidates: the files of all scans.
        config: what is held out.
    """

    candidates: tuple[Path, ...]
    config: ValidationConfig


def choose_documents(payload: object, out: Path, scratch: Path) -> Result:
    """Write `chosen.parquet`, by file and row, and `keys.npy`, their band keys, rising. Memory: the candidates'."""
    assert isinstance(payload, ChooseShard)
    table = pa.concat_tables([pq.read_table(path, schema=CANDIDATES) for path in payload.candidates])
    kept = np.ones(table.num_rows, dtype=np.bool_)
    if payload.config.documents is not None:
        values, languages = table["value"].to_numpy(), np.array(table["language"].to_pylist(), dtype=np.str_)
        for language in np.unique(languages):
            own = languages == language
            border = np.sort(values[own])[: payload.config.documents][-1]
            kept &= ~own | (values <= border)
    table = table.filter(pa.array(kept))
    pq.write_table(table, out / "chosen.parquet", compression="zstd")
    np.save(out / "keys.npy", np.unique(_flat_keys(table)[0]))
    return Result({"chosen": table.num_rows})


def _flat_keys(table: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the band keys of all rows, and the row that each is of."""
    lists = table["band_keys"].combine_chunks()
    return lists.flatten().to_numpy(), pc.list_parent_indices(lists).to_numpy()


@dataclass(frozen=True, slots=True)
class NearShard:
    """The payload of one task that looks for band keys of held-out documents among the training documents of a file.

    Attributes:
        index: of the file.
        number: of the file in the corpus.
        chosen: what `choose_documents` wrote: documents and keys.
    """

    index: Path
    number: int
    chosen: tuple[Path, Path]


def find_near(payload: object, out: Path, scratch: Path) -> Result:
    """Write `hits.npy`: the keys that a training document of the file has, rising."""
    assert isinstance(payload, NearShard)
    chosen = pq.read_table(payload.chosen[0], schema=CANDIDATES)
    rows = chosen["row"].to_numpy()[chosen["file"].to_numpy() == payload.number]
    keys = np.load(payload.chosen[1])
    hit = np.zeros(len(keys), dtype=np.bool_)
    for start, own, lists in _index_batches(payload.index, rows):
        training = np.ones(len(lists), dtype=np.bool_)
        training[rows[own] - start] = False
        found = lists.filter(pa.array(training)).flatten().to_numpy()
        hit[np.searchsorted(keys, found[_is_in(found, keys)])] = True
    np.save(out / "hits.npy", keys[hit])
    return Result({"hits": int(hit.sum())})


@dataclass(frozen=True, slots=True)
class SettleShard:
    """The payload of the task that settles which documents are held out.

    Attributes:
        chosen: the documents chosen.
        hits: files of band keys that training documents have.
    """

    chosen: Path
    hits: tuple[Path, ...]


def settle_documents(payload: object, out: Path, scratch: Path) -> Result:
    """Write `held_out.npy`, file and row of each held-out document, and report how many were moved to training."""
    assert isinstance(payload, SettleShard)
    table = pq.read_table(payload.chosen, schema=CANDIDATES)
    keys, parents = _flat_keys(table)
    training = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *map(np.load, payload.hits)]))
    moved = np.zeros(table.num_rows, dtype=np.bool_)
    while True:
        found = parents[_is_in(keys, training) & ~moved[parents]]
        if not len(found):
            break
        moved[found] = True
        training = np.unique(np.concatenate((training, keys[moved[parents]])))
    kept = table.filter(pa.array(~moved))
    np.save(out / "held_out.npy", np.column_stack([kept["file"].to_numpy(), kept["row"].to_numpy()]))
    languages = np.array(table["language"].to_pylist(), dtype=np.str_)
    details: dict[str, object] = {"moved": dict(sorted(Counter(languages[moved].tolist()).items()))}
    counts = {"held_out": kept.num_rows, "moved": int(moved.sum()), "without_keys": kept["band_keys"].null_count}
    return Result(counts, details)


def held_out_rows(path: Path, number: int) -> NDArray[np.int64]:
    """Return the rows of a file that are held out, rising, from what `settle_documents` wrote."""
    places = np.load(path)
    return np.sort(places[places[:, 0] == number, 1])


def _is_in(values: NDArray[np.uint64], rising: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return whether each value is among others that rise."""
    if not len(rising):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(rising, values), len(rising) - 1)
    return np.asarray(rising[place] == values)
