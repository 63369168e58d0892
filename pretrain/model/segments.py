"""Where documents lie in the sequences of a micro-batch: what attention and rotary positions are made from.

All of it follows from `starts`, whose shape does not depend on the documents, so that nothing waits for the device and
a compiled model is not compiled again.

Shape legend: B = sequences, L = tokens of a sequence, D = documents in a sequence, padded with empty ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Segments(NamedTuple):
    """Documents of a micro-batch.

    Attributes:
        positions: int64 (B, L): place of each token in its document, from 0.
        documents: int32 (B, L): number of its document in the sequence; of empty ones there is no token.
        starts: int32 (B, D + 1): where documents begin; L from the last one on.
        length: L.
    """

    positions: Tensor
    documents: Tensor
    starts: Tensor
    length: int

    def cumulative(self) -> Tensor:
        """Return int32 (B D + 1,): where documents begin in the B L tokens in a row, and the number of tokens."""
        batch = self.starts.shape[0]
        rows = torch.arange(batch, device=self.starts.device, dtype=torch.int32)[:, None] * self.length
        inner = (self.starts[:, :-1] + rows).flatten()
        return torch.cat([inner, inner.new_full((1,), batch * self.length)])


def find_segments(starts: Tensor, length: int) -> Segments:
    """Return the documents of a micro-batch from where they begin, int32 (B, D + 1)."""
    places = torch.arange(length, device=starts.device, dtype=torch.int32).expand(starts.shape[0], length)
    documents = torch.searchsorted(starts[:, :-1].contiguous(), places.contiguous(), right=True) - 1
    begins = torch.gather(starts, 1, documents)
    return Segments((places - begins).long(), documents.int(), starts, length)
