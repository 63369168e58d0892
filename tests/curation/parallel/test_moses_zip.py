"""OPUS's Moses zips, the documents that they tell, and zips that are no such thing."""

import zipfile
from pathlib import Path

import pytest

from configs.errors import UserError
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig
from tests.curation.parallel.made import Texts, lines, read_all, rules, texts

ROWS = [(f"Satz {k}", f"Sentence {k}\u2028and more") for k in range(6)]
ALIGNMENT = """<?xml version="1.0"?>
<!DOCTYPE cesAlign PUBLIC "-//CES//DTD XML cesAlign//EN" "http://example.org/xcesAlign.dtd">
<cesAlign version="1.0">{}</cesAlign>"""
GROUP = '<linkGrp targType="s" fromDoc="de/{0}.xml.gz" toDoc="en/{0}.xml.gz">{1}</linkGrp>'
LINKS = "".join(f'<link xtargets="{k};{k}"/>' for k in range(3))


def write_zip(path: Path, rows: Texts, more: dict[str, str] | None = None, stem: str = "Corpus.de-en") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "about")
        archive.writestr("LICENSE", "free")
        archive.writestr(f"{stem}.de", lines(row[0] for row in rows))
        archive.writestr(f"{stem}.en", lines(row[1] for row in rows))
        for name, text in (more or {}).items():
            archive.writestr(name, text)
    return path


def origins(path: Path, pair: str = "de-en") -> list[tuple[str | None, str | None]]:
    return [(unit.src_origin, unit.tgt_origin) for unit in read_all(path, pair) if isinstance(unit, Pair)]


def test_the_two_text_members_are_read_and_no_other(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "de-en.txt.zip", ROWS, {"__MACOSX/._Corpus.de-en.de": "\0\5", "notes.txt": "a\nb\n"})
    assert texts(read_all(path)) == ROWS
    assert texts(read_all(path, "en-de")) == [(en, de) for de, en in ROWS]


def test_documents_come_from_the_alignment(tmp_path: Path) -> None:
    alignment = ALIGNMENT.format(GROUP.format("a", LINKS) + GROUP.format("b", LINKS))
    path = write_zip(tmp_path / "de-en.txt.zip", ROWS, {"Corpus.de-en.xml": alignment})
    assert origins(path) == [(f"de/{d}.xml.gz", f"en/{d}.xml.gz") for d in "aaabbb"]
    assert origins(path, "en-de") == [(f"en/{d}.xml.gz", f"de/{d}.xml.gz") for d in "aaabbb"]


def test_a_blank_line_behind_each_document_has_no_link(tmp_path: Path) -> None:
    alignment = ALIGNMENT.format(GROUP.format("a", LINKS) + GROUP.format("b", LINKS))
    rows = [*ROWS[:3], ("", ""), *ROWS[3:], ("", "")]
    path = write_zip(tmp_path / "de-en.txt.zip", rows, {"Corpus.de-en.xml": alignment})
    assert rules(read_all(path)) == {"pair": 6, "blank_line": 2}
    assert origins(path) == [(f"de/{d}.xml.gz", f"en/{d}.xml.gz") for d in "aaabbb"]


def test_an_alignment_of_another_length_tells_no_documents(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", ROWS, {"Corpus.de-en.xml": ALIGNMENT.format(GROUP.format("a", LINKS))})
    assert origins(path) == [(None, None)] * 6


def test_an_ids_member_goes_before_the_alignment(tmp_path: Path) -> None:
    more = {"Corpus.de-en.ids": "x\ty\t1\t1\n" * 6, "Corpus.de-en.xml": ALIGNMENT.format(GROUP.format("a", LINKS * 2))}
    assert origins(write_zip(tmp_path / "x.zip", ROWS, more)) == [("x", "y")] * 6


def test_names_that_lead_out_of_the_zip_write_nothing(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = write_zip(inner / "de-en.txt.zip", ROWS, stem="../../escaped/../x")
    assert texts(read_all(path)) == ROWS
    assert [entry.name for entry in tmp_path.rglob("*")] == ["inner", "de-en.txt.zip"]


def test_members_of_different_lengths_are_named(tmp_path: Path) -> None:
    path = tmp_path / "de-en.txt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("C.de-en.de", "eins\nzwei\n")
        archive.writestr("C.de-en.en", "one\n")
    with pytest.raises(UserError, match=r"C\.de-en\.de has 2 lines and .*C\.de-en\.en has 1"):
        read_all(path)


def test_a_zip_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "de-en.txt.zip", ROWS * 500)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UserError, match=r"de-en\.txt\.zip is no zip file, or a damaged one"):
        read_all(path)


def test_damage_inside_a_member_ends_the_input(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "de-en.txt.zip", [(f"{k * 7919 % 10007}", f"{k * 104729 % 99991}") for k in range(20000)]
    )
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("Corpus.de-en.en")
    start = entry.header_offset + entry.compress_size // 2
    data[start : start + 64] = bytes(64)
    path.write_bytes(bytes(data))
    units = read_all(path)
    assert isinstance(units[-1], BadPair)
    assert units[-1].rule == "unreadable_bytes"
    assert len(units) < 20000


def test_a_bomb_in_a_zip_ends_within_its_budget(tmp_path: Path) -> None:
    path = tmp_path / "de-en.txt.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("C.de-en.de", b"eins\n" + bytes(100 << 20))
        archive.writestr("C.de-en.en", b"one\ntwo\n")
    units = read_all(path, config=PairIngestConfig(max_expansion=20))
    assert rules(units) == {"pair": 1, "decompression_budget": 1}


@pytest.mark.parametrize("pair", ["fr-en", "de-fr"])
def test_a_zip_of_other_languages_is_named_with_those_it_has(tmp_path: Path, pair: str) -> None:
    path = write_zip(tmp_path / "corpus.zip", ROWS)
    with pytest.raises(UserError, match=r"corpus\.zip does not hold both .*: 'de', 'en'"):
        read_all(path, pair)


def test_several_corpora_in_one_zip_are_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", ROWS, {"Other.de-en.de": "a\n", "Other.de-en.en": "b\n"})
    with pytest.raises(UserError, match=r"several de-en corpora \(Corpus\.de-en, Other\.de-en\)"):
        read_all(path)


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", ROWS)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"Corpus.de-en.en") - 46
    data[place + 8] |= 1  # the flag of encryption in the central directory
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"Corpus\.de-en\.en is encrypted"):
        read_all(path)
