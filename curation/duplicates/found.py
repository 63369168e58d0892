"""What the stages find: files of documents that go as a whole, each for one that stays."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.duplicates.identities import document_ids
from curation.duplicates.parts import parts_and_rows
from curation.schema import DUPLICATES

# Small row groups, so that one part's rows can be read alone.
_GROUP_ROWS = 20_000


def write_duplicates(
    path: Path,
    place: NDArray[np.uint64],
    kept: NDArray[np.uint64],
    kept_numbers: NDArray[np.uint64],
    similarity: NDArray[np.float64],
    base_parts: Set[int] = frozenset(),
) -> int:
    """Write documents that go, sorted by place, and return how many there are.

    Args:
        path: the file.
        place: of the documents that go, shape (N,).
        kept: places of the documents that stay for them, shape (N,).
        kept_numbers: identities of these, shape (N, 5).
        similarity: of each pair, shape (N,).
        base_parts: parts whose documents never go: rows of theirs are left out.
    """
    part, row = parts_and_rows(place)
    own = np.flatnonzero(~np.isin(part, sorted(base_parts))) if base_parts else np.arange(len(part))
    own = own[np.lexsort((row[own], part[own]))]
    columns = {
        "part": part[own],
        "row": row[own],
        "duplicate_of": document_ids(kept_numbers[own]),
        "duplicate_of_part": parts_and_rows(kept[own])[0],
        "duplicate_of_row": parts_and_rows(kept[own])[1],
        "similarity": similarity[own],
    }
    pq.write_table(pa.table(columns, schema=DUPLICATES), path, compression="zstd", row_group_size=_GROUP_ROWS)
    return len(own)


def write_all_but_first(
    path: Path,
    place: NDArray[np.uint64],
    group: NDArray[np.int64],
    numbers: NDArray[np.uint64],
    base_parts: Set[int],
) -> int:
    """Write documents of groups of equal ones, all but the first of each, which stays; return how many go.

    Args:
        path: the file.
        place: of all documents, group after group, in each the one that stays first, shape (N,).
        group: number of each document's group, shape (N,).
        numbers: identities of the documents, shape (N, 5).
        base_parts: as above.
    """
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    kept = np.repeat(starts, np.diff(np.append(starts, len(group))))
    gone = np.flatnonzero(kept != np.arange(len(kept)))
    stays = kept[gone]
    return write_duplicates(path, place[gone], place[stays], numbers[stays], np.ones(len(gone)), base_parts)
