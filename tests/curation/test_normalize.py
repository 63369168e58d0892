"""Text as it is stored: stable under a second pass, composed, clean; and mojibake undone without touching good text."""

import time
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curation.normalize import NormalizeConfig, normalize, repair_encoding, repair_page
from tests.prose import PROSE
from tests.strategies import ANY_TEXT

PLAIN = NormalizeConfig(repair_encoding=False)
REPAIR = NormalizeConfig()
CONFIGS = st.sampled_from([PLAIN, REPAIR])
# What a repair looks for, and what is removed, in every order.
MOJIBAKE = st.lists(
    st.sampled_from(
        ["Ã", "©", "\u200b", "\xad", "â€", "™", "\x81", "Â", "\xa0", " ", "\n", "Î", "±", "e", "ï¿½", "\ufffd"]
    ),
    max_size=40,
).map("".join)


@given(st.one_of(ANY_TEXT, MOJIBAKE), CONFIGS)
@example("Ã\u200b© Ã\u200b© Ã\u200b©", REPAIR)
@example("â€™â€™â€™\x85", REPAIR)
@example("a \u2003 \n \n\u3000\n b\u2028", PLAIN)
def test_a_second_pass_changes_nothing(text: str, config: NormalizeConfig) -> None:
    once = normalize(text, config)
    assert normalize(once, config) == once


@given(st.one_of(ANY_TEXT, MOJIBAKE), CONFIGS)
def test_the_result_is_composed_and_clean(text: str, config: NormalizeConfig) -> None:
    result = normalize(text, config)
    assert unicodedata.is_normalized("NFC", result)
    assert result == result.strip()
    assert {c for c in result if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}} <= {"\n", "\t"}
    assert not set(result) & set("\xad\u200b\ufeff\u2060")
    assert "\n\n\n" not in result
    assert " \n" not in result
    result.encode("utf-8")


@given(st.text(st.characters(categories=["L", "N"]), max_size=50))
def test_letters_and_digits_are_only_composed(text: str) -> None:
    assert normalize(text, PLAIN) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("one\r\ntwo\rthree\u2028four\x85five", "one\ntwo\nthree\nfour\nfive"),
        ("one\u2029two", "one\n\ntwo"),
        ("one\n\n \n\u3000\n\t\ntwo", "one\n\ntwo"),
        ("one  \ntwo\u00a0\u3000\n three", "one\ntwo\n three"),
        ("a\x00b\x07c\x1fd\x7fe\x9ff\ufdd0g\ud800h", "abcdefgh"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("क्\u200dष नी\u200cर \u200fא", "क्\u200dष नी\u200cर \u200fא"),
        ("tab\tstays  and two spaces", "tab\tstays  and two spaces"),
        ("e\u0301 A\u030a \u1100\u1161 \u212b", "é Å 가 Å"),
        ("A\u200b\u030a", "Å"),
    ],
)
def test_one_form_for_many(text: str, expected: str) -> None:
    assert normalize(text, PLAIN) == normalize(text, REPAIR) == expected


@pytest.mark.parametrize(
    "piece", [" ", "\t", "\u3000", " \n", "\n ", "\xa0\n\n", "Ã", "Ã©", "â€™ ", "\u200b", "\x85", "x \n"]
)
def test_no_text_takes_long(piece: str) -> None:
    for text in ("x" + piece * 300_000 + "x", piece * 300_000):
        start = time.monotonic()
        normalize(text, REPAIR)
        assert time.monotonic() - start < 5


# Mojibake


def mojibake(text: str, charset: str) -> str:
    """UTF-8 read in another charset; bytes that the charset lacks become control characters, as in browsers."""
    return "".join(bytes([byte]).decode(charset, "ignore") or chr(byte) for byte in text.encode())


REPAIRED = [code for code in PROSE if code not in {"en", "id", "mg", "nl"}]  # those have hardly a letter to spoil


@pytest.mark.parametrize("code", REPAIRED)
@pytest.mark.parametrize("charset", ["cp1252", "latin-1"])
def test_mojibake_of_every_language_is_undone(code: str, charset: str, declaration: Callable[[str], str]) -> None:
    text = normalize(declaration(PROSE[code]), PLAIN)
    spoilt = mojibake(text, charset)
    assert spoilt != text
    assert normalize(spoilt, REPAIR) == text
    assert normalize(spoilt, PLAIN) != text
    assert repair_encoding(spoilt) == text


@pytest.mark.parametrize("code", ["el", "tr", "de"])
def test_mojibake_of_mojibake_is_undone(code: str, declaration: Callable[[str], str]) -> None:
    text = normalize(declaration(PROSE[code]), PLAIN)
    assert repair_encoding(mojibake(mojibake(text, "cp1252"), "cp1252")) == text


@pytest.mark.parametrize("code", ["el", "tr", "de", "ru", "he"])
def test_mojibake_of_a_page_is_undone(code: str, declaration: Callable[[str], str]) -> None:
    text = declaration(PROSE[code])
    page = "<html><head><title>x</title></head><body>" + "".join(f"<p class=a>{p}</p>" for p in text.split("\n\n"))
    for markup in (page, page * 20):
        assert repair_page(mojibake(markup, "cp1252")) == markup
        assert repair_page(markup) == markup


def test_good_text_of_every_language_of_the_declaration_stays_as_it_is(data_folder: Path) -> None:
    files = sorted((data_folder / "udhr" / "data" / "udhr").glob("udhr_*.xml"))
    if not files:
        pytest.skip(f"no declarations in {data_folder}")
    touched, seen = [], 0
    for file in files:
        text = "\n".join(element.text or "" for element in ET.parse(file).iter())
        seen += bool(text.strip())
        if repair_encoding(text) != text or repair_page(text) != text:
            touched.append(file.name)
    assert touched == []
    assert seen > 400


@pytest.mark.parametrize(
    "text",
    [
        "Ça coûte 5 € – « voilà » …",
        "İstanbul’da ığdır “çok” güzel…",
        "SÃO PAULO É ÀS 5º LUGAR, ÂNGULO DE 45°",
        "ÎLE D’ÂGE, ÊTRE À «NOËL»",
        "× 3 × ½ ± ¼ Ø 5 µm",
        "Đà Nẵng và Huế",
        "",
    ],
)
def test_good_text_that_looks_odd_stays_as_it_is(text: str) -> None:
    assert repair_encoding(text * 5) == text * 5
