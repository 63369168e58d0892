"""All measures of a text, taken once and stored as columns; rules and calibration read the columns later.

A measure is a pure function of the text, its language's segmentation and its script. Ratios are shares between 0 and
1. Sources: Gopher (Rae et al. 2021, appendix A.1.1), C4 (Raffel et al. 2020, section 2.2), CulturaX (Nguyen et al.
2024, section 2.2), Marco-LLM (section 3.1.1).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from filters.repetition import duplicate_ngram_share, duplicate_share, top_ngram_share
from filters.scripts import code_points, in_ranges, ranges_of
from filters.words import Segmentation, split_words

# What each measure is; the order is the order of the columns and of the report.
MEASURES: dict[str, str] = {
    "chars": "characters",
    "words": "words; letters in languages that do not separate words",
    "lines": "lines that are not blank",
    "mean_word_length": "characters per word",
    "symbol_ratio": "share of characters that are symbols: neither letter, mark, digit, space nor punctuation",
    "punctuation_ratio": "share of characters that are punctuation",
    "digit_ratio": "share of characters that are digits",
    "upper_ratio": "share of cased letters that are upper case",
    "script_ratio": "share of letters that belong to the scripts of the language",
    "garbled_ratio": "share of characters that are replacement, private-use or control characters or mojibake",
    "short_line_ratio": "share of lines that are short",
    "unfinished_line_ratio": "share of characters in lines that hold no end of a sentence",
    "bullet_line_ratio": "share of lines that begin with a bullet",
    "ellipsis_line_ratio": "share of lines that end in an ellipsis",
    "top_word_ratio": "share of words that are the most frequent word of three or more letters",
    "repeated_run_ratio": "share of words that repeat the word before them",
    "duplicate_line_ratio": "share of characters in lines that occurred before",
    "duplicate_paragraph_ratio": "share of characters in paragraphs that occurred before",
    "top_2gram_ratio": "share of characters of the most frequent 2-gram",
    "top_3gram_ratio": "share of characters of the most frequent 3-gram",
    "top_4gram_ratio": "share of characters of the most frequent 4-gram",
    "duplicate_5gram_ratio": "share of characters inside 5-grams that occurred before",
    "duplicate_10gram_ratio": "share of characters inside 10-grams that occurred before",
}

_SHORT_LINE_CHARS = {"spaces": 30, "none": 15}
# Without word spaces a unit is a letter, and n-grams are as many times longer as a word has letters: about two in
# Chinese and Japanese, about four in the alphabets of South-East Asia.
_LETTERS_PER_WORD = 2
_LETTERS_PER_WORD_BY_SCRIPT = {"Thai": 4, "Laoo": 4, "Khmr": 4, "Mymr": 4}
_TOP_NGRAMS = (2, 3, 4)
_DUPLICATE_NGRAMS = (5, 10)

_PUNCTUATION = frozenset(
    ".,;:!?¡¿'\"`()[]{}<>«»‹›‘’‚‛“”„‟-‐‑‒–—―…/\\&@*%·•†‡§¶"
    "،؛؟٪٫٬۔।॥၊။።፣፤፥፦፧፨、。〃〈〉《》「」『』【】〔〕！（），．／：；？～｡｢｣､･՝՛՜՞։׀׃׳״ๆฯ๏๚๛"
)
# The end of a sentence: a full stop, question or exclamation mark of any script, closing quotes, then a space or the
# line's end; ideographic marks need no space. Greek and Armenian ask with `;` and `՞`.
_SENTENCE_END = re.compile("[.!?…؟۔।॥။።፧։;՞][\"”»’')\\]]*(?:\\s|$)|[。！？｡]")
_BULLETS = ("•", "‣", "●", "○", "■", "□", "▪", "◦", "*", "-", "–", "►", "▶", "·", "→", "»")
# UTF-8 read as windows-1252 or latin-1: a lead byte as a letter, then a continuation byte as a symbol. After `à` two of
# them, as words end in it before quotes and no-break spaces.
_CONTINUATION = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_MOJIBAKE = re.compile(f"[ÂÃÎÏÐÑØÙ]{_CONTINUATION}|à[\u00a4-\u00bf]{_CONTINUATION}|â€.|ï¿½")
_CONTROL = ((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F), (0xE000, 0xF8FF), (0xFFFD, 0xFFFD))


def measure(text: str, segmentation: Segmentation, scripts: Iterable[str]) -> dict[str, float]:
    """Take all measures of a text.

    Args:
        text: a document, lines separated by line feeds, paragraphs by blank lines.
        segmentation: how the language separates words.
        scripts: ISO 15924 codes of the scripts that the language is written in.

    Returns:
        a value for each name in `MEASURES`, in that order. An empty text has 0 everywhere.
    """
    words, scripts = split_words(text, segmentation), tuple(scripts)
    lines = [line for raw in text.split("\n") if (line := raw.strip())]
    return {
        "chars": float(len(text)),
        "words": float(len(words)),
        "lines": float(len(lines)),
        "mean_word_length": sum(map(len, words)) / len(words) if words else 0.0,
        **_character_measures(text, scripts),
        **_line_measures(lines, segmentation),
        **_repetition_measures(text, words, lines, 1 if segmentation == "spaces" else _letters_per_word(scripts)),
    }


def _character_measures(text: str, scripts: Iterable[str]) -> dict[str, float]:
    """Shares of kinds of characters. Counted over the distinct characters, which are few."""
    points, counts = np.unique(code_points(text), return_counts=True)
    kinds = {"symbol": 0, "punctuation": 0, "digit": 0, "upper": 0, "cased": 0}
    letters = np.zeros(len(points), dtype=np.bool_)
    for position, (point, count) in enumerate(zip(points.tolist(), counts.tolist(), strict=True)):
        character = chr(point)
        if character.isalpha():
            letters[position] = True
            kinds["upper"] += count * character.isupper()
            kinds["cased"] += count * (character.isupper() or character.islower())
        elif character.isdigit():
            kinds["digit"] += count
        elif character in _PUNCTUATION:
            kinds["punctuation"] += count
        elif not character.isspace() and not _is_mark(point):
            kinds["symbol"] += count
    total = max(1, len(text))
    letter_count = int(counts[letters].sum())
    own = int(counts[letters & in_ranges(points, ranges_of(scripts))].sum())
    mojibake = "".join(_MOJIBAKE.findall(text))
    # A control character inside mojibake counts once.
    garbled = int(counts[in_ranges(points, _CONTROL)].sum()) + int((~in_ranges(code_points(mojibake), _CONTROL)).sum())
    return {
        "symbol_ratio": kinds["symbol"] / total,
        "punctuation_ratio": kinds["punctuation"] / total,
        "digit_ratio": kinds["digit"] / total,
        "upper_ratio": kinds["upper"] / max(1, kinds["cased"]),
        "script_ratio": own / max(1, letter_count),
        "garbled_ratio": garbled / total,
    }


def _is_mark(point: int) -> bool:
    """Combining marks, joiners and variation selectors: parts of letters, not symbols."""
    return (
        unicodedata.category(chr(point)).startswith("M")
        or 0x591 <= point <= 0x670
        or 0x6D6 <= point <= 0x6ED
        or 0x900 <= point <= 0x1FFF
        or 0x200B <= point <= 0x200F
        or 0xFE00 <= point <= 0xFE2F
        or point == 0xFEFF
    )


def _line_measures(lines: list[str], segmentation: Segmentation) -> dict[str, float]:
    count = max(1, len(lines))
    chars = max(1, sum(map(len, lines)))
    short = _SHORT_LINE_CHARS[segmentation]
    return {
        "short_line_ratio": sum(len(line) < short for line in lines) / count,
        "unfinished_line_ratio": sum(len(line) for line in lines if not _SENTENCE_END.search(line)) / chars,
        "bullet_line_ratio": sum(line.startswith(_BULLETS) for line in lines) / count,
        "ellipsis_line_ratio": sum(line.endswith(("…", "...")) for line in lines) / count,
    }


def _letters_per_word(scripts: Iterable[str]) -> int:
    return max(
        (_LETTERS_PER_WORD_BY_SCRIPT.get(script, _LETTERS_PER_WORD) for script in scripts), default=_LETTERS_PER_WORD
    )


def _repetition_measures(text: str, words: list[str], lines: list[str], units: int) -> dict[str, float]:
    """Repetition of lines, paragraphs and n-grams; `units` is how many of the `words` make up a real word."""
    numbers, lengths, names = _number_words(words)
    top = 0
    if names:
        counts = np.bincount(numbers.astype(np.int64), minlength=len(names))
        minimum = 3 if units == 1 else 1
        top = max((int(count) for count, name in zip(counts, names, strict=True) if len(name) >= minimum), default=0)
    paragraphs = [paragraph for raw in text.split("\n\n") if (paragraph := raw.strip())]
    runs = int((numbers[1:] == numbers[:-1]).sum()) if units == 1 else 0
    return {
        "top_word_ratio": top / max(1, len(words)),
        "repeated_run_ratio": runs / max(1, len(words)),
        "duplicate_line_ratio": duplicate_share(lines),
        "duplicate_paragraph_ratio": duplicate_share(paragraphs),
        **{f"top_{n}gram_ratio": top_ngram_share(numbers, lengths, n * units) for n in _TOP_NGRAMS},
        **{f"duplicate_{n}gram_ratio": duplicate_ngram_share(numbers, lengths, n * units) for n in _DUPLICATE_NGRAMS},
    }


def _number_words(words: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64], list[str]]:
    """Return the number of each word (equal words share it), its length, and the distinct words by number."""
    index: dict[str, int] = {}
    numbers = [index.setdefault(word, len(index)) for word in words]
    lengths = [len(word) for word in words]
    # Number 0 would vanish at the head of a polynomial hash.
    shifted = np.asarray(numbers, dtype=np.uint64) + np.uint64(1) if numbers else np.zeros(0, np.uint64)
    return shifted, np.asarray(lengths, dtype=np.int64), ["", *index]
