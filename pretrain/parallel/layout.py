"""Which rank has which part of the work: the mesh of devices, and what has to divide what.

Five dimensions: pipeline, replicate, shard, context, tensor. Ranks along the first may be far from each other, ranks
along the last exchange most. The product of the sizes is the number of ranks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from configs.errors import UserError
from pretrain.model.model_config import ModelConfig
from pretrain.parallel.sequence_share import SequenceShare
from pretrain.run.run_config import ParallelConfig


class Sizes(NamedTuple):
    """Numbers of ranks in each dimension: see `ParallelConfig`."""

    pipeline: int
    replicate: int
    shard: int
    context: int
    tensor: int


def find_sizes(config: ParallelConfig, world: int) -> Sizes:
    """Return the numbers of ranks in each dimension.

    Raises:
        UserError: their product is not the number of ranks, `world`.
    """
    others = config.pipeline * config.replicate * config.context * config.tensor
    told = (
        f"pipeline {config.pipeline} x replicate {config.replicate} x context {config.context} x tensor {config.tensor}"
    )
    if config.shard is None and world % others:
        raise UserError(f"parallel: {world} ranks are no multiple of {told} = {others}: start a multiple of {others}")
    shard = config.shard or world // others
    if others * shard != world:
        raise UserError(
            f"parallel: {told} x shard {shard} = {others * shard} ranks, but there are {world}: start as many, or "
            "leave out shard, which then takes what the others leave"
        )
    return Sizes(config.pipeline, config.replicate, shard, config.context, config.tensor)


class Layout:
    """The mesh of all ranks, and this rank's place in it.

    Attributes:
        sizes: numbers of ranks in each dimension.
        schedule, stages_per_rank: of the pipeline.
        mesh: with the dimensions of `Sizes`, by name.
        data_rank, data_world: which of how many different parts of the data this rank reads.
        share: which tokens of them.
        data_mesh: ranks that read different data.
        layers_mesh: ranks that FSDP spreads the weights of layers over, after tensor parallelism; replicas are a
            dimension of their own, the first.
        ends_mesh: the same for embedding, last norm and head, which are the same for tensor parallel ranks.
    """

    def __init__(self, config: ParallelConfig, device_type: str) -> None:
        """Make the mesh; all ranks of the process group do so together.

        Raises:
            UserError: the configuration does not have as many ranks as there are.
        """
        self.sizes = find_sizes(config, dist.get_world_size())
        self.schedule = config.schedule
        self.stages_per_rank = 1 if config.schedule == "1f1b" else config.stages_per_rank
        self.mesh: DeviceMesh = init_device_mesh(device_type, tuple(self.sizes), mesh_dim_names=Sizes._fields)
        self.data_rank = self._rank("replicate") * self.sizes.shard + self._rank("shard")
        self.data_world = self.sizes.replicate * self.sizes.shard
        self.share = SequenceShare(self.sizes.context, self._rank("context"), self.sizes.tensor, self._rank("tensor"))
        self.data_mesh = self.mesh["replicate", "shard"]._flatten("data")
        self.layers_mesh = self._with_replicas(self.mesh["shard", "context"]._flatten("layers"))
        self.ends_mesh = self._with_replicas(self.mesh["shard", "context", "tensor"]._flatten("ends"))

    def _rank(self, dimension: str) -> int:
        return self.mesh.get_local_rank(dimension)

    def _with_replicas(self, mesh: DeviceMesh) -> DeviceMesh:
        return DeviceMesh._concatenate([self.mesh["replicate"], mesh]) if self.sizes.replicate > 1 else mesh

    @property
    def stages(self) -> int:
        """Parts of the model along the pipeline."""
        return self.sizes.pipeline * self.stages_per_rank if self.sizes.pipeline > 1 else 1

    @property
    def own_stages(self) -> range:
        """Numbers of the parts that this rank has: every so many."""
        return range(self._rank("pipeline"), self.stages, self.sizes.pipeline)

    def sum_over_data(self, value: torch.Tensor) -> torch.Tensor:
        """Add up, in place, what ranks that read different data have."""
        if self.data_world > 1:
            dist.all_reduce(value, group=self.data_mesh.get_group())
        return value

    def check_model(self, config: ModelConfig) -> None:
        """Raise a UserError where ranks cannot share such a model."""
        tensor = self.sizes.tensor
        for name in ("heads", "kv_heads", "intermediate_size"):
            if (size := getattr(config, name)) % tensor:
                raise UserError(f"parallel.tensor: {tensor} ranks cannot share {name} {size}: give a divisor of it")
        if self.stages > 1 and config.tied_head:
            raise UserError(
                "parallel.pipeline: the head of this model is its embedding, which would be on two ranks; give tensor "
                "or shard instead of pipeline"
            )
        if self.stages > config.layers:
            raise UserError(f"parallel.pipeline: {config.layers} layers cannot be cut into {self.stages} stages")

    def check_length(self, length: int) -> None:
        """Raise a UserError where ranks cannot share sequences of so many tokens."""
        sizes = self.sizes
        unit = sizes.tensor if sizes.context == 1 else math.prod((2, sizes.context, sizes.tensor))
        if length % unit:
            raise UserError(
                f"parallel: sequences of {length} tokens cannot be shared by context {sizes.context} x tensor "
                f"{sizes.tensor} ranks: the length must be a multiple of {unit}"
            )

    def check_micro_batches(self, count: int) -> None:
        """Raise a UserError where the pipeline cannot work on so many micro-batches in a step."""
        ranks = self.sizes.pipeline
        if ranks == 1:
            return
        rounds = max(1, count // ranks)
        if self.schedule == "1f1b" and count < ranks:
            raise UserError(f"parallel.pipeline: {count} micro-batches in a step are fewer than its {ranks} ranks")
        if self.schedule != "1f1b" and count % rounds:
            raise UserError(
                f"parallel.pipeline: {count} micro-batches in a step are no multiple of {rounds}, the rounds that "
                f"{self.schedule} makes of them on {ranks} ranks: give a multiple of {ranks}"
            )
