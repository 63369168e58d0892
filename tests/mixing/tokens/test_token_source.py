"""`tokens.json`: read strictly, and compared with the bytes that it tells of."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from configs.errors import UserError
from mixing.tokens.indexed import IndexedWriter
from mixing.tokens.probe import file_probe
from mixing.tokens.token_source import TokenSource, check_files, documents_path, file_checksum, load_token_source

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
        paths = [folder / f"{name}.{kind}" for kind in ("bin", "idx", "documents.parquet")]
        probes = dict(zip(("bin_probe", "idx_probe", "documents_probe"), map(file_probe, paths), strict=True))
        shard = {"name": name, "split": split, "sequences": 2, "tokens": 8, "bin_bytes": 16, **checksums}
        shards.append({**shard, "documents_bytes": paths[2].stat().st_size, **probes})
    others = []
    for name in ("fingerprints/train/00000-00000.npy", "left_out.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        others.append({"name": name, "checksum": file_checksum(folder / name), "probe": file_probe(folder / name)})
    totals = {"documents": 2, "tokens": 8, "words": 4, "characters": 20, "utf8_bytes": 30}
    content = {
        "source": "el",
        "languages": ["el"],
        "tokenizer": {"sha256": "0" * 64, "name": "x", "vocabulary_size": 300, "eod_id": 0, "dtype": "uint16"},
        "corpus": {"folder": "/corpora/el", "summary_sha256": "1" * 64, "files": {"00000-00000.parquet": "2" * 32}},
        "shards": shards,
        "other_files": others,
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
    shard = source.shards[NAMES.index(name)]
    path.write_bytes(content)  # the same size
    looks: list[Callable[[], object]] = [
        partial(check_files, source),
        partial(check_files, source, deep=True),
        partial(source.open, shard),
    ]
    for look in looks:
        with pytest.raises(UserError, match="is not the file that `make tokens` wrote") as caught:
            look()
        assert str(path) in str(caught.value)
    path.write_bytes(content + b"\0")
    for look in looks:
        with pytest.raises(UserError, match="is not the file"):
            look()
    path.unlink()
    for look in looks:
        with pytest.raises(UserError, match="cannot read") as caught:
            look()
        assert str(path) in str(caught.value)
    path.mkdir()
    with pytest.raises(UserError, match=r"is not the file|cannot read"):
        source.verify(deep=False)


@pytest.mark.parametrize("name", ["fingerprints/train/00000-00000.npy", "left_out.parquet"])
def test_other_files_are_compared_too(folder: Path, name: str) -> None:
    source = load_token_source(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[::-1])
    with pytest.raises(UserError, match="is not the file") as caught:
        check_files(source)
    assert str(folder / name) in str(caught.value)
    check_files(source, shards=source.shards)
    (folder / name).unlink()
    with pytest.raises(UserError, match="cannot read"):
        check_files(source)


def test_the_size_of_a_table_is_compared_where_no_probe_was_written(folder: Path) -> None:
    change(folder, lambda content: [shard.pop("documents_probe") for shard in content["shards"]])  # type: ignore[attr-defined]
    path = documents_path(folder / NAMES[0])
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match="is not the file"):
        load_token_source(folder).verify(deep=False)


def test_a_folder_of_an_earlier_version_is_read(folder: Path) -> None:
    """It has no probes and no fingerprints: sizes and checksums are compared as before."""

    def forget(content: dict[str, object]) -> None:
        del content["other_files"]
        for shard in content["shards"]:  # type: ignore[attr-defined]
            for name in ("documents_bytes", "bin_probe", "idx_probe", "documents_probe"):
                del shard[name]

    change(folder, forget)
    source = load_token_source(folder)
    source.verify(deep=True)
    assert source.fingerprints is None
    path = folder / f"{NAMES[0]}.bin"
    path.write_bytes(path.read_bytes()[::-1])
    source.verify(deep=False)
    with pytest.raises(UserError, match="is not the file"):
        source.verify(deep=True)


def test_fingerprints_are_known_by_all_of_their_files(folder: Path) -> None:
    source = load_token_source(folder)
    assert source.fingerprint_paths("train") == [folder / "fingerprints/train/00000-00000.npy"]
    assert source.fingerprint_paths("validation") == []
    change(folder, lambda content: content["other_files"][0].update(checksum="0" * 32))  # type: ignore[index]
    assert load_token_source(folder).fingerprints != source.fingerprints


def test_a_shard_with_other_documents_is_not_opened(folder: Path) -> None:
    source = load_token_source(folder)
    with IndexedWriter(folder / NAMES[0], "uint16") as writer:
        for length in (4, 4):
            writer.add(np.arange(length))
    with pytest.raises(UserError, match="is not the file"):  # as long, of as many: only the bytes tell
        source.open(source.shards[0])
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
    (lambda content: content["other_files"][0].update(name="fingerprints/train/../../x.npy"), "other_files"),  # type: ignore[index]
    (lambda content: content["other_files"][0].update(name="/etc/passwd"), "other_files"),  # type: ignore[index]
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
