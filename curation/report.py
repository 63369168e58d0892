"""The report of a corpus job: one HTML file that needs nothing else, neither network nor scripts.

Its texts come from hostile web pages. Two gates stand between them and the reader, and a template cannot forget
either: jinja2 escapes every value, and `visible` cuts it and shows the characters that would reorder or hide text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from curation.charts import LogScale, duration, histogram, number, share, size
from curation.records import STAGES
from curation.report_duplicates import CutExcerpt, CutStage, duplicates_view, is_off
from curation.report_pairs import DuplicatePair, pair_view
from curation.report_quality import quality_view

_LOSSES = ("skipped", "dropped", "duplicate", "failed")
_PURPOSES = dict(zip(STAGES, ("read the records", "lists of URLs", "quick look at the page's language", "main text",
                              "encoding and white space", "language identification", "quality rules",
                              "texts of benchmarks", "captures of one address", "exact duplicates", "near duplicates",
                              "texts of one meaning", "repeated lines", "repeated passages"), strict=True))  # fmt: skip
_SHORT, _EXCERPT, _CONFIG, _MAX_INPUTS = 300, 1500, 100_000, 200

# Controls, and the marks that embed, override and isolate directions; surrogates, which UTF-8 cannot hold. The plain
# direction marks and joiners stay: Arabic, Persian and Indic texts need them.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Example:
    """A record that was not kept: where and why its way ended, and the beginning of its text, if it had one."""

    stage: str
    outcome: str
    rule: str
    url: str
    value: float | None
    threshold: float | None
    detail: str | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class MeasureSample:
    """Values of one measure over kept and dropped documents, and the bounds of its rule."""

    name: str
    description: str
    kept: tuple[float, ...]
    dropped: tuple[float, ...]
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that a report is made of; `summary` is the content of the job's summary.json.

    `cuts` and `excerpts` are what stages inside documents found.
    """

    summary: Mapping[str, object]
    language_name: str
    examples: Sequence[Example]
    duplicates: Sequence[DuplicatePair]
    measures: Sequence[MeasureSample]
    cuts: Sequence[CutStage] = ()
    excerpts: Sequence[CutExcerpt] = ()


def render_report(data: ReportData) -> str:
    """Return the report as one HTML page. The same data gives the same page."""
    summary: Mapping[str, Any] = data.summary
    scale = LogScale(summary["records"])
    view = {
        "summary": summary,
        "language": data.language_name,
        "lead": _lead(summary, data.language_name),
        "scale": scale,
        "funnel": _funnel(summary, scale),
        "reasons": _reasons(summary),
        "examples": _examples(data.examples, summary),
        "duplicates": duplicates_view(summary, data.cuts, data.excerpts, _PURPOSES),
        "pairs": [pair_view(pair) for pair in data.duplicates],
        "quality": quality_view(summary),
        "measures": [measure_view(sample) for sample in data.measures],
        "inputs": [(file["name"], size(file["bytes"]), file["checksum"]) for file in summary["inputs"]],
        "max_inputs": _MAX_INPUTS,
        "phases": [(name, duration(seconds)) for name, seconds in summary["seconds"].items()],
        "versions": list(summary["versions"].items()),
        "config": _long(_as_yaml(summary["config"]), _CONFIG),
    }
    return report_environment().get_template("report.html.j2").render(view)


def visible(text: str, limit: int = _SHORT) -> str:
    """Return hostile text as it may be shown: cut, and with characters that reorder or hide text as `⟨U+202E⟩`."""
    rest = len(text) - limit
    shown = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text[:limit])
    return f"{shown} … [{rest:,} more characters]" if rest > 0 else shown


def _long(text: str, limit: int = _EXCERPT) -> Markup:
    return escape(visible(text, limit))


def _gate(value: object) -> object:
    """What jinja2 does with every value before it escapes it. Markup was made from values that passed here."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def report_environment() -> Environment:
    """Return the environment of the templates, which escapes every value and shows what is hidden in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # by name it would be off: the template's name does not end in .html
        undefined=StrictUndefined,
        finalize=_gate,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=number, share=share, size=size, duration=duration)
    environment.filters["long"] = _long
    return environment


def _lead(summary: Mapping[str, Any], language: str) -> dict[str, str]:
    """Return what came out in one sentence, and for an empty corpus what to do about it."""
    records, documents = summary["records"], summary["documents"]
    outcome = f"{documents:,} of {records:,} records ({share(documents, records)}) are kept as documents in {language}."
    losses = {stage["stage"]: sum(stage[kind] for kind in _LOSSES[1:]) for stage in summary["stages"]}
    worst = max(losses, key=lambda stage: losses[stage], default="")
    largest = ""
    if losses.get(worst):
        rule = max((row for row in summary["reasons"] if row["stage"] == worst and row["outcome"] != "skipped"),
                   key=lambda row: row["count"], default=None)  # fmt: skip
        cause = f", most often for the rule {rule['rule']} ({rule['count']:,})" if rule else ""
        largest = f"The largest loss is {losses[worst]:,} records at {worst}{cause}."
    remedy = ""
    if not records:
        outcome = "No records were read."
        remedy = "The inputs hold no records. Check under Run that they are the files you meant and are not empty."
    elif summary["language"] not in summary["languages"]:
        remedy = "These are the records that no target language claimed; the corpora are in the other folders."
    elif not documents:
        remedy = (
            f"The corpus is empty. Read the examples of the stage with the largest loss: if they are good {language} "
            f"text, loosen its rule in the configuration; if they are not, the inputs hold too little {language}."
        )
    return {"text": f"{outcome} {largest}".strip(), "remedy": remedy}


def _funnel(summary: Mapping[str, Any], scale: LogScale) -> list[dict[str, object]]:
    """Return the rows of the funnel: what remains after each stage, and in words what was lost there.

    A stage that was switched off is left out.
    """
    records = remaining = summary["records"]
    types = sorted(summary["record_types"].items(), key=lambda item: -item[1])
    words = "of which " + ", ".join(f"{count:,} {name}" for name, count in types) if types else "nothing"
    rows = [_bar(scale, "input", "records of the pass", records, records, words)]
    for stage in summary["stages"]:
        losses = {kind: stage[kind] for kind in _LOSSES if stage[kind]}
        lost = [f"{count:,} {kind}{'s' * (kind == 'duplicate' and count > 1)}" for kind, count in losses.items()]
        # A pass over several languages counts the first stages for all of them together.
        if (elsewhere := remaining - stage["out"] - sum(losses.values())) > 0:
            several = len(summary["languages"]) > 1
            lost.append(f"{elsewhere:,} {'went on in other languages' if several else 'not in this ledger'}")
        remaining = stage["out"]
        if not lost and is_off(summary, stage["stage"]):
            continue
        purpose = _PURPOSES.get(stage["stage"], "")
        rows.append(_bar(scale, stage["stage"], purpose, remaining, records, ", ".join(lost) or "nothing lost"))
    return rows


def _bar(scale: LogScale, stage: str, purpose: str, count: int, records: int, words: str) -> dict[str, object]:
    label = f"{stage}: {count:,} remain, {share(count, records)} of the records"
    return {"stage": stage, "purpose": purpose, "count": count, "share": share(count, records), "words": words,
            "bar": scale.bar(count, visible(label))}  # fmt: skip


def _place(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _reasons(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(summary["reasons"], key=lambda row: (_place(row["stage"]), -row["count"], row["rule"]))


def _examples(examples: Sequence[Example], summary: Mapping[str, Any]) -> dict[str, list[dict[str, object]]]:
    """Group the examples by stage, then by rule and outcome, each group with the number of records that it is of."""
    totals = {(row["stage"], row["rule"], row["outcome"]): row["count"] for row in summary["reasons"]}
    groups: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for example in sorted(examples, key=lambda example: _place(example.stage)):
        item = {"example": example, "verdict": verdict_words(example.value, example.threshold)}
        groups.setdefault((example.stage, example.rule, example.outcome), []).append(item)
    stages: dict[str, list[dict[str, object]]] = {}
    for (stage, rule, outcome), items in groups.items():
        group = {"rule": rule, "outcome": outcome, "items": items, "total": totals.get((stage, rule, outcome))}
        stages.setdefault(stage, []).append(group)
    return stages


def verdict_words(value: float | None, threshold: float | None) -> str:
    """Say how a value stands to its threshold, in as many digits as tell them apart."""
    if value is None:
        return ""
    if threshold is None or math.isnan(value) or math.isnan(threshold):
        return f"value {number(value)}, " + ("no threshold" if threshold is None else f"threshold {number(threshold)}")
    digits = next((n for n in range(4, 17) if number(value, n) != number(threshold, n)), 4)
    relation = "below" if value < threshold else "above" if value > threshold else "equal to"
    return f"value {number(value, digits)}, {relation} the threshold {number(threshold, digits)}"


def measure_view(sample: MeasureSample) -> dict[str, object]:
    """Return a measure with its drawing and the sentences about it, as the templates take it."""
    unit = "share, 0 to 1" if sample.description.startswith("share of") else sample.description.split(";")[0]
    names = visible(sample.name, 60), visible(unit, 50)
    chart = histogram(*names, sample.kept, sample.dropped, sample.minimum, sample.maximum)
    return {"sample": sample, "svg": chart.svg, "notes": chart.notes}


def _as_yaml(config: object) -> str:
    plain = json.loads(json.dumps(config, default=str))  # paths, tuples and the like as their text
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100) if plain else "# all defaults\n"
