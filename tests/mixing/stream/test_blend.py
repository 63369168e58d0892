"""The blend: Megatron-LM's, index for index, and shares that stay within what is proved."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.stream.blend import SampleBlend, TokenBlend, check_weights, sample_choices
from mixing.stream.blend_bounds import guaranteed_window, longest_piece, spread
from tests.mixing.megatron import megatron_helpers


def blended(weights: list[float], size: int) -> list[int]:
    """Return what Megatron-LM's loop chooses, written from its description: the largest error, the first of equals."""
    taken = [0] * len(weights)
    chosen = []
    for step in range(size):
        errors = [weight * max(float(step), 1.0) - float(count) for weight, count in zip(weights, taken, strict=True)]
        best = errors.index(max(errors))
        chosen.append(best)
        taken[best] += 1
    return chosen


@st.composite
def mixtures(draw: st.DrawFn, most: int = 12) -> list[float]:
    """Return weights that sum to 1: even, uneven, and with next to nothing among them."""
    parts: list[float] = draw(st.lists(st.one_of(st.integers(1, 5), st.floats(1e-9, 1)), min_size=1, max_size=most))
    whole = math.fsum(parts)
    return [part / whole for part in parts]


def mixture(kind: str, sources: int) -> list[float]:
    random = np.random.default_rng(sources)
    weights = {
        "even": np.ones(sources),
        "uneven": random.dirichlet(np.ones(sources)),
        "zipf": 1 / np.arange(1, sources + 1),
        "tiny": random.dirichlet(np.full(sources, 0.1)) + 1e-9,
        "tail": np.concatenate(([0.6, 0.3], np.full(sources - 2, 1e-5))),
    }[kind]
    return list(weights / weights.sum())


@given(mixtures(), st.integers(0, 3000))
def test_choices_are_those_of_megatrons_loop(weights: list[float], count: int) -> None:
    chosen, taken = sample_choices(weights, [0] * len(weights), count)
    assert chosen.tolist() == blended(weights, count)
    assert taken.tolist() == np.bincount(chosen, minlength=len(weights)).tolist()


@pytest.mark.parametrize("sources", [2, 3, 10, 40])
@pytest.mark.parametrize("kind", ["even", "uneven", "zipf", "tiny"])
def test_many_choices_are_those_of_megatrons_loop(kind: str, sources: int) -> None:
    """Enough for many lanes at a time."""
    weights = mixture(kind, sources)
    count = 400_000 // sources
    assert sample_choices(weights, [0] * sources, count)[0].tolist() == blended(weights, count)


@pytest.mark.parametrize(
    ("kind", "sources"),
    [*itertools.product(["even", "uneven", "zipf", "tiny", "tail"], [2, 7, 30, 150]), ("uneven", 1000)],
)
def test_choices_are_those_of_megatron(kind: str, sources: int) -> None:
    helpers = megatron_helpers()
    weights, count = mixture(kind, sources), 300_000
    dataset, sample = np.zeros(count, dtype=np.int16), np.zeros(count, dtype=np.int64)
    helpers.build_blending_indices(dataset, sample, np.array(weights), sources, count, False)
    np.testing.assert_array_equal(sample_choices(weights, [0] * sources, count)[0], dataset)


def test_a_hundred_random_weightings_are_those_of_megatron() -> None:
    helpers = megatron_helpers()
    random, count = np.random.default_rng(7), 20_000
    for number in range(100):
        sources = int(random.integers(1, 40))
        weights = random.dirichlet(np.full(sources, random.choice([0.02, 0.3, 1.0, 30.0])))
        if number % 5 == 0 and sources > 1:  # next to nothing, and nothing at all
            weights[0], weights[-1] = 1e-9, 0.0
            weights /= weights.sum()
        dataset, sample = np.zeros(count, dtype=np.int16), np.zeros(count, dtype=np.int64)
        helpers.build_blending_indices(dataset, sample, weights, sources, count, False)
        np.testing.assert_array_equal(sample_choices(weights.tolist(), [0] * sources, count)[0], dataset)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sources", [700, 3000])
def test_many_small_sources_are_blended_alike(sources: int) -> None:
    """So small that none is due in the steps that are looked at together."""
    weights = [1 / sources] * sources
    assert sample_choices(weights, [0] * sources, 600)[0].tolist() == list(range(600))
    assert sample_choices(weights, [1] * sources, 600)[0].tolist() == list(range(600))


@given(mixtures(), st.lists(st.integers(0, 1500), min_size=1, max_size=4))
def test_the_blend_goes_on_from_any_step(weights: list[float], parts: list[int]) -> None:
    taken = [0] * len(weights)
    chosen: list[int] = []
    for count in parts:
        more, after = sample_choices(weights, taken, count)
        chosen += more.tolist()
        taken = after.tolist()
    assert chosen == sample_choices(weights, [0] * len(weights), sum(parts))[0].tolist()


@given(mixtures(), st.integers(0, 400))
def test_one_at_a_time_is_the_same(weights: list[float], begin: int) -> None:
    expected = blended(weights, begin + 300)
    blend = SampleBlend(weights, np.bincount(expected[:begin], minlength=len(weights)).tolist())
    for source in expected[begin:]:
        assert blend.choose() == blend.choose() == source
        blend.add(source, 999)
    assert blend.taken.tolist() == np.bincount(expected, minlength=len(weights)).tolist()


@given(mixtures())
def test_pieces_of_one_token_are_blended_as_samples_are(weights: list[float]) -> None:
    blend = TokenBlend(weights)
    chosen = []
    for _ in range(300):
        chosen.append(blend.choose())
        blend.add(chosen[-1], 1)
    assert chosen == blended(weights, 300)


@given(mixtures(6), st.integers(1, 4))
def test_a_source_without_weight_is_never_drawn(weights: list[float], zeros: int) -> None:
    """First in the list, where it would win every tie; the others are drawn as if it were not there."""
    padded = [0.0] * zeros + weights
    chosen = sample_choices(padded, [0] * len(padded), 700)[0]
    assert (chosen - zeros).tolist() == blended(weights, 700)
    blend = TokenBlend(padded)
    for _ in range(300):
        source = blend.choose()
        assert source >= zeros
        blend.add(source, 1)


def test_a_tiny_source_gets_its_share() -> None:
    weights = [1 - 1e-9, 1e-9]
    taken = [499_999_999, 1]
    assert sample_choices(weights, taken, 100)[0].sum() == 0
    assert sample_choices(weights, [1_000_000_001, 1], 3)[0].tolist() == [1, 0, 0]


def test_a_billionth_step_takes_no_longer_than_the_first() -> None:
    weights = mixture("uneven", 50)
    taken = [round(weight * 10**12) for weight in weights]
    begin = time.perf_counter()
    chosen, after = sample_choices(weights, taken, 1000)
    assert time.perf_counter() - begin < 1
    assert len(chosen) == 1000
    assert (after - taken).sum() == 1000


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([0.5, math.nan], "the weight of 'b' is nan"),
        ([0.5, math.inf], "the weight of 'b' is inf"),
        ([1.5, -0.5], "the weight of 'b' is -0.5"),
        ([0.5, 0.4], "the weights sum to 0.9"),
        ([0.0, 0.0], "the weights sum to 0"),
        ([1.0], "2 sources and 1 weights"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_weights(["a", "b"], weights)


def test_decimal_weights_need_not_sum_to_the_last_bit() -> None:
    assert check_weights([str(place) for place in range(10)], [0.1] * 10).sum() == pytest.approx(1)


def behind(weights: list[float], taken: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how far each source is behind its share after each step."""
    return np.outer(taken.sum(axis=1), weights) - taken


@pytest.mark.parametrize("kind", ["even", "uneven", "zipf", "tiny"])
@pytest.mark.parametrize("sources", [2, 3, 10, 100])
def test_samples_stay_within_what_is_proved(kind: str, sources: int) -> None:
    weights = mixture(kind, sources)
    chosen = sample_choices(weights, [0] * sources, 50_000)[0]
    taken = np.concatenate((np.zeros((1, sources), np.int64), np.eye(sources, dtype=np.int64)[chosen].cumsum(axis=0)))
    off = behind(weights, taken)
    assert np.ptp(off, axis=0).max() <= spread(weights) + 1e-6
    assert (off >= np.array(weights) - 1 - 1e-6).all()


@settings(max_examples=60)
@given(
    mixtures(8),
    st.integers(1, 5000),
    st.sampled_from(["random", "long or short", "against the first"]),
    st.integers(0, 99),
)
def test_pieces_of_any_length_stay_within_what_is_proved(
    weights: list[float], longest: int, habit: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    blend = TokenBlend(weights)
    taken = [blend.taken.copy()]
    for _ in range(600):
        source = blend.choose()
        if habit == "random":
            length = int(random.integers(1, longest + 1))
        elif habit == "long or short":
            length = longest if random.random() < 0.5 else 1
        else:  # others take as much as they can, this one as little
            length = 1 if source == 0 else longest
        blend.add(source, length)
        taken.append(blend.taken.copy())
    assert np.ptp(behind(weights, np.array(taken)), axis=0).max() <= spread(weights) * longest + 1e-3


def test_bounds_say_what_sequences_may_be() -> None:
    assert longest_piece([0.5, 0.5]) == 5000
    assert longest_piece([0.7, 0.2, 0.1, 0.0]) == longest_piece([0.2, 0.7, 0.1])
    assert spread([1.0]) == 0
    assert longest_piece([1.0]) is None
    assert guaranteed_window([1.0], 4096) == 1
    assert spread([0.1] * 10) == pytest.approx(1.8)
    assert all(spread([1 / sources] * sources) < 2 for sources in (3, 20, 300))


@given(mixtures(), st.integers(1, 100_000), st.floats(0, 2))
def test_the_longest_piece_keeps_the_window(weights: list[float], piece: int, extra: float) -> None:
    most = 1 + sum(1 / place for place in range(1, len(weights)))
    assert spread(weights) <= most + 1e-9
    longest = longest_piece(weights, extra)
    if longest is None:
        assert len(weights) == 1
        return
    assert guaranteed_window(weights, longest, extra) <= 1_000_000
    assert guaranteed_window(weights, longest + 1, extra) > 1_000_000
    assert (guaranteed_window(weights, piece, extra) <= 1_000_000) == (piece <= longest)
