"""Sweeps that nobody ran, for what shows them: losses of a known law, with an analysis that could have been made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pretrain.sweep.analysis.analysis_schema import (
    Analysis,
    Confirmation,
    Effect,
    FitQuality,
    Interval,
    LeftOut,
    Measured,
    Predicted,
    Recommendation,
    Scaling,
)
from pretrain.sweep.analysis.features import Features, ShareBlock
from pretrain.sweep.report.report_sweep import render_sweep
from pretrain.sweep.sweep_config import DesignConfig, ShareAxis, SweepConfig
from pretrain.sweep.trial import Outcome, Point, Status, Trial

LANGUAGES = tuple(
    "el en de fr es it pt nl pl cs sk sl hr sr bg ro hu fi et lv lt sv da nb tr uk ru ar he zh ja".split()  # noqa: SIM905
)
_STATUSES: tuple[tuple[Status, str], ...] = (
    ("diverged", "the loss is not a number from step 212 on"),
    ("out_of_memory", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.31 GiB"),
    ("killed", "the process ended with signal 9 (SIGKILL), after 2 attempts"),
    ("stopped", "after 40% of the tokens its objective was 6.1% above the base mixture's, more than 5%"),
)


class FakeSweep(NamedTuple):
    """What a report is made of."""

    config: SweepConfig
    trials: list[Trial]
    outcomes: list[Outcome]
    analysis: Analysis
    features: Features
    commands: tuple[str, ...] = ()

    def render(self) -> str:
        """Return its report."""
        return render_sweep(*self)


class Law(NamedTuple):
    """Bits per byte by language: floor + exp(height - pull . shares) + what else varies + noise."""

    floors: np.ndarray
    heights: np.ndarray
    pulls: np.ndarray

    def losses(self, vector: Sequence[float], shares: int) -> np.ndarray:
        """Return the losses of a vector, without noise."""
        rest = 0.004 * sum((value % 1 - 0.4) ** 2 for value in vector[shares:])
        exponent: np.ndarray = self.floors + np.exp(self.heights - self.pulls @ np.array(vector[:shares])) + rest
        return exponent


def fake_sweep(
    trials: int,
    blocks: Sequence[ShareBlock],
    languages: Sequence[str],
    *,
    rates: Sequence[float] = (),
    split: bool = False,
    epochs: bool = False,
    variants: Sequence[str] = (),
    forgetting: int = 1,
    fails: Callable[[int], bool] = lambda number: False,
    cause: str = "",
    advice: bool = True,
    scaling: int = 0,
    seed: int = 1,
) -> FakeSweep:
    """Return a sweep.

    Args:
        trials: of the design, the base one among them.
        blocks: of shares that vary.
        languages: that are measured; the last ones may be forgotten.
        rates: learning rates.
        split: whether the stages' shares of the tokens vary.
        epochs: whether the cap on epochs varies.
        variants: of the corpora; the first is the base mixture's.
        forgetting: languages that may be forgotten.
        fails: which trials do not finish.
        cause: of all that do not; else several.
        advice: whether there is a recommendation.
        scaling: trials of the scaling check.
        seed: of all that is drawn.
    """
    random = np.random.default_rng(seed)
    features = Features(tuple(blocks), bool(rates), int(split), epochs, tuple(variants[1:]))
    points = [_point(features, random, number, rates, variants) for number in range(trials)]
    width = sum(len(own.categories) for own in blocks)
    law = Law(
        random.uniform(0.6, 1.1, len(languages)),
        random.uniform(-1.0, -0.4, len(languages)),
        random.gamma(0.5, 1.2, (len(languages), max(1, width)))[:, :width] / max(1, len(blocks)),
    )
    forgotten = tuple(languages[len(languages) - forgetting :]) if forgetting else ()
    first = {}
    for name, value in zip(languages, law.losses(features.vector(points[0]), width), strict=True):
        first[name] = float(value) * (0.99 if name in forgotten else 1.12)
    all_trials, outcomes, measured, left_out = [], [], [], []
    weights = {name: 1 / (len(languages) - forgetting) for name in languages if name not in forgotten}
    goals = _Goals(first, weights, forgotten)
    for number, point in enumerate(points):
        trial = Trial(id=f"t{number:010x}", number=number, kind="design" if number else "base", point=point)
        all_trials.append(trial)
        if fails(number):
            ended: tuple[Status, str] = ("failed", cause) if cause else _STATUSES[number % len(_STATUSES)]
            status, why = ended
            outcomes.append(_outcome(trial, status=status, cause=why, attempts=2, seconds=31.5, tokens=400_000))
            left_out.append(LeftOut(trial=trial.id, number=number, status=status, cause=why))
            continue
        noisy = law.losses(features.vector(point), width) + random.normal(0, 0.002, len(languages))
        last = {name: float(value) for name, value in zip(languages, noisy, strict=True)}
        outcomes.append(
            _outcome(trial, seconds=60 + number, tokens=2_000_000, first=first, last=last, versions={"torch": "2.13.0"})
        )
        measured.append(goals.measured(trial, last))
    front = [own.model_copy(update={"front": not any(_beats(other, own) for other in measured)}) for own in measured]
    analysis = Analysis(
        objective="the mean change of the bits per byte of " + ", ".join(weights) + " against the start of each trial",
        compare_with="start",
        weights=weights,
        forgetting=forgotten,
        measured=tuple(front),
        left_out=tuple(left_out),
        notes=() if len(front) > 4 else (f"{len(front)} finished trials are too few for any response",),
    )
    fake = FakeSweep(_config(features, rates, variants), all_trials, outcomes, analysis, features)
    if advice:
        fake = _advised(fake, law, goals, width, random)
    if scaling:
        fake = _scaled(fake, scaling, random)
    return fake._replace(analysis=fake.analysis.model_copy(update={"effects": _effects(variants, weights, random)}))


class _Goals(NamedTuple):
    first: dict[str, float]
    weights: dict[str, float]
    forgotten: tuple[str, ...]

    def objective(self, last: dict[str, float]) -> float:
        return sum(weight * (last[name] / self.first[name] - 1) for name, weight in self.weights.items())

    def forgetting(self, last: dict[str, float]) -> float | None:
        return max((last[name] / self.first[name] - 1 for name in self.forgotten), default=None)

    def measured(self, trial: Trial, last: dict[str, float]) -> Measured:
        rise = self.forgetting(last)
        return Measured(
            trial=trial.id, number=trial.number, adaptation=self.objective(last), forgetting=rise, front=False
        )


def _beats(one: Measured, other: Measured) -> bool:
    ours, theirs = ((own.adaptation, own.forgetting or 0.0) for own in (one, other))
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def _outcome(trial: Trial, **given: object) -> Outcome:
    return Outcome.model_validate({"trial": trial.id, "status": "finished", **given})


def _fractions(shares: np.ndarray) -> list[Fraction]:
    parts = [Fraction(int(own), 1000) for own in np.floor(shares * 1000)]
    return [*parts[:-1], Fraction(round(float(shares.sum()) * 1000), 1000) - sum(parts[:-1])]


def _point(
    features: Features, random: np.random.Generator, number: int, rates: Sequence[float], variants: Sequence[str]
) -> Point:
    shares: dict[str, dict[str, Fraction]] = {}
    for block in features.blocks:
        count = len(block.categories)
        base = np.full(count, 1 / count)
        drawn = random.dirichlet(base * count * random.uniform(0.8, 3)) if number else base
        named = dict(zip(block.categories, _fractions(drawn * block.total), strict=True))
        if block.total < 1:
            named["fixed"] = Fraction(round((1 - block.total) * 1000), 1000)
        shares |= dict.fromkeys(block.stages, named)
    part = Fraction(int(random.integers(5, 9)), 10)
    return Point(
        shares=shares,
        learning_rate=rates[number % len(rates)] if rates else None,
        stage_split=(part, 1 - part) if features.splits else None,
        max_epochs=Fraction((1, 2, 4)[number % 3]) if features.max_epochs else None,
        variant=variants[number % len(variants)] if variants else None,
    )


def _config(features: Features, rates: Sequence[float], variants: Sequence[str]) -> SweepConfig:
    shares = tuple(
        ShareAxis(method="dirichlet", trials=20, stages=own.stages, categories=own.categories)
        for own in features.blocks
    )
    corpora = {name: {"el_web": f"el_web_{place}"} if place else {} for place, name in enumerate(variants)}
    return SweepConfig(
        name="greek-4b",
        mixture=Path("configs/mixtures/greek.yaml"),
        tokens=Path("tokens"),
        run=Path("configs/runs/proxy.yaml"),
        budget=2_000_000,
        design=DesignConfig(shares=shares, learning_rate=tuple(rates), corpora=corpora),
    )


def _advised(fake: FakeSweep, law: Law, goals: _Goals, width: int, random: np.random.Generator) -> FakeSweep:
    """Add what a response would say: the best of many points, with ranges around it."""
    names = tuple(goals.first)
    rates = tuple(sorted({own.point.learning_rate for own in fake.trials if own.point.learning_rate}))
    variants = tuple(dict.fromkeys(own.point.variant for own in fake.trials if own.point.variant))
    many = [_point(fake.features, random, number, rates, variants) for number in range(1, 400)]

    def predicted(point: Point) -> dict[str, float]:
        return dict(zip(names, map(float, law.losses(fake.features.vector(point), width)), strict=True))

    allowed = [own for own in many if (goals.forgetting(predicted(own)) or 0.0) <= 0.02]
    best = min(allowed or many, key=lambda own: goals.objective(predicted(own)))
    losses = predicted(best)
    objective = goals.objective(losses)
    base = goals.objective(predicted(fake.trials[0].point))
    shares = {
        stage: {
            name: Interval(value=float(own), low=max(0.0, float(own) - 0.06), high=min(1.0, float(own) + 0.05))
            for name, own in named.items()
            if name != "fixed"
        }
        for stage, named in best.shares.items()
    }
    found = Recommendation(
        response="quadratic",
        point=best,
        shares=shares,
        objective=Interval(value=objective, low=objective - 0.006, high=objective + 0.005),
        base_objective=base,
        losses={name: Interval(value=own, low=own - 0.01, high=own + 0.012) for name, own in losses.items()},
        better_than_base=0.97,
        bounds=(f"{names[-1]} may rise by 2.00%, and is predicted to rise by 1.98%",),
        beyond=("web is at 62%, more than in any trial (58% at most)",) if fake.features.blocks else (),
    )
    fits = tuple(
        FitQuality(
            response=name, target=target, rank_correlation=order - 0.01 * place, error=0.004 / order, spread=0.012,
            trials=len(fake.analysis.measured),
        )
        for name, order in (("linear", 0.81), ("quadratic", 0.93), ("exponential", 0.9), ("boosted", 0.62))
        for place, target in enumerate(("objective", *names))
    )  # fmt: skip
    number = len(fake.trials)
    trial = Trial(id=f"t{number:010x}", number=number, kind="confirmation", point=best)
    last = {name: own + 0.003 for name, own in losses.items()}
    measured = goals.objective(last)
    confirmation = Confirmation(
        trial=trial.id, objective=measured, predicted=found.objective, losses=last, rank=1, trials=number
    )
    analysis = fake.analysis.model_copy(
        update={"fits": fits, "chosen": "quadratic", "recommendation": found, "confirmation": confirmation,
                "noise": 0.0011, "notes": ("sk is left out: only 22 of 24 finished trials have its held-out loss",)}
    )  # fmt: skip
    outcome = _outcome(trial, seconds=70, tokens=2_000_000, first=goals.first, last=last)
    commands = ("make cpt RUN=sweeps/greek-4b/recommended_run.yaml MIX=sweeps/greek-4b/mixtures/recommended",)
    spread = float(np.std([own.adaptation for own in analysis.measured]))
    measured_too = tuple(
        own.model_copy(update={"predicted": own.adaptation + float(random.normal(0, 0.25 * spread))})
        for own in analysis.measured
    )
    around: dict[str, Predicted] = {}
    samples: dict[str, tuple[tuple[float, ...], ...]] = {}
    for block in fake.features.blocks:
        middle = np.array([float(best.shares[block.stages[0]][name]) for name in block.categories])
        cloud = np.maximum(0.0, middle + random.normal(0, 0.02, (100, len(middle))))
        cloud *= block.total / cloud.sum(axis=1, keepdims=True)
        samples |= dict.fromkeys(block.stages, tuple(map(tuple, cloud.tolist())))
        if len(block.categories) == 3:
            grid = np.array([(a, b, 20 - a - b) for a in range(21) for b in range(21 - a)]) / 20 * block.total
            points = [best.model_copy(update={"shares": _same(best, block, row)}) for row in grid]
            drawn = Predicted(
                shares=tuple(map(tuple, grid.tolist())),
                objective=tuple(goals.objective(predicted(own)) for own in points),
            )
            around |= dict.fromkeys(block.stages, drawn)
    found = found.model_copy(update={"around": around, "samples": samples})
    analysis = analysis.model_copy(update={"measured": measured_too, "recommendation": found})
    return fake._replace(
        trials=[*fake.trials, trial], outcomes=[*fake.outcomes, outcome], analysis=analysis, commands=commands
    )


def _same(point: Point, block: ShareBlock, row: np.ndarray) -> dict[str, dict[str, Fraction]]:
    shares = {stage: dict(own) for stage, own in point.shares.items()}
    for stage in block.stages:
        shares[stage] |= dict(zip(block.categories, map(Fraction, row.tolist()), strict=True))
    return shares


def _scaled(fake: FakeSweep, count: int, random: np.random.Generator) -> FakeSweep:
    firsts = fake.analysis.measured[:count]
    spread = float(np.std([own.adaptation for own in firsts]))
    large = tuple(own.adaptation * 1.4 + random.normal(0, 0.25 * spread) for own in firsts)
    trials = list(fake.trials)
    for own in firsts:
        point = fake.trials[own.number].point
        number = len(trials)
        trials.append(Trial(id=f"t{number:010x}", number=number, kind="scaling", point=point, of=own.number))
    scaling = Scaling(
        trials=count,
        weights=(10_400_000, 60_200_000),
        rank_correlation=Interval(value=0.88, low=0.61, high=0.97),
        by_language=dict.fromkeys(fake.analysis.weights, 0.81),
        same_best=True,
        numbers=tuple(own.number for own in firsts),
        small=tuple(own.adaptation for own in firsts),
        large=large,
        words="The order of the mixtures holds on the other model: Spearman's rank correlation is 0.88.",
    )
    return fake._replace(trials=trials, analysis=fake.analysis.model_copy(update={"scaling": scaling}))


def _effects(variants: Sequence[str], weights: dict[str, float], random: np.random.Generator) -> tuple[Effect, ...]:
    found = []
    for name in variants[1:]:
        for target in ("objective", *weights):
            value, half = float(random.normal(-0.004, 0.006)), float(random.uniform(0.002, 0.012))
            change = Interval(value=value, low=value - half, high=value + half)
            words = "better" if change.high < 0 else "worse" if change.low > 0 else "no difference seen"
            found.append(Effect(variant=name, against=variants[0], target=target, pairs=8, change=change, words=words))
    return tuple(found)


HOSTILE = (
    "<script>alert(1)</script>",
    "$x$ $\\frac{",
    "مزيج عربي a\u202eb",
    "web " * 24,
    "&amp;\"'--><b>",
    "網頁中文",
    "_hidden",
)
WEB3 = ("web", "news", "parallel")
WEB7 = ("web", "news", "books", "encyclopedia", "parallel", "code", "instructions")


def _name_cases() -> dict[str, Callable[[], FakeSweep]]:
    one = ShareBlock(("main",), WEB3, 1.0)
    two = [ShareBlock(("warm up", "main"), WEB7, 1.0), ShareBlock(("anneal",), WEB7, 0.8)]
    hostile = [ShareBlock(("<b>one</b>",), HOSTILE[:3], 1.0), ShareBlock(("$two$",), HOSTILE, 1.0)]
    return {
        "small": lambda: fake_sweep(
            12, [one], LANGUAGES[:6], fails=lambda number: number in (5, 9), scaling=8, forgetting=2
        ),
        "large": lambda: fake_sweep(
            64, two, LANGUAGES[:31], split=True, epochs=True, rates=(1e-5, 2e-5, 3e-5), forgetting=3,
            variants=("plain", "no_repetition_filter", "no_perplexity_filter"), fails=lambda number: number % 9 == 7,
        ),
        "one": lambda: fake_sweep(12, [one], LANGUAGES[:4], fails=bool, advice=False),
        "none": lambda: fake_sweep(12, [one], LANGUAGES[:4], fails=lambda number: True, advice=False),
        "failed": lambda: fake_sweep(
            24, two, LANGUAGES[:9], fails=lambda number: True, cause="UserError: no tokens of el_web", advice=False
        ),
        "rates": lambda: fake_sweep(9, [], LANGUAGES[:4], rates=(1e-5, 2e-5, 3e-5), forgetting=0),
        "hostile": lambda: fake_sweep(
            16, hostile, (*LANGUAGES[:3], *HOSTILE), forgetting=2, variants=HOSTILE[:3], rates=(1e-5, 3e-5),
            fails=lambda number: number == 3, cause="<img src=x onerror=alert(1)> " + "\x1b[31m" + "y" * 4000,
        ),
    }  # fmt: skip


CASES = _name_cases()
