"""The command line of floor 5: `python -m pretrain cpt --config FILE`; `make cpt` is what users see."""

from __future__ import annotations

import errno
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
from pretrain.run.exit_codes import DIVERGED_EXIT_CODE, OUT_OF_MEMORY_EXIT_CODE
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions
from pretrain.run.said import is_said_first
from pretrain.run.spikes import DivergedError
from pretrain.run.stopping import STOPPED_EXIT_CODE, RunStoppedError
from pretrain.train import train

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_DEVICE_MEMORY = (
    "the device has not enough memory: lower batch.micro_tokens, set compute.recompute to selective or all, or share "
    "the model among more ranks"
)
_HOST_MEMORY = "the host has not enough memory: lower batch.micro_tokens or batch.prefetch, or run less beside it"
# How the allocator of tensors on the CPU begins to say it, in a plain RuntimeError.
_NOT_ALLOCATED = "can't allocate memory"


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
    """From a mixture's manifest to a trained checkpoint; a run that was stopped goes on at its last checkpoint.

    Exit codes: 0 finished, 1 failed, 2 a mistake in what was asked for, 3 diverged, 4 not enough memory on the device
    or the host, 143 asked to stop. torchrun has its own, and names those of its processes at the end.
    """
    config = load_config(run, RunConfig)
    options = RunOptions(runs=runs, mixture=mixture, model=from_, changed_mixture=changed_mixture)
    if ray_workers is None:
        train(config, options)
        return
    from pretrain.cluster import train_on_cluster  # Ray is loaded where it is asked for

    train_on_cluster(config, options, ray_workers, gpus=not cpu, retries=ray_retries)


@app.command()
def sweep(
    config: Annotated[Path, typer.Option(help="YAML file of the sweep.")],
    out: Annotated[Path, typer.Option(help="Folder of sweeps; this one's is named after it.")] = Path("sweeps"),
    tokens: Annotated[Path | None, typer.Option(help="Another folder of tokens than the file's.")] = None,
) -> None:
    """Train small models on many mixtures, and recommend one; a sweep that was stopped goes on where it was."""
    from pretrain.sweep.command import sweep_command  # Ray and scikit-learn are loaded where they are asked for

    sweep_command(config, out, tokens)


def main() -> None:
    """Run a command; see `run_command_line` for the exit codes.

    A run that was asked to stop, and did, exits with 143; one that diverged with 3, one that had not enough memory on
    its device or host with 4, one that could not save with 1. What several ranks of torchrun would say is said by one.
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
    except DivergedError as error:
        _say_failed(str(error))
        sys.exit(DIVERGED_EXIT_CODE)
    except CheckpointError as error:
        _say_failed(str(error))
        sys.exit(1)
    except (MemoryError, OSError, RuntimeError) as error:
        if (short := _memory_words(error)) is None:
            raise
        _say_failed(*short)
        sys.exit(OUT_OF_MEMORY_EXIT_CODE)


def _memory_words(error: Exception) -> tuple[str, str] | None:
    """Return what to say of too little memory, and what the error says itself; None for an error of another kind."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        return _DEVICE_MEMORY, text.partition(".")[0]
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        return None
    if isinstance(error, RuntimeError):
        if _NOT_ALLOCATED not in text:
            return None
        text = text[text.index(_NOT_ALLOCATED) :]
    return _HOST_MEMORY, text or type(error).__name__


def _say_failed(what: str, detail: str = "") -> None:
    """Say once why the run failed; `detail` may be another on each rank."""
    _say(f"[bold red]the run failed:[/] {shown(what)}{f' ({shown(detail)})' if detail else ''}", what)


def _say(line: str, what: str) -> None:
    if is_said_first(what):
        Console(stderr=True, emoji=False).print(line, soft_wrap=True, highlight=False)
