"""Which charset is a page in? Real pages, real pages recoded under true and false declarations, and any bytes."""

import codecs
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.decode import Decoded, decode_page, python_codec
from curation.http import IngestConfig
from curation.warc import WarcReader

# What the WHATWG Encoding Standard makes of the names that a detector gives.
SUPERSETS = {"ascii": "utf-8", "iso-8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}
LETTERS = re.compile(r"[^\W\d_]+")
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. " * 3


def page(text: str, claim: str | None = None) -> str:
    meta = f'<meta http-equiv="Content-Type" content="text/html; charset={claim}">' if claim else ""
    return f"<html><head>{meta}<title>{text[:20]}</title></head><body><p>{text}</p></body></html>"


# Real pages


@pytest.fixture(scope="module")
def web_pages(data_folder: Path) -> list[tuple[dict[str, str], Decoded]]:
    """Each real page: its row of the index, and how it was decoded."""
    if not (data_folder / "web" / "index.jsonl").is_file():
        pytest.skip(f"no index of web pages in {data_folder}")
    with (data_folder / "web" / "index.jsonl").open(encoding="utf-8") as lines:
        rows = {(row["warc"], row["offset"]): row for row in map(json.loads, lines)}
    pages = []
    for file in sorted({warc for warc, _ in rows}):
        with (data_folder / "web" / "warc" / file).open("rb") as stream:
            for record in WarcReader(stream, file, IngestConfig()):
                if record.body is not None:
                    pages.append((rows[file, record.offset], decode_page(record.body, record.charset)))
    return pages


def test_every_real_page_is_in_the_charset_of_the_index(web_pages: list[tuple[dict[str, str], Decoded]]) -> None:
    wrong = Counter[tuple[str, str]]()
    for row, decoded in web_pages:
        label = row["charset"].removesuffix("?")
        if decoded.charset != codecs.lookup(SUPERSETS.get(label, label)).name:
            wrong[label, decoded.charset] += 1
    assert wrong == {}
    assert len({row["charset"] for row, _ in web_pages}) > 5


def test_real_pages_have_hardly_any_character_that_was_not_understood(
    web_pages: list[tuple[dict[str, str], Decoded]],
) -> None:
    bad = [row["url"] for row, decoded in web_pages if decoded.text.count("\ufffd") > 0.01 * len(decoded.text)]
    assert bad == []


# Real texts in every charset of the web that their language was written in

CHARSETS = {
    "ell_monotonic": "windows-1253 iso-8859-7",
    "rus": "windows-1251 koi8-r iso-8859-5 ibm866",
    "bul": "windows-1251",
    "ukr": "windows-1251",
    "tur": "windows-1254",
    "pol": "windows-1250 iso-8859-2",
    "ces": "windows-1250 iso-8859-2",
    "hun": "windows-1250 iso-8859-2",
    "deu_1996": "windows-1252 iso-8859-15",
    "fra": "windows-1252",
    "spa": "windows-1252",
    "heb": "windows-1255",
    "arb": "windows-1256",
    "pes_1": "windows-1256",
    "tha": "windows-874 tis-620",
    "jpn": "shift_jis euc-jp iso-2022-jp",
    "kor": "euc-kr",
    "cmn_hans": "gb18030 gb2312 gbk",
    "cmn_hant": "big5",
}
CASES = [(name, charset) for name, charsets in CHARSETS.items() for charset in charsets.split()]
# Where a script has no ASCII letters, windows-1252 is no likely reading of its bytes, whoever claims it.
OTHER_SCRIPTS = {"ell_monotonic", "rus", "bul", "ukr", "heb", "arb", "pes_1", "tha", "jpn", "kor", "cmn_hans"}


def letters(text: str) -> list[str]:
    return LETTERS.findall(text)


def recoded(text: str, charset: str, claim: str | None) -> tuple[bytes, str]:
    """A page in a charset that claims to be in another, and what stands in it."""
    codec = {"windows-874": "cp874", "gb2312": "gb18030", "gbk": "gb18030"}.get(charset, charset)
    body = page(text, claim).encode(codec, "xmlcharrefreplace")
    return body, body.decode(codec)


@pytest.mark.parametrize(("name", "charset"), CASES)
def test_a_true_declaration_is_followed(name: str, charset: str, declaration: Callable[[str], str]) -> None:
    text = declaration(name)
    body, expected = recoded(text, charset, charset)
    assert decode_page(body, None).text == expected
    body, expected = recoded(text, charset, None)
    assert decode_page(body, charset).text == expected
    assert decode_page(body, f'"{charset.upper()}"').text == expected


@pytest.mark.parametrize(("name", "charset"), CASES)
@pytest.mark.parametrize("claim", [None, "utf-8", "no-such-charset", "us-ascii-art"])
def test_without_a_credible_declaration_the_bytes_tell(
    name: str, charset: str, claim: str | None, declaration: Callable[[str], str]
) -> None:
    body, expected = recoded(declaration(name), charset, claim)
    assert letters(decode_page(body, claim).text) == letters(expected)


@pytest.mark.parametrize(("name", "charset"), [case for case in CASES if case[0] in OTHER_SCRIPTS])
@pytest.mark.parametrize("claim", ["iso-8859-1", "windows-1252", "latin1"])
def test_another_script_under_the_servers_default_is_found_out(
    name: str, charset: str, claim: str, declaration: Callable[[str], str]
) -> None:
    """The most frequent lie: a server that sends ISO-8859-1 for every file."""
    body, expected = recoded(declaration(name), charset, claim)
    assert letters(decode_page(body, claim).text) == letters(expected)


@pytest.mark.parametrize("name", [*CHARSETS, "hin", "kat", "vie", "tam"])
@pytest.mark.parametrize("claim", ["iso-8859-1", "windows-1253", "gb2312", "shift_jis", "koi8-r", None])
def test_utf_8_is_utf_8_whatever_is_claimed(name: str, claim: str | None, declaration: Callable[[str], str]) -> None:
    text = page(declaration(name), claim)
    assert decode_page(text.encode(), claim) == Decoded(text, "utf-8")


@pytest.mark.parametrize("name", ["ell_monotonic", "rus", "tur", "jpn", "tha", "hin", "fra"])
def test_clipped_utf_8_stays_utf_8(name: str, declaration: Callable[[str], str]) -> None:
    text = page(declaration(name))
    body = text.encode()
    start = len(body) // 2
    while body[start] & 0xC0 != 0x80:  # to the middle of a character
        start += 1
    for damaged in (body[:start], body[start:], body[:start] + b"<b>" + body[start:], body + b"\xe9\xe8"):
        decoded = decode_page(damaged, "iso-8859-1")
        assert decoded.charset == "utf-8"
        assert decoded.text.count("\ufffd") <= 3
        assert len(letters(decoded.text)) > len(letters(text)) // 3


def test_clipped_utf_8_behind_a_long_page_of_ascii_stays_utf_8() -> None:
    body = page("word " * 20_000 + GREEK).encode()
    assert decode_page(body[:-60].rstrip(b"\x80") + b"\xce", None).charset == "utf-8"


# Marks, names, single characters


@pytest.mark.parametrize("claim", [None, "iso-8859-1", "utf-8", "windows-1253"])
@pytest.mark.parametrize(
    ("bom", "codec"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_is_believed_and_removed(bom: bytes, codec: str, claim: str | None) -> None:
    text = page(GREEK, claim)
    assert decode_page(bom + text.encode(codec), claim) == Decoded(text, codec)
    assert decode_page(bom, claim) == Decoded("", codec)
    assert decode_page(bom + text.encode(codec)[:-1], claim).charset == codec


def test_curly_quotes_of_a_thai_page_are_quotes() -> None:
    """In TIS-620 their bytes are no characters; browsers read it as windows-874, where they are."""
    text = page("“สวัสดีชาวโลก” ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน – ‘เช่นกัน’ " * 3, "tis-620")
    assert decode_page(text.encode("cp874"), "tis-620").text == text


@pytest.mark.parametrize(
    ("claim", "codec", "text"),
    [
        ("shift_jis", "cp932", "第①章 ㈱山田製作所の髙橋社長は№１と語った。"),
        ("euc-kr", "cp949", "똠방각하와 펲시콜라를 좋아하는 사람들이 모였다."),
        ("gb2312", "gb18030", "朱镕基总理和陶喆先生出席了会议。"),
        ("big5", "big5hkscs", "香港嘅茶餐廳喺度有好多嘢食。"),
        ("iso-8859-1", "cp1252", "“Smart quotes” – and the € sign…"),
        ("iso-8859-9", "cp1254", "“Türkçe” – ığdır ile şehir…"),
    ],
)
def test_a_name_stands_for_what_pages_really_use(claim: str, codec: str, text: str) -> None:
    """Each text has characters that the charset of that name lacks and the one that browsers take for it has."""
    full = page(text * 4, claim)
    assert decode_page(full.encode(codec), None).text == full


def test_the_page_is_believed_before_the_server() -> None:
    """Both readings are possible; the author knew better than the server's default."""
    text = "Każdy człowiek posiada wszystkie prawa i wolności zawarte w niniejszej Deklaracji."
    body = page(text, "iso-8859-2").encode("iso-8859-2")
    assert decode_page(body, "iso-8859-1") == Decoded(page(text, "iso-8859-2"), "iso8859-2")
    assert decode_page(page(text).encode("iso-8859-2"), "iso-8859-2") == Decoded(page(text), "iso8859-2")


@pytest.mark.parametrize("name", ["pol", "ces"])
def test_a_charset_that_yields_control_characters_is_not_believed(name: str, declaration: Callable[[str], str]) -> None:
    """Windows-1250 under the name of ISO-8859-2, whose bytes differ for a few letters."""
    body, expected = recoded(declaration(name) + " „Šťastný ž”", "windows-1250", "iso-8859-2")
    assert letters(decode_page(body, "iso-8859-2").text) == letters(expected)


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("UTF8", "utf-8"),
        (" Latin1 ", "cp1252"),
        ("us-ascii", "cp1252"),
        ("'windows-1251'", "cp1251"),
        ("x-sjis", "cp932"),
        ("ks_c_5601-1987", "cp949"),
        ("tis-620", "cp874"),
        ("iso-8859-9", "cp1254"),
    ],
)
def test_labels_are_those_of_the_web(label: str, codec: str) -> None:
    assert python_codec(label) == codecs.lookup(codec).name


@pytest.mark.parametrize("label", [None, "", " ", "no-such-charset", "\x00", "é", "x" * 10_000, "utf-7", '"'])
def test_an_unknown_label_is_none(label: str | None) -> None:
    assert python_codec(label) is None
    assert decode_page(page(GREEK).encode("cp1253"), label).text == page(GREEK)


# Any bytes

LABELS = st.sampled_from([None, "", "utf-8", "iso-8859-1", "shift_jis", "big5", "iso-2022-jp", "utf-16", "no", "\x00"])
STARTS = st.sampled_from([b"", codecs.BOM_UTF16_LE, b"<meta charset=euc-jp>", b"\x1b$B", b'<meta charset="\xff">'])


@given(STARTS, st.binary(max_size=200), LABELS)
def test_no_bytes_make_it_fail(start: bytes, body: bytes, label: str | None) -> None:
    decoded = decode_page(start + body, label)
    codecs.lookup(decoded.charset)
    decoded.text.encode()  # no lone surrogates


@given(st.text(max_size=200), LABELS)
def test_any_text_in_utf_8_comes_back(text: str, label: str | None) -> None:
    if "\x1b$" not in text:
        assert decode_page(b"-" + text.encode(), label) == Decoded("-" + text, "utf-8")


@pytest.mark.parametrize("piece", [b"<script", b"<", b"<a ", b"<style>", b"<meta ", b"<meta charset", b"\xff", b"<!--"])
def test_no_page_takes_long(piece: bytes) -> None:
    start = time.monotonic()
    decode_page(b"\xff\xe9" + piece * 200_000, "no-such-charset")
    assert time.monotonic() - start < 3
