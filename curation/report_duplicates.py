"""What the report tells of deduplication, before its pairs: by method, sizes of clusters, the S-curve, and cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from curation.charts import LogScale, number
from curation.charts_duplicates import s_curve_chart
from curation.records import DEDUPLICATION_STAGES

# In the order of the stages.
METHODS = ("contamination", *DEDUPLICATION_STAGES)


@dataclass(frozen=True, slots=True)
class CutStage:
    """What one stage found inside documents, those included that went for it as a whole; stretches may overlap."""

    stage: str
    documents: int
    stretches: int
    characters: int


@dataclass(frozen=True, slots=True)
class CutExcerpt:
    """The beginning of a stretch that was cut out, and its whole length in characters."""

    stage: str
    url: str
    characters: int
    text: str


def is_off(summary: Mapping[str, Any], stage: str) -> bool:
    """Whether a stage was switched off in the configuration."""
    stages = summary["config"].get("stages")
    return isinstance(stages, Mapping) and stage in stages and stages[stage] is None


def duplicates_view(
    summary: Mapping[str, Any], cuts: Sequence[CutStage], excerpts: Sequence[CutExcerpt], purposes: Mapping[str, str]
) -> dict[str, object]:
    """Return what the template shows; summaries of older jobs lack some of it.

    Args:
        summary: of the job.
        cuts: what was found inside documents, by stage.
        excerpts: some of it.
        purposes: what each stage does, in a few words.
    """
    facts = summary.get("deduplication") or {}
    return {
        "methods": _methods(summary, cuts, purposes),
        "documents_cut": summary.get("documents_cut", 0),
        "removed_chars": summary.get("removed_chars", 0),
        "sizes": _sizes(facts.get("clusters") or []),
        "largest": facts.get("largest") or [],
        "alarm": _alarm(summary, facts),
        "curve": _curve(summary),
        "excerpts": excerpts,
    }


def _methods(
    summary: Mapping[str, Any], cuts: Sequence[CutStage], purposes: Mapping[str, str]
) -> list[dict[str, object]]:
    """Return a row for each method that was not switched off, or found something."""
    gone: Counter[str] = Counter()
    for reason in summary["reasons"]:
        gone[reason["stage"]] += reason["count"]
    ran = {stage["stage"] for stage in summary["stages"]}
    own = {cut.stage: cut for cut in cuts}
    return [
        {"stage": stage, "words": purposes[stage], "gone": gone[stage], "cut": own.get(stage)}
        for stage in METHODS
        if gone[stage] or stage in own or (stage in ran and not is_off(summary, stage))
    ]


def _sizes(clusters: Sequence[Sequence[int]]) -> list[tuple[str, int, Markup]]:
    """Return numbers of clusters by size, from one power of two to the next."""
    counts: Counter[int] = Counter()
    for size, count in clusters:
        counts[size.bit_length() - 1] += count
    if not counts:
        return []
    scale = LogScale(max(counts.values()))
    rows = []
    for power in range(1, max(counts) + 1):
        name = f"{1 << power:,} to {(2 << power) - 1:,}"
        rows.append((name, counts[power], scale.bar(counts[power], f"{name} documents: {counts[power]:,} clusters")))
    return rows


def _alarm(summary: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return what is to be said of clusters that are too large to be true."""
    if not (giants := facts.get("giant_clusters")):
        return ""
    settings = _minhash(summary)
    limit, least = facts.get("max_cluster") or settings.get("max_cluster"), settings.get("giant_min_similarity")
    are = "1 cluster has" if giants == 1 else f"{giants:,} clusters have"
    more = f" more than {limit:,} documents" if limit else " too many documents"
    strict = f" In them only pairs from {number(least)} on count as duplicates." if least is not None else ""
    return (
        f"ALARM: {are}{more}: so many pages are rarely copies of one another.{strict} Look at the largest clusters "
        "below: what their pages share is mostly a template that extraction should have left out."
    )


def _minhash(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    stages = summary["config"].get("stages")
    settings = stages.get("minhash") if isinstance(stages, Mapping) else None
    return settings if isinstance(settings, Mapping) else {}


def _curve(summary: Mapping[str, Any]) -> dict[str, object] | None:
    """Return the S-curve of the bands that were used; None where MinHash was left out."""
    settings = _minhash(summary)
    if not {"bands", "rows", "min_similarity"} <= settings.keys():
        return None
    bands, rows = settings["bands"], settings["rows"]
    return {"svg": s_curve_chart(bands, rows, settings["min_similarity"]), "bands": bands, "rows": rows}
