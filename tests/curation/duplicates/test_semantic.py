"""Short texts that say the same, through parts: as if all were compared in one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import UserError
from curation.duplicates.semantic import EmbedPart, SemanticLanguage, embed_part, load_encoder, semantic_language
from dedup.hashed_encoder import hashed_encoder
from dedup.semantic import SemanticConfig, embed
from tests.curation.duplicates.made_parts import MadeParts, Page, duplicates, make_parts, run

CONFIG = SemanticConfig(encoder="dedup.hashed_encoder:hashed_encoder", max_chars=40, batch=3)
FILE = "duplicates.parquet"
PHRASES = st.sampled_from(["how old is the earth", "how tall is", "the moon", "a question", "who wrote it", "?"])
TEXTS = st.lists(st.lists(PHRASES, max_size=4).map(" ".join), max_size=14)


def find(folder: Path, made: MadeParts, config: SemanticConfig, language: str = "en") -> dict[int, tuple[int, float]]:
    return duplicates(made, [run(semantic_language, payload_of(folder, made, config, language), folder) / FILE])


def payload_of(folder: Path, made: MadeParts, config: SemanticConfig, language: str) -> SemanticLanguage:
    embedded = {part.number: run(embed_part, EmbedPart(part, (), config), folder) for part in made.parts}
    return SemanticLanguage(language, embedded, made.identities, made.base_parts, config)


def oracle(pages: list[Page], config: SemanticConfig, language: str) -> dict[int, tuple[int, float]]:
    stays: list[tuple[Page, NDArray[np.float64]]] = []
    gone = {}
    for page in sorted(pages, key=lambda page: page.order):
        if page.language != language or len(page.text) > config.max_chars or not page.text.strip():
            continue
        own = embed(hashed_encoder(), "", [page.text])[0].astype(np.float64)
        similar = [(round(float(own @ other), 6), kept.number) for kept, other in stays]
        best = max((similarity for similarity, _ in similar), default=0.0)
        if not page.base and best >= config.min_similarity:
            gone[page.number] = next((number, similarity) for similarity, number in similar if similarity == best)
        else:
            stays.append((page, own))
    return gone


@settings(max_examples=50)
@given(TEXTS, st.integers(1, 5))
def test_it_is_as_if_all_were_compared_in_one_place(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], part_size: int
) -> None:
    folder = tmp_path_factory.mktemp("semantic")
    pages = [Page(text, n, base=n % 5 == 4, language="el" if n % 4 == 3 else "en") for n, text in enumerate(texts)]
    made = make_parts(folder, pages, part_size)
    for language in ("en", "el"):
        found, expected = find(folder, made, CONFIG, language), oracle(pages, CONFIG, language)
        assert {own: kept for own, (kept, _) in found.items()} == {own: kept for own, (kept, _) in expected.items()}
        for number, (_, similarity) in found.items():
            assert similarity == pytest.approx(expected[number][1], abs=2e-6)


def test_clusters_find_what_is_clearly_similar_whatever_the_parts(tmp_path: Path) -> None:
    words = [f"{a}{b}" for a in ("lo", "ka", "mi", "su", "pe") for b in ("ro", "ti", "na", "du", "fe", "gy")]
    generator = np.random.default_rng(1)
    pages = []
    for number in range(120):
        text = " ".join(generator.choice(words, 5))
        pages += [Page(text, 2 * number), Page(f"{text}!", 2 * number + 1)]
    config = CONFIG.model_copy(update={"max_documents": 60})
    results = []
    for part_size in (30, 240):
        folder = tmp_path / str(part_size)
        folder.mkdir()
        results.append(find(folder, make_parts(folder, pages, part_size), config))
    assert results[0] == results[1]
    # The longer one of two twins stays, or both go for another one.
    assert sum(number in results[0] for number in range(0, 240, 2)) > 110
    for kept, similarity in results[0].values():
        assert kept not in results[0]
        assert similarity >= CONFIG.min_similarity
    counts = semantic_language(
        payload_of(tmp_path, make_parts(tmp_path, pages, 90), config, "en"), tmp_path, tmp_path
    ).counts
    assert counts["documents"] == 240
    assert counts["clusters"] >= 4
    assert counts["largest_cluster"] <= 60


def test_copies_that_no_cluster_parts_are_found(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"max_documents": 5})
    found = find(tmp_path, make_parts(tmp_path, [Page("the same text", n) for n in range(50)], 20), config)
    assert len(found) == 49
    assert len({kept for kept, _ in found.values()}) == 1


def test_nothing_to_compare(tmp_path: Path) -> None:
    assert find(tmp_path, make_parts(tmp_path, [Page("", 0), Page("x" * 41, 1)], 1), CONFIG) == {}


def uneven() -> object:
    """An encoder whose embeddings have other lengths for other batches."""

    class Uneven:
        def encode(self, texts: list[str]) -> NDArray[np.floating]:
            return np.ones((len(texts), len(texts)))

    return Uneven()


def no_encoder() -> object:
    return 1


@pytest.mark.parametrize("sizes", [5, 2])
def test_embeddings_of_different_lengths_are_an_error(tmp_path: Path, sizes: int) -> None:
    """Within a part and between parts."""
    config = CONFIG.model_copy(update={"encoder": f"{__name__}:uneven"})
    made = make_parts(tmp_path, [Page("text", n) for n in range(5)], sizes)
    with pytest.raises(UserError, match="uneven returned embeddings of different lengths"):
        find(tmp_path, made, config)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.x:make", "cannot load the encoder no_such_package"),
        ("dedup.hashed_encoder:make", "cannot load the encoder"),
        ("dedup.hashed_encoder:_STEP", "no function"),
        (f"{__name__}:no_encoder", "no function"),
    ],
)
def test_an_encoder_that_is_none_is_named(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_encoder(name)
