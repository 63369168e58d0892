"""Weights that are spread over a mesh of devices, beside whole ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


@torch.no_grad()
def copy_whole(weight: Tensor, whole: Tensor) -> None:
    """Copy a tensor that each rank has whole into a weight, of which a rank may have a part; nothing is sent.

    Raises:
        ValueError: the shapes differ.
    """
    if weight.shape != whole.shape:
        raise ValueError(f"shape {tuple(whole.shape)} for a weight of shape {tuple(weight.shape)}")
    if isinstance(weight, DTensor):
        part = distribute_tensor(
            whole.to(weight.device, weight.dtype), weight.device_mesh, weight.placements, src_data_rank=None
        )
        weight.copy_(part)
    else:
        weight.copy_(whole)
