"""`tokens.json`: read strictly, and compared with the bytes that it tells of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UserError
from mixing.tokens.indexed import IndexedWriter
from mixing.tokens.token_source import TokenSource, documents_path, file_checksum, load_token_source

NAMES = ("00000-00000", "validation/00000-00000")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "el")


def write(folder: Path) -> Path:
    shards = []
    (folder / "validation").mkdir(parents=True)
    for name, split in zip(NAMES, ("train", "validation"), strict=True):
        with IndexedWriter(folder / name, "uint16") as writer:
            for length in (3, 5):
                writer.add(np.arange(length))
        documents_path(folder / name).write_text(f"documents of {split}")
        sums = [file_checksum(folder / f"{name}.{kind}") for kind in ("bin", "idx", "documents.parquet")]
        checksums = dict(zip(("bin_checksum", "idx_checksum", "documents_checksum"), sums, strict=True))
        shards.append({"name": name, "split": split, "sequences": 2, "tokens": 8, "bin_bytes": 16, **checksums})
    totals = {"documents": 2, "tokens": 8, "words": 4, "characters": 20, "utf8_bytes": 30}
    content = {
        "source": "el",
        "languages": ["el"],
        "tokenizer": {"sha256": "0" * 64, "name": "x", "vocabulary_size": 300, "eod_id": 0, "dtype": "uint16"},
        "corpus": {"folder": "/corpora/el", "summary_sha256": "1" * 64, "files": {"00000-00000.parquet": "2" * 32}},
        "shards": shards,
        **totals,
        "validation": {**totals, "moved_to_training": {"el": 1}, "not_compared": 0},
        "fertility": {"el": {"tokens_per_word": 1.5, "tokens_per_byte": None}},
        "config": {},
        "config_hash": "3" * 64,
        "versions": {},
    }
    (folder / "tokens.json").write_text(json.dumps(content))
    return folder


def change(folder: Path, edit: Callable[[dict[str, object]], object]) -> None:
    path = folder / "tokens.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_what_was_written_is_read(folder: Path) -> None:
    source = load_token_source(folder)
    assert (source.source, source.languages, source.totals.tokens, source.moved_to_training) == (
        "el",
        ("el",),
        8,
        {"el": 1},
    )
    assert [shard.name for shard in source.of_split("validation")] == ["validation/00000-00000"]
    assert source.prefix(source.shards[1]) == folder / "validation" / "00000-00000"
    assert source.open(source.shards[0]).sequence(1).tolist() == [0, 1, 2, 3, 4]
    assert source.fertility["el"].tokens_per_byte is None
    source.verify(deep=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["bin", "idx", "documents.parquet"])
def test_a_rewritten_file_is_refused_and_named(folder: Path, name: str, ending: str) -> None:
    source = load_token_source(folder)
    path = folder / f"{name}.{ending}"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    source.verify(deep=False)  # the same size
    with pytest.raises(UserError, match="is not the file that `make tokens` wrote") as caught:
        source.verify(deep=True)
    assert str(path) in str(caught.value)
    if ending != "documents.parquet":
        path.write_bytes(content + b"\0")
        with pytest.raises(UserError, match="is not the file"):
            source.verify(deep=False)
    path.unlink()
    with pytest.raises(UserError, match="cannot read"):
        source.verify(deep=False)


def test_a_shard_with_other_documents_is_not_opened(folder: Path) -> None:
    source = load_token_source(folder)
    with IndexedWriter(folder / NAMES[0], "uint16") as writer:
        for length in (4, 4):
            writer.add(np.arange(length))
    source.open(source.shards[0])  # as long, of as many: only a deep look tells
    with pytest.raises(UserError, match="is not the file"):
        source.verify(deep=True)
    with IndexedWriter(folder / NAMES[0], "uint16") as writer:
        writer.add(np.arange(8))
    with pytest.raises(UserError, match="is not the file"):
        source.open(source.shards[0])


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished tokens in .*; run `make tokens`"):
        load_token_source(tmp_path)


EDITS: list[tuple[Callable[[dict[str, object]], object], str]] = [
    (lambda content: content.pop("shards"), "shards"),
    (lambda content: content.pop("validation"), "does not tell of tokens"),
    (lambda content: content.update(validation=3), "does not tell of tokens"),
    (lambda content: content.update(tokens=-1), "totals.tokens"),
    (lambda content: content["tokenizer"].update(dtype="float32"), "tokenizer.dtype"),  # type: ignore[attr-defined]
    (lambda content: content["shards"][0].update(split="test"), r"shards\.0\.split"),  # type: ignore[index]
    (lambda content: content["shards"][0].update(name="../../etc/passwd"), r"shards\.0\.name"),  # type: ignore[index]
    (lambda content: content["shards"][0].update(name="/etc/passwd"), r"shards\.0\.name"),  # type: ignore[index]
    (lambda content: content["shards"][0].update(name="validation/.."), r"shards\.0\.name"),  # type: ignore[index]
]


@pytest.mark.parametrize(("edit", "message"), EDITS)
def test_a_damaged_file_is_one_line(folder: Path, edit: Callable[[dict[str, object]], object], message: str) -> None:
    change(folder, edit)
    with pytest.raises(UserError, match=f"tokens.json is damaged: .*{message}") as caught:
        load_token_source(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "\ud800"])
def test_what_is_no_json_object_is_one_line(folder: Path, content: str) -> None:
    (folder / "tokens.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match="is damaged") as caught:
        load_token_source(folder)
    assert "\n" not in str(caught.value)


def test_the_folder_may_move(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere")
    source: TokenSource = load_token_source(moved)
    source.verify(deep=True)
    assert source.source == "el"
