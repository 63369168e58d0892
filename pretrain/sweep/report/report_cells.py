"""Small drawings in the cells of a report's tables: ranges of shares, intervals of effects, colours of correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from curation.charts import share
from curation.report import visible
from pretrain.sweep.analysis.analysis_schema import Interval
from pretrain.sweep.report.report_facts import signed

# With full strength, letters on a colour are hard to read.
_MOST_STRENGTH = 0.6
_CELL = '<svg class="bar" width="100%" height="22" role="img" aria-label="{0}"><title>{0}</title>{1}</svg>'


class ShareCell(NamedTuple):
    """The scale of a table of shares.

    Attributes:
        top: share at the right end.
    """

    top: float

    def axis(self) -> Markup:
        """Draw the labels of the scale; they stand above the cells."""
        text = Markup('<text x="{:.2f}%" y="12" text-anchor="{}">{}</text>')
        ends = [(0.0, "start"), (0.5, "middle"), (1.0, "end")]
        marks = [text.format(100 * part, anchor, share(part * self.top, 1)) for part, anchor in ends]
        return Markup('<svg class="axis" width="100%" height="16" aria-hidden="true">{}</svg>').format(
            Markup("").join(marks)
        )

    def draw(self, name: str, own: Interval, base: float | None) -> Markup:
        """Draw a share as a bar, its range as a pale one, and the base mixture's share as a line."""
        bar = Markup(
            '<rect class="range" x="{:.2f}%" y="3" width="{:.2f}%" height="16"/>'
            '<rect class="kept" x="0" y="7" width="{:.2f}%" height="8"/>'
        ).format(self._percent(own.low), self._percent(own.high - own.low), self._percent(own.value))
        words = f"{name}: {share(own.value, 1)}, 90% range {share(own.low, 1)} to {share(own.high, 1)}"
        if base is not None:
            line = Markup('<line class="bound" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="22"/>')
            bar += line.format(self._percent(base))
            words += f", base mixture {share(base, 1)}"
        return Markup(_CELL).format(visible(words), bar)

    def _percent(self, value: float) -> float:
        return min(100.0, max(0.0, 100 * value / self.top))


class EffectCell(NamedTuple):
    """The scale of a forest plot, in the cells of its table.

    Attributes:
        reach: change at the right end, and below 0 at the left one.
    """

    reach: float

    @classmethod
    def of(cls, changes: Sequence[Interval]) -> EffectCell:
        """Return a scale for these; what an interval has beyond four times the largest change is cut off."""
        largest = max((abs(own.value) for own in changes), default=0.0)
        widest = max((max(abs(own.low), abs(own.high)) for own in changes), default=0.0)
        return cls(min(widest, 4 * largest) * 1.05 or 0.01)

    def axis(self) -> Markup:
        """Draw the labels of the scale; they stand above the cells."""
        text = Markup('<text x="{}%" y="12" text-anchor="{}">{}</text>')
        ends = ((0, "start", -self.reach), (50, "middle", 0.0), (100, "end", self.reach))
        marks = [text.format(place, anchor, signed(value)) for place, anchor, value in ends]
        return Markup('<svg class="axis" width="100%" height="16" aria-hidden="true">{}</svg>').format(
            Markup("").join(marks)
        )

    def draw(self, name: str, change: Interval, words: str) -> Markup:
        """Draw a change as a point with its interval, and the line of no change."""
        kind = {"better": "kept", "worse": "dropped"}.get(words, "unsure")
        marks = Markup(
            '<line class="base" x1="50%" x2="50%" y1="0" y2="22"/>'
            '<line class="span {0}" x1="{1:.2f}%" x2="{2:.2f}%" y1="11" y2="11"/>'
            '<circle class="{0}" cx="{3:.2f}%" cy="11" r="4.5"/>'
        ).format(kind, self._percent(change.low), self._percent(change.high), self._percent(change.value))
        label = f"{name}: {signed(change.value)}, {signed(change.low)} to {signed(change.high)}, {words}"
        return Markup(_CELL).format(visible(label), marks)

    def _percent(self, value: float) -> float:
        return min(100.0, max(0.0, 50 + 50 * value / self.reach))


def correlation_style(value: float | None) -> Markup:
    """Return the style of a cell: blue where more of a category goes with fewer bits per byte, orange with more."""
    if value is None or not math.isfinite(value):
        return Markup("")
    colour = "less" if value < 0 else "more"
    return Markup("background: rgb(var(--{}) / {:.0f}%)").format(colour, 100 * _MOST_STRENGTH * min(1.0, abs(value)))
