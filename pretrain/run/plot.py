"""The curves of a run as one picture: loss, learning rate, held-out bits per byte, speed. Drawn by Matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, object]]
# Points of a curve: more are not seen.
_MOST_POINTS = 2000
_COLOURS = ("#1f5fa8", "#c8551b", "#2e7d32", "#7b3fa0", "#8a6d00", "#00838f", "#ad1457", "#4a4a4a")
_STYLES = ("-", "--", ":", "-.")


def draw_run(steps: Rows, evaluations: Rows) -> str:
    """Return the picture as SVG; the same rows give the same bytes.

    Args:
        steps: rows of `log.jsonl`.
        evaluations: rows of `evaluations.jsonl`.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    loss, held_out, rate, speed = figure.subplots(2, 2).flat
    _draw_steps(loss, steps, "loss", "training loss, nats per token", smooth=True)
    _draw_held_out(held_out, evaluations)
    _draw_steps(rate, steps, "learning_rate", "learning rate")
    _draw_steps(speed, steps, "tokens_per_s", "tokens a second", smooth=True)
    speed.set_ylim(bottom=0)
    for axes in (loss, held_out, rate, speed):
        axes.set_xlabel("tokens of the run")
        axes.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        for border in _borders(steps):
            axes.axvline(border, color="#888", linewidth=0.8, linestyle=(0, (4, 3)))
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "run", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _draw_steps(axes: Axes, rows: Rows, name: str, title: str, smooth: bool = False) -> None:
    points = [
        (float(tokens), float(value))
        for row in rows
        if isinstance(tokens := row.get("tokens"), int) and isinstance(value := row.get(name), int | float)
    ]
    axes.set_title(title, fontsize=11, loc="left")
    if not points:
        return
    every = max(1, len(points) // _MOST_POINTS)
    x, y = zip(*points[::every], strict=True)
    axes.plot(x, y, color=_COLOURS[0], linewidth=0.8 if smooth else 1.5, alpha=0.4 if smooth else 1.0)
    if smooth:
        width = max(1, len(y) // 40)
        middle = [median(y[max(0, place - width) : place + width + 1]) for place in range(len(y))]
        axes.plot(x, middle, color=_COLOURS[0], linewidth=1.8)


def _draw_held_out(axes: Axes, rows: Rows) -> None:
    """Draw a line for each language: those that may be forgotten dashed."""
    axes.set_title("held-out bits per byte (dashed: may be forgotten)", fontsize=11, loc="left")
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        tokens, changes = row.get("tokens"), row.get("changes")
        for change in changes if isinstance(changes, list) else []:
            now = change.get("now")
            if isinstance(tokens, int) and isinstance(now, int | float):
                curves.setdefault((change["kind"], change["language"]), []).append((float(tokens), float(now)))
    for number, ((kind, language), points) in enumerate(sorted(curves.items())):
        x, y = zip(*points, strict=True)
        style = "--" if kind == "forgetting" else _STYLES[2 * (number // len(_COLOURS) % 2)]
        axes.plot(x, y, style, color=_COLOURS[number % len(_COLOURS)], marker="o", markersize=3, label=language)
    if curves:
        axes.legend(fontsize=8, ncols=2, frameon=False)


def _borders(rows: Rows) -> list[float]:
    """Return where a stage begins, of all but the first."""
    return [
        float(before["tokens"])  # type: ignore[arg-type]
        for before, after in pairwise(rows)
        if before.get("stage") != after.get("stage")
    ]
