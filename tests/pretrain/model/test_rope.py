"""Rotary positions: frequencies as transformers computes them, and that only distances count."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from pretrain.model.rope import RopeScaling, amplitude, frequencies, rotate, rotations

_FREQUENCY = {"low_frequency": "low_freq_factor", "high_frequency": "high_freq_factor"}


@st.composite
def scalings(draw: st.DrawFn) -> RopeScaling:
    kind = draw(st.sampled_from(["linear", "llama3", "yarn"]))
    settings: dict[str, Any] = {"kind": kind, "factor": draw(st.floats(1, 64))}
    if kind != "linear":
        settings["original_positions"] = draw(st.sampled_from([64, 2048, 8192, 32_768]))
    if kind == "llama3":
        settings |= {"low_frequency": draw(st.floats(0.5, 2)), "high_frequency": draw(st.floats(2.5, 8))}
    if kind == "yarn":
        settings |= {"beta_fast": draw(st.floats(8, 64)), "beta_slow": draw(st.floats(0.5, 4))}
        settings["attention_factor"] = draw(st.none() | st.floats(0.5, 2))
    return RopeScaling.model_validate(settings)


def theirs(head_dim: int, theta: float, scaling: RopeScaling) -> tuple[torch.Tensor, float]:
    """Return frequencies and amplitude by transformers."""
    names = {"kind": "rope_type", "original_positions": "original_max_position_embeddings", **_FREQUENCY}
    own = {"llama3": set(_FREQUENCY), "yarn": {"beta_fast", "beta_slow", "attention_factor"}}.get(scaling.kind, set())
    kept = {"kind", "factor", "original_positions"} | own
    given = {names.get(key, key): value for key, value in scaling.model_dump(include=kept, exclude_none=True).items()}
    config: Any = LlamaConfig(
        hidden_size=4 * head_dim,
        num_attention_heads=4,
        head_dim=head_dim,
        max_position_embeddings=10**6,
        rope_parameters={"rope_theta": theta, **given},
    )
    return ROPE_INIT_FUNCTIONS[scaling.kind](config)


@settings(deadline=None)
@given(st.sampled_from([8, 32, 64, 96, 128]), st.sampled_from([1e4, 5e5, 1e6]), scalings())
def test_frequencies_are_those_of_transformers(head_dim: int, theta: float, scaling: RopeScaling) -> None:
    wanted, scale = theirs(head_dim, theta, scaling)
    found = frequencies(head_dim, theta, scaling)
    assert torch.equal(found, wanted)
    assert amplitude(scaling) == pytest.approx(scale, rel=1e-12)


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
def test_only_distances_count(query_at: int, key_at: int, shift: int) -> None:
    random = torch.Generator().manual_seed(query_at)
    query, key = (torch.randn(1, 1, 1, 64, generator=random) for _ in range(2))
    inverse = frequencies(64, 1e4, None)

    def score(first: int, second: int) -> torch.Tensor:
        turns = (rotations(torch.tensor([[place]]), inverse, 1.0, torch.float32) for place in (first, second))
        turned = [rotate(heads, *turn) for heads, turn in zip((query, key), turns, strict=True)]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(
        score(query_at, key_at), score(query_at + shift, key_at + shift), rtol=0, atol=0.02 * math.sqrt(64) / 8
    )


def test_the_first_half_turns_with_the_second() -> None:
    """The convention of Hugging Face; Meta's own code turns neighbours."""
    heads = torch.zeros(1, 1, 1, 8)
    heads[..., 1] = 1.0
    turned = rotate(heads, *rotations(torch.tensor([[3]]), frequencies(8, 1e4, None), 1.0, torch.float32))[0, 0, 0]
    angle = 3 * 1e4 ** (-2 / 8)
    assert turned[1].item() == pytest.approx(math.cos(angle))
    assert turned[5].item() == pytest.approx(math.sin(angle))
    assert turned.count_nonzero() == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "yarn", "factor": 2}, "needs original_positions"),
        ({"kind": "llama3", "factor": 2}, "needs original_positions"),
        ({"kind": "linear", "factor": 2, "low_frequency": 4, "high_frequency": 4}, "is not above low_frequency"),
        ({"kind": "yarn", "factor": 2, "original_positions": 8, "beta_fast": 1}, "is not above beta_slow"),
        ({"kind": "linear", "factor": float("inf")}, "finite"),
        ({"kind": "dynamic", "factor": 2}, "Input should be"),
    ],
)
def test_scalings_that_make_no_sense_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RopeScaling.model_validate(given)
