"""MinHash and its bands against the theory, datasketch, and near duplicates that people marked."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from dedup.minhash import PRESETS, MinHashConfig, MinHasher, jaccard, mix, shingles_of_texts
from dedup.s_curve import curve, probability, steepest
from filters.words import shingle_units, word_hash, words_of_texts
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


def joined(sets: Sequence[Shingles]) -> tuple[Shingles, NDArray[np.int64]]:
    """Return the shingles of several documents as one array, and their borders."""
    return np.concatenate([as_shingles(set()), *sets]), np.cumsum([0, *map(len, sets)])


def shingle_lists(documents: Sequence[Sequence[str]], ngram: int) -> list[list[int]]:
    """Return the shingles of documents given by their words, in the order of the text."""
    hashes = np.array([word_hash(word) for words in documents for word in words], dtype=np.uint64)
    shingles, borders = shingles_of_texts(hashes, np.cumsum([0, *map(len, documents)]), ngram)
    assert len(borders) == len(documents) + 1
    return [shingles[start:end].tolist() for start, end in itertools.pairwise(borders.tolist())]


def shingle_set(words: Sequence[str], ngram: int) -> Shingles:
    return as_shingles(set(shingle_lists([words], ngram)[0]))


def ngrams(words: Sequence[str], ngram: int) -> list[tuple[str, ...]]:
    """Return the word n-grams in the order of the text; of a shorter text all its words."""
    n = min(ngram, len(words))
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)] if words else []


@given(st.lists(UINT64, max_size=50, unique=True))
def test_mixing_can_be_undone(values: list[int]) -> None:
    """So that different shingles stay different: each step of it backwards, in Python's integers."""

    def unshift(value: int, by: int) -> int:
        result = value
        for _ in range(64 // by):
            result = value ^ (result >> by)
        return result

    def unmix(value: int) -> int:
        value = unshift(value, 33) * pow(0xC4CEB9FE1A85EC53, -1, 2**64) % 2**64
        value = unshift(value, 33) * pow(0xFF51AFD7ED558CCD, -1, 2**64) % 2**64
        return unshift(value, 33)

    assert [unmix(value) for value in mix(np.array(values, dtype=np.uint64)).tolist()] == values


@given(st.lists(WORDS, max_size=6), st.integers(1, 6))
def test_shingles_are_the_ngrams_in_their_order(documents: list[list[str]], ngram: int) -> None:
    """Equal n-grams have equal shingles and different ones different ones, in whichever document they stand."""
    found = [number for own in shingle_lists(documents, ngram) for number in own]
    expected = [own for words in documents for own in ngrams(words, ngram)]
    assert len(found) == len(expected)
    assert len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))


@given(st.lists(WORDS, max_size=6), st.integers(1, 6))
def test_the_shingles_of_a_document_do_not_depend_on_the_others(documents: list[list[str]], ngram: int) -> None:
    assert shingle_lists(documents, ngram) == [shingle_lists([words], ngram)[0] for words in documents]


@given(WORDS, WORDS, st.integers(1, 4))
def test_jaccard_of_documents_is_that_of_their_ngrams(first: list[str], second: list[str], ngram: int) -> None:
    one, other = set(ngrams(first, ngram)), set(ngrams(second, ngram))
    expected = len(one & other) / len(one | other) if one | other else 0
    assert jaccard(shingle_set(first, ngram), shingle_set(second, ngram)) == pytest.approx(expected)


@given(SETS, SETS)
def test_jaccard_is_that_of_sets(first: set[int], second: set[int]) -> None:
    expected = len(first & second) / len(first | second) if first | second else 0
    assert jaccard(as_shingles(first), as_shingles(second)) == pytest.approx(expected)


def test_the_order_of_words_counts_inside_a_shingle() -> None:
    assert jaccard(shingle_set(["a", "b"], 2), shingle_set(["b", "a"], 2)) == 0
    assert jaccard(shingle_set(["ab", "c"], 2), shingle_set(["a", "bc"], 2)) == 0


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


@given(st.lists(st.sets(UINT64, max_size=30), max_size=8))
def test_signatures_of_a_batch_are_those_of_each_document(sets: list[set[int]]) -> None:
    arrays = [as_shingles(own) for own in sets]
    shingles, borders = joined(arrays)
    found = HASHER.signatures(shingles, borders)
    assert found.shape == (len(sets), CONFIG.permutations)
    for own, signature in zip(arrays, found, strict=True):
        assert np.array_equal(HASHER.signature(own), signature)
    assert np.array_equal(HASHER.band_keys(found), np.array([HASHER.band_keys(own) for own in found]).reshape(-1, 14))


def test_signatures_of_a_batch_of_long_documents_are_those_of_each() -> None:
    """Shingles are hashed in chunks: documents below, at and far above the length of one."""
    generator = np.random.default_rng(2)
    lengths = [0, 3, 16_384, 0, 1, 16_383, 50_000, 2, 0, 16_385, 7, 0]
    arrays = [generator.integers(0, 2**64, length, dtype=np.uint64) for length in lengths]
    hasher = MinHasher(MinHashConfig(bands=2, rows=3))
    factors, offsets = MinHash(num_perm=6, seed=1, scheme="affine64").permutations
    found = hasher.signatures(*joined(arrays))
    for own, signature in zip(arrays, found, strict=True):
        values = [
            (mix(own) * factor + offset).min(initial=2**64 - 1) for factor, offset in zip(factors, offsets, strict=True)
        ]
        assert signature.tolist() == values


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
    """FineWeb's: a pair of similarity 0.75 meets with 77%, one of 0.85 with 99%."""
    for similarity, expected in [(0.75, 0.77), (0.85, 0.99)]:
        assert probability(similarity, CONFIG.bands, CONFIG.rows) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (450, 20), (1, 1), (20, 5)])
def test_the_curve_rises_from_nought_to_one_and_is_steep_where_it_says(bands: int, rows: int) -> None:
    config = MinHashConfig(bands=bands, rows=rows)
    points = curve(config, [number / 1000 for number in range(1001)])
    likely = [likely for _, likely, _ in points]
    assert likely == sorted(likely)
    assert (likely[0], likely[-1]) == (0, 1)
    assert next(similarity for similarity, _, duplicate in points if duplicate) == config.min_similarity
    assert 0.6 < probability(steepest(bands, rows), bands, rows) <= 1


def test_a_preset_fills_what_is_not_named() -> None:
    assert MinHashConfig() == MinHashConfig(preset="fineweb")
    assert (CONFIG.bands, CONFIG.rows, CONFIG.ngram, CONFIG.min_similarity) == (14, 8, 5, 0.75)
    refined = MinHashConfig(preset="refinedweb")
    assert (refined.bands, refined.rows, refined.ngram, refined.min_similarity) == (450, 20, 5, 0.8)
    assert refined.permutations == 9000
    assert MinHashConfig(preset="refinedweb", bands=3).rows == 20
    assert MinHashConfig(preset="refinedweb", bands=3).bands == 3
    for name, values in PRESETS.items():
        plain = MinHashConfig.model_validate({"preset": name}).model_dump()
        assert {key: plain[key] for key in values} == values
        assert MinHashConfig.model_validate(plain) == MinHashConfig.model_validate({"preset": name})


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValidationError, match="preset"):
        MinHashConfig.model_validate({"preset": "c4"})


@given(st.lists(st.integers(0, 2), min_size=12, max_size=12), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_keys_are_equal_where_all_rows_of_a_band_are(first: list[int], second: list[int]) -> None:
    hasher = MinHasher(MinHashConfig(bands=6, rows=2))
    keys = [hasher.band_keys(np.array(rows, dtype=np.uint64)) for rows in (first, second)]
    equal = [first[band * 2 : band * 2 + 2] == second[band * 2 : band * 2 + 2] for band in range(6)]
    assert (keys[0] == keys[1]).tolist() == equal


@given(st.integers(0, 2**32 - 1))
def test_equal_rows_of_different_bands_do_not_meet(row: int) -> None:
    keys = HASHER.band_keys(np.full(CONFIG.permutations, row, dtype=np.uint64))
    assert len(set(keys.tolist())) == CONFIG.bands


def test_rows_in_another_order_do_not_meet() -> None:
    hasher = MinHasher(MinHashConfig(bands=1, rows=4))
    keys = {int(hasher.band_keys(np.array(rows, dtype=np.uint64))[0]) for rows in itertools.permutations([0, 1, 2, 3])}
    assert len(keys) == math.factorial(4)


@pytest.mark.parametrize(
    "data", [{"bands": 0}, {"rows": 0}, {"ngram": 0}, {"min_similarity": 1.1}, {"max_leaders": 0}, {"partitions": 0}]
)
def test_values_out_of_range_are_refused(data: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(data))):
        MinHashConfig.model_validate(data)


@given(st.sets(UINT64, max_size=40), st.integers(0, 2**32 - 1))
def test_signatures_are_those_of_datasketch(numbers: set[int], seed: int) -> None:
    config = MinHashConfig(bands=4, rows=5, seed=seed)
    peer = MinHash(num_perm=20, seed=seed, scheme="affine64", hashfunc=int)
    peer.update_batch(sorted(numbers))
    assert MinHasher(config).signature(as_shingles(numbers)).tolist() == peer.hashvalues.tolist()


def read_articles(folder: Path, count: int) -> tuple[dict[str, str], set[frozenset[str]]]:
    """Return news articles by name, and the pairs among them that people marked."""
    folder = folder / "dedup" / "articles" / "data"
    if not (folder / f"articles_{count}.train").is_file():
        pytest.skip(f"no articles in {folder}")
    lines = (folder / f"articles_{count}.train").read_text(encoding="utf-8").splitlines()
    marked = (folder / f"articles_{count}.truth").read_text(encoding="utf-8").splitlines()
    texts = {name: text for name, _, text in (line.partition(" ") for line in lines)}
    return texts, {frozenset(line.split()) for line in marked}


def test_the_pairs_that_people_marked_are_found(data_folder: Path) -> None:
    """A thousand news articles with ten near-duplicate pairs: the bands propose them, Jaccard tells them apart.

    datasketch's index, given the same shingles, proposes the same pairs.
    """
    texts, marked = read_articles(data_folder, 1000)
    shingles, borders = shingles_of_texts(*words_of_texts(list(texts.values()), shingle_units("spaces")), CONFIG.ngram)
    sets = {name: np.unique(shingles[borders[n] : borders[n + 1]]) for n, name in enumerate(texts)}
    signatures = HASHER.signatures(shingles, borders)
    buckets: dict[tuple[int, int], list[str]] = {}
    for name, keys in zip(texts, HASHER.band_keys(signatures).tolist(), strict=True):
        for band, key in enumerate(keys):
            buckets.setdefault((band, key), []).append(name)
    proposed = {frozenset(names) for bucket in buckets.values() for names in itertools.combinations(bucket, 2)}
    index = MinHashLSH(num_perm=CONFIG.permutations, params=(CONFIG.bands, CONFIG.rows))
    peers = {}
    for name, own in sets.items():
        peers[name] = MinHash(num_perm=CONFIG.permutations, seed=CONFIG.seed, scheme="affine64", hashfunc=int)
        peers[name].update_batch(own.tolist())
        index.insert(name, peers[name])
    assert proposed == {frozenset((name, o)) for name, own in peers.items() for o in index.query(own) if o != name}
    similar = {names for names in proposed if jaccard(*(sets[name] for name in names)) >= CONFIG.min_similarity}
    assert len(marked) == 10
    assert similar == marked
