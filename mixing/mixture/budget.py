"""From shares to whole numbers of tokens: how a stage's budget falls on categories, languages and sources.

Pure arithmetic in exact fractions. Three levels, each rounded by itself, so that each adds up: the budget by the shares
of the categories, a category's tokens by its spread over languages, a language's tokens over its sources in proportion
to what they hold, as far as their caps allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

from mixing.mixture.spread import SpreadConfig

# Powers are taken in decimal arithmetic, which gives the same digits on every machine.
_POWERS = Context(prec=40)


@dataclass(frozen=True, slots=True)
class Supply:
    """A source as a stage may use it.

    Attributes:
        source: its name.
        language: sources of one language stand together when a category is spread over languages.
        available: tokens that may be drawn, each counted once.
        capacity: most tokens that the caps on epochs leave to this stage; None is no limit.
    """

    source: str
    language: str
    available: int
    capacity: int | None


@dataclass(frozen=True, slots=True)
class Demand:
    """A category of a stage: its share of the stage's tokens, its sources, and how it is spread over them."""

    category: str
    share: Fraction
    spread: SpreadConfig
    supplies: tuple[Supply, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a category's tokens are spread over: a language, or a single source."""

    name: str
    supplies: tuple[Supply, ...]

    @property
    def available(self) -> int:
        """Tokens of all its sources."""
        return sum(supply.available for supply in self.supplies)

    @property
    def capacity(self) -> int | None:
        """Most tokens that the caps of all its sources leave."""
        return total_capacity([supply.capacity for supply in self.supplies])


@dataclass(frozen=True, slots=True)
class Lack:
    """A unit that cannot give what the shares ask of it.

    Attributes:
        category: of the unit; the category itself where `unit` is None.
        unit: the language or source; None where it is the category as a whole that has too little.
        planned: tokens that the shares ask for.
        capacity: tokens that the caps leave.
    """

    category: str
    unit: Unit | None
    planned: int
    capacity: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Tokens by category and by source, and what is lacking. Where nothing lacks, both add up to the budget."""

    categories: dict[str, int]
    sources: dict[str, int]
    lacks: tuple[Lack, ...]


def plan_stage(tokens: int, demands: Sequence[Demand], redistribute: bool = False) -> StagePlan:
    """Spread a stage's budget.

    Args:
        tokens: the budget.
        demands: the categories; their shares sum to 1.
        redistribute: what a unit cannot give falls on the other units of its category in proportion to their shares,
            and what a category cannot give on the other categories. Without it, that is a lack.
    """
    shares = {demand.category: demand.share for demand in demands}
    caps = {demand.category: category_capacity(demand) for demand in demands}
    exact = fill(shares, caps, tokens) if redistribute else {name: own * tokens for name, own in shares.items()}
    if sum(exact.values()) < tokens:  # all there is, is not enough
        left = sum(cap for cap in caps.values() if cap is not None)
        return StagePlan({}, {}, (Lack("", None, tokens, left),))
    categories = round_to_sum(exact)
    sources: dict[str, int] = {}
    lacks: list[Lack] = []
    for demand in demands:
        planned = categories[demand.category]
        own = _spread_category(demand, planned, redistribute)
        if sum(own.values()) < planned:
            lacks.append(Lack(demand.category, None, planned, caps[demand.category] or 0))
            continue
        whole = round_to_sum(own)
        for unit in units(demand):
            if unit.capacity is not None and whole[unit.name] > unit.capacity:
                lacks.append(Lack(demand.category, unit, whole[unit.name], unit.capacity))
            else:
                sources |= _spread_unit(unit, whole[unit.name])
    return StagePlan(categories, sources, tuple(lacks))


def units(demand: Demand) -> list[Unit]:
    """Return what a category is spread over, sorted by name: its languages, or its sources."""
    grouped: dict[str, list[Supply]] = {}
    for supply in sorted(demand.supplies, key=lambda supply: supply.source):
        grouped.setdefault(supply.language if demand.spread.over == "languages" else supply.source, []).append(supply)
    return [Unit(name, tuple(own)) for name, own in sorted(grouped.items())]


def unit_weights(demand: Demand) -> dict[str, Fraction]:
    """Return how a category's tokens fall on its units, by name, where no cap is in the way; sums to 1."""
    spread, own = demand.spread, units(demand)
    if spread.rule == "shares":
        assert spread.shares is not None
        return {unit.name: spread.shares[unit.name] for unit in own}
    weights = {unit.name: _weight(spread, unit.available) for unit in own}
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def _weight(spread: SpreadConfig, available: int) -> Fraction:
    if spread.rule in ("uniform", "unimax"):
        return Fraction(1)
    if spread.rule == "proportional":
        return Fraction(available)
    assert spread.temperature is not None
    alpha = _POWERS.divide(Decimal(spread.temperature.numerator), Decimal(spread.temperature.denominator))
    return Fraction(_POWERS.power(Decimal(available), alpha))


def category_capacity(demand: Demand) -> int | None:
    """Return the most tokens that a category can give: units of share 0 give nothing."""
    weights = unit_weights(demand)
    return total_capacity([unit.capacity for unit in units(demand) if weights[unit.name]])


def total_capacity(capacities: Sequence[int | None]) -> int | None:
    """Return the sum of capacities; None, no limit, where one of them has none."""
    known = [capacity for capacity in capacities if capacity is not None]
    return sum(known) if len(known) == len(capacities) else None


def _spread_category(demand: Demand, tokens: int, redistribute: bool) -> dict[str, Fraction]:
    weights = unit_weights(demand)
    if redistribute or demand.spread.rule == "unimax":
        return fill(weights, {unit.name: unit.capacity for unit in units(demand)}, tokens)
    return {name: weight * tokens for name, weight in weights.items()}


def _spread_unit(unit: Unit, tokens: int) -> dict[str, int]:
    """Spread a language's tokens, which it can give, over its sources."""
    weights = {supply.source: Fraction(supply.available) for supply in unit.supplies}
    return round_to_sum(fill(weights, {supply.source: supply.capacity for supply in unit.supplies}, tokens))


def fill(weights: Mapping[str, Fraction], caps: Mapping[str, int | None], total: int) -> dict[str, Fraction]:
    """Spread `total` in proportion to weights, where nobody gets more than their cap.

    What a cap takes away falls on the others in proportion. With equal weights this is UniMax (Chung et al. 2023, arXiv
    2304.09151). Where the caps sum to less than `total`, everyone gets their cap, so the sum is smaller.
    """
    got = {name: Fraction(0) for name in weights}
    rest, weight_left = Fraction(total), sum(weights.values(), Fraction(0))
    capped = [(Fraction(cap) / weights[name], name) for name, cap in caps.items() if cap is not None and weights[name]]
    open_names = {name for name, weight in weights.items() if weight}
    for level, name in sorted(capped):  # from the one that is full first
        if level * weight_left >= rest:
            break
        got[name] = level * weights[name]
        rest -= got[name]
        weight_left -= weights[name]
        open_names.remove(name)
    for name in open_names:
        got[name] = rest * weights[name] / weight_left
    return got


def round_to_sum(exact: Mapping[str, Fraction]) -> dict[str, int]:
    """Round numbers that sum to a whole number so that they still do: the largest remainders go up, ties by name.

    A number that is whole stays as it is, so none goes beyond a whole cap that it was below.
    """
    whole = {name: int(value) for name, value in exact.items()}
    missing = sum(exact.values(), Fraction(0)) - sum(whole.values())
    assert missing.denominator == 1, "the numbers do not sum to a whole number"
    largest = sorted(exact, key=lambda name: (whole[name] - exact[name], name))
    for name in largest[: int(missing)]:
        whole[name] += 1
    return whole
