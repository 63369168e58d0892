"""The shape of a model: what differs between Qwen2, Qwen2.5, Qwen3 and Llama, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.load import StrictModel
from pretrain.model.rope import RopeScaling

# Bounds far above any model, so that a made-up configuration does not keep a machine busy.
Size = Annotated[int, Field(ge=1, le=2**27)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# A bias of queries, keys and values; a norm of queries and keys.
_FAMILIES = {"llama": (False, False), "qwen2": (True, False), "qwen3": (False, True)}


class ModelConfig(StrictModel):
    """The shape of a model.

    Attributes:
        family: whose names a checkpoint has.
        vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim: sizes.
        norm_eps: of RMSNorm.
        rope_theta, rope_scaling: of rotary positions.
        max_positions: longest sequence that it is made for.
        qkv_bias: queries, keys and values have a bias: as the family has it, and no other value.
        qk_norm: queries and keys are normalised by head: as the family has it, and no other value.
        tied_head: the head is the embedding.
        init_std: of new weights.
    """

    family: Literal["llama", "qwen2", "qwen3"]
    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    layers: Annotated[int, Field(ge=1, le=10_000)]
    heads: Size
    kv_heads: Size
    head_dim: Size
    norm_eps: Positive = 1e-6
    rope_theta: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 10_000.0
    rope_scaling: RopeScaling | None = None
    max_positions: Size = 32_768
    qkv_bias: bool = False
    qk_norm: bool = False
    tied_head: bool = False
    init_std: Positive = 0.02

    @model_validator(mode="before")
    @classmethod
    def _as_the_family_has_it(cls, data: object) -> object:
        if not isinstance(data, Mapping) or data.get("family") not in _FAMILIES:
            return data
        bias, norm = _FAMILIES[data["family"]]
        return {"qkv_bias": bias, "qk_norm": norm, **data}

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads, {self.heads}, is no multiple of kv_heads, {self.kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim, {self.head_dim}, is odd: rotary positions turn pairs")
        # Checkpoints have no words for other combinations: what was trained could not be exported.
        bias, norm = _FAMILIES[self.family]
        if (self.qkv_bias, self.qk_norm) != (bias, norm):
            raise ValueError(f"the family {self.family} has qkv_bias {bias} and qk_norm {norm}")
        return self
