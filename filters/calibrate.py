"""Thresholds of a language, fitted to the measured distribution of its documents, or of a pair, to that of its pairs.

Four methods. `percentile` is CulturaX's (Nguyen et al. 2024, section 2.2): the p-th percentile where bad documents have
low values, the (100 - p)-th where they have high ones. The others are those that FineWeb2 compared (Penedo et al. 2025,
section on filtering thresholds): `tail` removes the same share of every language; `quantile` puts a threshold at the
quantile at which the English one lies among English documents; `sigma` puts it k standard deviations from the mean,
where k is given or is the English threshold's own distance.

Shape legend: N = documents of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.load import StrictModel
from filters.rules import DOCUMENTS, Bounds, BoundSide, Subject, out_of_range

Method = Literal["percentile", "tail", "quantile", "sigma"]
Column = NDArray[np.float64]


class CalibrateConfig(StrictModel):
    """How thresholds are fitted.

    Attributes:
        method: see the module.
        percentile: of `percentile`, in percent.
        tail: share of documents that each threshold of `tail` removes.
        sigmas: standard deviations of `sigma`; None takes the distance of the English threshold.
        confidence: of the interval of each threshold.
        min_documents: a sample with fewer documents gives no threshold.
        min_removed: a threshold that fewer documents of the sample lie beyond rests on too little; 0 for a sample of
            clean text, of which nothing has to go.
        max_removed: a threshold that removes a larger share of the sample is refused.
        max_removed_together: the same for all thresholds together.
        measures: the measures that get thresholds; None for all that have a value.
        resamples: of the bootstrap that gives `sigma` its intervals.
    """

    method: Method = "percentile"
    percentile: float = Field(default=2.0, gt=0, lt=50)
    tail: float = Field(default=0.02, gt=0, lt=0.5)
    sigmas: float | None = Field(default=3.0, gt=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    min_documents: int = Field(default=300, ge=1)
    min_removed: int = Field(default=3, ge=0)
    max_removed: float = Field(default=0.1, gt=0, le=1)
    max_removed_together: float = Field(default=0.4, gt=0, le=1)
    measures: tuple[str, ...] | None = None
    resamples: int = Field(default=200, ge=20)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a threshold lies in a distribution: the share of documents below it, and standard deviations from the
    mean.
    """

    quantile: float
    sigmas: float


# By measure and side: where the English thresholds lie among English documents.
Reference = Mapping[tuple[str, BoundSide], Position]
_SIDES: dict[str, tuple[BoundSide, ...]] = {"low": ("min",), "high": ("max",), "both": ("min", "max")}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A fitted threshold.

    Attributes:
        measure, side: what it bounds.
        value: documents beyond it are dropped.
        low, high: its confidence interval.
        documents: size of the sample that it was fitted to.
        removed: share of the sample beyond it.
        refused: why it should not be used, or None.
    """

    measure: str
    side: BoundSide
    value: float
    low: float
    high: float
    documents: int
    removed: float
    refused: str | None = None


def fit_thresholds(
    columns: Mapping[str, Column],
    config: CalibrateConfig,
    reference: Reference | None = None,
    seed: int = 0,
    subject: Subject = DOCUMENTS,
) -> list[Threshold]:
    """Return a threshold for each measure and bad side, the refused ones with their reason.

    Args:
        columns: values by measure, shape (N,) each; NaN where a document has none.
        config: method and limits.
        reference: English positions; needed by `quantile`, and by `sigma` without `sigmas`.
        seed: of the bootstrap.
        subject: what was measured.

    Raises:
        ValueError: a measure that does not exist, or a method without the reference that it needs.
    """
    known = subject.measures
    names = config.measures if config.measures is not None else tuple(known)
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"unknown measure {unknown[0]!r}; the measures are: {', '.join(known)}")
    thresholds = []
    for name in known:
        if name not in names or name not in columns:
            continue
        values = columns[name][~np.isnan(columns[name])]
        for side in _SIDES[known[name].bad]:
            threshold = _fit(name, side, values, config, reference, seed, subject)
            if threshold is not None:
                thresholds.append(threshold)
    return thresholds


def removed_together(columns: Mapping[str, Column], thresholds: list[Threshold]) -> float:
    """Return the share of documents beyond at least one of the thresholds that were not refused."""
    beyond: NDArray[np.bool_] | None = None
    for threshold in thresholds:
        if threshold.refused is None:
            own = _beyond(columns[threshold.measure], threshold.side, threshold.value)
            beyond = own if beyond is None else beyond | own
    return float(beyond.mean()) if beyond is not None and len(beyond) else 0.0


def limit_together(
    columns: Mapping[str, Column], thresholds: list[Threshold], config: CalibrateConfig
) -> list[Threshold]:
    """Return the thresholds; those that remove most are refused until all together remove no more than allowed."""
    thresholds = list(thresholds)
    while (share := removed_together(columns, thresholds)) > config.max_removed_together:
        used = [number for number, threshold in enumerate(thresholds) if threshold.refused is None]
        worst = max(used, key=lambda number: (thresholds[number].removed, -number))
        reason = f"together the thresholds would remove {share:.1%}; at most {config.max_removed_together:.1%} may go"
        thresholds[worst] = replace(thresholds[worst], refused=f"{reason}, and this one removes most")
    return thresholds


def positions(columns: Mapping[str, Column], rules: Mapping[str, Bounds]) -> dict[tuple[str, BoundSide], Position]:
    """Return where the thresholds of some rules lie among documents: the reference for other languages."""
    found: dict[tuple[str, BoundSide], Position] = {}
    for name, bounds in rules.items():
        values = columns[name][~np.isnan(columns[name])] if name in columns else np.zeros(0)
        if not len(values):
            continue
        sigma = float(values.std())
        for side, bound in (("min", bounds.min), ("max", bounds.max)):
            if bound is not None:
                below = values < bound if side == "min" else values <= bound
                distance = (bound - float(values.mean())) / sigma if sigma else 0.0
                found[name, side] = Position(float(below.mean()), distance)  # type: ignore[index]
    return found


def lint(
    name: str, side: BoundSide, value: float, values: Column, config: CalibrateConfig, subject: Subject = DOCUMENTS
) -> str | None:
    """Return why a threshold should not be used, or None.

    Args:
        name: the measure.
        side: on which documents go.
        value: the threshold.
        values: the measure's values in a sample, without NaN.
        config: limits.
        subject: what was measured.
    """
    if (reason := out_of_range(name, side, value, subject)) is not None:
        return reason
    unit, highest = subject.unit, subject.measures[name].highest
    if (side == "min" and value <= 0) or (side == "max" and highest is not None and value >= highest):
        return f"cannot fire: no value lies beyond {value:g}"
    if (side == "min" and highest is not None and value >= highest) or (side == "max" and value <= 0):
        return f"lies at the best value of the measure: every {unit} that is not perfect would go"
    if len(values) < config.min_documents:
        return f"rests on {len(values):,} {unit}s; at least {config.min_documents:,} are needed"
    removed = int(_beyond(values, side, value).sum())
    if not removed and config.min_removed:
        return f"cannot fire: no {unit} of the sample lies beyond it"
    if removed < config.min_removed:
        return f"rests on {removed} {unit}s beyond it; at least {config.min_removed} are needed"
    if removed > config.max_removed * len(values):
        return f"would remove {removed / len(values):.1%} of the {unit}s; at most {config.max_removed:.1%} may go"
    return None


def _beyond(values: Column, side: BoundSide, value: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):  # NaN breaks no rule
        return values < value if side == "min" else values > value


def _fit(
    name: str,
    side: BoundSide,
    values: Column,
    config: CalibrateConfig,
    reference: Reference | None,
    seed: int,
    subject: Subject,
) -> Threshold | None:
    """Return the threshold of one measure and side; None where the reference has no such threshold."""
    position = reference.get((name, side)) if reference is not None else None
    if config.method == "quantile" or (config.method == "sigma" and config.sigmas is None):
        if reference is None:
            raise ValueError(f"the method {config.method} needs a reference")
        if position is None:
            return None
    if not len(values):
        return Threshold(name, side, float("nan"), float("nan"), float("nan"), 0, 0.0, f"no {subject.unit} has a value")
    if config.method == "sigma":
        sigmas = config.sigmas if config.sigmas is not None else abs(position.sigmas) if position else 0.0
        value, low, high = _sigma_threshold(values, side, sigmas, config, seed)
    else:
        share = {"percentile": config.percentile / 100, "tail": config.tail}.get(config.method)
        if share is None:
            assert position is not None
            quantile = position.quantile
        else:
            quantile = share if side == "min" else 1 - share
        value, low, high = quantile_interval(values, quantile, config.confidence)
    whole = subject.measures[name].whole
    value, low, high = (_rounded(number, side, whole) for number in (value, low, high))
    removed = float(_beyond(values, side, value).mean())
    refused = lint(name, side, value, values, config, subject)
    return Threshold(name, side, value, low, high, len(values), removed, refused)


def quantile_interval(values: Column, quantile: float, confidence: float) -> tuple[float, float, float]:
    """Return a sample's quantile and its distribution-free confidence interval by order statistics.

    The number of values below the true quantile is binomial; its normal approximation gives the ranks (David and
    Nagaraja, Order Statistics, section 7.1).
    """
    ordered = np.sort(values)
    count = len(ordered)
    spread = _normal_quantile(confidence) * float(np.sqrt(count * quantile * (1 - quantile)))
    low = min(count - 1, max(0, int(np.floor(count * quantile - spread))))
    high = max(0, min(count - 1, int(np.ceil(count * quantile + spread))))
    value = float(np.quantile(ordered, quantile))
    return value, min(value, float(ordered[low])), max(value, float(ordered[high]))


def _sigma_threshold(
    values: Column, side: BoundSide, sigmas: float, config: CalibrateConfig, seed: int
) -> tuple[float, float, float]:
    sign = -1.0 if side == "min" else 1.0
    # Sampled in a fixed order, so that the order of the documents makes no difference.
    ordered = np.sort(values)
    generator = np.random.Generator(np.random.PCG64(seed))
    found = []
    for _ in range(config.resamples):
        sample = ordered[generator.integers(0, len(ordered), len(ordered))]
        found.append(float(sample.mean()) + sign * sigmas * float(sample.std()))
    value = float(ordered.mean()) + sign * sigmas * float(ordered.std())
    edge = (1 - config.confidence) / 2
    low, high = np.quantile(found, [edge, 1 - edge]).tolist()
    return value, min(low, value), max(high, value)


def _rounded(value: float, side: BoundSide, whole: bool) -> float:
    """Return a threshold as a person would write it: whole, or with four significant digits, rounded so that nothing
    more goes than before.
    """
    if not np.isfinite(value):
        return value
    direction = ROUND_FLOOR if side == "min" else ROUND_CEILING
    exact = Decimal(value)
    digit = Decimal(1) if whole or not exact else Decimal(1).scaleb(exact.adjusted() - 3)
    return float(exact.quantize(digit, rounding=direction))


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
