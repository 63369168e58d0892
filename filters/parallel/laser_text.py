"""The form of text that LASER's pieces were made from: no control characters, Moses punctuation, lower case.

As the preprocessing of LASER2 does it (Heffernan et al. 2022, arXiv 2205.12654), with the rules of Moses release 4.0.
"""

from __future__ import annotations

import unicodedata

from configs.errors import UserError


class TextNormalizer:
    """Brings texts into that form. `sacremoses`, which knows Moses' rules, is imported here and nowhere else."""

    def __init__(self) -> None:
        """Prepare Moses' rules for English, which LASER applies to every language.

        Raises:
            UserError: the package sacremoses is not installed.
        """
        try:
            import sacremoses
        except ImportError as error:
            raise UserError("LASER needs the package sacremoses: run `make setup`, or turn it off") from error
        self._moses = sacremoses.MosesPunctNormalizer("en", perl_parity=True)
        # Release 4.0 of Moses, with which LASER2 was trained, makes double quotes of these.
        self._moses.substitutions = [
            (pattern, '"' if pattern in ("‘", "‚") else put) for pattern, put in self._moses.substitutions
        ]
        self._characters = _Printable()

    def __call__(self, text: str) -> str:
        """Return a text as the pieces know it."""
        return str(self._moses.normalize(text.translate(self._characters))).lower()


class _Printable(dict[int, int]):
    """What each character becomes: a space where it is a control, format, private, lone or unassigned one."""

    def __missing__(self, point: int) -> int:
        self[point] = ord(" ") if unicodedata.category(chr(point)).startswith("C") else point
        return self[point]
