"""Similarities by the inverted index against those of every pair of sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dedup.brute_force
from dedup.brute_force import InvertedIndex
from dedup.minhash import jaccard

# Few elements, so that sets share many; some far apart in their 64 bits.
SETS = st.lists(st.sets(st.sampled_from([*range(12), 1 << 63, (1 << 64) - 1]), max_size=10), max_size=8)


def arrays(sets: list[set[int]]) -> list[np.ndarray]:
    return [np.array(sorted(own), dtype=np.uint64) for own in sets]


def compare(index: InvertedIndex, sets: list[np.ndarray]) -> np.ndarray:
    borders = np.cumsum([0, *map(len, sets)])
    return index.similarities(np.concatenate([np.zeros(0, dtype=np.uint64), *sets]), borders)


@given(SETS, SETS)
def test_the_index_counts_what_sets_have_in_common(few: list[set[int]], many: list[set[int]]) -> None:
    found = compare(InvertedIndex(arrays(few)), arrays(many))
    assert found.shape == (len(many), len(few))
    for row, one in zip(found.tolist(), many, strict=True):
        assert row == [len(one & other) / max(1, len(one | other)) for other in few]


@given(SETS, SETS)
def test_the_values_are_those_of_the_job_to_the_last_bit(few: list[set[int]], many: list[set[int]]) -> None:
    found = compare(InvertedIndex(arrays(few)), arrays(many))
    assert found.tolist() == [[jaccard(one, other) for other in arrays(few)] for one in arrays(many)]


@given(SETS, SETS)
def test_no_count_depends_on_how_many_are_added_at_a_time(few: list[set[int]], many: list[set[int]]) -> None:
    index = InvertedIndex(arrays(few))
    whole = compare(index, arrays(many))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup.brute_force, "_ADDED", 1)
        assert compare(index, arrays(many)).tolist() == whole.tolist()


def test_a_notice_in_every_document_costs_no_more_than_one_element() -> None:
    """500 sets that share 20,000 elements: counted one by one it would be ten million additions for each document."""
    notice = np.arange(20_000, dtype=np.uint64)
    own = [np.append(notice, np.uint64(1_000_000 + number)) for number in range(500)]
    index = InvertedIndex(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup.brute_force, "_ADDED", 501)
        document = np.append(notice, np.uint64(1_000_007))
        borders = np.array([0, len(document)])
        assert len(list(index._hits(document, np.diff(borders)))) == 1
        found = index.similarities(document, borders)[0]
    assert found[7] == 1
    assert set(np.delete(found, 7).tolist()) == {20_000 / 20_002}
