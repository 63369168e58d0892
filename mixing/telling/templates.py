"""Templates that tell a pair of texts as one text (Marco-LLM, arXiv 2412.03004, section 3.1.2 and table 13).

A template with the languages' names filled in is a frame: what stands before the source, between source and target, and
after the target. Texts are put between these strings and never searched or formatted, so whatever they hold stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

import configs
from configs.errors import UserError
from configs.languages import load_languages
from configs.load import StrictModel, load_config
from mixing.telling.language_names import PLAIN, Code, LanguageNames, load_language_names

SHIPPED = Path(configs.__file__).parent / "parallel" / "templates.yaml"
SLOTS = ("source", "target", "source_name", "target_name")

_SLOT = re.compile(r"\{([^{}]*)\}")
_NAME_SLOT = re.compile(r"([Ss]ource|[Tt]arget)_name(?::([a-z]+))?")


@dataclass(frozen=True, slots=True)
class NameSlot:
    """A place for a language's name.

    Attributes:
        of_target: whether the target language is named, not the source language.
        form: which form of the name.
        capital: whether its first letter becomes a capital.
    """

    of_target: bool
    form: str
    capital: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the two texts: `before` + source + `between` + target + `after`.

    Attributes:
        template: id of the template, None for a plain concatenation.
    """

    template: str | None
    before: str
    between: str
    after: str

    @property
    def length(self) -> int:
        """Characters of a text told in this frame, besides those of source and target."""
        return len(self.before) + len(self.between) + len(self.after)


class Template:
    """A parsed template.

    Attributes:
        id: its name, which begins with its language.
        language: code of the language that it is written in.
        text: as it was given.
        name_slots: where languages are named.
    """

    def __init__(self, identifier: str, language: str, text: str) -> None:
        """Parse `text`.

        Raises:
            UserError: a slot is unknown, missing, there twice or in the wrong order, a brace stands alone, or white
                space begins or ends the text; the message names the template.
        """
        self.id, self.language, self.text = identifier, language, text
        self._pieces = _parse(identifier, text)
        self.name_slots = tuple(slot for piece in self._pieces for slot in piece if isinstance(slot, NameSlot))

    def frame(self, names: LanguageNames, source: str, target: str) -> Frame | None:
        """Return the template with the names of languages `source` and `target`, None where a name is missing."""
        filled = []
        for piece in self._pieces:
            words = [part if isinstance(part, str) else self._name(part, names, source, target) for part in piece]
            if any(word is None for word in words):
                return None
            filled.append("".join(word for word in words if word is not None))
        return Frame(self.id, *filled)

    def _name(self, slot: NameSlot, names: LanguageNames, source: str, target: str) -> str | None:
        name = names.get(self.language, slot.form, target if slot.of_target else source)
        return name[0].upper() + name[1:] if name and slot.capital else name


# The literal parts and name slots of one of the three stretches of a template.
_Piece = list[str | NameSlot]


def _parse(identifier: str, text: str) -> tuple[_Piece, _Piece, _Piece]:
    """Return what stands before the source, between source and target, and after the target."""
    where = f"template {identifier!r}"
    if text != text.strip():
        raise UserError(f"{where}: white space at its begin or end; remove it")
    pieces: list[_Piece] = [[]]
    seen: list[str] = []
    # `split` with one group gives literal, slot, literal, slot, ..., literal.
    for position, part in enumerate(_SLOT.split(text)):
        if position % 2 == 0:
            if "{" in part or "}" in part:
                raise UserError(f"{where}: a brace that belongs to no slot in {part!r}")
            pieces[-1].append(part)
        elif part in ("source", "target"):
            pieces.append([])
            seen.append(part)
        elif match := _NAME_SLOT.fullmatch(part):
            side, form = match.groups()
            pieces[-1].append(NameSlot(side.lower() == "target", form or PLAIN, side[0].isupper()))
            seen.append(f"{side.lower()}_name")
        else:
            raise UserError(f"{where}: unknown slot {{{part}}}; the slots are: {', '.join(SLOTS)}")
    for slot in ("source", "target"):
        if seen.count(slot) != 1:
            fault = "is missing" if slot not in seen else "is there more than once"
            raise UserError(f"{where}: {{{slot}}} {fault}; a template has it once")
    if seen.index("target") < seen.index("source"):
        raise UserError(f"{where}: {{target}} comes before {{source}}; the direction would be the other one")
    if "target_name" not in seen:
        raise UserError(f"{where}: {{target_name}} is missing; a template says which language it leads to")
    before, between, after = pieces
    return before, between, after


class TemplateLibrary:
    """Templates by the language that they are written in, and the names they need."""

    def __init__(self, templates: Mapping[str, Sequence[Template]], names: LanguageNames) -> None:
        """Take templates by language.

        Raises:
            UserError: two templates have one id or, in a language, one text; an id does not begin with its language; or
                a template asks for a form that its language's names do not have.
        """
        self._templates = {language: tuple(group) for language, group in templates.items()}
        self.names = names
        every = [template for group in self._templates.values() for template in group]
        _refuse_repeated((template.id for template in every), "id")
        _refuse_repeated((f"{template.language}: {template.text}" for template in every), "text")
        for template in every:
            if not template.id.startswith(f"{template.language}-"):
                raise UserError(f"template {template.id!r}: its id must begin with {template.language + '-'!r}")
            for slot in template.name_slots:
                if slot.form not in names.forms(template.language):
                    has = ", ".join(names.forms(template.language)) or "none"
                    raise UserError(
                        f"template {template.id!r}: no form {slot.form!r} of names in {template.language!r}"
                        f" in {names.source}; it has: {has}"
                    )

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that templates are written in."""
        return tuple(self._templates)

    def templates(self, language: str) -> tuple[Template, ...]:
        """Return the templates written in `language`, none where there are none."""
        return self._templates.get(language, ())

    def frames(self, language: str, source: str, target: str) -> tuple[Frame, ...]:
        """Return the frames in `language` for telling `source` into `target`, in the order of the file.

        A template that needs a name which its language does not have is not among them.

        Raises:
            UserError: `source` or `target` is not a code of the language table.
        """
        for code in (source, target):
            load_languages().get(code)
        frames = (template.frame(self.names, source, target) for template in self.templates(language))
        return tuple(frame for frame in frames if frame is not None)


def _refuse_repeated(values: Iterable[str], what: str) -> None:
    seen = set[str]()
    for value in values:
        if value in seen:
            raise UserError(f"two templates have the {what} {value!r}; each must be unique")
        seen.add(value)


class _Entry(StrictModel):
    """One template of the file."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}-[a-z0-9]+(-[a-z0-9]+)*$")]
    text: str


class _TemplatesFile(StrictModel):
    """The shape of the YAML file."""

    languages: dict[Code, tuple[_Entry, ...]] = Field(min_length=1)


def load_templates(path: Path | None = None, names: Path | None = None) -> TemplateLibrary:
    """Return the templates of `path` with the names of `names`, or the shipped ones, read once a process.

    Raises:
        UserError: a file cannot be read or breaks a rule of its shape, of `Template` or of `TemplateLibrary`.
    """
    if path is None and names is None:
        return _shipped_library()
    read = load_language_names(names) if names else load_language_names()
    return _read_library(path or SHIPPED, read)


@cache
def _shipped_library() -> TemplateLibrary:
    return _read_library(SHIPPED, load_language_names())


def _read_library(path: Path, names: LanguageNames) -> TemplateLibrary:
    content = load_config(path, _TemplatesFile).languages
    try:
        parsed = {code: [Template(entry.id, code, entry.text) for entry in group] for code, group in content.items()}
        return TemplateLibrary(parsed, names)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
