"""Steps with fewer bits as runs take them: compiled, of weights that FSDP spreads, and with a cache on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_STEPS = """
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel.distributed import process_group
from pretrain.run.run_config import OptimizerConfig

with process_group():
    for states in ("fp32", "int8"):
        torch.manual_seed(0)
        model = fully_shard(nn.Linear(128, 64, bias=False, dtype=torch.bfloat16))
        optimizer = build_optimizer(named_parameters([model]), OptimizerConfig(weights="bf16", states=states))
        set_learning_rate(optimizer, 1e-2)
        for _ in range(3):
            model.weight.grad = torch.ones_like(model.weight)
            optimizer.step()
        print(f"{model.weight.full_tensor().float().mean().item():.4f}")
"""


@pytest.mark.long
def test_moments_in_8_bits_do_not_take_the_compiled_step_of_those_in_float32(tmp_path: Path) -> None:
    """They did, from the cache on disk: a segmentation fault, or another run's arithmetic."""
    done = subprocess.run(
        [sys.executable, "-c", _STEPS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wide, narrow = (float(line) for line in done.stdout.split())
    # Each of the three steps is one of the learning rate, by a gradient that stays the same.
    assert wide == pytest.approx(-0.03, abs=0.004)
    assert narrow == pytest.approx(wide, abs=0.002)
