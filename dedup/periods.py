"""Text that repeats the same few tokens on and on: its anchors are folded into one, so that it takes no memory.

In a row of equal tokens every window has an anchor of its own; a text of nothing but exclamation marks would have as
many anchors as characters.

Shape legend: N = anchors, R = runs of windows.
"""

from __future__ import annotations

import numpy as np

from dedup.repeats import AnchoredWindows, Runs, Texts
from dedup.winnow import Anchors

# Rows of fewer anchors stay as they are.
_MIN_ROW = 4


def folded(anchors: Anchors, width: int, texts: Texts) -> Anchors:
    """Return the anchors without those whose windows repeat, in turn, the windows of the anchor before them.

    The first anchor of such a row says `again`, how many windows follow its own windows and repeat them. The tokens
    are compared: nothing is folded by its hash alone.

    Args:
        anchors: of neighbouring windows, in the order of the text; `again` is 0.
        width: tokens of a window.
        texts: the tokens, by the same numbers as in `anchors`.
    """
    periods = anchors.high - anchors.low + 1
    follows = np.diff(anchors.tokens) == periods[1:]
    for column in (anchors.hashes, anchors.low, anchors.high):
        follows &= np.diff(column) == 0
    begins = np.flatnonzero(np.append(True, ~follows)) if len(periods) else np.zeros(0, dtype=np.int64)
    counts = np.diff(begins, append=len(periods))
    begins, counts = begins[counts >= _MIN_ROW], counts[counts >= _MIN_ROW]
    starts, steps = anchors.tokens[begins] - anchors.high[begins], periods[begins]
    proved = texts.equal(starts, starts + steps, (counts - 1) * steps + width - 1)
    again, kept = anchors.again.copy(), np.ones(len(periods), dtype=np.bool_)
    for begin, count, step in zip(
        begins[proved].tolist(), counts[proved].tolist(), steps[proved].tolist(), strict=True
    ):
        again[begin] = (count - 1) * step
        kept[begin + 1 : begin + count] = False
    return Anchors(anchors.hashes, anchors.tokens, anchors.low, anchors.high, again).at(kept)


def with_folded(runs: Runs, windows: AnchoredWindows) -> Runs:
    """Return the runs together with the windows that were folded: each is a copy of a window of its row's anchor.

    Copies of one of these windows stand a period apart, and overlap: all of them are returned as one run, as if the
    windows between them were copies, too. So `sources` is right for the first window of such a run only.

    Args:
        runs: what goes of `windows`.
        windows: all windows but the folded ones.
    """
    own = np.flatnonzero(windows.again)
    periods = windows.high[own] - windows.low[own] + 1
    rows = np.repeat(np.arange(len(own)), periods)
    begins = windows.tokens[own] - windows.high[own]
    starts = begins[rows] + np.arange(len(rows)) - (np.cumsum(periods) - periods)[rows]
    order = np.argsort(runs.targets)
    near = np.searchsorted(runs.targets[order], starts, side="right") - 1
    sources = starts.copy()
    if len(order):
        run = order[near]
        inside = (near >= 0) & (starts < runs.targets[run] + runs.windows[run])
        sources[inside] += (runs.sources - runs.targets)[run][inside]
    return Runs(
        np.append(runs.targets, starts + periods[rows]),
        np.append(runs.sources, sources),
        np.append(runs.windows, (windows.again[own] - periods + 1)[rows]),
    )
