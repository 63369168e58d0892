"""What the parts of a step reach on this device: copies, matrix products, the fused head, attention over documents.

Sizes are those of Qwen2-1.5B at 32,768 tokens a step. Called by `gpu_checks.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks.engine_train_step import make_micro_batch
from benchmarks.train_shapes import SHAPES, Work
from pretrain.model.attention import Kernel, call_varlen, choose_attention, why_not
from pretrain.model.loss import head_loss
from pretrain.model.segments import find_segments

Figures = dict[str, float | str]


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    small = device.type == "cpu"
    shape = "tiny" if small else "qwen2-1.5b"
    packings = ((2, 512),) if small else ((4, 8192), (1, 32_768))
    for part in (copies(device, small), products(device, shape, small), heads(device, shape, small)):
        _tell(part, options.out)
    for batch, length in packings:
        _tell(attentions(device, shape, batch, length), options.out)


def copies(device: torch.device, small: bool) -> Iterator[Figures]:
    """Copy memory to memory."""
    source = torch.randn(2**20 if small else 2**30, device=device)
    target = torch.empty_like(source)
    seconds = timed(lambda: target.copy_(source), device)
    yield {"what": "copy", "ms": 1e3 * seconds, "tb_per_s": 2 * source.nbytes / seconds / 1e12}


def products(device: torch.device, shape: str, small: bool) -> Iterator[Figures]:
    """Multiply matrices of the sizes of a layer and of the head."""
    config, tokens = SHAPES[shape], 512 if small else 32_768
    size, inner = config.hidden_size, config.intermediate_size
    cube = 256 if small else 8192
    sizes = {
        "cube": (cube, cube, cube),
        "query": (tokens, size, config.heads * config.head_dim),
        "key": (tokens, size, config.kv_heads * config.head_dim),
        "gate": (tokens, size, inner),
        "gate and up": (tokens, size, 2 * inner),
        "down": (tokens, inner, size),
        "slope of gate": (inner, tokens, size),
    }
    for name, (rows, depth, columns) in sizes.items():
        left = torch.randn(rows, depth, device=device, dtype=torch.bfloat16)
        right = torch.randn(columns, depth, device=device, dtype=torch.bfloat16)
        seconds = timed(partial(torch.mm, left, right.T), device)
        done = 2 * rows * depth * columns / seconds / 1e12
        yield {"what": f"product, {name}", "ms": 1e3 * seconds, "tflop_per_s": done}


def heads(device: torch.device, shape: str, small: bool) -> Iterator[Figures]:
    """Compute loss and slopes of the head, by tokens of a chunk, compiled and not."""
    config, tokens = SHAPES[shape], 512 if small else 32_768
    hidden = torch.randn(tokens, config.hidden_size, device=device).bfloat16().requires_grad_()
    weight = (0.02 * torch.randn(config.vocab_size, config.hidden_size, device=device)).bfloat16().requires_grad_()
    targets = torch.randint(config.vocab_size, (tokens,), device=device)
    chunks = (128,) if small else (1024, 2048, 4096, 8192, 32_768)
    for chunk in chunks:
        for compiled in (False,) if small else (False, True):
            if chunk > 8192 and not compiled:
                continue

            def compute(chunk: int = chunk, compiled: bool = compiled) -> None:
                total, _ = head_loss(hidden, weight, targets, chunk, compiled)
                torch.autograd.grad(total, (hidden, weight))

            seconds = timed(compute, device)
            done = 6 * tokens * config.hidden_size * config.vocab_size / seconds / 1e12
            name = f"head, chunks of {chunk:,}{', compiled' if compiled else ''}"
            yield {"what": name, "ms": 1e3 * seconds, "tflop_per_s": done, "peak_gib": _peak_gib(device)}


def attentions(device: torch.device, shape: str, batch: int, length: int) -> Iterator[Figures]:
    """Compute attention over the documents of a step; FLOPs are those of pairs that see each other."""
    config = SHAPES[shape]
    starts = make_micro_batch(Work(shape, batch, length, 0, 0, "", "none", masked=True), 0).starts
    lengths = starts.diff(dim=1).double()
    flops = 2 * config.heads * config.head_dim * float((lengths * (lengths + 1)).sum())
    segments = find_segments(starts.to(device), length)
    shapes = [(batch, length, count, config.head_dim) for count in (config.heads, config.kv_heads, config.kv_heads)]
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    inputs = [torch.randn(own, device=device, dtype=dtype).requires_grad_() for own in shapes]
    slope = torch.randn(shapes[0], device=device, dtype=dtype)
    ways: dict[str, Callable[[], Tensor]] = {}
    # Flex last: it is compiled, which may fail, and then nothing comes after it.
    names: tuple[Kernel, ...] = ("varlen", "fa3", "flex") if device.type == "cuda" else ("reference",)
    for name in names:
        if (reason := why_not(name, device, dtype, config.head_dim)) is not None:
            print(f"  attention, {name}: {reason}")
            continue
        kernel = choose_attention(name, device, dtype, config.head_dim)
        plan = kernel.prepare(segments)
        ways[name] = partial(kernel.attend, inputs[0], inputs[1], inputs[2], plan)
    if "varlen" in ways:
        # What empty documents and a bound that is too long cost.
        ends = torch.cat([segments.cumulative()[:1], torch.unique(segments.cumulative()[1:])])
        longest = int(lengths.max())
        rows = [part.flatten(0, 1) for part in inputs]
        ways["varlen, no empty documents"] = lambda: call_varlen(rows[0], rows[1], rows[2], ends, length)
        ways["varlen, and the longest known"] = lambda: call_varlen(rows[0], rows[1], rows[2], ends, longest)
        if "flex" in ways:
            ways["flex"] = ways.pop("flex")
    for title, way in ways.items():
        out = way()
        forward = timed(way, device)

        def both(way: Callable[[], Tensor] = way, out: Tensor = out) -> None:
            torch.autograd.grad(way(), inputs, slope.view(out.shape))

        whole = timed(both, device)
        yield {
            "what": f"attention, {batch} x {length:,}, {title}",
            "ms": 1e3 * whole,
            "forward_ms": 1e3 * forward,
            "tflop_per_s": 3.5 * flops / whole / 1e12,
        }


def timed(work: Callable[[], object], device: torch.device, repeats: int = 8) -> float:
    """Return the median of the seconds that it takes, after three times that are not counted."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for number in range(3 + repeats):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            seconds.append(time.perf_counter() - began)
    return median(seconds)


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0


def _tell(figures: Iterator[Figures], out: Path | None) -> None:
    while True:
        try:
            own = next(figures, None)
        except Exception as error:  # one that does not run here must not hide the others
            print(f"  failed: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
            return
        if own is None:
            return
        rest = "".join(f"  {name} {value:.2f}" for name, value in own.items() if isinstance(value, float))
        print(f"  {own['what']:52}{rest}", flush=True)
        if out is not None:
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(own) + "\n")


if __name__ == "__main__":
    main()
