"""Repeated lines: the lines of each part through partitions of hashes, stretches to cut out of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.duplicates.identities import Identities, best_first, document_ids, ranks
from curation.duplicates.parts import DedupPart, parts_and_rows, places, read_documents, remaining_rows
from curation.duplicates.shuffle import read_partition, write_partitions
from curation.schema import SPANS
from curation.stage import Result
from dedup.equal_keys import equal_keys
from dedup.lines import LinesConfig, find_lines
from filters.characters import DIGIT, WORD, character_flags, fold_table

# A line on its way to its partition: its key, its document, its characters.
LINES = pa.schema(
    [
        pa.field("hash0", pa.uint64(), nullable=False),
        pa.field("hash1", pa.uint64(), nullable=False),
        pa.field("place", pa.uint64(), nullable=False),
        pa.field("start", pa.uint32(), nullable=False),
        pa.field("end", pa.uint32(), nullable=False),
    ]
)
# The lines that repeat most, each by its first occurrence; `hash0` and `hash1` break ties between partitions.
FREQUENT_LINES = pa.schema(
    [
        pa.field("count", pa.int64(), nullable=False),
        pa.field("hash0", pa.uint64(), nullable=False),
        pa.field("hash1", pa.uint64(), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
    ]
)
_MOST_FREQUENT = 100
_GROUP_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class LinesPart:
    """The payload of one task that sends the lines of a part to their partitions.

    Attributes:
        part: whose documents are meant.
        gone: files of documents that go already.
        config: which lines are equal.
        partitions: number of partitions.
    """

    part: DedupPart
    gone: tuple[Path, ...]
    config: LinesConfig
    partitions: int


def lines_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `lines.arrow`: key, document and place of every line that is long enough, by partition.

    In memory are the texts of 200 documents, 64 bytes for each such line of the part, and 20 for each character of
    the longest line.
    """
    assert isinstance(payload, LinesPart)
    table = normalised_table() if payload.config.normalise else None
    rows = remaining_rows(payload.part, payload.gone)
    found: dict[str, list[NDArray[np.generic]]] = {name: [] for name in LINES.names}
    for own, batch in read_documents(payload.part.documents, rows, ("text", "language")):
        place = places(payload.part.number, own)
        for number in range(batch.num_rows):
            text, language = (batch.column(name)[number].as_py() for name in ("text", "language"))
            lines = find_lines(text, language, payload.config.min_chars, table)
            found["hash0"].append(lines.keys[:, 0])
            found["hash1"].append(lines.keys[:, 1])
            found["place"].append(np.full(len(lines.starts), place[number]))
            found["start"].append(lines.starts.astype(np.uint32))
            found["end"].append(lines.ends.astype(np.uint32))
    columns = {field.name: _joined(found[field.name], field.type.to_pandas_dtype()) for field in LINES}
    partition = (columns["hash0"].astype(np.uint64, copy=False) % np.uint64(payload.partitions)).astype(np.int64)
    write_partitions(out / "lines.arrow", LINES, columns, partition, payload.partitions)
    return Result({"documents": len(rows), "lines": len(partition)})


def _joined(pieces: list[NDArray[np.generic]], dtype: type[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([np.zeros(0, dtype=dtype), *pieces])


@cache
def normalised_table() -> NDArray[np.uint32]:
    """Return what each code point counts as: lower-case letters and marks, `0` for digits, zero for all others."""
    table = fold_table().copy()
    flags = character_flags(np.arange(len(table), dtype=np.uint32))
    table[ord("ı")] = ord("i")  # as capital letters the two Turkish i are one
    table[flags & np.uint16(DIGIT) != 0] = ord("0")
    table[flags & np.uint16(WORD) == 0] = 0
    return table


@dataclass(frozen=True, slots=True)
class LinesPartition:
    """The payload of one task that finds the repeated lines of a partition.

    Attributes:
        lines: the files of lines of all parts.
        number: of the partition.
        identities: files of identities by part.
        base_parts: parts of a corpus that stands already: their lines come first, and none of them is cut.
        config: which lines are cut.
    """

    lines: tuple[Path, ...]
    number: int
    identities: dict[int, Path]
    base_parts: frozenset[int]
    config: LinesConfig


def lines_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write `spans.parquet`, the lines to cut, and `frequent.parquet`, the partition's 100 most frequent repeats.

    A line to cut names the document of the line's first occurrence: in the best document, and there the first. In
    memory are about 60 bytes for each line of the partition, and 150 for each that is a repeat.
    """
    assert isinstance(payload, LinesPartition)
    columns = read_partition(payload.lines, payload.number, LINES)
    hash0, hash1 = columns["hash0"].astype(np.uint64, copy=False), columns["hash1"].astype(np.uint64, copy=False)
    shared, group = equal_keys(hash0, hash1, payload.config.min_count)
    place, start = columns["place"].astype(np.uint64, copy=False)[shared], columns["start"][shared].astype(np.int64)
    documents, own = np.unique(place, return_inverse=True)
    numbers = Identities(payload.identities).at(documents)
    rank = ranks(best_first(numbers))
    order = np.lexsort((start, rank[own], group))
    shared, group, own = shared[order], group[order], own[order]
    place, start = place[order], start[order]
    end = columns["end"][shared].astype(np.int64)
    firsts = np.flatnonzero(np.diff(group, prepend=-1))

    cut = np.ones(len(group), dtype=np.bool_)
    if payload.config.remove == "repeats":
        cut[firsts] = False
    cut &= ~np.isin(parts_and_rows(place)[0], sorted(payload.base_parts))
    rows = np.flatnonzero(cut)
    rows = rows[np.lexsort((start[rows], place[rows]))]
    # The ids of the documents of first occurrences are written out once each.
    sources, source = np.unique(own[firsts], return_inverse=True)
    _write(
        out / "spans.parquet",
        SPANS,
        {
            **_where(place[rows], start[rows], end[rows]),
            "duplicate_of": pa.array(document_ids(numbers[sources]), pa.string()).take(pa.array(source[group[rows]])),
            "duplicate_of_part": parts_and_rows(place[firsts])[0][group[rows]],
        },
    )

    counts = np.diff(np.append(firsts, len(group)))
    most = np.argsort(-counts, kind="stable")[:_MOST_FREQUENT]  # groups are in the order of their hashes
    top = firsts[most]
    keys = {"count": counts[most], "hash0": hash0[shared[top]], "hash1": hash1[shared[top]]}
    _write(out / "frequent.parquet", FREQUENT_LINES, {**keys, **_where(place[top], start[top], end[top])})
    return Result({"lines": len(hash0), "repeated": len(firsts), "occurrences": len(group), "cut": len(rows)})


def _where(
    place: NDArray[np.uint64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> dict[str, NDArray[np.generic]]:
    part, row = parts_and_rows(place)
    return {"part": part, "row": row, "start": start, "end": end}


def _write(path: Path, schema: pa.Schema, columns: dict[str, NDArray[np.generic] | pa.Array]) -> None:
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd", row_group_size=_GROUP_ROWS)
