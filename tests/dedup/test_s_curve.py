"""The S-curve against the chance that independent rows agree, and where it crosses one half."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.minhash import MinHashConfig
from dedup.s_curve import curve, half, missed_at_threshold, probabilities, probability, steepest

BANDS, ROWS = st.integers(1, 500), st.integers(1, 25)


@given(BANDS, ROWS)
def test_the_curve_goes_from_never_to_always_and_never_falls(bands: int, rows: int) -> None:
    values = probabilities(np.linspace(0, 1, 101), bands, rows)
    assert values[0] == 0
    assert values[-1] == 1
    assert (np.diff(values) >= -1e-12).all()


@given(BANDS, ROWS, st.lists(st.floats(0, 1), max_size=10))
def test_many_probabilities_are_those_of_each(bands: int, rows: int, similarities: list[float]) -> None:
    values = probabilities(np.array(similarities), bands, rows)
    assert values == pytest.approx([probability(value, bands, rows) for value in similarities], abs=1e-12)


@given(BANDS, ROWS)
def test_half_is_where_half_of_the_pairs_are_compared(bands: int, rows: int) -> None:
    assert probability(half(bands, rows), bands, rows) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("bands", "rows"), [(2, 1), (14, 8), (20, 5)])
def test_bands_of_agreeing_rows_are_as_frequent_as_the_curve_says(bands: int, rows: int) -> None:
    """Rows of a signature agree with the probability of the similarity, independently: drawn here as such."""
    similarity, trials = 0.6, 40_000
    rng = np.random.default_rng(5)
    agree = rng.random((trials, bands, rows)) < similarity
    share = np.any(np.all(agree, axis=2), axis=1).mean()
    expected = probability(similarity, bands, rows)
    assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / trials) ** 0.5 + 1e-9)


def test_the_presets_miss_what_their_papers_say() -> None:
    """FineWeb (section 3.4) names 77% and 92% at 0.75 and 0.8 for its 14 bands of 8."""
    fineweb, refinedweb = (MinHashConfig.model_validate({"preset": name}) for name in ("fineweb", "refinedweb"))
    assert missed_at_threshold(fineweb) == pytest.approx(1 - 0.77, abs=0.005)
    assert probability(0.8, fineweb.bands, fineweb.rows) == pytest.approx(0.92, abs=0.005)
    assert probability(0.8, refinedweb.bands, refinedweb.rows) == pytest.approx(0.995, abs=0.005)
    assert half(450, 20) > half(14, 8)


def test_a_pair_counts_from_the_threshold_on() -> None:
    rows = curve(MinHashConfig(min_similarity=0.8), [0.75, 0.8, 0.85])
    assert [similar for _, _, similar in rows] == [False, True, True]
    assert rows[1][1] == probability(0.8, 14, 8)
    assert steepest(14, 8) == pytest.approx((1 / 14) ** (1 / 8))
