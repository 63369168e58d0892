"""Token shards against bytes put together by hand, against Megatron-LM's own reader and writer, and damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.tokens.indexed import IndexedReader, IndexedWriter, index_bytes, shard_paths, token_type
from tests.curation.peak import peak_growth_mb

DTYPES: list[Literal["uint16", "int32"]] = ["uint16", "int32"]
SEQUENCES = st.lists(st.lists(st.integers(0, 65_499), max_size=9), max_size=9)


def write(prefix: Path, sequences: list[list[int]], dtype: Literal["uint16", "int32"] = "uint16") -> None:
    with IndexedWriter(prefix, dtype) as writer:
        _add_all(writer, sequences)


def _add_all(writer: IndexedWriter, sequences: list[list[int]]) -> None:
    for sequence in sequences:
        writer.add(np.array(sequence, dtype=np.int64))


@pytest.fixture(scope="module")
def megatron() -> ModuleType:
    module = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed")
    assert isinstance(module, ModuleType)
    return module


@given(SEQUENCES, st.sampled_from(DTYPES))
def test_the_bytes_are_those_of_the_format(
    tmp_path_factory: pytest.TempPathFactory, sequences: list[list[int]], dtype: Literal["uint16", "int32"]
) -> None:
    prefix = tmp_path_factory.mktemp("shard") / "a.b"
    write(prefix, sequences, dtype)
    letter, size, code = ("H", 2, 8) if dtype == "uint16" else ("i", 4, 4)
    tokens = [token for sequence in sequences for token in sequence]
    assert shard_paths(prefix)[0].read_bytes() == struct.pack(f"<{len(tokens)}{letter}", *tokens)
    count = len(sequences)
    pointers = [size * sum(map(len, sequences[:number])) for number in range(count)]
    expected = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, count, count + 1)
    expected += struct.pack(f"<{count}i", *map(len, sequences)) + struct.pack(f"<{count}q", *pointers)
    expected += struct.pack(f"<{count + 1}q", *range(count + 1))
    assert shard_paths(prefix)[1].read_bytes() == expected
    assert index_bytes(count) == len(expected)
    assert sorted(path.name for path in prefix.parent.iterdir()) == ["a.b.bin", "a.b.idx"]


@given(SEQUENCES, st.sampled_from(DTYPES), st.data())
def test_what_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    sequences: list[list[int]],
    dtype: Literal["uint16", "int32"],
    data: st.DataObject,
) -> None:
    prefix = tmp_path_factory.mktemp("shard") / "shard"
    write(prefix, sequences, dtype)
    reader = IndexedReader(prefix)
    assert len(reader) == len(sequences)
    assert reader.lengths.tolist() == list(map(len, sequences))
    assert reader.tokens == sum(map(len, sequences))
    for number, sequence in enumerate(sequences):
        assert reader.sequence(number).tolist() == sequence
        start = data.draw(st.integers(0, len(sequence)))
        length = data.draw(st.integers(0, len(sequence) - start))
        assert reader.sequence(number, start, length).tolist() == sequence[start : start + length]
        assert reader.sequence(number, start).tolist() == sequence[start:]
        with pytest.raises(IndexError):
            reader.sequence(number, start, len(sequence) - start + 1)
    for outside in (-1, len(sequences)):
        with pytest.raises(IndexError):
            reader.sequence(outside)


@pytest.mark.parametrize("dtype", DTYPES)
def test_megatron_reads_what_we_write(tmp_path: Path, megatron: ModuleType, dtype: Literal["uint16", "int32"]) -> None:
    sequences = [[1, 2, 65_499], [], [7], list(range(300))]
    write(tmp_path / "shard", sequences, dtype)
    dataset = megatron.IndexedDataset(str(tmp_path / "shard"))
    assert len(dataset) == len(sequences)
    assert [dataset[number].tolist() for number in range(len(dataset))] == sequences
    assert dataset.get(3, offset=5, length=4).tolist() == [5, 6, 7, 8]
    assert dataset.document_indices.tolist() == [0, 1, 2, 3, 4]
    assert dataset.index.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_megatron_writes_the_same_bytes(
    tmp_path: Path, megatron: ModuleType, dtype: Literal["uint16", "int32"]
) -> None:
    torch = pytest.importorskip("torch")
    sequences = [[1, 2, 65_499], [7], list(range(300))]
    write(tmp_path / "ours", sequences, dtype)
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.dtype(dtype).type)
    for sequence in sequences:
        builder.add_document(torch.tensor(sequence), [len(sequence)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    for ending in ("bin", "idx"):
        assert (tmp_path / f"ours.{ending}").read_bytes() == (tmp_path / f"theirs.{ending}").read_bytes()
    assert IndexedReader(tmp_path / "theirs").sequence(0).tolist() == sequences[0]


def test_the_token_type_is_the_one_that_megatron_would_choose(megatron: ModuleType) -> None:
    for size in (1, 65_499, 65_500, 65_536, 250_000):
        assert np.dtype(megatron.DType.optimal_dtype(size)).name == token_type(size)
    with pytest.raises(ValueError, match="32 bits"):
        token_type(1 << 32)


@pytest.mark.parametrize("token", [-1, 65_536])
def test_a_token_that_does_not_fit_leaves_no_file(tmp_path: Path, token: int) -> None:
    with pytest.raises(ValueError, match="do not fit into uint16"):
        write(tmp_path / "shard", [[1], [token]])
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "shard", [[1], [2]])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    writer = IndexedWriter(tmp_path / "shard", "uint16")
    with pytest.raises(ValueError, match="do not fit"), writer:
        _add_all(writer, [[5], [-1]])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_more_sequences_than_the_first_room_holds(tmp_path: Path) -> None:
    lengths = [number % 3 for number in range(5_000)]
    write(tmp_path / "shard", [[9] * length for length in lengths])
    assert IndexedReader(tmp_path / "shard").lengths.tolist() == lengths


@given(st.integers(0, 200))
def test_a_cut_file_is_refused(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    prefix = tmp_path_factory.mktemp("shard") / "shard"
    write(prefix, [[1, 2, 3], [4], list(range(20))])
    for path in shard_paths(prefix):
        whole = path.read_bytes()
        path.write_bytes(whole[: min(length, len(whole) - 1)])
        with pytest.raises(UserError) as caught:
            IndexedReader(prefix)
        assert str(path.name) in str(caught.value)
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)


# Where in an index of two sequences each thing stands.
_LENGTHS, _POINTERS, _DOCUMENTS = 34, 34 + 8, 34 + 8 + 16


@pytest.mark.parametrize(
    ("place", "replacement", "message"),
    [
        (0, b"MMIDIDX\x00\x01", "no index of tokens"),
        (9, struct.pack("<Q", 2), "version 2"),
        (17, b"\x07", "token type 7"),
        (18, struct.pack("<Q", 3), "sequences take"),
        (18, struct.pack("<Q", 2**64 - 1), "sequences take"),
        (26, struct.pack("<Q", 0), "sequences take"),
        (_LENGTHS, struct.pack("<i", -1), "points outside"),
        (_LENGTHS, struct.pack("<i", 2**31 - 1), "points outside"),
        (_POINTERS, struct.pack("<q", -2), "points outside"),
        (_POINTERS, struct.pack("<q", 2**63 - 1), "points outside"),
        (_POINTERS + 8, struct.pack("<q", 7), "points outside"),
        (_DOCUMENTS, struct.pack("<q", 1), "documents"),
        (_DOCUMENTS + 16, struct.pack("<q", 9), "documents"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, place: int, replacement: bytes, message: str) -> None:
    write(tmp_path / "shard", [[1, 2, 3], [4, 5]])
    path = tmp_path / "shard.idx"
    content = path.read_bytes()
    path.write_bytes(content[:place] + replacement + content[place + len(replacement) :])
    with pytest.raises(UserError, match=message):
        IndexedReader(tmp_path / "shard")


@pytest.mark.parametrize("ending", ["bin", "idx"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "shard", [[1]])
    path = tmp_path / f"shard.{ending}"
    path.unlink()
    for _ in range(2):
        with pytest.raises(UserError, match=rf"cannot read .*shard\.{ending}: .*; run `make tokens` again") as caught:
            IndexedReader(tmp_path / "shard")
        assert "\n" not in str(caught.value)
        path.mkdir(exist_ok=True)  # a folder in its place


@pytest.mark.parametrize(
    ("replacement", "message"), [(None, "cannot read"), (b"", "cannot read"), (b"123", "replaced")]
)
def test_tokens_that_go_after_opening_are_named(tmp_path: Path, replacement: bytes | None, message: str) -> None:
    write(tmp_path / "shard", [[1, 2]])
    reader = IndexedReader(tmp_path / "shard")
    (tmp_path / "shard.bin").unlink()
    if replacement is not None:
        (tmp_path / "shard.bin").write_bytes(replacement)
    with pytest.raises(UserError, match=rf"{message}.*|.*{message}") as caught:
        reader.sequence(0)
    assert "shard.bin" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"), [(34 + 4, -1), (34 + 4, 1 << 30), (34 + 12 + 8, -8), (34 + 12 + 8, 1 << 62)]
)
def test_damage_inside_an_index_is_found(tmp_path: Path, place: int, value: int) -> None:
    write(tmp_path / "shard", [[1, 2], [3, 4], [5, 6]])
    path = tmp_path / "shard.idx"
    content = bytearray(path.read_bytes())
    size = 4 if place < 34 + 12 else 8
    content[place : place + size] = value.to_bytes(size, "little", signed=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"shard\.idx points outside shard\.bin"):
        IndexedReader(tmp_path / "shard")


def test_opening_a_large_index_takes_no_memory_for_its_documents(tmp_path: Path) -> None:
    """An index of 10 million empty documents, 200 MB: mapped or read as a whole it would stay in memory."""
    count = 10_000_000
    path = tmp_path / "shard.idx"
    with path.open("wb") as file:
        file.write(struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 8, count, count + 1))
        file.truncate(index_bytes(count))
        file.seek(-8, 2)
        file.write(struct.pack("<q", count))
    (tmp_path / "shard.bin").touch()
    code = "reader = IndexedReader(Path(sys.argv[1])); assert len(reader) == 10_000_000"
    start = "import sys\nfrom pathlib import Path\nfrom mixing.tokens.indexed import IndexedReader\n"
    assert peak_growth_mb(start, code, str(tmp_path / "shard")) < 20
