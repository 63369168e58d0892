"""Counting letters of a writing system, fast enough to be done on every raw page."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# ISO 15924 code -> inclusive code point ranges of its letters (Unicode 16, Blocks.txt; the blocks that running
# text uses). Kore and Jpan are mixed systems: Hangul or kana or Han.
_HAN = ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "Latn": (
        (0x41, 0x5A),
        (0x61, 0x7A),
        (0xAA, 0xAA),
        (0xBA, 0xBA),
        (0xC0, 0xD6),
        (0xD8, 0xF6),
        (0xF8, 0x24F),
        (0x250, 0x2AF),
        (0x2BB, 0x2BC),
        (0x1E00, 0x1EFF),
        (0xFB00, 0xFB06),
        (0xFF21, 0xFF3A),
        (0xFF41, 0xFF5A),
    ),
    "Grek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Cyrl": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "Armn": ((0x531, 0x58F),),
    "Hebr": ((0x591, 0x5F4), (0xFB1D, 0xFB4F)),
    "Arab": ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "Thaa": ((0x780, 0x7BF),),
    "Deva": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Beng": ((0x980, 0x9FF),),
    "Guru": ((0xA00, 0xA7F),),
    "Gujr": ((0xA80, 0xAFF),),
    "Orya": ((0xB00, 0xB7F),),
    "Taml": ((0xB80, 0xBFF),),
    "Telu": ((0xC00, 0xC7F),),
    "Knda": ((0xC80, 0xCFF),),
    "Mlym": ((0xD00, 0xD7F),),
    "Sinh": ((0xD80, 0xDFF),),
    "Thai": ((0xE00, 0xE7F),),
    "Laoo": ((0xE80, 0xEFF),),
    "Tibt": ((0xF00, 0xFFF),),
    "Mymr": ((0x1000, 0x109F), (0xAA60, 0xAA7F)),
    "Geor": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "Ethi": ((0x1200, 0x139F),),
    "Khmr": ((0x1780, 0x17FF),),
    "Hani": _HAN,
    "Hans": _HAN,
    "Hant": _HAN,
    "Jpan": ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D), *_HAN),
    "Kore": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97F), (0xAC00, 0xD7FF), *_HAN),
}


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text; a lone surrogate becomes U+003F."""
    return np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4")


def in_ranges(points: NDArray[np.uint32], ranges: Iterable[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return a mask of the code points that lie in any of the inclusive ranges."""
    mask = np.zeros(points.shape, dtype=np.bool_)
    for low, high in ranges:
        # One comparison a range: below `low` the unsigned difference wraps round to a large number.
        mask |= (points - np.uint32(low)) <= np.uint32(high - low)
    return mask


def ranges_of(scripts: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Return the merged ranges of several scripts.

    Raises:
        KeyError: a script that this table does not know.
    """
    return tuple(sorted({bounds for script in scripts for bounds in RANGES[script]}))
