"""What survivors stand for, against following each document to the one that stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates.found import write_duplicates
from curation.duplicates.sizes import SizesPartition, cluster_sizes, size_partition, sizes_partition


@settings(max_examples=40)
@given(st.data(), st.integers(1, 7), st.integers(1, 4))
def test_every_document_is_counted_with_the_one_that_stays_for_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, parts: int, partitions: int
) -> None:
    folder = tmp_path_factory.mktemp("sizes")
    documents = [(part, row) for part in range(parts) for row in range(4)]
    alive, stands_for = list(range(len(documents))), dict.fromkeys(range(len(documents)), 1)
    before: tuple[Path, ...] = ()
    for stage in range(3):
        gone: dict[int, int] = {}
        # A document stays, or goes for one of those before it that stay.
        choices = data.draw(st.lists(st.integers(0, 60), min_size=len(alive), max_size=len(alive)))
        for number, choice in zip(list(alive), choices, strict=True):
            others = [other for other in alive if other < number and other not in gone]
            if choice < len(others):
                gone[number] = others[choice]
        for number in sorted(gone, reverse=True):
            stands_for[gone[number]] += stands_for[number]
            alive.remove(number)
        found = folder / f"duplicates-{stage}.parquet"
        every = np.array([part << 32 | row for part, row in documents], dtype=np.uint64)
        numbers = np.zeros((len(gone), 5), dtype=np.uint64)
        write_duplicates(found, every[list(gone)], every[list(gone.values())], numbers, np.ones(len(gone)))
        after = []
        for number in range(partitions):
            out = folder / f"{stage}-{number}"
            out.mkdir()
            sizes_partition(SizesPartition(before, (found,), number, partitions, parts), out, out)
            after.append(out / "represented.arrow")
        before = tuple(after)
    for part in range(parts):
        sizes = cluster_sizes(before, part, int(size_partition(part, partitions, parts)))
        for row in range(4):
            number = documents.index((part, row))
            if number in alive:
                assert sizes.get(row, 1) == stands_for[number]
    assert sum(stands_for[number] for number in alive) == len(documents)
