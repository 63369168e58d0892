"""Splitting text into words, by the segmentation of its language."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Segmentation = Literal["spaces", "none"]

# Letters, marks and digits, with apostrophes and hyphens inside a word. `\w` leaves out combining vowel signs, on
# which the words of Indic and other scripts would break.
_MARKS = "".join(mark for mark in map(chr, range(0x300, 0x10000)) if unicodedata.category(mark).startswith("M"))
_WORD = re.compile(rf"[\w{_MARKS}]+(?:['’\u02bc\u200c\u200d-][\w{_MARKS}]+)*")
_SYMBOL_OF_WORD = re.compile(rf"[A-Za-z0-9_]+|[\w{_MARKS}]")


def split_words(text: str, segmentation: Segmentation) -> list[str]:
    """Return the words of a text, lower-cased, without punctuation.

    Args:
        text: any text.
        segmentation: `spaces` for languages that separate words; `none` for those that do not (Chinese, Japanese,
            Thai ...), where every letter stands as a unit of its own, but for runs of Latin letters and digits.
    """
    pattern = _WORD if segmentation == "spaces" else _SYMBOL_OF_WORD
    return pattern.findall(text.lower())
