"""The order of documents: every one once, computed anywhere, and without a pattern."""

import itertools
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixing.stream.shuffle import Permutation, epoch_order


@given(st.integers(1, 3000), st.integers(), st.text(), st.integers(0, 5))
def test_every_document_comes_once(documents: int, seed: int, source: str, epoch: int) -> None:
    order = epoch_order(documents, seed, source, epoch)
    numbers = order(np.arange(documents))
    assert sorted(numbers.tolist()) == list(range(documents))
    assert order.inverse(numbers).tolist() == list(range(documents))


@given(st.integers(1, 1 << 62), st.lists(st.integers(0, (1 << 62) - 1), min_size=1, max_size=20, unique=True))
def test_positions_and_documents_are_told_from_each_other(documents: int, positions: list[int]) -> None:
    asked = np.unique(np.array(positions) % documents)
    order = epoch_order(documents, 1, "el", 0)
    numbers = order(asked)
    assert len(np.unique(numbers)) == len(asked)
    assert (numbers >= 0).all()
    assert (numbers < documents).all()
    assert order.inverse(numbers).tolist() == asked.tolist()


def test_any_part_of_the_order_of_a_trillion_is_there_at_once() -> None:
    begin = time.perf_counter()
    order = epoch_order(10**12, 1, "el", 0)
    part = order(np.arange(10**11, 10**11 + 1000))
    assert time.perf_counter() - begin < 1
    assert part[10:20].tolist() == order(np.arange(10**11 + 10, 10**11 + 20)).tolist()


def test_an_order_depends_on_seed_source_and_epoch_alone() -> None:
    first = epoch_order(1000, 1, "el", 0)(np.arange(1000)).tolist()
    assert first == epoch_order(1000, 1, "el", 0)(np.arange(1000)).tolist()
    for other in ((2, "el", 0), (1, "tr", 0), (1, "el", 1), (1, "el0", 0), (10, "el", 0)):
        numbers = epoch_order(1000, *other)(np.arange(1000)).tolist()
        assert numbers != first
        # Two random orders agree in one place on average.
        assert sum(own == old for own, old in zip(numbers, first, strict=True)) < 10


def test_orders_stay_what_they_are() -> None:
    """A checkpoint holds positions in them: another order would read documents twice."""
    assert epoch_order(10, 0, "el", 0)(np.arange(10)).tolist() == [6, 3, 7, 2, 9, 4, 5, 8, 1, 0]
    assert epoch_order(10**9, 7, "de-en", 3)(np.array([0, 1, 10**9 - 1])).tolist() == [248188746, 577097731, 344815096]


def test_there_is_no_order_of_nothing() -> None:
    with pytest.raises(ValueError, match="no order of 0"):
        Permutation(0, b"")


def off_by(counts: NDArray[np.int64]) -> float:
    """Return how far counts are from even ones, by chi-square, in standard deviations of what chance makes."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("documents", [2, 3, 4, 5])
def test_all_orders_of_few_documents_come_equally_often(documents: int) -> None:
    orders = Counter(tuple(epoch_order(documents, seed, "el", 0)(np.arange(documents))) for seed in range(3000))
    counts = [orders[order] for order in itertools.permutations(range(documents))]
    assert sum(counts) == 3000
    assert off_by(np.array(counts)) < 5


@pytest.mark.parametrize("documents", [7, 16, 33, 100, 257])
def test_every_document_is_anywhere_equally_often(documents: int) -> None:
    orders = np.array([epoch_order(documents, seed, "el", 0)(np.arange(documents)) for seed in range(1500)])
    for column in orders.T[:40]:
        assert off_by(np.bincount(column, minlength=documents)) < 5
    # What stands behind a document, and half an epoch later, has nothing to do with it.
    for apart in (1, documents // 2):
        steps = (orders[:, apart] - orders[:, 0]) % documents
        assert off_by(np.bincount(steps, minlength=documents)[1:]) < 5
    # As many stay where they are as in random orders: one on average, with variance 1.
    staying = (orders == np.arange(documents)).sum(axis=1)
    assert staying.mean() == pytest.approx(1, abs=0.15)
    assert staying.var() == pytest.approx(1, abs=0.25)


def test_a_long_order_has_no_structure() -> None:
    documents = 300_007
    numbers = epoch_order(documents, 3, "el", 0)(np.arange(documents))
    for apart in (1, 2, 64, 512, 1024):  # neighbours, and the strides of the network's halves
        correlation = np.corrcoef(numbers[:-apart], numbers[apart:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(documents)
    assert off_by(np.bincount(numbers[:20_000] * 100 // documents)) < 5
    longer = np.diff(numbers) > 0
    runs = 1 + np.count_nonzero(longer[1:] != longer[:-1])
    # Runs up and down: (2 n - 1) / 3 on average, with variance (16 n - 29) / 90.
    assert abs(runs - (2 * documents - 1) / 3) < 5 * np.sqrt((16 * documents - 29) / 90)
    for bit in range(18):
        ones = ((numbers[:20_000] >> bit) & 1).mean()
        whole = ((numbers >> bit) & 1).mean()
        assert abs(ones - whole) < 5 * 0.5 / np.sqrt(20_000)
