"""No source trains on what another one holds out, whatever stood before, and whatever the order of the sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixing.tokens.disjoint import StandingShard, find_in_standing
from mixing.tokens.fingerprints import is_in, shared
from mixing.tokens.validation import ValidationConfig
from tests.mixing.tokens.divided import Divided, MadeCorpus, divide

TEXTS = st.sampled_from([f"{letter} {number}" for letter in "αβγ" for number in range(9)] + ["Α  1", "β\n2"])
DOCUMENTS = st.lists(st.tuples(TEXTS, st.none() | st.lists(st.integers(100, 130), min_size=2, max_size=2)), max_size=7)
CONFIGS = st.builds(ValidationConfig, share=st.sampled_from([0.2, 0.5]), seed=st.integers(0, 3)) | st.builds(
    ValidationConfig, documents=st.integers(1, 4), seed=st.integers(0, 3)
)


@st.composite
def corpora(draw: st.DrawFn, name: str) -> MadeCorpus:
    files = draw(st.lists(DOCUMENTS.filter(bool), min_size=1, max_size=2))
    keys = [[keys for _, keys in file] for file in files] if draw(st.booleans()) else None
    return MadeCorpus(name, [[text for text, _ in file] for file in files], keys)


def facts(corpus: MadeCorpus, file: int, row: int) -> set[object]:
    """Return what a document has in common with its duplicates: its text as words, and its band keys."""
    keys = corpus.keys[file][row] if corpus.keys is not None else None
    return {" ".join(corpus.files[file][row].casefold().split()), *(keys or ())}


def splits(corpus: MadeCorpus, divided: Divided) -> tuple[list[set[object]], list[set[object]], list[set[object]]]:
    """Return the facts of each document for training, held out and left out."""
    train: list[set[object]] = []
    held_out: list[set[object]] = []
    left_out: list[set[object]] = []
    for file, texts in enumerate(corpus.files):
        for row in range(len(texts)):
            own = facts(corpus, file, row)
            if row in divided.held_out[file]:
                assert row not in divided.left_out[file]
                held_out.append(own)
            else:
                (left_out if row in divided.left_out[file] else train).append(own)
    return train, held_out, left_out


def together(documents: list[set[object]]) -> set[object]:
    return set().union(*documents)


@settings(max_examples=20, deadline=None)
@given(corpora("a"), corpora("b"), corpora("c"), CONFIGS)
def test_held_out_and_training_documents_share_nothing(
    tmp_path_factory: pytest.TempPathFactory, a: MadeCorpus, b: MadeCorpus, c: MadeCorpus, config: ValidationConfig
) -> None:
    """`a` and `b` are made together, `c` is added later with another share."""
    folder = tmp_path_factory.mktemp("out")
    first = divide(folder / "first", [a, b], config)
    second = divide(folder / "second", [c], ValidationConfig(share=0.4), list(first.values()))
    parts = [splits(own, made) for own, made in ((a, first["a"]), (b, first["b"]), (c, second["c"]))]
    train, held_out = (together([own for part in parts for own in part[which]]) for which in (0, 1))
    assert not train & held_out
    assert not parts[0][2]
    assert not parts[1][2]
    elsewhere = together(parts[0][1] + parts[1][1])
    for own in parts[2][2]:  # nothing is left out without a reason
        assert own & elsewhere


@settings(max_examples=12, deadline=None)
@given(corpora("a"), corpora("b"), corpora("c"), CONFIGS)
def test_the_order_of_sources_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, a: MadeCorpus, b: MadeCorpus, c: MadeCorpus, config: ValidationConfig
) -> None:
    folder = tmp_path_factory.mktemp("out")
    beside = list(divide(folder / "beside", [c], config).values())
    one, other = (divide(folder / str(n), own, config, beside) for n, own in enumerate(([a, b], [b, a])))
    for name in ("a", "b"):
        assert (one[name].held_out, one[name].left_out, one[name].moved) == (
            other[name].held_out,
            other[name].left_out,
            other[name].moved,
        )


@settings(max_examples=12, deadline=None)
@given(corpora("a"), corpora("b"), CONFIGS)
def test_as_much_is_held_out_as_can_be(
    tmp_path_factory: pytest.TempPathFactory, a: MadeCorpus, b: MadeCorpus, config: ValidationConfig
) -> None:
    """Documents go to training only for a chain of shared facts that ends at a document that was not chosen."""
    folder = tmp_path_factory.mktemp("out")
    made = divide(folder / "both", [a, b], config)
    documents: dict[tuple[str, int, int], set[object]] = {}
    held_out: set[tuple[str, int, int]] = set()
    for own in (a, b):
        scanned = divide(folder / f"{own.name}-only", [MadeCorpus(own.name, own.files)], config)[own.name]
        for file, texts in enumerate(own.files):
            documents |= {(own.name, file, row): facts(own, file, row) for row in range(len(texts))}
            held_out |= {(own.name, file, row) for row in scanned.held_out[file]}
    while moved := {
        place
        for place in held_out
        if documents[place] & together([own for other, own in documents.items() if other not in held_out])
    }:
        held_out -= moved
    found = {(name, file, row) for name, own in made.items() for file, rows in enumerate(own.held_out) for row in rows}
    assert found >= held_out
    if config.share is not None:  # by their number others could be chosen: texts of one corpus count there
        assert found == held_out


def test_a_text_held_out_elsewhere_is_left_out_and_its_near_duplicate(tmp_path: Path) -> None:
    texts = [f"κείμενο {number}" for number in range(40)]
    keys: list[list[int] | None] = [[number, 1_000 + number] for number in range(40)]
    standing = divide(tmp_path / "1", [MadeCorpus("a", [texts], [keys])], ValidationConfig(share=0.3))["a"]
    held_out = standing.held_out[0]
    assert held_out
    rows, other = held_out[:2]
    files = [[texts[rows].upper(), "άλλο", "τρίτο", texts[next(n for n in range(40) if n not in held_out)]]]
    added = MadeCorpus("b", files, [[None, [5_000, 1_000 + other], [7_000, 7_001], None]])
    made = divide(tmp_path / "2", [added], None, [standing])["b"]
    assert (made.held_out, made.left_out, made.equal) == ([[]], [[0, 1]], [[0]])


def test_what_a_standing_source_trains_on_is_not_held_out(tmp_path: Path) -> None:
    texts = [f"κείμενο {number}" for number in range(30)]
    standing = divide(tmp_path / "1", [MadeCorpus("a", [texts])], None)["a"]
    fresh = [f"νέο {number}" for number in range(30)]
    config = ValidationConfig(share=0.5)
    alone = divide(tmp_path / "2", [MadeCorpus("b", [texts + fresh])], config)["b"]
    beside = divide(tmp_path / "3", [MadeCorpus("b", [texts + fresh])], config, [standing])["b"]
    assert beside.held_out == [[row for row in alone.held_out[0] if row >= 30]]
    assert beside.left_out == [[]]
    assert beside.moved == {"el": sum(row < 30 for row in alone.held_out[0])} != {"el": 0}


NUMBERS = st.lists(st.integers(0, 40), max_size=30).map(lambda own: np.unique(np.array(own, dtype=np.uint64)))


@given(NUMBERS, NUMBERS)
def test_shared_numbers(first: np.ndarray, second: np.ndarray) -> None:
    expected = [value in second.tolist() for value in first.tolist()]
    assert shared(first, second).tolist() == is_in(first, second).tolist() == expected


def test_several_files_of_a_standing_source(tmp_path: Path) -> None:
    for number, own in enumerate(([1, 5, 9], [], [2, 9, 11])):
        np.save(tmp_path / f"{number}.npy", np.array(own, dtype=np.uint64))
    np.save(tmp_path / "keys.npy", np.array([2, 3, 5, 10, 11], dtype=np.uint64))
    training = tuple(tmp_path / f"{number}.npy" for number in range(3))
    find_in_standing(StandingShard(training, tmp_path / "keys.npy"), tmp_path, tmp_path)
    assert np.load(tmp_path / "hits.npy").tolist() == [2, 5, 11]
