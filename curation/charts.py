"""What the report draws and how it writes numbers: inline SVG, coloured by the classes of the page's style sheet.

Everything that goes into the markup passes `Markup.format`, which escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

_BINS = 24
_CLIP = 0.99
_LARGEST = 1e15  # beyond, a float no longer tells neighbouring whole numbers apart
# Geometry of a histogram, in the units of its view box: labels of the bounds above, then a panel for each group.
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 360, 232, 56, 348
_PANEL_TOPS, _PANEL_HEIGHT = (48, 134), 58
_BOTTOM = _PANEL_TOPS[-1] + _PANEL_HEIGHT
_COMPACT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as text: whole numbers in full, others with `digits` significant digits."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    magnitude = math.floor(math.log10(abs(value)))
    if not -6 < magnitude < 15:
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{max(0, digits - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: float) -> str:
    """Return a number for an axis, where there is little room: 20k, 1.5M."""
    for factor, suffix in _COMPACT:
        if abs(value) >= factor:
            return f"{number(value / factor, 3)}{suffix}"
    return number(value)


def share(part: float, whole: float) -> str:
    """Return a part of a whole in per cent; a part that is there is never 0%, one that misses some never 100%."""
    if not whole > 0 or not math.isfinite(part):
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.01:
        return "<0.01%"
    if 99.95 <= percent < 100:
        return ">99.9%"
    return f"{percent:.2f}%" if 0 < percent < 1 else f"{percent:.1f}".removesuffix(".0") + "%"


def size(count: float) -> str:
    """Return a number of bytes in a unit that keeps it short."""
    power = min(4, int(math.log(count, 1024))) if count >= 1024 else 0
    return f"{number(count / 1024**power, 3)} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def duration(seconds: float) -> str:
    """Return a time as seconds, minutes and seconds, or hours and minutes."""
    if not 60 <= seconds < math.inf:
        return f"{number(seconds, 3)} s"
    minutes, hours = seconds / 60, seconds / 3600
    return (
        f"{int(hours):,} h {int(minutes % 60):02} min" if hours >= 1 else f"{int(minutes)} min {int(seconds % 60):02} s"
    )


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis for counts, so that 5 of 5,000,000 are still seen. It starts at 0.5: a count of 1 has a bar.

    Attributes:
        top: the count at the right end.
    """

    top: int

    def percent(self, count: int) -> float:
        """Return how far along the axis a count is, in per cent."""
        return 100 * math.log10(2 * count) / math.log10(2 * max(2, self.top)) if count > 0 else 0.0

    def ticks(self) -> list[int]:
        """Return the powers of ten on the axis, every second one when there are many."""
        decades = int(math.log10(max(2, self.top)))
        return [10**power for power in range(0, decades + 1, 1 if decades < 7 else 2)]

    def axis(self) -> Markup:
        """Draw the labels of the axis; they stand above the bars."""
        label = '<text x="{:.2f}%" y="12" text-anchor="{}">{}</text>'
        marks = [
            Markup(label).format(self.percent(tick), "end" if self.percent(tick) > 90 else "middle", compact(tick))
            for tick in self.ticks()
        ]
        return Markup('<svg class="axis" width="100%" height="16" aria-hidden="true">{}</svg>').format(
            Markup("").join(marks)
        )

    def bar(self, count: int, label: str, group: str = "kept") -> Markup:
        """Draw one bar, `kept` or `dropped`, with the lines of the axis behind it."""
        line = Markup('<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>')
        lines = Markup("").join(line.format(self.percent(tick)) for tick in self.ticks())
        return Markup(
            '<svg class="bar" width="100%" height="26" role="img" aria-label="{0}"><title>{0}</title>{1}'
            '<rect class="{3}" x="0" y="4" width="{2:.2f}%" height="18" rx="2"/></svg>'
        ).format(label, lines, self.percent(count), group)


@dataclass(frozen=True, slots=True)
class _Axis:
    """The horizontal axis of a histogram: values from `low` to `high`."""

    low: float
    high: float

    def x(self, value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Three to six round values."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = min(first + 9, math.floor(self.high / step + 1e-9))
        # Rounded, because 3 * 0.1 is not 0.3; "+ 0.0" turns -0.0 into 0.0.
        return [float(f"{index * step:.12g}") + 0.0 for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A drawing, or None where there is nothing to draw, and sentences about it.

    Attributes:
        svg: the drawing.
        notes: what the reader has to know: what is left out, what is all the same.
    """

    svg: Markup | None
    notes: tuple[str, ...]


def histogram(name: str, unit: str, kept: Sequence[float], dropped: Sequence[float], minimum: float | None,
              maximum: float | None, things: str = "documents") -> Histogram:  # fmt: skip
    """Draw how a measure is distributed over kept and dropped documents, with the bounds of its rule.

    The axis ends at the 99th percentile of all values, or at a bound that is near. What cannot be drawn is left out,
    and said to be. `things` names what was measured, in the plural.
    """
    groups = [[value for value in group if abs(value) < _LARGEST] for group in (kept, dropped)]
    values = sorted(groups[0] + groups[1])
    notes = []
    if missing := len(kept) + len(dropped) - len(values):
        notes.append(
            f"{missing:,} {'value is' if missing == 1 else 'values are'} not a number, or beyond 1e15, and left out."
        )
    if not values:
        return Histogram(None, (*notes, f"There are no values to draw; the funnel shows where the {things} ended."))
    bounds = [bound for bound in (minimum, maximum) if bound is not None and math.isfinite(bound)]
    if _same(values[0], values[-1]):
        allowed = " ".join(f"The {kind} allowed is {number(bound)}." for kind, bound in
                           (("least", minimum), ("most", maximum)) if bound is not None)  # fmt: skip
        return Histogram(None, (*notes, f"{_all(len(values))} {number(values[0])}. {allowed}".strip()))
    axis, bin_count = _axis(values, bounds)
    if beyond := [value for value in values if value > axis.high]:
        end = number(math.floor(axis.high) if axis.high > _BINS else axis.high, 3)
        rest = "1 larger value," if len(beyond) == 1 else f"{len(beyond):,} larger values, up to"
        notes.append(f"Clipped at {end} (99th percentile or above). Not drawn: {rest} {number(beyond[-1])}.")
    parts = [_ticks(axis, unit), *(_bound(axis, *bound) for bound in (("min", minimum, 12), ("max", maximum, 25)))]
    for group, title, top in zip(groups, ("kept", "dropped"), _PANEL_TOPS, strict=True):
        parts.append(_panel(axis, bin_count, group, title, top, things))
    label = f"{name}: " + "; ".join(
        [f"{title} {_described(group, things)}" for title, group in zip(("kept", "dropped"), groups, strict=True)]
        + [f"{side} {number(bound)}" for side, bound in (("min", minimum), ("max", maximum)) if bound is not None]
    )
    svg = Markup('<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>')
    return Histogram(svg.format(_WIDTH, _HEIGHT, label, label, Markup("").join(parts)), tuple(notes))


def _axis(values: Sequence[float], bounds: Sequence[float]) -> tuple[_Axis, int]:
    """Return the axis for sorted values, not all equal, and the number of bins."""
    low, high = values[0], values[max(0, math.ceil(_CLIP * len(values)) - 1)]
    if _same(low, high):  # nearly all values are the same: what is of interest is the few others, up to the bound
        high = max((bound for bound in bounds if bound > low and not _same(low, bound)), default=values[-1])
    span = high - low
    near = [bound for bound in bounds if low - span <= bound <= high + span]
    if values[-1] <= high + span / 4:  # no outliers
        near.append(values[-1])
    if 0 < low <= span / 10:
        near.append(0.0)
    low, high = min([low, *near]), max([high, *near])
    if high - low > _BINS and all(value == int(value) for value in values):
        # Bins of whole numbers hold equally many of them; otherwise the bars would alternate.
        width = math.ceil((high - low + 1) / _BINS)
        bin_count = math.ceil((high - low + 1) / width)
        return _Axis(low - 0.5, low - 0.5 + width * bin_count), bin_count
    return _Axis(low, high), _BINS


def _panel(axis: _Axis, bin_count: int, values: Sequence[float], title: str, top: int, things: str) -> Markup:
    """Draw the bars of one group; their height is the share of the group."""
    base = top + _PANEL_HEIGHT
    counts = [0] * bin_count
    for value in values:
        if value <= axis.high:
            counts[min(bin_count - 1, int((value - axis.low) / (axis.high - axis.low) * bin_count))] += 1
    highest, width = max(counts), (_RIGHT - _LEFT) / bin_count
    bars = [
        # At least one unit high: a bin that holds a document is seen.
        Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            title, _LEFT + position * width + 0.5, base - height, width - 1, height
        )
        for position, count in enumerate(counts)
        if count and (height := max(1.0, (_PANEL_HEIGHT - 4) * count / highest))
    ]
    scale = Markup(
        '<text class="tick" x="{0}" y="{1}" text-anchor="end">{2}</text>'
        '<text class="tick" x="{0}" y="{3}" text-anchor="end">0</text>'
    ).format(_LEFT - 6, top + 8, share(highest, len(values)), base) if highest else Markup("")  # fmt: skip
    return Markup(
        '<text class="panel" x="{0}" y="{1}">{2}</text><line class="base" x1="{0}" x2="{3}" y1="{4}" y2="{4}"/>{5}{6}'
    ).format(_LEFT, top - 6, f"{title}: {_described(values, things)}", _RIGHT, base, Markup("").join(bars), scale)


def _ticks(axis: _Axis, unit: str) -> Markup:
    tick = Markup(
        '<line class="base" x1="{0:.2f}" x2="{0:.2f}" y1="{1}" y2="{2}"/>'
        '<text class="tick" x="{0:.2f}" y="{3}" text-anchor="{4}">{5}</text>'
    )
    marks = [
        tick.format(x, _BOTTOM, _BOTTOM + 4, _BOTTOM + 15, "end" if x > _RIGHT - 8 else "middle", compact(value))
        for value in axis.ticks()
        for x in (axis.x(value),)
    ]
    names = Markup(
        '<text class="unit" x="{}" y="{}" text-anchor="middle">{}</text>'
        '<text class="unit" transform="rotate(-90)" x="{}" y="12" text-anchor="middle">% of the group</text>'
    ).format((_LEFT + _RIGHT) / 2, _BOTTOM + 33, unit, -(_PANEL_TOPS[0] + _BOTTOM) / 2)
    return Markup("").join([*marks, names])


def _bound(axis: _Axis, side: str, bound: float | None, y: int) -> Markup:
    """Draw a bound as a labelled line, or an arrow at the edge where it is far off the axis."""
    if bound is None or not math.isfinite(bound):
        return Markup("")
    x = min(max(axis.x(bound), _LEFT), _RIGHT)
    left_half = x < (_LEFT + _RIGHT) / 2
    text = f"{side} {number(bound)}"
    label = Markup('<text class="bound" x="{:.2f}" y="{}" text-anchor="{}">{}</text>')
    if not axis.low <= bound <= axis.high:
        return label.format(x, y, "start" if left_half else "end", f"← {text}" if left_half else f"{text} →")
    line = Markup('<line class="bound" x1="{0:.2f}" x2="{0:.2f}" y1="{1}" y2="{2}"/>').format(x, y - 9, _BOTTOM)
    return line + label.format(x + (4 if left_half else -4), y, "start" if left_half else "end", text)


def _described(values: Sequence[float], things: str) -> str:
    count = f"1 {things.removesuffix('s')}" if len(values) == 1 else f"{len(values):,} {things}"
    return f"{count}, median {number(median(values), 3)}" if values else f"no {things}"


def _same(low: float, high: float) -> bool:
    """Whether two values are too near to make an axis of."""
    return high - low < 1e-12 * max(1.0, abs(low), abs(high))


def _all(count: int) -> str:
    return "The only value is" if count == 1 else f"All {count:,} values are"
