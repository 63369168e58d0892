"""What both sides of the benchmark of training steps share: shapes, tokens, documents, and how steps are timed."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pretrain.model.model import ModelConfig
from pretrain.run.flops import flops_per_token, peak_flops

SHAPES = {
    # config.json of Qwen/Qwen2-1.5B, Qwen/Qwen2-7B and a small one to try the scripts with.
    "qwen2-1.5b": ModelConfig(
        family="qwen2", vocab_size=151_936, hidden_size=1536, intermediate_size=8960, layers=28, heads=12, kv_heads=2,
        head_dim=128, rope_theta=1e6, max_positions=131_072, qkv_bias=True, tied_head=True,
    ),
    "qwen2-7b": ModelConfig(
        family="qwen2", vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, layers=28, heads=28, kv_heads=4,
        head_dim=128, rope_theta=1e6, max_positions=131_072, qkv_bias=True, tied_head=False,
    ),
    "tiny": ModelConfig(
        family="qwen2", vocab_size=1024, hidden_size=128, intermediate_size=352, layers=2, heads=4, kv_heads=2,
        head_dim=32, max_positions=4096, qkv_bias=True, tied_head=True,
    ),
}  # fmt: skip
# Lengths of web documents are about lognormal: a median of 600 tokens, a mean of 1,200, some of 20,000.
_MEDIAN, _SPREAD = 600, 1.2
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Work:
    """What a side is asked to do.

    Attributes:
        shape: of the model, in SHAPES.
        batch, length: sequences of a step, and their tokens.
        steps, warmup: that are timed, and that are not.
        mode: a side's own choice, such as its attention.
        recompute: whether activations are computed again.
        masked: whether documents are kept from seeing each other.
    """

    shape: str
    batch: int
    length: int
    steps: int
    warmup: int
    mode: str
    recompute: str
    masked: bool


def parse_work() -> Work:
    """Return the work that a side's command line asks for, as JSON in its one argument."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    return Work(**json.loads(parser.parse_args().work))


def make_batch(work: Work, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int32]]]:
    """Return tokens, targets, both (batch, length), and where documents begin in each; the same on both sides."""
    draw = np.random.default_rng([step, work.length])
    tokens = draw.integers(0, SHAPES[work.shape].vocab_size, (work.batch, work.length))
    targets = np.full_like(tokens, IGNORED)
    targets[:, :-1] = tokens[:, 1:]
    starts = []
    for row in range(work.batch):
        lengths = np.exp(draw.normal(np.log(_MEDIAN), _SPREAD, work.length // 8)).astype(np.int64).clip(8)
        begins = np.concatenate([[0], np.cumsum(lengths)])
        begins = begins[begins < work.length].astype(np.int32) if work.masked else np.zeros(1, np.int32)
        targets[row, begins[1:] - 1] = IGNORED
        starts.append(np.append(begins, work.length).astype(np.int32))
    return tokens, targets, starts


def time_steps(work: Work, device: torch.device, step: Callable[[int], float], attention: str) -> None:
    """Time steps and print the figures as one line of JSON.

    Args:
        work: what is asked for.
        device: where it is computed.
        step: trains a step by its number, waits for it, and returns its loss.
        attention: the kernel that it has.
    """
    began = time.perf_counter()
    losses = [step(number) for number in range(work.warmup)]
    warmup_s = time.perf_counter() - began
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    losses += [step(work.warmup + number) for number in range(work.steps)]
    seconds = time.perf_counter() - began
    rate = work.batch * work.length * work.steps / seconds
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    peak = peak_flops(name)
    figures = {
        "device": name,
        "tokens_per_s": rate,
        "mfu": None if peak is None else rate * flops_per_token(SHAPES[work.shape], work.length) / peak,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "warmup_s": warmup_s,
        "attention": attention,
        "versions": {"torch": str(torch.__version__)},
    }
    print(json.dumps(figures))
