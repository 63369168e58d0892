"""How many documents each kept one stands for: copies of its near duplicates included, stage by stage.

FineWeb2 (Penedo et al. 2025, section 3.4) samples documents again by the size of their cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.duplicates.parts import parts_and_rows, places
from curation.duplicates.shuffle import read_partition, write_partitions
from curation.schema import DUPLICATES, REPRESENTED
from curation.stage import Result


def size_partition(part: NDArray[np.int64] | int, partitions: int, parts: int) -> NDArray[np.int64]:
    """Return the partition of the sizes of a part: neighbouring parts share one."""
    return np.asarray(part, dtype=np.int64) * partitions // max(1, parts)


@dataclass(frozen=True, slots=True)
class SizesPartition:
    """The payload of one task that counts what the documents of some parts stand for after one more stage.

    Attributes:
        before: files of counts after the stages before.
        found: files of duplicates of this stage.
        number: of the partition.
        partitions: number of partitions.
        parts: number of parts.
    """

    before: tuple[Path, ...]
    found: tuple[Path, ...]
    number: int
    partitions: int
    parts: int


def sizes_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Hand what the partition's documents stand for to those that stay for them: `represented.arrow`."""
    assert isinstance(payload, SizesPartition)
    columns = read_partition(payload.before, payload.number, REPRESENTED)
    place, count = _summed(columns["place"].astype(np.uint64), columns["count"].astype(np.uint64))
    gone, kept = _pairs(payload)
    order = np.argsort(gone, kind="stable")
    gone, kept = gone[order], kept[order]
    own = np.zeros(len(gone), dtype=np.uint64)
    if len(place):
        index = np.minimum(np.searchsorted(place, gone), len(place) - 1)
        own = np.where(place[index] == gone, count[index], np.uint64(0))
    stays = ~np.isin(place, gone)
    place = np.concatenate([place[stays], kept])
    count = np.concatenate([count[stays], own + np.uint64(1)])
    partition = size_partition(parts_and_rows(place)[0], payload.partitions, payload.parts)
    write_partitions(
        out / "represented.arrow", REPRESENTED, {"place": place, "count": count}, partition, payload.partitions
    )
    return Result({"duplicates": len(gone)})


def _pairs(payload: SizesPartition) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return places of documents of the partition that go in this stage, and of those that stay for them."""
    part = np.arange(payload.parts)
    own = part[size_partition(part, payload.partitions, payload.parts) == payload.number]
    gone, kept = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    if len(own):
        wanted = [("part", ">=", int(own[0])), ("part", "<=", int(own[-1]))]
        for path in payload.found:
            table = pq.read_table(path, schema=DUPLICATES, filters=wanted, partitioning=None)
            for sides, part_name, row_name in (
                (gone, "part", "row"),
                (kept, "duplicate_of_part", "duplicate_of_row"),
            ):
                sides.append(places(table[part_name].to_numpy(), table[row_name].to_numpy()))
    return np.concatenate(gone), np.concatenate(kept)


def _summed(place: NDArray[np.uint64], count: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return each place once, rising, with the sum of its counts."""
    places_, index = np.unique(place, return_inverse=True)
    sums = np.zeros(len(places_), dtype=np.uint64)
    np.add.at(sums, index, count)
    return places_, sums


def cluster_sizes(paths: tuple[Path, ...], part: int, partition: int) -> dict[int, int]:
    """Return how many documents those of a part stand for, themselves included, by row; of others it is one.

    Args:
        paths: files of counts after the last stage.
        part: number of the part.
        partition: its `size_partition`.
    """
    if not paths:
        return {}
    columns = read_partition(paths, partition, REPRESENTED)
    place, count = _summed(columns["place"].astype(np.uint64), columns["count"].astype(np.uint64))
    numbers, rows = parts_and_rows(place)
    own = numbers == part
    return {row: size + 1 for row, size in zip(rows[own].tolist(), count[own].tolist(), strict=True)}
