"""AdamW with bfloat16 weights that are rounded stochastically, or moments in 8 bits; needs torchao.

Stochastic rounding (S. Gupta et al., arXiv 1502.02551, section 3) rounds up or down with the probabilities that make
it right on average, so that steps below half the distance of two bfloat16 numbers are not lost. Moments in 8 bits are
those of T. Dettmers et al., arXiv 2110.02861: blocks of values, each with a scale, by a table of 256 values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch._functorch.config
from torch import Tensor
from torch.distributed.tensor import DTensor
from torchao.optim import AdamW8bit
from torchao.optim.subclass_8bit import OptimState8bit

from pretrain.optimizer.optimizer import placed_like

# As in the paper and in bitsandbytes: small tensors keep their precision, blocks have up to 256 values.
_SMALLEST = 4096
_BLOCK = 256
# With fewer values in a block, scales in float32 take back what 8 bits save.
_SMALLEST_BLOCK = 32


class LowPrecisionAdamW(AdamW8bit):  # type: ignore[misc]
    """torchao's AdamW, which computes in float32, with moments in float32 or in 8 bits.

    torchao keeps moments in the type of the weights, where a bfloat16 second moment stalls as bfloat16 weights would,
    and cuts blocks without regard to rows. Here they are float32 or 8 bits, and blocks lie in rows of a rank's part, so
    that they can be laid out over other ranks.
    """

    def __init__(
        self, groups: Iterable[dict[str, object]], betas: tuple[float, float], eps: float, eight_bit: bool
    ) -> None:
        """Take groups of parameters with their weight decay; bfloat16 ones are rounded stochastically."""
        self._eight_bit = eight_bit
        super().__init__(groups, lr=0.0, betas=betas, eps=eps, bf16_stochastic_round=True)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Change the weights; torchao compiles this."""
        # PyTorch's cache of compiled functions on disk knows a spread tensor, but not what kind of tensor a rank's part
        # of it is: it would take the step of moments in float32, of an earlier run, for that of moments in 8 bits.
        with torch._functorch.config.patch(enable_autograd_cache=False):
            return super().step(closure)  # type: ignore[no-any-return]

    def _new_buffer(self, p: Tensor, signed: bool) -> Tensor:
        local = p.to_local() if isinstance(p, DTensor) else p
        block = block_size(p) if self._eight_bit else None
        if block is None:
            return torch.zeros_like(p, dtype=torch.float32)
        return placed_like(p, OptimState8bit.zeros(local.shape, signed, block, local.device), p.shape)


def block_size(weight: Tensor) -> int | None:
    """Return how many values of a parameter share a scale, or None where its moments keep 32 bits.

    It is the same on all ranks, and blocks do not reach over the ends of the rows of their parts.
    """
    if weight.ndim != 2 or weight.numel() < _SMALLEST:
        return None
    ranks = [1, 1]
    if isinstance(weight, DTensor):
        for size, placement in zip(weight.device_mesh.shape, weight.placements, strict=True):
            if (dimension := getattr(placement, "dim", None)) is not None:  # Shard, or _StridedShard
                ranks[dimension] *= size
    rows, columns = weight.shape
    if columns % ranks[1] or rows < ranks[0] ** 2:  # with fewer rows, the last ranks may have none
        return None
    block = math.gcd(_BLOCK, columns // ranks[1])
    return block if block >= _SMALLEST_BLOCK else None
