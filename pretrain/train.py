"""The training loop: read it first.

    manifest -> stage by stage, step by step: data.py -> parallel.py (model.py, attention.py, loss.py) -> optimizer.py
                every so often:               evaluate.py, checkpoint.py
                at the end:                   export.py

A run lives in `runs/<name>/`. Started again, it goes on at its last checkpoint; a finished one stays as it is.
"""

from __future__ import annotations

import json
import platform
from contextlib import ExitStack

import torch
import torch.distributed as dist
from rich.console import Console

from curation.job_folder import locked_output
from curation.store import write_text_atomically
from mixing.mixture.manifest_schema import ManifestStage
from pretrain.checkpoint.checkpoint import Checkpointer
from pretrain.checkpoint.checkpoint_files import RunState
from pretrain.data.data import StageBatches, StepBatch, plan_steps
from pretrain.evaluate.evaluate import Evaluator
from pretrain.evaluate.evaluation import Evaluation, change_table, compare, warnings
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.distributed import any_rank, process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import make_runner
from pretrain.run.export import export_model
from pretrain.run.journal import Evaluations, Journal, Row, held_out_scalars, recent_losses
from pretrain.run.report_run import write_report
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions, RunPlan, build_model, check_same_run, load_model, open_plan
from pretrain.run.speed import SpeedMeter, progress_line
from pretrain.run.spikes import SpikeWatch
from pretrain.run.stopping import RunStoppedError, StopRequest, stop_requests

CHECKPOINTS = "checkpoints"


def train(config: RunConfig, options: RunOptions) -> None:
    """Train, on the processes that torchrun or Ray Train started, or on this one alone.

    Raises:
        UserError: something is missing, or does not fit.
        RunStoppedError: the run was asked to stop; there is a checkpoint.
        DivergedError: too many steps gave no finite loss.
        CheckpointError: a checkpoint could not be written.
    """
    with process_group() as device, stop_requests() as request, ExitStack() as stack:
        plan = open_plan(config, options)
        if dist.get_rank() == 0:
            stack.enter_context(locked_output(plan.folder))
            text = json.dumps(plan.config.model_dump(mode="json"), indent=1)
            write_text_atomically(plan.folder / "config.json", text)
        run = Run(plan, device, request, options.changed_mixture)
        try:
            run.run()
        finally:
            run.close()


class Run:
    """A run on this rank: the model, what trains it, and how far it is."""

    def __init__(self, plan: RunPlan, device: torch.device, request: StopRequest, changed_mixture: bool) -> None:
        """Build the model, and go to the last checkpoint or the beginning.

        Raises:
            UserError: a checkpoint is of another mixture or model, or something cannot be read.
        """
        self.plan, self.device, self._request = plan, device, request
        config = plan.config
        self._writes = dist.get_rank() == 0
        self._console = Console(stderr=True)
        torch.manual_seed(config.model.seed)
        self.layout = Layout(config.parallel, device.type)
        for stage in plan.stages:
            self.layout.check_length(stage.sequence_length)
        self.parts = build_model(plan, self.layout, device)
        self.runner = make_runner(self.parts, self.layout, config.compute, device)
        self.optimizer = build_optimizer(named_parameters(self.parts), config.optimizer)
        self._checkpointer = Checkpointer(
            plan.folder / CHECKPOINTS, config.checkpoint.keep, config.checkpoint.background, self._say
        )
        self.state = self._begin_or_resume(changed_mixture)
        self._journal = Journal(plan.folder, self.state.step, self._writes)
        self._evaluations = Evaluations(plan.folder, self.state.step, self._writes)
        self._spikes = SpikeWatch(config.spikes, recent_losses(plan.folder, config.spikes.window))
        self._speed = SpeedMeter(plan.model, dist.get_world_size(), device)
        self._evaluator = self._open_evaluator()

    def run(self) -> None:
        """Train the stages that are left, and export the model."""
        self._say_plan()
        if self.state.step == 0:
            self._evaluate()
        for index, stage in enumerate(self.plan.stages):
            if index < self.state.stage_index or (index == self.state.stage_index and self.state.stage_end):
                continue
            self._train_stage(index, stage)
        self._checkpointer.wait()
        if self.plan.config.export:
            export_model(self.plan, self.parts, self.layout, self._say)
        self._write_report()
        self._say(f"{self.plan.folder}: finished after {self.state.step:,} steps, {self.state.tokens:,} tokens")

    def close(self) -> None:
        """Wait for the last checkpoint, and close what is open."""
        with ExitStack() as stack:
            stack.callback(self._journal.close)
            stack.callback(self._checkpointer.close)

    def _train_stage(self, index: int, stage: ManifestStage) -> None:
        config, before = self.plan.config, self.state
        if before.stage_index != index or before.stage_end:
            before = before.model_copy(
                update={"stage": stage.name, "stage_index": index, "stage_tokens": 0, "stage_end": False}
            )
        self.state = before
        steps = plan_steps(config.batch, stage, self.layout.data_world)
        self.layout.check_micro_batches(-(-steps.sequences // steps.micro_batch))
        least = "at least " if stage.packing == "best_fit" else ""  # padding is no token
        self._say(f"stage {stage.name}: {stage.tokens:,} tokens, {steps.tokens:,} a step, {least}{steps.steps:,} steps")
        place = (self.layout.data_rank, self.layout.data_world)
        with StageBatches(
            self.plan.mixture,
            stage.name,
            steps.sequences,
            steps.micro_batch,
            *place,
            before.stream,
            config.batch.prefetch,
        ) as batches:
            for batch in batches:
                self._train_step(stage, batch)
                if batch.stage_tokens < stage.tokens:
                    self._every_so_often()
        self.state = self.state.model_copy(update={"stage_end": True})
        self._evaluate()
        self._save()

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
        self._tell_step(row, mean, trained)

    def _tell_step(self, row: Row, loss: float, trained: bool) -> None:
        if not trained:
            self._say(f"step {row['step']}: no finite loss or gradient; the weights stay as they are", "yellow")
        if (factor := self._spikes.leap(loss)) is not None:
            self._say(f"step {row['step']}: loss {loss:.4f} is {factor:.1f} times the usual one", "yellow")
        if self.state.step % self.plan.config.log_every_steps == 0 or self.state.step == 1:
            self._say(progress_line(row, self.plan.tokens))

    def _every_so_often(self) -> None:
        """Evaluate and save where it is time to, and stop where a signal asked for it."""
        config, step = self.plan.config, self.state.step
        if config.evaluation.every_steps is not None and step % config.evaluation.every_steps == 0:
            self._evaluate()
        stop = any_rank(self._request.asked, self.device)
        if stop or (config.checkpoint.every_steps is not None and step % config.checkpoint.every_steps == 0):
            self._save()
        if stop:
            self._checkpointer.wait()
            raise RunStoppedError(f"stopped after step {step:,}, which has a checkpoint; start it again to go on")

    def _evaluate(self) -> None:
        """Measure the held-out loss, and say what was gained and forgotten since the first time."""
        if self._evaluator is None:
            return
        share = self.layout.share
        counts = share.context_rank == 0 and share.tensor_rank == 0
        found = self._evaluator.run(self.runner.evaluate, self.state.step, self.device, counts)
        first = self._first_evaluation()
        if first is None:
            first = found
            self.state = self.state.model_copy(update={"first_evaluation": found.to_json()})
        settings = self.plan.config.evaluation
        changes = compare(found, first, settings.forgetting)
        alarms = warnings(changes, settings)
        self._evaluations.write(found, changes, self.state.tokens, self.state.stage, alarms)
        self._journal.scalars(held_out_scalars(found, changes), "held-out")
        self._say(change_table(changes))
        for alarm in alarms:
            self._say(alarm, "bold yellow")
        self._write_report()

    def _save(self) -> None:
        """Begin to write a checkpoint of where the run stands."""
        self._checkpointer.save(self.state, self.parts, self.optimizer)

    def _begin_or_resume(self, changed_mixture: bool) -> RunState:
        plan = self.plan
        begin = RunState(
            step=0,
            tokens=0,
            stage=plan.stages[0].name,
            stage_index=0,
            stage_tokens=0,
            manifest=plan.checksum,
            config=plan.config.model_dump(mode="json"),
            model=plan.model,
            versions={"python": platform.python_version(), "torch": str(torch.__version__)},
            layout=self.layout.sizes._asdict(),
        )
        path = self._checkpointer.latest()
        if path is None:
            load_model(plan, self.parts)
            return begin
        found = self._checkpointer.load(path, self.parts, self.optimizer, begin.layout)
        check_same_run(plan, found, changed_mixture)
        self._say(f"goes on at {path}: step {found.step:,}, {found.tokens:,} tokens")
        index = next(number for number, stage in enumerate(plan.stages) if stage.name == found.stage)
        kept = ("step", "tokens", "stage", "stage_tokens", "stage_end", "stream", "first_evaluation")
        return begin.model_copy(update={name: getattr(found, name) for name in kept} | {"stage_index": index})

    def _open_evaluator(self) -> Evaluator | None:
        """Open the held-out texts; they are cut alike in all stages, so that losses compare."""
        config, plan = self.plan.config, self.plan
        if not any(own.sequences for own in plan.manifest.validation):
            self._say("the mixture has no held-out texts: nothing is evaluated", "yellow")
            return None
        length = config.evaluation.sequence_length or plan.stages[0].sequence_length
        self.layout.check_length(length)
        rows = max(1, config.batch.micro_tokens // length)
        place = (self.layout.data_rank, self.layout.data_world)
        return Evaluator(plan.mixture, length, rows, *place, config.evaluation.max_tokens)

    def _first_evaluation(self) -> Evaluation | None:
        first = self.state.first_evaluation
        return Evaluation.from_json(first, "the first evaluation of the run") if isinstance(first, dict) else None

    def _write_report(self) -> None:
        if self._writes:
            write_report(self.plan)

    def _say_plan(self) -> None:
        plan, sizes = self.plan, self.layout.sizes
        held = sum(weight.numel() for weight in named_parameters(self.parts).values())
        layout = ", ".join(f"{name} {size}" for name, size in sizes._asdict().items() if size > 1)
        self._say(
            f"{plan.config.name}: {plan.tokens:,} tokens in {len(plan.stages)} stages, {plan.model.family} with "
            f"{held:,} parameters{' here' if sizes.pipeline > 1 else ''}, {dist.get_world_size()} ranks"
            f"{f' ({layout})' if layout else ''}, attention: {type(self.parts[0].attention).__name__.lower()}"
        )

    def _say(self, text: str, style: str | None = None) -> None:
        if self._writes:
            self._console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)
