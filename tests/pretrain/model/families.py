"""Tiny models of every family with random weights, by transformers: what ours are compared with."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel, Qwen2Config, Qwen3Config
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM

_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
_SHARP_YARN = {**_YARN, "attention_factor": 1.3, "beta_fast": 16.0}
_TIED = {"tie_word_embeddings": True}
_LLAMA_2 = {"num_key_value_heads": 4, "rms_norm_eps": 1e-5}
_SMALL_HEADS = {"head_dim": 8}

# Each with what it has beside the sizes below.
FAMILIES: dict[str, tuple[type[PreTrainedModel], dict[str, Any]]] = {
    "qwen2": (Qwen2ForCausalLM, {"rope_theta": 1e6}),
    "qwen2 tied": (Qwen2ForCausalLM, {**_TIED}),
    "qwen2.5 yarn": (Qwen2ForCausalLM, {"rope_theta": 1e6, "rope_scaling": _YARN}),
    "qwen3": (Qwen3ForCausalLM, {"head_dim": 32, "rope_theta": 1e6}),
    "qwen3 tied yarn": (Qwen3ForCausalLM, {"head_dim": 32, "rope_scaling": _SHARP_YARN, **_TIED}),
    "llama 2": (LlamaForCausalLM, {**_LLAMA_2}),
    "llama 2 linear": (LlamaForCausalLM, {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "llama 3.1": (LlamaForCausalLM, {"rope_theta": 5e5, "rope_scaling": _LLAMA3}),
    "llama 3.2 tied": (LlamaForCausalLM, {"rope_theta": 5e5, "rope_scaling": _LLAMA3, **_SMALL_HEADS, **_TIED}),
}
_CONFIGS: dict[type[PreTrainedModel], Any] = {
    Qwen2ForCausalLM: Qwen2Config,
    Qwen3ForCausalLM: Qwen3Config,
    LlamaForCausalLM: LlamaConfig,
}
_SIZES: dict[str, Any] = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}

# Longer than the context that the scalings start from, 64.
LENGTH = 200


def random_model(family: str, seed: int = 0) -> PreTrainedModel:
    """Return a model of transformers with random weights in float32; norms and biases are random, too."""
    kind, own = FAMILIES[family]
    config = _CONFIGS[kind](**{**_SIZES, **own}, attn_implementation="sdpa")
    torch.manual_seed(seed)
    model: PreTrainedModel = kind(config)
    model.train(False)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(1.0 if weight.ndim == 1 else 0.0, 0.2)
    return model


def saved(family: str, folder: Path, seed: int = 0, shard_bytes: int = 10**9) -> PreTrainedModel:
    """Save a random model as transformers does, and return it."""
    model = random_model(family, seed)
    model.save_pretrained(folder, max_shard_size=shard_bytes)
    return model


def random_tokens(batch: int, length: int = LENGTH, seed: int = 1) -> Tensor:
    """Return tokens (B, L)."""
    return torch.randint(160, (batch, length), generator=torch.Generator().manual_seed(seed))


def one_document(tokens: Tensor) -> Tensor:
    """Return `starts` of sequences that are one document each."""
    return torch.tensor([[0, tokens.shape[1]]], dtype=torch.int32).expand(len(tokens), 2)
