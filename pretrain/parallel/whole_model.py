"""Steps of a model of which each rank has all layers, or parts of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pretrain.data.micro_batch import MicroBatch
from pretrain.model.model import Decoder
from pretrain.parallel.layout import Layout
from pretrain.parallel.sharding import reshard, sync_gradients
from pretrain.parallel.steps import StepLoss, all_tokens, count_targets, own_tokens


class WholeModel:
    """Computes steps one micro-batch after the other."""

    def __init__(self, model: Decoder, layout: Layout, device: torch.device) -> None:
        """Take the parallelized model, with its weights."""
        self._model, self._layout, self._device = model, layout, device

    def forward_backward(self, micro_batches: Sequence[MicroBatch]) -> StepLoss:
        """See `StepRunner`."""
        tokens = count_targets(micro_batches, self._layout, self._device)
        scale = 1.0 / tokens.clamp_min(1)
        nll = torch.zeros((), device=self._device)
        for number, micro_batch in enumerate(micro_batches, 1):
            sync_gradients(self._model, last=number == len(micro_batches))
            own = own_tokens(micro_batch, self._layout, self._device)
            loss = self._model(own.tokens, own.starts, own.targets)
            nll += loss.detach()
            (loss * scale).backward()
        return StepLoss(nll, tokens)

    @torch.no_grad()
    def evaluate(self, micro_batch: MicroBatch) -> Tensor | None:
        """See `StepRunner`."""
        own = own_tokens(micro_batch, self._layout, self._device)
        self._model(own.tokens, own.starts, own.targets)
        reshard(self._model)
        return all_tokens(self._model.last_nll, self._layout)
