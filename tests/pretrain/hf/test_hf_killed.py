"""An export that is interrupted loses neither what was there nor what was put aside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from pretrain.hf.hf import load_weights
from pretrain.hf.hf_export import write_model
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig

SHAPE = ModelConfig(
    family="llama", vocab_size=32, hidden_size=16, intermediate_size=24, layers=1, heads=2, kv_heads=1, head_dim=8
)


def export(folder: Path, seed: int) -> Decoder:
    """Write a new model, and return it."""
    model = Decoder(SHAPE)
    model.init_weights(seed)
    write_model(model.named_parameters(), SHAPE, folder, dtype=torch.float32, replace=True)
    return model


def holds(folder: Path, model: Decoder) -> bool:
    """Whether a folder has a model, and nothing lies beside it."""
    found = Decoder(SHAPE)
    load_weights(found, folder)
    alone = [path.name for path in folder.parent.iterdir()] == [folder.name]
    return alone and all(torch.equal(a, b) for a, b in zip(found.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("after", [0, 1, 2])
def test_stopped_between_changes_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """By a key: the old model is there, or the new one."""
    folder = tmp_path / "hf"
    old = export(folder, 1)
    plain, done = os.rename, list[int]()

    def rename(source: Path, target: Path) -> None:
        if len(done) == after:
            done.append(0)
            raise KeyboardInterrupt
        done.append(0)
        plain(source, target)

    monkeypatch.setattr(os, "rename", rename)
    if after == 2:
        new = export(folder, 2)
        assert holds(folder, new)
        return
    with pytest.raises(KeyboardInterrupt):
        export(folder, 2)
    assert holds(folder, old)


def test_killed_between_changes_of_names(tmp_path: Path) -> None:
    """By the system, which leaves the old model under its other name: the next export that fails keeps it."""
    folder = tmp_path / "hf"
    old = export(folder, 1)
    os.rename(folder, tmp_path / ".hf.replaced")
    (tmp_path / ".hf.partial").mkdir()
    with pytest.raises(ValueError, match="is missing"):
        write_model([], SHAPE, folder, replace=True)
    assert holds(folder, old)
