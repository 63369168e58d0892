"""Steps of a model whose layers are on several ranks: micro-batches go through them by one of PyTorch's schedules.

`1f1b` is the non-interleaved schedule of D. Narayanan et al., arXiv 2104.04473, section 2.2.1, `interleaved` that of
2.2.2, `zero_bubble` ZB-H1 of P. Qi et al., arXiv 2401.10241, section 2.3, with several stages a rank.

Shape legend: B = sequences of a micro-batch, L = tokens of a sequence, E = hidden size, M = micro-batches of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleLoopedBFS,
)
from torch.distributed.pipelining.schedules import PipelineScheduleMulti

from pretrain.data.micro_batch import MicroBatch
from pretrain.model.model import Decoder
from pretrain.parallel.layout import Layout
from pretrain.parallel.sharding import reshard
from pretrain.parallel.steps import StepLoss, all_tokens, count_targets, own_tokens

_Schedule = Schedule1F1B | PipelineScheduleMulti


class _Shape(NamedTuple):
    """What a schedule is made for: so many micro-batches of such a size, with a backward pass or without."""

    batch: int
    length: int
    micro_batches: int
    backward: bool


class Pipeline:
    """Computes steps where ranks have different layers."""

    def __init__(self, parts: Sequence[Decoder], layout: Layout, device: torch.device, dtype: torch.dtype) -> None:
        """Take the parallelized parts of this rank, with their weights, and the dtype of hidden states."""
        self._parts, self._layout, self._device, self._dtype = list(parts), layout, device, dtype
        self._schedules: dict[_Shape, _Schedule] = {}
        self._scale = torch.ones((), device=device)
        self._nll = torch.zeros((), device=device)

    def forward_backward(self, micro_batches: Sequence[MicroBatch]) -> StepLoss:
        """See `StepRunner`.

        Raises:
            UserError: the schedule cannot work on so many micro-batches.
        """
        self._layout.check_micro_batches(len(micro_batches))
        tokens = count_targets(micro_batches, self._layout, self._device)
        self._scale = 1.0 / tokens.clamp_min(1)
        self._nll = torch.zeros((), device=self._device)
        self._run(micro_batches, backward=True)
        return StepLoss(self._nll, tokens)

    @torch.no_grad()
    def evaluate(self, micro_batch: MicroBatch) -> Tensor | None:
        """See `StepRunner`."""
        self._run([micro_batch], backward=False)
        for part in self._parts:
            reshard(part)
        return all_tokens(self._parts[-1].last_nll, self._layout) if self._has_last else None

    @property
    def _has_last(self) -> bool:
        return self._layout.own_stages[-1] == self._layout.stages - 1

    def _run(self, micro_batches: Sequence[MicroBatch], backward: bool) -> None:
        each = [own_tokens(micro_batch, self._layout, self._device) for micro_batch in micro_batches]
        shape = _Shape(each[0].tokens.shape[0], each[0].tokens.shape[1], len(each), backward)
        if shape not in self._schedules:
            self._schedules[shape] = self._make_schedule(shape)
        # PyTorch cuts them into micro-batches again.
        tokens, targets, starts = (torch.cat([getattr(one, name) for one in each]) for name in _INPUTS)
        inputs = (tokens,) if self._layout.own_stages[0] == 0 else ()
        labels = targets if self._has_last and backward else None
        run = self._schedules[shape].step if backward else self._schedules[shape].eval
        run(*inputs, target=labels, return_outputs=False, starts=starts, targets=targets)

    def _make_schedule(self, shape: _Shape) -> _Schedule:
        stages = [
            self._make_stage(*numbered, shape) for numbered in zip(self._layout.own_stages, self._parts, strict=True)
        ]
        if not shape.backward:
            return ScheduleLoopedBFS([*stages], shape.micro_batches)
        if self._layout.schedule == "1f1b":
            return Schedule1F1B(stages[0], shape.micro_batches, loss_fn=self._scaled, scale_grads=False)
        kind: Callable[..., PipelineScheduleMulti]
        kind = ScheduleInterleaved1F1B if self._layout.schedule == "interleaved" else ScheduleInterleavedZeroBubble
        return kind([*stages], shape.micro_batches, loss_fn=self._scaled, scale_grads=False)

    def _make_stage(self, number: int, part: Decoder, shape: _Shape) -> PipelineStage:
        """Describe what comes in and goes out, so that nothing is computed to find out."""
        hidden = torch.empty(
            shape.batch,
            shape.length,
            part.config.hidden_size,
            dtype=self._dtype,
            device="meta",
            requires_grad=shape.backward,
        )
        tokens = torch.empty(shape.batch, shape.length, dtype=torch.int64, device="meta")
        loss = torch.empty((), device="meta", requires_grad=shape.backward)
        return PipelineStage(
            part,
            number,
            self._layout.stages,
            self._device,
            input_args=tokens if part.first else hidden,
            output_args=hidden if part.norm is None else loss,
            group=self._layout.mesh["pipeline"].get_group(),
        )

    def _scaled(self, nll: Tensor, _targets: Tensor) -> Tensor:
        """Return the share of the last stage's output, a sum, in the step's loss; note the sum."""
        self._nll += nll.detach()
        return nll * self._scale


_INPUTS = ("tokens", "targets", "starts")
