"""Calibration: thresholds lie where the method says, their intervals hold the truth, and useless ones are refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from filters.calibrate import (
    CalibrateConfig,
    Position,
    Threshold,
    fit_thresholds,
    lint,
    positions,
    quantile_interval,
    removed_together,
)
from filters.metrics import MEASURES, Measure
from filters.rules import Bounds, BoundSide, Subject

Values = NDArray[np.float64]


def sample(seed: int = 0, count: int = 5000) -> Values:
    return np.random.default_rng(seed).beta(2, 8, count)


def fit(columns: dict[str, Values], **settings: object) -> dict[tuple[str, BoundSide], Threshold]:
    fitted = fit_thresholds(columns, CalibrateConfig.model_validate(settings))
    return {(threshold.measure, threshold.side): threshold for threshold in fitted}


def test_a_percentile_is_taken_on_the_bad_side() -> None:
    values = sample()
    fitted = fit({"digit_ratio": values, "script_ratio": values, "punctuation_ratio": values}, percentile=5)
    high, low = float(np.percentile(values, 95)), float(np.percentile(values, 5))
    assert set(fitted) == {
        ("digit_ratio", "max"), ("script_ratio", "min"), ("punctuation_ratio", "min"), ("punctuation_ratio", "max")
    }  # fmt: skip
    assert fitted["digit_ratio", "max"].value == pytest.approx(high, rel=1e-3)
    assert fitted["script_ratio", "min"].value == pytest.approx(low, rel=1e-3)
    assert all(threshold.removed == pytest.approx(0.05, abs=0.002) for threshold in fitted.values())


def test_a_tail_is_the_share_that_goes() -> None:
    threshold = fit({"digit_ratio": sample()}, method="tail", tail=0.08)["digit_ratio", "max"]
    assert threshold.removed == pytest.approx(0.08, abs=0.001)
    assert threshold.refused is None


def test_sigmas_are_counted_from_the_mean() -> None:
    values = sample()
    threshold = fit({"digit_ratio": values}, method="sigma", sigmas=2)["digit_ratio", "max"]
    assert threshold.value == pytest.approx(values.mean() + 2 * values.std(), rel=1e-3)
    assert threshold.low < threshold.value < threshold.high


@pytest.mark.parametrize("method", ["quantile", "sigma"])
def test_a_threshold_lies_where_the_english_one_lies(method: str) -> None:
    english, other = sample(1), 0.5 * sample(2)
    reference = positions({"digit_ratio": english}, {"digit_ratio": Bounds(max=0.45)})
    config = CalibrateConfig.model_validate({"method": method, "sigmas": None, "max_removed": 0.5})
    (threshold,) = fit_thresholds({"digit_ratio": other, "upper_ratio": other}, config, reference)
    expected = float((english > 0.45).mean())
    assert threshold.removed == pytest.approx(expected, abs=0.01)
    assert threshold.value == pytest.approx(0.225, rel=0.1)


def test_a_method_without_its_reference_says_so() -> None:
    with pytest.raises(ValueError, match="needs a reference"):
        fit({"digit_ratio": sample()}, method="quantile")


def test_another_subject_has_its_own_measures_and_is_called_by_its_name() -> None:
    subject = Subject(
        "web host", {"pages": Measure("pages", "low", None, whole=True), "links": Measure("", "high", 3.0)}
    )
    columns = {"pages": 1000 * sample(1, 400), "links": 3 * sample(2, 400), "digit_ratio": sample(3, 400)}
    pages, links = fit_thresholds(columns, CalibrateConfig(percentile=5), subject=subject)
    assert (pages.measure, pages.side, pages.value % 1) == ("pages", "min", 0)
    assert (links.measure, links.side, links.refused) == ("links", "max", None)
    assert links.value == pytest.approx(np.percentile(columns["links"], 95), rel=1e-3)
    (few,) = fit_thresholds({"links": columns["links"][:20]}, CalibrateConfig(), subject=subject)
    assert few.refused == "rests on 20 web hosts; at least 300 are needed"
    with pytest.raises(ValueError, match="unknown measure 'words'; the measures are: pages, links"):
        fit_thresholds(columns, CalibrateConfig(measures=("words",)), subject=subject)


def test_unknown_measures_are_named() -> None:
    with pytest.raises(ValueError, match="unknown measure 'digits'"):
        fit({"digit_ratio": sample()}, measures=("digits",))


@given(
    st.lists(st.floats(0, 1), min_size=20, max_size=200),
    st.sampled_from(["percentile", "tail", "sigma"]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_documents_makes_no_difference(values: list[float], method: str, random: object) -> None:
    shuffled = sorted(values, key=lambda value: hash((value, "x")))
    first, second = (fit({"digit_ratio": np.array(own)}, method=method, min_documents=1) for own in (values, shuffled))
    assert first == second


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0.01, 0.99))
def test_an_interval_holds_its_quantile(values: list[float], quantile: float) -> None:
    value, low, high = quantile_interval(np.array(values), quantile, 0.95)
    assert low <= value <= high


def test_intervals_hold_the_true_quantile_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        _, low, high = quantile_interval(generator.random(500), 0.9, 0.95)
        held += low <= 0.9 <= high
    assert 0.92 <= held / 400 <= 0.99


@pytest.mark.parametrize(
    ("name", "side", "value", "reason"),
    [
        ("digit_ratio", "max", 1.0, "cannot fire"),
        ("digit_ratio", "max", 1.2, "out of the measure's range"),
        ("digit_ratio", "max", -0.1, "out of the measure's range"),
        ("script_ratio", "min", 0.0, "cannot fire"),
        ("script_ratio", "min", 1.5, "out of the measure's range"),
        ("words", "min", 0.0, "cannot fire"),
        ("words", "min", math.nan, "out of the measure's range"),
        ("words", "max", 5.0, None),
        ("digit_ratio", "max", 0.0, "every document that is not perfect would go"),
        ("script_ratio", "min", 1.0, "every document that is not perfect would go"),
    ],
)
def test_thresholds_that_make_no_sense(name: str, side: BoundSide, value: float, reason: str | None) -> None:
    config = CalibrateConfig(max_removed=1, min_removed=1)
    found = lint(name, side, value, np.array([0.0, 10.0] * 500), config)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("value", "settings", "reason"),
    [
        (0.999, {}, "no document of the sample lies beyond it"),
        (0.4, {"min_documents": 6000}, "rests on 5,000 documents"),
        (0.1, {}, "would remove 7"),
        (0.62, {"min_removed": 100}, "documents beyond it"),
        (0.45, {}, None),
    ],
)
def test_thresholds_are_refused_with_the_reason(value: float, settings: dict[str, int], reason: str | None) -> None:
    found = lint("digit_ratio", "max", value, sample(), CalibrateConfig.model_validate(settings))
    assert found is None if reason is None else reason in str(found)


def test_a_measure_that_never_varies_gives_no_threshold() -> None:
    threshold = fit({"garbled_ratio": np.zeros(1000)})["garbled_ratio", "max"]
    assert threshold.refused is not None


def test_a_measure_without_values_gives_no_threshold() -> None:
    assert fit({"perplexity": np.full(1000, np.nan)})["perplexity", "max"].refused == "no document has a value"


def test_documents_without_a_value_are_left_out_and_removed_by_nothing() -> None:
    values = np.concatenate([sample(), np.full(5000, np.nan)])
    columns = {"digit_ratio": values}
    fitted = fit_thresholds(columns, CalibrateConfig(percentile=5))
    assert fitted[0].documents == 5000
    assert removed_together(columns, fitted) == pytest.approx(0.025, abs=0.001)


def test_what_all_thresholds_remove_is_counted_once() -> None:
    values = sample()
    columns = {"digit_ratio": values, "upper_ratio": values}
    fitted = fit_thresholds(columns, CalibrateConfig(percentile=5))
    assert removed_together(columns, fitted) == pytest.approx(0.05, abs=0.002)


def test_positions_say_where_thresholds_lie() -> None:
    values = np.arange(100, dtype=np.float64)
    found = positions({"words": values}, {"words": Bounds(min=10), "lines": Bounds(min=1), "chars": Bounds()})
    assert found == {("words", "min"): Position(0.1, pytest.approx((10 - 49.5) / values.std()))}  # type: ignore[arg-type]


def test_every_measure_has_a_side_and_a_range() -> None:
    for name, measure in MEASURES.items():
        assert measure.highest is None or name.endswith(("_ratio", "_score"))


@given(st.lists(st.floats(0.9, 1), min_size=50, max_size=100))
def test_rounding_removes_no_more_than_was_fitted(values: list[float]) -> None:
    column = np.array(values)
    threshold = fit({"script_ratio": column}, percentile=10, min_documents=1)["script_ratio", "min"]
    assert threshold.value <= float(np.quantile(column, 0.1)) < threshold.value + 0.001
