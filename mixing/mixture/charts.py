"""What the report of a mixture draws: bars of tokens, and the plan of the learning rate. Inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from curation.charts import compact
from curation.report import visible
from mixing.mixture.manifest_schema import ManifestStage

# Geometry of the learning rate, in the units of its view box.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1120, 260, 70, 1100, 40, 215
_POINTS = 200


@dataclass(frozen=True, slots=True)
class TokenScale:
    """A logarithmic axis for tokens, from the power of ten below the smallest number that is not 0.

    Attributes:
        low: power of ten at the left end.
        top: the number at the right end.
    """

    low: int
    top: int

    @classmethod
    def of(cls, numbers: Iterable[int]) -> TokenScale:
        """Return the axis that all these numbers can be seen on."""
        seen = sorted({own for own in numbers if own > 0} or {1})
        return cls(max(0, len(str(seen[0])) - 2), seen[-1])

    def percent(self, tokens: float) -> float:
        """Return how far along the axis a number is, in per cent."""
        if tokens <= 0:
            return 0.0
        span = max(1.0, math.log10(self.top) - self.low)
        return min(100.0, max(0.0, 100 * (math.log10(tokens) - self.low) / span))

    def ticks(self) -> list[int]:
        """Return the powers of ten on the axis, every second one when there are many."""
        last = len(str(self.top)) - 1
        return [10**power for power in range(self.low, last + 1, 1 if last - self.low < 7 else 2)]

    def axis(self) -> Markup:
        """Draw the labels of the axis; they stand above the bars."""
        label = Markup('<text x="{:.2f}%" y="12" text-anchor="{}">{}</text>')
        anchors = [(tick, self.percent(tick)) for tick in self.ticks()]
        marks = [
            label.format(place, "start" if place < 5 else "end" if place > 95 else "middle", compact(tick))
            for tick, place in anchors
        ]
        svg = Markup('<svg class="axis" width="100%" height="16" aria-hidden="true">{}</svg>')
        return svg.format(Markup("").join(marks))


def usage_bar(scale: TokenScale, available: int, used: int, label: str) -> Markup:
    """Draw available tokens as a pale bar, used ones as a dark bar before it, on a logarithmic axis."""
    line = Markup('<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>')
    lines = Markup("").join(line.format(scale.percent(tick)) for tick in scale.ticks())
    return Markup(
        '<svg class="bar" width="100%" height="24" role="img" aria-label="{0}"><title>{0}</title>{1}'
        '<rect class="available" x="0" y="3" width="{2:.2f}%" height="18" rx="2"/>'
        '<rect class="kept" x="0" y="7" width="{3:.2f}%" height="10" rx="2"/></svg>'
    ).format(visible(label), lines, scale.percent(available), scale.percent(used))


def share_bar(part: float, largest: float, label: str) -> Markup:
    """Draw a share as a bar; the largest one fills the width."""
    return Markup(
        '<svg class="bar" width="100%" height="22" role="img" aria-label="{0}"><title>{0}</title>'
        '<rect class="kept" x="0" y="3" width="{1:.2f}%" height="16" rx="2"/></svg>'
    ).format(visible(label), 100 * part / largest if largest else 0)


def learning_rate_chart(stages: Sequence[ManifestStage]) -> Markup:
    """Draw the learning rate over the tokens of all stages, on linear axes."""
    total, top = sum(stage.tokens for stage in stages), max(stage.learning_rate.peak for stage in stages)
    parts, before = [], 0
    for stage in stages:
        # The ends of warm-up and decay are corners of the curve: they are drawn whatever the grid of points.
        own = stage.learning_rate
        corners = [own.warmup_tokens or 0, stage.tokens - (own.decay_tokens or 0)]
        places = sorted({*(stage.tokens * step // _POINTS for step in range(_POINTS + 1)), *corners})
        points = " ".join(
            f"{_x(before + place, total):.2f},{_y(own.rate(place, stage.tokens), top):.2f}" for place in places
        )
        parts.append(Markup('<polyline class="curve" points="{}"/>').format(points))
        middle, edge = _x(before + stage.tokens / 2, total), _x(before, total)
        if before:
            parts.append(
                Markup('<line class="bound" x1="{0:.2f}" x2="{0:.2f}" y1="{1}" y2="{2}"/>').format(edge, _TOP, _BOTTOM)
            )
        if stage.tokens / total > 0.06:  # narrower stages have no room for a name; the table has it
            parts.append(
                Markup('<text class="panel" x="{:.2f}" y="{}" text-anchor="middle">{}</text>').format(
                    middle, _TOP - 22, visible(stage.name, 40)
                )
            )
            parts.append(
                Markup('<text x="{:.2f}" y="{}" text-anchor="middle">{} tokens</text>').format(
                    middle, _TOP - 8, compact(stage.tokens)
                )
            )
        before += stage.tokens
    label = "; ".join(
        f"{visible(own.name, 40)}: {own.learning_rate.schedule}, peak {own.learning_rate.peak:g}" for own in stages
    )
    return Markup(
        '<svg class="rate" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}{}</svg>'
    ).format(_WIDTH, _HEIGHT, label, label, _axes(total, top), Markup("").join(parts))


def _axes(total: int, top: float) -> Markup:
    marks = [Markup('<line class="base" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(_LEFT, _RIGHT, _BOTTOM)]
    for step in range(5):
        tokens, rate = total * step / 4, top * step / 4
        anchor = "end" if step == 4 else "middle"
        marks.append(
            Markup('<text x="{:.2f}" y="{}" text-anchor="{}">{}</text>').format(
                _x(tokens, total), _BOTTOM + 16, anchor, compact(tokens)
            )
        )
        marks.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y:.2f}" y2="{y:.2f}"/>'
                '<text x="{}" y="{:.2f}" text-anchor="end">{}</text>'
            ).format(_LEFT, _RIGHT, _LEFT - 6, _y(rate, top) + 4, f"{rate:.3g}" if rate else "0", y=_y(rate, top))
        )
    marks.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">tokens of the run</text>').format(
            (_LEFT + _RIGHT) / 2, _BOTTOM + 36
        )
    )
    marks.append(
        Markup('<text transform="rotate(-90)" x="{}" y="12" text-anchor="middle">learning rate</text>').format(
            -(_TOP + _BOTTOM) / 2
        )
    )
    return Markup("").join(marks)


def _x(tokens: float, total: int) -> float:
    return _LEFT + (_RIGHT - _LEFT) * tokens / total


def _y(rate: float, top: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * rate / top
