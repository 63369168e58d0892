"""Checkpoints into weights that are spread over a mesh: each rank by itself, without sending anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.testing._internal.distributed.fake_pg import FakeStore

from pretrain.hf.hf import load_weights, read_config, whole_weights
from pretrain.model.model import Decoder
from tests.pretrain.model.families import one_document, random_tokens, saved


@contextmanager
def group(rank: int, world: int) -> Iterator[None]:
    """A group of ranks of which only this one is there: it could send to nobody."""
    dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    saved("qwen3", folder, shard_bytes=100_000)
    return folder


def test_a_rank_has_its_rows_of_sharded_weights(checkpoint: Path) -> None:
    """The last one, whose parts are smaller. One only: PyTorch remembers a mesh, and the rank that was there first."""
    rank = 5
    whole = Decoder(read_config(checkpoint))
    load_weights(whole, checkpoint)
    with group(rank, 6):
        with torch.device("meta"):
            model = Decoder(whole.config)
        mesh = init_device_mesh("cpu", (3, 2), mesh_dim_names=("shard", "tensor"))
        for block in model.layers.values():
            plan = {"mlp.up": ColwiseParallel(), "mlp.down": RowwiseParallel()}
            parallelize_module(block, mesh["tensor"], plan)
        fully_shard(model, mesh=mesh["shard"])
        model.to_empty(device="cpu")
        load_weights(model, checkpoint)
        for name, weight in model.named_parameters():
            assert isinstance(weight, DTensor)
            part = whole.get_parameter(name).detach()
            shard, tensor = divmod(rank, 2)
            if "mlp.up" in name or "mlp.down" in name:
                # FSDP shards the rows of what tensor parallelism left.
                part = _chunk(part, 0 if "mlp.up" in name else 1, tensor, 2)
            assert any(isinstance(placed, Shard) for placed in weight.placements)
            assert not all(isinstance(placed, Replicate) for placed in weight.placements)
            assert torch.equal(weight.to_local(), _chunk(part, 0, shard, 3)), name


def _chunk(weight: torch.Tensor, dim: int, number: int, count: int) -> torch.Tensor:
    parts = weight.chunk(count, dim)
    return parts[number] if number < len(parts) else weight.narrow(dim, 0, 0)


def test_a_group_of_one_gives_back_whole_weights(checkpoint: Path) -> None:
    whole = Decoder(read_config(checkpoint))
    load_weights(whole, checkpoint)
    tokens = random_tokens(1, length=30)
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        with torch.device("meta"):
            model = Decoder(whole.config)
        for block in model.layers.values():
            fully_shard(block, mesh=init_device_mesh("cpu", (1,)))
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        model.to_empty(device="cpu")
        load_weights(model, checkpoint)
        for (name, weight), (same, wanted) in zip(whole_weights(model), whole_weights(whole), strict=True):
            assert name == same
            assert torch.equal(weight, wanted)
        assert torch.equal(model(tokens, one_document(tokens)), whole(tokens, one_document(tokens)))
    finally:
        dist.destroy_process_group()
