"""What a run tells on the terminal, from one rank."""

from __future__ import annotations

import torch.distributed as dist
from rich.console import Console

from curation.charts import compact
from curation.report import visible
from pretrain.run.history import Row
from pretrain.run.run_setup import RunPlan

_SHOWN_CHARS = 100_000


class Terminal:
    """The terminal of a rank that writes; others say nothing."""

    def __init__(self, writes: bool) -> None:
        """Open it."""
        self._writes = writes
        self._console = Console(stderr=True, emoji=False)

    def say(self, text: str, style: str | None = None) -> None:
        """Print lines; names in them come from files of others: their control characters are shown, not sent."""
        if self._writes:
            text = visible(text, _SHOWN_CHARS)
            self._console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)

    def say_step(self, row: Row, leap: float | None, whole: int, every: int) -> None:
        """Print a line on every so many steps, and on those that need a look.

        Args:
            row: of the step.
            leap: how many times the usual loss its own is, where that is too many.
            whole: tokens of the run.
            every: steps.
        """
        step = row["step"]
        assert isinstance(step, int)
        if row["skipped"]:
            self.say(f"step {step}: no finite loss or gradient; the weights stay as they are", "yellow")
        if leap is not None:
            self.say(f"step {step}: loss {row['loss']:.4f} is {leap:.1f} times the usual one", "yellow")
        if step % every == 0 or step == 1:
            self.say(progress_line(row, whole))


def plan_line(plan: RunPlan, parameters: int, attention: str, sizes: dict[str, int]) -> str:
    """Return a line on what is to be trained.

    Args:
        plan: of the run.
        parameters: of the model, or of the part of it that is on this rank of a pipeline.
        attention: name of the kernel.
        sizes: how many ranks share what.
    """
    layout = ", ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)
    return (
        f"{plan.config.name}: {plan.tokens:,} tokens in {len(plan.stages)} stages, {plan.model.family} with "
        f"{parameters:,} parameters{' here' if sizes['pipeline'] > 1 else ''}, {dist.get_world_size()} ranks"
        f"{f' ({layout})' if layout else ''}, attention: {attention}"
    )


def progress_line(row: Row, whole: int) -> str:
    """Return a line on a step; `whole` is the tokens of the run."""
    tokens, mfu = row["tokens"], row["mfu"]
    assert isinstance(tokens, int)
    shown = "" if mfu is None else f"  MFU {mfu:.1%}"
    return (
        f"step {row['step']:>6,}  {compact(tokens):>6} tokens ({tokens / whole:.0%})  loss {row['loss']:.4f}  rate "
        f"{row['learning_rate']:.2e}  norm {row['gradient_norm']:.3f}  {row['tokens_per_s']:,.0f} tokens/s{shown}  "
        f"waited {row['data_wait']:.1%}  {row['memory_gib']:.1f} GiB"
    )
