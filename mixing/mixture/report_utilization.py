"""The report of a mixture: one HTML file that needs nothing else, made from its manifest alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from jinja2 import ChoiceLoader, Environment, FileSystemLoader

import curation.report
from configs.languages import load_languages
from curation.charts import compact, number, share
from curation.report import report_environment
from mixing.mixture.amounts import exact_number
from mixing.mixture.charts import TokenScale, learning_rate_chart, share_bar, usage_bar
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.manifest_schema import Manifest, ManifestSource, ManifestStage
from mixing.mixture.utilization import Usage, Utilization, usage_rows, utilization

# Rows of a long table; the manifest holds all of them.
_MAX_ROWS = 400
_SCHEDULES = {
    "constant": "constant",
    "cosine": "cosine decay",
    "linear": "linear decay",
    "warmup_stable_decay": "constant, then linear decay",
}


def render_mixture(manifest: Manifest) -> str:
    """Return the report as one HTML page. The same manifest gives the same page."""
    table = utilization(manifest)
    rows = list(usage_rows(table))
    scale = TokenScale.of(count for _, row in rows for count in (row.available, row.used))
    view = {
        "manifest": manifest,
        "lead": _lead(manifest, table),
        "whole": table.whole,
        "scale": scale,
        "rows": [_usage_view(kind, row, scale) for kind, row in rows[:_MAX_ROWS]],
        "all_rows": len(rows),
        "stages": [_stage_view(stage, manifest) for stage in manifest.stages],
        "rate_chart": learning_rate_chart(manifest.stages),
        "validation": [(*own, language_name(own[0])) for own in _validation(manifest)],
        "unmeasured": sorted(_drawn(manifest, "language") - {own.language for own in manifest.validation}),
        "max_rows": _MAX_ROWS,
        "versions": list(manifest.versions.items()),
        "config": yaml.safe_dump(manifest.config, sort_keys=False, allow_unicode=True, width=100),
        "compact": compact,
    }
    return _environment().get_template("utilization.html.j2").render(view)


def language_name(code: str) -> str:
    """Return the English name of a language or a pair such as `de-en`; of an unknown one, nothing."""
    names = {language.code: language.name for language in load_languages().languages}
    parts = code.replace("+", "-").split("-")
    return " – ".join(names[part] for part in parts) if all(part in names for part in parts) else ""


def plan_words(plan: LearningRateConfig) -> str:
    """Return a learning rate's plan in words."""
    warmup = f"warm-up from {plan.start:g} over {compact(plan.warmup_tokens)} tokens, " if plan.warmup_tokens else ""
    last = f" over the last {compact(plan.decay_tokens)} tokens" if plan.decay_tokens else ""
    end = f" to {plan.final:g}{last}" if plan.final is not None else ""
    return (
        f"{warmup}{_SCHEDULES[plan.schedule]} at {plan.peak:g}"
        if not end
        else (f"{warmup}{_SCHEDULES[plan.schedule]} from {plan.peak:g}{end}")
    )


def _lead(manifest: Manifest, table: Utilization) -> str:
    stages = f"{len(manifest.stages)} stage{'s' * (len(manifest.stages) > 1)}"
    sources = f"{len(table.whole.sources):,} source{'s' * (len(table.whole.sources) > 1)}"
    return (
        f"{manifest.tokens:,} tokens in {stages}, drawn from {sources} that hold {table.whole.available:,}. "
        f"{manifest.shares}"
    )


def _usage_view(kind: str, row: Usage, scale: TokenScale) -> dict[str, object]:
    label = f"{row.name}: {row.used:,} of {row.available:,} tokens, {share(row.used, row.available)}"
    return {
        "kind": kind,
        "row": row,
        "words": language_name(row.name) if kind == "language" else "",
        "rate": share(row.used, row.available),
        "bar": usage_bar(scale, row.available, row.used, label),
    }


def _stage_view(stage: ManifestStage, manifest: Manifest) -> dict[str, object]:
    largest = max(category.tokens for category in stage.categories)
    count: dict[str, int] = {}
    for source in stage.sources:
        count[source.category] = count.get(source.category, 0) + 1
    categories = [
        {
            "category": own,
            "share": share(own.tokens, stage.tokens),
            "asked": share(float(exact_number(own.share)), 1),
            "sources": count[own.name],
            "bar": share_bar(
                own.tokens, largest, f"{own.name}: {own.tokens:,} tokens, {share(own.tokens, stage.tokens)}"
            ),
        }
        for own in stage.categories
    ]
    ordered = sorted(stage.sources, key=lambda own: (-own.tokens, own.source))
    return {
        "stage": stage,
        "plan": plan_words(stage.learning_rate),
        "part": share(stage.tokens, manifest.tokens),
        "categories": categories,
        "sources": [_source_view(own, ordered[0]) for own in ordered[:_MAX_ROWS]],
    }


def _source_view(own: ManifestSource, largest: ManifestSource) -> dict[str, object]:
    caps = [
        f"{number(cap)} {where}"
        for cap, where in ((own.max_epochs, "in the stage"), (own.run_max_epochs, "in the run"))
        if cap is not None
    ]
    return {
        "source": own,
        "share": share(own.weight, 1),
        "bar": share_bar(own.tokens, largest.tokens, f"{own.source}: {own.tokens:,} tokens, {share(own.weight, 1)}"),
        "caps": ", ".join(caps) or "none",
        "slice": _slice_words(own),
    }


def _slice_words(own: ManifestSource) -> str:
    if own.where is None:
        return "all documents"
    conditions = []
    for name, condition in own.where.conditions.items():
        if condition.any_of is not None:
            conditions.append(f"{name} is {' or '.join('missing' if v is None else str(v) for v in condition.any_of)}")
        for bound, words in ((condition.min, "at least"), (condition.max, "at most")):
            if bound is not None:
                conditions.append(f"{name} {words} {bound if isinstance(bound, str) else number(bound)}")
    total = sum(shard.sequences for shard in own.shards)
    return f"{own.where.documents:,} of {total:,} documents: {'; '.join(conditions)}"


def _validation(manifest: Manifest) -> Iterable[tuple[str, str, int, int]]:
    """Return the language, sources, documents and tokens of each language's validation split."""
    drawn = _drawn(manifest, "source")
    by_language: dict[str, list[tuple[str, int, int]]] = {}
    for own in manifest.validation:
        name = own.source if own.source in drawn else f"{own.source} (not drawn from)"
        by_language.setdefault(own.language, []).append((name, own.sequences, own.tokens))
    for language, rows in by_language.items():
        yield language, ", ".join(row[0] for row in rows), sum(row[1] for row in rows), sum(row[2] for row in rows)


def _drawn(manifest: Manifest, what: Literal["language", "source"]) -> set[str]:
    """Return the languages or the sources that stages draw from."""
    return {getattr(own, what) for stage in manifest.stages for own in stage.sources}


@cache
def _environment() -> Environment:
    """Return the environment of all reports, which finds this floor's templates, too."""
    folders = [Path(__file__).parent, Path(curation.report.__file__).parent]
    return report_environment().overlay(loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]))
