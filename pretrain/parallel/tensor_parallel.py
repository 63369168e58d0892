"""Tensor and sequence parallelism of a layer.

M. Shoeybi et al., arXiv 1909.08053, section 3, and V. Korthikanti et al., arXiv 2205.05198, section 4.2.2. Ranks share
the heads of attention and the hidden units of SwiGLU. Between these, each has the part of the sequence that
`SequenceShare` says: norms and residuals work on it alone, attention and SwiGLU gather the tokens first and scatter the
sums afterwards. Weights of norms are the same on all ranks; their gradients are summed over them by DTensor.
"""

from __future__ import annotations

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from pretrain.model.model import Block

_SEQUENCE, _HEADS = 1, 2


def share_block(block: Block, mesh: DeviceMesh) -> None:
    """Spread the weights of a layer over a mesh of one dimension."""
    plan: dict[str, ParallelStyle] = {
        "attention_norm": SequenceParallel(sequence_dim=_SEQUENCE, use_local_output=True),
        "attention": _gathered(others=2),
        "attention.query": ColwiseParallel(),
        "attention.key": ColwiseParallel(),
        "attention.value": ColwiseParallel(),
        "attention.output": RowwiseParallel(output_layouts=Shard(_SEQUENCE)),
        "mlp_norm": SequenceParallel(sequence_dim=_SEQUENCE, use_local_output=True),
        "mlp": _gathered(others=0),
        "mlp.gate": ColwiseParallel(),
        "mlp.up": ColwiseParallel(),
        "mlp.down": RowwiseParallel(output_layouts=Shard(_SEQUENCE)),
    }
    if block.attention.query_norm is not None:
        # Each rank normalises its own heads.
        plan["attention.query_norm"] = SequenceParallel(sequence_dim=_HEADS, use_local_output=True)
        plan["attention.key_norm"] = SequenceParallel(sequence_dim=_HEADS, use_local_output=True)
    parallelize_module(block, mesh, plan)


def _gathered(others: int) -> ParallelStyle:
    """Gather the tokens of the first input; `others` are passed on as they are."""
    rest = (None,) * others
    return PrepareModuleInput(input_layouts=(Shard(_SEQUENCE), *rest), desired_input_layouts=(Replicate(), *rest))
