"""What INPUT may be, how its files are named, and what is said when it is wrong."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from configs.errors import UserError
from curation.inputs import InputFile, find_inputs, format_of, open_input

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plant(tmp_path / "crawl")


def plant(root: Path) -> Path:
    """A folder of inputs of every format, and of files that are none."""
    for name in ("b/two.warc.gz", "b/deep/one.warc.gz", "a.jsonl.zst", "c.PARQUET", "d.arc", "README.md", "b/list.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


ALL = ["a.jsonl.zst", "b/deep/one.warc.gz", "b/two.warc.gz", "c.PARQUET", "d.arc"]


def names(pattern: object) -> list[str]:
    return [entry.name for entry in find_inputs(str(pattern))]


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    store = fsspec.filesystem("memory")
    store.pipe({"/crawl/x/one.warc.gz": b"one", "/crawl/y/two.jsonl": b"two", "/crawl/readme.txt": b"no"})
    yield store
    store.rm("/crawl", recursive=True)


# Formats


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.warc", "warc"),
        ("x.warc.gz", "warc"),
        ("x.WARC.GZ", "warc"),
        ("x.warc.lz4", "warc"),
        ("x.warc.zst", "warc"),
        ("CC-MAIN-1.warc.wet.gz", "warc"),
        ("CC-MAIN-1.warc.wat.gz", "warc"),
        ("x.arc.gz", "arc"),
        ("x.jsonl", "jsonl"),
        ("x.ndjson.gz", "jsonl"),
        ("part-0.parquet", "parquet"),
        ("x.y.jsonl.zst", "jsonl"),
        ("x.gz", None),
        ("x.txt", None),
        ("warc", None),
        ("x.warc.bak", None),
        ("", None),
    ],
)
def test_the_name_tells_the_format(name: str, expected: str | None) -> None:
    assert format_of(f"/some/folder.warc/{name}") == expected
    assert format_of(f"s3://bucket/{name}") == expected


# What is found


def test_a_folder_means_all_inputs_below(folder: Path) -> None:
    assert names(folder) == ALL
    assert names(f"{folder}/") == ALL
    assert [entry.format for entry in find_inputs(str(folder))] == ["jsonl", "warc", "warc", "parquet", "arc"]


def test_a_file_means_itself(folder: Path) -> None:
    (entry,) = find_inputs(str(folder / "b" / "two.warc.gz"))
    assert (entry.name, entry.format, entry.size_bytes) == ("two.warc.gz", "warc", len("b/two.warc.gz"))
    assert Path(entry.url) == folder / "b" / "two.warc.gz"


def test_globs_mean_what_they_match(folder: Path) -> None:
    (folder / "folder.arc").mkdir()
    assert names(folder / "*.arc") == ["d.arc"]
    assert names(folder / "**" / "*.warc.gz") == ["deep/one.warc.gz", "two.warc.gz"]
    assert names(folder / "b" / "*") == ["two.warc.gz"]  # neither the folder nor the list
    assert names(folder / "[ad].*") == ["a.jsonl.zst", "d.arc"]


def test_commas_separate(folder: Path) -> None:
    both = f" {folder}/d.arc , {folder}/b/deep ,"
    assert names(both) == ["b/deep/one.warc.gz", "d.arc"]
    assert names(f"{folder},{folder}/d.arc,{folder}/*.arc") == ALL  # nothing twice


def test_relative_paths_and_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert names("crawl") == names("./crawl/") == names("crawl/../crawl") == ALL
    assert names(f"crawl,{folder}") == ALL
    monkeypatch.setenv("HOME", str(folder.parent))
    assert names("~/crawl") == ALL


def test_names_do_not_depend_on_where_the_folder_lies(folder: Path, tmp_path: Path) -> None:
    moved = plant(tmp_path / "else" / "where" / "b")
    assert names(moved) == names(folder) == ALL


def test_names_are_unique_even_for_files_of_the_same_name(tmp_path: Path) -> None:
    for part in ("x", "y", "xy/x"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "same.warc").write_bytes(b"")
    found = names(",".join(str(tmp_path / part) for part in ("x", "y", "xy")))
    assert found == ["x/same.warc", "xy/x/same.warc", "y/same.warc"]


def test_a_version_changes_with_the_file(folder: Path) -> None:
    before = {entry.name: entry.version for entry in find_inputs(str(folder))}
    os.utime(folder / "d.arc", ns=(1, 1))
    after = {entry.name: entry.version for entry in find_inputs(str(folder))}
    assert {name for name in before if before[name] != after[name]} == {"d.arc"}


@pytest.mark.usefixtures("memory")
def test_urls_of_other_stores() -> None:
    assert names("memory://crawl") == ["x/one.warc.gz", "y/two.jsonl"]
    assert names("memory://crawl/*/*.jsonl") == ["two.jsonl"]
    (entry,) = find_inputs("memory://crawl/x/one.warc.gz")
    assert (entry.name, entry.size_bytes) == ("one.warc.gz", 3)
    assert entry.url.startswith("memory://")


@pytest.mark.usefixtures("memory")
def test_stores_may_be_mixed(folder: Path) -> None:
    found = find_inputs(f"{folder}/d.arc,memory://crawl/y")
    assert len({entry.name for entry in found}) == 2
    assert {Path(entry.name).name for entry in found} == {"d.arc", "two.jsonl"}


# What is wrong


@pytest.mark.parametrize("pattern", ["", " ", ",", " , ,"])
def test_an_empty_input_is_an_error(pattern: str) -> None:
    with pytest.raises(UserError, match="INPUT is empty"):
        find_inputs(pattern)


@pytest.mark.parametrize("name", ["no-such-file.warc", "no/such/folder", "*.nothing", "b/*.warc", "**/*.gif"])
def test_nothing_found_names_the_place(name: str, folder: Path) -> None:
    with pytest.raises(UserError, match="no input at") as caught:
        find_inputs(f"{folder}/{name}")
    assert name in str(caught.value)
    with pytest.raises(UserError, match="no input at"):
        find_inputs(f"{folder},{folder}/{name}")


def test_only_unknown_formats_is_an_error_that_names_the_known(folder: Path) -> None:
    for pattern in (folder / "README.md", folder / "b" / "*.txt"):
        with pytest.raises(UserError, match=r"is an input.*\.parquet.*\.warc"):
            find_inputs(str(pattern))


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no input at"):
        find_inputs(str(tmp_path))


@pytest.mark.parametrize("pattern", ["nosuchscheme://x/y.warc", "://", "http+no://x"])
def test_an_unknown_scheme_is_an_error(pattern: str) -> None:
    with pytest.raises(UserError):
        find_inputs(pattern)


def test_an_unreadable_file_is_an_error(folder: Path) -> None:
    """Looked at by a user who is not root, whom no permission stops."""
    (folder / "d.arc").chmod(0)
    code = """
import os, sys
from pathlib import Path
from configs.errors import UserError
from curation.inputs import InputFile, find_inputs, open_input
if os.geteuid() == 0:
    os.setuid(65534)
entry = InputFile("d", sys.argv[1], "arc", 1, "")
for attempt in (lambda: find_inputs(sys.argv[1]), open_input(entry, Path("/")).__enter__):
    try:
        attempt()
    except UserError as error:
        print(error)
"""
    for parent in [folder, *folder.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)  # so that it is the file that stops the other user
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder / "d.arc")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.lower().count("permission denied") == 2, run.stderr
    assert run.stdout.count("d.arc") == 2


def test_a_dangling_link_is_an_error_and_no_crash(folder: Path) -> None:
    (folder / "gone.warc").symlink_to(folder / "nowhere")
    with pytest.raises(UserError, match=r"gone\.warc"):
        find_inputs(str(folder))


# Opening


def test_a_local_file_is_opened_where_it_is(folder: Path, tmp_path: Path) -> None:
    (entry,) = find_inputs(str(folder / "d.arc"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_input(entry, scratch) as (stream, digest):
        assert stream.read() == b"d.arc"
        assert stream.seek(0) == 0
        assert not list(scratch.iterdir())
    assert digest == hashlib.blake2b(b"d.arc", digest_size=16).hexdigest()


@pytest.mark.usefixtures("memory")
def test_a_remote_file_is_copied_and_the_copy_removed(tmp_path: Path) -> None:
    (entry,) = find_inputs("memory://crawl/x/one.warc.gz")
    with open_input(entry, tmp_path) as (stream, digest):
        assert stream.read() == b"one"  # as it is stored: what is compressed stays so
        assert stream.seek(0) == 0
        assert len(list(tmp_path.iterdir())) == 1
    assert digest == hashlib.blake2b(b"one", digest_size=16).hexdigest()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), open_input(entry, tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_vanished_file_is_told_from_one_that_the_work_misses(folder: Path, tmp_path: Path) -> None:
    (entry,) = find_inputs(str(folder / "d.arc"))
    with pytest.raises(FileNotFoundError), open_input(entry, tmp_path):
        (tmp_path / "something else").read_bytes()
    (folder / "d.arc").unlink()
    with pytest.raises(UserError, match=r"cannot read the input .*d\.arc"), open_input(entry, tmp_path):
        pass


def test_a_remote_file_that_vanished_may_be_tried_again(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    entry = InputFile("x", "memory://crawl/x/gone.warc.gz", "warc", 1, "")
    with pytest.raises(OSError, match="gone"), open_input(entry, tmp_path):
        pass
    assert not list(tmp_path.iterdir())
