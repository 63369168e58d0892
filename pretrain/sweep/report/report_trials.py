"""The trials of a sweep as its report lists them: each one's row, those left out, shares against losses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

import numpy as np
from scipy import stats

from curation.charts import duration, number
from pretrain.sweep.analysis.cross_validation import rank_correlation
from pretrain.sweep.report.report_cells import correlation_style
from pretrain.sweep.report.report_facts import Facts, bits_words, order_words, signed, status_words

# Rows of the table; trials.csv has all.
MAX_ROWS = 400
# Of fewer trials a rank correlation says nothing.
LEAST_TRIALS = 5
_KINDS = {"base": "base mixture", "design": "", "scaling": "scaling check", "confirmation": "recommended mixture"}
_MAX_NUMBERS = 20


def left_out_view(facts: Facts) -> list[dict[str, object]]:
    """Return the trials that the analysis does not use, by what became of them and why, most first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for own in facts.analysis.left_out:
        groups.setdefault((own.status, own.cause), []).append(own.number)
    rows = sorted(groups.items(), key=lambda row: (-len(row[1]), row[0]))
    return [
        {"status": status_words(status), "cause": cause, "count": len(numbers), "numbers": _listed(sorted(numbers))}
        for (status, cause), numbers in rows
    ]


def trials_view(facts: Facts) -> dict[str, object]:
    """Return the table of trials."""
    ranks = {own.trial: place for place, own in enumerate(facts.ranked, 1)}
    rows = []
    for trial in facts.trials[:MAX_ROWS]:
        vector, outcome, own = facts.vector(trial.point), facts.outcome(trial), facts.measured.get(trial.id)
        marks = [_KINDS[trial.kind], "best" if trial is facts.best else "", "front" if own and own.front else ""]
        if trial.of is not None:
            marks[0] += f" of {trial.of}"
        rows.append(
            {
                "trial": trial,
                "marks": ", ".join(mark for mark in marks if mark),
                "axes": [axis.words(axis.value(vector)) for axis in facts.axes],
                "status": status_words(outcome.status) if outcome is not None else "not run",
                "cause": outcome.cause if outcome is not None else "",
                "failed": outcome is None or outcome.status != "finished",
                "attempts": outcome.attempts if outcome is not None else 0,
                "tokens": number(outcome.tokens) if outcome is not None else "–",
                "seconds": duration(outcome.seconds) if outcome is not None else "–",
                "rank": ranks.get(trial.id),
                "objective": signed(own.adaptation) if own is not None else "",
                "forgetting": signed(own.forgetting) if own is not None else "",
                "losses": _losses(facts, outcome.last if outcome is not None else {}),
            }
        )
    seeds = len({trial.point.seed for trial in facts.trials}) > 1
    return {"rows": rows, "all": len(facts.trials), "max_rows": MAX_ROWS, "seeds": seeds}


def heat_view(facts: Facts) -> dict[str, object] | None:
    """Return the rank correlation of what varies with each language's bits per byte; None of too few trials."""
    finished = [(trial, own) for trial in facts.design if trial.id in facts.measured and (own := facts.last(trial))]
    if len(finished) < LEAST_TRIALS or not facts.features.names:
        return None
    vectors = facts.features.matrix([trial.point for trial, _ in finished])
    rows = []
    targets: list[tuple[str, list[float]]] = [
        ("objective", [facts.measured[trial.id].adaptation for trial, _ in finished])
    ]
    targets += [(name, [own.get(name, math.nan) for _, own in finished]) for name in facts.languages]
    bound = chance_bound(len(finished))
    for name, values in targets:
        losses = np.array(values)
        known = np.isfinite(losses)
        cells = []
        for column in range(vectors.shape[1]):
            # Shares of too few trials with this language say as little as shares of too few trials.
            enough = int(known.sum()) >= LEAST_TRIALS
            value = rank_correlation(vectors[known, column], losses[known]) if enough else None
            strong = value is not None and abs(value) > bound
            cells.append({"words": order_words(value, "+"), "style": correlation_style(value), "strong": strong})
        rows.append({"name": name, "cells": cells})
    columns = [(own.stages, own.name) for own in facts.axes if own.kind != "variant"]
    columns += [("corpora", name) for name in facts.features.variants]
    groups = [(name, len([*own])) for name, own in groupby(columns, key=lambda own: own[0])]
    return {"columns": columns, "groups": groups, "rows": rows, "trials": len(finished), "bound": f"{bound:.2f}"}


def chance_bound(trials: int) -> float:
    """Return the rank correlation that 95% of random orders stay below, by the approximation with Student's t."""
    free = trials - 2
    quantile = float(stats.t.ppf(0.975, free))
    return quantile / math.sqrt(free + quantile**2)


def versions_view(facts: Facts) -> list[tuple[str, str]]:
    """Return the versions of the libraries that trials ran with."""
    found: dict[str, dict[str, None]] = {}
    for own in facts.outcomes.values():
        for name, version in own.versions.items():
            found.setdefault(name, {})[version] = None
    return [(name, ", ".join(sorted(own))) for name, own in sorted(found.items())]


def finished_words(facts: Facts) -> str:
    """Say how many of all trials finished."""
    done = sum(own.status == "finished" for own in facts.outcomes.values())
    return f"{number(done)} of {number(len(facts.trials))} trials finished"


def _losses(facts: Facts, last: dict[str, float]) -> list[str]:
    return [bits_words(last[name]) if name in last else "" for name in facts.languages]


def _listed(numbers: Iterable[int]) -> str:
    words = [str(own) for own in numbers]
    rest = len(words) - _MAX_NUMBERS
    return ", ".join(words[:_MAX_NUMBERS]) + (f" and {rest:,} more" if rest > 0 else "")
