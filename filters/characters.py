"""Kinds of characters, looked up in tables: shares of symbols, digits, scripts and garble cost one pass over a text.

Shape legend: C = characters of the text, K = kinds of characters (each a combination of the flags below).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from filters.scripts import RANGES, code_points, in_ranges, ranges_of

LETTER, DIGIT, UPPER, LOWER, PUNCTUATION, SYMBOL, CONTROL, WORD, JOINER, LEAD, CONTINUATION = (
    1 << bit for bit in range(11)
)
_FLAG_BITS, _BLOCK_BITS = 11, 6
_CODE_POINTS, _ASSIGNED = 0x110000, 0x40000
PUNCTUATION_MARKS = (
    ".,;:!?¡¿'\"`()[]{}<>«»‹›‘’‚‛“”„‟-‐‑‒–—―…/\\&@*%·•†‡§¶"
    "،؛؟٪٫٬۔।॥၊။።፣፤፥፦፧፨、。〃〈〉《》「」『』【】〔〕！（），．／：；？～｡｢｣､･՝՛՜՞։׀׃׳״ๆฯ๏๚๛"
)
# Inside a word, between two of its characters: apostrophes, hyphen, joiners of Persian and of Indic scripts.
_JOINERS = "'’\u02bc\u200c\u200d-"
_CONTROL = ((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F), (0xE000, 0xF8FF), (0xFFFD, 0xFFFD))
# Combining marks, joiners and variation selectors: parts of letters, not symbols.
_MARKS = ((0x591, 0x670), (0x6D6, 0x6ED), (0x900, 0x1FFF), (0x200B, 0x200F), (0xFE00, 0xFE2F), (0xFEFF, 0xFEFF))
# UTF-8 read as windows-1252 or latin-1: a lead byte as a letter, then a continuation byte as a symbol. After `à` two of
# them, as words end in it before quotes and no-break spaces.
_LEADS = "ÂÃÎÏÐÑØÙàâï"
_CONTINUATIONS = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(f"[ÂÃÎÏÐÑØÙ][{_CONTINUATIONS}]|à[\u00a4-\u00bf][{_CONTINUATIONS}]|â€.|ï¿½")
# In the order of the columns of `_feature_counts`; letters of a language's own scripts are counted apart.
_FEATURES = (LETTER, DIGIT, UPPER, LOWER, PUNCTUATION, SYMBOL, CONTROL)


def character_flags(points: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return the flags of each code point, shape (C,)."""
    return _tables()[0][points]


def character_measures(text: str, points: NDArray[np.uint32], scripts: tuple[str, ...]) -> dict[str, float]:
    """Return the shares of kinds of characters.

    Args:
        text: the text.
        points: its code points, shape (C,), uint32.
        scripts: ISO 15924 codes of the scripts that the language is written in.
    """
    _, kind_of, features, kind_flags = _tables()
    by_kind = np.bincount(kind_of[points], minlength=len(kind_flags))
    letters, digits, upper, lower, punctuation, symbols, control = (by_kind @ features).tolist()
    own = int(by_kind[_own_kinds(scripts)].sum())
    total = max(1, len(points))
    if by_kind[kind_flags & LEAD != 0].any():
        control += _mojibake(text, points)
    return {
        "symbol_ratio": symbols / total,
        "punctuation_ratio": punctuation / total,
        "digit_ratio": digits / total,
        "upper_ratio": upper / max(1, upper + lower),
        "script_ratio": own / max(1, letters),
        "garbled_ratio": control / total,
    }


def _mojibake(text: str, points: NDArray[np.uint32]) -> int:
    """Return the characters inside mojibake; control characters in it were counted before."""
    flags = character_flags(points)
    # The letters stand in good French and Romanian, too: the slower look is for those that a symbol follows.
    if not ((flags[:-1] & LEAD != 0) & (flags[1:] & CONTINUATION != 0)).any():
        return 0
    found = "".join(_MOJIBAKE.findall(text))
    return int((~in_ranges(code_points(found), _CONTROL)).sum())


@lru_cache(maxsize=256)
def _own_kinds(scripts: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the kinds that are letters of the scripts."""
    _, kind_of, _, kind_flags = _tables()
    own = np.zeros(len(kind_flags), dtype=np.bool_)
    for low, high in ranges_of(scripts):
        own[np.unique(kind_of[low : high + 1])] = True
    return np.flatnonzero(own & (kind_flags & LETTER != 0))


@cache
def _tables() -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.int64], NDArray[np.uint16]]:
    """Return flags by code point, kind by code point, features by kind of shape (K, 7), and flags by kind.

    A kind is a combination of flags and of a block of letters that one set of scripts shares.
    """
    flags, blocks = _flags(), _blocks()
    combined = blocks << _FLAG_BITS | flags
    present = np.zeros(1 << (_FLAG_BITS + _BLOCK_BITS), dtype=np.bool_)
    present[combined] = True
    values = np.flatnonzero(present)
    numbers = np.zeros(len(present), dtype=np.uint16)
    numbers[values] = np.arange(len(values), dtype=np.uint16)
    kind_flags = (values & ((1 << _FLAG_BITS) - 1)).astype(np.uint16)
    features = np.stack([(kind_flags & feature != 0).astype(np.int64) for feature in _FEATURES], axis=1)
    return flags, numbers[combined], features, kind_flags


@cache
def fold_table() -> NDArray[np.uint32]:
    """Return the lower-case form of each code point; the two small sigmas of Greek are one, İ is a plain i."""
    fold = np.arange(_CODE_POINTS, dtype=np.uint32)
    # Title case (ǅ, ᾈ) and numerals (Ⅷ) have a lower case and are no upper-case letters.
    for point in np.flatnonzero(_tables()[0] & WORD).tolist():
        lower = chr(point).lower()
        fold[point] = ord(lower[0])
    fold[ord("ς")] = ord("σ")
    return fold


def _blocks() -> NDArray[np.uint32]:
    """Return a number for each code point, equal where the same scripts of the table hold it."""
    blocks = np.zeros(_CODE_POINTS, dtype=np.uint32)
    seen: dict[tuple[int, int], int] = {}
    for ranges in RANGES.values():
        for bounds in ranges:
            seen.setdefault(bounds, len(seen) + 1)
    for (low, high), number in seen.items():
        blocks[low : high + 1] = number
    return blocks


def _flags() -> NDArray[np.uint16]:
    letter, digit = _having(np.strings.isalpha), _having(np.strings.isdigit)
    digit &= ~letter
    punctuation, joiner = _members(PUNCTUATION_MARKS), _members(_JOINERS)
    space = _having(np.strings.isspace)
    mark = in_ranges(np.arange(_CODE_POINTS, dtype=np.uint32), _MARKS)
    word = _having(np.strings.isalnum) | _members("_")
    plain = ~(letter | digit | punctuation | space | mark)
    for point in np.flatnonzero(~(letter | digit | space)[:0x10000]).tolist():
        if unicodedata.category(chr(point)).startswith("M"):
            word[point], plain[point] = True, False
    symbol = plain
    symbol[0] = True
    control = in_ranges(np.arange(_CODE_POINTS, dtype=np.uint32), _CONTROL)
    continuation = _members(_CONTINUATIONS)
    continuation[0x80:0xC0] = True
    return _pack(
        (LETTER, letter),
        (DIGIT, digit),
        (UPPER, letter & _having(np.strings.isupper)),
        (LOWER, letter & _having(np.strings.islower)),
        (PUNCTUATION, punctuation & ~letter & ~digit),
        (SYMBOL, symbol),
        (CONTROL, control),
        (WORD, word),
        (JOINER, joiner),
        (LEAD, _members(_LEADS)),
        (CONTINUATION, continuation),
    )


def _having(test: Callable[[NDArray[np.str_]], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return which code points have a property of letters, digits or spaces: none beyond the third plane has one."""
    points = np.arange(_ASSIGNED, dtype="<u4")
    points[0xD800:0xE000] = 0  # surrogates are no characters
    table = np.zeros(_CODE_POINTS, dtype=np.bool_)
    table[:_ASSIGNED] = test(points.view("<U1"))
    return table


def _members(characters: str) -> NDArray[np.bool_]:
    table = np.zeros(_CODE_POINTS, dtype=np.bool_)
    table[[ord(character) for character in characters]] = True
    return table


def _pack(*parts: tuple[int, NDArray[np.bool_]]) -> NDArray[np.uint16]:
    flags = np.zeros(_CODE_POINTS, dtype=np.uint16)
    for bit, table in parts:
        flags[table] |= np.uint16(bit)
    return flags
