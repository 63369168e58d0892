"""Where records ended, stage by stage, from the counts of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from curation.ledger import check_conservation
from curation.records import OUTCOMES

# Rows by stage, outcome and rule; those that are kept have no stage and no rule.
Counts = Mapping[tuple[str, str, str], int]


def funnel(
    counts: Counts, stages: Sequence[str], kept: int, leaving: Mapping[str, Mapping[str, int]]
) -> list[dict[str, object]]:
    """Return for each stage what went in, what ended there by outcome, and what went on.

    Args:
        counts: rows by stage, outcome and rule.
        stages: in their order.
        kept: rows that passed all of them.
        leaving: by stage and name, what goes on elsewhere from there.

    Raises:
        ConservationError: what is left in the end is not what was kept.
    """
    ended = {stage: Counter[str]() for stage in stages}
    for (stage, outcome, _), count in counts.items():
        if stage:
            ended[stage][outcome] += count
    gone = sum(sum(by_outcome.values()) for by_outcome in ended.values())
    remaining = kept + gone + sum(sum(own.values()) for own in leaving.values())
    rows: list[dict[str, object]] = []
    for stage in stages:
        lost: dict[str, int] = {outcome: ended[stage][outcome] for outcome in OUTCOMES if outcome != "kept"}
        lost |= leaving.get(stage, {})
        after = remaining - sum(lost.values())
        rows.append({"stage": stage, "in": remaining, "out": after, **lost})
        remaining = after
    check_conservation("the funnel", remaining, {"kept": kept})
    return rows


def reasons(counts: Counts, stages: Sequence[str]) -> list[dict[str, object]]:
    """Return why records were not kept: in the order of the stages, the most frequent reasons of each first."""
    ended = [(*key, count) for key, count in counts.items() if key[1] != "kept"]
    ended.sort(key=lambda row: (stages.index(row[0]), -row[3], row[:3]))
    return [{"stage": stage, "outcome": outcome, "rule": rule, "count": count} for stage, outcome, rule, count in ended]
