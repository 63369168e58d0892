"""MinHash and its bands against the theory: the estimate, the S-curve, and near-duplicates that people marked."""

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from dedup.minhash import MinHashConfig, MinHasher, jaccard, mix, shingle_hashes
from filters.words import split_words
from tests.strategies import WORDS

Shingles = NDArray[np.uint64]
CONFIG = MinHashConfig()
HASHER = MinHasher(CONFIG)
UINT64 = st.integers(0, 2**64 - 1)
SETS = st.sets(st.integers(0, 12), max_size=10)


def as_shingles(numbers: set[int]) -> Shingles:
    return np.array(sorted(numbers), dtype=np.uint64)


def pair(generator: np.random.Generator, common: int, apart: int) -> tuple[Shingles, Shingles]:
    """Make two sets of random shingles of Jaccard similarity common / (common + 2 * apart)."""
    values = generator.integers(0, 2**64, common + 2 * apart, dtype=np.uint64)
    return np.unique(values[: common + apart]), np.unique(np.r_[values[:common], values[common + apart :]])


@given(st.lists(UINT64, max_size=50, unique=True))
def test_mixing_can_be_undone(values: list[int]) -> None:
    """So that different shingles stay different: each step of it backwards, in Python's integers."""

    def unshift(value: int, by: int) -> int:
        result = value
        for _ in range(64 // by):
            result = value ^ (result >> by)
        return result

    def unmix(value: int) -> int:
        value = unshift(value, 31) * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
        value = unshift(value, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
        return unshift(value, 30)

    assert [unmix(value) for value in mix(np.array(values, dtype=np.uint64)).tolist()] == values


@given(WORDS, st.integers(1, 6))
def test_shingles_are_the_distinct_ngrams(words: list[str], ngram: int) -> None:
    shingles = shingle_hashes(words, ngram)
    n = min(ngram, len(words))
    expected = {tuple(words[start : start + n]) for start in range(len(words) - n + 1)} if words else set()
    assert len(shingles) == len(expected)
    assert shingles.tolist() == sorted(set(shingles.tolist()))


@given(WORDS, WORDS, st.integers(1, 4))
def test_jaccard_of_documents_is_that_of_their_ngrams(first: list[str], second: list[str], ngram: int) -> None:
    def ngrams(words: list[str]) -> set[tuple[str, ...]]:
        n = min(ngram, len(words))
        return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)} if words else set()

    common, together = ngrams(first) & ngrams(second), ngrams(first) | ngrams(second)
    expected = len(common) / len(together) if together else 0
    assert jaccard(shingle_hashes(first, ngram), shingle_hashes(second, ngram)) == pytest.approx(expected)


@given(SETS, SETS)
def test_jaccard_is_that_of_sets(first: set[int], second: set[int]) -> None:
    expected = len(first & second) / len(first | second) if first | second else 0
    assert jaccard(as_shingles(first), as_shingles(second)) == pytest.approx(expected)


def test_the_order_of_words_counts_inside_a_shingle() -> None:
    assert jaccard(shingle_hashes(["a", "b"], 2), shingle_hashes(["b", "a"], 2)) == 0
    assert jaccard(shingle_hashes(["ab", "c"], 2), shingle_hashes(["a", "bc"], 2)) == 0


@given(st.lists(UINT64, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_a_signature_depends_on_the_set_alone(numbers: list[int], generator: random.Random) -> None:
    distinct = as_shingles(set(numbers))
    shuffled = np.array(generator.sample(numbers * 3, len(numbers) * 3), dtype=np.uint64)
    assert np.array_equal(HASHER.signature(distinct), HASHER.signature(shuffled))


@given(st.lists(UINT64, min_size=1, max_size=20), st.lists(UINT64, min_size=1, max_size=20))
def test_the_signature_of_a_union_is_the_smaller_of_both(first: list[int], second: list[int]) -> None:
    both = HASHER.signature(as_shingles({*first, *second}))
    apart = [HASHER.signature(as_shingles(set(numbers))) for numbers in (first, second)]
    assert np.array_equal(both, np.minimum(*apart))


@pytest.mark.parametrize(("bands", "rows"), [(1, 1), (14, 8), (5, 3), (3, 16), (450, 20)])
def test_shapes(bands: int, rows: int) -> None:
    hasher = MinHasher(MinHashConfig(bands=bands, rows=rows))
    for shingles in (as_shingles(set()), as_shingles({1, 2, 3})):
        signature = hasher.signature(shingles)
        assert signature.shape == (bands * rows,)
        assert hasher.band_keys(signature).shape == (bands,)


def test_the_seed_alone_decides_the_hash_functions() -> None:
    shingles = as_shingles(set(range(100)))
    one, same, other = (MinHasher(MinHashConfig(seed=seed)).signature(shingles) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert (one != other).mean() > 0.99


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("spread", ["random", "consecutive"])
def test_the_estimate_is_unbiased(similarity: float, spread: str) -> None:
    """The share of equal hashes, over many pairs and functions, lies within four standard errors of Jaccard."""
    generator = np.random.default_rng(7)
    size, shares = 400, []
    common = round(2 * size * similarity / (1 + similarity))
    for number in range(60):
        first, second = pair(generator, common, size - common)
        if spread == "consecutive":
            start = number * 10_000
            first = np.arange(start, start + size, dtype=np.uint64)
            second = first + np.uint64(size - common)
            first, second = np.sort(mix(first)), np.sort(mix(second))
        hasher = MinHasher(MinHashConfig(bands=16, rows=16, seed=number))
        shares.append((hasher.signature(first) == hasher.signature(second)).mean())
    true = common / (2 * size - common)
    error = math.sqrt(true * (1 - true) / (256 * len(shares)))
    assert abs(np.mean(shares) - true) < 4 * error
    # The spread of one estimate is the binomial one: the functions are independent of one another.
    assert np.std(shares, ddof=1) == pytest.approx(math.sqrt(true * (1 - true) / 256), rel=0.4)


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (20, 5), (8, 1)])
@pytest.mark.parametrize("similarity", [0.1, 0.3, 0.5, 0.75, 0.85])
def test_bands_meet_with_the_probability_of_the_s_curve(bands: int, rows: int, similarity: float) -> None:
    generator = np.random.default_rng(11)
    size, pairs, met = 60, 250, 0
    common = round(2 * size * similarity / (1 + similarity))
    true = common / (2 * size - common)
    for number in range(pairs):
        # A family of functions for some pairs only: one family's luck would be shared by all of them.
        hasher = MinHasher(MinHashConfig(bands=bands, rows=rows, seed=number // 5))
        first, second = (
            hasher.band_keys(hasher.signature(shingles)) for shingles in pair(generator, common, size - common)
        )
        met += bool((first == second).any())
    expected = 1 - (1 - true**rows) ** bands
    assert abs(met / pairs - expected) < 4 * math.sqrt(expected * (1 - expected) / pairs) + 1 / pairs


def test_the_documented_probabilities_hold() -> None:
    for similarity, probability in [(0.75, 0.77), (0.85, 0.99)]:
        assert 1 - (1 - similarity**CONFIG.rows) ** CONFIG.bands == pytest.approx(probability, abs=0.005)


@given(st.lists(st.integers(0, 2), min_size=12, max_size=12), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_keys_are_equal_where_all_rows_of_a_band_are(first: list[int], second: list[int]) -> None:
    hasher = MinHasher(MinHashConfig(bands=6, rows=2))
    keys = [hasher.band_keys(np.array(rows, dtype=np.uint32)) for rows in (first, second)]
    equal = [first[band * 2 : band * 2 + 2] == second[band * 2 : band * 2 + 2] for band in range(6)]
    assert (keys[0] == keys[1]).tolist() == equal


@given(st.integers(0, 2**32 - 1))
def test_equal_rows_of_different_bands_do_not_meet(row: int) -> None:
    keys = HASHER.band_keys(np.full(CONFIG.permutations, row, dtype=np.uint32))
    assert len(set(keys.tolist())) == CONFIG.bands


def test_rows_in_another_order_do_not_meet() -> None:
    hasher = MinHasher(MinHashConfig(bands=1, rows=4))
    keys = {int(hasher.band_keys(np.array(rows, dtype=np.uint32))[0]) for rows in itertools.permutations([0, 1, 2, 3])}
    assert len(keys) == math.factorial(4)


@pytest.mark.parametrize(
    "data", [{"bands": 0}, {"rows": 0}, {"ngram": 0}, {"min_similarity": 1.1}, {"max_leaders": 0}, {"partitions": 0}]
)
def test_values_out_of_range_are_refused(data: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(data))):
        MinHashConfig.model_validate(data)


def test_the_pairs_that_people_marked_are_found(data_folder: Path) -> None:
    """A thousand news articles with ten near-duplicate pairs: the bands propose them, Jaccard tells them apart."""
    folder = data_folder / "dedup" / "articles" / "data"
    if not (folder / "articles_1000.train").is_file():
        pytest.skip(f"no articles in {folder}")
    truth = {
        frozenset(line.split()) for line in (folder / "articles_1000.truth").read_text(encoding="utf-8").splitlines()
    }
    shingles: dict[str, Shingles] = {}
    buckets: dict[tuple[int, int], list[str]] = {}
    for line in (folder / "articles_1000.train").read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition(" ")
        shingles[name] = shingle_hashes(split_words(text, "spaces"), CONFIG.ngram)
        for band, key in enumerate(HASHER.band_keys(HASHER.signature(shingles[name])).tolist()):
            buckets.setdefault((band, key), []).append(name)
    proposed = {frozenset(names) for bucket in buckets.values() for names in itertools.combinations(bucket, 2)}
    similar = {names for names in proposed if jaccard(*(shingles[name] for name in names)) >= CONFIG.min_similarity}
    assert len(truth) == 10
    assert similar == truth
