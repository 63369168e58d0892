"""Trials as lines over what varies and what came of it: parallel coordinates (A. Inselberg, 1985)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes

from pretrain.sweep.report.plot_page import CARD, INK, SOFT, ObjectiveScale, Picture, drawn, short

# More lines are not told apart.
MOST_LINES = 300
_STYLES = {"base": ("s", (0, (5, 3))), "best": ("D", (0, (1, 1.2))), "recommended": ("*", "-")}
_NAMES = {"base": "base mixture", "best": "best trial", "recommended": "recommended, as predicted"}


class Coordinate(NamedTuple):
    """One of the upright lines.

    Attributes:
        title: of it.
        words: how its numbers are written.
        block: of a share, what block it is of: those of one block stand together and have a common scale.
        group: name of the block, where there are several.
    """

    title: str
    words: Callable[[float], str]
    block: int | None = None
    group: str = ""


class Line(NamedTuple):
    """A mixture.

    Attributes:
        values: at each coordinate; None where it has none.
        objective: that it is coloured by.
        words: about it.
    """

    values: Sequence[float | None]
    objective: float
    words: str


@drawn
def draw_parallel(coordinates: Sequence[Coordinate], lines: Sequence[Line], marked: dict[str, Line]) -> Markup:
    """Return the picture.

    Args:
        coordinates: in their order.
        lines: of the trials; `MOST_LINES` of them are drawn, evenly by their rank.
        marked: `base`, `best` and `recommended`, which are drawn on top.
    """
    width = max(820, 50 * len(coordinates) + 120)
    longest = max(len(short(own.title, 22)) for own in coordinates)
    picture = Picture("parallel", width, 410 + 3.4 * longest)
    axes = picture.figure.subplots()
    axes.set_axis_off()
    ends = _ends(coordinates, [*lines, *marked.values()])
    _draw_coordinates(axes, coordinates, ends, width)
    scale = ObjectiveScale.of([own.objective for own in lines]) if lines else None
    if scale is not None:
        ranked = sorted(lines, key=lambda own: -own.objective)
        step = max(1.0, len(ranked) / MOST_LINES)
        # From the end, so that the best is one of them.
        for own in [ranked[-1 - int(place * step)] for place in range(min(len(ranked), MOST_LINES))][::-1]:
            x, y = _path(own, ends)
            alpha = 0.75 if len(lines) <= 100 else 0.5
            axes.plot(x, y, color=scale.colour(own.objective), linewidth=1.4, alpha=alpha, gid=picture.words(own.words))
        scale.draw_bar(picture.figure, axes)
    for name, own in marked.items():
        x, y = _path(own, ends)
        shape, dashes = _STYLES[name]
        axes.plot(x, y, color=CARD, linewidth=4.5, alpha=0.8, zorder=7)
        axes.plot(x, y, color=INK, linewidth=2, linestyle=dashes, marker=shape, markeredgecolor=CARD,
                  markersize=13 if shape == "*" else 7, gid=picture.words(own.words), label=_NAMES[name],
                  zorder=8)  # fmt: skip
    if marked:
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, -0.07), ncols=3, handlelength=3.4)
    return picture.svg(f"Parallel coordinates of {len(lines)} trials over {len(coordinates)} axes")


def _ends(coordinates: Sequence[Coordinate], lines: Sequence[Line]) -> list[tuple[float, float]]:
    """Return the numbers at both ends of each coordinate; shares of one block have the same."""
    columns = [[value for line in lines if (value := line.values[at]) is not None] for at in range(len(coordinates))]
    found = []
    for own, column in zip(coordinates, columns, strict=True):
        if own.block is None:
            low, high = min(column, default=0.0), max(column, default=0.0)
        else:
            together = [values for one, values in zip(coordinates, columns, strict=True) if one.block == own.block]
            low, high = 0.0, max((value for values in together for value in values), default=0.0)
        found.append((low, high))
    return found


def _path(line: Line, ends: Sequence[tuple[float, float]]) -> tuple[list[int], list[float]]:
    places = [
        (at, (value - low) / (high - low) if high > low else 0.5)
        for at, (value, (low, high)) in enumerate(zip(line.values, ends, strict=True))
        if value is not None
    ]
    return [at for at, _ in places], [height for _, height in places]


def _draw_coordinates(
    axes: Axes, coordinates: Sequence[Coordinate], ends: Sequence[tuple[float, float]], width: float
) -> None:
    steep = 7.5 * max(len(short(own.title, 22)) for own in coordinates) > width / len(coordinates)
    for at, (own, (low, high)) in enumerate(zip(coordinates, ends, strict=True)):
        axes.plot([at, at], [0, 1], color=SOFT, linewidth=1, zorder=6)
        height, turn, align = (1.09, 32, "left") if steep else (1.075, 0, "center")
        axes.annotate(short(own.title, 22), (at, height), rotation=turn, ha=align, va="bottom", rotation_mode="anchor",
                      fontweight="bold", annotation_clip=False)  # fmt: skip
        for end, value, shift, side in ((0.0, low, (0, -6), "top"), (1.0, high, (0, 5), "bottom")):
            text = short(own.words(value), 9 if steep else 14)
            axes.annotate(text, (at, end), shift, textcoords="offset points", color=SOFT, fontsize=10, ha="center",
                          va=side, annotation_clip=False)  # fmt: skip
    groups: dict[str, list[int]] = {}
    for at, own in enumerate(coordinates):
        if own.group:
            groups.setdefault(own.group, []).append(at)
    for name, places in groups.items():
        axes.plot([places[0] - 0.25, places[-1] + 0.25], [-0.12, -0.12], color=SOFT, linewidth=1.2)
        room = 8 * len(places)
        axes.annotate(short(name, room), ((places[0] + places[-1]) / 2, -0.135), ha="center", va="top", color=SOFT,
                      annotation_clip=False)  # fmt: skip
    axes.set_xlim(-0.45, len(coordinates) - 0.55)
    axes.set_ylim(-0.2 if groups else -0.07, 1.08)
