"""What the report of a run is drawn from: its steps and evaluations, held in memory while the run goes on.

A log of many steps is read once, when a run goes on; what is kept of a step are a few numbers.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

# Of each step: the numbers that are drawn, or of which the report tells the median.
COLUMNS = ("tokens", "loss", "learning_rate", "tokens_per_s", "mfu", "data_wait", "memory_gib")
Curve = list[tuple[float, float]]
Row = Mapping[str, object]


class History:
    """The steps of a run: NaN is a number that a step does not have.

    Attributes:
        columns: of `COLUMNS`, a number for each step.
        borders: tokens of the run where a stage begins, of all but the first.
        skipped: steps that left the weights as they were.
        last: row of the last step.
    """

    def __init__(self) -> None:
        """Begin without steps."""
        self.columns: dict[str, array[float]] = {name: array("d") for name in COLUMNS}
        self.borders: list[float] = []
        self.skipped = 0
        self.last: Row = {}

    def take(self, row: Row) -> None:
        """Take the row of the next step."""
        if self.last and row.get("stage") != self.last.get("stage"):
            self.borders.append(_number(self.last.get("tokens")))
        for name, column in self.columns.items():
            column.append(_number(row.get(name)))
        self.skipped += bool(row.get("skipped"))
        self.last = row

    def recent_losses(self, count: int) -> list[float]:
        """Return the finite losses among those of the last steps."""
        return [loss for loss in self.columns["loss"][-count:] if math.isfinite(loss)]


class HeldOutHistory:
    """The evaluations of a run.

    Attributes:
        curves: bits per byte by kind and language: (tokens of the run, bits per byte) of each evaluation.
        count: of evaluations.
        first_step: of the first one; None where there was none.
        last: row of the last one.
    """

    def __init__(self) -> None:
        """Begin without evaluations."""
        self.curves: dict[tuple[str, str], Curve] = {}
        self.count = 0
        self.first_step: object = None
        self.last: Row = {}

    def take(self, row: Row) -> None:
        """Take the row of the next evaluation."""
        if not self.count:
            self.first_step = row.get("step")
        self.count += 1
        self.last = row
        tokens, changes = row.get("tokens"), row.get("changes")
        for change in changes if isinstance(changes, list) else []:
            point = (_number(tokens), _number(change.get("now")))
            if all(map(math.isfinite, point)):
                self.curves.setdefault((str(change.get("kind")), str(change.get("language"))), []).append(point)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
