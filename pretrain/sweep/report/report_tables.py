"""The tables of a sweep's recommendation: shares, what else varies, and bits per byte by language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from curation.charts import share
from pretrain.sweep.analysis.analysis_schema import Interval, Recommendation
from pretrain.sweep.report.report_cells import ShareCell
from pretrain.sweep.report.report_facts import Facts, bits_words, share_words


def alike(content: Mapping[str, str]) -> list[list[str]]:
    """Return the names that have the same content, together."""
    groups: dict[str, list[str]] = {}
    for stage, own in content.items():
        groups.setdefault(own, []).append(stage)
    return list(groups.values())


def share_table(facts: Facts, found: Recommendation | None) -> dict[str, object]:
    """Return the rows of base, recommended and best shares by stage, and the scale of their drawings."""
    points = {
        "base": facts.base.point if facts.base is not None else None,
        "best": facts.best.point if facts.best is not None else None,
    }
    shares = found.shares if found is not None else {}
    point = found.point.shares if found is not None else {}
    recommended = {stage: _with_fixed(shares.get(stage, {}), point.get(stage, {})) for stage in {**shares, **point}}
    stages = dict.fromkeys([*recommended, *(name for own in points.values() if own is not None for name in own.shares)])
    content: dict[str, list[tuple[str, float | None, Interval | None, float | None]]] = {}
    for stage in stages:
        own = {key: dict(one.shares.get(stage, {})) if one is not None else {} for key, one in points.items()}
        names = dict.fromkeys([*own["base"], *recommended.get(stage, {}), *own["best"]])
        content[stage] = [
            (name, _float(own["base"].get(name)), recommended.get(stage, {}).get(name), _float(own["best"].get(name)))
            for name in names
        ]
    rows = [row for own in content.values() for row in own]
    top = max((value for row in rows for value in (row[1], row[2].high if row[2] else None) if value), default=1.0)
    scale = ShareCell(math.ceil(round(10 * top, 6)) / 10)
    groups = [
        (", ".join(stages), [_share_row(scale, *row) for row in content[stages[0]]])
        for stages in alike({stage: repr(own) for stage, own in content.items()})
    ]
    return {"groups": groups, "axis": scale.axis()}


def _with_fixed(shares: Mapping[str, Interval], point: Mapping[str, Fraction]) -> dict[str, Interval]:
    """Return the recommended shares with those of categories that do not vary, which have no range."""
    fixed = {name: float(value) for name, value in point.items() if name not in shares}
    return {**shares, **{name: Interval(value=value, low=value, high=value) for name, value in fixed.items()}}


def _share_row(
    scale: ShareCell, name: str, base: float | None, own: Interval | None, best: float | None
) -> dict[str, object]:
    return {
        "name": name,
        "base": "–" if base is None else share(base, 1),
        "best": "–" if best is None else share(best, 1),
        "recommended": "–" if own is None else share(own.value, 1),
        "range": "" if own is None else "held" if own.low == own.high else share_words(own),
        "bar": scale.draw(name, own, base) if own is not None else "",
    }


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def axis_table(facts: Facts, found: Recommendation | None) -> list[tuple[str, str, str, str]]:
    """Return what else varies, in words: of the base mixture, the recommended one and the best trial."""
    axes = [own for own in facts.axes if own.kind != "share"]
    points = (
        None if facts.base is None else facts.base.point,
        None if found is None else found.point,
        None if facts.best is None else facts.best.point,
    )
    vectors = [None if point is None else facts.vector(point) for point in points]
    rows = []
    for own in axes:
        base, recommended, best = ("–" if v is None else own.words(own.value(v)) for v in vectors)
        rows.append((own.title, base, recommended, best))
    return rows


def language_table(facts: Facts, found: Recommendation | None) -> list[dict[str, object]]:
    """Return the bits per byte of each language: of the base mixture, the best trial, the recommended mixture."""
    base, best = facts.last(facts.base), facts.last(facts.best)
    predicted = found.losses if found is not None else {}
    confirmed = facts.analysis.confirmation.losses if facts.analysis.confirmation is not None else {}
    rows: list[dict[str, object]] = []
    for language in dict.fromkeys([*facts.languages, *predicted]):
        reference, own = base.get(language), predicted.get(language)
        rows.append(
            {
                "language": language,
                "kind": kind_of(facts, language),
                "base": reference,
                "best": best.get(language),
                "best_change": _change(best.get(language), reference),
                "predicted": None if own is None else own.value,
                "range": "" if own is None else f"{bits_words(own.low)} to {bits_words(own.high)}",
                "predicted_change": _change(None if own is None else own.value, reference),
                "confirmed": confirmed.get(language),
                "confirmed_change": _change(confirmed.get(language), reference),
            }
        )
    return rows


def kind_of(facts: Facts, language: str) -> str:
    """Say what a language is to the sweep."""
    weight = facts.analysis.weights.get(language)
    parts = [] if weight is None else [f"{share(weight, 1)} of the objective"]
    return " and ".join(parts + ["may be forgotten"] * (language in facts.analysis.forgetting)) or "only measured"


def _change(value: float | None, reference: float | None) -> float | None:
    return value / reference - 1 if value is not None and reference else None
