"""XCES alignments with their sentence files."""

import gzip
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given

from configs.errors import UserError
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig
from tests.curation.parallel.made import Texts, read_all, rules, texts, texts_of, xml_texts

HEAD = '<?xml version="1.0"?><!DOCTYPE cesAlign PUBLIC "-//CES//DTD XML cesAlign//EN" "">'


def write_sentences(folder: Path, document: str, sentences: list[str], packed: bool = True) -> None:
    body = "".join(f'<p><s id="{k}">{escape(text)}</s></p>\n' for k, text in enumerate(sentences, 1))
    path = folder / document
    path.parent.mkdir(parents=True, exist_ok=True)
    data = f'<?xml version="1.0" encoding="utf-8"?><text>{body}</text>'.encode()
    path.write_bytes(gzip.compress(data) if packed else data)


def write_alignment(folder: Path, groups: dict[str, list[str]], name: str = "de-en.xml.gz") -> Path:
    body = "".join(
        f'<linkGrp fromDoc="de/{document}" toDoc="en/{document}">'
        + "".join(f'<link certainty="0.5" xtargets="{link}" id="SL1"/>' for link in links)
        + "</linkGrp>"
        for document, links in groups.items()
    )
    path = folder / name
    path.write_bytes(gzip.compress(f'{HEAD}<cesAlign version="1.0">{body}</cesAlign>'.encode()))
    return path


def spaced(text: str) -> str:
    """Return a text with XML's white space as single spaces, none at the ends."""
    return " ".join(part for part in text.replace("\t", " ").replace("\n", " ").split(" ") if part)


@given(texts_of(xml_texts))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: Texts) -> None:
    folder = tmp_path_factory.mktemp("xces")
    write_sentences(folder, "de/a.xml.gz", [row[0] for row in rows])
    write_sentences(folder, "en/a.xml.gz", [row[1] for row in rows])
    path = write_alignment(folder, {"a.xml.gz": [f"{k};{k}" for k in range(1, len(rows) + 1)]})
    units = read_all(path)
    assert texts(units) == [(spaced(src), spaced(tgt)) for src, tgt in rows]
    first = units[0]
    assert isinstance(first, Pair)
    assert (first.src_origin, first.tgt_origin, first.score) == ("de/a.xml.gz", "en/a.xml.gz", 0.5)


def test_several_sentences_and_none(tmp_path: Path) -> None:
    write_sentences(tmp_path / "xml", "de/a.xml", ["eins", "zwei", "drei"], packed=False)
    write_sentences(tmp_path / "xml", "en/a.xml", ["one", "two and three"], packed=False)
    path = write_alignment(tmp_path, {"a.xml.gz": ["1;1", "2 3;2", "3;", ";1", "9;1"]})
    units = read_all(path, "en-de")
    assert texts(units) == [("one", "eins"), ("two and three", "zwei drei")]
    assert rules(units) == {"pair": 2, "side_missing": 2, "sentence_missing": 1}


def test_words_are_joined_by_spaces(tmp_path: Path) -> None:
    write_sentences(tmp_path, "en/a.xml.gz", ["Hi, you"])
    body = '<s id="1"><w id="1.1">Hallo</w>\n <w misc="SpaceAfter=No">du</w>\n <w>!</w></s>'
    (tmp_path / "de").mkdir()
    (tmp_path / "de/a.xml.gz").write_bytes(gzip.compress(f"<text>{body}</text>".encode()))
    assert texts(read_all(write_alignment(tmp_path, {"a.xml.gz": ["1;1"]}))) == [("Hallo du!", "Hi, you")]


def test_missing_sentence_files(tmp_path: Path) -> None:
    path = write_alignment(tmp_path, {"a.xml.gz": ["1;1"], "b.xml.gz": ["1;1", "1;1"]})
    with pytest.raises(UserError, match=r"there is no 'de/a\.xml\.gz' in its folder: unpack the sentence files"):
        read_all(path)
    for side in ("de", "en"):
        write_sentences(tmp_path, f"{side}/a.xml.gz", [side])
    assert rules(read_all(path)) == {"pair": 1, "document_missing": 2}


def test_names_that_lead_elsewhere_are_not_opened(tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    for side in ("de", "en"):
        write_sentences(release, f"{side}/a.xml.gz", [side])
        write_sentences(tmp_path, f"{side}/secret.xml.gz", ["secret"])
    evil = ["../../de/secret.xml.gz", "../../../de/secret.xml.gz", str(tmp_path / "de/secret.xml.gz")]
    path = write_alignment(release, {"a.xml.gz": ["1;1"], **{name: ["1;1"] for name in evil}})
    units = read_all(path)
    assert rules(units) == {"pair": 1, "document_missing": 3}


def test_sentence_files_that_are_damaged_hostile_or_too_large(tmp_path: Path) -> None:
    for side in ("de", "en"):
        for document in ("good", "large"):
            write_sentences(tmp_path, f"{side}/{document}.xml.gz", [side * (1 if document == "good" else 3000)])
        for document, text in (
            ("bomb", '<!DOCTYPE text [<!ENTITY x "y">]><text><s id="1">&x;</s></text>'),
            ("broken", '<text><s id="1">a</s>'),
        ):
            (tmp_path / side / f"{document}.xml.gz").write_bytes(gzip.compress(text.encode()))
        (tmp_path / side / "cut.xml.gz").write_bytes(gzip.compress(b"<text><s id='1'>a</s></text>")[:-12])
    names = ("good", "large", "bomb", "broken", "cut")
    path = write_alignment(tmp_path, {f"{name}.xml.gz": ["1;1"] for name in names})
    units = read_all(path, config=PairIngestConfig(max_document_bytes=4000))
    assert [unit.rule if isinstance(unit, BadPair) else "pair" for unit in units] == [
        "pair", "document_too_large", "doctype_declaration", "malformed_xml", "unreadable_document",
    ]  # fmt: skip


def test_an_alignment_of_other_languages_is_named(tmp_path: Path) -> None:
    path = write_alignment(tmp_path, {"a.xml.gz": ["1;1"]}, name="alignment.xml.gz")
    with pytest.raises(UserError, match="aligns de with en, not fr with en"):
        read_all(path, "fr-en")
