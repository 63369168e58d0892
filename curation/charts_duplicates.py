"""What the report draws of deduplication: the S-curve of the bands, and how much of each band of pairs was found.

Inline SVG, as in `charts.py`.
"""

from __future__ import annotations

from markupsafe import Markup

from curation.charts import number, share
from dedup.s_curve import half, probability

# Geometry of the S-curve, in the units of its view box.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 240, 56, 448, 22, 192
_POINTS = 100
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def s_curve_chart(bands: int, rows: int, minimum: float) -> Markup:
    """Draw how likely two documents are compared, by their similarity, with the similarity of a duplicate marked."""
    grid = [
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2:.2f}" y2="{2:.2f}"/>'
            '<text class="tick" x="{3}" y="{4:.2f}" text-anchor="end">{5}</text>'
            '<text class="tick" x="{6:.2f}" y="{7}" text-anchor="middle">{8}</text>'
        ).format(_LEFT, _RIGHT, _y(tick), _LEFT - 6, _y(tick) + 4, share(tick, 1), _x(tick), _BOTTOM + 15, number(tick))
        for tick in _TICKS
    ]
    points = " ".join(
        f"{_x(place / _POINTS):.2f},{_y(probability(place / _POINTS, bands, rows)):.2f}" for place in range(_POINTS + 1)
    )
    at_minimum, middle = probability(minimum, bands, rows), half(bands, rows)
    label = (
        f"Probability that two documents are compared, by similarity, {number(bands)} bands of {number(rows)} rows: "
        f"one half at {number(middle, 3)}, {share(at_minimum, 1)} at the threshold {number(minimum)}"
    )
    # The label stands where the curve is low, left of the line.
    left_half = _x(minimum) < (_LEFT + _RIGHT) / 2
    threshold = Markup(
        '<line class="bound" x1="{0:.2f}" x2="{0:.2f}" y1="{1}" y2="{2}"/>'
        '<circle class="point" cx="{0:.2f}" cy="{3:.2f}" r="3.5"/>'
        '<text class="bound" x="{4:.2f}" y="12" text-anchor="{5}">{6}</text>'
    ).format(
        _x(minimum), _TOP - 6, _BOTTOM, _y(at_minimum), _x(minimum) + (4 if left_half else -4),
        "start" if left_half else "end", f"duplicates from {number(minimum)}: {share(at_minimum, 1)} are compared",
    )  # fmt: skip
    names = Markup(
        '<text class="unit" x="{}" y="{}" text-anchor="middle">Jaccard similarity</text>'
        '<text class="unit" transform="rotate(-90)" x="{}" y="12" text-anchor="middle">pairs compared</text>'
    ).format((_LEFT + _RIGHT) / 2, _BOTTOM + 34, -(_TOP + _BOTTOM) / 2)
    svg = Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}'
        '<polyline class="curve" points="{}"/>{}{}</svg>'
    )
    return svg.format(_WIDTH, _HEIGHT, label, label, Markup("").join(grid), points, threshold, names)


def _x(similarity: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * similarity


def _y(chance: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * chance


def found_bar(found: int, missed: int, expected: float) -> Markup:
    """Draw a bar for the found and one for the missed of some pairs, with a line where the S-curve expects the border.

    Args:
        found: number of found pairs.
        missed: number of missed pairs; both together are at least one.
        expected: expected number of found pairs.
    """
    whole = found + missed
    border, line = 100 * found / whole, 100 * expected / whole
    label = f"{number(found)} found, {number(missed)} missed, {number(expected, 3)} expected to be found"
    return Markup(
        '<svg class="bar" width="100%" height="26" role="img" aria-label="{0}"><title>{0}</title>'
        '<rect class="kept" x="0" y="4" width="{1:.2f}%" height="18"/>'
        '<rect class="dropped" x="{1:.2f}%" y="4" width="{2:.2f}%" height="18"/>'
        '<line class="bound" x1="{3:.2f}%" x2="{3:.2f}%" y1="0" y2="26"/></svg>'
    ).format(label, border, 100 - border, line)
