"""The command line: options that torchrun leaves to us, and what each kind of error ends in."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer.main
from torch.distributed.run import get_args_parser

from configs.errors import UserError
from pretrain import cli
from pretrain.checkpoint.checkpoint import CheckpointError
from pretrain.run.spikes import DivergedError
from pretrain.run.stopping import RunStoppedError
from tests.pretrain.small_runs import small_run


def test_torchrun_takes_no_option_for_one_of_its_own() -> None:
    """It takes the beginning of an option for the whole, wherever it stands; `--config` is there because of that."""
    command = typer.main.get_command(cli.app).commands["cpt"]  # type: ignore[attr-defined]
    longest = [next(name for name in option.opts if name.startswith("--")) for option in command.params]
    assert "--config" in longest
    own = ["pretrain", "cpt", *longest]
    parsed = get_args_parser().parse_args(["--standalone", "--nproc-per-node=2", "-m", *own])
    assert [parsed.training_script, *parsed.training_script_args] == own


def run_failing(error: Callable[[], object], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command line on a run that ends as `error` does."""
    file = folder / "run.yaml"
    file.write_text(small_run(folder).model_dump_json())
    monkeypatch.setattr(cli, "train", lambda *_: error())
    monkeypatch.setattr(sys, "argv", ["pretrain", "cpt", "--run", str(file)])
    cli.main()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("a [b] mistake"), 2, "error: a [b] mistake"),
        (RunStoppedError("stopped after step 3"), 143, "stopped after step 3"),
        (DivergedError("no finite loss"), 3, "the run failed: no finite loss"),
        (CheckpointError("was not written"), 1, "the run failed: was not written"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 4, "lower batch.micro_tokens"),
        (MemoryError(), 4, "the host has not enough memory: lower batch.micro_tokens or batch.prefetch, or run less"),
        (MemoryError("Unable to allocate [1] PiB"), 4, "(Unable to allocate [1] PiB)"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 4, "the host has not enough memory"),
        (OSError(28, "No space left on device"), 2, "no space left on the device"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(
    error: Exception,
    code: int,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def failing() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_failing(failing, tmp_path, monkeypatch)
    assert ended.value.code == code
    told = capfd.readouterr().err
    assert line in told
    assert len(told.splitlines()) == 1


def test_what_the_allocator_of_the_host_raises_is_told_from_other_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_failing(lambda: torch.empty(1 << 50, dtype=torch.uint8), tmp_path, monkeypatch)
    assert ended.value.code == 4
    assert "(can't allocate memory: you tried to allocate 1125899906842624 bytes" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match="must match"):
        run_failing(lambda: torch.ones(2) + torch.ones(3), tmp_path, monkeypatch)
