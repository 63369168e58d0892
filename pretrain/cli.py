"""The command line of floor 5: `python -m pretrain cpt --run FILE`; `make cpt` is what users see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.load import load_config
from curation.cli_errors import run_command_line
from curation.terminal import shown
from pretrain.checkpoint.checkpoint import CheckpointError
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions
from pretrain.run.spikes import DivergedError
from pretrain.run.stopping import STOPPED_EXIT_CODE, RunStoppedError
from pretrain.train import train

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Continue the pretraining of a model on a mixture."""


@app.command()
def cpt(
    run: Annotated[Path, typer.Option(help="YAML file of the run.")],
    runs: Annotated[Path, typer.Option(help="Folder of runs; this one's is named after it.")] = Path("runs"),
    mixture: Annotated[Path | None, typer.Option(help="Another mixture than the file's: folder or manifest.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="Another model than the file's: a Hugging Face folder, or a checkpoint of a run."),
    ] = None,
    changed_mixture: Annotated[
        bool, typer.Option(help="Go on although the mixture is another one than at the last checkpoint.")
    ] = False,
    ray_workers: Annotated[
        int | None, typer.Option(min=1, help="Train on so many workers of the Ray cluster of RAY_ADDRESS.")
    ] = None,
    ray_retries: Annotated[
        int, typer.Option(min=0, help="How often the run starts again from its last checkpoint, on Ray.")
    ] = 3,
    cpu: Annotated[bool, typer.Option(help="Ray's workers have no GPUs.")] = False,
) -> None:
    """From a mixture's manifest to a trained checkpoint; a run that was stopped goes on at its last checkpoint."""
    config = load_config(run, RunConfig)
    options = RunOptions(runs=runs, mixture=mixture, model=from_, changed_mixture=changed_mixture)
    if ray_workers is None:
        train(config, options)
        return
    from pretrain.cluster import train_on_cluster  # Ray is loaded where it is asked for

    train_on_cluster(config, options, ray_workers, gpus=not cpu, retries=ray_retries)


def main() -> None:
    """Run a command; see `run_command_line` for the exit codes.

    A run that was asked to stop, and did, exits with 143; one that diverged, or could not save, with 1.
    """
    run_command_line(_run)


def _run() -> None:
    console = Console(stderr=True, emoji=False)
    try:
        app()
    except RunStoppedError as stopped:
        console.print(shown(str(stopped)), soft_wrap=True, highlight=False)
        sys.exit(STOPPED_EXIT_CODE)
    except (DivergedError, CheckpointError) as error:
        console.print(f"[bold red]the run failed:[/] {shown(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)
