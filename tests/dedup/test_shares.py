"""Wilson's interval against its definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.shares import share_of

Z = 1.959963984540054
COUNTS = st.integers(1, 10_000).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole)))


@given(COUNTS)
def test_at_its_ends_the_share_is_as_far_off_as_the_interval_allows(counts: tuple[int, int]) -> None:
    part, whole = counts
    own = share_of(part, whole)
    assert own.value == part / whole
    assert 0 <= own.low <= own.value <= own.high <= 1
    for end in (own.low, own.high):
        # The score test, solved for the probability: |share - p| = z * sqrt(p (1 - p) / n).
        distance = (own.value - end) ** 2 - Z * Z * end * (1 - end) / whole
        assert distance == pytest.approx(0, abs=1e-9)


def test_known_intervals() -> None:
    """Newcombe (1998), table I: the score method without continuity correction."""
    for part, whole, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611),
                                   (1, 29, 0.0061, 0.1718)]:  # fmt: skip
        own = share_of(part, whole)
        assert (own.low, own.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_tells_nothing() -> None:
    own = share_of(0, 0)
    assert own.value is None
    assert (own.low, own.high) == (0, 1)
    for part, whole in [(2, 1), (-1, 3)]:
        with pytest.raises(ValueError, match="no share"):
            share_of(part, whole)
