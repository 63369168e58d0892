"""Fingerprints of documents: 64-bit numbers that equal texts share, and near duplicates in all likelihood.

Those of a document are the hash of its text, blind to case and white space, and its MinHash band keys where its corpus
has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixing.tokens.corpus_folder import reading_table

Numbers = NDArray[np.uint64]
BAND_KEYS = pa.list_(pa.uint64())
_BATCH_ROWS = 20_000


def text_fingerprint(document_hash: bytes) -> int:
    """Return the fingerprint of a text, the first 64 bits of its `document_hash`."""
    return int.from_bytes(document_hash[:8], "little")


def read_fingerprints(hashes: Path, index: Path | None) -> Iterator[tuple[Numbers, NDArray[np.int64]]]:
    """Yield the fingerprints of a file's documents, some documents at a time, and the row that each is of.

    Args:
        hashes: NumPy file of the fingerprint of each text, row by row.
        index: Parquet file of band keys, row by row; None where there are none.

    Raises:
        UserError: the index is damaged.
    """
    texts = np.load(hashes, mmap_mode="r")
    if index is None:
        for start in range(0, len(texts), _BATCH_ROWS):
            own = np.asarray(texts[start : start + _BATCH_ROWS])
            yield own, np.arange(start, start + len(own))
        return
    start = 0
    with reading_table(index), pq.ParquetFile(index) as table:
        for batch in table.iter_batches(_BATCH_ROWS, columns=["band_keys"]):
            lists = batch.column(0).cast(BAND_KEYS)
            keys = lists.flatten().to_numpy()
            own = np.asarray(texts[start : start + batch.num_rows])
            rows = np.concatenate((np.arange(len(own)), pc.list_parent_indices(lists).to_numpy()))
            yield np.concatenate((own, keys)), rows + start
            start += batch.num_rows


def united(files: Iterable[Path]) -> Numbers:
    """Return all numbers of some NumPy files, each once, rising."""
    return np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *map(np.load, files)]))


def is_in(values: Numbers, rising: Numbers) -> NDArray[np.bool_]:
    """Return whether each value is among others that rise, which may be memory-mapped."""
    if not len(rising):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(rising, values), len(rising) - 1)
    return np.asarray(rising[place] == values)


def shared(first: Numbers, second: Numbers) -> NDArray[np.bool_]:
    """Return which numbers of the first are in the second; both rise, and the shorter one is looked up in the other."""
    if len(first) <= len(second):
        return is_in(first, second)
    found = np.zeros(len(first), dtype=np.bool_)
    found[np.searchsorted(first, second[is_in(second, first)])] = True
    return found
