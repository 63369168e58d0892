"""The decoder: gradients as transformers has them, documents that do not see each other, parts, and dtypes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pretrain.hf.hf import load_weights, read_config
from pretrain.hf.hf_names import hf_name
from pretrain.model.loss import IGNORED
from pretrain.model.model import Decoder, ModelConfig, RMSNorm
from pretrain.model.segments import find_segments
from tests.pretrain.model.families import FAMILIES, one_document, random_tokens, saved
from tests.pretrain.model.packed import LENGTH, LENGTHS, documents_of, starts_of

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "layers": 3,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 16,
    "max_positions": 64,
    "init_std": 0.2,
}


def tiny(family: str = "qwen2", **more: object) -> Decoder:
    model = Decoder(ModelConfig(family=family, **{**SHAPE, **more}))  # type: ignore[arg-type]
    model.init_weights(3)
    return model


def packed_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens, starts and targets; a document's last token has none."""
    random = torch.Generator().manual_seed(5)
    tokens = torch.randint(97, (len(LENGTHS), LENGTH), generator=random)
    targets = torch.full_like(tokens, IGNORED)
    for row, place in documents_of(LENGTHS):
        targets[row, place.start : place.stop - 1] = tokens[row, place.start + 1 : place.stop]
    return tokens, starts_of(LENGTHS, LENGTH, 8), targets


def nll(model: Decoder, tokens: Tensor, starts: Tensor, targets: Tensor) -> Tensor:
    with torch.no_grad():
        model(tokens, starts, targets)
    return model.last_nll


# Against transformers.


def in_float64(norm: nn.Module, x: Tensor) -> Tensor:
    """The norm of transformers without its cast to float32."""
    weight, eps = norm.weight, norm.variance_epsilon
    assert isinstance(weight, Tensor)
    assert isinstance(eps, float)
    return weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_are_those_of_transformers_in_float64(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = saved(family, tmp_path).double()
    for kind in {type(module) for module in theirs.modules() if type(module).__name__.endswith("RMSNorm")}:
        monkeypatch.setattr(kind, "forward", in_float64)
    model = Decoder(read_config(tmp_path), loss_chunk=7).double()
    load_weights(model, tmp_path)
    tokens = random_tokens(2, length=90)
    targets = tokens.roll(-1, 1)
    targets[:, -1] = targets[0, 10:20] = IGNORED

    loss = model(tokens, one_document(tokens), targets)
    loss.backward()
    logits = theirs(tokens).logits
    wanted = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    wanted.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, wanted, rtol=1e-10, atol=0)
    gradients = {name: weight.grad for name, weight in theirs.named_parameters()}
    found = {hf_name(name): weight.grad for name, weight in model.named_parameters()}
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        ours = found[name]
        assert ours is not None
        assert gradient is not None
        assert (ours - gradient).abs().max() <= 1e-9 * gradient.abs().max(), name


# Documents.


def test_a_document_changes_no_bit_of_the_others() -> None:
    model = tiny()
    tokens, starts, targets = packed_batch()
    before = nll(model, tokens, starts, targets).clone()
    for row, place in documents_of(LENGTHS):
        changed, their_targets = tokens.clone(), targets.clone()
        changed[row, place] = (tokens[row, place] + 1) % 97
        their_targets[row, place.start : place.stop - 1] = changed[row, place.start + 1 : place.stop]
        after = nll(model, changed, starts, their_targets)
        others = torch.ones_like(tokens, dtype=torch.bool)
        others[row, place] = False
        assert torch.equal(before[others], after[others])
        valid = targets[row, place] != IGNORED
        assert (before[row, place][valid] != after[row, place][valid]).all()


def test_a_packed_document_has_the_losses_that_it_has_alone() -> None:
    model = tiny("qwen3").double()
    tokens, starts, targets = packed_batch()
    packed = nll(model, tokens, starts, targets)
    for row, place in documents_of(LENGTHS):
        alone = tokens[row : row + 1, place]
        single = nll(model, alone, one_document(alone), targets[row : row + 1, place])
        torch.testing.assert_close(packed[row, place], single[0], rtol=1e-9, atol=1e-9)


def test_documents_in_another_order_have_the_same_losses() -> None:
    """Positions begin anew with each document."""
    model = tiny().double()
    tokens, _, targets = packed_batch()
    order = (2, 4, 0, 3, 1)
    places = [place for row, place in documents_of(LENGTHS) if row == 0]
    mixed = torch.cat([torch.arange(LENGTH)[places[number]] for number in order])
    plain = nll(model, tokens[:1], starts_of(LENGTHS[:1], LENGTH), targets[:1])
    lengths = [[LENGTHS[0][number] for number in order]]
    found = nll(model, tokens[:1, mixed], starts_of(lengths, LENGTH), targets[:1, mixed])
    torch.testing.assert_close(found, plain[:, mixed], rtol=1e-9, atol=1e-9)


def test_padding_of_starts_changes_no_bit() -> None:
    model = tiny()
    tokens, _, targets = packed_batch()
    losses = [nll(model, tokens, starts_of(LENGTHS, LENGTH, count), targets) for count in (5, 16, 64)]
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(losses[0], losses[2])


def test_a_token_depends_on_those_before_it_in_its_document_only() -> None:
    """Read from the slopes: of the loss of one token by all hidden states."""
    whole = tiny()
    last = Decoder(whole.config, layers=range(2), first=False)
    last.load_state_dict({name: weight for name, weight in whole.state_dict().items() if name in last.state_dict()})
    _, starts, targets = packed_batch()
    for row, place in documents_of(LENGTHS):
        if place.stop - place.start < 3:
            continue
        at = place.start + 1
        hidden = torch.randn(len(LENGTHS), LENGTH, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        one = torch.full_like(targets, IGNORED)
        one[row, at] = 5
        (slope,) = torch.autograd.grad(last(hidden, starts, one), hidden)
        seen = slope.abs().sum(-1) > 0
        wanted = torch.zeros_like(seen)
        wanted[row, place.start : at + 1] = True
        assert torch.equal(seen, wanted)


# What comes out.


def test_the_loss_is_that_of_the_logits() -> None:
    model = tiny()
    tokens, starts, targets = packed_batch()
    loss = model(tokens, starts, targets)
    logits = model(tokens, starts)
    assert logits.shape == (*tokens.shape, 97)
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
    torch.testing.assert_close(model.last_nll.flatten(), each, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss, each.sum(), rtol=1e-5, atol=0)
    assert (loss.dtype, loss.shape, model.last_nll.dtype, model.last_nll.requires_grad) == (
        torch.float32,
        (),
        torch.float32,
        False,
    )


def test_logits_are_made_for_as_many_tokens_as_told() -> None:
    tokens, starts, targets = packed_batch()
    made: list[tuple[int, ...]] = []

    class Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> object:
            out = func(*args, **(kwargs or {}))
            made.append(tuple(out.shape)) if str(func).startswith("aten.mm") else None
            return out

    model = tiny()
    model.loss_chunk = 11
    with Shapes(), torch.no_grad():  # type: ignore[no-untyped-call]
        model(tokens, starts, targets)
    assert {shape for shape in made if shape[1] == 97} == {(11, 97), (120 % 11, 97)}


# Parts of the model, and its weights.


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_stages_in_a_row_are_the_model(family: str) -> None:
    whole = tiny(family)
    tokens, starts, targets = packed_batch()
    stages = [
        Decoder(whole.config, layers=range(1), last=False),
        Decoder(whole.config, layers=range(1, 2), first=False, last=False),
        Decoder(whole.config, layers=range(2, 3), first=False),
    ]
    names = []
    for stage in stages:
        stage.init_weights(3)
        names += [name for name, _ in stage.named_parameters()]
        for name, weight in stage.named_parameters():
            assert torch.equal(weight, whole.get_parameter(name)), "new weights do not depend on the part"
    assert sorted(names) == sorted(name for name, _ in whole.named_parameters())
    hidden = stages[1](stages[0](tokens, starts), starts)
    assert hidden.shape == (*tokens.shape, 32)
    assert torch.equal(stages[2](hidden, starts, targets), whole(tokens, starts, targets))


def test_names_of_weights() -> None:
    """Checkpoints have them: they do not change."""
    layer = {f"attention.{part}.weight" for part in ("query", "key", "value", "output")}
    layer |= {"attention_norm.weight", "mlp_norm.weight", "mlp.gate.weight", "mlp.up.weight", "mlp.down.weight"}
    own = {
        "llama": set[str](),
        "qwen2": {f"attention.{part}.bias" for part in ("query", "key", "value")},
        "qwen3": {"attention.query_norm.weight", "attention.key_norm.weight"},
    }
    for family, more in own.items():
        for tied in (True, False):
            names = {name for name, _ in tiny(family, tied_head=tied, layers=1).named_parameters()}
            outside = {"embed.weight", "norm.weight"} | (set() if tied else {"head.weight"})
            assert names == {f"layers.0.{name}" for name in layer | more} | outside


def test_new_weights_are_drawn_by_seed_and_name() -> None:
    model = tiny("qwen3", tied_head=False)
    again, other = tiny("qwen3"), tiny("qwen3")
    other.init_weights(4)
    seen = set()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, again.get_parameter(name))
        if name.endswith("norm.weight"):
            assert (weight == 1).all()
        else:
            assert not torch.equal(weight, other.get_parameter(name))
            assert abs(weight.std().item() / 0.2 - 1) < 0.15
            seen.add(weight.flatten()[0].item())
    assert len(seen) == sum(not name.endswith("norm.weight") for name, _ in model.named_parameters())
    assert all((weight == 0).all() for name, weight in tiny("qwen2").named_parameters() if name.endswith("bias"))


def test_a_model_made_on_the_meta_device_is_the_same() -> None:
    with torch.device("meta"):
        model = Decoder(tiny().config)
    model.to_empty(device="cpu")
    model.init_weights(3)
    batch = packed_batch()
    assert torch.equal(model(*batch), tiny()(*batch))


# Dtypes.


def test_norms_are_computed_in_float32() -> None:
    norm = RMSNorm(64, 1e-6).to(torch.bfloat16)
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    wide = x.float()
    wanted = (wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt()).to(torch.bfloat16)
    found = norm(x)
    assert found.dtype == torch.bfloat16
    assert (found != wanted).float().mean() < 0.01, "but for ties of rounding"
    # Squares of these are beyond float16.
    large = torch.full((1, 64), 1000.0, dtype=torch.float16)
    assert RMSNorm(64, 1e-6).to(torch.float16)(large).tolist() == [[1.0] * 64]


def test_positions_of_a_bfloat16_model_are_those_of_a_float32_one() -> None:
    """In bfloat16 there is no 257: angles of late positions would be those of others."""
    model = tiny(max_positions=4096)
    positions = torch.tensor([[0, 1, 256, 257, 258, 4095]])
    exact = model.turn(positions, torch.float32)
    model.to(torch.bfloat16)
    model(*packed_batch()[:2])
    for found, wanted in zip(model.turn(positions, torch.bfloat16), exact, strict=True):
        assert torch.equal(found, wanted.to(torch.bfloat16))
    length = 600
    tokens = torch.randint(97, (1, length), generator=torch.Generator().manual_seed(0))
    segments = find_segments(one_document(tokens), length)
    assert torch.equal(segments.positions[0], torch.arange(length))


def test_bfloat16_is_near_float32() -> None:
    batch = packed_batch()
    exact = tiny()(*batch)
    found = tiny().to(torch.bfloat16)(*batch)
    assert found.dtype == torch.float32
    assert abs(found.item() / exact.item() - 1) < 0.02


# Shapes.


def test_a_family_brings_its_bias_and_its_norms() -> None:
    found = {family: tiny(family, layers=1).config for family in ("llama", "qwen2", "qwen3")}
    assert {family: (config.qkv_bias, config.qk_norm) for family, config in found.items()} == {
        "llama": (False, False),
        "qwen2": (True, False),
        "qwen3": (False, True),
    }
    assert ModelConfig.model_validate_json(found["qwen3"].model_dump_json()) == found["qwen3"]


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("llama", {"qkv_bias": True}, "the family llama has qkv_bias False and qk_norm False"),
        ("qwen2", {"qkv_bias": False}, "the family qwen2 has qkv_bias True"),
        ("qwen3", {"qk_norm": False}, "the family qwen3 has qkv_bias False and qk_norm True"),
        ("qwen2", {"kv_heads": 3}, "heads, 4, is no multiple of kv_heads, 3"),
        ("qwen2", {"head_dim": 7}, "head_dim, 7, is odd"),
        ("qwen2", {"layers": 0}, "greater than or equal to 1"),
        ("qwen2", {"rope_theta": 1.0}, "greater than 1"),
        ("mamba", {}, "Input should be"),
    ],
)
def test_shapes_that_make_no_model_are_refused(family: str, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelConfig.model_validate({"family": family, **SHAPE, **changes})
