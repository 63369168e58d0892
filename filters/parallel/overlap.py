"""What both sides of a pair have in common letter by letter: copies, words left untranslated, names and cognates.

Letters are folded to a skeleton first: lower case, no diacritics, and Greek and Cyrillic letters as the Latin ones that
transliterate them, one for one, so that `Μαρία` and `Maria` are alike.

Shape legend: N = pairs, C = characters of a batch, W = its words.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from filters.characters import DIGIT, UPPER, WORD, character_flags, fold_table
from filters.parallel.batch import Batch, shared
from filters.words import Words

_LATIN_OF = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяіїєґјљњћђџѕѓќў",
        "avgdezitiklmnxoprsstyfhpoabvgdezziiklmnoprstufhccssayieuaiiegjlncddzgku",
        strict=True,
    )
)
_SPACE = ord(" ")
# Letters of which the skeletons of related words mostly begin with the same ones.
_PREFIX = 4
_BASES = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xFF51AFD7ED558CCD)))
_LEAST_LETTERS = 3
_ONE_MORE = 1.0
TRANSLITERATED = frozenset({"Latn", "Grek", "Cyrl"})


def similarity(source: Batch, target: Batch) -> NDArray[np.float64]:
    """Return the share of character 3-grams of the skeletons that both sides have (Dice), shape (N,): 1 for equal ones.

    Between it and the edit distance stands the q-gram lemma (Ukkonen 1992): a distance of k costs at most 3k 3-grams.
    """
    left, right = _trigrams(source), _trigrams(target)
    value = shared(source.count, left, right).dice()
    none = np.bincount(left[0], minlength=source.count) + np.bincount(right[0], minlength=source.count) == 0
    for number in np.flatnonzero(none).tolist():  # too short for any: a letter, or nothing
        value[number] = float(_text(source, number) == _text(target, number))
    return value


def untranslated_ratio(source: Batch, source_words: Words, target: Batch, target_words: Words) -> NDArray[np.float64]:
    """Return the share of words that the other side has as well, shape (N,), of the side that shares more of them.

    Names and numbers are left out: words that begin with a capital letter or hold a digit, and those of fewer than
    three letters. One word more is taken to be there, so that a single one in common is a half at most.
    """
    sides = []
    for batch, words in ((source, source_words), (target, target_words)):
        flags = character_flags(batch.points)
        digits = np.concatenate([[0], np.cumsum(flags & np.uint16(DIGIT) != 0)])
        plain = (flags[words.starts] & np.uint16(UPPER) == 0) & (digits[words.ends] == digits[words.starts])
        plain &= words.lengths >= _LEAST_LETTERS
        sides.append((batch.owner[words.starts[plain]], words.hashes[plain]))
    both = shared(source.count, sides[0], sides[1])
    return np.maximum(both.source_found / (both.source + _ONE_MORE), both.target_found / (both.target + _ONE_MORE))


def cognate_ratio(source: Batch, source_words: Words, target: Batch, target_words: Words) -> NDArray[np.float64]:
    """Return the share of words of which the other side has one that begins with the same letters (Dice), shape (N,).

    Names, loans and cognates: in two sentences of related languages that are no translations, they differ. Both sides
    are in scripts of `TRANSLITERATED`.
    """
    return shared(source.count, _prefixes(source, source_words), _prefixes(target, target_words)).dice()


def _prefixes(batch: Batch, words: Words) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return owner and hash of the first letters of each longer word."""
    long = words.lengths >= _LEAST_LETTERS
    starts, ends = words.starts[long], words.ends[long]
    skeleton = _skeleton()[batch.points]
    hashes = np.zeros(len(starts), dtype=np.uint64)
    for position, base in enumerate(_BASES[:_PREFIX]):
        places = starts + position
        letters = np.where(places < ends, skeleton[np.minimum(places, len(skeleton) - 1)], 0)
        hashes += letters.astype(np.uint64) * base
    return batch.owner[starts], hashes


def _trigrams(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    skeleton = _skeleton()[batch.points]
    kept = np.ones(len(skeleton), dtype=np.bool_)
    kept[1:] = (skeleton[1:] != _SPACE) | (skeleton[:-1] != _SPACE) | (batch.owner[1:] != batch.owner[:-1])
    places = np.flatnonzero(kept)
    letters, owner = skeleton[places].astype(np.uint64), batch.owner[places]
    hashes = letters[:-2] * _BASES[0] + letters[1:-1] * _BASES[1] + letters[2:] * _BASES[2]
    inside = owner[:-2] == owner[2:]
    return owner[:-2][inside], hashes[inside]


def _text(batch: Batch, number: int) -> str:
    start = int(batch.starts[number])
    return batch.text[start : start + int(batch.lengths[number])].strip().lower()


@cache
def _skeleton() -> NDArray[np.uint32]:
    """Return the folded form of each code point; a space for what stands in no word."""
    points = np.arange(0x110000, dtype=np.uint32)
    folded = np.full(0x110000, _SPACE, dtype=np.uint32)
    word = character_flags(points) & np.uint16(WORD) != 0
    lower = fold_table()
    folded[: len(lower)] = np.where(word[: len(lower)], lower, _SPACE)
    latin = {ord(letter): ord(own) for letter, own in _LATIN_OF.items()}
    for point in np.flatnonzero(word[:0x2000]).tolist() + list(range(0xFF10, 0xFF5B)):
        base = unicodedata.normalize("NFKD", chr(int(folded[point])))[0]
        own = ord(base.lower()[0])
        folded[point] = latin.get(own, latin.get(int(folded[point]), own))
    return folded
