"""What a step computes, whichever way the ranks share the model: gradients of a loss, and losses without gradients.

The loss of a step is the sum over its tokens, of all ranks and micro-batches, divided by the number of those that
have a target. So gradients are those of one process with the whole step, however unequal the parts are.

Shape legend: B = sequences of a micro-batch, L = tokens of a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from pretrain.data.micro_batch import MicroBatch
from pretrain.model.loss import IGNORED
from pretrain.parallel.layout import Layout


class StepLoss(NamedTuple):
    """The loss of a step.

    Attributes:
        nll: float32 scalar, detached: the sum over the tokens of this rank; 0 where another rank has the last layers.
        tokens: int64 scalar: those of all ranks that have a target.
    """

    nll: Tensor
    tokens: Tensor

    def mean(self) -> Tensor:
        """Return the mean over the tokens of all ranks, float32; all ranks ask together."""
        whole = self.nll.double()
        dist.all_reduce(whole)
        return (whole / self.tokens.clamp_min(1)).float()


class StepRunner(Protocol):
    """Computes steps."""

    def forward_backward(self, micro_batches: Sequence[MicroBatch]) -> StepLoss:
        """Add the gradients of a step, of which these are this rank's micro-batches, to those that are there.

        All have the same shape, and all ranks have as many.
        """

    def evaluate(self, micro_batch: MicroBatch) -> Tensor | None:
        """Return the negative log likelihoods of tokens, float32 (B, L); None where another rank has the last layers.

        All ranks take part, with micro-batches of the same shape; those that have none left give one without targets.
        """


def own_tokens(micro_batch: MicroBatch, layout: Layout, device: torch.device) -> MicroBatch:
    """Return this rank's tokens of a micro-batch, on its device; `starts` stay those of whole sequences."""
    there = micro_batch.to(device)
    share = layout.share
    return there._replace(tokens=share.of_rank(there.tokens), targets=share.of_rank(there.targets))


def all_tokens(own: Tensor, layout: Layout) -> Tensor:
    """Return (B, L) of what each rank has for its tokens of the sequences."""
    share = layout.share
    if share.context * share.tensor == 1:
        return own
    parts = DTensor.from_local(own.contiguous(), layout.mesh["context", "tensor"], [Shard(1), Shard(1)])
    return share.in_order(parts.full_tensor())


def count_targets(micro_batches: Sequence[MicroBatch], layout: Layout, device: torch.device) -> Tensor:
    """Return the number of targets in the micro-batches of all ranks, int64."""
    own = sum(int((micro_batch.targets != IGNORED).sum()) for micro_batch in micro_batches)
    # Filled, not copied: a copy would wait for all that the device has to do.
    return layout.sum_over_data(torch.full((), own, device=device))
