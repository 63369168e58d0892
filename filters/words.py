"""Splitting text into words, by the segmentation of its language.

Languages that put spaces between words are split at them. For those that do not (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) ICU's dictionaries find the words (Unicode Standard Annex 29, section 4.1, and the ICU user guide on boundary
analysis). A segmenter says by its `name` which of these it is.

Shape legend: C = characters of the text, W = its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, Protocol

import numpy as np
from icu4py.breakers import WordBreaker
from numpy.typing import NDArray

from filters.characters import JOINER, WORD, character_flags, fold_table
from filters.scripts import code_points

Segmentation = Literal["spaces", "none"]

# A word's hash is a polynomial of its characters modulo 2**64. Running sums over a stretch, each character times a
# power of the base, give the hashes of all its words: a difference of two sums, divided by the power at the start.
# N-grams of these hashes need another multiplier (`filters.repetition`).
_BASE = 0x9E3779B97F4A7C15
_STRETCH = 1 << 16
# ICU looks at a text in stretches: its memory stays bounded whatever the text, and a border costs one word at most.
_STRETCH_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, as places in it.

    Attributes:
        starts: index of the first character of each word, shape (W,), int64.
        ends: index after its last character, shape (W,), int64.
        hashes: equal for words that differ in case only, shape (W,), uint64.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each word, shape (W,)."""
        return self.ends - self.starts


class Segmenter(Protocol):
    """Finds the words of a text."""

    @property
    def name(self) -> str:
        """What finds the words: `spaces` or `icu`."""
        ...

    def spans(self, text: str, points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and ends of the words of a text whose code points are given."""
        ...


class SpaceSegmenter:
    """Words are runs of letters, marks and digits, with apostrophes, hyphens and joiners inside them."""

    name = "spaces"

    def spans(self, text: str, points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and ends of the words."""
        flags = character_flags(points)
        inside = np.zeros(len(points) + 2, dtype=np.bool_)
        word = inside[1:-1]
        np.not_equal(flags & np.uint16(WORD), 0, out=word)
        joined = (flags & np.uint16(JOINER)) != 0
        if joined.any():
            joined &= inside[:-2] & inside[2:]
            word |= joined
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        return edges[::2], edges[1::2]


class IcuSegmenter:
    """Words by ICU's dictionaries, for scripts that put no spaces between them."""

    name = "icu"

    def __init__(self, language: str) -> None:
        """Choose the rules of a language, an ISO 639-1 code."""
        self._language = language

    def spans(self, text: str, points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and ends of the words."""
        lengths: list[int] = []
        text = encodable(text)
        for start in range(0, len(text), _STRETCH_CHARS):
            lengths += map(len, WordBreaker(text[start : start + _STRETCH_CHARS], self._language))
        ends = np.cumsum(np.asarray(lengths, dtype=np.int64))
        starts = ends - np.asarray(lengths, dtype=np.int64)
        if not len(starts):
            return starts, ends
        words = (character_flags(points[starts]) & np.uint16(WORD)) != 0
        return starts[words], ends[words]


class LetterSegmenter:
    """Every letter, mark and digit is a unit of its own, but runs of basic Latin letters and digits stay whole.

    Where words do not exist without a dictionary, n-grams of these units are what near duplicates share: they do not
    depend on where a dictionary happens to cut.
    """

    name = "letters"

    def spans(self, text: str, points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and ends of the units."""
        word = np.zeros(len(points) + 2, dtype=np.bool_)
        np.not_equal(character_flags(points) & np.uint16(WORD), 0, out=word[1:-1])
        latin = word.copy()
        latin[1:-1] &= points < 0x80
        starts = word[1:-1] & ~(latin[1:-1] & latin[:-2])
        ends = word[1:-1] & ~(latin[1:-1] & latin[2:])
        return np.flatnonzero(starts), np.flatnonzero(ends) + 1


def shingle_units(segmentation: Segmentation) -> Segmenter:
    """Return what finds the units that shingles are made of: words, or letters where no spaces stand between words."""
    return SpaceSegmenter() if segmentation == "spaces" else LetterSegmenter()


def words_of_texts(texts: Sequence[str], segmenter: Segmenter) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the word hashes of several texts in one pass, and where each text's begin.

    Args:
        texts: N texts.
        segmenter: finds the words; one that looks no further than white space.

    Returns:
        Hashes of all words, shape (W,), and borders, shape (N + 1,): text n has the words [borders[n], borders[n+1]).
    """
    joined = "\n".join(texts)
    words = find_words(joined, code_points(joined), segmenter)
    lengths = np.fromiter((len(text) + 1 for text in texts), dtype=np.int64, count=len(texts))
    borders = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(lengths, out=borders[1:])
    return words.hashes, np.searchsorted(words.starts, borders)


@lru_cache(maxsize=256)
def segmenter_for(language: str, segmentation: Segmentation) -> Segmenter:
    """Return what splits a language into words.

    Args:
        language: ISO 639-1 code.
        segmentation: `spaces` for languages that separate words; `none` for those that do not.
    """
    return SpaceSegmenter() if segmentation == "spaces" else IcuSegmenter(language)


def find_words(text: str, points: NDArray[np.uint32], segmenter: Segmenter) -> Words:
    """Return the words of a text whose code points are given, shape (C,)."""
    starts, ends = segmenter.spans(text, points)
    return Words(starts, ends, _hashes(points, starts, ends))


def word_list(text: str, segmenter: Segmenter) -> list[str]:
    """Return the words of a text, in lower case, in their order; `find_words` gives each the hash of `word_hash`."""
    starts, ends = segmenter.spans(text, code_points(text))
    return [fold(text[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def fold(text: str) -> str:
    """Return the text in lower case, every character in its place.

    İ is the only one whose lower case is two: as in the hashes, it is a plain i.
    """
    return text.replace("İ", "i").lower()


def encodable(text: str) -> str:
    """Return the text as native libraries can take it: a lone surrogate, which UTF-8 cannot hold, becomes `?`."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def word_hash(word: str) -> int:
    """Return the hash that `find_words` gives a word."""
    points = code_points(word)
    return int(_hashes(points, np.zeros(1, dtype=np.int64), np.array([len(points)], dtype=np.int64))[0])


def _hashes(points: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of each word."""
    if not len(starts) or ends[-1] - starts[0] < _STRETCH:
        return _stretch_hashes(points, starts, ends)
    hashes = np.zeros(len(starts), dtype=np.uint64)
    first = 0
    while first < len(starts):
        last = int(np.searchsorted(ends, starts[first] + _STRETCH))
        if last > first:
            hashes[first:last] = _stretch_hashes(points, starts[first:last], ends[first:last])
        else:
            last = first + 1
            hashes[first] = _long_hash(points, int(starts[first]), int(ends[first]))
        first = last
    return hashes


def _long_hash(points: NDArray[np.uint32], start: int, end: int) -> np.uint64:
    """Return the hash of a word that is longer than a stretch."""
    value = np.zeros(1, dtype=np.uint64)
    for begin in range(start, end, _STRETCH - 1):
        stop = min(end, begin + _STRETCH - 1)
        value = value * np.uint64(_BASE) + _stretch_hashes(points, np.array([begin]), np.array([stop]))
    return np.uint64(value[0])


def _stretch_hashes(
    points: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.uint64]:
    if not len(starts):
        return np.zeros(0, dtype=np.uint64)
    powers, inverses = _powers()
    begin, end = int(starts[0]), int(ends[-1])
    sums = np.zeros(end - begin + 1, dtype=np.uint64)
    np.cumsum(fold_table()[points[begin:end]] * powers[: end - begin], out=sums[1:])
    first = starts - begin
    hashes: NDArray[np.uint64] = (sums[ends - begin] - sums[first]) * inverses[first]
    return hashes


@cache
def _powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the powers of the base, and of its inverse, modulo 2**64."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        table = np.full(_STRETCH, base, dtype=np.uint64)
        table[0] = 1
        tables.append(np.multiply.accumulate(table))
    return tables[0], tables[1]
