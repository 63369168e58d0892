"""Checks of what commands are given: paths, and settings by language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from configs.errors import UserError
from configs.languages import LanguageTable


def check_apart(out: Path, urls: Sequence[str]) -> None:
    """Refuse to read what the job itself writes.

    Raises:
        UserError: an input lies inside the output folder.
    """
    inside = [url for url in urls if "://" not in url and Path(url).resolve().is_relative_to(out.resolve())]
    if inside:
        raise UserError(f"the input {inside[0]} lies inside the output folder {out}; choose another OUT")


def check_codes(settings: Iterable[tuple[str, str]], table: LanguageTable) -> None:
    """Refuse settings for a language that does not exist: they would never be used.

    Args:
        settings: place below `stages`, and language code.
        table: the languages that exist.

    Raises:
        UserError: naming the place and the known codes.
    """
    for place, code in settings:
        try:
            table.get(code)
        except UserError as error:
            raise UserError(f"stages.{place}: {error}") from error
