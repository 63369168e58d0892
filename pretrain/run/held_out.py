"""When the held-out loss of a run is measured, and what is written and told about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pretrain.checkpoint.checkpoint_files import RunState
from pretrain.data.micro_batch import MicroBatch
from pretrain.evaluate.evaluate import Evaluator
from pretrain.evaluate.evaluation import Evaluation, change_table, compare, warnings
from pretrain.parallel.distributed import any_rank
from pretrain.parallel.layout import Layout
from pretrain.run.journal import Evaluations, Journal, held_out_scalars
from pretrain.run.run_setup import RunPlan
from pretrain.run.terminal import Terminal


class Sinks(NamedTuple):
    """Where results go: files of the run, and the terminal."""

    journal: Journal
    evaluations: Evaluations
    terminal: Terminal


class HeldOut:
    """The held-out texts of a run; they are cut alike in all stages, so that losses compare."""

    def __init__(self, plan: RunPlan, layout: Layout, device: torch.device, sinks: Sinks) -> None:
        """Open them.

        Raises:
            UserError: they cannot be read, or ranks cannot share their sequences.
        """
        self._config, self._device, self._sinks = plan.config.evaluation, device, sinks
        # Of the ranks that read the same sequences, one counts.
        self._counts = layout.share.context_rank == 0 and layout.share.tensor_rank == 0
        self._evaluator: Evaluator | None = None
        if not any(own.sequences for own in plan.manifest.validation):
            sinks.terminal.say("the mixture has no held-out texts: nothing is evaluated", "yellow")
            return
        length = self._config.sequence_length or plan.stages[0].sequence_length
        layout.check_length(length)
        rows = max(1, plan.config.batch.micro_tokens // length)
        place = (layout.data_rank, layout.data_world)
        self._evaluator = Evaluator(plan.mixture, length, rows, *place, self._config.max_tokens)

    def is_due(self, state: RunState) -> bool:
        """Whether the loss is to be measured where the run stands; all ranks ask together."""
        every = self._config.every_steps
        time = state.step == 0 or state.stage_end or (every is not None and state.step % every == 0)
        if self._evaluator is None or not time:
            return False
        # A run that was stopped before its evaluation, or while it was going on, makes it when it goes on.
        done = state.step > 0 and self._sinks.evaluations.last_step == state.step
        return not any_rank(done, self._device)

    def measure(self, nll: Callable[[MicroBatch], Tensor | None], state: RunState) -> RunState:
        """Measure the loss, and say what was gained and forgotten since the first time; all ranks do.

        Args:
            nll: the model, see `Evaluator.run`.
            state: of the run.

        Returns:
            The state, with the first evaluation.

        Raises:
            UserError: a source cannot be read.
        """
        if self._evaluator is None:
            return state
        found = self._evaluator.run(nll, state.step, self._device, self._counts)
        if isinstance(state.first_evaluation, dict):
            first = Evaluation.from_json(state.first_evaluation, "the first evaluation of the run")
        else:
            first = found
            state = state.model_copy(update={"first_evaluation": found.to_json()})
        changes = compare(found, first, self._config.forgetting)
        alarms = warnings(changes, self._config)
        self._sinks.evaluations.write(found, changes, state.tokens, state.stage, alarms)
        self._sinks.journal.scalars(held_out_scalars(found, changes), "held-out")
        self._sinks.terminal.say(change_table(changes))
        for alarm in alarms:
            self._sinks.terminal.say(alarm, "bold yellow")
        return state
