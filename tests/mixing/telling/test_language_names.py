"""Names of languages: against CLDR and the review, their forms against the rules of grammar, and what is refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.languages import load_languages
from mixing.telling.language_names import load_language_names

REVIEW = Path(__file__).resolve().parents[3] / "docs" / "templates_review.md"
NAMES = load_language_names()
TABLE = load_languages()
CODES = [language.code for language in TABLE.languages]
NAMED_IN = [code for code in CODES if NAMES.forms(code)]
LOCALISED = [code for code in NAMED_IN if code != "en"]
# What CLDR adds to a name and the templates write themselves: the word for language, the ending "in the manner of".
ADDED = {"kk": " тілі", "uz": "cha"}


def names(language: str, form: str = "name") -> dict[str, str]:
    return {code: NAMES.get(language, form, code) or "" for code in CODES}


@pytest.mark.parametrize("language", NAMED_IN)
def test_every_language_has_a_name_of_its_own_in_every_form(language: str) -> None:
    for form in NAMES.forms(language):
        called = list(names(language, form).values())
        assert all(called)
        assert len(set(called)) == len(CODES)
        assert all(unicodedata.is_normalized("NFC", name) for name in called)


def test_plain_names_are_those_of_cldr_save_where_the_review_says_why() -> None:
    babel = pytest.importorskip("babel", reason="Babel, which carries CLDR's names, is not installed")
    different = set()
    for language in LOCALISED:
        theirs = babel.Locale.parse(language).languages
        for code, ours in names(language).items():
            if _small(ours) != _small(theirs[code].removesuffix(ADDED.get(language, ""))):
                different.add((TABLE.get(language).name, TABLE.get(code).name, theirs[code], ours))
    rows = [line.strip("| \n").split(" | ") for line in REVIEW.read_text(encoding="utf-8").splitlines()]
    english = {language.name for language in TABLE.languages}
    # Five columns that begin with two languages: in which, of which, CLDR's name, ours, why.
    assert different == {tuple(row[:4]) for row in rows if len(row) == 5 and {row[0], row[1]} <= english}


def _small(name: str) -> str:
    """Return the name in small letters; Python makes two characters of İ."""
    return name.lower().replace("i\u0307", "i")


def _turkish_dative(name: str) -> str:
    return name + ("ya" if re.findall("[aeıioöuü]", name.lower())[-1] in "aıou" else "ye")


def _kyrgyz_dative(name: str) -> str:
    vowel = re.findall("[аеёиоөуүыэюя]", name)[-1]
    return name + "г" + {"а": "а", "ы": "а", "у": "а", "е": "е", "и": "е", "о": "о", "ө": "ө", "ү": "ө"}[vowel]


def _czech_locative(name: str) -> str:
    return ("ve " if re.match("[fv]|š[pv]", name) else "v ") + name.removesuffix("a") + "ě"


def _hebrew_after(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + re.sub("^ו(?!ו)", "וו", name)


def _russian(adjective: str, noun: str) -> Callable[[str], str]:
    def form(name: str) -> str:
        return f"{name[:-2]}{adjective} {noun}" if name.endswith("ий") else f"{noun} {name}"

    return form


def _polish_adverb(name: str) -> str:
    return f"po {name[:-1]}u" if name.endswith(("ski", "cki", "dzki")) else f"w języku {name}"


def _ukrainian_instrumental(name: str) -> str:
    return f"{name[:-1]}ою мовою" if name.endswith("ка") else f"мовою {name}"


def _german_adjective(ending: str) -> Callable[[str], str]:
    return lambda name: name + ending if name.endswith("sch") else name


def _georgian_adverb(name: str) -> str:
    return name[:-1] + "ად" if name.endswith(("ური", "ული")) else f"{name} ენაზე"


# How a form is made of the plain name, and the few names that have another.
RULES: list[tuple[str, str, Callable[[str], str], dict[str, str]]] = [
    ("az", "start", lambda name: name[0].translate({ord("i"): "İ"}).upper() + name[1:], {}),
    ("cs", "in", _czech_locative, {}),
    ("cs", "into", lambda name: name.removesuffix("a") + "y", {}),
    ("de", "from", _german_adjective("en"), {"de": "Deutschen"}),
    ("de", "into", _german_adjective("e"), {"de": "Deutsche"}),
    ("he", "in", _hebrew_after("ב"), {}),
    ("he", "into", _hebrew_after("ל"), {}),
    ("is", "in", lambda name: re.sub("ska$", "sku", name), {}),
    ("ka", "in", _georgian_adverb, {"af": "აფრიკაანსზე"}),
    ("ky", "into", _kyrgyz_dative, {}),
    ("pl", "in", _polish_adverb, {}),
    ("ru", "in", _russian("ом", "языке"), {"he": "иврите"}),
    ("ru", "into", _russian("ий", "язык"), {"he": "иврит"}),
    ("sr", "in", lambda name: re.sub("ки$", "ком", name), {}),
    ("tr", "into", _turkish_dative, {}),
    ("uk", "in", _ukrainian_instrumental, {"he": "івритом"}),
]


@pytest.mark.parametrize(
    ("language", "form", "rule", "others"), RULES, ids=[f"{language}-{form}" for language, form, *_ in RULES]
)
def test_a_form_follows_the_rule_of_its_language(
    language: str, form: str, rule: Callable[[str], str], others: dict[str, str]
) -> None:
    assert names(language, form) == {code: rule(name) for code, name in names(language).items()} | others


def test_finnish_translatives_have_their_gradation() -> None:
    """A doubled or nasal stop before the last vowel is weakened in a closed syllable."""
    weak = {"kk": "k", "nt": "nn"}
    for code, name in names("fi").items():
        stem = name if name[-1] in "aeiouyäö" else f"{name}i"
        stem = re.sub("(kk|nt)(?=[aeiouyäö]$)", lambda strong: weak[strong[0]], stem)
        assert NAMES.get("fi", "in", code) == ("suomeksi" if code == "fi" else f"{stem}ksi")


def test_every_form_but_the_finnish_has_its_rule() -> None:
    forms = {(language, form) for language in LOCALISED for form in NAMES.forms(language)}
    assert forms - {(language, "name") for language in LOCALISED} == {
        ("fi", "in"),
        *((language, form) for language, form, *_ in RULES),
    }


@pytest.mark.parametrize(("language", "ending"), [("ja", "語"), ("ko", "어"), ("ky", "ч[аеоө]"), ("zh", "[语文]")])
def test_names_end_as_the_particles_after_them_need(language: str, ending: str) -> None:
    assert all(re.search(f"{ending}$", name) for name in names(language).values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("languages: {de: {name: {xx: Englisch}}}", "'xx' is not in the language table"),
        ("languages: {xx: {name: {en: Englisch}}}", "'xx' is not in the language table"),
        ("languages: {de: {into: {en: Englische}}}", "the form 'name' is missing"),
        ("languages: {en: {name: {en: English}}}", "English names are those of the language table"),
        ("languages: {de: {name: {no: Norwegisch}}}", "languages.de.name"),
        ("languages: {de: {name: {en: ' Englisch'}}}", "languages.de.name.en"),
        ("languages: {de: {name: {en: ''}}}", "languages.de.name.en"),
        ("languages: {de: {name: {en: '{target}'}}}", "languages.de.name.en"),
    ],
)
def test_names_that_break_a_rule_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)) as error:
        load_language_names(path)
    assert str(error.value).startswith(str(path))
