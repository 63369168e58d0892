"""What the command of sweeps does; its options are in `pretrain/cli.py`."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from configs.load import load_config
from curation.terminal import shown
from pretrain.sweep.results import REPORT, recommendation_lines
from pretrain.sweep.sweep import NothingFinishedError, run_sweep
from pretrain.sweep.sweep_config import SweepConfig


def sweep_command(config: Path, out: Path, tokens: Path | None) -> None:
    """Run a sweep, and tell on the terminal how it goes and what it recommends.

    Args:
        config: YAML file of the sweep.
        out: folder of sweeps.
        tokens: another folder of tokens than the file's.
    """
    told = load_config(config, SweepConfig)
    if tokens is not None:
        told = told.model_copy(update={"tokens": tokens})
    console = Console(stderr=True, emoji=False)

    def say(line: str) -> None:
        console.print(shown(line), soft_wrap=True, highlight=False)

    def progress(running: int, ended: int, trials: int) -> None:
        bars.update(bar, description=f"{running} trials running", completed=ended, total=trials, visible=running > 0)

    bars = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console)
    bar = bars.add_task("", visible=False)
    try:
        with bars if console.is_terminal else nullcontext():
            analysis = run_sweep(told, out, say, progress)
    except NothingFinishedError as error:
        console.print(f"[bold red]the sweep failed:[/] {shown(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)
    if analysis.left_out:
        counts = Counter(own.status.replace("_", " ") for own in analysis.left_out)
        causes = ", ".join(f"{count} {status}" for status, count in counts.items())
        say(f"the analysis leaves {len(analysis.left_out)} trials out: {causes}; trials.csv has their causes")
    for own in analysis.effects:
        change = f"{own.change.value:+.2%} ({own.change.low:+.2%} to {own.change.high:+.2%}, 95%)"
        say(f"{own.variant} against {own.against}, {own.target}: {change}, {own.words}, {own.pairs} pairs")
    for line in (*analysis.notes, *(recommendation_lines(analysis.recommendation) if analysis.recommendation else ())):
        say(line)
    say(f"{out / told.name}/{REPORT}, trials.csv, analysis.json")
