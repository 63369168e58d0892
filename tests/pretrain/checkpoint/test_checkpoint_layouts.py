"""A run that goes on where ranks share the work in another way: by heads, then alone, then by layers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from pretrain.checkpoint.checkpoint import Checkpointer
from pretrain.model.model import Decoder
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate, state_tensors
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import build_parts, make_runner
from pretrain.run.run_config import OptimizerConfig, ParallelConfig
from tests.pretrain.checkpoint.checkpointed_runs import run_state
from tests.pretrain.parallel.parallel_steps import PLAIN, QWEN2, on_ranks, rows_of, step_batch

# Wide enough for moments in 8 bits, of which two tensor parallel ranks have shorter blocks than one rank alone.
SHAPE = QWEN2.model_copy(update={"hidden_size": 64, "head_dim": 16, "intermediate_size": 192})
KINDS = {
    "fp32": OptimizerConfig(),
    "int8": OptimizerConfig(states="int8"),
    "bf16": OptimizerConfig(weights="bf16", states="int8"),
}
TENSOR, ALONE, PIPELINE = ParallelConfig(tensor=2), ParallelConfig(), ParallelConfig(pipeline=2)


class State:
    """All weights and moments of a run, and the losses of its last steps."""

    def __init__(self, parts: list[Decoder], optimizer: torch.optim.Optimizer) -> None:
        own: dict[str, Tensor] = {}
        for name, weight in named_parameters(parts).items():
            for kind, one in {"": weight.detach(), **state_tensors(optimizer, weight)}.items():
                whole = one.full_tensor() if isinstance(one, DTensor) else one
                if kind.endswith(".scale"):  # for each value, however many share it
                    whole = whole.repeat_interleave(weight.shape[1] // whole.shape[1], dim=1)
                own[f"{name} {kind}"] = whole.clone()
        everyone: list[dict[str, Tensor]] = [{} for _ in range(dist.get_world_size())]
        dist.all_gather_object(everyone, own)
        self.tensors = {name: one for each in everyone for name, one in each.items()}
        self.losses: list[float] = []


def go_on(folder: Path, parallel: ParallelConfig, first: int) -> dict[str, tuple[State, State]]:
    """Make two steps after step `first` with each kind of optimizer; return what was there before and after them."""
    torch.compiler.set_stance("force_eager")
    return {name: _go_on(folder / name, parallel, first, config) for name, config in KINDS.items()}


def _go_on(folder: Path, parallel: ParallelConfig, first: int, config: OptimizerConfig) -> tuple[State, State]:
    torch.manual_seed(3)
    layout = Layout(parallel, "cpu")
    compute = PLAIN if config.weights == "fp32" else PLAIN.model_copy(update={"dtype": "bf16"})
    parts = build_parts(SHAPE, layout, compute)
    for part in parts:
        if config.weights == "bf16":
            part.to(torch.bfloat16)
        part.to_empty(device="cpu")
        part.init_weights(7 if first == 0 else 8)
    runner = make_runner(parts, layout, compute, torch.device("cpu"))
    optimizer = build_optimizer(named_parameters(parts), config)
    checkpoints = Checkpointer(folder, None, True, print)
    sizes = layout.sizes._asdict()
    if first:
        latest = checkpoints.latest()
        assert latest is not None
        assert checkpoints.load(latest, parts, optimizer, sizes).step == first
        before = State(parts, optimizer)
    losses = []
    for step in range(first, first + 2):
        batch = step_batch(step)
        losses.append(float(runner.forward_backward([rows_of(batch, slice(at, at + 4)) for at in (0, 4)]).mean()))
        clip_gradients(parts, layout, 0.5)
        set_learning_rate(optimizer, 1e-3)
        optimizer.step()
        optimizer.zero_grad()
    checkpoints.save(run_state(first + 2, **sizes), parts, optimizer)
    after = State(parts, optimizer)
    after.losses = losses
    checkpoints.close()
    return (before if first else after), after


@pytest.mark.long
def test_two_tensor_ranks_then_one_then_two_of_a_pipeline(tmp_path: Path) -> None:
    """Weights and moments are the same to the bit, those in 8 bits, too; losses are those of one process."""

    def turn(ranks: int, parallel: ParallelConfig, first: int, folder: Path) -> dict[str, tuple[State, State]]:
        results = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        results.mkdir()
        return dict(on_ranks(go_on, ranks, results, folder, parallel, first))

    moved, still = tmp_path / "moved", tmp_path / "still"
    turns = [
        turn(2, TENSOR, 0, moved),
        turn(1, ALONE, 2, moved),
        turn(2, PIPELINE, 4, moved),
        turn(2, TENSOR, 6, moved),
    ]
    alone = [turn(1, ALONE, first, still) for first in (0, 2, 4, 6)]
    spread = turn(2, TENSOR, 8, still)
    for name, bound in {"fp32": 1e-5, "int8": 1e-3, "bf16": 2e-2}.items():
        for wrote, read in itertools.pairwise(turns):
            expected, found = wrote[name][1].tensors, read[name][0].tensors
            assert expected.keys() == found.keys()
            assert all(torch.equal(one, found[key]) for key, one in expected.items()), name
        longer, shorter = alone[-1][name][1].tensors, spread[name][0].tensors
        assert all(torch.equal(one, shorter[key]) for key, one in longer.items()), "blocks of one rank, on two"
        losses = [own[name][1].losses for own in turns]
        assert losses == [pytest.approx(own[name][1].losses, rel=bound) for own in alone]
