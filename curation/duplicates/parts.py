"""What deduplication works on: the parts of a job, and the documents of each that are still there.

A document is known by its place: the number of its part in the upper 32 bits, its row in the part's file of documents
in the lower ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.schema import DUPLICATES, KEPT_ROWS
from curation.store import read_tables

_ROW_BITS = np.uint64(32)
_BATCH_ROWS = 200


@dataclass(frozen=True, slots=True)
class DedupPart:
    """A part of the job.

    Attributes:
        number: of the part; it makes the places of its documents.
        name: of the part's tasks.
        documents: Parquet file with at least `id`, `text`, `url`, `date`, `language` and `language_score`.
        kept: file of the rows that take part (`KEPT_ROWS`); None for all rows.
        checksum: of both files.
        base: the documents belong to a corpus that stands already: others may be their duplicates, they stay.
    """

    number: int
    name: str
    documents: Path
    kept: Path | None
    checksum: str
    base: bool = False


def places(part: int | NDArray[np.integer], rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return the places of rows of a part, or each of its own part."""
    return (np.asarray(part, dtype=np.uint64) << _ROW_BITS) | rows.astype(np.uint64)


def parts_and_rows(place: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the part and the row of each place."""
    return (place >> _ROW_BITS).astype(np.int64), (place & np.uint64(0xFFFFFFFF)).astype(np.int64)


def remaining_rows(part: DedupPart, gone: Sequence[Path]) -> NDArray[np.int64]:
    """Return the rows of a part that take part and are in none of the `gone` files of duplicates, rising."""
    if part.kept is None:
        kept = np.arange(pq.read_metadata(part.documents).num_rows)
    else:
        kept = np.sort(read_tables([part.kept], KEPT_ROWS)["row"].to_numpy())
    found = read_tables(gone, DUPLICATES, part.number)["row"].to_numpy()
    rows: NDArray[np.int64] = np.setdiff1d(kept, found, assume_unique=False)
    return rows


def read_documents(
    path: Path, rows: NDArray[np.int64], columns: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
    """Yield the documents at some rows of a file, in batches: their rows, rising, and their columns.

    Args:
        path: Parquet file of documents.
        rows: rows wanted, rising.
        columns: names of the columns wanted.
    """
    first = 0
    for batch in pq.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=list(columns)):
        own = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + batch.num_rows)]
        if len(own):
            yield own, batch if len(own) == batch.num_rows else batch.take(pa.array(own - first))
        first += batch.num_rows
