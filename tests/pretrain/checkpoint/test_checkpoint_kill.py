"""A run that is killed at any moment of writing a checkpoint finds a sound one when it starts again."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrain.checkpoint.checkpoint_files import find_damage, list_checkpoints
from pretrain.optimizer.optimizer import set_learning_rate
from pretrain.run.run_config import OptimizerConfig
from tests.pretrain.checkpoint.checkpointed_runs import make_optimizer, open_checkpoints, run_state

FP32 = OptimizerConfig()
# Whatever changes a disk, or makes changes last.
_CALLS = [
    (os, "fsync"),
    (os, "rename"),
    (os, "replace"),
    (os, "mkdir"),
    (os, "unlink"),
    (os, "rmdir"),
    (shutil, "rmtree"),
]


def make_model() -> nn.Module:
    """Return a model of few weights: what counts here is the order of what is done to the disk."""
    return nn.Linear(64, 16)


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Make a step, and return copies of the weights."""
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    set_learning_rate(optimizer, 0.1)
    optimizer.step()
    return [weight.detach().clone() for weight in model.parameters()]


def start(task: Callable[[], None]) -> multiprocessing.process.BaseProcess:
    """Do something in a copy of this process, where nothing that it had is taken apart: threads are not copied."""

    def frozen() -> None:
        gc.freeze()
        task()

    process = multiprocessing.get_context("fork").Process(target=frozen)
    process.start()
    return process


def steps(folder: Path) -> list[int]:
    """Return the steps that there are checkpoints of."""
    return [int(path.name[5:]) for path in list_checkpoints(folder)]


def check_and_go_on(folder: Path, possible: dict[int, list[torch.Tensor]], damaged: bool = False) -> int:
    """Check that what is there is sound, but for what was damaged before; return the newest step."""
    checkpoints = open_checkpoints(folder, keep=2)
    assert {path.name for path in folder.iterdir()} == {path.name for path in list_checkpoints(folder)}
    unsound = {path.name: find_damage(path) for path in list_checkpoints(folder) if find_damage(path)}
    assert not unsound or (damaged and list(unsound) == ["step_00000003"])
    newest = checkpoints.latest()
    assert newest is not None
    model = make_model()
    optimizer = make_optimizer(model, FP32)
    step = checkpoints.load(newest, [model], optimizer, {"shard": 1}).step
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), possible[step], strict=True))
    checkpoints.save(run_state(5000), [model], optimizer)
    checkpoints.close()
    assert steps(folder)[-1] == 5000
    return step


@pytest.mark.parametrize("there", ["nothing", "damaged", "sound"])
def test_killed_before_every_change_of_the_disk(tmp_path: Path, there: str) -> None:
    """The checkpoint of step 3 is written, perhaps in the place of another one, and that of step 1 goes."""
    model = make_model()
    optimizer = make_optimizer(model, FP32)
    first = tmp_path / "first"
    checkpoints = open_checkpoints(first)
    weights: dict[int, list[torch.Tensor]] = {}
    for step in (1, 2, 3):
        weights[step] = train(model, optimizer)
        if step < 3 or there != "nothing":
            checkpoints.save(run_state(step), [model], optimizer)
    checkpoints.close()
    if there == "damaged":
        (first / "step_00000003" / "__0_0.distcp").write_bytes(b"")

    def save(folder: Path, last_call: int) -> None:
        count = 0

        def counted(true: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == last_call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return true(*arguments, **options)

            return call

        own = open_checkpoints(folder, keep=2)
        for module, name in _CALLS:
            setattr(module, name, counted(getattr(module, name)))
        own.save(run_state(3), [model], optimizer)
        own.close()

    found: list[int] = []
    for number in range(1, 100):
        folder = Path(shutil.copytree(first, tmp_path / str(number)))
        process = start(lambda: save(folder, number))  # noqa: B023
        process.join(60)
        found.append(check_and_go_on(folder, weights, there == "damaged"))
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert len(found) > 10
    assert found == sorted(found)  # the new one is there from some moment on
    assert set(found) == ({3} if there == "sound" else {2, 3})


def test_killed_at_any_time(tmp_path: Path) -> None:
    """A run that does nothing but write checkpoints, killed eight times; the last one that was finished is there."""
    model = make_model()
    optimizer = make_optimizer(model, FP32)
    weights = dict.fromkeys(range(1000), train(model, optimizer))
    # Without a lock, which a process that is killed would not give back.
    progress = multiprocessing.get_context("fork").Value("i", -1, lock=False)
    random_ = random.Random(1)

    def save(folder: Path) -> None:
        own = open_checkpoints(folder, keep=1)
        for step in range(1000):
            own.save(run_state(step), [model], optimizer)
            own.wait()
            progress.value = step

    for number in range(8):
        progress.value = -1
        folder = tmp_path / str(number)
        process = start(lambda: save(folder))  # noqa: B023
        while progress.value < 0:
            time.sleep(0.01)
        time.sleep(random_.uniform(0, 0.3))
        process.kill()
        process.join(60)
        finished = progress.value
        assert check_and_go_on(folder, weights) in (finished, finished + 1)
