"""TMX: translation units from well-formed, damaged and hostile documents."""

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig
from curation.parallel.streams import plain_bytes
from curation.parallel.tmx import read_tmx
from tests.curation.parallel.made import DEFAULT, Texts, read_all, rules, texts, texts_of, tmx, xml_texts
from tests.curation.peak import peak_growth_mb

ROWS = [(f"Satz {k} & <b>", f"Sentence {k}") for k in range(2000)]
LAUGHS = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 30))


def write(folder: Path, document: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "x.tmx"
    path.write_bytes(document.encode(encoding) if isinstance(document, str) else document)
    return path


def one(folder: Path, body: str, pair: str = "de-en") -> BadPair | Pair:
    units = read_all(write(folder, f'<tmx version="1.4"><header/><body>{body}</body></tmx>'), pair)
    assert len(units) == 1
    return units[0]


@given(texts_of(xml_texts), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: Texts, encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    path = write(tmp_path_factory.mktemp("tmx"), tmx(rows, head=head), encoding)
    assert texts(read_all(path)) == rows


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "utf-8"])
def test_declared_encodings_are_heeded(tmp_path: Path, encoding: str) -> None:
    head = f"<?xml version='1.0' encoding='{encoding}'?>"
    assert texts(read_all(write(tmp_path, tmx([("Größe", "size")], head=head), encoding))) == [("Größe", "size")]


@pytest.mark.parametrize("encoding", ["zlib_codec", "idna", "unicode_escape", "utf-7", "klingon"])
def test_an_encoding_that_is_not_read_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UserError, match=f"x.tmx is in the encoding '{encoding}'"):
        read_all(write(tmp_path, tmx([("a", "b")], head=f'<?xml version="1.0" encoding="{encoding}"?>')))


@pytest.mark.parametrize(
    "labels", [("DE", "EN-US"), ("de_DE", "en-GB"), ("deu", "eng"), ("de-Latn-AT", "en"), ("ger", "EN")]
)
def test_language_labels_of_all_kinds(tmp_path: Path, labels: tuple[str, str]) -> None:
    assert texts(read_all(write(tmp_path, tmx(ROWS[:2], labels)))) == ROWS[:2]


def test_the_old_attribute_for_the_language_is_read(tmp_path: Path) -> None:
    unit = one(tmp_path, '<tu><tuv lang="EN"><seg>a</seg></tuv><tuv lang="DE"><seg>b</seg></tuv></tu>')
    assert texts([unit]) == [("b", "a")]


def test_languages_that_are_not_there_are_named_with_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path, tmx(ROWS[:2], ("fr-CA", "en-US")))
    with pytest.raises(UserError, match=r"x\.tmx does not hold both de and en; .*'en-US', 'fr-CA'"):
        read_all(path)


def test_the_first_of_several_variants_of_a_language_counts(tmp_path: Path) -> None:
    variants = "".join(
        f'<tuv xml:lang="{label}"><seg>{text}</seg></tuv>'
        for label, text in [("fr", "x"), ("de-AT", "Jänner"), ("de-DE", "Januar"), ("en", "January")]
    )
    assert texts([one(tmp_path, f"<tu>{variants}</tu>")]) == [("Jänner", "January")]


def test_a_unit_without_one_side_is_dropped(tmp_path: Path) -> None:
    more = '<tu><tuv xml:lang="de"><seg>allein</seg></tuv></tu>'
    units = read_all(write(tmp_path, tmx(ROWS[:2], more=more)))
    assert rules(units) == {"pair": 2, "side_missing": 1}
    assert isinstance(units[-1], BadPair)
    assert units[-1].detail == "no segment in en"


def test_markup_of_the_translated_document_is_no_text(tmp_path: Path) -> None:
    seg = 'Ein <bpt i="1">&lt;b&gt;</bpt><hi>fettes</hi><ept i="1">&lt;/b&gt;</ept> Wort<ph>{1}<sub>x</sub></ph>.'
    unit = one(
        tmp_path,
        f'<tu><tuv xml:lang="de"><seg>{seg}</seg></tuv><tuv xml:lang="en"><seg><![CDATA[<b>]]></seg></tuv></tu>',
    )
    assert texts([unit]) == [("Ein fettes Wort.", "<b>")]


def test_documents_and_scores_are_read_from_properties(tmp_path: Path) -> None:
    unit = one(
        tmp_path,
        '<tu tuid="1"><prop type="score-zipporah">3</prop><prop type="score-bicleaner">0.75</prop>'
        '<prop type="score-aligner">1</prop>'
        '<tuv xml:lang="en"><prop type="source-document">http://a/en</prop><seg>a</seg></tuv>'
        '<tuv xml:lang="fr"><prop type="source-document">http://a/fr</prop><seg>c</seg></tuv>'
        '<tuv xml:lang="de"><prop type="source-document">http://a/de</prop><seg>b</seg></tuv></tu>',
    )
    assert unit == Pair("x.tmx", 0, "b", "a", "http://a/de", "http://a/en", 0.75)


def test_a_bomb_of_entities_is_refused_before_it_grows(tmp_path: Path) -> None:
    head = f'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY l0 "ha">{LAUGHS}]>'
    units = read_all(write(tmp_path, tmx([("&l29;", "b")], head=head).replace("&amp;", "&")))
    assert rules(units) == {"doctype_declaration": 1}


@pytest.mark.parametrize("declared", ['<!ENTITY x SYSTEM "{0}">', '<!ENTITY % x SYSTEM "{0}"> %x;', '<!ENTITY x "y">'])
def test_external_entities_are_never_opened(tmp_path: Path, declared: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    head = f"<!DOCTYPE tmx [{declared.format(secret.as_uri())}]>"
    units = read_all(write(tmp_path, tmx([("&x;", "b")], head=head).replace("&amp;", "&")))
    assert rules(units) == {"doctype_declaration": 1}
    assert "the secret" not in str(units)


def test_default_attributes_are_refused_before_they_grow(tmp_path: Path) -> None:
    head = f'<!DOCTYPE tmx [<!ATTLIST seg x CDATA "{"1" * (1 << 20)}">]>'
    units = read_all(write(tmp_path, tmx(ROWS, head=head)))
    assert rules(units) == {"doctype_declaration": 1}


def test_a_document_type_alone_is_passed_over(tmp_path: Path) -> None:
    head = '<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "tmx14.dtd">'
    document = tmx([("a&nbsp;b", "c"), ("d", "e")], head=head).replace("&amp;", "&")
    units = read_all(write(tmp_path, document))
    assert rules(units) == {"undefined_entity": 1, "pair": 1}


@pytest.mark.parametrize("fault", ["&nbsp;", "&#1;", "\x0b", "<seg>", "</tuv>", "<a <b>", "]]>", "\udcff"])
def test_a_unit_that_is_not_well_formed_costs_that_unit(tmp_path: Path, fault: str) -> None:
    rows = [(text, "b") for text in ("vorher", "FAULT", "nachher")] + ROWS[:1000]
    document = tmx(rows).replace("FAULT", fault).encode("utf-8", "surrogateescape")
    units = read_all(write(tmp_path, document))
    assert rules(units) == {"malformed_xml": 1, "pair": 1002}
    assert texts(units) == [rows[0], *rows[2:]]
    assert isinstance(units[1], BadPair)


class Dribble(io.BytesIO):
    """Hands out a few bytes at a time, as a file of many small compressed blocks does."""

    step = 1

    def read1(self, size: int | None = -1) -> bytes:
        return super().read(self.step)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 17, 200])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_nothing_depends_on_where_the_data_is_cut(step: int, encoding: str) -> None:
    rows = [("ä" * 5000, "a"), ("FAULT", "b"), ("ö", "d"), ("e", "f")]
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    stream = Dribble(tmx(rows, head=head).replace("FAULT", "&#1;").encode(encoding))
    stream.step = step
    units = list(read_tmx(plain_bytes(stream, "x", DEFAULT), "x", "de", "en", DEFAULT))
    assert rules(units) == {"pair": 3, "malformed_xml": 1}
    assert texts(units) == [rows[0], *rows[2:]]


def test_a_document_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    document = tmx(ROWS).encode()
    units = read_all(write(tmp_path, document[: len(document) // 2]))
    assert texts(units) == ROWS[: len(units) - 1]
    assert len(units) > 900
    assert rules(units)["malformed_xml"] == 1
    packed = gzip.compress(document)
    (tmp_path / "x.tmx").write_bytes(packed[: len(packed) // 2])
    units = read_all(tmp_path / "x.tmx")
    assert texts(units) == ROWS[: len(units) - 1]
    assert rules(units)["unreadable_bytes"] == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_what_stands_before_a_character_that_cannot_be_is_read(tmp_path: Path, encoding: str) -> None:
    data = tmx(ROWS[:5], more="<!--").encode(encoding)
    for damage in (b"\0", b"\xff\xff\xff\xff" * 3 + b"\xff"):
        units = read_all(write(tmp_path, data + damage))
        assert texts(units) == ROWS[:5]
        assert rules(units) == {"pair": 5, "malformed_xml": 1}


def test_segments_over_the_limit_are_dropped(tmp_path: Path) -> None:
    rows = [("ä" * 10, "a"), ("ä" * 11, "b"), ("c", "d" * 21), ("e", "f")]
    units = read_all(write(tmp_path, tmx(rows)), config=PairIngestConfig(max_line_bytes=20))
    assert [rules([unit]).popitem()[0] for unit in units] == ["pair", "line_too_long", "line_too_long", "pair"]


def test_elements_inside_elements_without_end(tmp_path: Path) -> None:
    more = "<x>" * 100_000 + "</x>" * 100_000 + "<tu><tuv xml:lang='de'><seg>z</seg></tuv></tu>"
    units = read_all(write(tmp_path, tmx(ROWS[:2], more=more)))
    assert rules(units) == {"pair": 2, "malformed_xml": 1, "side_missing": 1}


def test_what_is_no_tmx_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.tmx is no TMX"):
        read_all(write(tmp_path, "<html><body>404</body></html>"))


_READ = """
from pathlib import Path
from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.pairs import PairIngestConfig
from curation.parallel.read import open_pairs
"""
_COUNT = """
with open_pairs(find_parallel_inputs(sys.argv[1], "de", "en")[0], Path("/tmp"), PairIngestConfig()) as opened:
    assert sum(1 for _ in opened.units) == int(sys.argv[2])
"""


def test_memory_does_not_grow_with_the_document_a_segment_or_a_tag(tmp_path: Path) -> None:
    rows = ROWS[:1]
    unit = tmx(rows).split("<body>")[1].split("</body>")[0]
    long_segment = (
        f"<tu><tuv xml:lang='de'><seg>{'w ' * (20 << 20)}</seg></tuv><tuv xml:lang='en'><seg>b</seg></tuv></tu>"
    )
    long_tag = f"<tu tuid='{'1' * (40 << 20)}'><tuv xml:lang='de'><seg>a</seg></tuv></tu>"
    document = tmx([], more=f"{unit * 60_000}{long_segment}{long_tag}{unit}")
    (tmp_path / "x.tmx.gz").write_bytes(gzip.compress(document.encode(), 1))
    assert peak_growth_mb(_READ, _COUNT, str(tmp_path), "60003") < 40
