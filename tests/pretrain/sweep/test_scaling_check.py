"""Whether the order of mixtures holds on another proxy, and when nothing may be said of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pretrain.sweep.analysis.analysis_schema import Scaling
from pretrain.sweep.analysis.scaling_check import compare_proxies

VALUES = st.lists(st.integers(-20, 20).map(float), min_size=0, max_size=8)


def compare(small: list[float], large: list[float]) -> Scaling:
    losses = {"el": (small, large)}
    return compare_proxies(range(len(small)), (small, large), losses, (10, 100), samples=50, seed=1)


def test_the_same_order_holds() -> None:
    found = compare([-0.1, -0.2, -0.3, -0.4, -0.5, -0.6], [-0.11, -0.12, -0.13, -0.14, -0.15, -0.16])
    assert found.rank_correlation is not None
    assert found.rank_correlation.value == pytest.approx(1)
    assert found.same_best
    assert found.words.startswith("The order of the mixtures holds on the other model")
    assert "Marco-LLM" in found.words


def test_four_mixtures_are_too_few_to_be_sure_even_in_the_same_order() -> None:
    assert "is doubtful" in compare([1, 2, 3, 4], [1, 2, 3, 4]).words


def test_the_reverse_order_does_not_hold() -> None:
    found = compare([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    assert not found.same_best
    assert "does not hold" in found.words


def test_an_order_that_depends_on_a_few_trials_is_doubtful() -> None:
    # 0.83, but without the two outermost there is no order at all.
    found = compare([0, 3, 4, 5, 6, 9], [0, 5, 4, 6, 3, 9])
    assert found.rank_correlation is not None
    assert found.rank_correlation.low < 0.5
    assert "is doubtful" in found.words


@pytest.mark.parametrize("count", [0, 1, 4])
def test_without_an_order_nothing_is_said(count: int) -> None:
    found = compare([1.0] * count, [2.0] * count)
    assert found.rank_correlation is None
    assert found.by_language == {"el": None}
    assert found.words.startswith("Nothing can be said")


@given(VALUES)
def test_the_correlation_is_spearmans_and_the_interval_is_finite(small: list[float]) -> None:
    large = small[::-1]
    found = compare(small, large)
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    if len(set(small)) < 2:
        assert found.rank_correlation is None
    else:
        assert found.rank_correlation is not None
        assert found.rank_correlation.value == pytest.approx(stats.spearmanr(small, large).statistic)
        assert -1 <= found.rank_correlation.low <= found.rank_correlation.high <= 1
