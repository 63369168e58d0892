"""Rows on their way to partitions: one Arrow file a task, one record batch a partition, read back by memory map.

A partition is read from the files of all tasks, so the memory of what follows is bounded by one partition; a task
leaves one file, however many partitions there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Columns of numbers by name, all of one length.
Columns = dict[str, NDArray[np.generic]]


def digest_halves(digests: Iterable[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the two halves of 128-bit digests as numbers, shape (N,) each."""
    halves = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def write_partitions(
    path: Path,
    schema: pa.Schema,
    columns: Mapping[str, NDArray[np.generic]],
    partition: NDArray[np.integer],
    count: int,
) -> None:
    """Write rows, each into the record batch of its partition, in which they keep their order.

    Args:
        path: the file.
        schema: columns of numbers, without nulls.
        columns: values by name, each of shape (N,).
        partition: of each row, shape (N,), each below `count`.
        count: number of partitions.
    """
    order = np.argsort(partition, kind="stable")
    borders = np.searchsorted(partition[order], np.arange(count + 1))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            own = order[start:end]
            arrays = [pa.array(columns[field.name][own], field.type) for field in schema]
            file.write_batch(pa.record_batch(arrays, schema=schema))


def write_batch(path: Path, schema: pa.Schema, columns: Mapping[str, NDArray[np.generic]]) -> None:
    """Write rows as a file of one partition."""
    count = len(columns[schema.names[0]])
    write_partitions(path, schema, columns, np.zeros(count, dtype=np.int64), 1)


def read_partition(paths: Sequence[Path], number: int, schema: pa.Schema) -> Columns:
    """Return the rows that all files hold of one partition, file after file.

    Raises:
        ValueError: a file has no such partition, or other columns.
    """
    table = read_table_partition(paths, number, schema)
    return {name: table[name].to_numpy() for name in schema.names}


def write_table_partitions(path: Path, table: pa.Table, partition: NDArray[np.integer], count: int) -> None:
    """Write rows with texts, each into the record batch of its partition, in which they keep their order.

    Args:
        path: the file.
        table: N rows.
        partition: of each row, shape (N,), each below `count`.
        count: number of partitions.
    """
    order = np.argsort(partition, kind="stable")
    borders = np.searchsorted(partition[order], np.arange(count + 1))
    table = table.combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
        for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            own = table.take(pa.array(order[start:end])).combine_chunks()
            columns = [own[name].combine_chunks() for name in table.column_names]
            file.write_batch(pa.record_batch(columns, schema=table.schema))


def read_table_partition(paths: Sequence[Path], number: int, schema: pa.Schema) -> pa.Table:
    """Return the rows that all files hold of one partition, file after file.

    Raises:
        ValueError: a file has no such partition, or other columns.
    """
    return pa.Table.from_batches(list(_batches(paths, number, schema)), schema=schema)


def _batches(paths: Sequence[Path], number: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            if file.schema != schema or number >= file.num_record_batches:
                raise ValueError(f"{path} has no partition {number} with the columns {', '.join(schema.names)}")
            if (batch := file.get_batch(number)).num_rows:
                yield batch
