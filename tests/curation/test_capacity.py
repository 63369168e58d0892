"""What the machine has, read from what the kernel says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import UserError
from curation import capacity

GIB = 1 << 30


@pytest.mark.parametrize(
    ("limit", "stat"),
    [
        (f"{4 * GIB}", f"anon 1\ninactive_file {3 * GIB}\nactive_file 5\n"),
        (f"{4 * GIB}", f"inactive_file 17\ntotal_inactive_file {3 * GIB}\n"),
    ],
    ids=["version 2", "version 1"],
)
def test_cached_files_of_a_control_group_can_be_given_back(
    limit: str, stat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = tuple(tmp_path / name for name in ("limit", "used", "stat"))
    for path, text in zip(paths, (limit, f"{4 * GIB - 1000}", stat), strict=True):
        path.write_text(text)
    monkeypatch.setattr(capacity, "_CGROUPS", (paths,))
    monkeypatch.setattr(capacity, "_meminfo", lambda name: 64 * GIB)
    assert capacity.available_memory_bytes() == 3 * GIB + 1000


def test_without_a_limit_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = tuple(tmp_path / name for name in ("limit", "used", "stat"))
    for path, text in zip(paths, ("max", "5", "inactive_file 1\n"), strict=True):
        path.write_text(text)
    monkeypatch.setattr(capacity, "_CGROUPS", (paths, (tmp_path / "no", tmp_path / "no", tmp_path / "no")))
    monkeypatch.setattr(capacity, "_meminfo", lambda name: 7 * GIB)
    assert capacity.available_memory_bytes() == 7 * GIB


def test_what_is_stated_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS_MEMORY_BYTES", "12345")
    assert capacity.available_memory_bytes() == 12345
    monkeypatch.setenv("CORPUS_MEMORY_BYTES", "4G")
    with pytest.raises(UserError, match="number of bytes"):
        capacity.available_memory_bytes()


def test_bytes_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"123")
    (tmp_path / "a" / "b" / "two").write_bytes(b"4567")
    assert capacity.folder_bytes(tmp_path) == 7
    assert capacity.folder_bytes(tmp_path / "nothing") == 0
    assert capacity.free_disk_bytes(tmp_path) > 0
