"""Checkpoints of several ranks: written together, read by another number of them."""

from __future__ import annotations

import multiprocessing
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from configs.errors import UserError
from pretrain.checkpoint import checkpoint
from pretrain.checkpoint.checkpoint import CheckpointError, load_weights
from pretrain.checkpoint.checkpoint_files import list_checkpoints
from pretrain.model.model import Decoder
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, state_tensors
from pretrain.run.run_config import OptimizerConfig
from tests.pretrain.checkpoint.checkpointed_runs import (
    SHAPE,
    make_model,
    make_optimizer,
    open_checkpoints,
    run_state,
    train,
)

# Rows of the batch: with the same on all ranks, sums of gradients are divided by the number of ranks exactly.
ROWS = (0, 1)
KINDS = {"fp32": OptimizerConfig(), "low": OptimizerConfig(weights="bf16", states="int8")}


@pytest.fixture(autouse=True)
def _not_compiled() -> Iterator[None]:
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def sharded(config: OptimizerConfig, seed: int, replicas: int = 1) -> Decoder:
    """Return a model that ranks share: layers on one mesh, the rest on another one, as in training."""
    model = make_model(config, seed)
    ranks = dist.get_world_size()
    if replicas > 1:
        mesh = init_device_mesh("cpu", (replicas, ranks // replicas), mesh_dim_names=("replicate", "shard"))
    else:
        mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("shard",))
    other = init_device_mesh("cpu", (ranks,), mesh_dim_names=("ends",))
    for layer in model.layers.values():
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=other)
    return model


def whole(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return weights and moments, put together."""
    found: dict[str, Tensor] = {}
    for name, weight in named_parameters([model]).items():
        for kind, one in {"": weight.detach(), **state_tensors(optimizer, weight)}.items():
            found[f"{name} {kind}"] = one.full_tensor() if isinstance(one, DTensor) else one.clone()
    return found


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all tensors are, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def two_ranks(rank: int, port: int, folder: str, turn: int) -> None:
    """What each of two ranks does in one of two turns."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.compiler.set_stance("force_eager")
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for name, config in KINDS.items():
        path = Path(folder) / name
        if turn == 0:
            _write_and_resume(path, config)
        else:
            _read_one_rank(path, config)
    if turn == 0:
        _replicas_stay_alike(Path(folder) / "replicas")
        _one_rank_fails(Path(folder) / "fails", rank)
        _one_sees_damage(Path(folder) / "fp32", rank)
        _parts_of_a_pipeline(Path(folder), rank)
    dist.barrier()
    dist.destroy_process_group()


def _write_and_resume(path: Path, config: OptimizerConfig) -> None:
    """Two ranks go on as if there had been no break."""
    torch.manual_seed(4)
    model = sharded(config, 0)
    optimizer = build_optimizer(named_parameters([model]), config)
    assert len(optimizer.param_groups) == 4  # two meshes, with and without decay
    train(model, optimizer, 0, 2, ROWS)
    checkpoints = open_checkpoints(path)
    checkpoints.save(run_state(2, shard=2), [model], optimizer)
    train(model, optimizer, 2, 3, ROWS)
    with torch.no_grad():
        model(*_tokens())  # leaves whole parameters behind
    checkpoints.save(run_state(3, shard=2), [model], optimizer)
    for step in (3, 4):
        train(model, optimizer, step, step + 1, ROWS)
    checkpoints.close()
    expected = whole(model, optimizer)
    assert any(name.endswith("codes") for name in expected) == (config.states == "int8")

    torch.manual_seed(5)
    model = sharded(config, 1)
    optimizer = build_optimizer(named_parameters([model]), config)
    again = open_checkpoints(path)
    latest = again.latest()
    assert latest == path / "step_00000003"
    assert {one.name for one in latest.iterdir()} == {"run.json", ".metadata", "__0_0.distcp", "__1_0.distcp"}
    assert again.load(latest, [model], optimizer, {"shard": 2}).tokens == 3 * 16
    train(model, optimizer, 3, 5, ROWS)
    assert same(whole(model, optimizer), expected)
    again.close()


def _read_one_rank(path: Path, config: OptimizerConfig) -> None:
    """What one rank wrote, two ranks have."""
    model = sharded(config, 1)
    optimizer = build_optimizer(named_parameters([model]), config)
    checkpoints = open_checkpoints(path)
    latest = checkpoints.latest()
    assert latest is not None
    checkpoints.load(latest, [model], optimizer, {"shard": 2})
    expected = torch.load(path / "one.pt")
    assert same(whole(model, optimizer), expected)
    checkpoints.close()


def _replicas_stay_alike(path: Path) -> None:
    """Copies of bfloat16 weights on two ranks, which have the same seed, are rounded alike, after a break, too."""
    config = OptimizerConfig(weights="bf16")
    torch.manual_seed(6)
    model = sharded(config, 0, replicas=2)
    optimizer = build_optimizer(named_parameters([model]), config)
    train(model, optimizer, 0, 2, ROWS)
    checkpoints = open_checkpoints(path)
    checkpoints.save(run_state(2, replicate=2), [model], optimizer)
    checkpoints.wait()
    checkpoints.load(path / "step_00000002", [model], optimizer, {"replicate": 1, "shard": 2})
    train(model, optimizer, 2, 4, ROWS)
    for weight in model.layers["0"].parameters():
        assert isinstance(weight, DTensor)
        copies = [torch.empty_like(weight.to_local()) for _ in range(2)]
        dist.all_gather(copies, weight.to_local().detach())
        assert torch.equal(*copies)
    checkpoints.close()


def _one_rank_fails(path: Path, rank: int) -> None:
    """Both ranks learn it, and nothing is left."""
    config = KINDS["fp32"]
    model = sharded(config, 0)
    optimizer = build_optimizer(named_parameters([model]), config)
    checkpoints = open_checkpoints(path)
    checkpoints.save(run_state(1, shard=2), [model], optimizer)
    checkpoints.wait()
    for number, failing in enumerate(("store_file", "commit"), 2):
        true = getattr(checkpoint, failing)
        if rank == (0 if failing == "commit" else 1):
            setattr(checkpoint, failing, _full)
        checkpoints.save(run_state(number, shard=2), [model], optimizer)
        with pytest.raises(CheckpointError, match=f"step {number} was not written: No space left.* has step_00000001"):
            checkpoints.wait()
        setattr(checkpoint, failing, true)
        dist.barrier()
        assert [one.name for one in path.iterdir()] == ["step_00000001"]
    checkpoints.close()


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def _one_sees_damage(path: Path, rank: int) -> None:
    """The ranks share the reading: what one finds, all pass over."""
    damaged = list_checkpoints(path)[-1]
    dist.barrier()
    for name in ("__0_0.distcp", "__1_0.distcp"):
        whole_file = (damaged / name).read_bytes()
        dist.barrier()
        if rank == 0:
            (damaged / name).write_bytes(whole_file[:-1] + bytes([whole_file[-1] ^ 1]))
        dist.barrier()
        told: list[str] = []
        checkpoints = open_checkpoints(path)
        checkpoints._tell = told.append
        assert checkpoints.latest() == path / "step_00000002"
        assert len(told) == (1 if rank == 0 else 0)
        with pytest.raises(UserError, match=name):
            load_weights(damaged, [make_model(KINDS["fp32"])])
        checkpoints.close()
        dist.barrier()
        if rank == 0:
            (damaged / name).write_bytes(whole_file)
    dist.barrier()


def _parts_of_a_pipeline(folder: Path, rank: int) -> None:
    """Each rank has two parts of the model, of which only it knows; the whole model has them, and the other way."""
    torch.manual_seed(1)
    config = KINDS["fp32"]
    shape = SHAPE.model_copy(update={"layers": 4})
    parts = [
        Decoder(shape, layers=range(number, number + 1), first=number == 0, last=number == 3)
        for number in (rank, rank + 2)
    ]
    for part in parts:
        part.init_weights(7)
    optimizer = build_optimizer(named_parameters(parts), config)
    checkpoints = open_checkpoints(folder / "parts")
    checkpoints.save(run_state(1, pipeline=2), parts, optimizer)
    checkpoints.close()
    model = Decoder(shape)
    load_weights(folder / "parts" / "step_00000001", [model])
    expected = Decoder(shape)
    expected.init_weights(7)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    for part in parts:
        part.init_weights(8)
    load_weights(folder / "parts" / "step_00000001", parts)
    named = named_parameters([expected])
    assert all(torch.equal(weight, named[name]) for name, weight in named_parameters(parts).items())


def _tokens() -> tuple[Tensor, Tensor, Tensor]:
    return torch.ones(1, 16, dtype=torch.int64), torch.tensor([[0, 16]]), torch.ones(1, 16, dtype=torch.int64)


def spawn(folder: Path, turn: int) -> None:
    """Start two ranks, as copies of a server that has imported everything: that takes longer than the test.

    Not of this process: groups of other tests that it still has would be taken apart in a copy, which then waits for
    threads that it has not.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.set_forkserver_preload([__name__, "pretrain.optimizer.low_precision_adamw"])
    context = multiprocessing.get_context("forkserver")
    ranks = [context.Process(target=two_ranks, args=(rank, port, str(folder), turn)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(200)
        process.kill()
    assert [process.exitcode for process in ranks] == [0, 0]


def test_two_ranks_then_one_then_two(tmp_path: Path) -> None:
    """Weights and moments are the same to the bit, however many ranks share them."""
    spawn(tmp_path, 0)
    for name, config in KINDS.items():
        path = tmp_path / name
        model = make_model(config, 3)
        optimizer = make_optimizer(model, config)
        checkpoints = open_checkpoints(path)
        latest = checkpoints.latest()
        assert latest == path / "step_00000003"
        checkpoints.load(latest, [model], optimizer, {"shard": 1})
        if name == "fp32":
            straight = make_model(config, 0)
            own = make_optimizer(straight, config)
            train(straight, own, 0, 3, ROWS)
            for key, one in whole(straight, own).items():
                assert torch.allclose(whole(model, optimizer)[key], one, atol=1e-5), key
        train(model, optimizer, 3, 4, ROWS)
        checkpoints.save(run_state(4), [model], optimizer)
        checkpoints.close()
        torch.save(whole(model, optimizer), path / "one.pt")
    spawn(tmp_path, 1)
