"""Matrix products of layers in float8 (P. Micikevicius et al., arXiv 2209.05433), by torchao."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from configs.errors import UserError

# Of the first GPUs whose tensor cores multiply float8: Ada and Hopper.
_CAPABILITY = (8, 9)


def use_float8(modules: Iterable[nn.Module]) -> None:
    """Let the linear layers of modules multiply in float8, scaled by tensor; their weights stay as they are.

    The head stays out: its loss is computed from its weight, and its logits need the precision.

    Raises:
        UserError: torchao is not there, or no GPU that multiplies float8.
    """
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < _CAPABILITY:
        raise UserError("compute.float8 needs a GPU of compute capability 8.9 or later (Ada, Hopper): set it to false")
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError as error:
        raise UserError("compute.float8 needs torchao: pip install torchao") from error
    for module in modules:
        convert_to_float8_training(module, config=Float8LinearConfig(), module_filter_fn=_divides)


def _divides(module: nn.Module, name: str) -> bool:
    """Float8 products want both sizes to be multiples of 16."""
    return isinstance(module, nn.Linear) and not (module.in_features % 16 or module.out_features % 16)
