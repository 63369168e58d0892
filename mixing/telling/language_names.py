"""What languages are called in the languages that templates are written in, read from `language_names.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

import configs
from configs.errors import UserError
from configs.languages import load_languages
from configs.load import StrictModel, load_config

SHIPPED = Path(configs.__file__).parent / "parallel" / "language_names.yaml"
# The form that every language has; English, whose names stand in the language table, has no other.
PLAIN = "name"
ENGLISH = "en"

Code = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Form = Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]
# One line, without the signs of a slot, and without spaces that would stand twice.
Name = Annotated[str, StringConstraints(pattern=r"^[^\s{}]([^\n\r{}]*[^\s{}])?$")]


class _NamesFile(StrictModel):
    """The shape of the YAML file: language of the names, form, language that is named."""

    languages: dict[Code, dict[Form, dict[Code, Name]]] = Field(default_factory=dict)


class LanguageNames:
    """Names of languages by the language that they are in, the form, and the language that they name."""

    def __init__(self, names: Mapping[str, Mapping[str, Mapping[str, str]]], source: str = "language names") -> None:
        """Take the names; those in English come from the language table.

        Raises:
            UserError: a code is not in the language table, a language has no plain names, or names are given in
                English; the message begins with `source`.
        """
        table = load_languages()
        for language, forms in names.items():
            for code in {language, *(code for form in forms.values() for code in form)}:
                if table.by_label(code) != code:
                    raise UserError(f"{source}: languages.{language}: {code!r} is not in the language table")
            if language == ENGLISH:
                raise UserError(f"{source}: languages.en: English names are those of the language table; remove them")
            if PLAIN not in forms:
                raise UserError(f"{source}: languages.{language}: the form {PLAIN!r} is missing")
        english = {language.code: language.name for language in table.languages}
        self._names = {**names, ENGLISH: {PLAIN: english}}
        self.source = source

    def forms(self, language: str) -> tuple[str, ...]:
        """Return the forms that names have in `language`, none where it has no names."""
        return tuple(self._names.get(language, {}))

    def get(self, language: str, form: str, code: str) -> str | None:
        """Return what `language` calls the language `code` in this form, or None where it has no such name."""
        return self._names.get(language, {}).get(form, {}).get(code)


def load_language_names(path: Path = SHIPPED) -> LanguageNames:
    """Read a file of names.

    Raises:
        UserError: the file cannot be read, or breaks a rule of its shape or of `LanguageNames`.
    """
    return LanguageNames(load_config(path, _NamesFile).languages, str(path))
