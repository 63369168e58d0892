"""Checkpoints that are read elsewhere than they were written: under another name, on a machine with other devices."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from configs.errors import UserError
from pretrain.checkpoint import checkpoint, checkpoint_tensors
from pretrain.checkpoint.checkpoint import CheckpointError, load_weights
from pretrain.run.run_config import OptimizerConfig
from tests.pretrain.checkpoint.checkpointed_runs import (
    make_model,
    make_optimizer,
    open_checkpoints,
    run_state,
    train,
)

ROWS = (0, 1)
FP32 = OptimizerConfig()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a checkpoint after two steps."""
    model = make_model(FP32)
    optimizer = make_optimizer(model, FP32)
    train(model, optimizer, 0, 2, ROWS)
    checkpoints = open_checkpoints(tmp_path / "checkpoints")
    checkpoints.save(run_state(2), [model], optimizer)
    checkpoints.close()
    return tmp_path / "checkpoints" / "step_00000002"


def test_weights_of_a_copy_under_another_name(path: Path, tmp_path: Path) -> None:
    """A checkpoint that was put aside to begin other runs from; a run goes on at its own names only."""
    copy = Path(shutil.copytree(path, tmp_path / "greek-base"))
    model, expected = make_model(FP32, seed=5), make_model(FP32, seed=6)
    assert load_weights(copy, [model]).step == 2
    load_weights(path, [expected])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    (copy / "__0_0.distcp").write_bytes(b"")
    with pytest.raises(UserError, match=r"greek-base is damaged: __0_0\.distcp has 0 bytes"):
        load_weights(copy, [model])


def test_a_machine_with_another_kind_of_device_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its generators are not in the checkpoint; weights and moments are what a run needs."""
    plain = checkpoint_tensors.generators

    def with_gpu(rank: int) -> dict[str, torch.Tensor]:
        return plain(rank) | {f"generator.{rank}.cuda": torch.zeros(16, dtype=torch.uint8)}

    monkeypatch.setattr(checkpoint, "generators", with_gpu)
    model = make_model(FP32, seed=5)
    optimizer = make_optimizer(model, FP32)
    torch.manual_seed(99)
    assert open_checkpoints(path.parent).load(path, [model], optimizer, {"shard": 1}).step == 2
    drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(2))), "seeded by the step"
    expected = make_model(FP32, seed=6)
    load_weights(path, [expected])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


def test_a_run_can_ask_whether_the_last_checkpoint_failed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it need not train on until the next one."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    model = make_model(FP32)
    optimizer = make_optimizer(model, FP32)
    checkpoints = open_checkpoints(path.parent)
    assert not checkpoints.failed
    checkpoints.save(run_state(3), [model], optimizer)
    assert checkpoints._pending is not None
    checkpoints._pending.result()
    assert not checkpoints.failed
    monkeypatch.setattr(checkpoint, "commit", full)
    checkpoints.save(run_state(4), [model], optimizer)
    checkpoints._pending.exception()
    assert checkpoints.failed
    with pytest.raises(CheckpointError, match="step 4 was not written: No space left"):
        checkpoints.save(run_state(5), [model], optimizer)
    assert not checkpoints.failed
    checkpoints.close()
