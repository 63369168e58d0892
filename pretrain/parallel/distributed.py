"""The processes of a run: as torchrun or Ray Train started them, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

# Longer than the slowest thing that ranks wait for: the first compilation, a checkpoint on a slow disk.
_PATIENCE = timedelta(minutes=30)


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the process group, and leave it at the end; give the device of this process.

    A process that nobody started with others is a group of its own, so that one way of training serves all.
    """
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    # Checkpoints are written from the CPU in the background: they need gloo beside nccl.
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    joined = dist.is_initialized()
    if not joined:
        if "RANK" in os.environ:
            dist.init_process_group(backend, timeout=_PATIENCE)
        else:
            dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1, timeout=_PATIENCE)
    try:
        yield device
    finally:
        if not joined and dist.is_initialized():
            dist.destroy_process_group()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set on any rank."""
    seen = torch.tensor([int(flag)], device=device)
    dist.all_reduce(seen, op=dist.ReduceOp.MAX)
    return bool(seen.item())


def total(values: list[float], device: torch.device) -> list[float]:
    """Return the sums of numbers over all ranks."""
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return list(sums.tolist())
