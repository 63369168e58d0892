"""Templates: what the shipped ones promise, with which names, and what is refused."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
import yaml

from configs.errors import UserError
from configs.languages import load_languages
from mixing.telling.language_names import SHIPPED as SHIPPED_NAMES
from mixing.telling.language_names import LanguageNames
from mixing.telling.templates import SHIPPED, Frame, Template, TemplateLibrary, load_templates

ROOT = Path(__file__).resolve().parents[3]
REVIEW = ROOT / "docs" / "templates_review.md"
LIBRARY = load_templates()
CODES = [language.code for language in load_languages().languages]
MARCO = {language.code for language in load_languages().languages if language.marco}
# CLDR has 31 of the 51 names in Malagasy.
WITHOUT = {"mg"}
# The pairs that every localised template was read with: names that do not decline, or change a preposition or prefix.
REVIEWED = [("en", "ur"), ("he", "es"), ("hi", "vi")]
# Where the capital of i is İ (Turkish, Azerbaijani), or Unicode has a capital that running text never has (Georgian).
NO_PLAIN_CAPITAL = {"az", "ka", "tr"}
# Marks and letters that look alike but are another language's, and what must stand in their place.
MARKS = {
    "ar": ("?", "؟"),
    "bn": (".|", "।"),
    "el": ("?", ";"),
    "fa": ("?يك", "؟یک"),
    "hi": (".|", "।"),
    "ja": ("?.:", "。："),
    "ne": (".|", "।"),
    "ur": ("?.يكه", "؟۔یکہ"),
    "zh": ("?.:", "？。："),
}


def whole(frame: Frame) -> str:
    return f"{frame.before}①{frame.between}②{frame.after}"


def test_there_are_templates_in_english_and_in_many_languages() -> None:
    assert len(LIBRARY.templates("en")) >= 12
    localised = set(LIBRARY.languages) - {"en"}
    assert localised >= MARCO - {"en"}
    assert set(CODES) - set(LIBRARY.languages) == WITHOUT
    assert all(len(LIBRARY.templates(code)) >= 5 for code in localised)


@pytest.mark.parametrize("language", LIBRARY.languages)
def test_every_template_is_whole_for_every_pair_of_languages(language: str) -> None:
    for source in CODES:
        for target in CODES:
            frames = LIBRARY.frames(language, source, target)
            assert [frame.template for frame in frames] == [template.id for template in LIBRARY.templates(language)]
            for frame in frames:
                assert not set("{}") & set(whole(frame))
                assert "  " not in whole(frame)
                assert frame.between
                assert any(name in whole(frame).lower() for name in every_form(language, target))


def every_form(language: str, code: str) -> list[str]:
    forms = (LIBRARY.names.get(language, form, code) for form in LIBRARY.names.forms(language))
    return [name.lower() for name in forms if name]


def test_the_reviewed_examples_are_what_the_templates_give() -> None:
    rows = [line.strip("| \n").split(" | ") for line in REVIEW.read_text(encoding="utf-8").splitlines()]
    reviewed = {row[0]: row[2].split("<br>") for row in rows if re.fullmatch(r"[a-z]{2}-[a-z0-9-]+", row[0])}
    localised = [template for code in LIBRARY.languages if code != "en" for template in LIBRARY.templates(code)]
    expected = {}
    for template in localised:
        frames = [template.frame(LIBRARY.names, source, target) for source, target in REVIEWED]
        expected[template.id] = [whole(frame).replace("\n", " ⏎ ") for frame in frames if frame]
    assert reviewed == expected


@pytest.mark.parametrize("language", sorted(NO_PLAIN_CAPITAL & set(LIBRARY.languages)))
def test_a_capital_is_never_made_by_code_where_unicode_makes_another(language: str) -> None:
    assert not any(slot.capital for template in LIBRARY.templates(language) for slot in template.name_slots)


@pytest.mark.parametrize("language", LIBRARY.languages)
def test_templates_keep_to_the_marks_of_their_language(language: str) -> None:
    text = "\n".join(template.text for template in LIBRARY.templates(language))
    assert unicodedata.is_normalized("NFC", text)
    wrong, right = MARKS.get(language, ("", ""))
    assert not set(wrong) & set(text)
    assert set(right) <= set(text)


class _NoRepeatedKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice in a mapping is an error, not the last one's value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key stands twice"
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize("path", [SHIPPED, SHIPPED_NAMES], ids=lambda path: path.name)
def test_no_key_of_the_files_stands_twice(path: Path) -> None:
    assert yaml.load(path.read_text(encoding="utf-8"), _NoRepeatedKeys)


@pytest.mark.parametrize(
    ("language", "source", "target", "template", "expected"),
    [
        ("de", "en", "hi", "de-instruction", "Übersetze den folgenden Text aus dem Englischen ins Hindi."),
        ("de", "hi", "en", "de-instruction", "Übersetze den folgenden Text aus dem Hindi ins Englische."),
        ("ru", "he", "ur", "ru-instruction", "Переведите на язык урду этот текст, написанный на иврите."),
        ("pl", "de", "hi", "pl-sentence", "W języku hindi „①” brzmi tak: „②”."),
        ("cs", "en", "fr", "cs-sentence", "Ve francouzštině zní „①“ takto: „②“."),
        ("tr", "en", "el", "tr-instruction", "Aşağıdaki İngilizce metni Yunancaya çevirin."),
        ("he", "en", "vi", "he-sentence", "בווייטנאמית אומרים ״①״ כך: ״②״."),
        ("nl", "is", "en", "nl-labels", "IJslands: ①"),
        ("vi", "en", "vi", "vi-labels", "Tiếng Anh: ①"),
        ("el", "en", "el", "el-question", "Ερώτηση: πώς λέγεται στα ελληνικά το «①»;"),
        ("az", "en", "id", "az-text-in", "İngilis dilində mətn: ①"),
        ("az", "en", "id", "az-instruction", "Aşağıdakı mətni ingilis dilindən İndoneziya dilinə tərcümə edin."),
        ("bn", "en", "zh", "bn-sentence", "“①” কথাটির চীনা অনুবাদ হলো “②”।"),
        ("kk", "he", "kk", "kk-instruction", "Төмендегі мәтінді иврит тілінен қазақ тіліне аударыңыз."),
        ("ms", "ms", "kk", "ms-labels", "Bahasa Melayu: ①"),
        ("ne", "en", "zh", "ne-sentence", "चिनियाँ भाषामा “①” यसरी भनिन्छ: “②”।"),
        ("ur", "en", "bn", "ur-sentence", "بنگلہ زبان میں ”①“ کو یوں کہتے ہیں: ”②“۔"),
        ("fi", "fi", "nl", "fi-instruction", "Käännä hollanniksi seuraava teksti. Alkukieli: suomi."),
        ("ky", "en", "tr", "ky-instruction", "Төмөнкү англисче текстти түркчөгө которуңуз."),
        ("no", "en", "no", "no-text-in", "Tekst på engelsk: ①"),
    ],
)
def test_names_stand_in_the_right_form(language: str, source: str, target: str, template: str, expected: str) -> None:
    frame = next(frame for frame in LIBRARY.frames(language, source, target) if frame.template == template)
    assert whole(frame).splitlines()[0] == expected


NAMES = LanguageNames(
    {"de": {"name": {"en": "Englisch", "el": "Griechisch"}, "into": {"el": "Griechische"}}}, "made up"
)
GOOD = "{source_name}: {source}\n{target_name}: {target}"


def test_a_template_without_a_name_is_not_used_for_that_pair() -> None:
    into = Template("de-into", "de", "Ins {target_name:into}: {source}\n{target}")
    library = TemplateLibrary({"de": [Template("de-labels", "de", GOOD), into]}, NAMES)
    assert [frame.template for frame in library.frames("de", "en", "el")] == ["de-labels", "de-into"]
    assert [frame.template for frame in library.frames("de", "el", "en")] == ["de-labels"]
    # The source's name does not stand in the second.
    assert [frame.template for frame in library.frames("de", "tr", "el")] == ["de-into"]
    assert library.frames("de", "el", "tr") == ()
    assert library.frames("fr", "el", "en") == ()


def test_a_language_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(UserError, match="unknown language 'xx'"):
        LIBRARY.frames("en", "en", "xx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{source_name}: {source}\n{target_name}: {traget}", "unknown slot {traget}"),
        ("{source}\n{}{target_name}: {target}", "unknown slot {}"),
        ("{source}\n{target_name:Into}: {target}", "unknown slot {target_name:Into}"),
        ("{source!r}\n{target_name}: {target}", "unknown slot {source!r}"),
        ("{source_name}: {target_name}: {target}", "{source} is missing"),
        ("{source}\n{target_name}:", "{target} is missing"),
        (GOOD + " {source}", "{source} is there more than once"),
        (GOOD + "{target}", "{target} is there more than once"),
        ("{target_name}: {target}\n{source}", "{target} comes before {source}"),
        ("{source_name}: {source}\n{target}", "{target_name} is missing"),
        ("{source_name}: {source}\n{target_name}: {{target}}", "a brace that belongs to no slot"),
        ("{source_name}: {source} }\n{target_name}: {target}", "a brace that belongs to no slot"),
        (GOOD + "\n", "white space"),
        ("", "{source} is missing"),
    ],
)
def test_a_template_that_breaks_a_rule_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as error:
        Template("en-made", "en", text)
    assert "'en-made'" in str(error.value)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([("de-a", GOOD), ("de-a", GOOD + ".")], "two templates have the id 'de-a'"),
        ([("de-a", GOOD), ("de-b", GOOD)], "two templates have the text"),
        ([("el-a", GOOD)], "its id must begin with 'de-'"),
        (
            [("de-a", "{source} {target_name:from}: {target}")],
            "no form 'from' of names in 'de' in made up; it has: name",
        ),
    ],
)
def test_templates_that_do_not_fit_together_are_refused(templates: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        TemplateLibrary({"de": [Template(name, "de", text) for name, text in templates]}, NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("languages: {}", "languages"),
        ("langs: {}", "unknown key 'langs' - did you mean 'languages'?"),
        ("languages: {en: [{id: en-a, text: hello, note: x}]}", "unknown key 'note'"),
        ("languages: {en: [{id: en-a}]}", "text is missing"),
        ("languages: {en: [{id: EN, text: hello}]}", "id"),
        ("languages: {en: [{id: en-a, text: 3}]}", "text"),
        ("languages: {en: [{id: en-a, text: hello}]}", "template 'en-a': {source} is missing"),
    ],
)
def test_a_file_of_another_shape_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)) as error:
        load_templates(path)
    assert str(error.value).startswith(str(path))
