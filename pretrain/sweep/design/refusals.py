"""What no list of a sweep's design may be: too long, of names that are not there, of the same twice."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from configs.errors import UserError
from mixing.mixture.amounts import decimal_text

# Trials, or mixtures of a lattice: a sweep of more is a mistake.
MOST = 10_000
# Names that a message lists.
_NAMED = 20


def refuse_too_many(sizes: Iterable[int], start: str = "the design has", what: str = "trials") -> None:
    """Refuse a design of more than `MOST` trials.

    Raises:
        UserError: the sizes of its parts multiply to more.
    """
    if (count := math.prod(sizes)) > MOST:
        raise UserError(f"{start} {count:,} {what}, more than {MOST:,}; try fewer values")


def refuse_unknown(names: Iterable[str], valid: Iterable[str], what: str) -> None:
    """Refuse a name that is not there.

    Args:
        names: that stand in the configuration.
        valid: that may.
        what: begins the message: the place, and the kind of thing.

    Raises:
        UserError: it names the valid ones, and one that looks alike.
    """
    known = list(valid)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" - did you mean {close[0]!r}?" if close else ""
            more = f" and {len(known) - _NAMED:,} more" if len(known) > _NAMED else ""
            raise UserError(f"{what} {name!r}{hint}; the valid ones are: {', '.join(known[:_NAMED])}{more}")


def refuse_twice(values: Sequence[object], place: str) -> None:
    """Refuse a list that holds a value twice.

    Raises:
        UserError: it does.
    """
    for number, value in enumerate(values):
        if value in values[:number]:
            raise UserError(f"{place}: the same stands there twice: {_text(value)}")


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_text(own) for own in value)}]"
    return decimal_text(value) if isinstance(value, Fraction) else repr(value)
