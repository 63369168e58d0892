"""A tiny run that checkpoints are made of, in this process or in others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pretrain.checkpoint.checkpoint import Checkpointer
from pretrain.checkpoint.checkpoint_files import RunState
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.run.run_config import OptimizerConfig

SHAPE = ModelConfig(
    family="qwen2",
    vocab_size=96,
    hidden_size=64,
    intermediate_size=96,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    qkv_bias=True,
)
LENGTH = 16


def make_model(config: OptimizerConfig, seed: int = 0) -> Decoder:
    """Return a new model with weights in the type of the configuration."""
    model = Decoder(SHAPE)
    model.init_weights(seed)
    return model.to(torch.bfloat16 if config.weights == "bf16" else torch.float32)


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return its optimizer."""
    return build_optimizer(named_parameters([model]), config)


def batch(step: int, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return tokens and starts of documents of a step, of which a rank reads some rows."""
    tokens = torch.stack(
        [
            torch.randint(0, SHAPE.vocab_size, (LENGTH,), generator=torch.Generator().manual_seed(100 * step + row))
            for row in rows
        ]
    )
    return tokens, torch.tensor([[0, 5, LENGTH]] * len(rows), dtype=torch.int32)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int, rows: Sequence[int]) -> None:
    """Make the steps after `first` up to `last`."""
    for step in range(first + 1, last + 1):
        tokens, starts = batch(step, rows)
        optimizer.zero_grad()
        (model(tokens, starts, tokens) / tokens.numel()).backward()
        set_learning_rate(optimizer, 1e-2 / step)
        optimizer.step()


def run_state(step: int, stage_end: bool = False, **layout: int) -> RunState:
    """Return where the run stands after a step."""
    return RunState(
        step=step,
        tokens=step * LENGTH,
        stage="first",
        stage_index=0,
        stage_tokens=step * LENGTH,
        stage_end=stage_end,
        stream={"sequences": step},
        manifest="0" * 32,
        config={"name": "test"},
        model=SHAPE,
        versions={"torch": str(torch.__version__)},
        layout=layout or {"shard": 1},
    )


def open_checkpoints(folder: Path, keep: int | None = None, background: bool = True) -> Checkpointer:
    """Return the checkpointer of a folder, which prints what it has to tell."""
    return Checkpointer(folder, keep, background, print)
