"""Measures of pairs: against naive oracles, on worked examples in several scripts, and on every ugly text."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.stopwords import bundled_stop_words
from filters.characters import character_measures
from filters.parallel.batch import LOOK_CHARS
from filters.parallel.lengths import LengthModel, expected_lengths, fit_lengths
from filters.parallel.measures import PAIR_MEASURES, TOGETHER_MEASURES, PairMeasurer, PairSide
from filters.scripts import code_points
from filters.words import Segmentation
from tests.filters.parallel import naive
from tests.strategies import ANY_TEXT

_SCRIPTS = {
    "en": "Latn", "de": "Latn", "fr": "Latn", "el": "Grek", "ru": "Cyrl", "ar": "Arab", "zh": "Hans", "th": "Thai",
    "hi": "Deva",
}  # fmt: skip
_NUMBERS = st.lists(
    st.sampled_from(["1", "7", "12", "123", "4567", "007", "٣", "१२", ".", ",", " ", " x ", "'", "\n", "a", "²"]),
    max_size=25,
).map("".join)


def side(language: str) -> PairSide:
    segmentation: Segmentation = "none" if language in ("zh", "th") else "spaces"
    return PairSide(language, segmentation, (_SCRIPTS[language],), bundled_stop_words(language))


def measurer(source: str, target: str) -> PairMeasurer:
    return PairMeasurer(side(source), side(target))


EN_DE, EN_EL, DE_EN = measurer("en", "de"), measurer("en", "el"), measurer("de", "en")


def value(pair: str, name: str, source: str, target: str) -> float:
    return measurer(*pair.split("-")).measure_pair(source, target)[name]


@given(ANY_TEXT, ANY_TEXT)
def test_every_pair_has_every_measure_in_its_range(source: str, target: str) -> None:
    for own in (EN_DE, EN_EL, measurer("zh", "ar")):
        measures = own.measure_pair(source, target)
        assert list(measures) == list(PAIR_MEASURES)
        for name, number in measures.items():
            highest = PAIR_MEASURES[name].highest
            least = 1.0 if name == "length_ratio" else 0.0
            assert math.isnan(number) or least <= number <= (math.inf if highest is None else highest + 1e-12), name
            assert not math.isinf(number)


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=6))
def test_a_pair_is_measured_alike_alone_and_among_others(pairs: list[tuple[str, str]]) -> None:
    for own in (EN_EL, measurer("zh", "th")):
        columns = own.measure([s for s, _ in pairs], [t for _, t in pairs])
        for number, (source, target) in enumerate(pairs):
            alone = own.measure_pair(source, target)
            np.testing.assert_equal({name: float(column[number]) for name, column in columns.items()}, alone)


def test_batches_of_any_size_give_the_same() -> None:
    generator = random.Random(7)
    text = "The quick brown fox, 42 of them, jumps over the lazy dog. "
    sources = [text[: generator.randrange(60)] * generator.randrange(60) for _ in range(400)]
    targets = sources[::-1]
    columns = EN_DE.measure(sources, targets)
    for number in (0, 17, 205, 399):
        alone = EN_DE.measure_pair(sources[number], targets[number])
        np.testing.assert_equal({name: float(column[number]) for name, column in columns.items()}, alone)


@given(ANY_TEXT, ANY_TEXT)
def test_what_sides_say_of_each_other_is_the_same_the_other_way_round(source: str, target: str) -> None:
    there, back = EN_DE.measure_pair(source, target), DE_EN.measure_pair(target, source)
    for name in TOGETHER_MEASURES:
        assert there[name] == pytest.approx(back[name], nan_ok=True), name
    np.testing.assert_equal(there["src_symbol_ratio"], back["tgt_symbol_ratio"])


@given(ANY_TEXT)
def test_two_equal_sides_agree_in_everything(text: str) -> None:
    measures = measurer("de", "de").measure_pair(text, text)
    assert measures["similarity"] == 1.0
    for name in TOGETHER_MEASURES:
        if name.endswith("_mismatch"):
            assert measures[name] == pytest.approx(0.0), name
    assert measures["length_ratio"] == 1.0
    assert measures["length_deviation"] == 0.0


@given(ANY_TEXT)
def test_sides_agree_with_the_measures_of_documents(text: str) -> None:
    measures = EN_EL.measure_pair(text, text)
    expected = character_measures(text, code_points(text), ("Grek",))
    for name, number in expected.items():
        if name != "script_ratio":
            assert measures[f"tgt_{name}"] == pytest.approx(number), name
    plain = text.encode("utf-8", "replace").decode()
    script = naive.script_share(plain, "Grek")
    assert measures["tgt_script_ratio"] == pytest.approx(math.nan if script is None else script, nan_ok=True)


@given(st.text(st.sampled_from("aßéΑдहिन्ีไทม 1.²_\n-'"), max_size=30))
def test_letters_are_counted_with_their_marks(text: str) -> None:
    assert EN_DE.measure_pair(text, "")["src_letter_ratio"] == pytest.approx(naive.letter_share(text))


@given(st.lists(st.sampled_from(["the", "The", "of", "cat", "dogs", "ab"]), max_size=30))
def test_words_are_counted_naively(words: list[str]) -> None:
    measures = EN_DE.measure_pair(" ".join(words), "")
    lower = [word.lower() for word in words]
    assert measures["src_words"] == len(words)
    assert measures["src_repeated_word_ratio"] == pytest.approx(naive.share_repeated([w for w in lower if len(w) > 2]))
    grams = [tuple(lower[at : at + 3]) for at in range(len(lower) - 2)]
    assert measures["src_repeated_ngram_ratio"] == pytest.approx(naive.share_repeated(list(grams)))
    stops = set(bundled_stop_words("en") or ())
    if len(words) < 10:
        assert math.isnan(measures["src_stop_word_ratio"])
    else:
        assert measures["src_stop_word_ratio"] == pytest.approx(sum(word in stops for word in lower) / len(lower))


@given(_NUMBERS, _NUMBERS)
def test_numbers_agree_with_the_oracle(source: str, target: str) -> None:
    assert EN_DE.measure_pair(source, target)["number_mismatch"] == pytest.approx(naive.number_mismatch(source, target))


@given(st.text("abcde ", max_size=30), st.text("abcde ", max_size=30))
def test_similarity_is_the_dice_of_trigrams(source: str, target: str) -> None:
    def trigrams(text: str) -> list[str]:
        spaced = ""
        for letter in text + " ":
            spaced += "" if letter == " " and spaced.endswith(" ") else letter
        return [spaced[at : at + 3] for at in range(len(spaced) - 2)]

    left, right = trigrams(source), trigrams(target)
    expected = naive.dice(left, right) if left or right else float(source.strip() == target.strip())
    assert EN_DE.measure_pair(source, target)["similarity"] == pytest.approx(expected)


@given(*[st.lists(st.sampled_from(["wir", "Haus", "at", "game", "l8r", "fünf", "Fünf"]), max_size=8)] * 2)
def test_untranslated_words_are_found_naively(source: list[str], target: list[str]) -> None:
    def plain(words: list[str]) -> list[str]:
        return [w for w in words if w[0].islower() and len(w) > 2 and not any(c.isdigit() for c in w)]

    def found(own: list[str], other: list[str]) -> float:
        return sum(word in other for word in own) / (len(own) + 1)

    left, right = plain(source), plain(target)
    expected = max(found(left, right), found(right, left))
    assert EN_DE.measure_pair(" ".join(source), " ".join(target))["untranslated_ratio"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pair", "source", "target", "expected"),
    [
        ("en-de", "It costs 1,234.50 euros", "Es kostet 1.234,50 Euro", 0.0),
        ("en-fr", "12,345,678 people", "12 345 678 personnes", 0.0),
        ("en-ar", "In 1998, 25 of them", "في ١٩٩٨ ، ٢٥ منهم", 0.0),
        ("en-hi", "Page 108", "पृष्ठ १०८", 0.0),
        ("en-th", "Page 108", "หน้า ๑๐๘", 0.0),
        ("en-zh", "108 pages", "共１０８页", 0.0),
        ("en-de", "three m²", "drei m", 0.0),  # an exponent is no number
        ("en-de", "5 cats", "fünf Katzen", 0.5),
        ("en-de", "59x tent", "63x Zelt", 0.8),
    ],
)
def test_numbers(pair: str, source: str, target: str, expected: float) -> None:
    assert value(pair, "number_mismatch", source, target) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pair", "source", "target", "expected"),
    [
        ("en-de", "He said yes.", "Er sagte ja.", 0.0),
        ("en-zh", "He said yes.", "他说是。", 0.0),
        ("en-hi", "He said yes.", "उसने हाँ कहा।", 0.0),
        ("en-el", "Who is it?", "Ποιος είναι;", 0.0),
        ("en-de", "Who is it?", "Wer ist das;", 1.0),
        ("en-ar", "Who is it?", "من هذا؟", 0.0),
        ("en-th", "He said yes.", "เขาตอบว่าใช่", 0.0),
        ("en-de", 'He said "yes."', "Er sagte „ja“.", 0.0),
        ("en-de", "He said yes.", "Er sagte ja", 0.5),
        ("en-de", "He said yes.", "Er sagte ja?", 1.0),
        ("en-de", "He said:", "Er sagte.", 0.75),
    ],
)
def test_ends_of_sentences(pair: str, source: str, target: str, expected: float) -> None:
    assert value(pair, "terminal_mismatch", source, target) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("(a) [b] «c»", "(a) 「b」 “c”", 0.0),
        ("a) first", "a) erstens", 0.0),
        ("a (b", "a (b)", 1.0),
        ('say "hello', "sag „hallo“", 1.0),
        ("((((", "", 4.0),
    ],
)
def test_brackets(source: str, target: str, expected: float) -> None:
    assert value("en-de", "bracket_mismatch", source, target) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("see https://www.example.com/en/a", "siehe http://example.de/de/b", 0.0),
        ("mail a.b@example.org.", "Mail an A.B@example.org", 0.0),
        ("see www.example.com", "siehe dort", 1.0),
        ("see www.example.com", "siehe www.other.com", 1.0),
        ("no address @ all", "keine", 0.0),
    ],
)
def test_addresses(source: str, target: str, expected: float) -> None:
    assert value("en-de", "address_mismatch", source, target) == expected


def test_copies_are_similar_in_any_case_and_accent() -> None:
    assert value("en-de", "similarity", "Crème  brûlée!", "CREME BRULEE") == 1.0
    assert value("en-el", "similarity", "Maria", "Μαρία") == 1.0
    assert value("en-ru", "similarity", "Moskva", "Москва") == 1.0
    assert value("en-de", "similarity", "The house is red", "Das Auto fährt schnell") < 0.2
    assert value("en-de", "similarity", "", "") == 1.0
    assert value("en-de", "similarity", "a", "b") == 0.0


def test_untranslated_words() -> None:
    text = "the boxes arrive at the harbour"
    assert value("en-de", "untranslated_ratio", text, text) > 0.8
    assert value("en-de", "untranslated_ratio", "Angela Merkel in Berlin 2014", "Angela Merkel in Berlin 2014") == 0.0
    assert value("en-el", "untranslated_ratio", text, "τα κουτιά arrive at the harbour") > 0.4


def test_cognates_across_alphabets() -> None:
    assert value("en-ru", "cognate_ratio", "Professor Ivanov", "Профессор Иванов") == 1.0
    assert value("en-de", "cognate_ratio", "red house", "grünes Auto") == 0.0
    assert math.isnan(value("en-zh", "cognate_ratio", "red house", "红房子"))


def test_markup_garble_and_capitals() -> None:
    assert value("en-de", "tgt_markup_ratio", "a", "<b>x</b>") == 7 / 8
    assert value("en-de", "tgt_markup_ratio", "a", "R&D; 3 < 4 > 2") == 0.0
    assert value("en-de", "tgt_markup_ratio", "a", "a&nbsp;b") == 6 / 8
    assert value("en-de", "worst_garbled_ratio", "Nebengebäude", "NebengebÃ¤ude") == pytest.approx(2 / 13)
    assert value("en-de", "upper_mismatch", "READ THIS", "lesen sie dies") == 1.0
    assert math.isnan(value("en-ar", "upper_mismatch", "READ THIS", "اقرأ هذا"))


def test_words_of_languages_without_spaces() -> None:
    assert value("en-zh", "tgt_words", "", "我们喜欢北京") == 3
    assert value("en-th", "tgt_words", "", "ภาษาไทย") >= 2
    assert value("en-th", "tgt_letter_ratio", "", "ภาษาไทยที่นี่") == 1.0
    assert value("en-zh", "tgt_script_ratio", "", "北京 Beijing") == pytest.approx(2 / 9)


def test_the_worse_side_counts() -> None:
    measures = EN_DE.measure_pair("plain words", "1234 5678")
    assert measures["worst_digit_ratio"] == measures["tgt_digit_ratio"] > 0.8
    assert measures["worst_letter_ratio"] == measures["tgt_letter_ratio"] == 0.0
    assert math.isnan(measures["tgt_script_ratio"])
    assert measures["worst_script_ratio"] == 1.0


def test_lengths_are_compared_by_what_the_languages_need() -> None:
    english, chinese = "a" * 100, "字" * 26
    assert value("en-zh", "length_ratio", english, chinese) == pytest.approx(1.0)
    assert value("en-de", "length_ratio", english, chinese) > 2.0
    assert value("en-de", "length_deviation", english, "") > 3.0
    assert expected_lengths("en", "Latn", "xx", "Hant").ratio == 0.26


def test_a_fitted_model_finds_the_ratio_among_bad_pairs() -> None:
    generator = np.random.default_rng(3)
    source = generator.integers(40, 200, 2000)
    target = np.maximum(1, np.rint(source * 0.5 + generator.normal(0, 1, 2000) * np.sqrt(source)))
    target[:300] = generator.integers(1, 400, 300)
    model = fit_lengths(source.tolist(), target.astype(int).tolist())
    assert model.ratio == pytest.approx(0.5, rel=0.05)
    deviations = model.measures(source.astype(float), target)["length_deviation"]
    assert 0.9 < np.median(deviations) / 0.6745 < 1.1
    with pytest.raises(ValueError, match="too few"):
        fit_lengths([1] * 99, [1] * 99)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0.1, 10))
def test_length_measures_are_finite_and_turn_round(source: int, target: int, ratio: float) -> None:
    left, right = np.array([float(source)]), np.array([float(target)])
    there, back = LengthModel(ratio).measures(left, right), LengthModel(1 / ratio).measures(right, left)
    for name in there:
        assert np.isfinite(there[name]).all()
        np.testing.assert_allclose(there[name], back[name], rtol=1e-9, atol=1e-9)


def test_a_huge_text_is_looked_at_only_in_part() -> None:
    text = "word " * 500_000
    measures = EN_DE.measure_pair(text, "1" * 2_000_000)
    assert measures["src_chars"] == 2_500_000
    assert measures["src_words"] == LOOK_CHARS / 5


def test_sides_of_different_lengths_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="2 sources and 1 targets"):
        EN_DE.measure(["a", "b"], ["c"])
    assert all(len(column) == 0 for column in EN_DE.measure([], []).values())


@pytest.mark.parametrize(("text", "expected"), [("", 1.0), ("ab", 1 - 2 / 22), ("ab" * 500, 1 - 1000 / 1020)])
def test_an_identifier_is_believed_by_the_length_of_the_text(text: str, expected: float) -> None:
    own = PairMeasurer(side("en"), side("de"), lambda text: {"fr": 1.0})
    assert own.measure_pair(text, text)["src_language_score"] == pytest.approx(expected)


def test_languages_that_are_alike_are_forgiven_but_not_the_other_side() -> None:
    norwegian = PairSide("no", "spaces", ("Latn",))
    danish = PairSide("da", "spaces", ("Latn",))
    text = "en helt almindelig sætning på dansk som er lang nok til at tro på"
    identify = lambda text: {"da": 0.9, "sv": 0.1}  # noqa: E731
    forgiven = PairMeasurer(side("en"), norwegian, identify).measure_pair(text, text)["tgt_language_score"]
    copied = PairMeasurer(danish, norwegian, identify).measure_pair(text, text)["tgt_language_score"]
    assert forgiven > 0.7
    assert copied < 0.4
