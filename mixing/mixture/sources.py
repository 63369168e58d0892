"""The sources that a mixture names: found below the folder of tokens, loaded, and checked against each other."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path

from configs.errors import UserError
from mixing.mixture.mixture import MixtureConfig, SourceConfig, StageConfig
from mixing.tokens.folder import TOKENIZER_FOLDER
from mixing.tokens.standing import first_uncompared
from mixing.tokens.token_source import TOKENS_FILE, TokenSource, load_token_source

_GLOB = re.compile(r"[*?\[]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Drawn:
    """A source in a category of a stage, and what of it is used."""

    category: str
    choice: SourceConfig


def find_sources(tokens: Path) -> list[str]:
    """Return the names of the folders of sources below `tokens`, finished or not.

    Raises:
        UserError: there are none.
    """
    try:
        folders = {path.name for path in tokens.iterdir() if path.is_dir() and not path.name.startswith(".")}
    except OSError as error:
        raise UserError(f"cannot read the folder of tokens {tokens}: {error.strerror}; run `make tokens`") from error
    if not (names := sorted(folders - {TOKENIZER_FOLDER})):
        raise UserError(f"there are no tokens in {tokens}; run `make tokens`")
    return names


def match_sources(stage: StageConfig, names: Iterable[str], tokens: Path) -> dict[str, Drawn]:
    """Return the sources of a stage by name: globs written out, settings of the category filled in.

    Raises:
        UserError: a name or a glob stands for nothing, or a source stands in two places.
    """
    known = list(names)
    drawn: dict[str, Drawn] = {}
    for label, category in stage.categories.items():
        place = f"stage {stage.name!r}, category {label!r}"
        for name, own in _match_category(place, category.sources, category.without, known, tokens).items():
            if name in drawn:
                raise UserError(
                    f"stage {stage.name!r}: the source {name!r} stands in the categories {drawn[name].category!r} and "
                    f"{label!r}; in a stage a source is in one (`without` leaves it out of a glob)"
                )
            drawn[name] = Drawn(label, category.choice(own))
    return drawn


def _match_category(
    place: str, sources: Iterable[SourceConfig], without: Iterable[str], known: list[str], tokens: Path
) -> dict[str, SourceConfig]:
    plain: dict[str, SourceConfig] = {}
    globbed: dict[str, SourceConfig] = {}
    left_out = {name for pattern in without for name in _named_by(place, pattern, known, tokens)}
    for own in sources:
        found = plain if own.name in known or not _GLOB.search(own.name) else globbed
        for name in _named_by(place, own.name, known, tokens):
            if name in found:
                raise UserError(f"{place}: {found[name].name!r} and {own.name!r} both stand for the source {name!r}")
            if name not in left_out:
                found[name] = own
    matched = globbed | plain
    if not matched:
        raise UserError(f"{place}: `without` leaves no source")
    return dict(sorted(matched.items()))


def _named_by(place: str, pattern: str, known: list[str], tokens: Path) -> list[str]:
    """Return the sources that a name or a glob stands for: one at least."""
    if found := _matching(pattern, known):
        return found
    listed = _listed(known)
    if not _GLOB.search(pattern):
        close = difflib.get_close_matches(pattern, known, 1)
        hint = f" - did you mean {close[0]!r}?" if close else ""
        raise UserError(f"{place}: there is no source {pattern!r} in {tokens}{hint}; there are: {listed}")
    raise UserError(f"{place}: the glob {pattern!r} matches no source in {tokens}; there are: {listed}")


def _matching(pattern: str, known: list[str]) -> list[str]:
    """Return the names that a name or a glob stands for; a name goes before a glob."""
    return [pattern] if pattern in known else [name for name in known if fnmatchcase(name, pattern)]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def match_validation(config: MixtureConfig, names: Iterable[str], tokens: Path) -> set[str]:
    """Return the sources that the mixture's `validation` stands for; none where it says nothing.

    Raises:
        UserError: a name or a glob stands for nothing.
    """
    known = list(names)
    return {name for pattern in config.validation or () for name in _named_by("validation", pattern, known, tokens)}


def measured_sources(
    config: MixtureConfig, sources: Mapping[str, TokenSource], drawn: Collection[str], tokens: Path
) -> dict[str, TokenSource]:
    """Return the sources whose held-out texts a run is measured on, by name.

    Args:
        config: the mixture.
        sources: those that are drawn from, and those that `validation` stands for.
        drawn: the former.
        tokens: folder that they are in.

    Raises:
        UserError: a source that `validation` names has no held-out texts, or none has that a glob there stands for; or
            a source that is drawn from was not compared with one that is measured on.
    """
    having = {name: own for name, own in sources.items() if own.validation.tokens}
    found = {name: own for name, own in having.items() if name in drawn}
    if config.validation is not None:
        found = {}
        for pattern in config.validation:
            own = {name: having[name] for name in _matching(pattern, list(sources)) if name in having}
            if not own:
                raise UserError(
                    f"validation: {pattern!r} stands for no source with held-out texts; with some are: "
                    f"{_listed(_with_held_out(tokens)) or 'none'}"
                )
            found |= own
    if uncompared := first_uncompared((sources[name] for name in sorted(drawn)), found.values()):
        trained, held_out = uncompared
        raise UserError(
            f"{trained.folder} was not compared with {held_out.folder}, whose held-out texts may stand in its training "
            "texts: run `make tokens` for both corpora again, in one command"
        )
    return dict(sorted(found.items()))


def _with_held_out(tokens: Path) -> list[str]:
    """Return the finished sources of a folder that have held-out texts."""
    found = []
    for name in find_sources(tokens):
        with suppress(UserError):
            if load_token_source(tokens / name).validation.tokens:
                found.append(name)
    return found


def load_sources(tokens: Path, drawn: Collection[str], measured: Collection[str], deep: bool) -> dict[str, TokenSource]:
    """Return sources by name, their files of the sizes, and for a `deep` look the bytes, that `tokens.json` tells of.

    Args:
        tokens: folder that they are in.
        drawn: names of those that are drawn from.
        measured: names of those whose held-out texts alone are used, these among them or not.
        deep: whether all bytes are read.

    Raises:
        UserError: one is not finished, was rewritten, is drawn from and holds no text for training, or has another
            tokenizer than the others.
    """
    loaded: dict[str, TokenSource] = {}
    for name in sorted({*drawn, *measured}):
        source = load_token_source(tokens / name)
        if source.source != name:
            raise UserError(f"{source.folder / TOKENS_FILE} tells of the source {source.source!r}: name the folder so")
        first = next(iter(loaded.values()), source)
        if source.tokenizer != first.tokenizer:
            raise UserError(
                f"the sources of a mixture need one tokenizer: {first.source} was made with {_identity(first)}, "
                f"{name} with {_identity(source)}; run `make tokens` with the same one for both"
            )
        if name in drawn and not source.totals.tokens:
            raise UserError(f"the source {name!r} is empty: it has no tokens for training; take it out of the mixture")
        source.verify(deep)
        loaded[name] = source
    return loaded


def check_tokenizer(config: MixtureConfig, sources: Mapping[str, TokenSource]) -> None:
    """Compare the tokenizer that the configuration asks for with that of the sources.

    Raises:
        UserError: they differ, or the file is not there.
    """
    if config.tokenizer is None:
        return
    wanted = config.tokenizer
    if not _SHA256.fullmatch(wanted):
        path = Path(wanted).expanduser()
        path = path / "tokenizer.json" if path.is_dir() else path
        try:
            wanted = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"tokenizer: {config.tokenizer!r} is neither the SHA-256 of a tokenizer nor a file: {error.strerror}"
            ) from error
    source = next(iter(sources.values()))
    if source.tokenizer.sha256 != wanted:
        raise UserError(
            f"the mixture asks for the tokenizer {wanted}, and {source.source} was made with {_identity(source)}; run "
            "`make tokens` with that tokenizer, or change `tokenizer`"
        )


def run_caps(config: MixtureConfig, names: Iterable[str]) -> dict[str, Fraction | None]:
    """Return for each source how often a text may be read over all stages; None is no cap.

    Raises:
        UserError: a cap is given for what is not in the mixture, or two globs give one to a source.
    """
    caps: dict[str, Fraction | None] = dict.fromkeys(sorted(names), config.max_epochs)
    given: dict[str, str] = {}
    for pattern in sorted(config.max_epochs_of, key=lambda pattern: (pattern in caps, pattern)):  # names last
        found = [pattern] if pattern in caps else [name for name in caps if fnmatchcase(name, pattern)]
        if not found:
            raise UserError(f"max_epochs_of: {pattern!r} matches no source of this mixture: {', '.join(caps)}")
        for name in found:
            if name in given and pattern != name:
                raise UserError(f"max_epochs_of: {given[name]!r} and {pattern!r} both give a cap to {name!r}")
            given[name] = pattern
            caps[name] = config.max_epochs_of[pattern]
    return caps


def _identity(source: TokenSource) -> str:
    return f"{source.tokenizer.name} ({source.tokenizer.sha256})"
