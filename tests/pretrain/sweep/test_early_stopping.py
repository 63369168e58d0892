"""Early stopping: a verdict of the evaluations alone, against the base trial after as many tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.sweep.launch.early_stopping import Curve, StoppingRule, mean_bits, mean_curve
from pretrain.sweep.launch.trial_rows import Measured

BITS = st.floats(0.1, 20)
ROWS = st.dictionaries(st.integers(0, 1000), st.tuples(BITS, BITS), min_size=1, max_size=12).map(
    lambda found: [Measured(tokens, {"el": el, "tr": tr}) for tokens, (el, tr) in sorted(found.items())]
)
WEIGHTS = {"el": 3.0, "tr": 1.0}


def rule(base: Curve, above: float = 0.1, begin: float = 0, end: int = 1000) -> StoppingRule:
    return StoppingRule(above, begin, end, WEIGHTS, base)


@given(ROWS, st.integers(0, 1000))
def test_the_base_curve_is_linear_between_evaluations(rows: list[Measured], tokens: int) -> None:
    curve = mean_curve(rows, WEIGHTS)
    found = curve.at(tokens)
    if tokens < rows[0].tokens:
        assert found is None
    else:
        means = [0.75 * row.bits["el"] + 0.25 * row.bits["tr"] for row in rows]
        assert found == pytest.approx(np.interp(tokens, [row.tokens for row in rows], means))


@given(ROWS, ROWS, st.floats(0.01, 1), st.integers(0, 500))
def test_the_verdict_does_not_depend_on_how_much_is_written_yet(
    base: list[Measured], rows: list[Measured], above: float, begin: int
) -> None:
    own = rule(mean_curve(base, WEIGHTS), above, begin)
    whole = own.stops_at(rows)
    for count in range(len(rows) + 1):
        assert own.stops_at(rows[:count]) == (whole if whole is not None and whole < count else None)


@given(ROWS, ROWS, st.floats(0.01, 1), st.integers(0, 500))
def test_it_is_the_first_evaluation_that_is_far_above(
    base: list[Measured], rows: list[Measured], above: float, begin: int
) -> None:
    means = {row.tokens: 0.75 * row.bits["el"] + 0.25 * row.bits["tr"] for row in base}
    expected = None
    for place in reversed(range(len(rows))):
        tokens, bits = rows[place].tokens, rows[place].bits
        if tokens < max(begin, base[0].tokens) or tokens >= 1000:
            continue
        there = float(np.interp(tokens, list(means), list(means.values())))
        ratio = (0.75 * bits["el"] + 0.25 * bits["tr"]) / there
        if abs(ratio - 1 - above) < 1e-9:
            return  # rounding decides
        if ratio > 1 + above:
            expected = place
    assert rule(mean_curve(base, WEIGHTS), above, begin).stops_at(rows) == expected


def test_the_limit_itself_does_not_stop_and_the_end_has_nothing_to_stop() -> None:
    base = Curve((0, 1000), (4.0, 2.0))
    row = Measured(500, {"el": 4.5, "tr": 4.5})  # the base has 3 there
    assert rule(base, above=0.5).stops_at([row]) is None
    assert rule(base, above=0.49).stops_at([row]) == 0
    assert rule(base, above=0.49, begin=501).stops_at([row]) is None
    assert rule(base, above=0.49).stops_at([row._replace(tokens=1000)]) is None
    assert "4.5000 bits per byte after 500 tokens, 50.0% above the base mixture's 3.0000" in rule(base).words(row)


@given(st.dictionaries(st.sampled_from(["el", "tr", "mt"]), BITS, min_size=1), st.floats(0.01, 100))
def test_the_mean_depends_on_the_proportions_of_weights_alone(bits: dict[str, float], factor: float) -> None:
    weights = dict.fromkeys(bits, 1.0) | {min(bits): 2.0}
    found = mean_bits(Measured(0, bits), weights)
    assert found == pytest.approx(mean_bits(Measured(0, bits), {name: factor * own for name, own in weights.items()}))
    assert min(bits.values()) - 1e-9 <= (found or 0) <= max(bits.values()) + 1e-9


def test_a_language_without_a_finite_loss_stops_nothing() -> None:
    assert mean_bits(Measured(5, {"el": 1.0}, ("tr",)), WEIGHTS) is None
    assert mean_bits(Measured(5, {"el": 1.0}), {}) is None
    assert rule(Curve((0,), (1.0,))).stops_at([Measured(5, {"el": 9.0}, ("tr",))]) is None
    assert mean_curve([Measured(0, {"el": 1.0}), Measured(5, {"el": 1.0, "tr": 1.0})], WEIGHTS) == ((5,), (1.0,))
    assert rule(mean_curve([], WEIGHTS)).stops_at([Measured(5, {"el": 9.0, "tr": 9.0})]) is None
