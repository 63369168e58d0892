"""Token shards as documents, and the streams that a manifest's stages make of them."""

import resource
from collections.abc import Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.stream.batch import Batch
from mixing.stream.stage_stream import open_stage, open_validation
from mixing.stream.state import StreamConfig
from mixing.stream.token_documents import TokenDocuments
from mixing.tokens.indexed import IndexedWriter, shard_paths
from tests.mixing.stream.real_tokens import made_tokens, make_mixture, write_tokens

LENGTHS = {
    "el": [[5, 40, 12, 3], [], [70, 9, 33]],
    "tr": [[20] * 12],
    "kk": [[8, 16, 24, 90]],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with token sources and a mixture of two stages, the second one of a slice, too."""
    for name, shards in LENGTHS.items():
        whole = [length for shard in shards for length in shard]
        write_tokens(tmp_path / "tokens", name, shards, [6, 7] if name == "el" else [], words=whole)
    both = {"share": 0.75, "sources": ["el", "tr"]}
    cut = {"share": 0.25, "sources": [{"name": "kk", "where": {"words": {"min": 10}}}]}
    make_mixture(
        tmp_path,
        first={"tokens": 200, "categories": {"a": {**both, "share": 1}}},
        second={"tokens": 256, "packing": "best_fit", "sequence_length": 64, "categories": {"a": both, "b": cut}},
    )
    return tmp_path


def prefixes(folder: Path, name: str) -> list[Path]:
    return [folder / "tokens" / name / f"part-{place:05}" for place in range(len(LENGTHS[name]))]


def test_shards_are_read_as_one(folder: Path) -> None:
    documents = TokenDocuments("el", prefixes(folder, "el"))
    whole = [length for shard in LENGTHS["el"] for length in shard]
    assert documents.documents == len(whole)
    order = np.array([6, 0, 4, 3, 5, 1, 2, 2])
    assert documents.lengths(order).tolist() == [whole[number] for number in order]
    assert documents.lengths(order[:0]).tolist() == []
    for number, length in enumerate(whole):
        tokens = made_tokens("el", number, length)
        assert documents.tokens(number, 0, length).tolist() == tokens
        assert documents.tokens(number, 1, length - 2).tolist() == tokens[1:-1]


@given(st.lists(st.booleans(), min_size=7, max_size=7))
def test_a_slice_is_a_list_of_numbers_or_of_truth_values(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[bool]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "slices"
    if not folder.exists():
        write_tokens(folder / "tokens", "el", LENGTHS["el"])
    numbers = np.flatnonzero(chosen)
    by_number = TokenDocuments("el", prefixes(folder, "el"), numbers)
    by_truth = TokenDocuments("el", prefixes(folder, "el"), np.array(chosen))
    whole = TokenDocuments("el", prefixes(folder, "el"))
    assert by_number.documents == by_truth.documents == len(numbers)
    assert by_number.identity == by_truth.identity != whole.identity
    places = np.arange(len(numbers))
    assert by_number.lengths(places).tolist() == by_truth.lengths(places).tolist() == whole.lengths(numbers).tolist()
    for place, number in enumerate(numbers):
        length = int(whole.lengths(np.array([number]))[0])
        assert by_number.tokens(place, 0, length).tolist() == whole.tokens(int(number), 0, length).tolist()


def test_slices_that_are_not_of_the_source_are_refused(folder: Path) -> None:
    for numbers in ([7], [-1]):
        with pytest.raises(UserError, match="not among its 7"):
            TokenDocuments("el", prefixes(folder, "el"), np.array(numbers))
    with pytest.raises(UserError, match="of 6 documents, the source has 7"):
        TokenDocuments("el", prefixes(folder, "el"), np.ones(6, dtype=np.bool_))


def test_many_shards_need_many_open_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 400))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    TokenDocuments("el", prefixes(folder, "el"))
    assert asked == [(262, 400)]
    with pytest.raises(UserError, match="need 456 open files, and this process may have 400"):
        TokenDocuments("el", [Path("none")] * 100)
    assert resource.RLIMIT_NOFILE
    monkeypatch.undo()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def documents_in(batches: Iterator[Batch]) -> list[list[int]]:
    """Return the parts of all sequences as their boundaries tell, padding left out."""
    found = []
    for batch in batches:
        for row, boundaries, sequence in zip(batch.tokens, batch.boundaries, batch.sequences, strict=True):
            used = boundaries[boundaries <= sequence.tokens]
            found += [row[begin:end].tolist() for begin, end in pairwise(used)]
    return found


def test_a_stage_is_streamed_as_the_manifest_says(folder: Path) -> None:
    own = open_stage(folder / "mixtures" / "m", "first")
    assert (own.config.sequence_length, own.config.packing) == (32, "concatenate")
    list(islice(own, 7))
    figures = own.figures()
    assert figures.names == ("el", "tr")
    assert sum(source.tokens for source in figures.figures) == 7 * 32
    second = open_stage(folder / "mixtures" / "m" / "manifest.json", "second")
    second.load_state_dict(own.state_dict())
    assert second.config.packing == "best_fit"
    parts = documents_in(islice(second, 4))
    known = [
        made_tokens(name, number, length) for name in LENGTHS for number, length in enumerate(chain(*LENGTHS[name]))
    ]
    for part in parts:
        assert any(str(part)[1:-1] in str(document) for document in known)
    # The shortest document of kk is not in the slice.
    assert made_tokens("kk", 0, 8) not in parts


def test_a_slice_is_a_source_of_its_own(folder: Path) -> None:
    second = open_stage(folder / "mixtures" / "m", "second")
    whole = {name for name in second.figures().names if "/" not in name}
    assert whole == {"el", "tr"}
    assert len(second.figures().names) == 3


def test_validation_is_read_once(folder: Path) -> None:
    own = open_validation(folder / "mixtures" / "m", "el", StreamConfig(sequence_length=10, packing="best_fit"))
    assert sorted(documents_in(own)) == sorted(made_tokens("el", number, length) for number, length in ((7, 6), (8, 7)))
    with pytest.raises(UserError, match="has no validation texts of 'tr'"):
        open_validation(folder / "mixtures" / "m", "tr", StreamConfig(sequence_length=10))


def test_a_stage_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match="has no stage 'third'; it has: first, second"):
        open_stage(folder / "mixtures" / "m", "third")


def test_rewritten_shards_are_refused(folder: Path) -> None:
    """Other tokens in as many bytes: known by their checksums, and other documents by their number."""
    mixture = folder / "mixtures" / "m"
    tokens, index = shard_paths(prefixes(folder, "tr")[0])
    before = tokens.read_bytes()
    tokens.write_bytes(before[:-2] + b"\x01\x00")
    open_stage(mixture, "first")
    with pytest.raises(UserError, match="part-00000"):
        open_stage(mixture, "first", deep=True)
    tokens.write_bytes(before)
    open_stage(mixture, "first", deep=True)
    with IndexedWriter(prefixes(folder, "tr")[0], "uint16") as writer:
        for length in [19, 21, *[20] * 9, 19]:
            writer.add(np.arange(length))
    tokens.write_bytes(before)
    with pytest.raises(
        UserError, match="part-00000 has 12 documents with 239 tokens, the mixture tells of 12 with 240"
    ):
        open_stage(mixture, "first")
    assert index.exists()


def test_another_slice_of_a_source_is_no_reason_to_refuse_a_state(folder: Path) -> None:
    first = open_stage(folder / "mixtures" / "m", "second")
    list(islice(first, 2))
    state = first.state_dict()
    cut = {"share": 1, "sources": [{"name": "kk", "where": {"words": {"min": 20}}}]}
    make_mixture(folder, third={"tokens": 100, "categories": {"b": cut}})
    third = open_stage(folder / "mixtures" / "m", "third")
    third.load_state_dict(state)
    assert set(third.state().sources) == {*first.figures().names, *third.figures().names}
