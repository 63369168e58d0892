"""Training steps of this engine, as `make cpt` runs them on one device: called by `train_step.py`."""

from __future__ import annotations

import torch

from benchmarks.train_shapes import SHAPES, make_batch, parse_work, time_steps
from pretrain.data.micro_batch import MicroBatch
from pretrain.model.attention import choose_attention
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.distributed import process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import DTYPES, build_parts, make_runner
from pretrain.run.run_config import ComputeConfig, OptimizerConfig, ParallelConfig


def main() -> None:
    """Build the model, and train it for some steps. The mode is `attention`, `compile` and `weights` by slashes."""
    work = parse_work()
    attention, compiled, weights = work.mode.split("/")
    with process_group() as device:
        compute = ComputeConfig.model_validate(
            {
                "attention": attention,
                "compile": compiled == "compile",
                "dtype": "bf16" if device.type == "cuda" else "fp32",
                "recompute": work.recompute,
            }
        )
        shape, layout = SHAPES[work.shape], Layout(ParallelConfig(), device.type)
        kernel = choose_attention(compute.attention, device, DTYPES[compute.dtype], shape.head_dim)
        parts = build_parts(shape, layout, compute, kernel)
        settings = OptimizerConfig.model_validate({"weights": weights})
        for part in parts:
            if settings.weights == "bf16":
                part.to(torch.bfloat16)
            part.to_empty(device=device)
            part.init_weights(0)
        runner = make_runner(parts, layout, compute, device)
        optimizer = build_optimizer(named_parameters(parts), settings)
        set_learning_rate(optimizer, 1e-5)

        def step(number: int) -> float:
            tokens, targets, starts = make_batch(work, number)
            most = max(16, 1 << (max(map(len, starts)) - 2).bit_length())
            padded = torch.full((work.batch, most + 1), work.length, dtype=torch.int32)
            for row, own in enumerate(starts):
                padded[row, : len(own)] = torch.from_numpy(own)
            batch = MicroBatch(torch.from_numpy(tokens), torch.from_numpy(targets), padded, padded[:, :-1] * 0)
            if device.type == "cuda":
                batch = MicroBatch(*(part.pin_memory() for part in batch))
            loss = runner.forward_backward([batch]).mean()
            clip_gradients(parts, layout, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return float(loss)

        time_steps(work, device, step)


if __name__ == "__main__":
    main()
