"""AdamW, with float32 weights and moments, or with fewer bits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from configs.errors import UserError
from pretrain.run.run_config import OptimizerConfig

# What wrappers of modules put into the names of parameters.
_WRAPPERS = ("_checkpoint_wrapped_module.", "_orig_mod.")
_EMBEDDINGS = ("embed.weight", "head.weight")
_FUSED = ("cpu", "cuda")


def named_parameters(parts: Sequence[nn.Module]) -> dict[str, nn.Parameter]:
    """Return the parameters of the parts of a model that this rank holds, by the names that they have without wrappers.

    Raises:
        ValueError: two parts have a parameter of one name.
    """
    named: dict[str, nn.Parameter] = {}
    for part in parts:
        for name, weight in part.named_parameters():
            for wrapper in _WRAPPERS:
                name = name.replace(wrapper, "")
            if name in named:
                raise ValueError(f"two parts of the model have {name}")
            named[name] = weight
    return named


def build_optimizer(named: Mapping[str, nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return AdamW over the parameters, at a learning rate of 0: see `set_learning_rate`.

    Stochastic rounding takes its numbers from torch's own generator of the device. Ranks that hold copies of a weight
    have to round it alike: give all ranks the same `torch.manual_seed`, and keep its state in checkpoints.

    Args:
        named: the parameters, on the device where they are trained.
        config: how.

    Raises:
        UserError: it needs torchao, which is not installed.
        ValueError: the parameters do not have the type that the configuration names.
    """
    dtype = torch.bfloat16 if config.weights == "bf16" else torch.float32
    if wrong := [name for name, weight in named.items() if weight.dtype != dtype]:
        raise ValueError(f"{wrong[0]} is {named[wrong[0]].dtype}, the optimizer is for weights in {dtype}")
    groups = _groups(named, config)
    if config.weights == "fp32" and config.states == "fp32":
        fused = all(weight.device.type in _FUSED for weight in named.values())
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=config.eps, fused=fused)
    try:
        from pretrain.optimizer.low_precision_adamw import LowPrecisionAdamW
    except ImportError as error:
        raise UserError(
            "optimizer.weights: bf16 and optimizer.states: int8 need torchao: `pip install torchao`"
        ) from error
    return LowPrecisionAdamW(groups, config.betas, config.eps, eight_bit=config.states == "int8")


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        _set_rate(group, rate)


def decays(name: str, weight: Tensor, config: OptimizerConfig) -> bool:
    """Whether a parameter decays: matrices do, norms and biases do not, embeddings as configured."""
    return weight.ndim >= 2 and (config.decay_embeddings or name not in _EMBEDDINGS)


def create_states(optimizer: torch.optim.Optimizer) -> None:
    """Create the states of parameters that no step was made with, all zero; the parameters stay as they are."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    new = [weight for weight in weights if not optimizer.state.get(weight)]
    if not new:
        return
    gradients = [weight.grad for weight in weights]
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    for weight in weights:
        weight.grad = None
    for weight in new:
        weight.grad = torch.zeros_like(weight)
    set_learning_rate(optimizer, 0.0)
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):  # rounding draws numbers, which training has not drawn
        optimizer.step()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        _set_rate(group, rate)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    for weight in new:
        optimizer.state[weight]["step"].zero_()


def state_tensors(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> dict[str, Tensor]:
    """Return the state of a parameter as tensors that share its memory, laid out over ranks as the parameter is.

    A moment in 8 bits is two of them: `codes`, of the parameter's shape, and `scale`, one number for each block.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in optimizer.state[weight].items():
        local = value.to_local() if isinstance(value, DTensor) else value
        codes: Tensor | None = getattr(local, "codes", None)
        scale: Tensor | None = getattr(local, "scale", None)
        if codes is None or scale is None:
            tensors[name] = value
            continue
        block = codes.numel() // scale.numel()
        scale = scale.view(-1, codes.shape[1] // block)
        tensors[f"{name}.codes"] = placed_like(weight, codes, weight.shape)
        tensors[f"{name}.scale"] = placed_like(weight, scale, (weight.shape[0], weight.shape[1] // block))
    return tensors


def placed_like(weight: Tensor, local: Tensor, shape: Sequence[int]) -> Tensor:
    """Return this rank's part of a matrix of the shape as a tensor that is spread over ranks as the weight is."""
    if not isinstance(weight, DTensor):
        return local
    return DTensor.from_local(
        local,
        weight.device_mesh,
        weight.placements,
        run_check=False,
        shape=torch.Size(shape),
        stride=(shape[1], 1),
    )


def _set_rate(group: dict[str, object], rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)  # a number in its place would compile the step anew
    else:
        group["lr"] = rate


def _groups(named: Mapping[str, nn.Parameter], config: OptimizerConfig) -> list[dict[str, object]]:
    """Return one group for each decay and mesh of devices: a fused step takes tensors of one mesh."""
    groups: dict[tuple[bool, object], list[nn.Parameter]] = {}
    for name, weight in named.items():
        mesh = weight.device_mesh if isinstance(weight, DTensor) else None
        groups.setdefault((decays(name, weight, config), mesh), []).append(weight)
    return [
        {"params": weights, "weight_decay": config.weight_decay if decay else 0.0}
        for (decay, _), weights in groups.items()
    ]
