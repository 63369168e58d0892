"""What is done about steps that would do harm: losses that are no numbers, and losses that leap."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from pretrain.run.run_config import SpikeConfig


class DivergedError(RuntimeError):
    """Too many steps in a row gave no finite loss or gradient."""


class SpikeWatch:
    """Looks at the loss and the norm of the gradients of each step, before the weights change."""

    def __init__(self, config: SpikeConfig, losses: Iterable[float] = ()) -> None:
        """Begin, with the losses of the steps before."""
        self._config = config
        self._losses = deque((own for own in losses if math.isfinite(own)), maxlen=config.window)
        self._in_a_row = 0

    def may_step(self, loss: float, gradient_norm: float) -> bool:
        """Return whether the step may change the weights."""
        if math.isfinite(loss) and math.isfinite(gradient_norm):
            self._in_a_row = 0
            return True
        self._in_a_row += 1
        return not self._config.skip_not_finite

    def check(self) -> None:
        """Look at how many steps in a row were not finite, once the log has the last of them.

        Raises:
            DivergedError: they are too many.
        """
        if self._in_a_row >= self._config.max_not_finite:
            raise DivergedError(
                f"{self._in_a_row} steps in a row gave no finite loss or gradient: lower the learning rate, or look at "
                "the sources that `log.jsonl` names for these steps; started again, the run goes on at its last "
                "checkpoint"
            )

    def leap(self, loss: float) -> float | None:
        """Take the loss of a step; return how many times the usual one it is, where that is too many."""
        usual = median(self._losses) if len(self._losses) == self._losses.maxlen else None
        if math.isfinite(loss):
            self._losses.append(loss)
        limit = self._config.loss_factor
        if usual is None or limit is None or not math.isfinite(loss) or loss <= limit * usual:
            return None
        return loss / usual
