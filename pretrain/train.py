"""The training loop: read it first.

    manifest -> stage by stage, step by step: data.py -> parallel.py (model.py, attention.py, loss.py) -> optimizer.py
                every so often:               evaluate.py, checkpoint.py
                at the end:                   export.py

A run lives in `runs/<name>/`. Started again, it goes on at its last checkpoint; a finished one stays as it is.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from curation.job_folder import locked_output
from curation.store import write_text_atomically
from mixing.mixture.manifest_schema import ManifestStage
from pretrain.checkpoint.checkpoint import Checkpointer, CheckpointError
from pretrain.checkpoint.checkpoint_files import folder_name
from pretrain.data.data import StageBatches, StepBatch, plan_steps
from pretrain.data.micro_batch import MicroBatch
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.distributed import any_rank, process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import make_runner
from pretrain.run.export import export_model, is_exported
from pretrain.run.held_out import HeldOut, Sinks
from pretrain.run.journal import Evaluations, Journal
from pretrain.run.report_run import RunReport
from pretrain.run.resuming import Trained, begin_or_resume
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import CHECKPOINTS, RunOptions, RunPlan, build_model, check_stages, open_plan
from pretrain.run.speed import SpeedMeter
from pretrain.run.spikes import DivergedError, SpikeWatch
from pretrain.run.stopping import RunStoppedError, StopAskedError, StopRequest, stop_requests
from pretrain.run.terminal import Terminal, plan_line


def train(config: RunConfig, options: RunOptions) -> None:
    """Train, on the processes that torchrun or Ray Train started, or on this one alone.

    Raises:
        UserError: something is missing, or does not fit.
        RunStoppedError: the run was asked to stop; it goes on from its checkpoint.
        DivergedError: too many steps gave no finite loss.
        CheckpointError: a checkpoint could not be written.
    """
    with process_group() as device, ExitStack() as stack:
        plan = open_plan(config, options)
        if dist.get_rank() == 0:
            stack.enter_context(locked_output(plan.folder))
        run = Run(plan, device, options.changed_mixture)
        with stop_requests() as request, run:
            run.run(request)


class Run:
    """A run on this rank: the model, what trains it, and how far it is."""

    def __init__(self, plan: RunPlan, device: torch.device, changed_mixture: bool) -> None:
        """Build the model, and go to the last checkpoint or the beginning.

        Raises:
            UserError: a checkpoint is of another mixture or model, or something does not fit or cannot be read.
        """
        self.plan, self.device, self._request = plan, device, StopRequest()
        config = plan.config
        self._writes = dist.get_rank() == 0
        self._terminal = Terminal(self._writes)
        torch.manual_seed(config.model.seed)
        self.layout = Layout(config.parallel, device.type)
        check_stages(plan, self.layout)
        self.parts = build_model(plan, self.layout, device)
        self.runner = make_runner(self.parts, self.layout, config.compute, device)
        self.optimizer = build_optimizer(named_parameters(self.parts), config.optimizer)
        self._checkpointer = Checkpointer(
            plan.folder / CHECKPOINTS, config.checkpoint.keep, config.checkpoint.background, self._terminal.say
        )
        trained = Trained(self.parts, self.optimizer, self.layout)
        self.state = begin_or_resume(plan, trained, self._checkpointer, changed_mixture, self._terminal.say)
        self._saved_step = self.state.step
        self._journal = Journal(plan.folder, self.state.step, self._writes)
        self._evaluations = Evaluations(plan.folder, self.state.step, self._writes)
        self._spikes = SpikeWatch(config.spikes, self._journal.history.recent_losses(config.spikes.window))
        self._report = RunReport(plan, self._writes)
        self._speed = SpeedMeter(plan.model, dist.get_world_size(), device)
        self._held_out = HeldOut(plan, self.layout, device, Sinks(self._journal, self._evaluations, self._terminal))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the last checkpoint, and close what is open; what goes wrong then does not hide `error`."""
        try:
            with ExitStack() as stack:
                stack.callback(self._journal.close)
                stack.callback(self._checkpointer.close)
        except (CheckpointError, OSError) as second:
            if error is None:
                raise
            self._terminal.say(str(second), "yellow")

    def run(self, request: StopRequest) -> None:
        """Train the stages that are left, and export the model; stop where a signal asks for it."""
        self._request = request
        if self._is_trained() and not self._held_out.is_due(self.state):
            self._export()
            self._terminal.say(f"{self.plan.folder}: is finished, after {self.state.step:,} steps")
            return
        if self._writes:
            text = json.dumps(self.plan.config.model_dump(mode="json"), indent=1)
            write_text_atomically(self.plan.folder / "config.json", text)
        weights = sum(weight.numel() for weight in named_parameters(self.parts).values())
        attention = type(self.parts[0].attention).__name__.lower()
        self._terminal.say(plan_line(self.plan, weights, attention, self.layout.sizes._asdict()))
        try:
            self._train()
        except StopAskedError:
            raise self._stopped() from None
        except DivergedError:
            self._write_report(at_once=True)
            raise
        self._export()
        told = f"finished after {self.state.step:,} steps, {self.state.tokens:,} tokens"
        self._terminal.say(f"{self.plan.folder}: {told}")

    def _train(self) -> None:
        if self._held_out.is_due(self.state):
            self._evaluate()
            self._write_report()
        for index, stage in enumerate(self.plan.stages):
            if index < self.state.stage_index or (index == self.state.stage_index and self._is_done(stage)):
                continue
            self._train_stage(index, stage)
        self._checkpointer.wait()
        self._write_report(at_once=True)

    def _is_done(self, stage: ManifestStage) -> bool:
        """Whether the stage that the run stands in has its tokens; a changed mixture may give it more."""
        return self.state.stage_end and self.state.stage_tokens >= stage.tokens

    def _is_trained(self) -> bool:
        return self.state.stage_index == len(self.plan.stages) - 1 and self._is_done(self.plan.stages[-1])

    def _train_stage(self, index: int, stage: ManifestStage) -> None:
        config = self.plan.config
        begin = (
            {"stage": stage.name, "stage_index": index, "stage_tokens": 0} if self.state.stage_index != index else {}
        )
        self.state = self.state.model_copy(update={**begin, "stage_end": False})
        steps = plan_steps(config.batch, stage, self.layout.data_world)
        least = "at least " if stage.packing == "best_fit" else ""  # padding is no token
        asked = config.batch.tokens
        rounded = f" (batch.tokens {asked:,}, in whole sequences)" if steps.tokens < asked else ""
        told = f"{stage.tokens:,} tokens, {steps.tokens:,} a step{rounded}, {least}{steps.steps:,} steps"
        self._terminal.say(f"stage {stage.name}: {told}")
        sizes = (steps.sequences, steps.micro_batch, self.layout.data_rank, self.layout.data_world)
        with StageBatches(
            self.plan.mixture, stage.name, *sizes, self.state.stream, config.batch.prefetch, config.earlier
        ) as batches:
            for batch in batches:
                self._train_step(stage, batch)
                if batch.stage_tokens < stage.tokens:
                    self._every_so_often()
        self.state = self.state.model_copy(update={"stage_end": True})
        self._evaluate()
        self._save()
        self._stop_if_asked()

    def _train_step(self, stage: ManifestStage, batch: StepBatch) -> None:
        state, tokens = self.state, sum(batch.source_tokens.values())
        # In the middle of the step: neither the first nor the last step of a plan from and to 0 is wasted.
        rate = stage.learning_rate.rate(state.stage_tokens + tokens // 2, stage.tokens)
        self._speed.begin()
        set_learning_rate(self.optimizer, rate)
        loss = self.runner.forward_backward(batch.micro).mean()
        norm = clip_gradients(self.parts, self.layout, self.plan.config.optimizer.clip)
        mean, gradient_norm = torch.stack([loss, norm]).tolist()
        trained = self._spikes.may_step(mean, gradient_norm)
        if trained:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.state = state.model_copy(
            update={
                "step": state.step + 1,
                "tokens": state.tokens + tokens,
                "stage_tokens": batch.stage_tokens,
                "stream": batch.state,
            }
        )
        row = {
            "step": self.state.step,
            "stage": stage.name,
            "tokens": self.state.tokens,
            "loss": mean,
            "learning_rate": rate,
            "gradient_norm": gradient_norm,
            **self._speed.end(tokens, stage.sequence_length, batch.wait_s),
            "skipped": int(not trained),
            "shares": batch.source_shares(),
        }
        self._journal.step(row)
        leap = self._spikes.leap(mean)
        self._terminal.say_step(row, leap, self.plan.tokens, self.plan.config.log_every_steps)
        self._spikes.check()

    def _every_so_often(self) -> None:
        """Evaluate and save where it is time to, and stop where a signal asked for it."""
        config, step = self.plan.config, self.state.step
        self._stop_if_asked()
        if config.evaluation.every_steps is not None and step % config.evaluation.every_steps == 0:
            self._evaluate()
        if config.checkpoint.every_steps is not None and step % config.checkpoint.every_steps == 0:
            self._save()
        self._write_report()

    def _evaluate(self) -> None:
        self.state = self._held_out.measure(self._nll, self.state)

    def _nll(self, micro_batch: MicroBatch) -> Tensor | None:
        self._stop_if_asked()  # an evaluation may take longer than who asks waits; it is made when the run goes on
        return self.runner.evaluate(micro_batch)

    def _save(self) -> None:
        """Begin to write a checkpoint of where the run stands."""
        self._journal.sync()
        self._checkpointer.save(self.state, self.parts, self.optimizer)
        self._saved_step = self.state.step

    def _stop_if_asked(self) -> None:
        if any_rank(self._request.asked or self._checkpointer.failed, self.device):
            raise StopAskedError

    def _stopped(self) -> RunStoppedError:
        """Make sure that there is a checkpoint; return what to say."""
        step = self.state.step
        if step == 0:
            return RunStoppedError("stopped before the first step; start it again to begin")
        if self._saved_step != step:
            self._save()
        self._checkpointer.wait()
        self._write_report(at_once=True)
        return RunStoppedError(f"stopped after step {step:,}, which has a checkpoint; start it again to go on")

    def _export(self) -> None:
        """Write the model for Hugging Face, where it is not there already."""
        checkpoint = self.plan.folder / CHECKPOINTS / folder_name(self.state.step)
        if self.plan.config.export and not any_rank(self._writes and is_exported(self.plan, checkpoint), self.device):
            export_model(self.plan, self.parts, self.layout, checkpoint, self._terminal.say)

    def _write_report(self, at_once: bool = False) -> None:
        self._report.write(self._journal.history, self._evaluations.history, at_once)
