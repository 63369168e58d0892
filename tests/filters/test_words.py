"""Splitting into words: what the scripts of the table need, and what holds for every text."""

import unicodedata
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.scripts import code_points
from filters.words import (
    Segmentation,
    find_words,
    segmenter_for,
    shingle_units,
    word_hash,
    word_list,
    words_of_texts,
)
from tests.filters.oracles import split_words
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


@given(ANY_TEXT)
def test_words_at_spaces_are_those_of_the_pattern(text: str) -> None:
    # Lower case may be longer than the text itself; a lone surrogate is a question mark.
    text = text.lower().encode("utf-8", "replace").decode("utf-8")
    assert word_list(text, segmenter_for("en", "spaces")) == [word.lower() for word in split_words(text, "spaces")]


@given(ANY_TEXT, SEGMENTATIONS)
def test_units_of_shingles_are_those_of_the_pattern(text: str, segmentation: Segmentation) -> None:
    text = text.lower().encode("utf-8", "replace").decode("utf-8")
    expected = [word.lower() for word in split_words(text, segmentation)]
    assert word_list(text, shingle_units(segmentation)) == expected


@given(st.lists(ANY_TEXT, max_size=6), SEGMENTATIONS)
def test_the_words_of_several_texts_are_those_of_each(texts: list[str], segmentation: Segmentation) -> None:
    hashes, borders = words_of_texts(texts, shingle_units(segmentation))
    assert len(borders) == len(texts) + 1
    for number, text in enumerate(texts):
        own = hashes[borders[number] : borders[number + 1]].tolist()
        assert own == [word_hash(word) for word in word_list(text, shingle_units(segmentation))]


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("zh", "北京大学生活动中心在哪里？", ["北京", "大学生", "活动", "中心", "在", "哪里"]),
        ("ja", "東京都に住んでいる友人", ["東京", "都", "に", "住", "んで", "いる", "友人"]),
        ("th", "ภาษาไทยเป็นภาษา", ["ภาษา", "ไทย", "เป็น", "ภาษา"]),
        ("km", "ភាសាខ្មែរគឺជាភាសា", ["ភាសាខ្មែរ", "គឺជា", "ភាសា"]),
        ("lo", "ພາສາລາວເປັນພາສາ", ["ພາສາ", "ລາວ", "ເປັນ", "ພາສາ"]),
        ("my", "မြန်မာနိုင်ငံသည်", ["မြန်မာနိုင်ငံ", "သည်"]),
        ("zh", "我买了GPU 42块😀。", ["我", "买", "了", "gpu", "42", "块"]),
        ("zh", "\ud800我们", ["我们"]),
        ("zh", "", []),
    ],
)
def test_dictionaries_find_words_where_no_spaces_stand(language: str, text: str, words: list[str]) -> None:
    segmenter = segmenter_for(language, "none")
    assert segmenter.name == "icu"
    assert word_list(text, segmenter) == words


@given(ANY_TEXT, st.sampled_from([("en", "spaces"), ("zh", "none"), ("th", "none")]))
def test_words_are_places_in_the_text_in_order(text: str, language: tuple[str, Segmentation]) -> None:
    words = find_words(text, code_points(text), segmenter_for(*language))
    assert (words.lengths > 0).all()
    assert (words.starts[1:] >= words.ends[:-1]).all()
    assert not len(words.ends) or words.ends[-1] <= len(text)


@given(st.lists(st.text("abAB'é", min_size=1, max_size=6).filter(str.isalpha), max_size=30))
def test_words_share_a_hash_where_they_are_equal_in_lower_case(words: list[str]) -> None:
    text = " ".join(words)
    hashes = find_words(text, code_points(text), segmenter_for("en", "spaces")).hashes.tolist()
    assert hashes == [word_hash(word) for word in words]
    assert (
        len(set(zip(hashes, map(str.lower, words), strict=True))) == len(set(hashes)) == len({*map(str.lower, words)})
    )


def test_the_sigma_at_the_end_of_a_word_is_a_sigma() -> None:
    assert word_hash("ΟΔΟΣ") == word_hash("οδος")


def test_a_text_longer_than_a_stretch_is_split_throughout() -> None:
    text = "中国" * 120_000
    assert set(word_list(text, segmenter_for("zh", "none"))) == {"中国"}


@given(ANY_TEXT, SEGMENTATIONS)
def test_a_word_of_the_list_has_the_hash_that_it_has_in_the_text(text: str, segmentation: Segmentation) -> None:
    segmenter = segmenter_for("zh" if segmentation == "none" else "en", segmentation)
    found = find_words(text, code_points(text), segmenter)
    assert [word_hash(word) for word in word_list(text, segmenter)] == found.hashes.tolist()


def test_no_character_has_another_hash_in_lower_case() -> None:
    segmenter = segmenter_for("el", "spaces")
    text = " ".join(map(chr, range(0x110000)))
    found = find_words(text, code_points(text), segmenter)
    assert [word_hash(word) for word in word_list(text, segmenter)] == found.hashes.tolist()


def test_endless_words_differ_in_their_tails() -> None:
    words = ["x" * 200_000 + tail for tail in ("a", "b", "ab", "")]
    hashes = [word_hash(word) for word in words]
    assert len(set(hashes)) == 4
    joined = " ".join(["before", *words, "after"])
    found = find_words(joined, code_points(joined), segmenter_for("en", "spaces")).hashes.tolist()
    assert found == [word_hash("before"), *hashes, word_hash("after")]
