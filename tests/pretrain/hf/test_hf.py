"""Checkpoints of Hugging Face: to ours and back, against transformers, and what is refused."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from configs.errors import UserError
from pretrain.hf.hf import load_weights, read_config, read_token_ids, whole_weights, write_model
from pretrain.hf.hf_names import hf_name
from pretrain.model.model import Decoder, ModelConfig
from tests.pretrain.model.families import FAMILIES, one_document, random_tokens, saved

SHARD_BYTES = 100_000


def ours(folder: Path) -> Decoder:
    model = Decoder(read_config(folder))
    load_weights(model, folder)
    return model


@torch.no_grad()
def logits(model: Decoder, tokens: Tensor) -> Tensor:
    found: Tensor = model(tokens, one_document(tokens))
    return found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in shards, as transformers writes it."""
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    saved("qwen2", folder, shard_bytes=SHARD_BYTES)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return shutil.copytree(checkpoint, tmp_path / "broken")


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """A tied checkpoint in one file."""
    saved("qwen2 tied", tmp_path / "single")
    return tmp_path / "single"


def edit_config(folder: Path, **changes: object) -> None:
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | changes))


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers_and_back_again(family: str, tmp_path: Path) -> None:
    theirs = saved(family, tmp_path / "theirs", shard_bytes=SHARD_BYTES)
    tokens = random_tokens(2)
    with torch.no_grad():
        wanted = theirs(tokens).logits
    model = ours(tmp_path / "theirs")
    found = logits(model, tokens)
    assert wanted.std() > 0.3, "logits of which differences would be seen"
    assert (found - wanted).abs().max() <= 1e-4

    write_model(whole_weights(model), model.config, tmp_path / "ours", dtype=torch.float32, shard_bytes=SHARD_BYTES)
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="sdpa")
    assert type(back) is type(theirs)
    with torch.no_grad():
        assert torch.equal(back(tokens).logits, wanted)
    assert read_config(tmp_path / "ours") == model.config
    for (name, weight), (again, same) in zip(theirs.named_parameters(), back.named_parameters(), strict=True):
        assert name == again
        assert torch.equal(weight, same)


@pytest.mark.parametrize("shard_bytes", [1, SHARD_BYTES, 10**9])
def test_a_round_trip_keeps_every_bit(checkpoint: Path, tmp_path: Path, shard_bytes: int) -> None:
    model = ours(checkpoint).to(torch.bfloat16)
    write_model(whole_weights(model), model.config, tmp_path / "one", shard_bytes=shard_bytes)
    again = ours(tmp_path / "one").to(torch.bfloat16)
    write_model(reversed(list(whole_weights(again))), again.config, tmp_path / "two", shard_bytes=shard_bytes)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert [(tmp_path / "one" / name).read_bytes() for name in files] == [
        (tmp_path / "two" / name).read_bytes() for name in files
    ]
    for name, weight in model.named_parameters():
        assert torch.equal(weight, again.get_parameter(name)), name
    shards = [name for name in files if name.endswith(".safetensors")]
    assert len(shards) == {1: 27, 10**9: 1}.get(shard_bytes, len(shards))
    if shard_bytes == SHARD_BYTES:
        assert len(shards) > 1
        assert all((tmp_path / "one" / name).stat().st_size < SHARD_BYTES + 10_000 for name in shards)


def test_rows_of_queries_and_keys_keep_their_places(checkpoint: Path, tmp_path: Path) -> None:
    """Meta's own checkpoints turn neighbours and have other rows: weights that were permuted give other logits."""
    model = ours(checkpoint)
    tensors: dict[str, Tensor] = {}
    for path in checkpoint.glob("*.safetensors"):
        tensors |= load_file(path)
    for number in ("0", "1"):
        for kind in ("query", "key"):
            stored = tensors[f"model.layers.{number}.self_attn.{kind[0]}_proj.weight"]
            assert torch.equal(model.get_parameter(f"layers.{number}.attention.{kind}.weight"), stored)
    tokens = random_tokens(1)
    before = logits(model, tokens)
    width = model.config.head_dim
    with torch.no_grad():
        for kind, heads in (("query", model.config.heads), ("key", model.config.kv_heads)):
            for part in ("weight", "bias"):
                weight = model.get_parameter(f"layers.0.attention.{kind}.{part}")
                rows = weight.view(heads, width // 2, 2, -1).transpose(1, 2)
                weight.copy_(rows.reshape(weight.shape))
    assert (logits(model, tokens) - before).abs().max() > 0.05


def test_a_part_of_the_model_takes_its_part(checkpoint: Path) -> None:
    whole = ours(checkpoint)
    parts = [
        Decoder(whole.config, layers=range(1), last=False),
        Decoder(whole.config, layers=range(1, 2), first=False),
    ]
    names = []
    for part in parts:
        load_weights(part, checkpoint)
        for name, weight in part.named_parameters():
            assert torch.equal(weight, whole.get_parameter(name))
            names.append(name)
    assert sorted(names) == sorted(name for name, _ in whole.named_parameters())


def test_the_dtype_is_that_of_the_model(checkpoint: Path) -> None:
    with torch.device("meta"):
        model = Decoder(read_config(checkpoint)).to(torch.bfloat16)
    model.to_empty(device="cpu")
    load_weights(model, checkpoint)
    wanted = ours(checkpoint).embed
    assert model.embed is not None
    assert wanted is not None
    assert torch.equal(model.embed.weight, wanted.weight.to(torch.bfloat16))


def test_wrapped_layers_are_loaded(checkpoint: Path) -> None:
    names = {hf_name("layers.3._orig_mod._checkpoint_wrapped_module.mlp.up.weight"), hf_name("layers.3.mlp.up.weight")}
    assert names == {"model.layers.3.mlp.up_proj.weight"}


# What is refused.


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load_weights(Decoder(read_config(folder)), folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_without_a_model_says_what_to_put_there(tmp_path: Path) -> None:
    said = refused(tmp_path / "none")
    assert said.startswith(f"no config.json in {tmp_path / 'none'}: ")
    assert f"`hf download Qwen/Qwen2-1.5B --local-dir {tmp_path / 'none'}`" in said


def test_a_config_without_weights_says_what_to_put_there(broken: Path) -> None:
    (broken / "model.safetensors.index.json").unlink()
    assert refused(broken).startswith(f"no model.safetensors and no model.safetensors.index.json in {broken}: ")
    (broken / "pytorch_model.bin").write_bytes(b"")
    assert "pytorch_model.bin is a pickle" in refused(broken)


def test_a_missing_shard_is_named(broken: Path) -> None:
    shard = sorted(broken.glob("*.safetensors"))[1]
    shard.unlink()
    assert refused(broken) == f"{shard} is missing: the index names it; download it again"


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.99, -1])
def test_a_shard_that_is_cut_short_is_named(broken: Path, keep: float) -> None:
    shard = sorted(broken.glob("*.safetensors"))[-1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(keep * len(whole)) if 0 < keep < 1 else int(keep)])
    assert refused(broken).startswith(f"{shard} is cut short or damaged, download it again: ")


def test_a_head_of_a_file_that_lies_is_refused(broken: Path) -> None:
    shard = sorted(broken.glob("*.safetensors"))[0]
    shard.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    assert "cut short or damaged" in refused(broken)


@pytest.mark.parametrize(
    "place", ["../other.safetensors", "/etc/passwd.safetensors", "sub/a.safetensors", "", 3, "a.bin"]
)
def test_an_index_does_not_leave_its_folder(broken: Path, place: object) -> None:
    index = broken / "model.safetensors.index.json"
    data = json.loads(index.read_text())
    data["weight_map"]["model.norm.weight"] = place
    index.write_text(json.dumps(data))
    assert (
        refused(broken) == f"{index}: model.norm.weight is in {place!r}, which is no *.safetensors file of this folder"
    )


def test_an_index_that_does_not_fit_is_refused(broken: Path) -> None:
    index = broken / "model.safetensors.index.json"
    data = json.loads(index.read_text())
    right = data["weight_map"]["model.norm.weight"]
    wrong = next(name for name in data["weight_map"].values() if name != right)
    index.write_text(json.dumps({"weight_map": data["weight_map"] | {"model.norm.weight": wrong}}))
    assert refused(broken) == f"{index}: model.norm.weight is in {right}, and by the index {wrong}"
    index.write_text(json.dumps({"weight_map": data["weight_map"] | {"more": right}}))
    assert refused(broken) == f"{index}: more is not in {right}"
    for text in ("[]", "{}", '{"weight_map": 3}'):
        index.write_text(text)
        assert "has no weight_map" in refused(broken)
    index.write_text("{")
    assert "is not valid JSON" in refused(broken)


def test_missing_and_surplus_tensors_are_named(single: Path) -> None:
    weights = single / "model.safetensors"
    name = "model.layers.0.mlp.up_proj.weight"
    whole = weights.read_bytes()
    edit_tensors(single, lambda tensors: tensors.__delitem__(name))
    assert refused(single) == f"{single} has no tensor {name}, which the model of config.json has"
    weights.write_bytes(whole)
    edit_tensors(single, lambda tensors: tensors.update({"model.layers.7.x": torch.ones(1), "score": torch.ones(1)}))
    assert (
        refused(single)
        == f"{single} has the tensor model.layers.7.x (and 1 others), which the model of config.json has not"
    )


def test_wrong_shapes_and_dtypes_are_named(single: Path) -> None:
    weights, name = single / "model.safetensors", "model.norm.weight"
    edit_tensors(single, lambda tensors: tensors.update({name: torch.ones(65)}))
    assert refused(single) == f"{weights}: {name} has the shape [65], and by config.json [64]"
    edit_tensors(single, lambda tensors: tensors.update({name: torch.ones(64, dtype=torch.int8)}))
    assert refused(single) == f"{weights}: {name} has the dtype I8: only BF16, F16, F32, F64 are read"


def test_sizes_that_differ_from_the_weights_are_seen_before_anything_of_that_size_is_made(single: Path) -> None:
    edit_config(single, vocab_size=2**27, hidden_size=2**20, intermediate_size=2**27)
    with torch.device("meta"):
        model = Decoder(read_config(single))
    with pytest.raises(UserError, match=r"has the shape \[160, 64\], and by config.json \[134217728, 1048576\]"):
        load_weights(model, single)


def test_a_tied_head_may_be_stored_if_it_is_the_embedding(single: Path) -> None:
    embed = "model.embed_tokens.weight"
    edit_tensors(single, lambda tensors: tensors.update({"lm_head.weight": tensors[embed].clone()}))
    assert ours(single).head is None
    edit_tensors(single, lambda tensors: tensors.update({"lm_head.weight": tensors[embed] + 1e-6}))
    assert "lm_head.weight differs from model.embed_tokens.weight" in refused(single)
    edit_config(single, tie_word_embeddings=False)
    model = ours(single)
    assert model.head is not None
    assert model.embed is not None
    assert torch.equal(model.head.weight, model.embed.weight + 1e-6)


def test_an_untied_head_has_to_be_stored(single: Path) -> None:
    edit_config(single, tie_word_embeddings=False)
    assert refused(single).endswith("which the model of config.json has; tie_word_embeddings in config.json is false")


def test_derived_frequencies_are_no_weights(single: Path) -> None:
    edit_tensors(
        single, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    )
    ours(single)


# What is written.


@pytest.fixture
def tiny() -> Decoder:
    model = Decoder(
        ModelConfig(
            family="llama", vocab_size=8, hidden_size=8, intermediate_size=8, layers=1, heads=2, kv_heads=1, head_dim=4
        )
    )
    model.init_weights(0)
    return model


def test_an_export_takes_files_and_token_ids_along(tiny: Decoder, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    ids = {"eos_token_id": [7, 3], "bos_token_id": 1}
    write_model(
        whole_weights(tiny), tiny.config, tmp_path / "hf", extra_files=[tmp_path / "tokenizer.json"], token_ids=ids
    )
    assert sorted(path.name for path in (tmp_path / "hf").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert read_token_ids(tmp_path / "hf") == ids
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    with safe_open(tmp_path / "hf" / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_an_export_that_fails_leaves_what_was_there(tiny: Decoder, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    write_model(whole_weights(tiny), tiny.config, folder)
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="is there already"):
        write_model(whole_weights(tiny), tiny.config, folder)
    weights = list(whole_weights(tiny))
    for wrong, said in [
        (weights[1:], "the weight embed.weight is missing"),
        ([*weights, weights[0]], "once"),
        ([*weights, ("more", weights[0][1])], "more no weight"),
        ([(weights[0][0], weights[1][1])], "of shape"),
    ]:
        with pytest.raises(ValueError, match=said):
            write_model(wrong, tiny.config, folder, replace=True)
        assert [path.name for path in tmp_path.iterdir()] == ["hf"]
        assert (folder / "model.safetensors").read_bytes() == before
    write_model(((name, 2 * weight) for name, weight in weights), tiny.config, folder, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    assert (folder / "model.safetensors").read_bytes() != before


def test_what_cannot_be_written_is_one_line(tiny: Decoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the model to .*file"):
        write_model(whole_weights(tiny), tiny.config, tmp_path / "file" / "hf")
    with pytest.raises(UserError, match=r"no_tokenizer\.json"):
        write_model(whole_weights(tiny), tiny.config, tmp_path / "hf", extra_files=[tmp_path / "no_tokenizer.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
