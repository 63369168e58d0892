"""Items of benchmarks in documents, against brute force over the words themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dedup.decontaminate import BenchmarkIndex, ContaminationConfig, Item, Match, Tokens

WORDS = st.lists(st.sampled_from("abcd"), max_size=14)
ITEMS = st.lists(WORDS, max_size=6)
CONFIGS = st.builds(
    ContaminationConfig,
    benchmarks=st.just(("a.jsonl",)),
    ngram=st.integers(1, 5),
    min_share=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    min_item_tokens=st.integers(1, 6),
)


def tokens(words: list[str], hash_of: Callable[[str], int] = xxhash.xxh3_64_intdigest) -> Tokens:
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    ends = np.cumsum(lengths + 1) - 1 if len(words) else lengths
    hashes = np.array([hash_of(word) for word in words], dtype=np.uint64)
    return Tokens(" ".join(words), ends - lengths, ends, hashes)


def build(
    items: list[list[str]], config: ContaminationConfig, hash_of: Callable[[str], int] = xxhash.xxh3_64_intdigest
) -> BenchmarkIndex:
    return BenchmarkIndex([Item("bench", n, tokens(own, hash_of)) for n, own in enumerate(items, 1)], config)


def share_of(item: list[str], document: list[str], ngram: int) -> float:
    """Return the share of the item's words that lie in an n-gram that the document holds."""
    n = min(ngram, len(item))
    covered = set()
    for start in range(len(item) - n + 1):
        if any(item[start : start + n] == document[at : at + n] for at in range(len(document) - n + 1)):
            covered |= set(range(start, start + n))
    return len(covered) / len(item)


def oracle(items: list[list[str]], document: list[str], config: ContaminationConfig) -> Match | None:
    found = [
        (-share, number)
        for number, item in enumerate(items, 1)
        if len(item) >= config.min_item_tokens and (share := share_of(item, document, config.ngram)) >= config.min_share
    ]
    return Match("bench", min(found)[1], -min(found)[0]) if found else None


@given(ITEMS, st.lists(st.sampled_from("abcd"), max_size=40), CONFIGS)
def test_the_item_that_stands_in_a_document_most_is_found(
    items: list[list[str]], document: list[str], config: ContaminationConfig
) -> None:
    assert build(items, config).find(tokens(document)) == oracle(items, document, config)


@given(ITEMS, st.lists(st.sampled_from("abcd"), max_size=40), CONFIGS)
def test_a_hash_that_collides_makes_no_false_match(
    items: list[list[str]], document: list[str], config: ContaminationConfig
) -> None:
    def weak(word: str) -> int:
        return ord(word) % 2

    match = build(items, config, weak).find(tokens(document, weak))
    if match is not None:
        assert config.min_share <= match.share <= share_of(items[match.number - 1], document, config.ngram)


@given(st.lists(st.integers(0, 10**9), min_size=8, max_size=60, unique=True), st.integers(0, 20), st.integers(0, 20))
def test_a_planted_item_is_found_whatever_stands_around_it(numbers: list[int], before: int, after: int) -> None:
    item = [f"w{number}" for number in numbers]
    index = build([["x"] * 9, item], ContaminationConfig(benchmarks=("a",)))
    document = [f"b{n}" for n in range(before)] + item + [f"a{n}" for n in range(after)]
    assert index.find(tokens(document)) == Match("bench", 2, 1.0)
    assert index.find(tokens(document[: before + 5] + document[before + 6 + len(item) // 2 :])) is None


def test_a_changed_word_costs_one_word() -> None:
    item = [f"w{n}" for n in range(30)]
    index = build([item], ContaminationConfig(benchmarks=("a",)))
    assert index.find(tokens([*item[:15], "other", *item[16:]])) == Match("bench", 1, 29 / 30)


def test_a_phrase_that_an_item_quotes_is_not_the_item() -> None:
    phrase = ["to", "be", "or", "not", "to", "be", "that", "is", "the", "question"]
    index = build([["who", "said", *phrase, "and", "in", "which", "play"]], ContaminationConfig(benchmarks=("a",)))
    assert index.find(tokens(["he", "asked", *phrase, "again"])) is None


def test_short_items_have_to_be_there_as_a_whole() -> None:
    config = ContaminationConfig(benchmarks=("a",), min_item_tokens=3)
    index = build([["none", "of"], ["all", "of", "the", "above"]], config)
    assert len(index) == 1
    assert index.find(tokens(["it", "is", "all", "of", "the", "above", "here"])) == Match("bench", 2, 1.0)
    assert index.find(tokens(["it", "is", "all", "of", "the", "others", "here"])) is None
    assert index.find(tokens(["all", "of"])) is None


def test_equal_items_are_one() -> None:
    words = [f"w{n}" for n in range(10)]
    index = build([words, words], ContaminationConfig(benchmarks=("a",)))
    assert len(index) == 1
    assert index.find(tokens(words)) == Match("bench", 1, 1.0)


def test_a_document_of_one_word_over_and_over() -> None:
    config = ContaminationConfig(benchmarks=("a",))
    index = build([["a"] * 2000, ["a"] * 10, ["a"] * 9 + ["b"]], config)
    assert index.find(tokens(["a"] * 200_000)) == Match("bench", 1, 1.0)
    assert index.find(tokens(["a"] * 8)) == Match("bench", 1, 1.0)
    assert index.find(tokens(["b"] * 1000)) is None


def test_characters_have_defaults_of_their_own() -> None:
    config = ContaminationConfig.model_validate({"benchmarks": ["a"], "tokens": "characters", "ngram": 15})
    assert (config.ngram, config.min_item_tokens, config.min_share) == (15, 20, 0.8)
    assert (ContaminationConfig(benchmarks=("a",)).ngram, ContaminationConfig(benchmarks=("a",)).min_item_tokens) == (
        8,
        8,
    )


@pytest.mark.parametrize("wrong", [{"benchmarks": []}, {"min_share": 0}, {"min_share": 1.1}, {"ngrams": 3}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ContaminationConfig.model_validate({"benchmarks": ["a"], **wrong})
