"""A trial: what it varies, and how it ended."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from configs.load import StrictModel
from mixing.mixture.amounts import Exact

# By stage, the share of each category.
Shares = dict[str, dict[str, Exact]]
# `finished` is what the analysis uses; all others are rows with their causes.
Status = Literal["finished", "stopped", "diverged", "out_of_memory", "killed", "timed_out", "failed", "infeasible"]
# What would happen again, were the trial started again.
FINAL: frozenset[Status] = frozenset({"finished", "stopped", "diverged"})


class Point(StrictModel):
    """What a trial varies; None is as in the base mixture.

    Attributes:
        shares: of the categories of the stages that vary: all categories of a stage, so that they sum to 1.
        learning_rate: peak of the first stage.
        stage_split: of the run's tokens.
        max_epochs: over all stages.
        variant: of the corpora.
        seed: of the order of documents and of new weights.
    """

    shares: Shares = {}
    learning_rate: float | None = None
    stage_split: tuple[Exact, ...] | None = None
    max_epochs: Exact | None = None
    variant: str | None = None
    seed: int = 1

    def mixture_key(self) -> str:
        """Return what is the same for the same mixture with another seed."""
        return _digest(self.model_dump(mode="json", exclude={"seed"}))


class Trial(StrictModel):
    """A run of the sweep.

    Attributes:
        id: of its content: mixture and run; the name of its run and of its folders.
        number: in the sweep, from 0; 0 is the base mixture.
        kind: `base`, `design`, `scaling` (the same mixture on the other proxy) or `confirmation` (the recommended one).
        point: what it varies.
        of: number of the trial with the same point, of a `scaling` trial.
    """

    id: str
    number: int
    kind: Literal["base", "design", "scaling", "confirmation"]
    point: Point
    of: int | None = None


class Outcome(StrictModel):
    """How a trial ended.

    Attributes:
        trial: its id.
        status: what became of it.
        cause: in words; empty for a trial that finished.
        attempts: how often it was started.
        seconds: that the attempts took, together.
        tokens: that it was trained on.
        first: bits per byte by language before the first step.
        last: at the last evaluation; the end of the trial where it finished.
        versions: of the libraries that it ran with.
    """

    trial: str
    status: Status
    cause: str = ""
    attempts: Annotated[int, Field(ge=0)] = 1
    seconds: Annotated[float, Field(ge=0)] = 0.0
    tokens: Annotated[int, Field(ge=0)] = 0
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    versions: dict[str, str] = {}


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
