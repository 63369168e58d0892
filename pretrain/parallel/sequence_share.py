"""Which tokens of each sequence a rank has, where ranks share sequences.

Ranks of context parallelism each have a chunk from the head of the sequence and one from its tail, so that all have
the same number of pairs of a query and an earlier key (Llama 3, arXiv 2407.21783, section 3.3.2). Ranks of tensor
parallelism have consecutive parts of those two chunks.

Shape legend: L = tokens of a sequence, C = context ranks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SequenceShare(NamedTuple):
    """The share of one rank; by default all tokens.

    Attributes:
        context, tensor: numbers of ranks.
        context_rank, tensor_rank: which of them this is.
    """

    context: int = 1
    context_rank: int = 0
    tensor: int = 1
    tensor_rank: int = 0

    def whole(self, own: int) -> int:
        """Return L where a rank has `own` tokens of a sequence."""
        return own * self.context * self.tensor

    def of_context(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the head and the tail chunk of this context rank; `x` has L in dimension `dim`."""
        if self.context == 1:
            return x
        chunks = x.chunk(2 * self.context, dim)
        return torch.cat([chunks[self.context_rank], chunks[-1 - self.context_rank]], dim)

    def of_rank(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the tokens of this rank; `x` has L in dimension `dim`."""
        part = self.of_context(x, dim)
        return part if self.tensor == 1 else part.chunk(self.tensor, dim)[self.tensor_rank].contiguous()

    def in_order(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the sequence as it was, of which `x` has the chunks of context rank 0, those of rank 1, and so on."""
        if self.context == 1:
            return x
        chunks = x.chunk(2 * self.context, dim)
        return torch.cat([*chunks[0::2], *reversed(chunks[1::2])], dim)
