"""Context parallelism: ranks share the tokens of each sequence, and gather the keys and values.

This is how Llama 3 was trained (arXiv 2407.21783, section 3.3.2). With grouped queries keys and values are few, so that
gathering them costs less than the attention that it makes possible; unlike a ring it works with any mask of documents.

Shape legend: B = sequences, L = tokens of a sequence, C = ranks, K = key and value heads, d = head size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.nn.attention.flex_attention import BlockMask

from configs.errors import UserError
from pretrain.model.attention import Attention, Flash3, Flex, Plan, Reference, Varlen, any_number, call_varlen
from pretrain.model.attention_blocks import BLOCK
from pretrain.model.segments import Segments
from pretrain.parallel.sequence_share import SequenceShare


def share_attention(attention: Attention, mesh: DeviceMesh, share: SequenceShare) -> Attention:
    """Return the kernel for queries of this rank's tokens, and keys and values of all ranks' tokens.

    Raises:
        UserError: the kernel cannot.
    """
    if isinstance(attention, Reference | Flex):
        return ContextRows(attention, mesh, share)
    if isinstance(attention, Varlen) and not (isinstance(attention, Flash3) and attention.direct):
        return ContextVarlen(mesh, share)
    raise UserError(
        f"compute.attention: {type(attention).__name__} does not work with parallel.context: give varlen, "
        "flex or reference"
    )


class ContextRows:
    """The kernels that take a mask, of which each rank has the rows of its tokens."""

    def __init__(self, inner: Reference | Flex, mesh: DeviceMesh, share: SequenceShare) -> None:
        """Take the kernel, the ranks and the share of this one."""
        self._inner, self._mesh, self._share = inner, mesh, share

    def prepare(self, segments: Segments) -> Plan:
        """See `Attention`."""
        whole = self._inner.prepare(segments)
        if whole.blocks is not None:
            return Plan(blocks=self._own_blocks(whole.blocks, segments))
        assert whole.mask is not None
        return Plan(mask=self._share.of_context(whole.mask, dim=2))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> Tensor:
        """Return (B, L / C, H, d) of queries, keys and values of this rank's tokens."""
        key, value = gather(key, value, self._mesh, self._share)
        return self._inner.attend(query, key, value, plan)

    def _own_blocks(self, blocks: BlockMask, segments: Segments) -> BlockMask:
        share, length = self._share, segments.length
        if length % (2 * share.context * BLOCK):
            raise UserError(
                f"compute.attention: flex on parallel.context {share.context} needs sequences of a multiple of "
                f"{2 * share.context * BLOCK} tokens, not {length}"
            )
        places = share.of_context(torch.arange(length, device=segments.starts.device), dim=0)
        sees = blocks.mask_mod

        def sees_there(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return sees(batch, head, places[query], key)

        assert blocks.full_kv_num_blocks is not None
        assert blocks.full_kv_indices is not None
        return BlockMask.from_kv_blocks(
            share.of_context(blocks.kv_num_blocks, dim=2),
            share.of_context(blocks.kv_indices, dim=2),
            share.of_context(blocks.full_kv_num_blocks, dim=2),
            share.of_context(blocks.full_kv_indices, dim=2),
            BLOCK_SIZE=BLOCK,
            mask_mod=sees_there,
            seq_lengths=(length // share.context, length),
        )


class ContextVarlen:
    """Flash attention of the head and the tail chunk, each over the keys up to its end.

    Of a document that begins before a chunk, keys are more than queries: the last query sees the last key.
    """

    def __init__(self, mesh: DeviceMesh, share: SequenceShare) -> None:
        """Take the ranks and the share of this one."""
        self._mesh, self._share = mesh, share

    def prepare(self, segments: Segments) -> Plan:
        """Return where documents begin in queries and keys of the head, then of the tail: (4, B D + 1)."""
        rows = []
        for begin, end in self._chunks(segments.length):
            queries = segments._replace(starts=segments.starts.clamp(begin, end) - begin, length=end - begin)
            keys = segments._replace(starts=segments.starts.clamp_max(end), length=end)
            rows += [queries.cumulative(), keys.cumulative()]
        return Plan(cumulative=any_number(torch.stack(rows)), longest=segments.length)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> Tensor:
        """Return (B, L / C, H, d) of queries, keys and values of this rank's tokens."""
        assert plan.cumulative is not None, "prepared by another kernel"
        key, value = gather(key, value, self._mesh, self._share)
        out = []
        for number, (begin, end) in enumerate(self._chunks(plan.longest)):
            part = query.chunk(2, dim=1)[number]
            rows = (part.flatten(0, 1), key[:, :end].flatten(0, 1), value[:, :end].flatten(0, 1))
            # A bound of 1 is a case of its own to the kernel, with documents of one length.
            of_keys = (plan.cumulative[2 * number + 1], max(2, end))
            mixed = call_varlen(*rows, plan.cumulative[2 * number], max(2, end - begin), of_keys)
            out.append(mixed.view(part.shape))
        return torch.cat(out, dim=1)

    def _chunks(self, length: int) -> list[tuple[int, int]]:
        """Return where the head and the tail chunk begin and end."""
        chunk = length // (2 * self._share.context)
        numbers = (self._share.context_rank, 2 * self._share.context - 1 - self._share.context_rank)
        return [(number * chunk, (number + 1) * chunk) for number in numbers]


def gather(key: Tensor, value: Tensor, mesh: DeviceMesh, share: SequenceShare) -> tuple[Tensor, Tensor]:
    """Return the keys and values of whole sequences, (B, L, K, d), of those of a rank, (B, L / C, K, d).

    Gradients are summed over the ranks and go back to those that the keys and values came from.
    """
    both = DTensor.from_local(torch.cat([key, value], dim=2), mesh, [Shard(1)], run_check=False)
    whole = share.in_order(both.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial()]))
    key, value = whole.chunk(2, dim=2)
    return key, value
