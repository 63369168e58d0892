"""Lines that stand in many documents: menus, notices, invitations to subscribe.

After CCNet (Wenzek et al. 2020, section 3.2), which cuts every paragraph whose hash was seen before in the same
language. A line is what stands between two line feeds; CCNet's paragraphs are just that.

Shape legend: L = lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from configs.load import StrictModel


class LinesConfig(StrictModel):
    """Deduplication of lines. Lines of different languages never meet.

    Attributes:
        min_chars: shorter lines are never cut; white space does not count.
        min_count: a line that occurs at least so often in its language is a repeat, within one document or in several.
        remove: `repeats` keeps the first occurrence of a line, `all` keeps none.
        normalise: lines are equal when they differ in case, in the values of digits, and in what is no letter, mark
            or digit only. CCNet takes accents away, too; they stay here, as in many scripts the marks are the vowels.
            A line without a letter (a date, a row of a table, a ruler) is never cut: nothing of it would be compared.
            False compares lines as they stand, but for the white space around them.
        min_remaining_chars: a document of which something was cut and fewer characters are left goes as a whole; None
            keeps it whatever is left.
        partitions: files that the lines are shuffled through; None leaves it to the job.
    """

    min_chars: int = Field(default=10, ge=1)
    min_count: int = Field(default=2, ge=2)
    remove: Literal["repeats", "all"] = "repeats"
    normalise: bool = True
    min_remaining_chars: int | None = Field(default=200, ge=0)
    partitions: int | None = Field(default=None, ge=1)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a text that may be cut.

    Attributes:
        starts: index of the first character of each line, shape (L,), int64.
        ends: index after the line feed that ends it, or after the text's last character, shape (L,), int64.
        keys: 128-bit hashes, equal for equal lines of one language, shape (L, 2), uint64.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    keys: NDArray[np.uint64]


_LINE_FEED, _ZERO = np.uint32(ord("\n")), np.uint32(ord("0"))
_LAST_SPACE = 0x3000
# A text is looked at in stretches of about so many characters, cut after line feeds.
_STRETCH = 1 << 20


def find_lines(text: str, language: str, min_chars: int, table: NDArray[np.uint32] | None) -> Lines:
    """Return the lines of a text that are long enough to be cut.

    With 10 billion different lines the chance that any two of them share their 128 bits is 1.5e-19: equal keys need
    no look at the texts.

    Args:
        text: lines separated by line feeds.
        language: goes into the keys.
        min_chars: shorter lines are left out, white space not counted.
        table: what each code point counts as when lines are compared: a letter, `0` for all digits, or zero for what
            does not count; lines without a letter are left out. None compares lines as they stand.
    """
    starts, ends, keys = [], [], []
    first = 0
    while first < len(text):
        last = text.find("\n", first + _STRETCH) + 1 or len(text)
        own = _find(text[first:last], xxhash.xxh3_64_intdigest(language), min_chars, table)
        starts.append(own.starts + first)
        ends.append(own.ends + first)
        keys.append(own.keys)
        first = last
    if not starts:
        return Lines(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2), np.uint64))
    return Lines(np.concatenate(starts), np.concatenate(ends), np.concatenate(keys))


def _find(text: str, seed: int, min_chars: int, table: NDArray[np.uint32] | None) -> Lines:
    """Return the lines of a text that is not empty."""
    points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4")
    feeds = np.flatnonzero(points == _LINE_FEED) + 1
    starts = np.concatenate([[0], feeds[feeds < len(points)]])
    ends = np.append(starts[1:], len(points))
    wanted = np.add.reduceat(~_spaces()[np.minimum(points, _LAST_SPACE + 1)], starts, dtype=np.int64) >= min_chars
    if table is None:
        starts, ends = starts[wanted], ends[wanted]
        lines = zip(starts.tolist(), ends.tolist(), strict=True)
        keys = [xxhash.xxh3_128_digest(text[a:b].strip().encode("utf-8", "replace"), seed) for a, b in lines]
        return Lines(starts, ends, _halves(keys))
    points = table[points]
    counts = points != 0
    wanted &= np.logical_or.reduceat(counts & (points != _ZERO), starts)
    # Where each line ends among the characters that count.
    stops = np.cumsum(np.add.reduceat(counts, starts, dtype=np.int64))
    begins = np.concatenate([[0], stops[:-1]])
    data = memoryview(points[counts].tobytes())
    lines = zip((begins[wanted] * 4).tolist(), (stops[wanted] * 4).tolist(), strict=True)
    keys = [xxhash.xxh3_128_digest(data[a:b], seed) for a, b in lines]
    return Lines(starts[wanted], ends[wanted], _halves(keys))


def _halves(digests: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64).reshape(-1, 2)


@cache
def _spaces() -> NDArray[np.bool_]:
    """Return which code points are white space; behind the last of them stands one for all that follow."""
    return np.array([chr(point).isspace() for point in range(_LAST_SPACE + 2)])
