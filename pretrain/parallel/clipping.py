"""The norm of all gradients, over all meshes that they are spread over."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pretrain.parallel.layout import Layout


def clip_gradients(parts: Iterable[nn.Module], layout: Layout, max_norm: float | None) -> Tensor:
    """Scale all gradients so that their norm is `max_norm` at most, None being no limit; return what it was.

    The norm is that of the gradients of all ranks together, float32; it is not waited for.
    """
    by_mesh: dict[object, list[nn.Parameter]] = {}
    for weight in (weight for part in parts for weight in part.parameters() if weight.grad is not None):
        by_mesh.setdefault(weight.device_mesh if isinstance(weight, DTensor) else None, []).append(weight)
    squares = []
    for weights in by_mesh.values():
        norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        squares.append((norm.full_tensor() if isinstance(norm, DTensor) else norm).float().square())
    whole = torch.stack(squares).sum()
    if layout.sizes.pipeline > 1:
        dist.all_reduce(whole, group=layout.mesh["pipeline"].get_group())
    norm = whole.sqrt()
    if max_norm is not None:
        for weights in by_mesh.values():
            nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
    return norm
