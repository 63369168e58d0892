"""How far the shares of a blend can be off, proved, and what that asks of sequences and pieces.

The rule of `blend.py` takes pieces of at most P tokens, each from the source that is furthest behind. After T tokens a
source with the share w is behind by x = w * T - taken, and the x of all sources sum to 0.

- Ahead: a piece is taken only where x is not negative, so x never falls below -(1 - w) * P.
- Behind: for a set of j sources, the mean of x grows only by a piece from outside the set, by at most W * P / j where W
  is the set's weight; and then the source taken from was behind by at least as much as any in the set, so the mean was
  no larger than that of a set of j + 1 with it. The mean over all sources is 0. From all sources down to one:
  x <= P * (W_1 / 1 + W_2 / 2 + ... + W_(S-1) / (S-1)), where W_j is the largest weight of j sources with this one among
  them. (The cup game of Adler et al., SPAA 2003, with rates that are fixed and pieces that are not.)
- A source's tokens in a window of V tokens differ from w * V by the change of x over it: at most the width of the range
  of x. Within a piece x changes evenly, so a window may begin and end anywhere.

Shape legend: S = sources, P = tokens of the longest piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

WINDOW_TOKENS, TOLERANCE = 1_000_000, 0.005


def spread(weights: Sequence[float]) -> float:
    """Return how far a source's tokens in a window can be from its share of it, in pieces of the longest length.

    1 for two sources, below 2 for any number of equal ones, and never above `1 + H(S - 1)`: 3.9 for 10 sources, 6.2 for
    100. What happens is less: below 2 for all mixtures that were tried.
    """
    shares = np.sort(np.array([weight for weight in weights if weight > 0], dtype=np.float64))[::-1]
    sets = np.arange(1, len(shares))
    if not len(sets):
        return 0.0
    heaviest = np.concatenate(([0.0], shares.cumsum()))
    widths = []
    for place, share in enumerate(shares):
        # The j heaviest, if this source is one of them, else j - 1 of them and this one.
        with_it = np.where(sets > place, heaviest[sets], heaviest[sets - 1] + share)
        widths.append(1 - share + (with_it / sets).sum())
    return float(max(widths))


def longest_piece(
    weights: Sequence[float], extra: float = 0.0, window: int = WINDOW_TOKENS, tolerance: float = TOLERANCE
) -> int | None:
    """Return how long pieces may be for shares within `tolerance` in every window; None is any length.

    Args:
        weights: of the sources.
        extra: tokens that are drawn out of their order, in pieces: added to `spread`.
        window: tokens.
        tolerance: 0.005 is half a percentage point.
    """
    width = spread(weights)
    return max(1, int(window * tolerance / (width + extra))) if width else None


def guaranteed_window(weights: Sequence[float], piece: int, extra: float = 0.0, tolerance: float = TOLERANCE) -> int:
    """Return from how many tokens on every window has shares within `tolerance`.

    Args:
        weights: of the sources.
        piece: tokens of the longest piece.
        extra: as in `longest_piece`.
        tolerance: as in `longest_piece`.
    """
    width = spread(weights)
    return math.ceil((width + extra) * piece / tolerance) if width else 1
