"""Cross-entropy fused with the output head: the logits of few tokens at a time, so that they are never whole in memory.

A batch of 4 x 8,192 tokens with a vocabulary of 152,000 has 20 GB of float32 logits; here there are `chunk` rows of
them. Gradients are computed in the forward pass, chunk by chunk, so that no logits are kept or computed again (the idea
of Liger-Kernel's fused linear cross-entropy, arXiv 2410.10989, section 3.2). That needs a loss that is a sum, of which
the upstream gradient is one number.

Shape legend: T = tokens, E = hidden size, V = vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100
# float32 logits of a chunk: 256 MiB at a vocabulary of 152,000 are 440 tokens.
CHUNK_BYTES = 256 * 2**20


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the sum of the negative log likelihoods of the targets, and each token's.

    Args:
        hidden: (T, E), what the head reads.
        weight: (V, E), the head.
        targets: int64 (T,); IGNORED has no loss.
        chunk: tokens of which there are logits at a time; None is as many as CHUNK_BYTES hold.

    Returns:
        The sum, to be differentiated once; (T,), detached, 0 where the target is IGNORED. Both are float32, or float64
        where `hidden` is.
    """
    rows = chunk or max(1, CHUNK_BYTES // (4 * weight.shape[0]))
    # What an evaluation without gradients does not need costs two thirds of the work.
    slopes = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total, each = _HeadLoss.apply(hidden, weight, targets, rows, slopes)  # type: ignore[no-untyped-call]
    return total, each


def reference_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same with all logits in memory: what `head_loss` is tested against."""
    logits = F.linear(hidden, weight)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
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
    ) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        hidden_grad = torch.empty_like(hidden) if slopes and ctx.needs_input_grad[0] else None
        # Chunks are added up in float32: sums of many chunks in bfloat16 would lose the small ones.
        wants_weight = slopes and ctx.needs_input_grad[1]
        weight_grad = torch.zeros(weight.shape, dtype=wide, device=weight.device) if wants_weight else None
        each = torch.empty(len(hidden), dtype=wide, device=hidden.device)
        for begin in range(0, len(hidden), rows):
            part = slice(begin, begin + rows)
            logits = F.linear(hidden[part], weight).to(wide)
            each[part], highest = _losses(logits, targets[part])
            if slopes:
                slope = _slope(logits, highest, targets[part]).to(weight.dtype)
                if hidden_grad is not None:
                    hidden_grad[part] = slope @ weight
                if weight_grad is not None:
                    weight_grad += slope.T @ hidden[part]
        ctx.save_for_backward(hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        ctx.mark_non_differentiable(each)
        return each.sum(), each

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - as above
        grads = (None if grad is None else grad * upstream[0] for grad in ctx.saved_tensors)
        return (*grads, None, None, None)


def _losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of a chunk, and the logarithms of the sums of its exponentials, (T, 1)."""
    valid = targets != IGNORED
    highest = torch.logsumexp(logits, dim=-1, keepdim=True)
    chosen = logits.gather(-1, torch.where(valid, targets, 0)[:, None])
    return torch.where(valid, (highest - chosen)[:, 0], 0.0), highest


def _slope(logits: Tensor, highest: Tensor, targets: Tensor) -> Tensor:
    """Turn logits, in place, into the slope of the sum of the losses by them: probabilities, less 1 at the target."""
    valid = targets != IGNORED
    slope = logits.sub_(highest).exp_()
    slope.scatter_add_(-1, torch.where(valid, targets, 0)[:, None], slope.new_full((len(slope), 1), -1.0))
    return slope.mul_(valid[:, None])
