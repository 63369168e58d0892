"""INPUT and PAIR: which files belong together, and what is said when they do not."""

import zipfile
from pathlib import Path

import fsspec
import pytest

from configs.errors import UserError
from curation.inputs import input_names
from curation.parallel.file_names import read_name
from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.pairs import PairIngestConfig
from curation.parallel.read import open_pairs
from tests.curation.parallel.made import COMPRESS, texts, tmx, write_moses

ROWS = [("eins", "one"), ("zwei", "two")]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x\n")
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "side", "pair"),
    [
        ("a/bible-uedin-v1.de-en.de.gz", "moses", "de", ("de", "en")),
        ("train.en_XX", "moses", "en_XX", None),
        ("train.zh-Hans.xz", "moses", "zh-Hans", None),
        ("newstest.deu.txt", "moses", "deu", None),
        ("a/deu.txt", "moses", "deu", None),
        ("sorted.en-de", "tsv", "", ("en", "de")),
        ("sorted.en-ga", None, "", None),
        ("en-de.bicleaner05.txt.gz", "tsv", "", ("en", "de")),
        ("en_XX-de_DE.tsv.xz", "tsv", "", ("en", "de")),
        ("news-commentary-v16.de-en.tsv.gz", "tsv", "", ("de", "en")),
        ("opus-de-en.jsonl.zst", "jsonl", "", ("de", "en")),
        ("x.ids.gz", "ids", "", None),
        ("de-en.txt.zip", "moses_zip", "", ("de", "en")),
        ("README", None, "", None),
        ("notes.md", None, "", None),
        ("x.TMX", "tmx", "", None),
    ],
)
def test_what_names_say(name: str, kind: str, side: str, pair: tuple[str, str] | None) -> None:
    found = read_name(name)
    assert (found.kind, found.side, found.pair) == (kind, side, pair)


@pytest.mark.parametrize("suffix", list(COMPRESS))
def test_two_files_become_one_input_from_one_glob(tmp_path: Path, suffix: str) -> None:
    write_moses(tmp_path, ROWS, suffix)
    touch(tmp_path, "README", "LICENSE")
    (found,) = find_parallel_inputs(f"{tmp_path}/*", "en", "de")
    assert (found.name, found.format, found.swapped) == ("x.de-en.de+en", "moses", True)
    assert [Path(file.url).name for file in found.files] == [f"x.de-en.en{suffix}", f"x.de-en.de{suffix}"]


def test_two_files_may_be_named_one_by_one(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.de", "b/x.en")
    with pytest.raises(UserError, match=r"a/x\.de is the de side of a corpus whose en side is missing"):
        find_parallel_inputs(f"{tmp_path}/a/x.de,{tmp_path}/b/x.en", "de", "en")
    touch(tmp_path, "a/x.en")
    assert len(find_parallel_inputs(f"{tmp_path}/a/x.de, {tmp_path}/a/x.en", "de", "en")) == 1


def test_inputs_have_unique_names_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.de", "b/x.en", "a/x.de", "a/x.en", "a/en.txt", "a/de.txt", "c/de-en.tsv", "c/en-de.tsv.gz")
    found = find_parallel_inputs(str(tmp_path), "de", "en")
    assert [entry.name for entry in found] == ["a/de+en", "a/x.de+en", "b/x.de+en", "c/de-en.tsv", "c/en-de.tsv.gz"]
    assert [entry.swapped for entry in found] == [False, False, False, False, True]


def test_files_of_other_pairs_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "x.de", "x.en", "x.fr", "y.en", "y.fr", "de-fr.tsv", "en-ga.tsv")
    with zipfile.ZipFile(tmp_path / "en-fr.zip", "w") as archive:
        archive.writestr("a.en", "a")
    names = [entry.name for entry in find_parallel_inputs(f"{tmp_path}/*[!v]", "de", "en")]
    assert names == ["x.de+en"]


def test_several_files_for_one_side(tmp_path: Path) -> None:
    touch(tmp_path, "x.pt", "x.pt_br", "x.en")
    with pytest.raises(UserError, match=r"x\.pt and .*x\.pt_br are both the pt side: name one"):
        find_parallel_inputs(str(tmp_path), "pt", "en")
    assert len(find_parallel_inputs(f"{tmp_path}/x.pt_br,{tmp_path}/x.en", "pt", "en")) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x.de"], "the de side of a corpus whose en side is missing: INPUT has to match both, e.g. x.en"),
        (["x.fr", "x.el"], "holds no de-en, it holds: el, fr"),
        (["de-fr.tsv"], "holds no de-en, it holds: de-fr"),
        (["x.doc", "y.pdf"], r"none of the 2 files at .* \(x.doc, y.pdf\) is a parallel corpus of a known format"),
        (["._x.de", "._x.en"], "no input at"),
        (["a.xml"], "is a parallel corpus of a known format"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_parallel_inputs(str(touch(tmp_path, *names)), "de", "en")


def test_each_part_of_input_has_to_hold_something(tmp_path: Path) -> None:
    touch(tmp_path, "x.de", "x.en", "de-fr.tsv")
    with pytest.raises(UserError, match=r"de-fr\.tsv holds no de-en"):
        find_parallel_inputs(f"{tmp_path}/x.*,{tmp_path}/de-fr.tsv", "de", "en")


def test_nothing_matches(tmp_path: Path) -> None:
    for pattern in (str(tmp_path / "none"), f"{tmp_path}/*.tmx"):
        with pytest.raises(UserError, match="no input at"):
            find_parallel_inputs(pattern, "de", "en")
    with pytest.raises(UserError, match="INPUT is empty"):
        find_parallel_inputs(" , ", "de", "en")
    with pytest.raises(UserError, match="both sides are de"):
        find_parallel_inputs(str(tmp_path), "de", "de")


def test_xml_is_told_by_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(tmx(ROWS), encoding="utf-16")
    (tmp_path / "b.xml").write_text("<?xml version='1.0'?><cesAlign/>")
    (tmp_path / "c.xml").write_text("<text><s id='1'>a</s></text>")
    assert [entry.format for entry in find_parallel_inputs(str(tmp_path), "de", "en")] == ["tmx", "xces"]


def test_remote_files_are_copied_and_removed(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/x.de-en.de", b"eins\nzwei\n")
    memory.pipe("/corpus/x.de-en.en", b"one\ntwo\n")
    try:
        (found,) = find_parallel_inputs("memory://corpus/*", "de", "en")
        with open_pairs(found, tmp_path, PairIngestConfig()) as opened:
            assert texts(opened.units) == ROWS
            assert len(set(opened.checksums)) == 2
    finally:
        memory.rm("/corpus", recursive=True)
    assert list(tmp_path.iterdir()) == []


def test_hidden_folders_are_no_input(tmp_path: Path) -> None:
    for place in ("x.de-en.tsv", ".work/read/pairs.de-en.tsv", "sub/.ipynb_checkpoints/y.de-en.tsv", "sub/z.de-en.tsv"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("a\tb\n")
    names = [entry.name for entry in find_parallel_inputs(str(tmp_path), "de", "en")]
    assert names == ["sub/z.de-en.tsv", "x.de-en.tsv"]


def test_names_hold_no_password() -> None:
    urls = [
        "http://bob:s3cret@a.org/x/1.tmx?sig=abc",
        "http://bob:s3cret@a.org/x/1.tmx?sig=abd",
        "http://a.org/x/2.tmx",
    ]
    names = input_names(urls)
    assert len(set(names.values())) == 3
    assert names[urls[2]] == "2.tmx"
    assert all(name.startswith("1.tmx#") for name in (names[urls[0]], names[urls[1]]))
    assert not any(word in name for name in names.values() for word in ("s3cret", "abc", "abd"))
