"""Measures of one side of a pair, for many texts at once: what it is made of, whatever the other side says.

Shape legend: N = texts, C = their characters with separators, W = their words.
"""

from __future__ import annotations

import html.entities
import math
import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from filters.characters import (
    CONTINUATION,
    CONTROL,
    DIGIT,
    LEAD,
    LETTER,
    LOWER,
    PUNCTUATION,
    SYMBOL,
    UPPER,
    WORD,
    character_flags,
    character_measures,
)  # fmt: skip
from filters.metrics import Measure
from filters.parallel.batch import Batch, repetitions
from filters.repetition import ngram_hashes
from filters.scripts import code_points, in_ranges, ranges_of
from filters.words import Words, word_hash

# The order is the order of the columns, of the rules and of the report.
SIDE_MEASURES: dict[str, Measure] = {
    "chars": Measure("characters", "low", None, whole=True),
    "words": Measure("words", "low", None, whole=True),
    "mean_word_length": Measure("characters per word", "both", None),
    "letter_ratio": Measure("share of characters that are letters or their marks, spaces aside", "low"),
    "script_ratio": Measure("share of letters that belong to the scripts of the language", "low"),
    "garbled_ratio": Measure(
        "share of characters that are replacement, private-use or control characters or mojibake", "high"
    ),
    "markup_ratio": Measure("share of characters in HTML tags and entities", "high"),
    "symbol_ratio": Measure(
        "share of characters that are symbols: neither letter, mark, digit, space nor punctuation", "high"
    ),
    "punctuation_ratio": Measure("share of characters that are punctuation", "high"),
    "digit_ratio": Measure("share of characters that are digits", "high"),
    "upper_ratio": Measure("share of cased letters that are upper case", "high"),
    "stop_word_ratio": Measure("share of words that are stop words, in texts of ten words or more", "low"),
    "repeated_word_ratio": Measure("share of words of three or more letters that occurred before", "high"),
    "repeated_ngram_ratio": Measure("share of word 3-grams that occurred before", "high"),
    "language_score": Measure("how sure language identification is that this is the language", "low"),
}
_NGRAM = 3
# A heading or a list has no stop words; a sentence of this many words does.
_LEAST_WORDS = 10
_ENTITY_NAMES = "|".join(sorted((name[:-1] for name in html.entities.html5 if name.endswith(";")), key=len)[::-1])
_MARKUP = re.compile(rf"</?[A-Za-z][^<>\n]{{0,200}}>|&(?:#[0-9]{{1,7}}|#[xX][0-9A-Fa-f]{{1,6}}|{_ENTITY_NAMES});")
# Three counts fit into one number: a text has fewer than 2**21 characters.
_FIELD_BITS = 21
_FIELD = np.uint64((1 << _FIELD_BITS) - 1)
_OWN, _PART, _SPACE = 1 << 11, 1 << 12, 1 << 13
_COUNTED = ((LETTER, DIGIT, UPPER), (LOWER, PUNCTUATION, SYMBOL), (CONTROL, _OWN, _PART), (_SPACE,))


def character_columns(batch: Batch, scripts: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Return the shares of kinds of characters; those of `filters.characters.character_measures` are the same.

    Args:
        batch: the texts.
        scripts: ISO 15924 codes of the scripts that the language is written in.
    """
    kind_of, packed = _kinds(scripts)
    kinds = kind_of[batch.points]
    counts = []
    for numbers, features in zip(packed, _COUNTED, strict=True):
        sums = batch.sums(numbers[kinds])
        for place in range(len(features)):
            counts.append((sums >> np.uint64(place * _FIELD_BITS) & _FIELD).astype(np.float64))
    letters, digits, upper, lower, punctuation, symbols, control, own, parts, spaces = counts
    total = np.maximum(1.0, batch.lengths)
    garbled = control / total
    for number in _perhaps_mojibake(batch):
        text = batch.text[batch.starts[number] : batch.starts[number] + batch.lengths[number]]
        garbled[number] = character_measures(text, code_points(text), scripts)["garbled_ratio"]
    return {
        "letter_ratio": parts / np.maximum(1.0, batch.lengths + 1 - spaces),
        # A side without letters is in no script; how few letters it has is another measure.
        "script_ratio": np.where(letters > 0, own / np.maximum(1.0, letters), math.nan),
        "garbled_ratio": garbled,
        "markup_ratio": _markup_chars(batch) / total,
        "symbol_ratio": symbols / total,
        "punctuation_ratio": punctuation / total,
        "digit_ratio": digits / total,
        "upper_ratio": upper / np.maximum(1.0, upper + lower),
    }


def word_columns(
    batch: Batch, words: Words, stop_words: NDArray[np.uint64] | None, least_letters: int
) -> dict[str, NDArray[np.float64]]:
    """Return what is counted in words.

    Args:
        batch: the texts.
        words: the words of the joined text.
        stop_words: hashes of the stop words as `stop_word_table` gives them; None where none are known.
        least_letters: characters that a word has at least to count as repeated.
    """
    owner = batch.owner[words.starts]
    count = np.bincount(owner, minlength=batch.count).astype(np.float64)
    chars = np.bincount(owner, words.lengths, batch.count)
    long = words.lengths >= least_letters
    again = repetitions(batch.count, owner[long], words.hashes[long])
    ngrams, ngram_owner = ngram_hashes(words.hashes, _NGRAM), owner[: max(0, len(owner) - _NGRAM + 1)]
    inside = ngram_owner == owner[_NGRAM - 1 :]
    ngrams_again = repetitions(batch.count, ngram_owner[inside], ngrams[inside])
    stops = np.full(batch.count, math.nan)
    if stop_words is not None:
        found = stop_words[np.searchsorted(stop_words, words.hashes)] == words.hashes
        enough = count >= _LEAST_WORDS
        stops[enough] = np.bincount(owner[found], minlength=batch.count)[enough] / count[enough]
    return {
        "words": count,
        "mean_word_length": chars / np.maximum(1.0, count),
        "stop_word_ratio": stops,
        "repeated_word_ratio": again / np.maximum(1.0, np.bincount(owner[long], minlength=batch.count)),
        "repeated_ngram_ratio": ngrams_again / np.maximum(1.0, count - _NGRAM + 1),
    }


def stop_word_table(words: Iterable[str]) -> NDArray[np.uint64]:
    """Return the hashes of stop words in rising order, the largest number at the end."""
    hashes = np.unique(np.array([word_hash(word) for word in words], dtype=np.uint64))
    return np.append(hashes, np.uint64(2**64 - 1))


def _perhaps_mojibake(batch: Batch) -> list[int]:
    """Return the texts in which a character that begins mojibake stands before one that continues it."""
    flags = character_flags(batch.points)
    lead = np.flatnonzero(flags & np.uint16(LEAD))
    before = lead[flags[np.minimum(lead + 1, len(flags) - 1)] & np.uint16(CONTINUATION) != 0]
    texts: list[int] = np.unique(batch.owner[before]).tolist()
    return texts


def _markup_chars(batch: Batch) -> NDArray[np.float64]:
    chars = np.zeros(batch.count)
    if "<" in batch.text or "&" in batch.text:
        for found in _MARKUP.finditer(batch.text):
            chars[batch.owner[found.start()]] += found.end() - found.start()
    return chars


@lru_cache(maxsize=64)
def _kinds(scripts: tuple[str, ...]) -> tuple[NDArray[np.uint8], list[NDArray[np.uint64]]]:
    """Return a kind for each code point, and for each kind the features that it counts for, several in one number."""
    points = np.arange(0x110000, dtype=np.uint32)
    flags = character_flags(points).astype(np.uint32) & ~np.uint32(LEAD | CONTINUATION)
    letter, digit, word = (flags & np.uint32(flag) != 0 for flag in (LETTER, DIGIT, WORD))
    flags[letter & in_ranges(points, ranges_of(scripts))] |= _OWN
    flags[word & ~digit & (points != ord("_"))] |= _PART
    spaces = np.strings.isspace(points[:0x3001].view("<U1"))
    flags[:0x3001][spaces] |= _SPACE
    values, kind_of = np.unique(flags, return_inverse=True)
    packed = []
    for features in _COUNTED:
        numbers = np.zeros(len(values), dtype=np.uint64)
        for place, feature in enumerate(features):
            numbers |= (values & np.uint32(feature) != 0).astype(np.uint64) << np.uint64(place * _FIELD_BITS)
        packed.append(numbers)
    return kind_of.astype(np.uint8), packed
