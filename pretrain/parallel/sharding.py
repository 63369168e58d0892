"""Weights, gradients and states of the optimizer spread over ranks: ZeRO-3 (arXiv 1910.02054) by PyTorch's FSDP2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from pretrain.parallel.layout import Layout

# Of a GPU's memory: what gathered weights may take that would not have to stay.
_SPARE = 1 / 16


def shard_weights(model: nn.Module, layers: Sequence[nn.Module], layout: Layout, dtype: torch.dtype) -> None:
    """Spread the weights of a model, or a part of one; those outside of its layers are a group of their own.

    A layer's weights are gathered when it is computed and given back afterwards, in the backward pass again; in a
    pipeline, which computes each layer once a micro-batch, they stay from the first micro-batch to the last, and on one
    rank where they are few: see `stays`. Embedding, last norm and head are gathered once a pass. Gradients of what is
    computed in bfloat16 are added up in float32.

    Args:
        model: on any device.
        layers: of it.
        layout: of the ranks.
        dtype: that layers compute in.
    """
    policy = MixedPrecisionPolicy()
    if dtype != torch.float32:
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)

    def spread(module: nn.Module, mesh: DeviceMesh, give_back: bool) -> None:
        sharded = fully_shard(module, mesh=mesh, mp_policy=policy, reshard_after_forward=give_back)
        if mesh.size() > 1:
            # Sums, not means: the loss is divided by the number of tokens already. A rank of its own adds nothing up,
            # but would divide all gradients by 1.
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)

    weights = sum(weight.numel() for layer in layers for weight in layer.parameters())
    keep = layout.stages > 1 or stays(weights * dtype.itemsize, layout.layers_mesh.size(), _gpu_bytes(layout))
    for layer in layers:
        spread(layer, layout.layers_mesh, give_back=not keep)
    spread(model, layout.ends_mesh, give_back=False)


def stays(size: int, ranks: int, memory: int | None) -> bool:
    """Return whether layers keep their gathered weights, `size` bytes, from the forward pass to the backward pass.

    On one GPU nothing is sent, but gathering copies and casts all weights, 10 bytes for each one in float32, and once
    more in the backward pass; to give them back saves only the bytes of one copy.
    """
    return ranks == 1 and memory is not None and size <= memory * _SPARE


def _gpu_bytes(layout: Layout) -> int | None:
    if layout.layers_mesh.device_type != "cuda":
        return None
    return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory


def sync_gradients(model: nn.Module, last: bool) -> None:
    """Say before a micro-batch whether it is the step's last one: gradients are exchanged after that one alone.

    Until then each rank adds up whole gradients of its layers: 4 bytes a weight.
    """
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        model.set_is_last_backward(last)


def reshard(model: nn.Module) -> None:
    """Give gathered weights back after an evaluation, so that `model.parameters()` are those of the optimizer."""
    for module in _sharded(model):
        module.reshard()


def _sharded(model: nn.Module) -> Iterable[FSDPModule]:
    return (module for module in model.modules() if isinstance(module, FSDPModule))
