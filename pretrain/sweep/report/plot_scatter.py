"""Two numbers of each trial against each other: the front, predictions, two proxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes

from pretrain.sweep.report.plot_page import BETTER, CARD, INK, LINE, SOFT, Percent, Picture, drawn, worth_showing

# Points with their number beside them.
_MOST_NUMBERS = 14


class Dot(NamedTuple):
    """A trial.

    Attributes:
        x, y: where it is.
        number: of the trial.
        words: about it.
        front: whether no other is better in both.
    """

    x: float
    y: float
    number: int
    words: str
    front: bool = False


class Sign(NamedTuple):
    """A point that stands out.

    Attributes:
        x, y: where it is.
        kind: `base`, `recommended` or `confirmed`.
        words: about it.
        span: where most samples lie, along x.
    """

    x: float
    y: float
    kind: str
    words: str
    span: tuple[float, float] | None = None

    @property
    def across(self) -> tuple[float, ...]:
        """All that is drawn of it, along x."""
        return (self.x, *(self.span or ()))


_SIGNS = {
    "base": ("base mixture", "s", 11, "none", INK),
    "recommended": ("recommended, as predicted, with its 90% range", "*", 17, INK, CARD),
    "confirmed": ("recommended, as measured", "P", 12, INK, CARD),
}


@drawn
def draw_front(dots: Sequence[Dot], signs: Sequence[Sign], most: float | None) -> Markup:
    """Draw adaptation against forgetting, less of both is better.

    Args:
        dots: the finished trials.
        signs: other points.
        most: forgetting that is allowed.
    """
    picture = Picture("front", 820, 470)
    axes = _axes(picture, "adaptation: change of the objective's languages", "forgetting: largest rise of a language")
    front = sorted((own for own in dots if own.front), key=lambda own: (own.x, own.y))
    if len(front) > 1:
        axes.step([own.x for own in front], [own.y for own in front], where="post", color=BETTER, linewidth=1.6,
                  zorder=2, label="front: nothing is better in both")  # fmt: skip
    for own in dots:
        colour = BETTER if own.front else SOFT
        axes.plot([own.x], [own.y], "o", color=colour, markersize=8 if own.front else 6, markeredgecolor=CARD,
                  markeredgewidth=0.8, alpha=1 if own.front else 0.65, gid=picture.words(own.words),
                  zorder=4 if own.front else 3)  # fmt: skip
    _write_numbers(axes, front, (0, -15))
    _draw_signs(axes, signs, picture)
    low, high = _look_closer(axes, dots, signs)
    # A bound that is far off would press all points together: it is said in words, then.
    if most is not None and low - (high - low) <= most <= high + (high - low):
        axes.axhline(most, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1, label="bound on forgetting")
    if axes.get_legend_handles_labels()[1]:
        picture.figure.legend(loc="outside lower center", ncols=2)
    return picture.svg(f"Adaptation against forgetting of {len(dots)} trials, {len(front)} of them on the front")


@drawn
def draw_predicted(dots: Sequence[Dot], signs: Sequence[Sign]) -> Markup:
    """Draw measured (x) against predicted (y) objectives of trials that the response was not fitted on."""
    picture = Picture("predicted", 540, 480)
    axes = _axes(picture, "measured objective", "predicted objective")
    values = [value for own in dots for value in (own.x, own.y)] + [value for own in signs for value in (own.x, own.y)]
    pad = 0.05 * (max(values) - min(values)) or 0.01
    ends = (min(values) - pad, max(values) + pad)
    axes.plot(ends, ends, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), label="as measured", zorder=1)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    _draw_dots(axes, dots, picture)
    _draw_signs(axes, signs, picture)
    picture.figure.legend(loc="outside lower center", ncols=2)
    return picture.svg(f"Measured against predicted objective of {len(dots)} trials")


@drawn
def draw_scaling(dots: Sequence[Dot], names: tuple[str, str]) -> Markup:
    """Draw the objectives of the same mixtures on two proxies."""
    picture = Picture("scaling", 540, 450)
    axes = _axes(picture, f"objective, {names[0]}", f"objective, {names[1]}")
    _draw_dots(axes, dots, picture)
    if len(dots) <= _MOST_NUMBERS:
        _write_numbers(axes, dots, (7, 5))
    return picture.svg(f"Objectives of {len(dots)} mixtures on two proxies")


def _axes(picture: Picture, across: str, up: str) -> Axes:
    axes: Axes = picture.figure.subplots()
    axes.set_xlabel(f"{across} (less is better)")
    axes.set_ylabel(up)
    axes.xaxis.set_major_formatter(Percent())
    axes.yaxis.set_major_formatter(Percent())
    axes.locator_params(nbins=6)
    axes.margins(0.08, 0.1)
    axes.grid(color=LINE)
    return axes


def _look_closer(axes: Axes, dots: Sequence[Dot], signs: Sequence[Sign]) -> tuple[float, float]:
    """Leave a few trials that are much worse than all others out of sight, and say so; return the ends of y."""
    x = _span([own.x for own in dots], [own.x for own in dots if own.front], [v for own in signs for v in own.across])
    y = _span([own.y for own in dots], [own.y for own in dots if own.front], [own.y for own in signs])
    pads = [0.08 * (high - low) or 0.01 for low, high in (x, y)]
    axes.set_xlim(x[0] - pads[0], x[1] + pads[0])
    axes.set_ylim(y[0] - pads[1], y[1] + pads[1])
    beyond = sum(own.x > x[1] + pads[0] or own.y > y[1] + pads[1] for own in dots)
    if beyond:
        words = f"{beyond:,} trial{'s' * (beyond > 1)} beyond the edges ↗"
        axes.annotate(words, (1, 1), (-4, -4), "axes fraction", "offset points", ha="right", va="top", color=SOFT)
    return y


def _span(values: Sequence[float], front: Sequence[float], signs: Sequence[float]) -> tuple[float, float]:
    shown = [*signs, *front]
    return min([*values, *shown]), max([worth_showing(values), *shown])


def _draw_dots(axes: Axes, dots: Sequence[Dot], picture: Picture) -> None:
    for own in dots:
        axes.plot([own.x], [own.y], "o", color=BETTER, markersize=7, markeredgecolor=CARD, markeredgewidth=0.8,
                  gid=picture.words(own.words), zorder=3)  # fmt: skip


def _draw_signs(axes: Axes, signs: Sequence[Sign], picture: Picture) -> None:
    for own in signs:
        name, shape, size, fill, edge = _SIGNS[own.kind]
        if own.span is not None:
            axes.plot(own.span, (own.y, own.y), color=INK, linewidth=1.6, solid_capstyle="butt", zorder=7)
        axes.plot([own.x], [own.y], shape, color=fill, markeredgecolor=edge, markeredgewidth=1.4, markersize=size,
                  gid=picture.words(own.words), label=name, zorder=8)  # fmt: skip


def _write_numbers(axes: Axes, dots: Sequence[Dot], shift: tuple[int, int]) -> None:
    step = max(1, -(-len(dots) // _MOST_NUMBERS))
    for own in dots[::step]:
        axes.annotate(str(own.number), (own.x, own.y), shift, textcoords="offset points", ha="center", fontsize=10,
                      color=SOFT, zorder=6)  # fmt: skip
