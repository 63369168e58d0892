"""Greedy choice among similar embeddings, against brute force; encoders that misbehave; clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import dedup.semantic
from configs.errors import UserError
from dedup.hashed_encoder import hashed_encoder
from dedup.semantic import SemanticConfig, centroids, embed, nearest, semantic_duplicates

# Few directions, so that many texts are similar, some equally so, and some have no embedding at all.
VECTORS = st.lists(st.tuples(*[st.integers(-2, 3)] * 3), max_size=30)
Choice = list[tuple[int, int, float]]


def unit(vectors: object) -> NDArray[np.float32]:
    found = np.array(vectors, dtype=np.float64).reshape(-1, 3)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def oracle(embeddings: NDArray[np.float32], minimum: float, fixed: int) -> Choice:
    """Decide document by document, from the best on, with exact products."""
    gone: Choice = []
    stays: list[int] = []
    for number, own in enumerate(embeddings.astype(np.float64)):
        found = [(-round(float(own @ embeddings[other].astype(np.float64)), 6), other) for other in stays]
        similar = [pair for pair in found if -pair[0] >= minimum]
        if number < fixed or not similar:
            stays.append(number)
        else:
            gone.append((number, min(similar)[1], -min(similar)[0]))
    return gone


def chosen(embeddings: NDArray[np.float32], minimum: float, fixed: int = 0, block: int = 512) -> Choice:
    found = semantic_duplicates(embeddings, minimum, fixed, block)
    return list(zip(found.gone.tolist(), found.kept.tolist(), found.similarity.tolist(), strict=True))


@given(VECTORS, st.sampled_from([0.3, 0.7, 0.98, 1.0]), st.integers(0, 5), st.integers(1, 8), st.integers(1, 8))
def test_each_document_goes_for_the_most_similar_one_that_stays(
    vectors: list[tuple[int, int, int]], minimum: float, fixed: int, block: int, kept_block: int
) -> None:
    embeddings = unit(vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup.semantic, "_KEPT_BLOCK", kept_block)
        patch.setattr(dedup.semantic, "_PAIRS", 3)
        assert chosen(embeddings, minimum, fixed, block) == oracle(embeddings, minimum, fixed)


def test_many_documents() -> None:
    generator = np.random.default_rng(1)
    embeddings = generator.normal(size=(1500, 40))
    embeddings[500:] = embeddings[generator.integers(0, 500, 1000)] + 0.6 * generator.normal(size=(1000, 40))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    found = chosen(embeddings, 0.8)
    assert 100 < len(found) < 1400
    assert found == oracle(embeddings, 0.8, 0) == chosen(embeddings, 0.8, block=77)


def test_copies_cost_next_to_nothing_and_go_for_the_best() -> None:
    found = semantic_duplicates(np.repeat(unit([(1, 2, 3)]), 100_000, axis=0), 0.9)
    assert found.gone.tolist() == list(range(1, 100_000))
    assert set(found.kept.tolist()) == {0}
    assert set(found.similarity.tolist()) == {1.0}


def test_what_is_similar_to_a_document_that_goes_stays() -> None:
    degrees = np.radians([0, 40, 80])
    chain = np.stack([np.cos(degrees), np.sin(degrees), np.zeros(3)], axis=1).astype(np.float32)
    assert chosen(chain, 0.7) == [(1, 0, round(float(np.cos(np.radians(40))), 6))]


def test_texts_without_an_embedding_are_similar_to_none() -> None:
    assert chosen(unit([(0, 0, 0), (0, 0, 0), (1, 0, 0)]), 0.1) == []


class Fixed:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def encode(self, texts: list[str]) -> NDArray[np.floating]:
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((3, 4)), "shape"),
        (np.zeros((2, 0)), "shape"),
        (None, "array of numbers|shape"),
        ([[1, 2], [3]], "array of numbers"),
        ([["a", "b"], ["c", "d"]], "array of numbers"),
        ([[1, np.nan], [1, 2]], "not finite"),
        ([[1, np.inf], [1, 2]], "not finite"),
    ],
)
def test_an_encoder_that_misbehaves_is_named(answer: object, message: str) -> None:
    with pytest.raises(UserError, match=rf"encoder own\.model:make .*({message})"):
        embed(Fixed(answer), "own.model:make", ["a", "b"])


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1.0, 1e200])
def test_embeddings_of_any_length_have_length_one(scale: float) -> None:
    found = embed(Fixed([[3 * scale, 4 * scale], [0, 0]]), "x", ["a", "b"])
    assert found.dtype == np.float32
    assert found.ravel().tolist() == pytest.approx([0.6, 0.8, 0, 0])


@pytest.mark.parametrize("name", ["", "module", "module:", ":make", "a/b:make", "a:b.c"])
def test_the_name_of_an_encoder_has_two_parts(name: str) -> None:
    with pytest.raises(ValueError, match="encoder"):
        SemanticConfig(encoder=name)


def test_clusters_of_points_that_lie_apart() -> None:
    generator = np.random.default_rng(2)
    corners = np.concatenate([np.eye(4), np.repeat(np.eye(4), 50, axis=0)[generator.permutation(200)]])
    points = (corners + 0.05 * generator.normal(size=corners.shape)).astype(np.float32)
    cluster = nearest(points, centroids(points, 4))
    assert len(set(zip(cluster.tolist(), corners.argmax(axis=1).tolist(), strict=True))) == 4


def test_there_are_no_more_clusters_than_different_texts() -> None:
    assert len(centroids(np.repeat(unit([(1, 0, 0), (0, 1, 0)]), 10, axis=0), 5)) == 2
    assert nearest(unit([(1, 1, 0)]), centroids(unit([(1, 0, 0), (0, 1, 0)]), 2)).tolist() == [0]


def similarity(one: str, other: str) -> float:
    first, second = embed(hashed_encoder(), "hashed", [one, other])
    return float(first @ second)


QUESTION = "What is the capital of the largest country in South America, and since when?"


@pytest.mark.parametrize(
    ("other", "low", "high"),
    [
        (QUESTION, 1.0, 1.0),
        (QUESTION.upper().replace(" ", "  "), 1.0, 1.0),
        (QUESTION.replace("capital", "capitol"), 0.85, 0.99),
        ("And since when, what is the capital of the largest country in South America?", 0.75, 0.99),
        ("How many legs does a spider have, and why are there no insects with so many?", -0.3, 0.35),
        ("Πόσα πόδια έχει μια αράχνη;", -0.3, 0.2),
        ("", 0.0, 0.2),
    ],
)
def test_the_encoder_without_a_model_knows_spelling(other: str, low: float, high: float) -> None:
    assert low - 1e-6 <= similarity(QUESTION, other) <= high + 1e-6


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_the_encoder_without_a_model_takes_any_text(texts: list[str]) -> None:
    together = embed(hashed_encoder(), "hashed", texts)
    alone = [embed(hashed_encoder(), "hashed", [text])[0] for text in texts]
    assert np.array_equal(together, np.stack(alone))
