"""`config.json`: both ways of writing it are read, what is not computed here is refused by its key."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from pretrain.hf.hf_config import config_json, read_config
from pretrain.model.model_config import ModelConfig
from pretrain.model.rope import RopeScaling

# As Qwen/Qwen2-1.5B, meta-llama/Llama-2-7b-hf, meta-llama/Llama-3.1-8B and Qwen/Qwen3-0.6B publish them.
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "hidden_size": 1536,
    "initializer_range": 0.02,
    "intermediate_size": 8960,
    "max_position_embeddings": 131072,
    "max_window_layers": 28,
    "model_type": "qwen2",
    "num_attention_heads": 12,
    "num_hidden_layers": 28,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 131072,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
LLAMA2 = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "vocab_size": 32000,
}
LLAMA3_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
LLAMA31 = LLAMA2 | {
    "attention_bias": False,
    "mlp_bias": False,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "num_key_value_heads": 8,
    "rope_scaling": LLAMA3_ROPE,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}
QWEN3 = QWEN2 | {
    "attention_bias": False,
    "head_dim": 128,
    "hidden_size": 1024,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "sliding_window": None,
}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


def read(folder: Path, data: object) -> ModelConfig:
    (folder / "config.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return read_config(folder)


def refused(folder: Path, data: object) -> str:
    with pytest.raises(UserError) as error:
        read(folder, data)
    said = str(error.value)
    assert said.startswith(str(folder / "config.json"))
    assert "\n" not in said
    return said.removeprefix(f"{folder / 'config.json'}: ")


def test_published_configurations_are_read(tmp_path: Path) -> None:
    qwen2 = read(tmp_path, QWEN2)
    assert qwen2 == ModelConfig(
        family="qwen2",
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        layers=28,
        heads=12,
        kv_heads=2,
        head_dim=128,
        rope_theta=1e6,
        max_positions=131072,
        qkv_bias=True,
        tied_head=True,
    )
    llama2 = read(tmp_path, LLAMA2)
    assert (llama2.kv_heads, llama2.head_dim, llama2.rope_theta, llama2.norm_eps) == (32, 128, 10_000.0, 1e-5)
    assert (llama2.qkv_bias, llama2.qk_norm, llama2.tied_head) == (False, False, False)
    llama31 = read(tmp_path, LLAMA31)
    assert llama31.rope_theta == 500_000.0
    assert llama31.rope_scaling == RopeScaling(kind="llama3", factor=8, original_positions=8192)
    qwen3 = read(tmp_path, QWEN3)
    assert (qwen3.qkv_bias, qwen3.qk_norm, qwen3.head_dim, qwen3.heads) == (False, True, 128, 16)


def test_old_and_new_ways_of_rotary_positions_are_one(tmp_path: Path) -> None:
    old = read(tmp_path, LLAMA31)
    plain = {key: value for key, value in LLAMA31.items() if key not in ("rope_theta", "rope_scaling")}
    assert read(tmp_path, plain | {"rope_parameters": LLAMA3_ROPE | {"rope_theta": 500000.0}}) == old
    assert read(tmp_path, plain | {"rope_parameters": LLAMA3_ROPE, "rope_theta": 500000.0}) == old
    assert read(tmp_path, QWEN2 | {"rope_scaling": {"rope_type": "default"}}) == read(tmp_path, QWEN2)


def test_yarn_by_its_old_key_and_its_context(tmp_path: Path) -> None:
    told = read(tmp_path, QWEN2 | {"rope_scaling": YARN}).rope_scaling
    assert told == RopeScaling(kind="yarn", factor=4, original_positions=32768)
    untold = {"type": "yarn", "rope_type": "yarn", "factor": 4.0}
    assert read(tmp_path, QWEN2 | {"rope_scaling": untold}).rope_scaling == RopeScaling(
        kind="yarn", factor=4, original_positions=131072
    )
    beside = read(tmp_path, QWEN2 | {"rope_scaling": YARN, "original_max_position_embeddings": 4096}).rope_scaling
    assert beside == RopeScaling(kind="yarn", factor=4, original_positions=4096)


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (QWEN2, {"model_type": "mistral"}, "model_type: Input should be 'llama', 'qwen2' or 'qwen3' (got 'mistral')"),
        (QWEN2, {"hidden_act": "gelu"}, "hidden_act: Input should be 'silu' (got 'gelu')"),
        (QWEN2, {"use_sliding_window": True}, "use_sliding_window: Input should be False (got True)"),
        (QWEN2, {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types.1: Input should be"),
        (LLAMA2, {"sliding_window": 4096}, "sliding_window: attention within a window is not computed here"),
        (LLAMA2, {"attention_bias": True}, "attention_bias: true has no layer here for llama"),
        (QWEN3, {"attention_bias": True}, "attention_bias: true has no layer here for qwen3"),
        (LLAMA2, {"mlp_bias": True}, "mlp_bias: Input should be False (got True)"),
        (QWEN2, {"attention_dropout": 0.1}, "attention_dropout: Input should be less than or equal to 0 (got 0.1)"),
        (LLAMA2, {"partial_rotary_factor": 0.5}, "partial_rotary_factor: Input should be greater than or equal to 1"),
        (QWEN2, {"quantization_config": {"bits": 4}}, "quantization_config: Input should be None"),
        (QWEN2, {"auto_map": {"AutoModel": "code.Model"}}, "auto_map: Input should be None"),
        (QWEN2, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling.type: Input should be 'default',"),
        (QWEN2, {"rope_scaling": YARN | {"mscale": 0.7}}, "unknown key 'mscale' in rope_scaling"),
        (QWEN2, {"rope_scaling": YARN | {"truncate": False}}, "rope_scaling.truncate: Input should be True"),
        (QWEN2, {"rope_scaling": YARN | {"rope_type": "linear"}}, "rope_type is linear and type is yarn"),
        (QWEN2, {"rope_scaling": YARN | {"factor": 0.5}}, "yarn: factor: Input should be greater than or equal to 1"),
        (QWEN2, {"rope_scaling": {"type": "linear"}}, "the scaling linear of rotary positions needs factor"),
        (QWEN2, {"rope_scaling": YARN, "rope_parameters": YARN}, "rope_scaling and rope_parameters are both there"),
        (QWEN2, {"rope_parameters": {"rope_theta": 3.0}}, "rope_theta is 1000000.0 and, with rope_type, 3.0"),
        (QWEN2, {"rope_theta": 1.0}, "rope_theta: Input should be greater than 1"),
        (QWEN2, {"hidden_size": None}, "hidden_size: Input should be a valid integer (got None)"),
        (QWEN2, {"hidden_size": 1537}, "hidden_size, 1537, is no multiple of num_attention_heads, 12"),
        (QWEN2, {"num_attention_heads": 0}, "hidden_size, 1536, is no multiple of num_attention_heads, 0"),
        (QWEN2, {"num_attention_heads": True}, "num_attention_heads: Input should be a valid integer"),
        (QWEN2, {"num_hidden_layers": "28"}, "num_hidden_layers: Input should be a valid integer"),
        (QWEN2, {"num_hidden_layers": 10**9}, "layers: Input should be less than or equal to 10000"),
        (QWEN2, {"num_hidden_layers": -1}, "layers: Input should be greater than or equal to 1"),
        (QWEN2, {"num_key_value_heads": None}, "num_key_value_heads is missing"),
        (QWEN2, {"num_key_value_heads": 5}, "the file: heads, 12, is no multiple of kv_heads, 5"),
        (QWEN2, {"num_key_value_heads": 0}, "kv_heads: Input should be greater than or equal to 1"),
        (QWEN2, {"rms_norm_eps": float("nan")}, "norm_eps: Input should be"),
        (QWEN3, {"head_dim": None}, "head_dim is missing"),
        (QWEN3, {"head_dim": 127}, "the file: head_dim, 127, is odd"),
    ],
)
def test_what_is_not_computed_here_is_refused_by_its_key(
    tmp_path: Path, base: dict[str, object], changes: dict[str, object], said: str
) -> None:
    assert refused(tmp_path, base | changes).startswith(said)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    assert refused(tmp_path, {"model_type": "qwen2"}).startswith("vocab_size is missing; hidden_size is missing; ")
    lacking = {key: value for key, value in LLAMA3_ROPE.items() if key != "low_freq_factor"}
    assert refused(tmp_path, LLAMA31 | {"rope_scaling": lacking}) == (
        "the scaling llama3 of rotary positions needs low_freq_factor"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"a": ' + "1" * 10_000 + "}", "\udcff"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"config.json"):
        read_config(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(UserError, match="no configuration of a model"):
        read_config(tmp_path)


SIZES = st.integers(1, 2**27)
ABOVE_ZERO = st.floats(1e-12, 1e3)


@st.composite
def scalings(draw: st.DrawFn) -> RopeScaling:
    kind = draw(st.sampled_from(["linear", "llama3", "yarn"]))
    more: dict[str, object] = {} if kind == "linear" else {"original_positions": draw(st.integers(1, 10**6))}
    if kind == "llama3":
        more |= {"low_frequency": draw(st.floats(0.5, 2)), "high_frequency": draw(st.floats(2.5, 8))}
    if kind == "yarn":
        more |= {"beta_fast": draw(st.floats(8, 64)), "beta_slow": draw(st.floats(0.5, 4))}
        more |= {"attention_factor": draw(st.none() | ABOVE_ZERO)}
    return RopeScaling.model_validate({"kind": kind, "factor": draw(st.floats(1, 128))} | more)


@st.composite
def shapes(draw: st.DrawFn) -> ModelConfig:
    kv_heads = draw(st.integers(1, 16))
    return ModelConfig(
        family=draw(st.sampled_from(["llama", "qwen2", "qwen3"])),
        vocab_size=draw(SIZES),
        hidden_size=draw(SIZES),
        intermediate_size=draw(SIZES),
        layers=draw(st.integers(1, 10_000)),
        heads=kv_heads * draw(st.integers(1, 16)),
        kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 256)),
        norm_eps=draw(ABOVE_ZERO),
        rope_theta=draw(st.floats(1.5, 1e8)),
        rope_scaling=draw(st.none() | scalings()),
        max_positions=draw(SIZES),
        tied_head=draw(st.booleans()),
        init_std=draw(ABOVE_ZERO),
    )


@given(shapes())
def test_what_is_written_is_read_again(config: ModelConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert read(Path(folder), config_json(config, "bfloat16", {})) == config
