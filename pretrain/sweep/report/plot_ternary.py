"""Mixtures of three categories as points of a triangle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from curation.charts import share
from pretrain.sweep.analysis.analysis_schema import Interval
from pretrain.sweep.analysis.features import Array, ShareBlock
from pretrain.sweep.report.plot_page import CARD, INK, SOFT, ObjectiveScale, Picture, drawn, short

# Corners, in the order of the categories: above, left, right.
_CORNERS = np.array([(0.5, math.sqrt(3) / 2), (0.0, 0.0), (1.0, 0.0)])
# Grid lines of a category begin at this corner's side: where its labels are, and how they are aligned.
_LABELS = ((2, "left", "center", (7, 0)), (0, "right", "bottom", (-5, 3)), (1, "right", "top", (2, -5)))
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
# A triangle that is smaller than this part of the whole one is drawn in its place.
_WHOLE = 0.7
_LEVELS = 12


class Mark(NamedTuple):
    """A mixture.

    Attributes:
        shares: 3, of the stage.
        objective: None where the trial has none.
        words: about it.
    """

    shares: Sequence[float]
    objective: float | None
    words: str


class Surface(NamedTuple):
    """What a response predicts.

    Attributes:
        shares: m x 3, of the stage.
        objective: m.
    """

    shares: Array
    objective: Array


class Ternary(NamedTuple):
    """What is drawn.

    Attributes:
        name: of the picture.
        block: whose categories are the corners; three.
        trials: all of them.
        base, best, recommended: None where there is none.
        ranges: of the recommended shares, by category.
        cloud: m x 3, recommended shares of samples of the trials.
        surface: predictions.
    """

    name: str
    block: ShareBlock
    trials: Sequence[Mark]
    base: Mark | None = None
    best: Mark | None = None
    recommended: Mark | None = None
    ranges: Mapping[str, Interval] = {}
    cloud: Array | None = None
    surface: Surface | None = None


class _Triangle(NamedTuple):
    """The part of all mixtures that is drawn: in each category at least `low`, and `size` to be shared out.

    Both are parts of what the three categories have together.
    """

    total: float
    low: Array
    size: float

    def places(self, shares: object) -> Array:
        parts = np.asarray(shares, dtype=np.float64).reshape(-1, 3) / self.total
        placed: Array = (parts - self.low) / self.size @ _CORNERS
        return placed


@drawn
def draw_ternary(what: Ternary) -> Markup:
    """Return the picture."""
    picture = Picture(what.name, 560, 560)
    axes = picture.figure.subplots()
    axes.set_aspect("equal")
    axes.set_axis_off()
    triangle = _triangle(what)
    outline = _grid(axes, triangle, what.block.categories)
    values = [own.objective for own in what.trials if own.objective is not None]
    scale = ObjectiveScale.of(values) if values else None
    if scale is not None and what.surface is not None:
        _draw_surface(axes, triangle, what.surface, scale, outline)
    if what.cloud is not None and len(what.cloud):
        x, y = triangle.places(what.cloud[:300]).T
        axes.plot(x, y, "o", color=INK, markersize=3.5, alpha=0.35, markeredgewidth=0, label="samples of the trials")
    _draw_ranges(axes, triangle, what)
    _draw_trials(axes, triangle, what.trials, scale, picture)
    for mark, shape, size, name in (
        (what.best, "D", 11, "best trial"),
        (what.base, "s", 12, "base mixture"),
        (what.recommended, "*", 17, "recommended"),
    ):
        if mark is not None:
            ((x, y),) = triangle.places(mark.shares)
            fill, edge = (INK, CARD) if mark is what.recommended else ("none", INK)
            gid = picture.words(f"{name}: {mark.words}") if mark is what.recommended else None
            axes.plot([x], [y], shape, markersize=size, color=fill, markeredgecolor=edge, markeredgewidth=1.6, gid=gid,
                      label=name, zorder=9)  # fmt: skip
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(-0.04, 1.0), handletextpad=0.4)
    if scale is not None:
        scale.draw_bar(picture.figure, axes)
    return picture.svg(f"Triangle of the shares of {', '.join(what.block.categories)}: {len(values)} mixtures")


def _triangle(what: Ternary) -> _Triangle:
    """Return the whole triangle, or the part that all mixtures are in where that is small."""
    total = what.block.total
    marks = [own for own in (*what.trials, what.base, what.best, what.recommended) if own is not None]
    rows = [np.asarray([own.shares for own in marks], dtype=np.float64).reshape(-1, 3)]
    if what.ranges:
        rows.append(corners_within(what.block, what.ranges) * total)
    if what.cloud is not None:
        rows.append(what.cloud.reshape(-1, 3))
    parts = np.concatenate(rows) / total
    whole = _Triangle(total, np.zeros(3), 1.0)
    if not len(parts):
        return whole
    low = np.maximum(0.0, np.floor((parts.min(axis=0) - 0.01) * 20) / 20)
    size = 1 - float(low.sum())
    return _Triangle(total, low, size) if 0.04 < size < _WHOLE else whole


def _grid(axes: Axes, triangle: _Triangle, categories: Sequence[str]) -> Polygon:
    """Draw the triangle with lines of equal shares; return its outline."""
    outline = Polygon(_CORNERS, closed=True, facecolor="none", edgecolor=SOFT, linewidth=1)
    axes.add_patch(outline)
    span = triangle.size * triangle.total
    step = next((own for own in _STEPS if span / own <= 6), _STEPS[-1])
    for place, (side, across, along, offset) in enumerate(_LABELS):
        lowest = float(triangle.low[place]) * triangle.total
        others = [own for own in range(3) if own != place]
        for number in range(math.ceil(lowest / step - 1e-9), math.floor((lowest + span) / step + 1e-9) + 1):
            part = (number * step - lowest) / span
            if not 1e-6 < part < 1 - 1e-6:
                continue
            ends = [part * _CORNERS[place] + (1 - part) * _CORNERS[other] for other in others]
            axes.plot(*zip(*ends, strict=True), color=SOFT, linewidth=0.6, alpha=0.35, zorder=0)
            begin = ends[others.index(side)]
            axes.annotate(share(number * step, 1), begin, offset, textcoords="offset points", ha=across, va=along,
                          color=SOFT, fontsize=10)  # fmt: skip
        # The name stands at its corner, with the share that it has there.
        top = f"{share(lowest + span, 1)} {short(categories[place], 26)}"
        x, y = _CORNERS[place]
        shift = (0, 9) if place == 0 else (0, -26)
        axes.annotate(top, (x, y), shift, textcoords="offset points", ha=("center", "left", "right")[place],
                      va="bottom" if place == 0 else "top", fontweight="bold",
                      annotation_clip=False)  # fmt: skip
    axes.set_xlim(-0.04, 1.06)
    axes.set_ylim(-0.09, 0.94)
    return outline


def _draw_surface(axes: Axes, triangle: _Triangle, surface: Surface, scale: ObjectiveScale, outline: Polygon) -> None:
    x, y = triangle.places(surface.shares).T
    spread = np.linalg.matrix_rank(np.column_stack([x - x.mean(), y - y.mean()]), tol=1e-6)
    if len(x) < 6 or spread < 2:
        return  # no surface, but a line or a point
    levels = np.linspace(scale.low, scale.high, _LEVELS)
    colours = [scale.colour(level) for level in levels[:-1]]
    drawn_as = axes.tricontourf(
        x, y, surface.objective, levels=levels, colors=colours, extend="both", alpha=0.3, zorder=-1
    )
    drawn_as.set_clip_path(outline)


def _draw_ranges(axes: Axes, triangle: _Triangle, what: Ternary) -> None:
    corners = corners_within(what.block, what.ranges)
    if what.ranges and len(corners) > 2:
        place = triangle.places(corners * what.block.total)
        axes.add_patch(Polygon(place, closed=True, facecolor=INK, alpha=0.12, linewidth=0, zorder=1))
        axes.add_patch(
            Polygon(
                place,
                closed=True,
                facecolor="none",
                edgecolor=INK,
                linewidth=1,
                linestyle=(0, (4, 3)),
                zorder=2,
                label="90% ranges",
            )
        )


def corners_within(block: ShareBlock, ranges: Mapping[str, Interval]) -> Array:
    """Return the corners of all mixtures whose shares lie in their ranges, as parts of the block: m x 3."""
    corners = [*np.eye(3)]
    for place, category in enumerate(block.categories):
        if category not in ranges:
            continue
        own = ranges[category]
        for sign, bound in ((1.0, own.low / block.total), (-1.0, own.high / block.total)):
            corners = _cut(corners, place, sign, bound)
    return np.array(corners).reshape(-1, 3)


def _cut(corners: Sequence[Array], place: int, sign: float, bound: float) -> list[Array]:
    """Return the part of a polygon with `sign * (share - bound) >= 0` (I. Sutherland and G. Hodgman, 1974)."""
    kept: list[Array] = []
    for own, following in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        here, there = sign * (own[place] - bound), sign * (following[place] - bound)
        if here >= -1e-12:
            kept.append(own)
        if here * there < 0 and min(abs(here), abs(there)) > 1e-12:
            kept.append(own + (following - own) * here / (here - there))
    return kept


def _draw_trials(
    axes: Axes, triangle: _Triangle, trials: Sequence[Mark], scale: ObjectiveScale | None, picture: Picture
) -> None:
    """Draw a point for each trial, the best ones last, on top."""
    without = [own for own in trials if own.objective is None]
    for own in without:
        ((x, y),) = triangle.places(own.shares)
        label = "not finished" if own is without[0] else None
        axes.plot([x], [y], "x", color=SOFT, markersize=6, gid=picture.words(own.words), label=label, zorder=3)
    finished = [(own.objective, own) for own in trials if own.objective is not None]
    for objective, own in sorted(finished, key=lambda pair: -pair[0]):
        ((x, y),) = triangle.places(own.shares)
        colour = SOFT if scale is None else scale.colour(objective)
        axes.plot([x], [y], "o", color=colour, markersize=8, markeredgecolor=CARD, markeredgewidth=0.8,
                  gid=picture.words(own.words), zorder=5)  # fmt: skip
