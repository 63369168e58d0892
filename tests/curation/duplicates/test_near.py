"""Exact and near duplicates over parts and partitions, against brute force on the texts themselves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates import near_phases
from curation.duplicates.config import ExactConfig
from dedup.minhash import MinHashConfig
from tests.curation.duplicates.made_parts import Page
from tests.curation.duplicates.whole_job import Outcome, deduplicate

MINIMUM = 0.7
CONFIG = MinHashConfig(min_similarity=MINIMUM)
# Few words, so that random texts meet often, some nearly and some quite equal.
WORDS = st.lists(st.sampled_from(["ένα", "δύο", "Τρία", "πέντε"]), min_size=0, max_size=12)
# Windows over one text: chains, of which neighbours are alike and the ends are not.
LONG = [f"λέξη{number}" for number in range(45)]
WINDOWS = st.tuples(st.integers(0, 15), st.integers(24, 30)).map(lambda own: LONG[own[0] : own[0] + own[1]])
TEXTS = st.lists(st.one_of(WORDS, WINDOWS).map(" ".join), min_size=1, max_size=25)


def config(partitions: int) -> MinHashConfig:
    return MinHashConfig(min_similarity=MINIMUM, partitions=partitions)


@contextmanager
def edges_per_partition(count: int) -> Iterator[None]:
    """Take few edges for too many for one task, so that clusters are looked for over partitions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_phases, "EDGES_PER_PARTITION", count)
        yield


def pages_of(texts: list[str], base: int = 0) -> list[Page]:
    """Return documents, the last ones of them of the base."""
    return [Page(text, n, str(n), language="el", base=n >= len(texts) - base) for n, text in enumerate(texts)]


def ngrams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    n = min(CONFIG.ngram, len(words))
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)} if words else set()


def similarity(first: str, second: str) -> float:
    one, two = ngrams(first), ngrams(second)
    return len(one & two) / len(one | two)


def check(outcome: Outcome, texts: list[str], base: set[int]) -> None:
    """Check all that is promised of what goes and of what stays, whatever the texts."""
    pages = {page.number: page for page in outcome.made.pages.values()}
    best: dict[str, Page] = {}
    for page in sorted(pages.values(), key=lambda page: page.order):
        best.setdefault(page.text.casefold(), page)
    equal = {n: (best[page.text.casefold()].number, 1.0) for n, page in pages.items()}
    assert outcome.exact == {n: own for n, own in equal.items() if own[0] != n and n not in base}
    for number, (kept, value) in outcome.near.items():
        assert kept not in outcome.gone
        assert pages[kept].order < pages[number].order
        assert value == pytest.approx(similarity(texts[number], texts[kept]))
        assert value >= MINIMUM
    assert not outcome.gone.keys() & base
    assert sum(outcome.sizes[number] for number in outcome.kept) == len(pages)


@settings(max_examples=25)
@given(TEXTS, st.integers(1, 7), st.integers(1, 3), st.sampled_from([1, 2, 10**6]))
def test_what_goes_is_truly_similar_to_what_stays(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], part_size: int, partitions: int, edges: int
) -> None:
    with edges_per_partition(edges):
        outcome = deduplicate(tmp_path_factory.mktemp("near"), pages_of(texts), part_size, config(partitions))
    check(outcome, texts, set())


@settings(max_examples=10)
@given(TEXTS, st.integers(1, 20), st.integers(1, 7))
def test_a_corpus_that_stands_already_stays(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], base: int, part_size: int
) -> None:
    base = min(base, len(texts))
    outcome = deduplicate(tmp_path_factory.mktemp("base"), pages_of(texts, base), part_size, config(2))
    check(outcome, texts, set(range(len(texts) - base, len(texts))))


@settings(max_examples=6)
@given(TEXTS, st.randoms(use_true_random=False))
def test_parts_partitions_and_the_order_of_documents_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], generator: random.Random
) -> None:
    results = []
    for part_size, partitions, edges in ((100, 1, 10**6), (1, 1, 1), (3, 5, 2), (4, 2, 1)):
        pages = pages_of(texts)
        if part_size != 100:
            generator.shuffle(pages)
        with edges_per_partition(edges):
            found = deduplicate(
                tmp_path_factory.mktemp("same"),
                pages,
                part_size,
                config(partitions),
                ExactConfig(partitions=partitions),
            )
        results.append((found.exact, found.near, dict(sorted(found.sizes.items()))))
    assert results[1:] == results[:1] * 3


def similar_texts(groups: int, copies: int, seed: int = 1) -> list[str]:
    """Return groups of texts of 200 words, of which each but the first has one word changed."""
    generator, texts = random.Random(seed), []
    for _ in range(groups):
        words = [f"w{generator.randrange(10**9)}" for _ in range(200)]
        for copy in range(copies):
            place = generator.randrange(200)
            texts.append(" ".join([*words[:place], "other", *words[place + 1 :]] if copy else words))
    return texts


def test_most_near_duplicates_are_found(tmp_path: Path) -> None:
    texts = similar_texts(60, 2)
    outcome = deduplicate(tmp_path, pages_of(texts), 50, CONFIG)
    pairs = {frozenset((number, kept)) for number, (kept, _) in outcome.near.items()}
    assert pairs <= {frozenset((n, n + 1)) for n in range(0, 120, 2)}
    assert len(pairs) >= 57


def test_clusters_over_many_partitions_of_edges(tmp_path: Path) -> None:
    """Forty clusters of ten, their edges in several partitions, as with all edges in one."""
    texts = similar_texts(40, 10)
    whole = deduplicate(tmp_path / "whole", pages_of(texts), 70, config(1))
    with edges_per_partition(200):
        cut = deduplicate(tmp_path / "cut", pages_of(texts), 70, config(4))
    assert {"links", "stars", "label"} <= set(cut.phases)
    assert not {"links", "stars", "label"} & set(whole.phases)
    assert cut.phases.count("stars") <= 10
    assert (cut.exact, cut.near, cut.sizes) == (whole.exact, whole.near, whole.sizes)
    assert {kept // 10 for kept, _ in cut.near.values()} == set(range(40))
    assert all(kept // 10 == number // 10 for number, (kept, _) in cut.near.items())
    assert len(cut.gone) == 360


def test_rows_that_are_not_kept_take_no_part(tmp_path: Path) -> None:
    texts = similar_texts(3, 3)
    outcome = deduplicate(tmp_path, pages_of(texts), 4, CONFIG, left_out=[0, 4, 8])
    assert set(outcome.near) | {kept for kept, _ in outcome.near.values()} <= {1, 2, 3, 5, 6, 7}
    assert len(outcome.near) == 3


def test_a_text_without_words_is_like_no_other(tmp_path: Path) -> None:
    outcome = deduplicate(tmp_path, pages_of(["", "  \n", "…", "!!!", "?"]), 2, CONFIG)
    assert outcome.gone.keys() == {0} or outcome.gone.keys() == {1}
    assert not outcome.near
