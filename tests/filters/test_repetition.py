"""Repetition measures against brute force over lists of words."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from filters.repetition import duplicate_ngram_share, duplicate_share, ngram_hashes, top_ngram_share
from tests.filters.oracles import characters, naive_duplicate_share, naive_top_share, ngrams
from tests.strategies import WORDS

SIZES = st.integers(1, 12)


def as_arrays(words: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    numbers: dict[str, int] = {}
    values = [numbers.setdefault(word, len(numbers) + 1) for word in words]
    return np.array(values, dtype=np.uint64), np.array([len(word) for word in words], dtype=np.int64)


@given(WORDS, SIZES)
def test_ngrams_share_a_hash_where_their_words_are_equal(words: list[str], n: int) -> None:
    hashes = ngram_hashes(as_arrays(words)[0], n).tolist()
    expected = ngrams(words, n)
    assert len(hashes) == len(expected)
    assert len(set(zip(hashes, expected, strict=True))) == len(set(hashes)) == len(set(expected))


@given(WORDS, SIZES)
def test_duplicate_ngrams_equal_brute_force(words: list[str], n: int) -> None:
    assert duplicate_ngram_share(*as_arrays(words), n) == pytest.approx(naive_duplicate_share(words, n))


@given(WORDS, SIZES)
def test_the_top_ngram_equals_brute_force(words: list[str], n: int) -> None:
    assert top_ngram_share(*as_arrays(words), n) == pytest.approx(naive_top_share(words, n))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [2, 3, 4, 5, 10])
def test_long_texts_equal_brute_force(seed: int, n: int) -> None:
    """A long passage that stands twice: hundreds of n-grams are equally frequent, of very different widths."""
    generator = random.Random(seed)
    passage = ["x" * generator.randint(1, 20) + str(number) for number in range(400)]
    words = [*passage, "between", *passage[:350]]
    assert top_ngram_share(*as_arrays(words), n) == pytest.approx(naive_top_share(words, n))
    assert duplicate_ngram_share(*as_arrays(words), n) == pytest.approx(naive_duplicate_share(words, n))


@given(WORDS, SIZES)
def test_a_repeated_text_is_at_least_half_duplicate(words: list[str], n: int) -> None:
    words = [*words, *["end"] * n]
    assert duplicate_ngram_share(*as_arrays(words * 2), n) >= 0.5


@given(st.lists(st.integers(), unique=True, max_size=40), SIZES)
def test_a_text_of_different_words_repeats_nothing(numbers: list[int], n: int) -> None:
    arrays = as_arrays([f"word{number}" for number in numbers])
    assert duplicate_ngram_share(*arrays, n) == 0
    assert top_ngram_share(*arrays, n) == 0


@given(st.lists(st.sampled_from(["", "a", "bb", "cccc", "A"]), max_size=20))
def test_duplicate_pieces_equal_brute_force(pieces: list[str]) -> None:
    repeated = [piece for position, piece in enumerate(pieces) if piece in pieces[:position]]
    assert duplicate_share(pieces) == pytest.approx(characters(repeated) / max(1, characters(pieces)))
