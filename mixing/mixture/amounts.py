"""Exact numbers in a mixture's configuration: shares, numbers of epochs, numbers of tokens.

0.32 + 0.17 + ... have to make 1, and as floats they do not: what the YAML says in decimal is kept as a fraction.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_AMOUNT = re.compile(r"(\d[\d_,]*(?:\.\d+)?(?:[eE]\+?\d{1,2})?)\s*([kMBT]?)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?|\d+/[1-9]\d*")
# No text that a number is read from is longer: a fraction of millions of digits would take minutes.
_MAX_CHARS = 60


def exact_number(value: object) -> Fraction:
    """Return a number that is not negative as the fraction it is written as: 0.3, "1/3", "32%".

    Raises:
        ValueError: it is no such number, or not finite.
    """
    if isinstance(value, Fraction):
        return value
    text = _text(value)
    number = text.removesuffix("%").rstrip()
    if _NUMBER.fullmatch(number):
        return Fraction(number) / (100 if text.endswith("%") else 1)
    raise ValueError(f"{value!r:.80} is not a number of 0 or more, such as 0.32, 32% or 1/3")


def token_count(value: object) -> int:
    """Return a number of tokens: 160_000_000_000, 1.6e11, "160B", "1.25B", "500M", "20k".

    Raises:
        ValueError: it is no whole number of 1 or more.
    """
    if found := _AMOUNT.fullmatch(_text(value)):
        count = Fraction(re.sub("[_,]", "", found[1])) * _UNITS[found[2]]
        if count.denominator == 1 and count >= 1:
            return int(count)
    raise ValueError(f"{value!r:.80} is not a number of tokens, such as 1250000000 or 1.25B (k, M, B, T)")


def _text(value: object) -> str:
    """Return what stands in the YAML: of a float the shortest decimal that it is; of what is no number, nothing."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        value = repr(value)
    return value.strip() if isinstance(value, str) and len(value) <= _MAX_CHARS else ""


def decimal_text(value: Fraction) -> str:
    """Return an exact number as a decimal where it is a short one, else as `1/3`; `exact_number` reads both."""
    digits = next((digits for digits in range(13) if (value * 10**digits).denominator == 1), None)
    if digits is None:
        return str(value)
    whole, rest = divmod(int(value * 10**digits), 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)


Exact = Annotated[Fraction, BeforeValidator(exact_number), PlainSerializer(decimal_text, return_type=str)]
Tokens = Annotated[int, BeforeValidator(token_count)]
