"""The command line of floor 5: `python -m pretrain cpt --config FILE`; `make cpt` is what users see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from configs.errors import UserError
from configs.load import load_config
from curation.cli_errors import run_command_line
from curation.terminal import shown
from pretrain.checkpoint.checkpoint import CheckpointError
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions
from pretrain.run.said import is_said_first
from pretrain.run.spikes import DivergedError
from pretrain.run.stopping import STOPPED_EXIT_CODE, RunStoppedError
from pretrain.train import train

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_MEMORY = (
    "the device has not enough memory: lower batch.micro_tokens, set compute.recompute to selective or all, or share "
    "the model among more ranks"
)


@app.callback()
def _root() -> None:
    """Continue the pretraining of a model on a mixture."""


@app.command()
def cpt(
    # torchrun takes `--run` for one of its own options, wherever it stands: with it, say `--config`.
    run: Annotated[Path, typer.Option("--config", "--run", help="YAML file of the run.")],
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

    A run that was asked to stop, and did, exits with 143; one that diverged, could not save, or had not enough memory
    on its device, with 1. What several ranks of torchrun would say is said by one.
    """
    run_command_line(_run)


def _run() -> None:
    try:
        app()
    except UserError as error:
        if not is_said_first(str(error)):
            sys.exit(2)
        raise
    except RunStoppedError as stopped:
        _say(shown(str(stopped)), str(stopped))
        sys.exit(STOPPED_EXIT_CODE)
    except (DivergedError, CheckpointError) as error:
        _say(f"[bold red]the run failed:[/] {shown(str(error))}", str(error))
        sys.exit(1)
    except torch.OutOfMemoryError as error:
        _say(f"[bold red]the run failed:[/] {_MEMORY} ({shown(str(error).partition('.')[0])})", _MEMORY)
        sys.exit(1)


def _say(line: str, what: str) -> None:
    if is_said_first(what):
        Console(stderr=True, emoji=False).print(line, soft_wrap=True, highlight=False)
