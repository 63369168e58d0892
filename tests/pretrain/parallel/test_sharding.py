"""What one rank spares itself: nothing is sent, so nothing is divided, and weights stay where they are few."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from pretrain.parallel.distributed import process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import build_parts, make_runner
from pretrain.parallel.sharding import stays
from pretrain.run.run_config import ParallelConfig
from tests.pretrain.parallel.parallel_steps import PLAIN, QWEN2, SEED, rows_of, step_batch

_GIB = 2**30


def test_one_rank_divides_no_gradients() -> None:
    """It would read and write each of them twice more."""
    compute = PLAIN.model_copy(update={"dtype": "bf16"})
    with process_group() as device:
        layout = Layout(ParallelConfig(), device.type)
        parts = build_parts(QWEN2, layout, compute)
        parts[0].to_empty(device=device)
        parts[0].init_weights(SEED)
        runner = make_runner(parts, layout, compute, device)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
            runner.forward_backward([rows_of(step_batch(0), slice(2))])
        weights = list(parts[0].parameters())
        assert all(weight.grad is not None and weight.grad.dtype == torch.float32 for weight in weights)
    largest = max(weight.numel() for weight in weights)
    divided = [event.input_shapes for event in seen.events() or () if event.name in ("aten::div", "aten::div_")]
    assert not [shapes for shapes in divided if len(shapes[0]) == 1 and shapes[0][0] >= largest]


def test_gathered_weights_stay_on_one_gpu_where_they_are_few() -> None:
    h200 = 140 * _GIB
    qwen_small, qwen_large = 28 * 46_797_824 * 2, 28 * 233_057_792 * 2
    assert stays(qwen_small, 1, h200)
    assert not stays(qwen_large, 1, h200), "13 GB, of which float32 weights and moments leave little more"
    assert not stays(qwen_small, 1, 24 * _GIB)
    assert not stays(qwen_small, 2, h200), "that is what sharding is for"
    assert not stays(1, 1, None), "no GPU"
