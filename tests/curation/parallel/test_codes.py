"""Language codes as they stand in file names, attributes and columns."""

import pytest

from configs.errors import UserError
from configs.languages import load_languages
from curation.parallel.codes import choose_labels, language_of, parse_pair, split_pair


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("zh-Hans", "zh"), ("zh_CN", "zh"), ("zh-Hant-TW", "zh"), ("zht", "zh"), ("cmn", "zh"), ("zho_Hans", "zh"),
        ("pt_br", "pt"), ("pt-PT", "pt"), ("iw", "he"), ("in", "id"), ("eng", "en"), ("deu", "de"), ("ger", "de"),
        ("en-US", "en"), ("en_XX", "en"), ("EN", "en"), ("es-419", "es"), ("ca-valencia", "ca"), ("nb_NO", "no"),
        ("ar-arb", "ar"), ("fre", "fr"), (" de ", "de"), ("sr-Cyrl-RS", "sr"), ("uz-Latn-UZ", "uz"),
    ],
)  # fmt: skip
def test_labels_of_known_languages(label: str, code: str) -> None:
    assert language_of(label) == code


@pytest.mark.parametrize(
    "label",
    [
        "",
        "x",
        "english",
        "zz_TR",
        "el-Latn",
        "zh-yue",
        "nn",
        "de.en",
        "de en",
        "-",
        "_",
        "d\u00e9",
        "en-",
        "٣٣",
        "de\n1",
    ],
)
def test_labels_of_nothing_that_is_known(label: str) -> None:
    assert language_of(label) is None


def test_every_label_of_the_table_is_known() -> None:
    for language in load_languages().languages:
        for label in language.labels():
            assert language_of(label) == language.code
            assert language_of(label.replace("_", "-")) == language.code
        assert language_of(f"{language.code}-{language.script}") == language.code


@pytest.mark.parametrize(
    ("pair", "codes"),
    [("de-en", ("de", "en")), ("zh-Hans-en", ("zh", "en")), ("en-zh-Hans", ("en", "zh")), ("en-pt_br", ("en", "pt")),
     ("en_XX-de_DE", ("en", "de")), ("iw-eng", ("he", "en"))],
)  # fmt: skip
def test_pairs(pair: str, codes: tuple[str, str]) -> None:
    assert parse_pair(pair) == codes
    assert split_pair(pair) == codes


@pytest.mark.parametrize("pair", ["", "de", "de-", "-en", "de-xx", "de,en", "deen", "x" * 1000, "-" * 1000])
def test_what_is_no_pair_is_named_with_the_languages_there_are(pair: str) -> None:
    with pytest.raises(UserError, match=r"names no two known languages, as de-en does; the known ones are: af, ar"):
        parse_pair(pair)


@pytest.mark.parametrize("pair", ["de-de", "de-deu", "pt-pt_br"])
def test_a_pair_of_one_language_is_refused(pair: str) -> None:
    with pytest.raises(UserError, match="names one language twice"):
        parse_pair(pair)


def test_the_plain_code_goes_before_its_variants() -> None:
    assert choose_labels(["pt_BR", "en-US", "pt", "en-GB"], "pt", "en") == ("pt", "en-GB")
    assert choose_labels(["fr", "en"], "pt", "en") == (None, "en")
