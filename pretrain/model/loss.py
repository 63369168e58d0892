"""Cross-entropy fused with the output head: the logits of few tokens at a time, so that they are never whole in memory.

A batch of 4 x 8,192 tokens with a vocabulary of 152,000 has 20 GB of float32 logits; here there are `chunk` rows of
them. Gradients are computed in the forward pass, chunk by chunk, so that no logits are kept or computed again (the idea
of Liger-Kernel's fused linear cross-entropy, arXiv 2410.10989, section 3.2). That needs a loss that is a sum, of which
the upstream gradient is one number.

Between the matrix products, memory is what a chunk waits for. Compiled, its logits stay in the type of the weights, are
read twice, and are overwritten with their slopes once, in one kernel; float32 is in registers only.

Shape legend: T = tokens, E = hidden size, V = vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100
# Logits of a chunk: 4,096 tokens in bfloat16 at a vocabulary of 152,000. Each chunk reads and writes the float32 slopes
# of the head once, 1.9 GB at a hidden size of 1,536: with 440 tokens that took longer than their products.
CHUNK_BYTES = 1280 * 2**20


def head_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int | None = None, compiled: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the sum of the negative log likelihoods of the targets, and each token's.

    Args:
        hidden: (T, E), what the head reads.
        weight: (V, E), the head.
        targets: int64 (T,); IGNORED has no loss.
        chunk: tokens of which there are logits at a time; None is as many as CHUNK_BYTES hold, rounded down to a power
            of two.
        compiled: whether what stands between the matrix products is compiled.

    Returns:
        The sum, to be differentiated once; (T,), detached, 0 where the target is IGNORED. Both are float32, or float64
        where `hidden` is.
    """
    rows = chunk or chunk_rows(weight.shape[0], hidden.dtype if compiled else _wide(hidden))
    # What an evaluation without gradients does not need costs two thirds of the work.
    slopes = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total, each = _HeadLoss.apply(hidden, weight, targets, rows, slopes, compiled)  # type: ignore[no-untyped-call]
    return total, each


def chunk_rows(vocabulary: int, dtype: torch.dtype) -> int:
    """Return of how many tokens the logits fit into CHUNK_BYTES: a power of two, so that chunks have one shape."""
    fit = max(1, CHUNK_BYTES // (dtype.itemsize * vocabulary))
    return 1 << (fit.bit_length() - 1)


def reference_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same with all logits in memory: what `head_loss` is tested against."""
    logits = F.linear(hidden, weight)
    logits = logits.to(_wide(logits))
    each = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return each.sum(), each.detach()


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - what PyTorch hands over has no public type with all of its parts
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        rows: int,
        slopes: bool,
        compiled: bool,
    ) -> tuple[Tensor, Tensor]:
        wide = _wide(hidden)
        hidden_grad = torch.empty_like(hidden) if slopes and ctx.needs_input_grad[0] else None
        # Chunks are added up in float32: sums of many chunks in bfloat16 would lose the small ones.
        wants_weight = slopes and ctx.needs_input_grad[1]
        weight_grad = torch.zeros(weight.shape, dtype=wide, device=weight.device) if wants_weight else None
        each = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        measure = _chosen(turn_to_slopes if slopes else token_losses, compiled)
        for begin in range(0, len(hidden), rows):
            part = slice(begin, begin + rows)
            logits = F.linear(hidden[part], weight)
            each[part] = measure(logits, targets[part])
            if hidden_grad is not None:
                torch.mm(logits, weight, out=hidden_grad[part])
            if weight_grad is not None:
                _add_product(weight_grad, logits.T, hidden[part])
        ctx.save_for_backward(hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        ctx.mark_non_differentiable(each)
        return each.sum(), each

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - as above
        grads = (None if grad is None else grad * upstream[0] for grad in ctx.saved_tensors)
        return (*grads, None, None, None, None)


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log likelihoods of the targets (T,), 0 where one is IGNORED, of logits (T, V)."""
    wide = logits.to(_wide(logits))
    highest = wide.amax(-1, keepdim=True)
    return _losses(wide, targets, highest, (wide - highest).exp_().sum(-1, keepdim=True))


def turn_to_slopes(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the same, and turn the logits, in place, into the slopes of the sum of the losses by them.

    These are probabilities, less 1 at the target. The compiler makes one kernel of all this: so the target is found by
    comparing, not by scattering, which would be a kernel of its own on slopes in float32.
    """
    wide = logits.to(_wide(logits))
    highest = wide.amax(-1, keepdim=True)
    powers = (wide - highest).exp_()
    sums = powers.sum(-1, keepdim=True)
    each = _losses(wide, targets, highest, sums)
    columns = torch.arange(logits.shape[-1], device=logits.device)
    slopes = powers.div_(sums).sub_((columns == targets[:, None]).to(wide.dtype))
    logits.copy_(slopes.mul_((targets != IGNORED)[:, None]))
    return each


def _losses(wide: Tensor, targets: Tensor, highest: Tensor, sums: Tensor) -> Tensor:
    valid = targets != IGNORED
    chosen = wide.gather(-1, torch.where(valid, targets, 0)[:, None])
    return torch.where(valid, (highest + sums.log() - chosen)[:, 0], 0.0)


@cache
def _chosen(measure: Callable[[Tensor, Tensor], Tensor], compiled: bool) -> Callable[[Tensor, Tensor], Tensor]:
    return torch.compile(measure, fullgraph=True, dynamic=False) if compiled else measure


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add a matrix product to `total`, in the type that this has."""
    if total.is_cuda:
        # Neither rounded to bfloat16 nor written on its own.
        torch.addmm(total, left, right, out_dtype=total.dtype, out=total)
    else:
        total += left @ right


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
