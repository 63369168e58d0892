"""The report of a parallel job: one HTML file that needs nothing else, neither network nor scripts.

Its texts come from others' corpora and may be hostile: the gates of `curation.report` stand before all of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.charts import LogScale, duration, histogram, share, size
from curation.parallel.report_data import Excerpt, PairExample, PairReportData
from curation.report import MeasureSample, report_environment, verdict_words, visible
from curation.report_pairs import DuplicatePair, pair_view
from filters.rules import Bounds, sides_of

_LOSSES = ("skipped", "dropped", "duplicate", "failed")
# In the order of the stages.
_PURPOSES = {
    "ingest": "read the units of the inputs",
    "rules": "measures of each pair against thresholds",
    "contamination": "texts of benchmarks",
    "pair": "equal pairs",
    "laser": "embeddings of both sides",
    "source": "equal sources",
    "target": "equal targets",
}
_STAGES = tuple(_PURPOSES)
# Where the figures of a measure stand: by the beginning of its name, the last one for all others.
_SIDES = {
    "src_": "The source side",
    "tgt_": "The target side",
    "worst_": "The worse of the two sides",
    "": "Both sides",
}
_LONGEST_UNIT = 40
_MAX_ROWS = 200

Pieces = list[tuple[str, str]]


def render_pair_report(data: PairReportData) -> str:
    """Return the report as one HTML page. The same data gives the same page."""
    summary: Mapping[str, Any] = data.summary
    reasons = sorted(summary["reasons"], key=lambda row: (-row["count"], _place(row["stage"]), row["rule"]))
    scale, funnel_scale = LogScale(max((row["count"] for row in reasons), default=1)), LogScale(summary["records"])
    view = {
        "summary": summary,
        "names": data.names,
        "languages": [summary[side].replace("_", "-") for side in ("src_lang", "tgt_lang")],
        "lead": _lead(summary, data.names),
        "funnel_scale": funnel_scale,
        "funnel": _funnel(summary, funnel_scale),
        "inputs": [(item, sum(file["bytes"] for file in item["files"])) for item in summary["inputs"]],
        "scale": scale,
        "reasons": [_reason(row, summary, data.bounds, scale) for row in reasons],
        "idle": _idle(reasons, data.bounds),
        "laser": list((summary["laser"] or {}).items()),
        "scores": [_figure(sample) for sample in data.scores],
        "measures": _by_side(data.measures),
        "near": _near(data, {row["rule"]: row["count"] for row in reasons if row["outcome"] == "dropped"}),
        "methods": [row for row in summary["stages"] if row["duplicate"]],
        "duplicates": _duplicates(data.duplicates),
        "others": _others(data.others, reasons),
        "settings": list(_settings(summary["config"])),
        "files": [(file["url"], size(file["bytes"]), file["checksum"]) for item in summary["inputs"]
                  for file in item["files"]],
        "phases": [(name, duration(seconds)) for name, seconds in summary["seconds"].items()],
        "versions": list(summary["versions"].items()),
        "max_rows": _MAX_ROWS,
    }  # fmt: skip
    return report_environment().get_template("parallel/report.html.j2").render(view)


def _lead(summary: Mapping[str, Any], names: tuple[str, str]) -> dict[str, str]:
    """Return what came out in one sentence, and for an empty corpus what to do about it."""
    records, pairs = summary["records"], summary["pairs"]
    if not records:
        remedy = "Check under Run that they are the files you meant and are not empty."
        return {"text": "The inputs hold no pairs.", "remedy": remedy}
    text = f"{pairs:,} of {records:,} pairs ({share(pairs, records)}) in {names[0]} and {names[1]} are kept."
    losses = {stage["stage"]: sum(stage[kind] for kind in _LOSSES[1:]) for stage in summary["stages"]}
    worst = max(losses, key=lambda stage: losses[stage], default="")
    if losses.get(worst):
        rule = max((row for row in summary["reasons"] if row["stage"] == worst and row["outcome"] != "skipped"),
                   key=lambda row: row["count"], default=None)  # fmt: skip
        cause = f", most often for {rule['rule']} ({rule['count']:,})" if rule else ""
        text += f" The largest loss is {losses[worst]:,} pairs at {worst}{cause}."
    remedy = ""
    if not pairs:
        remedy = (
            "The corpus is empty. Read the pairs next to the thresholds: if those that were dropped are good "
            "translations, loosen the rule in the configuration; if they are not, try another input."
        )
    return {"text": text, "remedy": remedy}


def _place(stage: str) -> int:
    return _STAGES.index(stage) if stage in _STAGES else len(_STAGES)


def _funnel(summary: Mapping[str, Any], scale: LogScale) -> list[dict[str, object]]:
    """Return a row for each stage: what came in, was lost and remains."""
    records = summary["records"]
    rows: list[dict[str, object]] = []
    for stage in summary["stages"]:
        name, left = stage["stage"], stage["out"]
        off = name == "laser" and summary["laser"] is None
        label = visible(f"{name}: {left:,} remain, {share(left, records)} of what was read")
        rows.append({"name": name, "purpose": "off" if off else _PURPOSES.get(name, ""), "entered": stage["in"],
                     "losses": [stage[kind] for kind in _LOSSES], "left": left, "share": share(left, records),
                     "bar": scale.bar(left, label)})  # fmt: skip
    return rows


def _reason(
    row: Mapping[str, Any], summary: Mapping[str, Any], bounds: Mapping[str, Bounds], scale: LogScale
) -> dict[str, object]:
    entered = next((stage["in"] for stage in summary["stages"] if stage["stage"] == row["stage"]), 0)
    thresholds = dict(_thresholds(bounds))
    label = visible(f"{row['rule']}: {row['count']:,} {row['outcome']}")
    group = "dropped" if row["outcome"] != "skipped" else "kept"
    return {**row, "threshold": thresholds.get(row["rule"]), "share": share(row["count"], entered),
            "bar": scale.bar(row["count"], label, group)}  # fmt: skip


def _thresholds(bounds: Mapping[str, Bounds]) -> Iterator[tuple[str, float]]:
    for name, own in bounds.items():
        yield from ((f"{name}.{side}", value) for side, value in sides_of(own))


def _idle(reasons: Sequence[Mapping[str, Any]], bounds: Mapping[str, Bounds]) -> list[tuple[str, float]]:
    """Return the rules that no pair broke, with their thresholds."""
    fired = {row["rule"] for row in reasons}
    return [(rule, threshold) for rule, threshold in _thresholds(bounds) if rule not in fired]


def _figure(sample: MeasureSample) -> dict[str, object]:
    """Return a measure with its drawing and the sentences about it."""
    unit = "share, 0 to 1" if sample.description.startswith("share of") else sample.description.split(";")[0]
    name, unit = visible(sample.name), visible(unit if len(unit) <= _LONGEST_UNIT else sample.name)
    chart = histogram(name, unit, sample.kept, sample.dropped, sample.minimum, sample.maximum, "pairs")
    return {"sample": sample, "svg": chart.svg, "notes": chart.notes}


def _by_side(samples: Sequence[MeasureSample]) -> dict[str, list[dict[str, object]]]:
    groups: dict[str, list[dict[str, object]]] = {title: [] for title in _SIDES.values()}
    for sample in samples:
        prefix = next(prefix for prefix in _SIDES if sample.name.startswith(prefix))
        groups[_SIDES[prefix]].append(_figure(sample))
    return {title: figures for title, figures in groups.items() if figures}


def _near(data: PairReportData, dropped: Mapping[str, int]) -> list[dict[str, object]]:
    """Return what lies next to the thresholds, that of the rule which dropped most first."""
    found = [own for own in data.near if own.kept or own.dropped]
    return [
        {
            "rule": own.rule,
            "about": own.description,
            "threshold": own.threshold,
            "count": dropped.get(own.rule, 0),
            "sides": [("kept", [_item(example) for example in own.kept]),
                      ("dropped", [_item(example) for example in own.dropped])],
        }
        for own in sorted(found, key=lambda own: -dropped.get(own.rule, 0))
    ]  # fmt: skip


def _item(example: PairExample) -> dict[str, object]:
    """Return an example as the template takes it: texts as pieces, and whatever else is known of it."""
    texts = [_pieces(example.src), _pieces(example.tgt)] if example.src or example.tgt else []
    words = [verdict_words(example.value, example.threshold), example.detail or ""]
    return {"texts": texts, "words": [word for word in words if word],
            "place": f"{example.source}, sequence {example.sequence}"}  # fmt: skip


def _pieces(excerpt: Excerpt | None) -> Pieces:
    if excerpt is None:
        return []
    return [("same", excerpt.text), *_rest(excerpt)]


def _rest(excerpt: Excerpt) -> Pieces:
    rest = excerpt.chars - len(excerpt.text)
    return [("gap", f"{rest:,} more characters")] if rest > 0 else []


def _duplicates(examples: Sequence[PairExample]) -> dict[str, list[dict[str, object]]]:
    """Return duplicates by method, each beside the pair that stays, with the words that differ marked."""
    methods: dict[str, list[dict[str, object]]] = defaultdict(list)
    for example in sorted(examples, key=lambda example: _place(example.stage)):
        item = _item(example)
        sides = [("dropped", item["place"], item["texts"])]
        if example.stayed_src is not None and example.stayed_tgt is not None:
            compared = [_compared(example.src, example.stayed_src), _compared(example.tgt, example.stayed_tgt)]
            sides = [
                ("dropped", item["place"], [own[0] for own in compared]),
                ("kept", f"id {example.stayed}", [own[1] for own in compared]),
            ]
        methods[example.stage].append({"stayed": example.stayed, "sides": sides})
    return dict(methods)


def _compared(dropped: Excerpt | None, stayed: Excerpt) -> tuple[Pieces, Pieces]:
    own = dropped or Excerpt("", 0)
    view = pair_view(DuplicatePair("", 1.0, "dropped", own.text, "kept", stayed.text))
    sides: Any = view["sides"]
    return [*sides[0][2], *_rest(own)], [*sides[1][2], *_rest(stayed)]


def _others(examples: Sequence[PairExample], reasons: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return the examples of the other reasons, by stage and reason, with the number of pairs that each stands for."""
    totals = {(row["stage"], row["outcome"], row["rule"]): row["count"] for row in reasons}
    groups: dict[tuple[str, str, str], list[dict[str, object]]] = defaultdict(list)
    for example in sorted(examples, key=lambda example: _place(example.stage)):
        groups[example.stage, example.outcome, example.rule].append(_item(example))
    return [
        {"stage": key[0], "outcome": key[1], "rule": key[2], "examples": items, "total": totals.get(key)}
        for key, items in groups.items()
    ]


def _settings(config: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting as `stages.rules.by_pair` and its value as JSON; null switches off."""
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from _settings(value, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, json.dumps(config, ensure_ascii=False, default=str)
