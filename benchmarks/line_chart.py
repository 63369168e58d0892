"""Small line charts as SVG, for the documents of a benchmark: panels side by side, logarithmic sizes along the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from curation.charts import compact

_WIDTH, _HEIGHT = 380, 336
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 360, 44, 236
# Told apart by brightness, too, and seen on white.
_COLOURS = ("#1f5fa8", "#c8551b", "#4a4a4a")
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.axis{stroke:#888}.grid{stroke:#ddd}"
    "polyline{fill:none;stroke-width:2}.guide{stroke-dasharray:5 4}"
)


@dataclass(frozen=True)
class Line:
    """A named line; a guide is dashed and has no points."""

    name: str
    values: Sequence[float]
    guide: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: what is drawn, with its unit.
        sizes: along the axis, positive.
        lines: values for each of the sizes.
        logarithmic: whether the values' axis is logarithmic; otherwise it begins at 0.
    """

    title: str
    sizes: Sequence[float]
    lines: Sequence[Line]
    logarithmic: bool = False


def write_chart(path: Path, panels: Sequence[Panel], unit: str) -> None:
    """Write panels side by side.

    Args:
        path: the SVG file.
        panels: the charts.
        unit: of the sizes.
    """
    body = Markup("").join(
        Markup('<g transform="translate({} 0)">{}</g>').format(number * _WIDTH, _panel(panel, unit))
        for number, panel in enumerate(panels)
    )
    label = "; ".join(panel.title for panel in panels)
    whole = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
        'aria-label="{2}"><style>{3}</style><rect width="100%" height="100%" fill="#fff"/>{4}</svg>\n'
    ).format(_WIDTH * len(panels), _HEIGHT, label, Markup(_STYLE), body)
    path.write_text(str(whole), encoding="utf-8")


def _panel(panel: Panel, unit: str) -> Markup:
    values = [value for line in panel.lines for value in line.values]
    ticks = _decades(values) if panel.logarithmic else _even(max(values))
    parts = [Markup('<text class="title" x="{}" y="20">{}</text>').format(_LEFT, panel.title)]
    for tick in ticks:
        y = _y(tick, ticks, panel.logarithmic)
        parts.append(
            Markup(
                '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
                '<text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
            ).format(_LEFT, _RIGHT, y, _LEFT - 6, y + 4, compact(tick))
        )
    for size in panel.sizes:
        parts.append(
            Markup(
                '<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
                '<text x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
            ).format(_x(size, panel.sizes), _BOTTOM, _BOTTOM + 5, _BOTTOM + 19, compact(size))
        )
    parts.append(
        Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(_LEFT, _RIGHT, _BOTTOM)
        + Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format((_LEFT + _RIGHT) / 2, _BOTTOM + 37, unit)
    )
    parts += [_line(panel, number, ticks) for number in range(len(panel.lines))]
    return Markup("").join(parts)


def _line(panel: Panel, number: int, ticks: Sequence[float]) -> Markup:
    line, colour = panel.lines[number], _COLOURS[number % len(_COLOURS)]
    points = [
        (_x(size, panel.sizes), _y(value, ticks, panel.logarithmic))
        for size, value in zip(panel.sizes, line.values, strict=True)
    ]
    kind = "guide" if line.guide else "line"
    drawn = Markup('<polyline class="{}" stroke="{}" points="{}"/>').format(
        kind, colour, " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    )
    dots = [] if line.guide else [Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}"/>').format(x, y, colour)
                                  for x, y in points]  # fmt: skip
    y = _BOTTOM + 55 + number * 17
    legend = Markup(
        '<polyline class="{0}" stroke="{1}" points="{2},{3} {4},{3}"/><text x="{5}" y="{6}">{7}</text>'
    ).format(kind, colour, _LEFT + 8, y, _LEFT + 32, _LEFT + 38, y + 4, line.name)
    return Markup("").join([drawn, *dots, legend])


def _x(size: float, sizes: Sequence[float]) -> float:
    span = math.log(max(sizes) / min(sizes)) or 1.0
    return _LEFT + 16 + (_RIGHT - _LEFT - 32) * math.log(size / min(sizes)) / span


def _y(value: float, ticks: Sequence[float], logarithmic: bool) -> float:
    low, high = min(ticks), max(ticks)
    if logarithmic:
        place = math.log(value / low) / math.log(high / low)
    else:
        place = value / high
    return _BOTTOM - (_BOTTOM - _TOP) * place


def _decades(values: Sequence[float]) -> list[float]:
    """Return powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _even(highest: float) -> list[float]:
    """Return even steps from 0 to above the highest value."""
    step = 10 ** math.floor(math.log10(highest / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * 4 >= highest)
    return [step * number for number in range(math.ceil(highest / step) + 1)]
