"""Language codes as they stand in file names, attributes and columns -> codes of the language table.

The labels are BCP 47 tags and what is made of them: `en-US`, `pt_br`, `zh-Hans-CN`, `en_XX`, ISO 639-2 and 639-3 codes,
withdrawn codes. A script subtag has to be a script of that language in the table, so that romanised Greek (`el-Latn`)
is no Greek; regions and variants do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from configs.errors import UserError
from configs.languages import LanguageTable, load_languages

# What the table has no label for: ISO 639-2 codes of libraries, where they differ from ISO 639-3, withdrawn codes, and
# OPUS's own.
_OTHER_CODES = {
    "chi": "zh", "cze": "cs", "dut": "nl", "fre": "fr", "geo": "ka", "ger": "de", "gre": "el", "ice": "is", "mac": "mk",
    "may": "ms", "per": "fa", "rum": "ro", "in": "id", "mo": "ro", "mol": "ro", "zhs": "zh_Hans", "zht": "zh_Hant",
}  # fmt: skip
_LABEL = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", re.ASCII)
# "zh-yue": an extended language is a language of its own, whatever it is filed under.
_EXTENDED = re.compile(r"[a-z]{3}", re.ASCII)


def language_of(label: str, table: LanguageTable | None = None) -> str | None:
    """Return the code of the language that a label means, or None for one that is not in the table or no label."""
    table = table or load_languages()
    label = label.strip()
    if not _LABEL.fullmatch(label):
        return None
    first, *subtags = re.split("[-_]", label.lower())
    language = _OTHER_CODES.get(first, first)
    if subtags and _EXTENDED.fullmatch(subtags[0]) and "_" not in label and "-" in label:
        language = subtags[0]
    scripts = [tag.title() for tag in subtags if len(tag) == 4 and tag.isalpha()]
    if scripts and "_" not in language:
        return table.by_label(f"{language}_{scripts[0]}")
    return table.by_label(language)


def parse_pair(pair: str, table: LanguageTable | None = None) -> tuple[str, str]:
    """Return the codes of source and target language of a PAIR such as `de-en`, `en-pt_br` or `zh-Hans-en`.

    Raises:
        UserError: it names no two languages of the table, or the same one twice.
    """
    table = table or load_languages()
    codes = split_pair(pair, table)
    if codes is None:
        known = ", ".join(language.code for language in table.languages)
        raise UserError(f"PAIR={pair} names no two known languages, as de-en does; the known ones are: {known}")
    if codes[0] == codes[1]:
        raise UserError(f"PAIR={pair} names one language twice ({codes[0]}): a pair has two")
    return codes


def split_pair(text: str, table: LanguageTable | None = None) -> tuple[str, str] | None:
    """Return the two languages of `de-en` or `en_XX-de_DE`, in this order, or None where the text is no such pair."""
    parts = text.strip().split("-")
    for middle in range(1, min(len(parts), 6)):
        first = language_of("-".join(parts[:middle]), table)
        second = language_of("-".join(parts[middle:]), table)
        if first and second:
            return first, second
    return None


def choose_labels(
    labels: Iterable[str], src: str, tgt: str, table: LanguageTable | None = None
) -> tuple[str | None, str | None]:
    """Return the labels that stand for the two languages, each None where there is none.

    Of several labels for one language the plain code comes first, then the shortest, then by the alphabet.
    """
    chosen: dict[str, str] = {}
    for label in sorted(labels, key=lambda own: (own not in (src, tgt), len(own), own)):
        code = language_of(label, table)
        if code is not None:
            chosen.setdefault(code, label)
    return chosen.get(src), chosen.get(tgt)


class OtherLanguagesError(UserError):
    """An input does not hold the two languages of the job."""


def not_found(name: str, src: str, tgt: str, labels: Iterable[str]) -> OtherLanguagesError:
    """Return the error of an input that lacks a language: it lists what labels the input has."""
    found = sorted(set(labels))
    listed = ", ".join(repr(label) for label in found[:20]) + (", ..." if len(found) > 20 else "")
    return OtherLanguagesError(
        f"{name} does not hold both {src} and {tgt}; its language labels are: {listed or 'none'}"
    )
