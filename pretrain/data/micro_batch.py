"""Sequences of the token stream as tensors that a model reads at once.

All micro-batches of a step have one shape. Where the sequences do not divide into them, the last one has rows without
documents, which have no loss.

Shape legend: B = sequences of a micro-batch, L = tokens of a sequence, D = documents in a sequence, padded with empty
ones to a power of two, so that few shapes occur and compiled kernels are used again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.errors import UserError
from mixing.stream.batch import IGNORED, Batch
from mixing.tokens.token_source import TokenizerIdentity

_FEWEST_DOCUMENTS = 16


class MicroBatch(NamedTuple):
    """What a model reads at once.

    Attributes:
        tokens: int64 (B, L).
        targets: int64 (B, L): the token after each one, IGNORED where there is none: after the end of a document, in
            padding, and where a document is cut and packed.
        starts: int32 (B, D + 1): where documents, or parts of them, begin, padded with L. Padding of a sequence is a
            document, too.
        sources: int32 (B, D): number of each document's source in the stage, -1 of padding.
    """

    tokens: Tensor
    targets: Tensor
    starts: Tensor
    sources: Tensor

    def to(self, device: torch.device) -> MicroBatch:
        """Return it on a device; a copy from pinned memory is not waited for."""
        return MicroBatch(*(part.to(device, non_blocking=True) for part in self))


def make_micro_batches(
    batch: Batch, rows: int, micro_batch: int, tokenizer: TokenizerIdentity, pin: int | None
) -> tuple[MicroBatch, ...]:
    """Return the sequences of a batch as micro-batches of one shape.

    Args:
        batch: of at most `rows` sequences.
        rows: of all micro-batches together; those that no sequence fills have no documents and no targets.
        micro_batch: B, of which `rows` is a multiple.
        tokenizer: that the tokens are of.
        pin: number of the CUDA device whose copies read the tensors; None is no such device.

    Raises:
        UserError: a token is none of the tokenizer's.
    """
    count = len(batch.sequences)
    tokens = np.zeros((rows, batch.length), dtype=np.int64)
    tokens[:count] = batch.inputs()
    _check_tokens(tokens, tokenizer)
    targets = np.full((rows, batch.length), IGNORED, dtype=np.int64)
    targets[:count] = batch.targets()
    starts = _starts(batch, rows)
    sources = np.full((rows, starts.shape[1] - 1), -1, dtype=np.int32)
    for row, sequence in enumerate(batch.sequences):
        own = [segment[0].source for segment in sequence.segments()]
        sources[row, : len(own)] = own
    whole = MicroBatch(*(torch.from_numpy(part) for part in (tokens, targets, starts, sources)))
    if pin is not None:
        # A new thread begins with device 0, where each rank would take memory for a context of its own.
        torch.cuda.set_device(pin)
        whole = MicroBatch(*(part.pin_memory() for part in whole))
    begins = range(0, rows, micro_batch)
    return tuple(MicroBatch(*(part[begin : begin + micro_batch] for part in whole)) for begin in begins)


def pinning_device() -> int | None:
    """Return the number of this process' CUDA device, for whose copies memory is pinned; None where there is none."""
    return torch.cuda.current_device() if torch.cuda.is_available() else None


def _starts(batch: Batch, rows: int) -> NDArray[np.int32]:
    most = max((len(own) - 1 for own in batch.boundaries), default=1)
    documents = max(_FEWEST_DOCUMENTS, 1 << (most - 1).bit_length())
    starts = np.full((rows, documents + 1), batch.length, dtype=np.int32)
    starts[:, 0] = 0
    for row, own in enumerate(batch.boundaries):
        starts[row, : len(own)] = own
    return starts


def _check_tokens(tokens: NDArray[np.int64], tokenizer: TokenizerIdentity) -> None:
    """Find damage here: a GPU that looks up a row that its embedding has not ends the process without a word of it."""
    for found in (tokens.min(), tokens.max()) if tokens.size else ():
        if not 0 <= found < tokenizer.vocabulary_size:
            raise UserError(
                f"a token shard is damaged: it has token {found}, and the tokenizer {tokenizer.name} has "
                f"{tokenizer.vocabulary_size:,}; `make mixture CHECK=yes` says which"
            )
