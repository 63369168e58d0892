"""Splitting into words: what the scripts of the table need, and what holds for every text."""

import unicodedata
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.words import Segmentation, split_words
from tests.strategies import ANY_TEXT

SEGMENTATIONS = st.sampled_from(["spaces", "none"])
LETTERS_AND_MARKS = st.characters(max_codepoint=0xFFFF, categories=("Ll", "Lo", "Mn", "Mc", "Me"))


def letters(text: str) -> Counter[str]:
    return Counter(character for character in text if character.isalnum())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat, the CAT!", ["the", "cat", "the", "cat"]),
        ("Η Αθήνα είναι η πρωτεύουσα.", ["η", "αθήνα", "είναι", "η", "πρωτεύουσα"]),
        ("ΟΔΟΣ ΕΡΜΟΥ", ["οδος", "ερμου"]),
        ("हिन्दी में लिखी किताब।", ["हिन्दी", "में", "लिखी", "किताब"]),
        ("বাংলা ভাষা", ["বাংলা", "ভাষা"]),
        ("ދިވެހި ބަސް", ["ދިވެހި", "ބަސް"]),
        ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
        ("مُحَمَّدٌ رسول", ["مُحَمَّدٌ", "رسول"]),
        ("می‌خواهم بروم", ["می‌خواهم", "بروم"]),
        ("don't l’ami oʼzbek", ["don't", "l’ami", "oʼzbek"]),
        ("'quoted' ’twas dogs'", ["quoted", "twas", "dogs"]),
        ("well-known -- a-b - c", ["well-known", "a-b", "c"]),
        ("naïve naïve", ["naïve", "naïve"]),
        ("3.14 42%", ["3", "14", "42"]),
        ("", []),
        (" \n\t…!?", []),
    ],
)
def test_words_between_spaces(text: str, words: list[str]) -> None:
    assert split_words(text, "spaces") == words


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("我爱北京。", ["我", "爱", "北", "京"]),
        ("我买了GPU 42块", ["我", "买", "了", "gpu", "42", "块"]),
        ("カタカナ、ひら", ["カ", "タ", "カ", "ナ", "ひ", "ら"]),
        ("ที่นี่", ["ท", "ี", "่", "น", "ี", "่"]),
        ("ភាសាខ្មែរ។", ["ភ", "ា", "ស", "ា", "ខ", "្", "ម", "ែ", "រ"]),
        ("မြန်မာ၊ စာ။", ["မ", "ြ", "န", "်", "မ", "ာ", "စ", "ာ"]),
        ("", []),
    ],
)
def test_units_without_spaces(text: str, units: list[str]) -> None:
    assert split_words(text, "none") == units


@given(ANY_TEXT, SEGMENTATIONS)
def test_every_letter_and_digit_is_in_exactly_one_word(text: str, segmentation: Segmentation) -> None:
    assert letters("".join(split_words(text, segmentation))) == letters(text.lower())


@given(ANY_TEXT, SEGMENTATIONS)
def test_words_hold_no_space_and_no_upper_case(text: str, segmentation: Segmentation) -> None:
    for word in split_words(text, segmentation):
        assert word
        assert word == word.lower()
        assert not any(character.isspace() for character in word)


@given(ANY_TEXT, SEGMENTATIONS)
def test_words_are_split_no_further(text: str, segmentation: Segmentation) -> None:
    words = split_words(text, segmentation)
    assert split_words(" ".join(words), segmentation) == words


@given(st.lists(st.text(LETTERS_AND_MARKS, min_size=1, max_size=6), max_size=8))
def test_marks_never_break_a_word(words: list[str]) -> None:
    assert split_words(" ".join(words), "spaces") == " ".join(words).lower().split()


@given(
    st.text(st.characters(max_codepoint=0xFFFF, categories=("P", "S", "Z", "Cc"), exclude_characters="_")),
    SEGMENTATIONS,
)
def test_punctuation_and_symbols_make_no_words(text: str, segmentation: Segmentation) -> None:
    assert split_words(text, segmentation) == []


@given(ANY_TEXT)
def test_units_are_single_characters_but_for_latin_runs(text: str) -> None:
    for unit in split_words(text, "none"):
        assert len(unit) == 1 or (unit.isascii() and unit.replace("_", "a").isalnum())


@pytest.mark.parametrize(
    "name", ["hin", "ben", "guj", "mar", "nep", "tam", "sin", "div", "ell_polytonic", "heb", "vie"]
)
def test_real_text_splits_at_its_spaces_only(name: str, declaration: Callable[[str], str]) -> None:
    """Stripped of punctuation, the pieces between spaces are the words: no vowel sign splits or leaves one."""
    text = declaration(name)
    plain = "".join(
        " " if unicodedata.category(character)[0] in "PSZ" or character == "\n" else character for character in text
    )
    words = split_words(plain, "spaces")
    assert len(words) > 500
    assert words == [piece.strip("\u200c\u200d") for piece in plain.lower().split()]


@pytest.mark.parametrize("name", ["tha", "khm", "lao", "mya", "bod", "jpn", "cmn_hans"])
def test_real_text_without_spaces_keeps_every_sign(name: str, declaration: Callable[[str], str]) -> None:
    text = declaration(name).lower()
    signs = Counter(character for character in text if unicodedata.category(character)[0] in "LM")
    units = Counter(character for unit in split_words(text, "none") for character in unit)
    assert sum(signs.values()) > 1000
    assert {character: units[character] for character in signs} == dict(signs)
