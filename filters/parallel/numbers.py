"""Numbers of both sides of a pair: the same ones should stand in both, whatever digits and separators they are in.

Shape legend: N = pairs, C = characters of a batch, D = digits in it.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from filters.parallel.batch import Batch, shared

# Between three digits and those before them: a thousands separator of some language. A decimal mark before three
# decimals is taken for one as well, on both sides alike.
_THOUSANDS = ".,'’ \u00a0\u2009\u202f\u066c\u066b，．"
_GROUP_DIGITS = 3
# Later digits of a longer number are not looked at.
_MOST_DIGITS = 32
_NO_DIGIT = 255
_SMOOTHING = 1.0


def number_mismatch(source: Batch, target: Batch) -> NDArray[np.float64]:
    """Return the share of numbers that the other side does not have, shape (N,); 0 where neither side has any.

    A number of one digit, which may be a word on the other side, counts half; and as one such number is taken to match
    besides, a single one that is missing is a half, and a single longer one two thirds. Decimals are numbers of their
    own, so that 3.5 and 3,5 are the same; 1,234 and 1.234 and 1 234 are 1234.
    """
    (left, left_values), (right, right_values) = _numbers(source), _numbers(target)
    every = shared(source.count, (left, left_values), (right, right_values))
    left_long, right_long = left_values > 9, right_values > 9
    long = shared(
        source.count, (left[left_long], left_values[left_long]), (right[right_long], right_values[right_long])
    )
    total = every.source + every.target + long.source + long.target
    return 1 - (2 * (every.common + long.common) + _SMOOTHING) / (total + _SMOOTHING)


def _numbers(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the owner of each number, and its value modulo 2**64."""
    digits = _digit_values()[batch.points]
    places = np.flatnonzero(digits != _NO_DIGIT)
    if not len(places):
        return places, np.zeros(0, dtype=np.uint64)
    begins = np.flatnonzero(np.concatenate([[True], np.diff(places) > 1]))
    lengths = np.diff(begins, append=len(places))
    before = places[begins] - 1
    joined = np.zeros(len(begins), dtype=np.bool_)
    joined[1:] = (
        (lengths[1:] == _GROUP_DIGITS)
        & (lengths[:-1] <= _GROUP_DIGITS)
        & (before[1:] - 1 == places[begins[1:] - 1])
        & np.isin(batch.points[before[1:]], _separators())
    )
    begins = begins[~joined]
    lengths = np.minimum(np.diff(begins, append=len(places)), _MOST_DIGITS)
    values = np.zeros(len(begins), dtype=np.uint64)
    for position in range(int(lengths.max())):
        longer = np.flatnonzero(lengths > position)
        own = digits[places[begins[longer] + position]]
        values[longer] = values[longer] * np.uint64(10) + own
    return batch.owner[places[begins]], values


@cache
def _digit_values() -> NDArray[np.uint8]:
    """Return the value of each code point that is a decimal digit, in any script, and 255 for all others."""
    points = np.arange(0x20000, dtype="<u4")
    points[0xD800:0xE000] = 0
    values = np.full(0x110000, _NO_DIGIT, dtype=np.uint8)
    for point in np.flatnonzero(np.strings.isdecimal(points.view("<U1"))).tolist():
        values[point] = unicodedata.decimal(chr(point))
    return values


@cache
def _separators() -> NDArray[np.uint32]:
    return np.array([ord(mark) for mark in _THOUSANDS], dtype=np.uint32)
