"""Shares that sum exactly: rounding, the lattice against brute force, Dirichlet draws against theory."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from pretrain.sweep.design.simplex import UNIT, Shares, draw_around, lattice, outside, refuse_impossible, round_shares
from pretrain.sweep.sweep_config import Range

NAMES = ["en", "zh", "high", "low", "code"]
TOTALS = st.fractions(Fraction(1, 1000), 1, max_denominator=10_000)
WEIGHTS = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=5).filter(any)
PARTS = st.lists(st.integers(1, 50), min_size=2, max_size=5)


def shares_of(parts: list[int], total: Fraction = Fraction(1)) -> Shares:
    return {name: total * part / sum(parts) for name, part in zip(NAMES, parts, strict=False)}


@st.composite
def bounds_around(draw: st.DrawFn, shares: Shares) -> dict[str, Range]:
    """Return bounds of some categories that these shares are within, with some room around."""
    found = {}
    for name, share in shares.items():
        low, high = (draw(st.none() | st.fractions(0, Fraction(1, 2), max_denominator=50)) for _ in range(2))
        found[name] = Range(
            min=None if low is None else max(Fraction(0), share - low), max=None if high is None else share + high
        )
    return found


@given(WEIGHTS, TOTALS, st.sampled_from([UNIT, Fraction(1, 1000), Fraction(1, 7)]))
def test_rounded_shares_sum_exactly_and_none_is_moved_by_more_than_it_must(
    weights: list[float], total: Fraction, unit: Fraction
) -> None:
    named = dict(zip(NAMES, weights, strict=False))
    shares = round_shares(named, total, unit)
    assert sum(shares.values()) == total
    assert list(shares) == list(named)
    whole = sum(map(Fraction, weights))
    off = [shares[name] - total * Fraction(weight) / whole for name, weight in named.items()]
    assert all(abs(own) < 2 * unit for own in off)
    if total % unit == 0:
        assert all(share % unit == 0 for share in shares.values())
        assert all(abs(own) < unit for own in off)
        # Largest remainders: no other whole units are nearer.
        assert max(off) - min(off) <= unit


@given(PARTS, st.permutations(range(5)))
def test_rounding_does_not_depend_on_the_order_of_categories(parts: list[int], order: list[int]) -> None:
    named = dict(zip(NAMES, map(float, parts), strict=False))
    moved = {NAMES[place]: named[NAMES[place]] for place in order if NAMES[place] in named}
    assert round_shares(named) == round_shares(moved)


@given(st.lists(st.integers(0, 3000), min_size=3, max_size=3))
def test_what_is_in_whole_units_stays(parts: list[int]) -> None:
    exact: Shares = {"en": parts[0] * UNIT, "zh": parts[1] * UNIT, "high": parts[2] * UNIT}
    exact["low"] = 1 - sum(exact.values(), Fraction(0))
    assert round_shares(exact) == exact
    assert round_shares({name: float(share) for name, share in exact.items()}) == exact


def test_ties_go_by_name_and_a_part_of_a_unit_to_the_largest() -> None:
    assert round_shares({"c": 1, "b": 1, "a": 1}) == {
        "c": Fraction(3333, 10_000),
        "b": Fraction(3333, 10_000),
        "a": Fraction(3334, 10_000),
    }
    assert round_shares({"a": 1, "b": 2}, Fraction(3, 100_000)) == {"a": 0, "b": Fraction(3, 100_000)}
    assert round_shares({"a": 0, "b": 1}, Fraction(1, 100_000)) == {"a": 0, "b": Fraction(1, 100_000)}


@pytest.mark.parametrize("weights", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [-1.0, 3.0], []])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="no shares in proportion"):
        round_shares(dict(zip(NAMES, weights, strict=False)))


@given(st.data(), st.integers(2, 4), st.integers(1, 9), TOTALS)
def test_the_lattice_is_all_multiples_within_the_bounds(
    data: st.DataObject, count: int, levels: int, total: Fraction
) -> None:
    names = NAMES[:count]
    bounds = data.draw(
        bounds_around(shares_of(data.draw(st.lists(st.integers(1, 9), min_size=count, max_size=count)), total))
    )
    everything = [
        {name: total * own / levels for name, own in zip(names, counts, strict=True)}
        for counts in itertools.product(range(levels + 1), repeat=count)
        if sum(counts) == levels
    ]
    assert len(everything) == math.comb(levels + count - 1, count - 1)
    expected = [
        shares
        for shares in everything
        if all((own.min or 0) <= shares[name] <= (1 if own.max is None else own.max) for name, own in bounds.items())
    ]
    if expected:
        assert lattice(names, levels, total, bounds, "here") == expected
    else:
        with pytest.raises(UserError, match=r"^here: no multiples of .* are within the bounds"):
            lattice(names, levels, total, bounds, "here")


def test_a_lattice_of_too_many_is_refused_and_bounds_make_it_small() -> None:
    with pytest.raises(UserError, match="more than 10,000 mixtures; take fewer levels"):
        lattice(NAMES, 1_000_000, Fraction(1), {}, "here")
    tight = {name: Range(min=Fraction(19, 100)) for name in NAMES}
    assert len(lattice(NAMES, 100, Fraction(1), tight, "here")) == math.comb(5 + 4, 4)


@settings(max_examples=50)
@given(st.data(), PARTS, TOTALS, st.integers(0, 1 << 70))
def test_draws_are_exact_new_within_bounds_and_the_first_of_more(
    data: st.DataObject, parts: list[int], total: Fraction, seed: int
) -> None:
    base = shares_of(parts, total)
    # Room of a tenth of the total at least, so that draws are not rare.
    bounds = {name: Range(max=share + total / 2) for name, share in base.items() if data.draw(st.booleans())}
    more = draw_around(base, (0.5, 4.0), 6, bounds, (seed, 0), "here")
    assert all(sum(own.values()) == total and list(own) == list(base) for own in more)
    assert not any(outside(own, bounds) for own in more)
    assert len({tuple(own.values()) for own in [base, *more]}) == 7
    assert draw_around(base, (0.5, 4.0), 4, bounds, (seed, 0), "here") == more[:4]
    assert draw_around(base, (0.5, 4.0), 6, bounds, (seed, 1), "here") != more
    assert draw_around(base, (0.5, 4.0), 6, bounds, (seed + 1, 0), "here") != more


@pytest.mark.parametrize("strength", [0.3, 1.0, 8.0])
def test_draws_have_the_mean_and_variance_of_their_dirichlet(strength: float) -> None:
    base = {"a": Fraction(1, 4), "b": Fraction(1, 8), "c": Fraction(1, 8)}  # of a half: 1/2, 1/4, 1/4 of what varies
    count = 3000
    drawn = draw_around(base, (strength, strength), count, {}, (11, 0), "here")
    parts = np.array([[float(2 * share) for share in own.values()] for own in drawn])
    mean = np.array([0.5, 0.25, 0.25])
    variance = mean * (1 - mean) / (strength * 3 + 1)  # sum of the parameters: strength * K
    error = np.sqrt(variance / count)
    assert np.all(np.abs(parts.mean(axis=0) - mean) < 4.5 * error)
    # Over 3,000 draws these estimates are off by 3% or so.
    assert parts.var(axis=0) == pytest.approx(variance, rel=0.12)
    covariance = np.cov(parts.T)[0, 1]
    assert covariance == pytest.approx(-mean[0] * mean[1] / (strength * 3 + 1), rel=0.15)


def test_strength_one_at_equal_shares_is_uniform_on_the_simplex() -> None:
    base = shares_of([1, 1, 1])
    drawn = draw_around(base, (1.0, 1.0), 3000, {}, (5, 0), "here")
    # A share of a uniform point of the triangle is below x with probability 1 - (1 - x)^2.
    for name in base:
        ordered = np.sort([float(own[name]) for own in drawn])
        distance = np.abs(1 - (1 - ordered) ** 2 - (np.arange(3000) + 0.5) / 3000).max()
        assert distance < 1.95 / math.sqrt(3000)  # Kolmogorov-Smirnov at 0.1%


def test_strengths_are_drawn_evenly_by_their_logarithm() -> None:
    base, low, high = shares_of([1, 1]), 0.25, 16.0
    drawn = draw_around(base, (low, high), 3000, {}, (3, 0), "here")
    # The variance given s is 1 / (4 (2 s + 1)); its mean over log s is an integral that has a closed form.
    spread = math.log(high / low)
    expected = (spread - math.log((2 * high + 1) / (2 * low + 1))) / (4 * spread)
    assert float(np.var([float(own["en"]) for own in drawn])) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("strength", [(1e-300, 1e-290), (1e12, 1e12), (1e307, 1.7e308)])
def test_strengths_that_draw_the_same_again_end_in_words(strength: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"^here: none of 10,000 draws for mixture \d is another than those before it"):
        draw_around(shares_of([1, 2, 3]), strength, 50, {}, (1, 0), "here")


def test_bounds_that_are_hardly_ever_met_are_named() -> None:
    bounds = {"low": Range(max=Fraction(1, 2)), "en": Range(min=Fraction(999, 1000))}
    with pytest.raises(UserError, match=r"within the bounds: en at least 99\.9% missed by [\d,]+(, low .*)?; loosen"):
        draw_around(shares_of([1, 5, 1, 1]), (4.0, 4.0), 1, bounds, (1, 0), "here")


@given(st.data(), PARTS, TOTALS)
def test_impossible_bounds_are_refused_and_possible_ones_are_not(
    data: st.DataObject, parts: list[int], total: Fraction
) -> None:
    shares = shares_of(parts, total)
    refuse_impossible(data.draw(bounds_around(shares)), shares, total, "here")
    too_high = {name: Range(min=share + Fraction(1, 1000)) for name, share in shares.items()}
    with pytest.raises(
        UserError, match=r"^here: the lowest shares sum to .* there is .* to share; change the bounds: en"
    ):
        refuse_impossible(too_high, shares, total, "here")
    too_low = {name: Range(max=share * Fraction(9, 10)) for name, share in shares.items()}
    with pytest.raises(UserError, match=r"^here: the highest shares sum to"):
        refuse_impossible(too_low, shares, total, "here")


def test_bounds_themselves_are_within() -> None:
    bounds = {"en": Range(min=Fraction(1, 10), max=Fraction(2, 10)), "zh": Range()}
    for share, found in (("0.1", []), ("0.2", []), ("0.0999", ["en"]), ("0.2001", ["en"])):
        assert outside({"en": Fraction(share), "zh": 1 - Fraction(share)}, bounds) == found
    assert outside({"en": Fraction(0), "zh": Fraction(1)}, {"en": Range(max=Fraction(0))}) == []
    assert outside({"en": UNIT, "zh": 1 - UNIT}, {"en": Range(max=Fraction(0))}) == ["en"]
