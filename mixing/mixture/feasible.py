"""A stage that cannot be met: what each source lacks, and the nearest mixtures that can be met."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from configs.errors import UserError
from mixing.mixture.budget import (
    Demand,
    Lack,
    StagePlan,
    category_capacity,
    plan_stage,
    total_capacity,
    unit_weights,
    units,
)

# Lacks, and categories, that a message names; the exception holds all.
_NAMED = 6


class ShortOfTokensError(UserError):
    """A stage asks for more tokens than the caps on epochs leave.

    Attributes:
        lacks: what is short.
        redistributed: the plan for the same budget where others give what these lack; None where all together lack it.
        largest_budget: a budget that the shares as they are can be met with, the largest but for rounding; 0 is none.
    """

    def __init__(
        self, message: str, lacks: tuple[Lack, ...], redistributed: StagePlan | None, largest_budget: int
    ) -> None:
        """Keep what the message tells."""
        super().__init__(message)
        self.lacks, self.redistributed, self.largest_budget = lacks, redistributed, largest_budget


def short_of_tokens(stage: str, tokens: int, demands: Sequence[Demand], plan: StagePlan) -> ShortOfTokensError:
    """Return the error that tells of a plan with lacks: one line, with both ways out where there are any.

    Args:
        stage: its name.
        tokens: its budget.
        demands: as for `plan_stage`.
        plan: of `plan_stage`, with lacks.
    """
    redistributed = plan_stage(tokens, demands, redistribute=True)
    feasible = None if redistributed.lacks else redistributed
    budget = largest_budget(demands)
    ways = []
    if feasible is not None:
        changes = [*_raised_units(plan, demands, feasible), *_moved_categories(plan, feasible, tokens)]
        words = f", where {_listed(changes)}" if changes else ""
        ways.append(f"the same budget with `when_short: redistribute`{words}")
    elif most := total_capacity([category_capacity(demand) for demand in demands if demand.share]):
        ways.append(f"all that is left, `tokens: {most}`, with `when_short: redistribute`")
    if budget:
        ways.append(f"the same shares with `tokens: {budget}`, {_percent(budget, tokens)} of the budget")
    nearest = (
        f"what can be met: {'; or '.join(ways)}" if ways else "no tokens are left that these shares could be met with"
    )
    lacks = sorted(plan.lacks, key=lambda lack: (lack.capacity - lack.planned, lack.category))
    message = (
        f"stage {stage!r} cannot have {tokens:,} tokens: {_listed([_lack_text(lack) for lack in lacks])}; {nearest}"
    )
    return ShortOfTokensError(message, tuple(lacks), feasible, budget)


def largest_budget(demands: Sequence[Demand]) -> int:
    """Return the largest budget, but for rounding, that can be met at the shares as they are; 0 where there is none."""
    # Rounding adds less than a token to what a category gets, and so to what its units get: a token of slack will do.
    for slack in (0, 1):
        most = _largest(demands, slack)
        if most > 0 and not plan_stage(most, demands).lacks:
            return most
    return 0


def _largest(demands: Sequence[Demand], slack: int) -> int:
    limits = []
    for demand in demands:
        if not demand.share:
            continue
        if demand.spread.rule == "unimax":
            limits.append((category_capacity(demand), demand.share))
        else:
            weights = unit_weights(demand)
            limits += [(unit.capacity, weights[unit.name] * demand.share) for unit in units(demand)]
    return min((int((cap - slack) / share) for cap, share in limits if cap is not None and share), default=0)


def _lack_text(lack: Lack) -> str:
    short = f"{lack.planned - lack.capacity:,} tokens short"
    if lack.unit is None:
        what = f"category {lack.category!r} is" if lack.category else "all sources together are"
        return f"{what} {short} ({lack.planned:,} planned, {lack.capacity:,} left under the caps on epochs)"
    names = [supply.source for supply in lack.unit.supplies]
    of = f" (sources {_listed(names)})" if names != [lack.unit.name] else ""
    return (
        f"{lack.unit.name}{of} of category {lack.category!r} is {short} ({lack.planned:,} planned, {lack.capacity:,} "
        f"left under the caps on epochs, {lack.unit.available:,} available)"
    )


def _raised_units(plan: StagePlan, demands: Sequence[Demand], feasible: StagePlan) -> list[str]:
    """Return how many times as much those give that are not short, by category where one is short."""
    raised = []
    for demand in demands:
        weights = unit_weights(demand)
        planned = {unit.name: plan.categories[demand.category] * weights[unit.name] for unit in units(demand)}
        given = {unit.name: sum(feasible.sources[own.source] for own in unit.supplies) for unit in units(demand)}
        factor = max((given[name] / own for name, own in planned.items() if own), default=Fraction(1))
        if factor > 1 and any(lack.category == demand.category and lack.unit for lack in plan.lacks):
            raised.append(f"the others of {demand.category!r} give {float(factor):.4g} times as much")
    return raised


def _moved_categories(plan: StagePlan, feasible: StagePlan, tokens: int) -> list[str]:
    return [
        f"the share of {name!r} is {_percent(own, tokens)} instead of {_percent(plan.categories[name], tokens)}"
        for name, own in feasible.categories.items()
        if own != plan.categories[name]
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4g}%"


def _listed(items: Sequence[str], joint: str = ", ") -> str:
    """Return the first of a list, and how many more there are."""
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return joint.join(items[:_NAMED]) + more
