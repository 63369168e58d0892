"""Sweeps whose outcomes are computed from the mixture, so that the best one is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from configs.load import validate_config
from mixing.mixture.mixture import MixtureConfig
from pretrain.run.run_config import RunConfig
from pretrain.sweep.analysis.features import Array
from pretrain.sweep.analysis.observations import Observations, observe
from pretrain.sweep.analysis.space import Space
from pretrain.sweep.design.design import base_point, design_points, features_of
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Outcome, Point, Trial

# Bits per byte by language before the first step.
START = {"el": 2.0, "fi": 2.0, "en": 1.0}
BASE = {"Greek": "0.3", "Finnish": "0.3", "English": "0.4"}
Losses = Callable[[Point], Mapping[str, float]]


def sweep_config(**changes: object) -> SweepConfig:
    data: dict[str, object] = {
        "name": "known",
        "mixture": "m.yaml",
        "tokens": "tokens",
        "run": "r.yaml",
        "design": {"shares": {"method": "dirichlet", "trials": 24}},
        "analysis": {"bootstrap": 20, "candidates": 500, "folds": 3, "repeats": 1},
    }
    return validate_config(data | changes, SweepConfig, "sweep.yaml")


def mixture_config(shares: Mapping[str, str] = BASE, stages: Sequence[str] = ("only",)) -> MixtureConfig:
    categories = {name: {"share": share, "sources": [name]} for name, share in shares.items()}
    rate = {"schedule": "constant", "peak": 1e-3}
    written = [{"name": name, "tokens": 1000, "learning_rate": rate, "categories": categories} for name in stages]
    return validate_config({"name": "m", "sequence_length": 32, "stages": written}, MixtureConfig, "m.yaml")


def run_config(forgetting: Sequence[str] = ("en",)) -> RunConfig:
    data = {
        "name": "r",
        "mixture": "m",
        "model": {"path": "model"},
        "batch": {"tokens": 64, "micro_tokens": 64},
        "evaluation": {"forgetting": list(forgetting)},
    }
    return validate_config(data, RunConfig, "run.yaml")


def share(point: Point, name: str) -> float:
    return float(next(iter(point.shares.values()))[name])


def bowl(greek: float, finnish: float, english: float = 0.1) -> Losses:
    """Losses whose weighted mean is lowest at these shares of Greek and Finnish; English forgets where it is short."""

    def losses(point: Point) -> Mapping[str, float]:
        return {
            "el": 2.0 * (0.8 + (share(point, "Greek") - greek) ** 2),
            "fi": 2.0 * (0.8 + (share(point, "Finnish") - finnish) ** 2),
            "en": 1.0 + english * (0.4 - share(point, "English")),
        }

    return losses


class Sweep(NamedTuple):
    """A sweep and how its trials ended."""

    config: SweepConfig
    mixture: MixtureConfig
    run: RunConfig
    trials: tuple[Trial, ...]
    outcomes: tuple[Outcome, ...]

    def observations(self) -> Observations:
        features = features_of(self.config, self.mixture)
        return observe(self.trials, self.outcomes, features, self.config.objective, self.run)

    def space(self) -> Space:
        seen = self.observations()
        base = base_point(self.config, self.mixture)
        return Space.of(seen.features, base, seen.points, self.config.constraints.shares)


def known_sweep(
    losses: Losses,
    config: SweepConfig | None = None,
    mixture: MixtureConfig | None = None,
    noise: float = 0.0,
    seed: int = 0,
    forgetting: Sequence[str] = ("en",),
) -> Sweep:
    config, mixture = config or sweep_config(), mixture or mixture_config()
    trials = [
        Trial(id=f"t{number:03}", number=number, kind="design" if number else "base", point=point)
        for number, point in enumerate(design_points(config, mixture))
    ]
    random = np.random.default_rng(seed)
    outcomes = [
        finished(trial, {name: value + noise * random.standard_normal() for name, value in losses(trial.point).items()})
        for trial in trials
    ]
    return Sweep(config, mixture, run_config(forgetting), tuple(trials), tuple(outcomes))


def finished(trial: Trial, last: Mapping[str, float]) -> Outcome:
    return Outcome(trial=trial.id, status="finished", tokens=1000, seconds=1, first=START, last=dict(last))


class _Polynomial(NamedTuple):
    weights: Array

    def predict(self, rows: Array) -> Array:
        return _terms(rows) @ self.weights


class LeastSquares:
    """All squares and products: what the bowls are made of, so that it is exact without noise."""

    name = "least_squares"

    def min_trials(self, width: int) -> int:
        return 3

    def fit(self, rows: Array, values: Array, seed: int) -> _Polynomial:
        weights = np.linalg.lstsq(_terms(rows), values, rcond=1e-10)[0]
        return _Polynomial(np.asarray(weights, dtype=np.float64))


def _terms(rows: Array) -> Array:
    products = [rows[:, one] * rows[:, other] for one in range(rows.shape[1]) for other in range(one + 1)]
    return np.column_stack([np.ones(len(rows)), rows, *products])
