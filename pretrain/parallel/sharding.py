"""Weights, gradients and states of the optimizer spread over ranks: ZeRO-3 (arXiv 1910.02054) by PyTorch's FSDP2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from pretrain.parallel.layout import Layout


def shard_weights(model: nn.Module, layers: Sequence[nn.Module], layout: Layout, dtype: torch.dtype) -> None:
    """Spread the weights of a model, or a part of one; those outside of its layers are a group of their own.

    A layer's weights are gathered when it is computed and given back afterwards, in the backward pass again; in a
    pipeline, which computes each layer once a micro-batch, they stay from the first micro-batch to the last. Embedding,
    last norm and head are gathered once a pass. Gradients of what is computed in bfloat16 are added up in float32.

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
        fully_shard(module, mesh=mesh, mp_policy=policy, reshard_after_forward=give_back)

    for layer in layers:
        spread(layer, layout.layers_mesh, give_back=layout.stages == 1)
    spread(model, layout.ends_mesh, give_back=False)
    for module in _sharded(model):
        # Sums, not means: the loss is divided by the number of tokens already.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


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
