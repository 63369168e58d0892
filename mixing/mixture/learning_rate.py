"""The plan of a stage's learning rate, counted in tokens of the stage: what a trainer follows."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.load import StrictModel
from mixing.mixture.amounts import Tokens

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LearningRateConfig(StrictModel):
    """Warm-up from `start` to `peak`, then `constant`, or a decay to `final` at the end of the stage.

    Attributes:
        schedule: `constant`; `cosine` (half a period) or `linear` after the warm-up; `warmup_stable_decay`,
            at the peak until `decay_tokens` before the end, then linear.
        peak: highest learning rate.
        final: the rate at the end of the stage; of `constant` there is none.
        warmup_tokens: how long the warm-up is; None is none.
        start: the rate that the warm-up begins at.
        decay_tokens: how long the decay of `warmup_stable_decay` is.
    """

    schedule: Literal["constant", "cosine", "linear", "warmup_stable_decay"]
    peak: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    final: Rate | None = None
    warmup_tokens: Tokens | None = None
    start: Rate = 0.0
    decay_tokens: Tokens | None = None

    @model_validator(mode="after")
    def _has_what_its_schedule_takes(self) -> Self:
        decays, stable = self.schedule != "constant", self.schedule == "warmup_stable_decay"
        for name, value, needed in (("final", self.final, decays), ("decay_tokens", self.decay_tokens, stable)):
            if needed != (value is not None):
                raise ValueError(f"the schedule {self.schedule} {'needs' if needed else 'has no'} {name}")
        if self.start > self.peak or (self.final or 0) > self.peak:
            raise ValueError(f"start and final are not above the peak, {self.peak:g}")
        if self.start and self.warmup_tokens is None:
            raise ValueError("start is where the warm-up begins: it needs warmup_tokens")
        return self

    @property
    def least_tokens(self) -> int:
        """Tokens that a stage needs for the warm-up and the decay."""
        return (self.warmup_tokens or 0) + (self.decay_tokens or 0)

    def rate(self, done: int, stage_tokens: int) -> float:
        """Return the learning rate after `done` of the stage's tokens."""
        warmup = self.warmup_tokens or 0
        if done < warmup:
            return self.start + (self.peak - self.start) * done / warmup
        begin = warmup if self.decay_tokens is None else stage_tokens - self.decay_tokens
        if self.final is None or done <= begin:
            return self.peak
        progress = min(1.0, (done - begin) / (stage_tokens - begin))
        left = (1 + math.cos(math.pi * progress)) / 2 if self.schedule == "cosine" else 1 - progress
        return self.final + (self.peak - self.final) * left
