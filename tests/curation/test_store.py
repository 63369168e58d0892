"""Finished or not there: commits, races and damage."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.store import TableWriter, commit, read_manifest, scratch_folder, write_text_atomically

SCHEMA = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.string())])


def commit_one(parent: Path, target: Path, identity: str, content: str = "x") -> None:
    with scratch_folder(parent) as scratch:
        (scratch / "file").write_text(content)
        commit(scratch, target, identity, {"n": 1}, {"what": [1, 2]})


def test_a_commit_can_be_read_back(tmp_path: Path) -> None:
    target = tmp_path / "done" / "shard"
    commit_one(tmp_path, target, "i")
    manifest = read_manifest(target, "i")
    assert manifest is not None
    assert manifest.path("file").read_text() == "x"
    assert manifest.counts == {"n": 1}
    assert list(tmp_path.iterdir()) == [tmp_path / "done"]


def test_another_identity_or_a_missing_file_is_not_finished(tmp_path: Path) -> None:
    target = tmp_path / "shard"
    commit_one(tmp_path, target, "i")
    assert read_manifest(target, "j") is None
    (target / "file").unlink()
    assert read_manifest(target, "i") is None


@given(st.integers(0, 200))
def test_a_truncated_manifest_is_not_finished(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    tmp_path = tmp_path_factory.mktemp("manifest")
    target = tmp_path / "shard"
    commit_one(tmp_path, target, "i")
    whole = (target / "manifest.json").read_bytes()
    (target / "manifest.json").write_bytes(whole[: min(length, len(whole) - 1)])
    assert read_manifest(target, "i") is None


def test_a_half_written_folder_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "shard"
    target.mkdir()
    (target / "left over").write_text("half")
    commit_one(tmp_path, target, "i")
    assert {path.name for path in target.iterdir()} == {"file", "manifest.json"}


def test_the_second_of_two_attempts_finds_it_done(tmp_path: Path) -> None:
    target = tmp_path / "shard"
    commit_one(tmp_path, target, "i", "first")
    commit_one(tmp_path, target, "i", "second")
    assert (target / "file").read_text() == "first"


def test_checksum_depends_on_the_bytes_and_not_on_the_place(tmp_path: Path) -> None:
    sums = set()
    for number, content in enumerate(["x", "x", "y"]):
        commit_one(tmp_path, tmp_path / str(number), "i", content)
        manifest = read_manifest(tmp_path / str(number), "i")
        assert manifest is not None
        sums.add(manifest.checksum)
    assert len(sums) == 2


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["summary.json"]


@given(st.lists(st.tuples(st.integers(-9, 9), st.text(st.characters(exclude_categories=["Cs"])))), st.integers(1, 5))
def test_rows_come_back_and_bytes_are_the_same_each_time(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str]], group: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("table")
    for name in ("one", "two"):
        with TableWriter(tmp_path / name, SCHEMA, group) as writer:
            for a, b in rows:
                writer.write({"a": a, "b": b})
        assert writer.row_count == len(rows)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert [(row["a"], row["b"]) for row in pa.parquet.read_table(tmp_path / "one").to_pylist()] == rows
