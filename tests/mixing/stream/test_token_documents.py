"""Token shards as documents, and the streams that a manifest's stages make of them."""

import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.stream.batch import Batch
from mixing.stream.shard_file import files_to_keep_open
from mixing.stream.sliced_documents import SlicedDocuments, SliceNumbers
from mixing.stream.stage_stream import open_stage, open_validation
from mixing.stream.state import StreamConfig
from mixing.stream.token_documents import TokenDocuments
from mixing.tokens.indexed import IndexedWriter, shard_paths
from tests.curation.peak import peak_growth_mb
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


@given(st.sets(st.integers(0, 6), min_size=1))
def test_a_slice_has_the_documents_of_its_numbers(tmp_path_factory: pytest.TempPathFactory, chosen: set[int]) -> None:
    folder = tmp_path_factory.getbasetemp() / "slices"
    if not folder.exists():
        write_tokens(folder / "tokens", "el", LENGTHS["el"])
    numbers = np.array(sorted(chosen))
    whole = TokenDocuments("el", prefixes(folder, "el"))
    part = SlicedDocuments(whole, SliceNumbers(numbers), "el/part")
    assert part.documents == len(numbers)
    assert part.identity != whole.identity
    assert part.lengths(np.arange(len(numbers))).tolist() == whole.lengths(numbers).tolist()
    for place, number in enumerate(numbers):
        length = int(whole.lengths(np.array([number]))[0])
        assert part.tokens(place, 1, length - 2).tolist() == whole.tokens(int(number), 1, length - 2).tolist()


@pytest.mark.parametrize(
    ("limits", "kept", "raised"),
    [
        ((100, 400), 144, [(400, 400)]),
        ((2000, 4000), 1024, []),
        ((1024, -1), 1024, [(1280, -1)]),
        ((-1, -1), 1024, []),
        ((64, 64), 16, [(64, 64)]),
    ],
)
def test_as_many_files_stay_open_as_the_process_may_have(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], kept: int, raised: list[tuple[int, int]]
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, own: asked.append(own))
    assert files_to_keep_open() == kept
    assert asked == raised


def write_many(folder: Path, shards: int, documents: int, tokens: int) -> list[Path]:
    """Write shards whose document n, through all of them, is of the token n alone."""
    found = []
    for place in range(shards):
        found.append(folder / f"part-{place:05}")
        with IndexedWriter(found[-1], "uint16") as writer:
            for number in range(documents):
                writer.add(np.full(tokens, (place * documents + number) % 65_000))
    return found


def test_any_number_of_shards_is_read_with_few_open_files(tmp_path: Path) -> None:
    """300 shards of three sources in a process that may open 64 files; pickled and read in a child process, too."""
    write_many(tmp_path, 100, 2, 3)
    code = (
        "import multiprocessing, os, pickle, resource, sys, threading\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from mixing.stream.token_documents import TokenDocuments\n"
        "prefixes = [Path(sys.argv[1]) / f'part-{place:05}' for place in range(100)]\n"
        "sources = [TokenDocuments(name, prefixes) for name in ('a', 'b', 'c')]\n"
        "def read(seed):\n"
        "    for number in np.random.default_rng(seed).integers(0, 200, 500).tolist():\n"
        "        source = sources[number % 3]\n"
        "        assert source.lengths(np.array([number])).tolist() == [3]\n"
        "        assert source.tokens(number, 0, 3).tolist() == [number] * 3\n"
        "    assert len(os.listdir('/proc/self/fd')) < 40\n"
        "read(0)\n"
        "threads = [threading.Thread(target=read, args=(seed,)) for seed in (1, 2, 3)]\n"
        "[own.start() for own in threads], [own.join() for own in threads]\n"
        "sources = pickle.loads(pickle.dumps(sources))\n"
        "read(4)\n"
        "child = multiprocessing.get_context('fork').Process(target=read, args=(5,))\n"
        "child.start(), child.join()\n"
        "assert child.exitcode == 0\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_memory_does_not_grow_with_what_was_read_of_a_hundred_shards(tmp_path: Path) -> None:
    """200 MB of tokens in 100 shards, every document read, in an order that jumps between shards."""
    write_many(tmp_path, 100, 100, 10_000)
    grown = peak_growth_mb(
        "import numpy as np\nfrom pathlib import Path\nfrom mixing.stream.token_documents import TokenDocuments",
        "own = TokenDocuments('a', [Path(sys.argv[1]) / f'part-{place:05}' for place in range(100)])\n"
        "order = np.random.default_rng(0).permutation(10_000)\n"
        "assert (own.lengths(order) == 10_000).all()\n"
        "for number in order.tolist():\n"
        "    assert own.tokens(number, 0, 10_000)[9_999] == number\n",
        str(tmp_path),
    )
    print(f"{grown:.1f} MiB")
    assert grown < 20


def test_a_shard_that_is_rewritten_while_it_is_read_is_refused(tmp_path: Path) -> None:
    prefix = write_many(tmp_path, 1, 5, 4)[0]
    own = TokenDocuments("a", [prefix])
    write_many(tmp_path, 1, 6, 4)
    with pytest.raises(UserError, match=r"part-00000.idx was rewritten while it was being read"):
        own.lengths(np.array([0]))
    own = TokenDocuments("a", [prefix])
    assert own.lengths(np.array([5])).tolist() == [4]
    shard_paths(prefix)[0].unlink()
    with pytest.raises(UserError, match=r"cannot read the token shard .*part-00000: No such file"):
        own.tokens(0, 0, 1)
    with pytest.raises(UserError, match=r"cannot read the token shard .*part-00000"):
        TokenDocuments("a", [prefix])
    os.truncate(shard_paths(prefix)[1], 40)
    with pytest.raises(UserError, match=r"part-00000.idx was cut short while it was being read"):
        own.lengths(np.array([5]))


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


def test_a_slice_goes_on_where_other_stages_drew_from_the_source(folder: Path) -> None:
    """Of kk, whole in the first stage and sliced in the second, no document comes twice before each came once."""
    whole, part = {"share": 1, "sources": ["kk"]}, {"share": 1, "sources": [{"name": "kk", "min_tokens": 10}]}
    stages = [{"tokens": 40, "categories": {"a": own}} for own in (whole, part, whole)]
    made = make_mixture(folder, one=stages[0], two=stages[1], three=stages[2])
    mixture = folder / "mixtures" / "m"
    read: list[int] = []
    state = None
    for name in ("one", "two", "three"):
        own = open_stage(mixture, name, StreamConfig(sequence_length=8))
        if state is not None:
            own.load_state_dict(state)
        read += [int(token) for batch in islice(own, 5) for token in batch.inputs().ravel()]
        state = own.state_dict()
    texts = [made_tokens("kk", number, length) for number, length in enumerate(LENGTHS["kk"][0])]
    assert len(read) == 120
    assert not Counter(read) - Counter(chain(*texts))
    assert made.stages[1].sources[0].where is not None


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


def test_another_mixture_goes_on_if_it_is_told_of_the_slices_before(folder: Path) -> None:
    first = open_stage(folder / "mixtures" / "m", "second")
    list(islice(first, 12))
    state = first.state_dict()
    (folder / "mixtures" / "m").rename(folder / "mixtures" / "before")
    cut = {"share": 1, "sources": [{"name": "kk", "where": {"words": {"min": 20}}}]}
    make_mixture(folder, third={"tokens": 100, "categories": {"b": cut}})
    third = open_stage(folder / "mixtures" / "m", "third")
    with pytest.raises(UserError, match=r"documents of 'kk' were drawn from the slice 'kk/[0-9a-f]{32}', which this"):
        third.load_state_dict(state)
    third = open_stage(folder / "mixtures" / "m", "third", earlier=[folder / "mixtures" / "before"])
    third.load_state_dict(state)
    assert set(third.state().sources) == {*first.figures().names, *third.figures().names}
    list(islice(third, 2))
    again = open_stage(folder / "mixtures" / "m", "third", earlier=[folder / "mixtures" / "before" / "manifest.json"])
    again.load_state_dict(third.state_dict())
    assert again.state_dict() == third.state_dict()
