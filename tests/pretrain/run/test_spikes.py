"""What is done about losses that are no numbers, and losses that leap."""

from __future__ import annotations

import math

import pytest

from pretrain.run.run_config import SpikeConfig
from pretrain.run.spikes import DivergedError, SpikeWatch


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)])
def test_a_step_that_is_not_finite_may_not_change_the_weights(loss: float, norm: float) -> None:
    assert not SpikeWatch(SpikeConfig()).may_step(loss, norm)
    assert SpikeWatch(SpikeConfig(skip_not_finite=False)).may_step(loss, norm)


def test_only_steps_in_a_row_end_the_run() -> None:
    watch = SpikeWatch(SpikeConfig(max_not_finite=2))
    for _ in range(5):
        assert not watch.may_step(math.nan, 1.0)
        watch.check()
        assert watch.may_step(1.0, 1.0)
    watch.may_step(math.nan, 1.0)
    watch.check()
    watch.may_step(math.nan, 1.0)
    with pytest.raises(DivergedError, match="2 steps in a row gave no finite loss"):
        watch.check()


def test_a_loss_leaps_that_is_far_above_the_median_of_a_whole_window() -> None:
    watch = SpikeWatch(SpikeConfig(loss_factor=1.5, window=4), [2.0, 2.1])
    assert watch.leap(9.0) is None  # too few steps to know what is usual
    assert watch.leap(2.0) is None
    assert watch.leap(3.0) is None
    assert watch.leap(4.0) == pytest.approx(4.0 / 2.55)
    assert watch.leap(math.nan) is None


def test_leaps_can_be_left_alone() -> None:
    watch = SpikeWatch(SpikeConfig(loss_factor=None, window=1), [1.0])
    assert watch.leap(100.0) is None
