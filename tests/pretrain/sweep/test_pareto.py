"""Who is on the front, against a comparison of all with all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pretrain.sweep.analysis.pareto import pareto_front

# Few values, so that many are equal.
NUMBERS = st.integers(-3, 3).map(lambda number: number / 4)


def compared_with_all(points: list[tuple[float, float]]) -> list[bool]:
    def worse(own: tuple[float, float], other: tuple[float, float]) -> bool:
        return other[0] <= own[0] and other[1] <= own[1] and other != own

    return [not any(worse(own, other) for other in points) for own in points]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30))
def test_the_front_is_who_is_beaten_by_nobody(points: list[tuple[float, float]]) -> None:
    found = pareto_front([own for own, _ in points], [lost for _, lost in points])
    assert list(found) == compared_with_all(points)
    assert any(found) or not points


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_with_nothing_to_forget_the_best_adaptation_is_the_front(adaptation: list[float]) -> None:
    found = pareto_front(adaptation, [None] * len(adaptation))
    assert list(found) == [own == min(adaptation) for own in adaptation]


def test_equal_trials_are_on_it_together_and_a_worse_twin_is_not() -> None:
    assert pareto_front([-0.1, -0.1, -0.1, -0.2], [0.0, 0.0, 0.01, 0.02]) == (True, True, False, True)
