"""The shipped language table against the papers it was taken from, and each way a table can be wrong."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from configs.errors import UserError
from configs.languages import Language, LanguageTable, load_languages

TABLE = load_languages()


def words(text: str) -> set[str]:
    return set(text.split())


MARCO_HIGH = words("en zh ar de es fr ko ja pt tr")
MARCO_LOW = words("bn he id it ms nl pl ru th uk ur vi cs el hu kk ro az ne")
X_ALMA_GROUPS = {
    1: words("af da de is nl no sv en"),
    2: words("ca es gl it pt ro en"),
    3: words("bg mk ru sr uk en"),
    4: words("fr id mg ms th vi en"),
    5: words("cs el hu lt lv pl en"),
    6: words("et fi ja ka ko zh en"),
    7: words("gu hi mr ne ur en"),
    8: words("ar az fa he kk ky tr uz en"),
}
X_ALMA_HIGH_ONLY = words("ca fa fi hi sr sv")

# All labels of lid.176, from fasttext.cc/docs/en/language-identification.html.
LID_176 = words("""
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de diq
dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo io is it
ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv
mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl
so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh
""")

# The label of NLLB's language identifier (lid218e, FLORES-200) for each code of the table.
NLLB = dict(
    pair.split("=")
    for pair in words("""
    af=afr_Latn ar=arb_Arab az=azj_Latn bg=bul_Cyrl bn=ben_Beng ca=cat_Latn cs=ces_Latn da=dan_Latn de=deu_Latn
    el=ell_Grek en=eng_Latn es=spa_Latn et=est_Latn fa=pes_Arab fi=fin_Latn fr=fra_Latn gl=glg_Latn gu=guj_Gujr
    he=heb_Hebr hi=hin_Deva hu=hun_Latn id=ind_Latn is=isl_Latn it=ita_Latn ja=jpn_Jpan ka=kat_Geor kk=kaz_Cyrl
    ko=kor_Hang ky=kir_Cyrl lt=lit_Latn lv=lvs_Latn mg=plt_Latn mk=mkd_Cyrl mr=mar_Deva ms=zsm_Latn ne=npi_Deva
    nl=nld_Latn no=nob_Latn pl=pol_Latn pt=por_Latn ro=ron_Latn ru=rus_Cyrl sr=srp_Cyrl sv=swe_Latn th=tha_Thai
    tr=tur_Latn uk=ukr_Cyrl ur=urd_Arab uz=uzn_Latn vi=vie_Latn zh=zho_Hans
    """)
)


def codes(keep: Callable[[Language], bool]) -> set[str]:
    return {language.code for language in TABLE.languages if keep(language)}


def test_resource_classes() -> None:
    assert (len(MARCO_HIGH), len(MARCO_LOW)) == (10, 19)
    assert codes(lambda language: language.marco and language.resource == "high") == MARCO_HIGH
    assert codes(lambda language: language.marco and language.resource == "low") == MARCO_LOW
    # The others take the class of X-ALMA, with Mid as low.
    assert codes(lambda language: not language.marco and language.resource == "high") == X_ALMA_HIGH_ONLY


def test_x_alma_has_fifty_languages_in_eight_groups_and_english_in_each() -> None:
    members = {group: {x.code for x in TABLE.languages if group in x.x_alma_groups} for group in TABLE.groups}
    assert members == X_ALMA_GROUPS
    assert len(set.union(*members.values())) == 50
    assert TABLE.groups[7] == "Indo-Aryan Languages"


def test_table_is_the_union_sorted_by_code() -> None:
    listed = [language.code for language in TABLE.languages]
    assert listed == sorted(set.union(MARCO_HIGH, MARCO_LOW, *X_ALMA_GROUPS.values()))
    assert len(listed) == 51


def test_scripts_and_segmentation() -> None:
    assert codes(lambda language: language.segmentation == "none") == {"ja", "th", "zh"}
    assert codes(lambda language: language.script == "Deva") == {"hi", "mr", "ne"}
    assert codes(lambda language: language.script == "Arab") == {"ar", "fa", "ur"}
    assert codes(lambda language: language.script == "Cyrl") == {"bg", "kk", "ky", "mk", "ru", "sr", "uk"}
    assert TABLE.get("sr").other_scripts == ("Latn",)


def test_get_returns_a_language_that_cannot_be_changed() -> None:
    greek = TABLE.get("el")
    assert (greek.iso639_3, greek.name, greek.own_name, greek.script) == ("ell", "Greek", "Ελληνικά", "Grek")
    with pytest.raises(ValidationError):
        greek.script = "Latn"


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [
        ("EL", "'el' (Greek)"), ("ell", "'el' (Greek)"), ("greek", "'el' (Greek)"), ("gr", "'el' (Greek)"),
        ("jp", "'ja' (Japanese)"), ("Turkisch", "'tr' (Turkish)"), ("zh-Hans", "'zh' (Chinese)"), ("xx", None),
    ],
)  # fmt: skip
def test_unknown_language_is_answered_with_the_known_ones_and_the_nearest(wrong: str, suggestion: str | None) -> None:
    with pytest.raises(UserError) as raised:
        TABLE.get(wrong)
    message = str(raised.value)
    assert message.startswith(f"unknown language '{wrong}'; the known ones are: af, ar, az, ")
    assert message.endswith(f"uz, vi, zh; did you mean {suggestion}?" if suggestion else "uz, vi, zh")


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("el", "el"), ("tr,el,th", "el th tr"), (" th , el,, th,", "el th"), ("no", "no")],
)
def test_parse_returns_table_order_without_duplicates(selection: str, expected: str) -> None:
    assert [language.code for language in TABLE.parse(selection)] == expected.split()
    assert TABLE.parse(f"{selection}, all") == TABLE.parse("all") == TABLE.languages


@pytest.mark.parametrize(
    ("selection", "message"),
    [("", "no language in ''; give codes"), (" , ", "no language in ' , '; give codes such as el or el,tr,th, or all")]
    + [(selection, "unknown language 'xx'") for selection in ("xx", "el,xx", "all,xx")],
)
def test_refused_selection(selection: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TABLE.parse(selection)


def test_labels_of_lid_176_map_to_their_own_code_and_the_others_to_none() -> None:
    assert len(LID_176) == 176
    mapped = {label: TABLE.by_label(f"__label__{label}") for label in LID_176}
    assert {label: code for label, code in mapped.items() if code} == {x.code: x.code for x in TABLE.languages}


def test_every_language_has_its_nllb_label() -> None:
    assert {code: TABLE.by_label(f"__label__{label}") for code, label in NLLB.items()} == {code: code for code in NLLB}
    assert set(NLLB) == {language.code for language in TABLE.languages}


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("ekk_Latn", "et"), ("fas_Arab", "fa"), ("cmn_Hani", "zh"), ("cmn_Hant", "zh"), ("zho_Hant", "zh"),
        ("srp_Latn", "sr"), ("uzn_Cyrl", "uz"), ("kaz_Arab", "kk"), ("zsm_Arab", "ms"), ("kor_Kore", "ko"),
        ("nb", "no"), ("__label__iw", "he"), ("ell", "el"), ("zsm", "ms"),
        # Other languages, romanised text, GlotLID's labels for noise, and no label at all.
        ("arz_Arab", None), ("nno_Latn", None), ("yue_Hant", None), ("azb_Arab", None), ("urd_Latn", None),
        ("ell_Latn", None), ("und_Latn", None), ("zxx_Zzzz", None), ("EL", None), ("el_", None), ("", None),
    ],
)  # fmt: skip
def test_label(label: str, code: str | None) -> None:
    assert TABLE.by_label(label) == code


def test_table_is_read_once_and_survives_the_way_to_a_worker() -> None:
    assert load_languages() is TABLE
    copy: LanguageTable = pickle.loads(pickle.dumps(TABLE))
    assert copy.parse("all") == TABLE.languages
    assert copy.by_label("ell_Grek") == "el"


def entry(**changes: Any) -> dict[str, Any]:
    """A correct entry for Greek with these keys changed; a key given as None is left out."""
    greek: dict[str, Any] = {
        "code": "el", "iso639_3": "ell", "name": "Greek", "own_name": "Ελληνικά", "script": "Grek",
        "segmentation": "spaces", "resource": "low", "marco": True, "x_alma_groups": [5],
    }  # fmt: skip
    return {key: value for key, value in (greek | changes).items() if value is not None}


def error_of(path: Path, text: str) -> str:
    """The message for a table with this text, without the file name with which it begins; always one line."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        load_languages(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"groups": {5: "Mine"}, "languages": [entry()]}), encoding="utf-8")
    assert load_languages(path).languages == (TABLE.get("el"),)


TURKISH = entry(code="tr", iso639_3="tur")


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        ([TURKISH, entry(scirpt="Grek", script=None)], (
            "languages[1] (el): unknown key 'scirpt'; the keys are: code, iso639_3, name, own_name, script, "
            "segmentation, resource, marco, x_alma_groups, aliases, other_scripts")),
        ([entry(resource=None)], "languages[0] (el): missing key 'resource'; it must be one of high, low"),
        ([entry(code=None)], "languages[0]: missing key 'code'; it must be two lower-case letters, ISO 639-1"),
        ([entry(script="Greek")], "languages[0] (el): script: 'Greek' is not valid; it must be one of Arab, Armn, "),
        ([entry(other_scripts=["latin"])], "languages[0] (el): other_scripts: 'latin' is not valid; it must be a list"),
        ([entry(segmentation="x")], "languages[0] (el): segmentation: 'x' is not valid; it must be one of spaces, "),
        ([entry(marco="yes")], "languages[0] (el): marco: 'yes' is not valid; it must be true or false"),
        ([entry(code=False)], (
            "languages[0] (False): code: False is not valid; it must be two lower-case letters, ISO 639-1, "
            'in quotes for "no" (YAML reads a bare no as false)')),
        ([entry(code="ELL")], "languages[0] (ELL): code: 'ELL' is not valid; it must be two lower-case letters"),
        ([entry(own_name=" ")], "languages[0] (el): own_name: ' ' is not valid; it must be the language's own name"),
        ([entry(aliases="gre")], "languages[0] (el): aliases: 'gre' is not valid; it must be a list of labels"),
        ([entry(aliases=["Greek"])], "languages[0] (el): aliases: 'Greek' is not valid; it must be a list of labels"),
        ([entry(x_alma_groups=[5, 9])], "languages[0] (el): x_alma_groups: no group 9; the groups are: 5, 8"),
        ([entry(x_alma_groups=5)], "languages[0] (el): x_alma_groups: 5 is not valid; it must be a list of group"),
        ([entry(), TURKISH, entry()], "languages[2] (el): duplicate code 'el'; each code stands in one entry only"),
        ([entry(aliases=["zsm"]), TURKISH | {"aliases": ["zsm"]}],
         "languages[1] (tr): duplicate label 'zsm'; it already stands for 'el'"),
        ([entry(), TURKISH | {"aliases": ["ell_Grek"]}],
         "languages[1] (tr): duplicate label 'ell_Grek'; it already stands for 'el'"),
        ([entry() | {7: 1}], "languages[0] (el): unknown key '7'; the keys are: code, iso639_3"),
        ([entry(marco=1, name=None)], "languages[0] (el): marco: 1 is not valid; it must be true or false (and 1 m"),
        (["el"], "languages[0]: 'el' is not valid; it must be a mapping with the keys code, iso639_3, name, "),
        ({"el": entry()}, "languages: {'el': {"),
        ("el", "languages: 'el' is not valid; it must be a list of mappings, one a language"),
        ([], "languages: the list is empty; a table holds one language or more"),
    ],
)  # fmt: skip
def test_refused_entry(tmp_path: Path, languages: object, message: str) -> None:
    document = {"groups": {5: "Fifth", 8: "Eighth"}, "languages": languages}
    assert error_of(tmp_path / "mine.yaml", yaml.safe_dump(document)).startswith(f": {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it must be a mapping with the keys groups, languages"),
        ("groups: {}\n", "missing key 'languages'; it must be a list of mappings, one a language"),
        ("groups: {}\nlanguages: []\nlangs: 1\n", "unknown key 'langs'; the keys are: groups, languages"),
        ("groups: {x: Germanic}\nlanguages: []\n", "groups: 'x' is not valid; it must be a mapping from group number"),
    ],
)
def test_refused_file(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(tmp_path / "mine.yaml", text).startswith(f": {message}")


def test_file_that_holds_no_table(tmp_path: Path) -> None:
    assert "must hold a mapping" in error_of(tmp_path / "mine.yaml", "- el\n")
    assert re.search("is not valid YAML: .*line 3, column 1", error_of(tmp_path / "mine.yaml", "languages:\n  - [\n"))
    with pytest.raises(UserError, match=r"none\.yaml: No such file or directory"):
        load_languages(tmp_path / "none.yaml")
