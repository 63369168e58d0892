"""Shares of a sample, and how sure they are: the score interval of Wilson (1927)."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The normal distribution's quantile of an interval of 95%.
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole that was sampled, with its interval of 95%.

    Attributes:
        part: how many of the sample.
        whole: size of the sample.
        low, high: ends of the interval, from 0 to 1.
    """

    part: int
    whole: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share; None when nothing was sampled."""
        return self.part / self.whole if self.whole else None


def share_of(part: int, whole: int) -> Share:
    """Return a share with Wilson's interval; of an empty sample it is from 0 to 1.

    Its ends are the two probabilities p at which the share lies 1.96 standard deviations of a sample from p away.

    Raises:
        ValueError: the part is larger than the whole, or negative.
    """
    if not 0 <= part <= whole:
        raise ValueError(f"{part} of {whole} is no share")
    if not whole:
        return Share(part, whole, 0.0, 1.0)
    value, spread = part / whole, _Z * _Z / whole
    middle = value + spread / 2
    width = _Z * math.sqrt(value * (1 - value) / whole + spread / (4 * whole))
    low, high = (middle - width) / (1 + spread), (middle + width) / (1 + spread)
    # At the ends the formula is exact, rounding is not.
    return Share(part, whole, 0.0 if part == 0 else low, 1.0 if part == whole else high)
