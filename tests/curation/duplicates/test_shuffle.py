"""Rows through partitions: none is lost, each is where it belongs, whatever the number of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates.shuffle import read_partition, write_partitions

SCHEMA = pa.schema([pa.field("key", pa.uint64(), nullable=False), pa.field("value", pa.float64(), nullable=False)])
ROWS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9)), max_size=30)


@settings(max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 5))
def test_every_row_comes_out_in_its_partition(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[int, int]]], count: int
) -> None:
    folder = tmp_path_factory.mktemp("shuffle")
    paths = []
    for number, rows in enumerate(files):
        paths.append(folder / f"{number}.arrow")
        keys = np.array([key for key, _ in rows], dtype=np.uint64)
        columns = {"key": keys, "value": np.array([value for _, value in rows], dtype=np.float64)}
        write_partitions(paths[-1], SCHEMA, columns, (keys % np.uint64(count)).astype(np.int64), count)
    for number in range(count):
        found = read_partition(paths, number, SCHEMA)
        expected = [row for rows in files for row in rows if row[0] % count == number]
        assert list(zip(found["key"].tolist(), found["value"].tolist(), strict=True)) == expected


def test_a_file_of_other_columns_or_fewer_partitions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    columns = {"key": np.zeros(1, dtype=np.uint64), "value": np.zeros(1)}
    write_partitions(path, SCHEMA, columns, np.zeros(1, dtype=np.int64), 1)
    with pytest.raises(ValueError, match="no partition 1"):
        read_partition([path], 1, SCHEMA)
    with pytest.raises(ValueError, match="columns other"):
        read_partition([path], 0, pa.schema([pa.field("other", pa.uint64())]))
