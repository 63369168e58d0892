"""Sweeps over a few made-up documents, whose trials are answered by a formula: the job around them is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from configs.load import load_config
from pretrain.run.run_config import RunConfig
from pretrain.sweep.launch.launch import Comparison, Progress
from pretrain.sweep.launch.trial_process import TrialSpec
from pretrain.sweep.sweep_config import Launch, SweepConfig
from pretrain.sweep.trial import Outcome, Status
from tests.mixing.mixture.token_folders import even_rows, write_source
from tests.pretrain.small_runs import SHAPE

SOURCES = ("el", "kk", "en")
# What the job does with an analysis is seen here, not how good it is.
QUICK = {"bootstrap": 20, "candidates": 200, "repeats": 1, "folds": 3}


def write_sweep(folder: Path, **changes: object) -> SweepConfig:
    """Write tokens, base mixture, run and sweep, and return the sweep; `changes` are of its first level."""
    if not (folder / "tokens").exists():
        for name in SOURCES:
            write_source(folder / "tokens", name, [even_rows(64, 4096)], [name], even_rows(4, 64))
    rate = {"schedule": "cosine", "peak": 1e-3, "final": 1e-4, "warmup_tokens": 400}
    categories = {name: {"share": "1/3", "sources": [name]} for name in SOURCES}
    stage = {"name": "only", "tokens": 4000, "learning_rate": rate, "categories": categories}
    mixture = {"name": "base", "sequence_length": 32, "max_epochs": 1, "stages": [stage]}
    run = {
        "name": "proxy",
        "mixture": "unused",
        "model": {"shape": SHAPE, "seed": 5},
        "batch": {"tokens": 128, "micro_tokens": 64},
        "compute": {"dtype": "fp32", "compile": False},
        "evaluation": {"forgetting": ["en"]},
    }
    sweep = {
        "name": "small",
        "mixture": str(folder / "mixture.yaml"),
        "tokens": str(folder / "tokens"),
        "run": str(folder / "run.yaml"),
        "budget": 800,
        "design": {"shares": {"method": "dirichlet", "trials": 12}},
        "constraints": {"max_forgetting": None},
        "analysis": QUICK,
    }
    for name, own in (("mixture", mixture), ("run", run), ("sweep", sweep | changes)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    return load_config(folder / "sweep.yaml", SweepConfig)


class FormulaTrials:
    """Stands in for `run_trials`: bits per byte fall with the share of a language, and a status may be told.

    Attributes:
        ran: trials, in their order.
        statuses: of trials, by their place in that order; others finish.
    """

    def __init__(self, statuses: dict[int, Status] | None = None) -> None:
        self.ran: list[str] = []
        self.statuses = statuses or {}

    def __call__(
        self,
        specs: Sequence[TrialSpec],
        launch: Launch,
        on_done: Callable[[Outcome], None],
        comparison: Comparison | None = None,
        progress: Progress | None = None,
    ) -> None:
        for spec in specs:
            status = self.statuses.get(len(self.ran), "finished")
            self.ran.append(spec.trial)
            on_done(self.outcome(spec, status))

    def outcome(self, spec: TrialSpec, status: Status) -> Outcome:
        run = load_config(spec.folder / "run.yaml", RunConfig)
        shares = yaml.safe_load((spec.folder / "mixture.yaml").read_text())["stages"][0]["categories"]
        wide = run.model.shape is not None and run.model.shape.hidden_size > 32
        bits = {name: (1.5 if wide else 2.0) - as_number(own["share"]) ** 0.5 for name, own in shares.items()}
        cause = "" if status == "finished" else f"made to be {status}"
        return Outcome(
            trial=spec.trial,
            status=status,
            cause=cause,
            seconds=1,
            tokens=800,
            first=dict.fromkeys(bits, 8.0),
            last=bits,
        )


def as_number(share: str) -> float:
    """Return a share as a file has it."""
    above, _, below = share.partition("/")
    return float(above) / float(below or 1)
