"""What the report tells of the decisions on quality: thresholds, word lists, models, and languages taken for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# What it means that a language lacks something.
_WITHOUT = {
    "stop words": "the rule on stop words is off: make stopwords",
    "flagged words": "the rule on flagged words is off: name a list in stages.measure.flagged_words",
    "KenLM model": "the rule on perplexity is off: make kenlm",
    "thresholds": "the defaults hold: make calibrate",
}


def quality_view(summary: Mapping[str, Any]) -> dict[str, object] | None:
    """Return what the decisions on quality rest on; None for records that belong to no language."""
    if "resources" not in summary:
        return None
    rules = [
        (name, bounds["min"], bounds["max"])
        for name, bounds in summary["rules"].items()
        if bounds["min"] is not None or bounds["max"] is not None
    ]
    resources = [(what, source or "none", _WITHOUT.get(what, "") if source is None else "")
                 for what, source in summary["resources"].items()]  # fmt: skip
    return {
        "rules": rules,
        "resources": resources,
        "counts": {kind: list(counts.items()) for kind, counts in summary["quality"].items()},
        "confusions": _matrix(summary["identified"]),
    }


def _matrix(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return a matrix of counts: what the first model said down, what the texts were taken for across."""
    counts = {(row["first"], row["language"]): row["count"] for row in rows}
    firsts, finals = (sorted({pair[place] for pair in counts}) for place in (0, 1))
    cells = [(first, [(final, counts.get((first, final), 0), final == first) for final in finals]) for first in firsts]
    return {"finals": finals, "cells": cells}
