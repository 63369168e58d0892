"""Steps on a GPU as `make cpt` computes them: the slopes of float32 on the CPU, nothing that waits, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.distributed.tensor import DTensor

from pretrain.data.micro_batch import MicroBatch
from pretrain.model.attention import Kernel, choose_attention, why_not
from pretrain.model.loss import IGNORED, head_loss, reference_loss
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.distributed import process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import DTYPES, build_parts, make_runner
from pretrain.parallel.steps import StepRunner
from pretrain.run.run_config import ComputeConfig, OptimizerConfig, ParallelConfig
from tests.pretrain.model.packed import starts_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

LENGTH = 256
SHAPE = ModelConfig(
    family="qwen2",
    vocab_size=640,
    hidden_size=256,
    intermediate_size=384,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=64,
    tied_head=True,
)
PACKINGS = (
    [[3, 120, 133], [LENGTH]],
    [[1] * 30 + [LENGTH - 30], [100, 156]],
    [[LENGTH], [17, 239]],
)


@pytest.fixture(scope="module")
def device() -> Iterator[torch.device]:
    with process_group() as own:
        yield own


def micro_batch(number: int) -> MicroBatch:
    draw = torch.Generator().manual_seed(number)
    tokens = torch.randint(SHAPE.vocab_size, (2, LENGTH), generator=draw)
    targets = tokens.roll(-1, dims=1)
    starts = starts_of(PACKINGS[number % len(PACKINGS)], LENGTH, 32)
    for row, begins in enumerate(starts.tolist()):
        targets[row, [begin - 1 for begin in begins if begin]] = IGNORED
    return MicroBatch(tokens, targets, starts, starts[:, :-1] * 0)


def build(device: torch.device, compute: ComputeConfig) -> tuple[Decoder, Layout, StepRunner]:
    layout = Layout(ParallelConfig(), device.type)
    kernel = choose_attention(compute.attention, device, DTYPES[compute.dtype], SHAPE.head_dim)
    (model,) = build_parts(SHAPE, layout, compute, kernel)
    model.to_empty(device=device)
    model.init_weights(0)
    return model, layout, make_runner([model], layout, compute, device)


def slopes(model: Decoder) -> dict[str, Tensor]:
    found = {}
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        grad = weight.grad.full_tensor() if isinstance(weight.grad, DTensor) else weight.grad
        assert grad.dtype == torch.float32
        found[name] = grad.detach().cpu()
    return found


def on_the_cpu() -> tuple[float, dict[str, Tensor]]:
    """Return loss and slopes of the plain model, in float32."""
    model = Decoder(SHAPE)
    model.init_weights(0)
    batch = micro_batch(0)
    loss = model(batch.tokens, batch.starts, batch.targets) / (batch.targets != IGNORED).sum()
    loss.backward()
    return float(loss.detach()), slopes(model)


def off(found: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    return {name: float((found[name] - grad).norm() / grad.norm()) for name, grad in exact.items()}


@pytest.mark.parametrize(
    ("kernel", "recompute"),
    [("varlen", "none"), ("varlen", "selective"), ("varlen", "all"), ("flex", "none"), ("fa3", "none")],
)
def test_compiled_bfloat16_is_as_near_to_float32_as_plain_bfloat16(
    kernel: Kernel, recompute: str, device: torch.device
) -> None:
    if (reason := why_not(kernel, device, torch.bfloat16, SHAPE.head_dim)) is not None:
        pytest.skip(f"{kernel} {reason}")
    loss, exact = on_the_cpu()
    errors = []
    for settings in (
        {"attention": "reference", "compile": False},
        {"attention": kernel, "compile": True, "recompute": recompute},
    ):
        model, _, runner = build(device, ComputeConfig.model_validate(settings))
        found = runner.forward_backward([micro_batch(0)])
        assert float(found.mean()) == pytest.approx(loss, rel=2e-3)
        errors.append(off(slopes(model), exact))
    for name, plain in errors[0].items():
        assert errors[1][name] <= 1.5 * plain + 2**-8, (name, errors[1][name], plain)


def test_float32_is_that_of_the_cpu(device: torch.device) -> None:
    loss, exact = on_the_cpu()
    model, _, runner = build(device, ComputeConfig(dtype="fp32", attention="reference", compile=False))
    assert float(runner.forward_backward([micro_batch(0)]).mean()) == pytest.approx(loss, rel=1e-5)
    assert max(off(slopes(model), exact).values()) < 1e-4


def test_nothing_waits_and_nothing_is_compiled_again(device: torch.device) -> None:
    """Whatever the documents, and once for all layers."""
    model, layout, runner = build(device, ComputeConfig())
    optimizer = build_optimizer(named_parameters([model]), OptimizerConfig())
    set_learning_rate(optimizer, 1e-3)

    def step(number: int) -> None:
        batch = micro_batch(number)
        if device.type == "cuda":
            batch = MicroBatch(*(part.pin_memory() for part in batch))
        runner.forward_backward([batch])
        clip_gradients([model], layout, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    torch._dynamo.reset()
    counters.clear()
    step(0)
    forms = counters["stats"]["unique_graphs"]
    assert 0 < forms <= 3, "a layer, perhaps once more with other strides, and the loss"
    step(1)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(2, 6):
            step(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert counters["stats"]["unique_graphs"] == forms


@pytest.mark.parametrize("compiled", [True, False])
def test_the_head_adds_up_in_float32(compiled: bool) -> None:
    draw = torch.Generator(device="cuda").manual_seed(0)
    hidden = torch.randn(500, 128, generator=draw, device="cuda").bfloat16().requires_grad_()
    weight = torch.randn(1000, 128, generator=draw, device="cuda").bfloat16().requires_grad_()
    targets = torch.randint(1000, (500,), generator=draw, device="cuda")
    targets[::7] = IGNORED
    total, each = head_loss(hidden, weight, targets, 64, compiled)
    found = torch.autograd.grad(total * 0.25, (hidden, weight))
    wide = [part.detach().double().requires_grad_() for part in (hidden, weight)]
    exact, exact_each = reference_loss(wide[0], wide[1], targets)
    wanted = torch.autograd.grad(exact * 0.25, wide)
    assert float(total) == pytest.approx(float(exact), rel=1e-3)
    assert (each - exact_each).abs().max() < 0.1
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.double() - theirs).norm() / theirs.norm() < 2**-7


def test_compiled_logits_are_never_wider_than_their_weights() -> None:
    """One chunk of bfloat16 logits, and nothing else of that size."""
    hidden = torch.randn(4096, 64, device="cuda").bfloat16().requires_grad_()
    weight = torch.randn(32_000, 64, device="cuda").bfloat16().requires_grad_()
    targets = torch.randint(32_000, (4096,), device="cuda")
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        head_loss(hidden, weight, targets, 2048, compiled=True)
    chunk, weights = 2048 * 32_000 * 2, weight.numel() * 6
    assert torch.cuda.max_memory_allocated() - before < 1.25 * chunk + weights + 2 * hidden.nbytes
