"""Loss curves of a tiny model in float32, in bfloat16, and with fewer bits in the optimizer: they should be one curve.

The text is made: each token follows from the two before it by a table, with some noise, so that there is something to
learn, and a loss that nothing can be below. Called by `gpu_checks.py`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.engine_train_step import set_weights
from benchmarks.train_shapes import SHAPES
from pretrain.data.micro_batch import MicroBatch
from pretrain.model.attention import choose_attention
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.distributed import process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import DTYPES, build_parts, make_runner
from pretrain.run.run_config import ComputeConfig, OptimizerConfig, ParallelConfig

# Of the optimizer's weights and states, and what is computed in; the first is what the others are compared with.
CURVES = {
    "fp32": ("fp32", "fp32", "fp32"),
    "bf16": ("bf16", "fp32", "fp32"),
    "bf16, bf16 weights": ("bf16", "bf16", "fp32"),
    "bf16, bf16 weights, int8 states": ("bf16", "bf16", "int8"),
}
BATCH, LENGTH, DOCUMENT, NOISE, RATE, LAST = 8, 256, 61, 0.1, 1e-3, 20
SHAPE = SHAPES["tiny"].model_copy(update={"vocab_size": 64})
# Of the means of the last steps.
BOUND = 0.02


def main() -> None:
    """Train each and print losses at some steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    steps = options.steps or (200 if options.device == "cuda" else 30)
    shown = sorted({1, steps // 4, steps // 2, steps})
    losses: dict[str, list[float]] = {}
    print(f"{'':34}" + "".join(f"step {step:<8}" for step in shown) + f"mean of the last {LAST}")
    with process_group() as device:
        for name, bits in CURVES.items():
            try:
                losses[name] = train(steps, device, *bits)
            except Exception as error:
                print(f"{name:34}failed: {type(error).__name__}: {str(error).splitlines()[:1]}")
                continue
            own = losses[name]
            reference = losses.get("fp32", own)
            difference = float(np.mean(own[-LAST:])) / float(np.mean(reference[-LAST:])) - 1
            print(
                f"{name:34}"
                + "".join(f"{own[step - 1]:<13.4f}" for step in shown)
                + f"{np.mean(own[-LAST:]):.4f} ({difference:+.2%}{'' if abs(difference) <= BOUND else ': TOO FAR'})"
            )
    if options.out is not None:
        options.out.write_text(json.dumps(losses), encoding="utf-8")


def train(steps: int, device: torch.device, dtype: str, weights: str, states: str) -> list[float]:
    """Return the losses of steps."""
    compute = ComputeConfig.model_validate({"dtype": dtype, "compile": device.type == "cuda"})
    layout = Layout(ParallelConfig(), device.type)
    kernel = choose_attention(compute.attention, device, DTYPES[compute.dtype], SHAPE.head_dim)
    parts = build_parts(SHAPE, layout, compute, kernel)
    settings = OptimizerConfig.model_validate({"weights": weights, "states": states})
    for part in parts:
        if weights == "bf16":
            part.to(torch.bfloat16)
        part.to_empty(device=device)
    set_weights(parts)
    runner = make_runner(parts, layout, compute, device)
    optimizer = build_optimizer(named_parameters(parts), settings)
    losses = []
    for number in range(steps):
        set_learning_rate(optimizer, RATE * min(1.0, (number + 1) / 20))
        losses.append(float(runner.forward_backward([made_batch(number)]).mean()))
        clip_gradients(parts, layout, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses


def made_batch(number: int) -> MicroBatch:
    """Return sequences of documents; a table of the two tokens before says which comes next."""
    table = np.random.default_rng(0).integers(0, SHAPE.vocab_size, (SHAPE.vocab_size, SHAPE.vocab_size))
    draw = np.random.default_rng([1, number])
    tokens = draw.integers(0, SHAPE.vocab_size, (BATCH, LENGTH + 1))
    for place in range(2, LENGTH + 1):
        known = draw.random(BATCH) >= NOISE
        tokens[known, place] = table[tokens[known, place - 2] % 4, tokens[known, place - 1]]
    begins = np.arange(0, LENGTH, DOCUMENT)
    targets = tokens[:, 1:].copy()
    targets[:, begins[1:] - 1] = -100
    starts = np.full((BATCH, 17), LENGTH, np.int32)
    starts[:, : len(begins)] = begins
    whole = (np.ascontiguousarray(tokens[:, :-1]), targets, starts, np.zeros((BATCH, 16), np.int32))
    return MicroBatch(*(torch.from_numpy(part) for part in whole))


if __name__ == "__main__":
    main()
