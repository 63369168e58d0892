"""A model, or the parts of it that a rank has, made ready for training on many devices with PyTorch's own means.

In this order, on the meta device: float8, tensor and sequence parallelism, context parallelism, recomputation,
compilation layer by layer, FSDP2. Weights are loaded afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch._dynamo

from configs.errors import UserError
from pretrain.model.attention import Attention
from pretrain.model.model import Block, Decoder
from pretrain.model.model_config import ModelConfig
from pretrain.parallel.context_parallel import share_attention
from pretrain.parallel.float8 import use_float8
from pretrain.parallel.layout import Layout
from pretrain.parallel.pipeline import Pipeline
from pretrain.parallel.recompute import recompute_block
from pretrain.parallel.sharding import shard_weights
from pretrain.parallel.stages import split_layers
from pretrain.parallel.steps import StepRunner
from pretrain.parallel.tensor_parallel import share_block
from pretrain.parallel.whole_model import WholeModel
from pretrain.run.run_config import ComputeConfig

_COMPILED_FORMS = 64
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def build_parts(
    config: ModelConfig, layout: Layout, compute: ComputeConfig, attention: Attention | None = None
) -> list[Decoder]:
    """Return this rank's parts of a new model, parallelized, on the meta device: one, without a pipeline.

    Then follow `to_empty(device=...)` and the weights.

    Raises:
        UserError: ranks cannot share such a model, or not compute it so.
    """
    layout.check_model(config)
    ranges = split_layers(config, layout.stages)
    with torch.device("meta"):
        parts = [
            Decoder(
                config,
                attention=attention,
                layers=ranges[number],
                first=number == 0,
                last=number == layout.stages - 1,
                loss_chunk=compute.loss_chunk,
            )
            for number in layout.own_stages
        ]
    for part in parts:
        parallelize(part, layout, compute)
    return parts


def parallelize(model: Decoder, layout: Layout, compute: ComputeConfig) -> Decoder:
    """Make a model, or a part of one, on the meta device ready for training in this layout; return it."""
    if layout.stages > 1 and layout.schedule == "zero_bubble" and (compute.compile or compute.recompute != "none"):
        raise UserError(
            "parallel.schedule: zero_bubble computes the gradients of inputs and of weights apart, which compiled "
            "layers cannot, and for which activations would be computed again twice: set compute.compile to false and "
            "compute.recompute to none, or give 1f1b or interleaved"
        )
    if compute.compile:
        # Once for each length of sequences, with gradients and without: 8, the default, are too few for some runs.
        torch._dynamo.config.recompile_limit = max(_COMPILED_FORMS, torch._dynamo.config.recompile_limit)
    blocks = [block for block in model.layers.values() if isinstance(block, Block)]
    model.share, model.compiled_loss = layout.share, compute.compile
    if compute.float8:
        use_float8(blocks)
    if layout.sizes.tensor > 1:
        for block in blocks:
            share_block(block, layout.mesh["tensor"])
    if layout.sizes.context > 1:
        model.attention = share_attention(model.attention, layout.mesh["context"], layout.share)
        for block in blocks:
            block.attention.attention = model.attention
    for block in blocks:
        recompute_block(block, compute.recompute)
        if compute.compile:
            # Not the module: the hooks of FSDP stay outside, and so do other names of weights.
            block.forward = torch.compile(block.forward, fullgraph=True, dynamic=False)  # type: ignore[method-assign]
    shard_weights(model, blocks, layout, DTYPES[compute.dtype])
    return model


def make_runner(parts: Sequence[Decoder], layout: Layout, compute: ComputeConfig, device: torch.device) -> StepRunner:
    """Return what computes the steps of parallelized parts, which have their weights, on this rank's device."""
    if layout.stages > 1:
        return Pipeline(parts, layout, device, DTYPES[compute.dtype])
    return WholeModel(parts[0], layout, device)
