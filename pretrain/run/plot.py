"""The curves of a run as one picture: loss, learning rate, held-out bits per byte, speed. Drawn by Matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from statistics import median

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curation.report import visible
from pretrain.run.history import HeldOutHistory, History

# Points of a curve: more are not seen.
_MOST_POINTS = 2000
# Languages with a colour and a name, which there is room for; others are thin grey lines.
_MOST_NAMES = 16
_COLOURS = ("#1f5fa8", "#c8551b", "#2e7d32", "#7b3fa0", "#8a6d00", "#00838f", "#ad1457", "#4a4a4a")
_STYLES = ("-", "--", ":", "-.")


def draw_run(steps: History, held_out: HeldOutHistory) -> str:
    """Return the picture as SVG; the same history gives the same bytes."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    loss, bits, rate, speed = figure.subplots(2, 2).flat
    _draw_steps(loss, steps, "loss", "training loss, nats per token", smooth=True)
    _draw_held_out(bits, held_out)
    _draw_steps(rate, steps, "learning_rate", "learning rate")
    _draw_steps(speed, steps, "tokens_per_s", "tokens a second", smooth=True)
    speed.set_ylim(bottom=0)
    for axes in (loss, bits, rate, speed):
        axes.set_xlabel("tokens of the run")
        axes.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        for border in steps.borders:
            if math.isfinite(border):
                axes.axvline(border, color="#888", linewidth=0.8, linestyle=(0, (4, 3)))
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "run", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _draw_steps(axes: Axes, steps: History, name: str, title: str, smooth: bool = False) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    points = _finite(steps.columns["tokens"], steps.columns[name])
    if not points:
        return
    x, y = zip(*points[:: max(1, len(points) // _MOST_POINTS)], strict=True)
    axes.plot(x, y, color=_COLOURS[0], linewidth=0.8 if smooth else 1.5, alpha=0.4 if smooth else 1.0)
    if smooth:
        width = max(1, len(y) // 40)
        middle = [median(y[max(0, place - width) : place + width + 1]) for place in range(len(y))]
        axes.plot(x, middle, color=_COLOURS[0], linewidth=1.8)


def _finite(tokens: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(tokens, values, strict=True) if math.isfinite(x) and math.isfinite(y)]


def _draw_held_out(axes: Axes, held_out: HeldOutHistory) -> None:
    """Draw a line for each language: those that may be forgotten dashed, and first, where there are too many."""
    axes.set_title("held-out bits per byte (dashed: may be forgotten)", fontsize=11, loc="left")
    curves = sorted(held_out.curves.items(), key=lambda curve: (curve[0][0] != "forgetting", curve[0][1]))
    for number, ((kind, language), points) in enumerate(curves):
        x, y = zip(*points, strict=True)
        style = "--" if kind == "forgetting" else _STYLES[2 * (number // len(_COLOURS) % 2)]
        if number < _MOST_NAMES:
            colour, name = _COLOURS[number % len(_COLOURS)], visible(language, 24)
            axes.plot(x, y, style, color=colour, marker="o", markersize=3, label=name)
        else:
            others = f"{len(curves) - _MOST_NAMES:,} others" if number == len(curves) - 1 else None
            axes.plot(x, y, "-", color="#bbb", linewidth=0.7, label=others, zorder=1)
    if curves:
        for text in axes.legend(fontsize=8, ncols=2, frameon=False).get_texts():
            text.set_parse_math(False)  # a name is no formula
