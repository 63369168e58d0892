"""The front of trials between adapting and forgetting."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto_front(adaptation: Sequence[float], forgetting: Sequence[float | None]) -> tuple[bool, ...]:
    """Return which trials are on the front: no other is better in one of the two and at least as good in the other.

    Less is better in both; trials that are equal in both are on it together. Where trials have no
    forgetting, as there is nothing to forget, adaptation alone counts.
    """
    if any(value is None for value in forgetting):
        forgetting = [0.0] * len(adaptation)
    points = [(own, 0.0 if lost is None else lost) for own, lost in zip(adaptation, forgetting, strict=True)]
    best: dict[float, float] = {}
    for own, lost in points:
        best[own] = min(lost, best.get(own, math.inf))
    # From the best adaptation on, the front goes where forgetting becomes less than it was before.
    front: set[tuple[float, float]] = set()
    least = math.inf
    for own in sorted(best):
        if best[own] < least:
            least = best[own]
            front.add((own, least))
    return tuple(point in front for point in points)
