"""`config.json` of Hugging Face <-> the shape of a model.

What is read comes from anywhere, so that whatever would change the model and is not computed here is refused; keys that
change nothing are let through, as Hugging Face does. Both ways of writing rotary positions are read: `rope_theta` and
`rope_scaling` (transformers 4), `rope_parameters` (transformers 5). The first is written, as both versions read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from configs.errors import UserError
from configs.load import validate_config
from pretrain.model.model_config import ModelConfig
from pretrain.model.rope import RopeScaling

CONFIG = "config.json"
ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
# Numbers of special tokens: the model does not read them, programs that generate text do.
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_MAX_BYTES = 1 << 20

One = Annotated[float, Field(ge=1, le=1)]
Zero = Annotated[float, Field(ge=0, le=0)]


class _Rope(BaseModel):
    """`rope_scaling` or `rope_parameters`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    rope_type: Literal["default", "linear", "llama3", "yarn"] | None = None
    type: Literal["default", "linear", "llama3", "yarn"] | None = None
    rope_theta: float | None = None
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    attention_factor: float | None = None
    partial_rotary_factor: One | None = None
    truncate: Literal[True] | None = None


class _Config(BaseModel):
    """What of `config.json` matters: sizes, and what has to have one value."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())

    model_type: Literal["llama", "qwen2", "qwen3"]
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rms_norm_eps: float
    max_position_embeddings: int
    original_max_position_embeddings: int | None = None
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    tie_word_embeddings: bool = False
    rope_theta: float | None = None
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None

    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    mlp_bias: Literal[False] = False
    attention_dropout: Zero | None = None
    partial_rotary_factor: One | None = None
    use_sliding_window: Literal[False] = False
    layer_types: list[Literal["full_attention"]] | None = None
    quantization_config: None = None
    auto_map: None = None


def read_config(folder: Path) -> ModelConfig:
    """Return the shape of the model in a folder of Hugging Face.

    Raises:
        UserError: there is no `config.json`, it is no configuration, or one of a model that is not computed here.
    """
    path, data = folder / CONFIG, _read_json(folder)
    kept = validate_config(data, _Config, str(path))
    if kept.attention_bias and kept.model_type != "qwen2":
        raise UserError(f"{path}: attention_bias: true has no layer here for {kept.model_type}: only qwen2 has a bias")
    if kept.model_type == "llama" and data.get("sliding_window") is not None:
        raise UserError(f"{path}: sliding_window: attention within a window is not computed here")
    if kept.num_key_value_heads is None and kept.model_type != "llama":
        raise UserError(f"{path}: num_key_value_heads is missing")
    if kept.head_dim is None and kept.model_type == "qwen3":
        raise UserError(f"{path}: head_dim is missing")
    heads = kept.num_attention_heads
    if kept.head_dim is None and (heads < 1 or kept.hidden_size % heads):
        raise UserError(f"{path}: hidden_size, {kept.hidden_size}, is no multiple of num_attention_heads, {heads}")
    theta, scaling = _rotary(kept, path)
    shape = {
        "family": kept.model_type,
        "vocab_size": kept.vocab_size,
        "hidden_size": kept.hidden_size,
        "intermediate_size": kept.intermediate_size,
        "layers": kept.num_hidden_layers,
        "heads": heads,
        "kv_heads": heads if kept.num_key_value_heads is None else kept.num_key_value_heads,
        "head_dim": kept.hidden_size // heads if kept.head_dim is None else kept.head_dim,
        "norm_eps": kept.rms_norm_eps,
        "rope_theta": theta,
        "rope_scaling": scaling,
        "max_positions": kept.max_position_embeddings,
        "tied_head": kept.tie_word_embeddings,
        "init_std": kept.initializer_range,
    }
    return validate_config(shape, ModelConfig, str(path))


def read_token_ids(folder: Path) -> dict[str, object]:
    """Return the numbers of special tokens in a folder of Hugging Face, to be handed on to an export.

    Raises:
        UserError: there is no `config.json`, or it is none.
    """
    data = _read_json(folder)
    return {key: data[key] for key in TOKEN_IDS if data.get(key) is not None}


def config_json(config: ModelConfig, dtype: str, token_ids: Mapping[str, object]) -> str:
    """Return the text of `config.json`.

    Args:
        config: the shape.
        dtype: of the weights, as PyTorch names it: bfloat16.
        token_ids: see TOKEN_IDS; those not given are written as null.
    """
    data: dict[str, object] = {
        "architectures": [ARCHITECTURES[config.family]],
        "attention_dropout": 0.0,
        **{key: token_ids.get(key) for key in TOKEN_IDS},
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "initializer_range": config.init_std,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "model_type": config.family,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_eps,
        "rope_scaling": _rope_json(config.rope_scaling),
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied_head,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }
    if config.family != "qwen2":
        data["attention_bias"] = False
    if config.family == "llama":
        data |= {"mlp_bias": False, "pretraining_tp": 1}
    else:
        data |= {"max_window_layers": config.layers, "sliding_window": None, "use_sliding_window": False}
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def _read_json(folder: Path) -> dict[str, object]:
    path = folder / CONFIG
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path} has more than {_MAX_BYTES} bytes: this is no configuration of a model")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"no {CONFIG} in {folder}: put a checkpoint's {CONFIG} and *.safetensors there, for example with "
            f"`hf download Qwen/Qwen2-1.5B --local-dir {folder}`"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a JSON object, not a {type(data).__name__}")
    return data


def _rotary(kept: _Config, path: Path) -> tuple[float, RopeScaling | None]:
    """Return theta and the scaling, from wherever they stand."""
    if kept.rope_scaling is not None and kept.rope_parameters is not None:
        raise UserError(f"{path}: rope_scaling and rope_parameters are both there: keep one")
    rope = kept.rope_parameters or kept.rope_scaling or _Rope()
    if None not in (rope.rope_theta, kept.rope_theta) and rope.rope_theta != kept.rope_theta:
        raise UserError(f"{path}: rope_theta is {kept.rope_theta} and, with rope_type, {rope.rope_theta}")
    if None not in (rope.type, rope.rope_type) and rope.type != rope.rope_type:
        raise UserError(f"{path}: rope_type is {rope.rope_type} and type is {rope.type}")
    theta = next((value for value in (rope.rope_theta, kept.rope_theta) if value is not None), 10_000.0)
    kind = rope.rope_type or rope.type or "default"
    if kind == "default":
        return theta, None
    needed = ("factor", "low_freq_factor", "high_freq_factor") if kind == "llama3" else ("factor",)
    for key in needed:
        if getattr(rope, key) is None:
            raise UserError(f"{path}: the scaling {kind} of rotary positions needs {key}")
    # Where the context of pretraining is not told it is the model's; one beside the scaling counts before one in it.
    originals = (kept.original_max_position_embeddings, rope.original_max_position_embeddings)
    original = next((value for value in originals if value is not None), kept.max_position_embeddings)
    given = {
        "kind": kind,
        "factor": rope.factor,
        "original_positions": None if kind == "linear" else original,
        "low_frequency": rope.low_freq_factor,
        "high_frequency": rope.high_freq_factor,
        # 0 is not given, as transformers reads it.
        "beta_fast": rope.beta_fast or None,
        "beta_slow": rope.beta_slow or None,
        "attention_factor": rope.attention_factor,
    }
    read = {key: value for key, value in given.items() if value is not None}
    return theta, validate_config(read, RopeScaling, f"{path}: {kind}")


def _rope_json(scaling: RopeScaling | None) -> dict[str, object] | None:
    if scaling is None:
        return None
    data: dict[str, object] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        data |= {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    if scaling.kind == "yarn":
        data |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
        if scaling.attention_factor is not None:
            data["attention_factor"] = scaling.attention_factor
    if scaling.kind != "linear":
        data["original_max_position_embeddings"] = scaling.original_positions
    return data
