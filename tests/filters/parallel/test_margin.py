"""Scores of pairs: cosine and ratio margin are those of the definition, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from filters.parallel.margin import cosine, neighbours, ratio_margin


def one_cosine(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / lengths if lengths else 0.0


def brute_force(a: NDArray[np.float64], b: NDArray[np.float64], k: int) -> list[float]:
    """The formula of the paper, pair by pair."""
    scores = []
    for x, y in zip(a, b, strict=True):
        of_x = sorted((one_cosine(x, z) for z in b), reverse=True)[:k]
        of_y = sorted((one_cosine(y, z) for z in a), reverse=True)[:k]
        mean = sum(of_x) / (2 * len(of_x)) + sum(of_y) / (2 * len(of_y))
        scores.append(one_cosine(x, y) / mean if mean > 1e-9 else 0.0)
    return scores


def vectors(count: int, seed: int, numbers: int = 5) -> NDArray[np.float64]:
    """Return vectors on one side of the origin, so that means of cosines are well above zero."""
    return np.random.default_rng(seed).random((count, numbers)) + 0.1


@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 12), st.integers(0, 5))
def test_scores_are_those_of_the_definition(count: int, k: int, block: int, seed: int) -> None:
    a, b = vectors(count, seed), vectors(count, seed + 100)
    assert cosine(a, b, block) == pytest.approx([one_cosine(x, y) for x, y in zip(a, b, strict=True)], abs=1e-8)
    assert ratio_margin(a, b, k, block) == pytest.approx(brute_force(a, b, k), abs=1e-7)


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 50), st.integers(0, 3))
def test_the_size_of_blocks_changes_no_bit(count: int, k: int, block: int, seed: int) -> None:
    a, b = vectors(count, seed).astype(np.float32), vectors(count, seed + 9).astype(np.float32)
    assert ratio_margin(a, b, k, block).tobytes() == ratio_margin(a, b, k, 1000).tobytes()
    assert cosine(a, b, block).tobytes() == cosine(a, b).tobytes()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=25), st.integers(1, 6), st.integers(1, 9))
def test_of_equally_near_neighbours_the_first_come_first(kinds: list[int], k: int, block: int) -> None:
    """A pool of copies of four vectors: sorted by similarity, then by number."""
    distinct = vectors(4, 7)
    pool = distinct[kinds]
    found = neighbours(distinct, pool, k, block)
    for query, (index, similarity) in enumerate(zip(found.index, found.similarity, strict=True)):
        cosines = [round(one_cosine(distinct[query], distinct[kind]), 7) for kind in kinds]
        expected = sorted(range(len(kinds)), key=lambda number: (-cosines[number], number))[:k]
        assert index.tolist() == expected
        assert similarity == pytest.approx([cosines[number] for number in expected], abs=1e-6)


def test_a_pair_that_prefers_each_other_is_above_one_and_a_wrong_pair_below() -> None:
    a = np.eye(6) + 0.2
    assert (ratio_margin(a, a) > 1).all()
    assert (ratio_margin(a, np.roll(a, 1, axis=0)) < 1).all()


def test_a_sentence_that_is_near_everything_scores_less_than_its_cosine_says() -> None:
    """That is what the margin is for: equal cosines, but one side of the second pair is a hub."""
    a = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0.1, 0], [0, 1, 0, 0.1]])
    b = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0.1, 0], [0, 1, 0, 0.1]])
    assert cosine(a, b)[0] == pytest.approx(cosine(a, b)[1])
    scores = ratio_margin(a, b, k=3)
    assert scores[0] > scores[1]


def test_vectors_without_a_direction_score_nothing() -> None:
    a, b = np.zeros((3, 4), dtype=np.float32), np.ones((3, 4), dtype=np.float32)
    for found in (cosine(a, b), ratio_margin(a, b), cosine(a, a), ratio_margin(a, a)):
        assert found.tolist() == [0, 0, 0]
    against = np.array([[1.0, 0], [-1.0, 0]])
    assert ratio_margin(against, -against).tolist() == [0, 0]  # the means are zero


def test_length_and_precision_do_not_count() -> None:
    a, b = vectors(20, 1), vectors(20, 2)
    huge = np.float32(1e30) * a.astype(np.float32)
    assert cosine(huge, b) == pytest.approx(cosine(a, b), abs=1e-6)
    assert ratio_margin(a.astype(np.float16), b.astype(np.float16)) == pytest.approx(ratio_margin(a, b), abs=2e-3)


def test_nothing_has_no_scores() -> None:
    empty = np.empty((0, 8), dtype=np.float32)
    assert cosine(empty, empty).shape == ratio_margin(empty, empty).shape == (0,)
    assert neighbours(np.ones((2, 8)), empty).index.shape == (2, 0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((3, 4)), np.ones((2, 4))),
        (np.ones((3, 4)), np.ones((3, 5))),
        (np.ones(3), np.ones(3)),
        (np.full((3, 4), np.nan), np.ones((3, 4))),
        (np.ones((3, 4)), np.full((3, 4), np.inf)),
    ],
)
def test_what_is_no_pair_of_embeddings_is_an_error(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="embeddings"):
        cosine(a, b)
    with pytest.raises(ValueError, match="embeddings"):
        ratio_margin(a, b)


def test_no_neighbours_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ratio_margin(np.ones((3, 4)), np.ones((3, 4)), k=0)
