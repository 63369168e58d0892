"""Shares to tokens: sums, caps, the spreads by their papers' formulas, and what is said when it cannot be met."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from configs.errors import UserError
from mixing.mixture.amounts import decimal_text, exact_number, token_count
from mixing.mixture.budget import Demand, Supply, fill, plan_stage, round_to_sum, unit_weights, units
from mixing.mixture.feasible import ShortOfTokensError, largest_budget, short_of_tokens
from mixing.mixture.spread import SpreadConfig

NAMES = [f"s{place:02}" for place in range(8)]
AMOUNTS = st.integers(1, 10**12)
SPREADS = st.sampled_from([
    SpreadConfig(rule="uniform"),
    SpreadConfig(rule="proportional"),
    SpreadConfig(rule="unimax"),
    SpreadConfig(rule="temperature", temperature=Fraction(3, 10)),
    SpreadConfig(rule="uniform", over="sources"),
])  # fmt: skip


@st.composite
def supplies(draw: st.DrawFn, prefix: str = "") -> tuple[Supply, ...]:
    found = []
    for place in range(draw(st.integers(1, 5))):
        available = draw(AMOUNTS)
        capacity = draw(st.none() | st.integers(0, 4 * available))
        found.append(Supply(f"{prefix}{place}", draw(st.sampled_from(["el", "kk", "tr"])), available, capacity))
    return tuple(found)


@st.composite
def stages(draw: st.DrawFn) -> list[Demand]:
    parts = draw(st.lists(st.integers(0, 100), min_size=1, max_size=4).filter(any))
    return [
        Demand(f"c{place}", Fraction(part, sum(parts)), draw(SPREADS), draw(supplies(f"c{place}-")))
        for place, part in enumerate(parts)
    ]


def one(spread: object, available: dict[str, int], cap: float | None = None) -> list[Demand]:
    """Return a stage of one category, its sources of one language each, with the same cap on epochs."""
    own = SpreadConfig.model_validate(spread)
    found = [Supply(n, n, a, None if cap is None else int(Fraction(cap) * a)) for n, a in available.items()]
    return [Demand("all", Fraction(1), own, tuple(found))]


@given(stages(), st.integers(1, 10**13), st.booleans())
def test_what_can_be_met_adds_up_and_keeps_every_cap(demands: list[Demand], tokens: int, redistribute: bool) -> None:
    plan = plan_stage(tokens, demands, redistribute)
    if plan.lacks:
        return
    assert sum(plan.sources.values()) == sum(plan.categories.values()) == tokens
    for demand in demands:
        own = {supply.source: plan.sources[supply.source] for supply in demand.supplies}
        assert sum(own.values()) == plan.categories[demand.category]
        assert all(s.capacity is None or 0 <= own[s.source] <= s.capacity for s in demand.supplies)
        if not redistribute:
            assert abs(plan.categories[demand.category] - demand.share * tokens) < 1


@given(stages(), st.integers(1, 10**13))
def test_lacks_are_true_and_both_ways_out_can_be_gone(demands: list[Demand], tokens: int) -> None:
    plan = plan_stage(tokens, demands)
    assume(plan.lacks)
    error = short_of_tokens("s", tokens, demands, plan)
    assert len(str(error).splitlines()) == 1
    assert all(lack.planned > lack.capacity for lack in error.lacks)
    if error.largest_budget:
        assert error.largest_budget < tokens
        assert not plan_stage(error.largest_budget, demands).lacks
    useful = [demand for demand in demands if demand.share]
    room = [supply.capacity for demand in useful for supply in demand.supplies]
    enough = any(cap is None for cap in room) or sum(cap or 0 for cap in room) >= tokens
    assert (error.redistributed is not None) == enough
    if not enough and (total := sum(cap or 0 for cap in room)):
        assert not plan_stage(total, demands, redistribute=True).lacks
        assert f"all that is left, `tokens: {total}`" in str(error)
    if error.redistributed is not None:
        assert sum(error.redistributed.sources.values()) == tokens
        for lack in error.lacks:  # what is short gives all it has
            if lack.unit is not None:
                given_tokens = sum(error.redistributed.sources[own.source] for own in lack.unit.supplies)
                assert given_tokens == lack.capacity


@given(stages(), st.integers(2, 10**12))
def test_the_largest_budget_is_the_largest_but_for_rounding(demands: list[Demand], tokens: int) -> None:
    assume(plan_stage(tokens, demands).lacks)
    most = largest_budget(demands)
    # A category's unit takes 1 / share tokens of budget for one token of its own: so much rounding may cost.
    slack = 2
    for demand in demands:
        weights = unit_weights(demand)
        slack += 2 * sum(math.ceil(1 / (demand.share * w)) for w in weights.values() if w and demand.share)
    assert plan_stage(most + slack, demands).lacks


@given(stages(), st.integers(1, 10**12))
def test_redistribution_changes_nothing_where_nothing_lacks(demands: list[Demand], tokens: int) -> None:
    plan = plan_stage(tokens, demands)
    assume(not plan.lacks)
    assert plan_stage(tokens, demands, redistribute=True) == plan


@given(supplies(), SPREADS, st.integers(1, 10**9))
def test_the_order_of_sources_does_not_matter(own: tuple[Supply, ...], spread: SpreadConfig, tokens: int) -> None:
    plans = [plan_stage(tokens, [Demand("c", Fraction(1), spread, order)]) for order in (own, own[::-1])]
    assert plans[0] == plans[1]


@given(supplies(), st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 10**6))
def test_more_budget_and_more_text_take_nothing_away(
    own: tuple[Supply, ...], tokens: int, more: int, grown: int
) -> None:
    """Of UniMax: nobody gets less of a larger budget, nor of a category in which they have more text."""
    weights = {supply.source: Fraction(1) for supply in own}
    caps = {supply.source: supply.capacity for supply in own}
    before, after = fill(weights, caps, tokens), fill(weights, caps, tokens + more)
    assert all(after[name] >= before[name] for name in before)
    first = own[0].source
    if (cap := caps[first]) is not None:
        assert fill(weights, caps | {first: cap + grown}, tokens)[first] >= before[first]


def unimax_of_the_paper(characters: dict[str, int], budget: int, max_epochs: int) -> dict[str, float]:
    """Algorithm 1 of Chung et al. 2023, with the numbers as floats."""
    left = float(budget)
    used = {}
    by_size = sorted(characters, key=lambda language: characters[language])
    for place, language in enumerate(by_size):
        share = left / (len(by_size) - place)
        most = characters[language] * max_epochs
        used[language] = float(most) if share > most else share
        left -= used[language]
    return used


@given(st.dictionaries(st.sampled_from(NAMES), AMOUNTS, min_size=1), st.integers(1, 8), st.data())
def test_unimax_is_the_papers(characters: dict[str, int], epochs: int, data: st.DataObject) -> None:
    budget = data.draw(st.integers(1, epochs * sum(characters.values())))
    expected = unimax_of_the_paper(characters, budget, epochs)
    found = plan_stage(budget, one("unimax", characters, epochs))
    assert not found.lacks
    for name, tokens in found.sources.items():
        assert tokens == pytest.approx(expected[name], rel=1e-9, abs=2)


def test_unimax_of_too_little_text_is_a_lack_of_the_category() -> None:
    demands = one("unimax", {"a": 10, "b": 20}, 2)
    assert plan_stage(60, demands).sources == {"a": 20, "b": 40}
    with pytest.raises(ShortOfTokensError, match=r"category 'all' is 1 tokens short \(61 planned, 60 left"):
        raise short_of_tokens("s", 61, demands, plan_stage(61, demands))


@given(st.dictionaries(st.sampled_from(NAMES), AMOUNTS, min_size=1), st.integers(0, 100))
def test_temperature_is_its_formula(available: dict[str, int], hundredths: int) -> None:
    alpha = hundredths / 100
    found = unit_weights(one({"temperature": alpha}, available)[0])
    whole = sum(available.values())
    powers = {name: (tokens / whole) ** alpha for name, tokens in available.items()}
    for name, power in powers.items():
        assert float(found[name]) == pytest.approx(power / sum(powers.values()), rel=1e-9)


def test_temperature_goes_from_uniform_to_proportional() -> None:
    available = {"a": 100, "b": 300}
    for alpha, same in ((0, "uniform"), (1, "proportional")):
        assert unit_weights(one({"temperature": alpha}, available)[0]) == unit_weights(one(same, available)[0])


def test_languages_share_by_the_spread_and_their_sources_by_what_they_hold() -> None:
    found = (Supply("el-a", "el", 300, None), Supply("el-b", "el", 100, None), Supply("tr", "tr", 10_000, None))
    demand = Demand("c", Fraction(1), SpreadConfig(rule="uniform"), found)
    assert plan_stage(800, [demand]).sources == {"el-a": 300, "el-b": 100, "tr": 400}
    by_source = replace(demand, spread=SpreadConfig(rule="uniform", over="sources"))
    assert plan_stage(900, [by_source]).sources == {"el-a": 300, "el-b": 300, "tr": 300}
    capped = replace(demand, supplies=(Supply("el-a", "el", 300, 200), *found[1:]))
    assert plan_stage(800, [capped]).sources == {"el-a": 200, "el-b": 200, "tr": 400}
    assert [unit.name for unit in units(by_source)] == ["el-a", "el-b", "tr"]


def test_shares_are_kept_and_a_share_of_nothing_gets_nothing() -> None:
    demands = one({"shares": {"a": "1/3", "b": "2/3", "c": 0}}, {"a": 5, "b": 5, "c": 5})
    assert plan_stage(9, demands).sources == {"a": 3, "b": 6, "c": 0}


@given(st.dictionaries(st.sampled_from(NAMES), st.fractions(0, 1000), min_size=1))
def test_rounding_keeps_the_sum_and_moves_nobody_by_a_token(exact: dict[str, Fraction]) -> None:
    first = min(exact)
    exact[first] += math.ceil(sum(exact.values())) - sum(exact.values())
    whole = round_to_sum(exact)
    assert sum(whole.values()) == sum(exact.values())
    assert all(abs(whole[name] - value) < 1 for name, value in exact.items())


def test_ties_go_by_name() -> None:
    assert round_to_sum({"b": Fraction(1, 2), "a": Fraction(1, 2)}) == {"a": 1, "b": 0}
    thirds = {name: Fraction(5, 3) for name in "cab"}
    assert round_to_sum(thirds) == {"a": 2, "b": 2, "c": 1}


def test_a_message_names_what_is_short_and_both_ways_out() -> None:
    available = {"el": 1000, "kk": 100, "tr": 3000}
    demands = [
        *(replace(own, category="low", share=Fraction(3, 5)) for own in one("uniform", available, 2)),
        Demand("en", Fraction(2, 5), SpreadConfig(), (Supply("en", "en", 10**6, 10**6),)),
    ]
    error = short_of_tokens("first", 5000, demands, plan_stage(5000, demands))
    assert "kk of category 'low' is 800 tokens short (1,000 planned, 200 left under the caps on epochs" in str(error)
    assert "`when_short: redistribute`, where the others of 'low' give 1.4 times as much" in str(error)
    assert "`tokens: 1000`, 20% of the budget" in str(error)
    assert error.redistributed is not None
    assert error.redistributed.sources == {"el": 1400, "kk": 200, "tr": 1400, "en": 2000}
    with_others = short_of_tokens("first", 20_000, demands, plan_stage(20_000, demands))
    assert "the share of 'low' is 41% instead of 60%" in str(with_others)
    assert isinstance(error, UserError)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (160_000_000_000, 160 * 10**9), ("160B", 160 * 10**9), ("1.25B", 1_250_000_000), (1.6e11, 16 * 10**10),
        ("20k", 20_000), ("2_000", 2000), ("2.5T", 25 * 10**11), ("500 M", 500 * 10**6),
    ],
)  # fmt: skip
def test_token_counts_are_read(value: object, expected: int) -> None:
    assert token_count(value) == expected


@pytest.mark.parametrize("value", [0, -1, "0", 1.5, "1.5", math.nan, math.inf, True, None, "160G", "B", "1e99999", [1]])
def test_what_is_no_token_count_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="number of tokens"):
        token_count(value)


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_exact_numbers_are_read_as_they_are_written(part: int, whole: int) -> None:
    assert exact_number(f"{part}/{whole}") == Fraction(part, whole)
    assert exact_number(decimal_text(Fraction(part, whole))) == Fraction(part, whole)
    assert exact_number(part / 1000) == Fraction(part, 1000)
    assert re.fullmatch(r"\d+(\.\d+)?", decimal_text(Fraction(part, 1000)))


def test_percents_are_hundredths() -> None:
    assert exact_number("32%") == Fraction(32, 100)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, True, None, "a", "1/0", "-1", "1" * 90, {}])
def test_what_is_no_exact_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a number of 0 or more"):
        exact_number(value)
