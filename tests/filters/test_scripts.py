"""Letters of a script: every letter counts, and no letter of another script does."""

import unicodedata
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.languages import Language, Script, load_languages
from filters.scripts import RANGES, code_points, in_ranges, ranges_of
from tests.strategies import ANY_TEXT

BOUNDS = st.tuples(st.integers(0, 0x10FFFF), st.integers(0, 0x10FFFF)).map(lambda pair: (min(pair), max(pair)))

SAMPLES = {
    "Latn": "Zażółć gęślą jaźń Þórður naïve ŒUVRE ğışİ ươẩỵ əƏ ﬁ ＡＢ",
    "Grek": "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία ᾳ ῷ ΐ Ϊ",
    "Cyrl": "Съешь ещё этих мягких ґ є ї і џ ђ љ њ ѓ ќ ў ә ғ қ ң ө ұ ү һ",
    "Armn": "Հայերեն և լեզու",
    "Hebr": "עברית ץ ף ך ם ן",
    "Arab": "العربية فارسی اردو ٹ ڈ ں ے ھ گ چ پ ژ ﻻ",
    "Deva": "हिन्दी मराठी ळ नेपाली ज़",
    "Beng": "বাংলা ৎ ড় য়",
    "Guru": "ਪੰਜਾਬੀ",
    "Gujr": "ગુજરાતી ળ",
    "Orya": "ଓଡ଼ିଆ",
    "Taml": "தமிழ்",
    "Telu": "తెలుగు",
    "Knda": "ಕನ್ನಡ",
    "Mlym": "മലയാളം ൻ ർ ൽ",
    "Sinh": "සිංහල",
    "Thai": "ภาษาไทย ๆ ำ",
    "Laoo": "ພາສາລາວ ໆ",
    "Tibt": "བོད་སྐད",
    "Mymr": "မြန်မာဘာသာ",
    "Geor": "ქართული ᲥᲐᲠᲗᲣᲚᲘ",
    "Ethi": "አማርኛ",
    "Khmr": "ភាសាខ្មែរ",
    "Thaa": "ދިވެހި",
    "Hans": "汉语简体字 时时刻刻 人々 㐀 𠮷",
    "Hant": "漢語繁體字 時時刻刻",
    "Jpan": "日本語 ひらがな カタカナ ー 人々 ｶﾀｶﾅ ヴ",
    "Kore": "한국어 漢字 ㄱㄴ 힣",
}
# What the Unicode names of a script's letters contain.
NAMES = {
    "Latn": {"LATIN", "ORDINAL", "MODIFIER"},
    "Grek": {"GREEK", "COPTIC"},
    "Cyrl": {"CYRILLIC"},
    "Armn": {"ARMENIAN"},
}
NAMES |= {"Hebr": {"HEBREW"}, "Arab": {"ARABIC"}, "Deva": {"DEVANAGARI"}, "Beng": {"BENGALI"}, "Guru": {"GURMUKHI"}}
NAMES |= {"Gujr": {"GUJARATI"}, "Orya": {"ORIYA"}, "Taml": {"TAMIL"}, "Telu": {"TELUGU"}, "Knda": {"KANNADA"}}
NAMES |= {"Mlym": {"MALAYALAM"}, "Sinh": {"SINHALA"}, "Thai": {"THAI"}, "Laoo": {"LAO"}, "Tibt": {"TIBETAN"}}
NAMES |= {"Mymr": {"MYANMAR"}, "Geor": {"GEORGIAN"}, "Ethi": {"ETHIOPIC"}, "Khmr": {"KHMER"}, "Thaa": {"THAANA"}}
NAMES |= {"Hans": {"CJK", "IDEOGRAPHIC"}, "Hant": {"CJK", "IDEOGRAPHIC"}, "Kore": {"HANGUL", "CJK", "IDEOGRAPHIC"}}
NAMES |= {"Jpan": {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK", "IDEOGRAPHIC"}}


def letter_mask(text: str, scripts: list[str]) -> list[tuple[str, bool]]:
    mask = in_ranges(code_points(text), ranges_of(scripts)).tolist()
    return [(letter, bool(own)) for letter, own in zip(text, mask, strict=True) if letter.isalpha()]


@pytest.mark.parametrize("script", get_args(Script))
def test_every_letter_of_a_sample_counts(script: str) -> None:
    counted = letter_mask(SAMPLES[script], [script])
    assert counted
    assert [letter for letter, own in counted if not own] == []


@pytest.mark.parametrize("script", get_args(Script))
def test_no_letter_of_another_script_counts(script: str) -> None:
    strangers = [
        (hex(point), unicodedata.name(chr(point)))
        for low, high in ranges_of([script])
        for point in range(low, high + 1)
        if chr(point).isalpha()
        and not NAMES[script] & set(unicodedata.name(chr(point)).replace("-", " ").split())
        # The names of the sound marks join two scripts by a hyphen.
        and "KATAKANA-HIRAGANA" not in unicodedata.name(chr(point))
    ]
    assert strangers == []


@pytest.mark.parametrize("language", load_languages().languages, ids=lambda language: str(language.code))
def test_languages_write_their_names_in_their_scripts(language: Language) -> None:
    counted = letter_mask(language.own_name, [language.script])
    assert counted
    assert [letter for letter, own in counted if not own] == []


@given(ANY_TEXT)
def test_code_points_are_those_of_the_text(text: str) -> None:
    expected = [ord("?") if 0xD800 <= ord(character) <= 0xDFFF else ord(character) for character in text]
    assert code_points(text).tolist() == expected


@given(st.lists(st.integers(0, 0x10FFFF), max_size=50), st.lists(BOUNDS, max_size=5))
def test_a_mask_holds_what_lies_between_bounds(points: list[int], ranges: list[tuple[int, int]]) -> None:
    # The bounds themselves and their neighbours are where a comparison goes wrong.
    points += [
        edge + step for bounds in ranges for edge in bounds for step in (-1, 0, 1) if 0 <= edge + step <= 0x10FFFF
    ]
    mask = in_ranges(np.array(points, dtype=np.uint32), ranges)
    assert mask.tolist() == [any(low <= point <= high for low, high in ranges) for point in points]


@given(st.sets(st.sampled_from(sorted(RANGES)), max_size=4), ANY_TEXT)
def test_several_scripts_hold_the_letters_of_each(scripts: set[str], text: str) -> None:
    text += "".join(map(str, SAMPLES.values()))
    points = code_points(text)
    apart = [in_ranges(points, ranges_of([script])) for script in scripts]
    together = in_ranges(points, ranges_of(scripts))
    assert together.tolist() == np.any([np.zeros(len(points), dtype=np.bool_), *apart], axis=0).tolist()


def test_an_unknown_script_is_refused() -> None:
    with pytest.raises(KeyError, match="Runr"):
        ranges_of(["Latn", "Runr"])


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("ell_polytonic", "Grek"),
        ("rus", "Cyrl"),
        ("arb", "Arab"),
        ("hin", "Deva"),
        ("tha", "Thai"),
        ("kat", "Geor"),
        ("jpn", "Jpan"),
        ("kor", "Kore"),
        ("cmn_hans", "Hans"),
        ("vie", "Latn"),
        ("div", "Thaa"),
        ("bod", "Tibt"),
    ],
)
def test_real_text_is_in_its_script_alone(name: str, script: str, declaration: Callable[[str], str]) -> None:
    counted = letter_mask(declaration(name), [script])
    assert sum(own for _, own in counted) / len(counted) > 0.99
