"""Rotary position embeddings: frequencies, and their scaling for longer contexts.

The convention of Hugging Face's checkpoints: the first half of a head's dimensions is rotated with the second half
(J. Su et al., RoFormer, arXiv 2104.09864). Scalings: `linear` (S. Chen et al., arXiv 2306.15595), `llama3` (by
wavelength, as in Llama 3.1's reference code), `yarn` (B. Peng et al., arXiv 2309.00071, section 3).

Shape legend: B = sequences, L = tokens of a sequence, d = head size.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from configs.load import StrictModel

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RopeScaling(StrictModel):
    """How frequencies are scaled for positions beyond those of pretraining.

    Attributes:
        kind: see the module.
        factor: how many times longer the context is.
        original_positions: context of pretraining, of `llama3` and `yarn`.
        low_frequency, high_frequency: `llama3`: wavelengths above `original / low` are scaled whole, below
            `original / high` not at all.
        beta_fast, beta_slow: `yarn`: rotations over the original context above which a dimension is not scaled, and
            below which it is scaled whole.
        attention_factor: `yarn`: what cosines and sines are multiplied by; None is 0.1 ln(factor) + 1.
    """

    kind: Literal["linear", "llama3", "yarn"]
    factor: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    original_positions: Annotated[int, Field(ge=1)] | None = None
    low_frequency: Positive = 1.0
    high_frequency: Positive = 4.0
    beta_fast: Positive = 32.0
    beta_slow: Positive = 1.0
    attention_factor: Positive | None = None

    @model_validator(mode="after")
    def _knows_its_context(self) -> Self:
        if self.kind != "linear" and self.original_positions is None:
            raise ValueError(f"the scaling {self.kind} needs original_positions")
        if self.high_frequency <= self.low_frequency:
            raise ValueError(f"high_frequency, {self.high_frequency}, is not above low_frequency, {self.low_frequency}")
        if self.beta_fast <= self.beta_slow:
            raise ValueError(f"beta_fast, {self.beta_fast}, is not above beta_slow, {self.beta_slow}")
        return self


def frequencies(head_dim: int, theta: float, scaling: RopeScaling | None) -> Tensor:
    """Return the angle by position of each pair of dimensions, float32, shape (d / 2,)."""
    plain = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
    if scaling is None:
        return plain
    if scaling.kind == "linear":
        return plain / scaling.factor
    assert scaling.original_positions is not None, "checked by RopeScaling"
    if scaling.kind == "llama3":
        return _by_wavelength(plain, scaling, scaling.original_positions)
    return _by_rotations(plain, theta, head_dim, scaling, scaling.original_positions)


def amplitude(scaling: RopeScaling | None) -> float:
    """Return what cosines and sines are multiplied by: not 1 for `yarn` only."""
    if scaling is None or scaling.kind != "yarn":
        return 1.0
    return scaling.attention_factor or (0.1 * math.log(scaling.factor) + 1.0)


def rotations(positions: Tensor, inverse: Tensor, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosines and sines by position, each of shape (B, L, 1, d).

    Args:
        positions: (B, L).
        inverse: see `frequencies`, on the same device.
        scale: see `amplitude`.
        dtype: of the result; angles are computed in float32.
    """
    angles = positions.float()[:, :, None] * inverse[None, None, :]
    angles = torch.cat([angles, angles], dim=-1)[:, :, None, :]
    return (angles.cos() * scale).to(dtype), (angles.sin() * scale).to(dtype)


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return queries or keys (B, L, heads, d) turned by their positions."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines


def _by_wavelength(plain: Tensor, scaling: RopeScaling, original: int) -> Tensor:
    wavelengths = 2 * math.pi / plain
    low, high = scaling.low_frequency, scaling.high_frequency
    smooth = ((original / wavelengths - low) / (high - low)).clamp(0.0, 1.0)
    return (1 - smooth) * plain / scaling.factor + smooth * plain


def _by_rotations(plain: Tensor, theta: float, head_dim: int, scaling: RopeScaling, original: int) -> Tensor:
    def dimension(turns: float) -> float:
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first = max(math.floor(dimension(scaling.beta_fast)), 0)
    last = min(math.ceil(dimension(scaling.beta_slow)), head_dim - 1)
    places = torch.arange(head_dim // 2, dtype=torch.float32)
    kept = 1 - ((places - first) / ((last - first) or 0.001)).clamp(0.0, 1.0)
    # In this order of products each bit is the one that transformers computes.
    scaled = 1.0 / (scaling.factor * theta ** (torch.arange(0, head_dim, 2).float() / head_dim))
    return scaled * (1 - kept) + plain * kept
