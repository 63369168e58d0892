"""What the measures mean, computed naively: one character, one n-gram at a time."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from filters.characters import PUNCTUATION_MARKS
from filters.scripts import RANGES

# Letters, marks and digits, with apostrophes and hyphens inside a word. `\w` leaves out combining vowel signs, on
# which the words of Indic and other scripts would break.
_MARKS = "".join(mark for mark in map(chr, range(0x300, 0x10000)) if unicodedata.category(mark).startswith("M"))
_WORD = re.compile(rf"[\w{_MARKS}]+(?:['’\u02bc\u200c\u200d-][\w{_MARKS}]+)*")
_SYMBOL_OF_WORD = re.compile(rf"[A-Za-z0-9_]+|[\w{_MARKS}]")


def split_words(text: str, segmentation: str) -> list[str]:
    """Words between spaces; for `none` every letter, mark and digit by itself, but for runs of Latin ones."""
    pattern = _WORD if segmentation == "spaces" else _SYMBOL_OF_WORD
    return pattern.findall(text.lower())


def ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def characters(words: list[str] | tuple[str, ...]) -> int:
    return sum(map(len, words))


def naive_duplicate_share(words: list[str], n: int) -> float:
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for start, ngram in enumerate(ngrams(words, n)):
        if ngram in seen:
            covered |= set(range(start, start + n))
        seen.add(ngram)
    return characters([words[position] for position in covered]) / characters(words) if words else 0.0


def naive_top_share(words: list[str], n: int) -> float:
    counts = Counter(ngrams(words, n))
    most = max(counts.values(), default=0)
    if most < 3:
        return 0.0
    longest = max(characters(ngram) for ngram, count in counts.items() if count == most)
    return min(1.0, most * longest / characters(words))


def naive_character_shares(text: str, scripts: Iterable[str]) -> dict[str, float]:
    """Shares of kinds of characters by the properties of Python's own Unicode database."""
    ranges = [bounds for script in scripts for bounds in RANGES[script]]
    text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is a question mark
    letters = [c for c in text if c.isalpha()]
    cased = [c for c in letters if c.isupper() or c.islower()]
    own = [c for c in letters if any(low <= ord(c) <= high for low, high in ranges)]
    return {
        "digit_ratio": sum(c.isdigit() and not c.isalpha() for c in text) / max(1, len(text)),
        "punctuation_ratio": sum(c in PUNCTUATION_MARKS and not c.isalnum() for c in text) / max(1, len(text)),
        "symbol_ratio": sum(_is_symbol(c) for c in text) / max(1, len(text)),
        "upper_ratio": sum(c.isupper() for c in cased) / max(1, len(cased)),
        "script_ratio": len(own) / max(1, len(letters)),
    }


def _is_symbol(c: str) -> bool:
    point = ord(c)
    if c.isalpha() or c.isdigit() or c in PUNCTUATION_MARKS or c.isspace():
        return False
    mark = point < 0x10000 and unicodedata.category(c).startswith("M")
    ranges = ((0x591, 0x670), (0x6D6, 0x6ED), (0x900, 0x1FFF), (0x200B, 0x200F), (0xFE00, 0xFE2F), (0xFEFF, 0xFEFF))
    return not (mark or any(low <= point <= high for low, high in ranges))
