"""AdamW against the paper; groups; weights in bfloat16; moments in 8 bits."""

from __future__ import annotations

import builtins
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from configs.errors import UserError
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig
from pretrain.optimizer.optimizer import (
    build_optimizer,
    create_states,
    named_parameters,
    set_learning_rate,
    state_tensors,
)
from pretrain.run.run_config import OptimizerConfig

SHAPE = ModelConfig(
    family="qwen2",
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    qkv_bias=True,
)


@pytest.fixture(scope="module", autouse=True)
def _not_compiled() -> Iterator[None]:
    """Run torchao's step without a compiler, which takes a minute for what is tested in a second."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def algorithm_2(
    weight: np.ndarray, gradients: list[np.ndarray], rates: list[float], config: OptimizerConfig, decay: float
) -> np.ndarray:
    """AdamW in float64, line by line after algorithm 2 of arXiv 1711.05101 with the decay times the learning rate."""
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    (beta1, beta2) = config.betas
    for number, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        unbiased, spread = first / (1 - beta1**number), second / (1 - beta2**number)
        weight = weight - rate * (unbiased / (np.sqrt(spread) + config.eps) + decay * weight)
    return weight


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), betas=st.sampled_from([(0.9, 0.95), (0.9, 0.999), (0.0, 0.5)]))
@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_steps_are_those_of_the_paper(weights: str, seed: int, betas: tuple[float, float]) -> None:
    """All of them with rates that change; of bfloat16 weights the first one, within a unit of the last place."""
    config = OptimizerConfig.model_validate({"betas": betas, "weight_decay": 0.3, "eps": 1e-6, "weights": weights})
    random = np.random.default_rng(seed)
    steps = 12 if weights == "fp32" else 1
    dtype = torch.float32 if weights == "fp32" else torch.bfloat16
    named = {
        "layers.0.mlp.up.weight": nn.Parameter(torch.from_numpy(random.normal(size=(5, 3))).to(dtype)),
        "layers.0.mlp_norm.weight": nn.Parameter(torch.from_numpy(random.normal(size=7)).to(dtype)),
    }
    gradients = {
        name: [
            torch.from_numpy(random.normal(size=tuple(weight.shape)) * 10 ** random.uniform(-4, 2)).to(dtype)
            for _ in range(steps)
        ]
        for name, weight in named.items()
    }
    rates = [float(rate) for rate in random.uniform(1e-4, 0.1, steps)]
    expected = {
        name: algorithm_2(
            weight.detach().double().numpy(),
            [one.double().numpy() for one in gradients[name]],
            rates,
            config,
            0.3 if weight.ndim == 2 else 0.0,
        )
        for name, weight in named.items()
    }
    optimizer = build_optimizer(named, config)
    for number, rate in enumerate(rates):
        for name, weight in named.items():
            weight.grad = gradients[name][number]
        set_learning_rate(optimizer, rate)
        optimizer.step()
    for name, weight in named.items():
        relative, absolute = (2e-5, 2e-6) if weights == "fp32" else (2**-7, 1e-6)
        np.testing.assert_allclose(weight.detach().double().numpy(), expected[name], rtol=relative, atol=absolute)


@pytest.mark.parametrize("decay_embeddings", [True, False])
def test_matrices_decay_and_norms_and_biases_do_not(decay_embeddings: bool) -> None:
    """With gradients of 0, what decays shrinks by the rate times the decay, and nothing else changes."""
    model = Decoder(SHAPE)
    model.init_weights(1)
    named = named_parameters([model])
    with torch.no_grad():
        for weight in named.values():
            weight.fill_(2.0)
    optimizer = build_optimizer(named, OptimizerConfig(weight_decay=0.5, decay_embeddings=decay_embeddings))
    for weight in named.values():
        weight.grad = torch.zeros_like(weight)
    set_learning_rate(optimizer, 0.1)
    optimizer.step()
    shrunk = {name for name, weight in named.items() if not weight.eq(2.0).any()}
    kept = {name for name, weight in named.items() if weight.eq(2.0).all()}
    assert {name for name in kept if not name.endswith(("norm.weight", "bias"))} == (
        set() if decay_embeddings else {"embed.weight", "head.weight"}
    )
    assert shrunk | kept == set(named)
    assert all(torch.allclose(named[name], torch.tensor(2.0 * 0.95)) for name in shrunk)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(named)


def test_parts_of_a_pipeline_have_the_names_of_the_whole_model() -> None:
    """One optimizer is for all parts of a rank, whatever wraps their layers."""
    parts = [Decoder(SHAPE, layers=range(1), last=False), Decoder(SHAPE, layers=range(1, 2), first=False)]
    parts[0].layers["0"] = checkpoint_wrapper(parts[0].layers["0"])
    parts[1].layers["1"] = torch.compile(parts[1].layers["1"])  # type: ignore[assignment]
    named = named_parameters(parts)
    assert set(named) == set(named_parameters([Decoder(SHAPE)]))
    assert len(build_optimizer(named, OptimizerConfig()).param_groups) == 2
    with pytest.raises(ValueError, match=r"two parts of the model have embed\.weight"):
        named_parameters([parts[0], parts[0]])


def test_weights_of_another_type_are_refused() -> None:
    """The type of the weights is what the configuration says."""
    named = {"embed.weight": nn.Parameter(torch.zeros(4, 4))}
    with pytest.raises(ValueError, match="float32"):
        build_optimizer(named, OptimizerConfig(weights="bf16"))


def test_without_torchao_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what needs it asks for it."""
    true_import = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name.startswith(("torchao", "pretrain.optimizer.low_precision_adamw")):
            raise ImportError(name)
        return true_import(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    named = {"embed.weight": nn.Parameter(torch.zeros(4, 4))}
    build_optimizer(named, OptimizerConfig())
    with pytest.raises(UserError, match="pip install torchao"):
        build_optimizer(named, OptimizerConfig(states="int8"))


def test_stochastic_rounding_is_right_on_average_and_to_a_neighbour() -> None:
    """A step of a third of the distance to the next number lands there a third of the time."""
    count = 60_000
    named = {"layers.0.mlp.up.weight": nn.Parameter(torch.ones(200, count // 200, dtype=torch.bfloat16))}
    weight = named["layers.0.mlp.up.weight"]
    optimizer = build_optimizer(named, OptimizerConfig(weights="bf16", weight_decay=0.0))
    distance = 2.0**-7  # of bfloat16 numbers from 1 to 2
    weight.grad = -torch.ones_like(weight)  # the first step of Adam is the rate, whatever the gradient
    set_learning_rate(optimizer, distance / 3)
    torch.manual_seed(5)
    optimizer.step()
    up = weight.eq(1 + distance)
    assert bool((up | weight.eq(1.0)).all())
    deviation = (2 / 9 / count) ** 0.5
    assert abs(up.float().mean().item() - 1 / 3) < 5 * deviation


def test_small_steps_train_where_rounding_to_the_nearest_stalls() -> None:
    """100 steps of 1/20 of the distance of two numbers move weights by 5 of them; rounded to the nearest, by none."""

    def train(stochastic: bool) -> Tensor:
        weight = nn.Parameter(torch.ones(64, 64, dtype=torch.bfloat16))
        torch.manual_seed(0)
        optimizer: torch.optim.Optimizer
        if stochastic:
            optimizer = build_optimizer({"w": weight}, OptimizerConfig(weights="bf16", weight_decay=0.0))
        else:
            optimizer = torch.optim.AdamW([weight], betas=(0.9, 0.95), weight_decay=0.0)
        set_learning_rate(optimizer, 2.0**-7 / 20)
        for _ in range(100):
            weight.grad = -torch.ones_like(weight)
            optimizer.step()
        return weight.detach().float()

    assert bool(train(stochastic=False).eq(1.0).all())
    moved = (train(stochastic=True) - 1.0) * 2**7
    assert abs(moved.mean().item() - 5) < 0.3
    assert moved.std().item() > 0  # they did not all round alike


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_moments_in_8_bits_are_near_those_in_32(weights: str) -> None:
    """Of a block: within the distance of the table's values; small ones keep 32 bits."""
    dtype = torch.float32 if weights == "fp32" else torch.bfloat16
    start = torch.randn(64, 256, generator=torch.Generator().manual_seed(1)).to(dtype)
    gradient = torch.randn(64, 256, generator=torch.Generator().manual_seed(2)).to(dtype)

    def run(states: str) -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
        named = {"a.weight": nn.Parameter(start.clone()), "a.bias": nn.Parameter(start[0].clone())}
        config = OptimizerConfig.model_validate({"weights": weights, "states": states})
        optimizer = build_optimizer(named, config)
        set_learning_rate(optimizer, 1e-2)
        named["a.weight"].grad, named["a.bias"].grad = gradient.clone(), gradient[0].clone()
        torch.manual_seed(3)
        optimizer.step()
        return named, optimizer

    (named, optimizer), (whole, reference) = run("int8"), run("fp32")
    cut, full = optimizer.state[named["a.weight"]], reference.state[whole["a.weight"]]
    for moment in ("exp_avg", "exp_avg_sq"):
        scale = full[moment].abs().amax(-1, keepdim=True)  # a row is a block
        assert bool(((cut[moment].dequantize() - full[moment]).abs() <= 0.02 * scale).all())
        assert full[moment].dtype == torch.float32
    assert torch.allclose(named["a.weight"].float(), whole["a.weight"].float(), rtol=2**-7, atol=2e-3)
    tensors = state_tensors(optimizer, named["a.weight"])
    assert {name: (tuple(one.shape), one.dtype) for name, one in tensors.items()} == {
        "step": ((), torch.float32),
        "exp_avg.codes": ((64, 256), torch.uint8),
        "exp_avg.scale": ((64, 1), torch.float32),
        "exp_avg_sq.codes": ((64, 256), torch.uint8),
        "exp_avg_sq.scale": ((64, 1), torch.float32),
    }
    assert {one.dtype for one in state_tensors(optimizer, named["a.bias"]).values()} == {torch.float32}


@pytest.mark.parametrize("states", ["fp32", "int8"])
def test_moments_in_any_precision_find_the_minimum(states: str) -> None:
    """Of a quadratic, to a percent of where it began."""
    target = torch.randn(64, 128, generator=torch.Generator().manual_seed(4))
    weight = nn.Parameter(torch.zeros(64, 128))
    optimizer = build_optimizer({"w": weight}, OptimizerConfig.model_validate({"states": states, "weight_decay": 0.0}))
    for number in range(60):
        weight.grad = (weight - target).detach()
        set_learning_rate(optimizer, 0.15 * (1 - number / 60))
        optimizer.step()
    assert (weight - target).square().mean().item() < 1e-2 * target.square().mean().item()


@pytest.mark.parametrize("setting", [{}, {"weights": "bf16"}, {"states": "int8"}])
def test_states_are_created_without_a_trace(setting: dict[str, str]) -> None:
    """Weights, gradients, rates, random numbers and what follows are as if nothing had been done."""
    config = OptimizerConfig.model_validate(setting)
    dtype = torch.bfloat16 if config.weights == "bf16" else torch.float32

    def run(create: bool) -> list[Tensor]:
        torch.manual_seed(9)
        named = {"a": nn.Parameter(torch.randn(64, 64).to(dtype)), "b": nn.Parameter(torch.randn(64).to(dtype))}
        optimizer = build_optimizer(named, config)
        set_learning_rate(optimizer, 1e-3)
        for weight in named.values():
            weight.grad = torch.ones_like(weight)
        if create:
            create_states(optimizer)
        for _ in range(3):
            optimizer.step()
            create_states(optimizer)
        return [
            *named.values(),
            *(one for weight in named.values() for one in state_tensors(optimizer, weight).values()),
        ]

    assert all(torch.equal(one, other) for one, other in zip(run(True), run(False), strict=True))


@pytest.mark.long
def test_compiled_as_in_training() -> None:
    """The step that torchao compiles is the one that is tested above."""
    start = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    found = []
    for stance in ("force_eager", "default"):
        torch.compiler.set_stance(stance)
        weight = nn.Parameter(start.clone())
        optimizer = build_optimizer({"w": weight}, OptimizerConfig(states="int8"))
        set_learning_rate(optimizer, 1e-2)
        for _ in range(3):
            weight.grad = (weight - 1).detach()
            optimizer.step()
        found.append(weight.detach())
    torch.compiler.set_stance("force_eager")
    assert torch.allclose(found[0], found[1], atol=1e-3)
