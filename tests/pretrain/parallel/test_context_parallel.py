"""Sequences shared by context ranks: each token once, the same work for all, and attention as without them."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from configs.errors import UserError
from pretrain.model import attention
from pretrain.model.attention import Attention, Flex, Reference, Varlen
from pretrain.model.segments import Segments, find_segments
from pretrain.parallel import context_parallel
from pretrain.parallel.context_parallel import share_attention
from pretrain.parallel.sequence_share import SequenceShare

_NO_MESH = cast(DeviceMesh, None)


def shares(context: int, tensor: int) -> list[SequenceShare]:
    return [SequenceShare(context, own, tensor, part) for own in range(context) for part in range(tensor)]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1))
def test_each_token_is_on_one_rank_and_comes_back_to_its_place(context: int, tensor: int, size: int, dim: int) -> None:
    length = 2 * context * tensor * size
    whole = torch.arange(3 * length).view((length, 3) if dim == 0 else (3, length))
    ranks = shares(context, tensor)
    parts = [share.of_rank(whole, dim) for share in ranks]
    assert {part.shape[dim] for part in parts} == {length // (context * tensor)}
    assert all(share.whole(part.shape[dim]) == length for share, part in zip(ranks, parts, strict=True))
    assert torch.equal(ranks[0].in_order(torch.cat(parts, dim), dim), whole)


@given(st.integers(1, 6), st.integers(1, 5))
def test_each_context_rank_has_as_many_pairs_of_query_and_key(context: int, size: int) -> None:
    length = 2 * context * size
    keys = torch.arange(length)[None] + 1
    assert len({int(share.of_context(keys).sum()) for share in shares(context, 1)}) == 1


def _made(length: int) -> tuple[Segments, list[Tensor]]:
    """Return two sequences of documents, and queries, keys and values."""
    quarter = length // 4
    starts = torch.full((2, 9), length, dtype=torch.int32)
    # A document that begins before a chunk and ends after it, one of a single token, one that begins with a chunk.
    starts[0, :5] = torch.tensor([0, quarter - 1, quarter, 2 * quarter, length - 3])
    starts[1, :2] = torch.tensor([0, 3])
    draw = torch.Generator().manual_seed(3)
    shapes = ((2, length, 4, 16), (2, length, 2, 16), (2, length, 2, 16))
    return find_segments(starts, length), [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]


def _assert_as_whole(kernel: Attention, context: int, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the attention of all context ranks against the reference without them, where they have gathered."""
    segments, (query, key, value) = _made(length)
    monkeypatch.setattr(context_parallel, "gather", lambda *_: (key, value))
    reference = Reference()
    expected = reference.attend(query, key, value, reference.prepare(segments))
    for share in shares(context, 1):
        shared = share_attention(kernel, _NO_MESH, share)
        plan = shared.prepare(segments)
        out = shared.attend(share.of_context(query), share.of_context(key), share.of_context(value), plan)
        torch.testing.assert_close(out, share.of_context(expected), rtol=1e-9, atol=1e-9)


def _varlen_in_a_loop(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    begins: Tensor,
    key_begins: Tensor,
    most: int,
    most_keys: int,
    **named: Any,
) -> Tensor:
    """Flash attention as its documentation says: documents of queries and keys end together."""
    assert named == {"window_size": (-1, 0), "enable_gqa": True}
    assert (int(begins[-1]), int(key_begins[-1])) == (len(query), len(key))
    out = torch.full_like(query, torch.nan)
    spans = zip(begins[:-1], begins[1:], key_begins[:-1], key_begins[1:], strict=True)
    for begin, end, key_begin, key_end in ((int(a), int(b), int(c), int(d)) for a, b, c, d in spans):
        assert end - begin <= most
        assert key_end - key_begin <= most_keys
        rows, columns = end - begin, key_end - key_begin
        if rows == 0:
            continue
        mask = torch.ones(rows, columns, dtype=torch.bool).tril(columns - rows)
        queries, keys, values = (
            part[place].transpose(0, 1)
            for part, place in (
                (query, slice(begin, end)),
                (key, slice(key_begin, key_end)),
                (value, slice(key_begin, key_end)),
            )
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=True)
        out[begin:end] = mixed.transpose(0, 1)
    return out


@pytest.mark.parametrize("context", [2, 3])
def test_the_reference_on_context_ranks_is_the_reference(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _assert_as_whole(Reference(), context, 24, monkeypatch)


@pytest.mark.parametrize("context", [2, 3])
def test_chunks_of_flash_attention_are_those_of_the_reference(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "varlen_attn", _varlen_in_a_loop)
    monkeypatch.setattr(attention, "_WANTS_GROUPS", True)
    _assert_as_whole(Varlen(), context, 24, monkeypatch)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_blocks_of_flex_attention_are_those_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    _assert_as_whole(Flex(compiled=False), 2, 512, monkeypatch)


def test_flex_attention_refuses_chunks_that_are_no_whole_blocks() -> None:
    segments, _ = _made(640)
    shared = share_attention(Flex(compiled=False), _NO_MESH, SequenceShare(2, 0))
    with pytest.raises(UserError, match="multiple of 512 tokens, not 640"):
        shared.prepare(segments)
