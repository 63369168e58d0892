"""Moments in 8 bits that were written with blocks of another length: see `optimizer/low_precision_adamw.py`.

How many values share a scale depends on how many ranks share the rows of a weight. Blocks of a checkpoint that are
shorter are taken over; where they are longer, each of ours has the scale of the one that it lies in. Both leave every
value as it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pretrain.optimizer.optimizer import create_states, named_parameters, placed_like
from pretrain.parallel.placed import copy_whole

_SCALE = ".scale"


def take_shorter_blocks(
    parts: Sequence[nn.Module], optimizer: torch.optim.Optimizer, stored: Mapping[str, torch.Size]
) -> None:
    """Give moments the blocks of a checkpoint where those are shorter; the values are zero then, to be read.

    Args:
        parts: of the model that this rank holds.
        optimizer: of all of them.
        stored: shapes of the checkpoint's tensors by name.
    """
    create_states(optimizer)
    for name, weight in named_parameters(parts).items():
        for kind, value in optimizer.state[weight].items():
            # torchao's own class, which is imported only where moments are in 8 bits.
            local: Any = value.to_local() if isinstance(value, DTensor) else value
            block: int | None = getattr(local, "block_size", None)
            there = stored.get(f"optimizer.{name}.{kind}{_SCALE}")
            if block is None or there is None or len(there) != 2:
                continue
            times, rest = divmod(there[1] * block, weight.shape[1])
            if rest or times < 2 or block % times:
                continue
            zeros = type(local).zeros(local.shape, local.signed, block // times, local.device)
            optimizer.state[weight][kind] = placed_like(weight, zeros, weight.shape)


def longer_blocks(tensors: Mapping[str, Tensor], stored: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Return tensors to read scales of longer blocks into, whole, in place of those that have shorter ones."""
    found = {}
    for name, tensor in tensors.items():
        there = stored.get(name)
        if name.endswith(_SCALE) and there is not None and len(there) == len(tensor.shape) == 2:
            rows, columns = tensor.shape
            if there[0] == rows and 0 < there[1] < columns and columns % there[1] == 0:
                found[name] = torch.zeros(there, dtype=tensor.dtype, device=tensor.device)
    return found


def spread_scales(tensors: Mapping[str, Tensor], longer: Mapping[str, Tensor]) -> None:
    """Give shorter blocks the scales of the longer ones that they lie in."""
    for name, scales in longer.items():
        copy_whole(tensors[name], scales.repeat_interleave(tensors[name].shape[1] // scales.shape[1], dim=1))
