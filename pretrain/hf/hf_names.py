"""What Hugging Face's checkpoints of Llama, Qwen2 and Qwen3 call the weights that have shorter names here."""

from __future__ import annotations

import re

_PARTS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}
_OUTSIDE = {"embed": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
_OURS = re.compile(r"layers\.(\d+)\.(.+)\.(weight|bias)")
# What wrappers of layers for compilation and recomputation put into names.
_WRAPPERS = re.compile(r"(?:_orig_mod|_checkpoint_wrapped_module)\.")
# Old checkpoints of Llama have the frequencies of rotary positions, which follow from the configuration.
_DERIVED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


def hf_name(name: str) -> str:
    """Return what a weight of `Decoder` is called there.

    Raises:
        KeyError: it is no weight of `Decoder`.
    """
    plain = plain_name(name)
    if (match := _OURS.fullmatch(plain)) is not None:
        number, part, kind = match.groups()
        return f"model.layers.{number}.{_PARTS[part]}.{kind}"
    part, _, kind = plain.rpartition(".")
    return f"{_OUTSIDE[part]}.{kind}"


def plain_name(name: str) -> str:
    """Return the name of a weight without what wrappers put into it."""
    return _WRAPPERS.sub("", name)


def is_derived(name: str) -> bool:
    """Whether a tensor of a checkpoint is no weight but follows from the configuration."""
    return _DERIVED.fullmatch(name) is not None
