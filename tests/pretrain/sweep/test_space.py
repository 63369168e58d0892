"""The space of mixtures: bounds are kept exactly, whatever they are, and draws are within them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from configs.errors import UserError
from pretrain.sweep.analysis.features import Features, ShareBlock
from pretrain.sweep.analysis.space import UNIT, Space
from pretrain.sweep.sweep_config import Range
from pretrain.sweep.trial import Point

SHARES = st.lists(st.integers(1, 10_000), min_size=2, max_size=6)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A block of some categories beside a fixed one, with bounds of the user around the base share or none."""
    weights = draw(SHARES)
    fixed = draw(st.integers(0, 5000))
    whole = sum(weights) + fixed
    shares = {f"c{place}": Fraction(weight, whole) for place, weight in enumerate(weights)}
    bounds = {}
    for name, share in shares.items():
        low = draw(st.none() | st.fractions(0, 1, max_denominator=999))
        high = draw(st.none() | st.fractions(0, 1, max_denominator=999))
        bounds[name] = Range(
            min=None if low is None else share * low, max=None if high is None else share + (1 - share) * high
        )
    base = Point(shares={"only": {**shares, "fixed": Fraction(fixed, whole)}})
    block = ShareBlock(("only",), tuple(shares), float(sum(shares.values())))
    others = [Point(shares={"only": {**dict(zip(shares, reversed(shares.values()), strict=True))}})]
    return Space.of(Features((block,)), base, [base, *others], bounds)


@given(spaces(), st.integers(0, 100))
def test_drawn_mixtures_and_their_exact_points_are_within_the_bounds(space: Space, seed: int) -> None:
    rows = space.draw(20, np.random.default_rng(seed))
    low, high = (np.array([float(limit[side]) for limit in space.limits[0]]) for side in (0, 1))
    assert (rows >= low - 1e-9).all()
    assert (rows <= high + 1e-9).all()
    assert rows.sum(axis=1) == pytest.approx(float(space.totals[0]))
    for row in rows:
        point = space.point(row)
        assert space.contains(point)
        assert sum(point.shares["only"].values()) == 1
        assert point.shares["only"]["fixed"] == space.base.shares["only"]["fixed"]
        # Bounds or a sum that are no whole units can push a share by a few.
        assert space.row(point) == pytest.approx(row, abs=len(row) * float(UNIT))


@given(spaces(), st.integers(0, 100))
def test_exchanges_stay_within_and_change_two_shares(space: Space, seed: int) -> None:
    row = space.draw(1, np.random.default_rng(seed))[0]
    for moved in space.exchanges(row, 0.05):
        assert np.count_nonzero(moved != row) == 2
        assert np.abs(moved - row).max() <= 0.05 + 1e-12
        assert moved == pytest.approx(space.inside(moved[None])[0], abs=1e-9)


@given(spaces(), st.lists(st.floats(-1, 2), min_size=6, max_size=6))
def test_what_is_outside_moves_to_the_nearest_mixture_within(space: Space, numbers: list[float]) -> None:
    row = np.array(numbers[: len(space.limits[0])])
    found = space.inside(row[None])[0]
    bounds = [(float(limit.low), float(limit.high)) for limit in space.limits[0]]
    whole = {"type": "eq", "fun": lambda shares: shares.sum() - float(space.totals[0])}
    start = space.row(space.base)
    best = optimize.minimize(
        lambda shares: ((shares - row) ** 2).sum(), start, bounds=bounds, constraints=whole, tol=1e-12
    )
    assert ((found - row) ** 2).sum() <= best.fun + 1e-6
    assert found.sum() == pytest.approx(float(space.totals[0]))


def space_of(bounds: dict[str, Range], *tried: tuple[str, ...]) -> Space:
    names = ("a", "b", "c")
    points = [Point(shares={"only": dict(zip(names, map(Fraction, own), strict=True))}) for own in tried]
    return Space.of(Features((ShareBlock(("only",), names, 1.0),)), points[0], points, bounds)


TRIED = (("0.2", "0.3", "0.5"), ("0.4", "0.4", "0.2"))


def test_a_share_without_bounds_stays_within_what_was_tried() -> None:
    space = space_of({"a": Range(max=Fraction(9, 10))}, *TRIED)
    tenths = [(float(limit.low) * 10, float(limit.high) * 10) for limit in space.limits[0]]
    assert tenths == [(2, 9), (3, 4), (2, 5)]


def test_bounds_that_no_tried_mixture_is_near_are_the_users_alone() -> None:
    # Of b and c no less than 0.3 and 0.2 was tried, and a has to have more than is left.
    space = space_of({"a": Range(min=Fraction(8, 10))}, *TRIED)
    tenths = [(float(limit.low) * 10, float(limit.high) * 10) for limit in space.limits[0]]
    assert tenths == [(8, 10), (0, 10), (0, 10)]


def test_bounds_that_cannot_be_met_are_told() -> None:
    with pytest.raises(UserError, match="no shares of a, b, c within their bounds sum to 100%"):
        space_of({name: Range(max=Fraction(3, 10)) for name in "abc"}, *TRIED)
