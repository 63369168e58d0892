"""What the measures of pairs mean, computed naively: one text and one item at a time."""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable

from filters.scripts import RANGES
from tests.filters.oracles import _WORD

_DIGITS = "".join(c for c in map(chr, range(0x20000)) if c.isdecimal())
_NUMBER = re.compile(rf"[{_DIGITS}]+")
_SEPARATORS = ".,'’ \u00a0\u2009\u202f\u066c\u066b，．"


def words(text: str) -> list[str]:
    return _WORD.findall(text.replace("İ", "i").lower())


def dice(left: Iterable[Hashable], right: Iterable[Hashable], smoothing: float = 0.0) -> float:
    a, b = Counter(left), Counter(right)
    total = a.total() + b.total() + 2 * smoothing
    return 2 * ((a & b).total() + smoothing) / total if total else 1.0


def share_repeated(items: list[Hashable]) -> float:
    return (len(items) - len(set(items))) / len(items) if items else 0.0


def letter_share(text: str) -> float:
    inside = [c for c in text if not c.isspace()]
    parts = [c for c in inside if c.isalpha() or unicodedata.category(c).startswith("M")]
    return len(parts) / max(1, len(inside))


def script_share(text: str, script: str) -> float | None:
    letters = [c for c in text if c.isalpha()]
    own = [c for c in letters if any(low <= ord(c) <= high for low, high in RANGES[script])]
    return len(own) / len(letters) if letters else None


def numbers(text: str) -> list[int]:
    groups: list[str] = []
    end, last = -2, 0
    for found in _NUMBER.finditer(text):
        digits = "".join(str(unicodedata.decimal(c)) for c in found[0])
        close = found.start() == end + 1 and text[end] in _SEPARATORS
        if close and len(digits) == 3 and last <= 3:
            groups[-1] += digits
        else:
            groups.append(digits)
        end, last = found.end(), len(digits)
    return [int(group[:32]) % 2**64 for group in groups]


def number_mismatch(source: str, target: str) -> float:
    left, right = (Counter(v for v in numbers(text) for _ in range(2 if v > 9 else 1)) for text in (source, target))
    return 1 - (2 * (left & right).total() + 1) / (left.total() + right.total() + 1)
