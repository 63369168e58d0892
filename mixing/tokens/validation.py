"""Which documents of a corpus may be held out for validation: by a hash of their text, so equal texts stay together.

scan     one task a file     fingerprints of all texts, and documents whose hashes are small enough
choose   one task a corpus   those that may be held out, by share or by count, with their fingerprints

Which of them are, and that no other source trains on them, is settled over all sources: see `disjoint.py`.
"""

from __future__ import annotations

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
from mixing.tokens.corpus_folder import read_batches, reading_table
from mixing.tokens.fingerprints import BAND_KEYS, text_fingerprint
from mixing.tokens.token_source import file_checksum

_INDEX_ROWS = 20_000
_HASHES = 2.0**64
# A document that may be held out: the number of its file, its row there, its language, its hash by which it is chosen,
# the fingerprint of its text, its band keys if it has some.
CANDIDATES = pa.schema(
    [
        pa.field("file", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("value", pa.uint64(), nullable=False),
        pa.field("fingerprint", pa.uint64(), nullable=False),
        pa.field("band_keys", BAND_KEYS),
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
    """Write `candidates.parquet` and `hashes.npy`, the fingerprint of each text; report the checksums of the input."""
    assert isinstance(payload, ScanShard)
    details: dict[str, object] = {"checksum": file_checksum(payload.documents)}
    if payload.index is not None:
        details["index"] = file_checksum(payload.index)
    found = _Smallest(payload.config)
    hashes = np.zeros(pq.read_metadata(payload.documents).num_rows, dtype="<u8")
    for number, (language, text) in enumerate(_documents(payload.documents, payload.language)):
        digest = document_hash(text)
        hashes[number] = text_fingerprint(digest)
        if payload.config is not None:
            found.add(language, xxhash.xxh3_64_intdigest(digest, payload.config.seed), number)
    np.save(out / "hashes.npy", hashes)
    entries = sorted((row, language, value) for language, own in found.rows.items() for value, row in own)
    rows = np.array([row for row, _, _ in entries], dtype=np.int64)
    table = pa.table(
        [
            pa.array([payload.number] * len(rows), pa.int64()),
            pa.array(rows),
            pa.array([language for _, language, _ in entries], pa.string()),
            pa.array([value for _, _, value in entries], pa.uint64()),
            pa.array(hashes[rows]),
            _band_keys(payload.index, rows),
        ],
        schema=CANDIDATES,
    )
    pq.write_table(table, out / "candidates.parquet", compression="zstd")
    return Result({"documents": len(hashes), "candidates": len(rows)}, details)


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
        return pa.nulls(len(rows), BAND_KEYS)
    found, start = [pa.array([], BAND_KEYS)], 0
    with reading_table(index), pq.ParquetFile(index) as table:
        for batch in table.iter_batches(_INDEX_ROWS, columns=["band_keys"]):
            first, last = np.searchsorted(rows, (start, start + batch.num_rows)).tolist()
            found.append(batch.column(0).cast(BAND_KEYS).take(pa.array(rows[first:last] - start)))
            start += batch.num_rows
    return pa.concat_arrays(found)


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
    """Write `chosen.parquet`, by file and row, and `keys.npy`, their fingerprints, rising. Memory: the candidates'."""
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
    np.save(out / "keys.npy", np.unique(chosen_fingerprints(table)[0]))
    return Result({"chosen": table.num_rows})


def chosen_fingerprints(table: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the fingerprints of rows of `CANDIDATES`, and the row that each is of."""
    lists = table["band_keys"].combine_chunks()
    keys, parents = lists.flatten().to_numpy(), pc.list_parent_indices(lists).to_numpy()
    texts = table["fingerprint"].to_numpy()
    return np.concatenate((texts, keys)), np.concatenate((np.arange(table.num_rows), parents))
