"""The mask of packed documents by the blocks that FlexAttention computes: it skips the empty, masks the mixed.

They follow from the first and the last document of each block of tokens, so that no mask of L x L is ever made.

Shape legend: B = sequences, L = tokens of a sequence, N = blocks of tokens in it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

# Tokens of a block: what FlexAttention's kernels are tuned for.
BLOCK = 128


def document_blocks(documents: Tensor) -> BlockMask:
    """Return the blocks of causal attention within documents.

    Args:
        documents: int32 (B, L): number of each token's document, ascending.
    """
    length = documents.shape[1]
    begins = torch.arange(0, length, BLOCK, device=documents.device)
    ends = (begins + BLOCK - 1).clamp_max(length - 1)
    first, last = documents[:, begins], documents[:, ends]
    numbers = torch.arange(len(begins), device=documents.device)
    earlier = numbers[:, None] > numbers[None, :]
    # Numbers ascend: of two blocks the later begins with the document that the earlier ends with, or shares none.
    meets = earlier & (last[:, None, :] == first[:, :, None])
    # A block that is cut short is masked, as one that is not whole.
    uncut = (begins + BLOCK <= length)[:, None]
    whole = earlier & uncut & (first[:, None, :] == last[:, :, None])
    diagonal = numbers[:, None] == numbers[None, :]
    partly = (meets & ~whole) | diagonal

    def sees(batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (documents[batch, query] == documents[batch, key]) & (query >= key)

    return BlockMask.from_kv_blocks(
        *_listed(partly), *_listed(whole), BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(length, length)
    )


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Return of bool (B, N, N) the numbers of blocks set in each row, and the blocks, those that are set first."""
    ordered = torch.argsort(blocks.to(torch.int8), dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[:, None], ordered.to(torch.int32)[:, None].contiguous()
