"""Checks of paths that commands are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.errors import UserError


def check_apart(out: Path, urls: Sequence[str]) -> None:
    """Refuse to read what the job itself writes.

    Raises:
        UserError: an input lies inside the output folder.
    """
    inside = [url for url in urls if "://" not in url and Path(url).absolute().is_relative_to(out)]
    if inside:
        raise UserError(f"the input {inside[0]} lies inside the output folder {out}; choose another OUT")
