"""Tokens without a vocabulary, for finding long stretches of text that occur twice.

A token is a run of word characters (letters, marks, digits; case counts), or of one and the same other character that
is not white space: a ruler of a hundred dashes is no long passage. In languages without spaces between words each
letter of another script than the Latin is a token of its own, with the marks that follow it. White space separates
tokens and does not count.

Which tokens a stretch has depends on nothing outside of it, if it begins and ends at borders of tokens: equal
stretches have equal tokens wherever they stand.

Shape legend: C = characters, D = texts, T = tokens.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from filters.characters import DIGIT, LETTER, SYMBOL, WORD, character_flags
from filters.scripts import in_ranges, ranges_of
from filters.words import Segmentation

# A longer run is cut into tokens of this length, counted from its beginning, so that whoever reads a long text in
# stretches never waits long for the end of a token.
LONGEST = 1000
# White space; what joins its like; what stands alone; what joins whatever it follows; what joins itself.
_SPACE, _RUN, _ALONE, _MARK, _SYMBOL = range(5)
_CODE_POINTS = 0x110000
# A token's hash is a polynomial of its characters modulo 2**64, made of running sums as in `filters.words`.
_BASE = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of some texts, as places in them.

    Attributes:
        starts: index of the first character of each token, shape (T,), int64, rising.
        hashes: equal for equal tokens, shape (T,), uint64. Their bits are not mixed.
    """

    starts: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def find_tokens(points: NDArray[np.uint32], borders: NDArray[np.int64], segmentation: Segmentation) -> Tokens:
    """Return the tokens of texts that are joined without anything between them.

    Args:
        points: code points of all texts, shape (C,).
        borders: index of the first character of each text, shape (D,), rising; no token goes over it.
        segmentation: `spaces` for languages that separate words; `none` for those that do not.
    """
    kinds = _kinds(segmentation).take(points, mode="clip")
    starts = _starts(points, kinds, borders[borders < len(points)])
    powers, inverses = _powers(max(16, len(points).bit_length()))
    sums = np.zeros(len(points) + 1, dtype=np.uint64)
    # White space adds nothing, so that a token's sum may go on to where the next one begins.
    np.multiply(points * (kinds != _SPACE), powers[: len(points)], out=sums[1:])
    np.cumsum(sums, out=sums)
    hashes = np.diff(sums[starts], append=sums[-1:])
    hashes *= inverses[starts]
    return Tokens(starts, hashes)


def token_length(text: str) -> int:
    """Return the characters of a token, given the text from its start to the start of the next one."""
    return len(text.rstrip())


def _starts(points: NDArray[np.uint32], kinds: NDArray[np.uint8], borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where tokens begin."""
    begins = kinds != _SPACE
    at_borders = begins[borders]
    runs = kinds == _RUN
    joins = runs[1:] & runs[:-1]
    joins |= (kinds[1:] == _MARK) & begins[:-1]
    symbols = kinds == _SYMBOL
    joins |= symbols[1:] & (points[1:] == points[:-1])
    begins[1:] &= ~joins
    begins[borders] = at_borders
    starts = np.flatnonzero(begins)
    widths = np.diff(starts, append=len(kinds))
    long = np.flatnonzero(widths > LONGEST)
    if not len(long):
        return starts
    pieces = np.ones(len(starts), dtype=np.int64)
    for number, start, width in zip(long.tolist(), starts[long].tolist(), widths[long].tolist(), strict=True):
        pieces[number] = -(-np.count_nonzero(kinds[start : start + width]) // LONGEST)
    places = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut: NDArray[np.int64] = np.repeat(starts, pieces) + places * LONGEST
    return cut


@cache
def _kinds(segmentation: Segmentation) -> NDArray[np.uint8]:
    """Return the kind of each code point."""
    points = np.arange(_CODE_POINTS, dtype=np.uint32)
    flags = character_flags(points)
    word = (flags & WORD) != 0
    kinds = np.full(_CODE_POINTS, _SYMBOL, dtype=np.uint8)
    if segmentation == "spaces":
        kinds[word] = _RUN
    else:
        letter = (flags & LETTER) != 0
        kinds[word] = _ALONE
        kinds[word & (~letter | in_ranges(points, ranges_of(("Latn",))))] = _RUN
        for point in np.flatnonzero(word & (flags & (LETTER | DIGIT) == 0)).tolist():
            if unicodedata.category(chr(point)).startswith("M"):
                kinds[point] = _MARK
    plain = np.flatnonzero((flags & (WORD | SYMBOL)) == 0).tolist()
    kinds[[point for point in plain if chr(point).isspace()]] = _SPACE
    return kinds


@cache
def _powers(bits: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the first 2**bits powers of the base, and of its inverse, modulo 2**64."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        table = np.full(1 << bits, base, dtype=np.uint64)
        table[0] = 1
        tables.append(np.multiply.accumulate(table))
    return tables[0], tables[1]
