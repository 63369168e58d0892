"""How fast a run is: tokens a second, MFU, memory, and what it waited for data."""

from __future__ import annotations

import resource
import time

import torch

from pretrain.model.model_config import ModelConfig
from pretrain.run.flops import flops_per_token, peak_flops


class SpeedMeter:
    """Measures steps, from before their first micro-batch to after the weights changed."""

    def __init__(self, model: ModelConfig, ranks: int, device: torch.device) -> None:
        """Take what the FLOPs of a token follow from, and how many devices compute them."""
        self._model, self._ranks, self._device = model, ranks, device
        self._peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
        self._began = 0.0

    def begin(self) -> None:
        """Begin a step."""
        self._began = time.monotonic()

    def end(self, tokens: int, length: int, wait_s: float) -> dict[str, float | None]:
        """Return the figures of a step whose results were read, which waits for the device.

        Args:
            tokens: of all ranks.
            length: of the sequences.
            wait_s: seconds that this rank had waited for the data before.
        """
        seconds = time.monotonic() - self._began + wait_s
        rate = tokens / max(seconds, 1e-9)
        used = rate * flops_per_token(self._model, length) / self._ranks
        return {
            "seconds": seconds,
            "tokens_per_s": rate,
            "mfu": None if self._peak is None else used / self._peak,
            "memory_gib": _memory_bytes(self._device) / 2**30,
            "data_wait": wait_s / max(seconds, 1e-9),
        }


def _memory_bytes(device: torch.device) -> int:
    """Return the most memory that was allocated on a GPU, or the most that the process had of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
