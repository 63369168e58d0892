"""Activations that are computed again in the backward pass rather than kept (T. Chen et al., arXiv 1604.06174)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from pretrain.model.model import Block

Recompute = Literal["none", "selective", "all"]

# By name, as not every version and build of PyTorch has all of them.
_KEPT_NAMES = (
    "aten.mm",
    "aten.addmm",
    "aten._scaled_mm",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_fused_attention_overrideable",
    "torch_attn._varlen_attn",
    "_c10d_functional.reduce_scatter_tensor",
)


def recompute_block(block: Block, which: Recompute) -> None:
    """Let a layer compute its activations again: `all`, or all but those of attention and of matrix products.

    The block stays the same module with the same names of weights; nothing in it is random.
    """
    if which == "none":
        return
    again = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
    if which == "selective":
        again = partial(again, context_fn=partial(create_selective_checkpoint_contexts, _policy))
    block.forward = again  # type: ignore[method-assign]


def _policy(context: object, operation: object, *args: object, **named: object) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _KEPT else CheckpointPolicy.PREFER_RECOMPUTE


def _find_kept() -> frozenset[object]:
    found: set[object] = {torch.ops.higher_order.flex_attention}
    for name in _KEPT_NAMES:
        library, operation = name.split(".")
        if hasattr(overloads := getattr(torch.ops, library), operation):
            found.add(getattr(overloads, operation).default)
    return frozenset(found)


_KEPT = _find_kept()
