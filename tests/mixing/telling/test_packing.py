"""Packing: every pair is in one document, whole; order is by content; sentences of a paragraph stay together."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixing.telling.packing import bucket_of, pack
from mixing.telling.pairs import TextPair
from mixing.telling.render import RenderConfig, Renderer, StyleWeights
from tests.strategies import ANY_TEXT

TEXTS = st.one_of(st.sampled_from(["", "{target}", "\n\n", "ja", "nein " * 20]), ANY_TEXT)


# Pairs of a few documents, repeated texts and places among them.
_ROWS = st.builds(
    TextPair,
    id=st.just(""),
    src_lang=st.sampled_from(["en", "zh"]),
    tgt_lang=st.just("de"),
    src_text=TEXTS,
    tgt_text=TEXTS,
    document_id=st.sampled_from([None, "a", "b", "\ud800"]),
    sequence=st.integers(0, 8),
)
CORPORA = st.lists(_ROWS, max_size=25).map(
    lambda rows: [dataclasses.replace(row, id=str(number)) for number, row in enumerate(rows)]
)
CONFIGS = st.builds(
    RenderConfig,
    max_chars=st.sampled_from([None, 1, 80, 300, 4_000]),
    separator=st.sampled_from(["\n\n", "", "{source}"]),
    paragraphs=st.booleans(),
    max_missing=st.sampled_from([0, 1, 5]),
    seed=st.integers(0, 3),
)


@given(CORPORA, CONFIGS)
def test_every_pair_is_read_back_from_one_document(pairs: list[TextPair], config: RenderConfig) -> None:
    documents = list(pack(pairs, config))
    told = [(pair.id, *document.texts(pair)) for document in documents for pair in document.pairs]
    assert sorted(told) == sorted((pair.id, pair.src_text, pair.tgt_text) for pair in pairs)


@given(CORPORA, CONFIGS, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(
    pairs: list[TextPair], config: RenderConfig, shuffler: random.Random
) -> None:
    shuffled = list(pairs)
    shuffler.shuffle(shuffled)
    assert list(pack(shuffled, config)) == list(pack(iter(pairs), config))


@given(CORPORA, CONFIGS)
def test_only_what_stands_alone_is_longer_than_the_limit(pairs: list[TextPair], config: RenderConfig) -> None:
    for document in pack(pairs, config):
        assert len(document.pairs) == 1 or config.max_chars is None or len(document.text) <= config.max_chars


def test_pairs_are_packed_as_they_are_rendered_alone() -> None:
    pairs = [TextPair(str(number), "en", "de", f"text {number}", f"Text {number}") for number in range(50)]
    config = RenderConfig(max_chars=500)
    documents = list(pack(pairs, config))
    alone = {pair.id: Renderer(config).render(pair).text for pair in pairs}
    assert 1 < len(documents) < 50
    for document in documents:
        assert document.text == "\n\n".join(alone[pair.id] for pair in document.pairs)
    lengths = [len(document.text) for document in documents]
    following = [alone[document.pairs[0].id] for document in documents[1:]]
    assert all(length + 2 + len(text) > 500 for length, text in zip(lengths, following, strict=False))
    assert len(list(pack(pairs, RenderConfig(max_chars=None)))) == 50


def sentences(document: str | None, count: int, src: str = "en") -> list[TextPair]:
    return [
        TextPair(f"{document}{number}", src, "de", f"{document} {number}.", f"{document} {number}!", document, number)
        for number in range(count)
    ]


def test_a_paragraph_is_told_as_one_text_in_its_order() -> None:
    config = RenderConfig(paragraphs=True, max_chars=None, styles=StyleWeights(concatenation=0))
    pairs = sentences("a", 5) + sentences("b", 3) + sentences("c", 4, "zh") + sentences(None, 2)
    documents = list(pack(pairs[::-1], config))
    by_first = {document.pairs[0].id: document for document in documents}
    assert set(by_first) == {"a0", "b0", "c0", "None0", "None1"}
    for name, count, joint in (("a", 5, " "), ("b", 3, " "), ("c", 4, "")):
        document = by_first[f"{name}0"]
        assert [pair.id for pair in document.pairs] == [f"{name}{number}" for number in range(count)]
        assert joint.join(f"{name} {number}." for number in range(count)) in document.text
        assert " ".join(f"{name} {number}!" for number in range(count)) in document.text
        assert len({(pair.template, pair.direction, pair.style) for pair in document.pairs}) == 1


@given(CORPORA, CONFIGS)
def test_sentences_of_a_document_follow_each_other(pairs: list[TextPair], config: RenderConfig) -> None:
    of = {pair.id: pair for pair in pairs}
    order = [
        of[told.id]
        for document in pack(pairs, config.model_copy(update={"paragraphs": True}))
        for told in document.pairs
    ]
    places = defaultdict(list)
    for place, pair in enumerate(order):
        if pair.document_id is not None:
            places[pair.document_id, pair.src_lang].append((place, pair.sequence))
    for found in places.values():
        numbers, sequences = zip(*found, strict=True)
        assert list(numbers) == list(range(numbers[0], numbers[-1] + 1))
        assert list(sequences) == sorted(sequences)


@pytest.mark.parametrize(("max_missing", "lengths"), [(0, [2, 1, 3]), (1, [3, 3]), (2, [6])])
def test_a_missing_sentence_ends_a_paragraph(max_missing: int, lengths: list[int]) -> None:
    pairs = [pair for pair in sentences("a", 10) if pair.sequence in {0, 1, 3, 6, 7, 8}]
    config = RenderConfig(paragraphs=True, max_chars=None, max_missing=max_missing)
    assert [len(document.pairs) for document in pack(pairs, config)] == lengths


def test_a_long_paragraph_is_divided_between_sentences() -> None:
    config = RenderConfig(paragraphs=True, max_chars=200)
    documents = list(pack(sentences("a", 60), config))
    assert [pair.id for document in documents for pair in document.pairs] == [f"a{number}" for number in range(60)]
    assert all(len(document.text) <= 200 for document in documents)
    assert 3 < len(documents) < 20


def test_buckets_are_even_and_keep_a_paragraph_together() -> None:
    config = RenderConfig()
    pairs = [TextPair(str(number), "en", "de", f"text {number}", "x", f"d{number // 10}") for number in range(8_000)]
    counts = Counter(bucket_of(pair, config, 8) for pair in pairs)
    assert set(counts) == set(range(8))
    assert sum((count - 1_000) ** 2 / 1_000 for count in counts.values()) < 24.32  # once in a thousand, 7 degrees
    whole = config.model_copy(update={"paragraphs": True})
    of_document = defaultdict(set)
    for pair in pairs:
        of_document[pair.document_id].add(bucket_of(pair, whole, 8))
    assert all(len(buckets) == 1 for buckets in of_document.values())
    assert len({bucket for buckets in of_document.values() for bucket in buckets}) == 8
