"""Ten steps of a tiny model by several ranks, and by one process in the plainest way: what the tests compare."""

from __future__ import annotations

import multiprocessing
import pickle
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import start_processes

from pretrain.data.micro_batch import MicroBatch
from pretrain.model.loss import IGNORED
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import build_parts, make_runner
from pretrain.run.run_config import ComputeConfig, ParallelConfig

STEPS, SEQUENCES, LENGTH, DOCUMENTS, MICRO_BATCHES = 10, 8, 32, 16, 2
# Adam divides noise by noise where a gradient is next to nothing: not with this eps.
CLIP, RATE, EPS, SEED = 0.5, 1e-3, 1e-6, 5
# Of losses and norms of gradients, relative.
BOUND = 1e-5

QWEN2 = ModelConfig(
    family="qwen2",
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    layers=4,
    heads=4,
    kv_heads=2,
    head_dim=8,
    qkv_bias=True,
)
QWEN3_TIED = QWEN2.model_copy(update={"family": "qwen3", "qkv_bias": False, "qk_norm": True, "tied_head": True})
PLAIN = ComputeConfig(dtype="fp32", attention="reference", compile=False)


class Case(NamedTuple):
    """What ranks try."""

    parallel: ParallelConfig
    compute: ComputeConfig = PLAIN
    model: ModelConfig = QWEN2


class Outcome(NamedTuple):
    """What ten steps gave: losses and norms of gradients, then the losses of tokens (8, L), and the weights."""

    losses: list[float]
    norms: list[float]
    nll: Tensor
    weights: dict[str, Tensor]


def step_batch(step: int) -> MicroBatch:
    """Return the sequences of a step, packed documents of mixed lengths; some have far more targets than others."""
    draw = torch.Generator().manual_seed(1000 + step)
    tokens = torch.randint(QWEN2.vocab_size, (SEQUENCES, LENGTH), generator=draw)
    targets = tokens.roll(-1, dims=1)
    starts = torch.full((SEQUENCES, DOCUMENTS + 1), LENGTH, dtype=torch.int32)
    starts[:, 0] = 0
    for row in range(SEQUENCES):
        cuts = (1 + torch.randperm(LENGTH - 1, generator=draw)[: row % 5]).sort().values
        starts[row, 1 : 1 + len(cuts)] = cuts
        targets[row, cuts - 1] = IGNORED
        targets[row, : row * 4] = IGNORED
    targets[:, -1] = IGNORED
    return MicroBatch(tokens, targets, starts, torch.zeros(SEQUENCES, DOCUMENTS, dtype=torch.int32))


def rows_of(batch: MicroBatch, rows: slice) -> MicroBatch:
    """Return some of the sequences."""
    return MicroBatch(*(part[rows] for part in batch))


def train_alone(config: ModelConfig) -> Outcome:
    """Return what one process makes of the steps: the whole step at once, nothing of ours but the model."""
    model = Decoder(config)
    model.init_weights(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, eps=EPS)
    losses, norms = [], []
    for step in range(STEPS):
        batch = step_batch(step)
        loss = model(batch.tokens, batch.starts, batch.targets) / (batch.targets != IGNORED).sum()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        losses.append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad()
    batch = step_batch(STEPS)
    with torch.no_grad():
        model(batch.tokens, batch.starts, batch.targets)
    return Outcome(losses, norms, model.last_nll, {name: weight.detach() for name, weight in model.named_parameters()})


def train_shared(case: Case) -> Outcome:
    """Return what all ranks together make of them."""
    layout = Layout(case.parallel, "cpu")
    parts = build_parts(case.model, layout, case.compute)
    for part in parts:
        part.to_empty(device="cpu")
        part.init_weights(SEED)
    runner = make_runner(parts, layout, case.compute, torch.device("cpu"))
    optimizer = torch.optim.AdamW([weight for part in parts for weight in part.parameters()], lr=RATE, eps=EPS)
    rows = SEQUENCES // (layout.data_world * MICRO_BATCHES)
    begin = layout.data_rank * MICRO_BATCHES * rows
    own = [slice(at, at + rows) for at in range(begin, begin + MICRO_BATCHES * rows, rows)]
    losses, norms = [], []
    for step in range(STEPS):
        batch = step_batch(step)
        loss = runner.forward_backward([rows_of(batch, place) for place in own])
        norms.append(float(clip_gradients(parts, layout, CLIP)))
        losses.append(float(loss.mean()))
        optimizer.step()
        optimizer.zero_grad()
    nll = torch.zeros(SEQUENCES, LENGTH)
    for place in own:
        found = runner.evaluate(rows_of(step_batch(STEPS), place))
        if found is not None and layout.share.context_rank == 0 and layout.share.tensor_rank == 0:
            nll[place] = found
    dist.all_reduce(nll)
    return Outcome(losses, norms, nll, _whole_weights(parts))


def _whole_weights(parts: Sequence[Decoder]) -> dict[str, Tensor]:
    """Return all weights of all ranks of the pipeline."""
    own = {
        name: (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().clone()
        for part in parts
        for name, weight in part.named_parameters()
    }
    everyone: list[dict[str, Tensor]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(everyone, own)
    return {name: weight for one in everyone for name, weight in one.items()}


def on_ranks(work: Callable[..., Any], world: int, folder: Path, *arguments: object) -> Any:
    """Return what `work` returns on rank 0, called on so many ranks.

    The ranks are forked from a server that has imported everything once.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.set_forkserver_preload([__name__])
    start_processes(  # type: ignore[no-untyped-call]
        _be_rank, (work, world, port, folder, arguments), nprocs=world, start_method="forkserver"
    )
    with (folder / "result").open("rb") as file:
        return pickle.load(file)


def _be_rank(
    rank: int, work: Callable[..., object], world: int, port: int, folder: Path, arguments: tuple[object, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        result = work(*arguments)
        if rank == 0:
            (folder / "result").write_bytes(pickle.dumps(result))
    finally:
        dist.destroy_process_group()


def train_cases(cases: dict[str, Case]) -> dict[str, Outcome]:
    """Return what each case gave, on every rank."""
    return {name: train_shared(case) for name, case in cases.items()}


def assert_same(ours: Outcome, alone: Outcome) -> None:
    """Check that ranks did what one process does, but for the order of sums in float32."""
    assert ours.losses == pytest.approx(alone.losses, rel=BOUND)
    assert ours.norms == pytest.approx(alone.norms, rel=BOUND)
    assert min(alone.norms) > CLIP, "gradients were clipped"
    torch.testing.assert_close(ours.nll, alone.nll, rtol=BOUND, atol=BOUND)
    assert set(ours.weights) == set(alone.weights)
    for name, weight in alone.weights.items():
        torch.testing.assert_close(ours.weights[name], weight, rtol=0.0, atol=0.01 * RATE * STEPS, msg=name)
