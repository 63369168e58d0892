"""Causal attention among packed documents that never see each other, by the kernels that there are.

`varlen` is flash attention over documents of different lengths in a row, in PyTorch itself; `fa3` the same with
FlashAttention-3, where that is installed; `flex` compiles FlexAttention with the mask of the documents. All are tested
against `reference`, scaled dot-product attention with a whole mask, which runs everywhere.

Shape legend: B = sequences, L = tokens of a sequence, H = query heads, K = key and value heads, d = head size.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.attention
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo import maybe_mark_dynamic
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.attention.varlen import varlen_attn

from configs.errors import UserError
from pretrain.model.attention_blocks import document_blocks
from pretrain.model.segments import Segments

Kernel = Literal["reference", "varlen", "flex", "fa3"]

# Flash attention takes fewer heads of keys than of queries; from PyTorch 2.12 on it wants to be told so.
_WANTS_GROUPS = "enable_gqa" in inspect.signature(varlen_attn).parameters


class Plan(NamedTuple):
    """What the layers of a model share for one micro-batch: of these, what its kernel takes.

    Attributes:
        mask: bool (B, 1, L, L): whether a query sees a key.
        cumulative: int32: where documents begin in the tokens in a row.
        longest: no document is longer.
        blocks: of FlexAttention.
    """

    mask: Tensor | None = None
    cumulative: Tensor | None = None
    longest: int = 0
    blocks: BlockMask | None = None


class Attention(Protocol):
    """A kernel."""

    def prepare(self, segments: Segments) -> Plan:
        """Return what all layers share for these documents."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> Tensor:
        """Return (B, L, H, d) of queries (B, L, H, d), keys and values (B, L, K, d)."""


class Reference:
    """Scaled dot-product attention with a mask: quadratic in memory, exact, on every device and dtype."""

    def prepare(self, segments: Segments) -> Plan:
        """Return the mask: the same document, not later."""
        documents, places = segments.documents, torch.arange(segments.length, device=segments.documents.device)
        same = documents[:, :, None] == documents[:, None, :]
        return Plan(mask=(same & (places[:, None] >= places[None, :]))[:, None])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> Tensor:
        """See `Attention`."""
        out = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=plan.mask, enable_gqa=True
        )
        return out.transpose(1, 2)


class Varlen:
    """Flash attention over the documents of all sequences in a row: in 16 bits, on GPUs of Ampere or later."""

    def prepare(self, segments: Segments) -> Plan:
        """Return where documents begin. Empty ones, which pad `starts`, are empty documents to the kernel, too."""
        # The longest document is known to the device only, and asking would wait for it: a sequence is as long at most.
        # A bound of 1 is a case of its own to the kernel, with documents of one length.
        return Plan(cumulative=any_number(segments.cumulative()), longest=max(2, segments.length))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> Tensor:
        """See `Attention`."""
        assert plan.cumulative is not None, "prepared by another kernel"
        rows = [part.flatten(0, 1) for part in (query, key, value)]
        out = self._in_a_row(rows[0], rows[1], rows[2], plan.cumulative, plan.longest)
        return out.view(query.shape)

    def _in_a_row(self, query: Tensor, key: Tensor, value: Tensor, cumulative: Tensor, longest: int) -> Tensor:
        """Return (B L, H, d)."""
        return call_varlen(query, key, value, cumulative, longest)


def any_number(cumulative: Tensor) -> Tensor:
    """Return where documents begin, in the last dimension, for layers that are not compiled anew for each number."""
    maybe_mark_dynamic(cumulative, cumulative.ndim - 1)
    return cumulative


class Flash3(Varlen):
    """The same by FlashAttention-3 (J. Shah et al., arXiv 2407.08608), on Hopper."""

    def __init__(self) -> None:
        """Put FlashAttention-3 in the place of PyTorch's own kernel, for the whole process, or call it directly."""
        activate = getattr(torch.nn.attention, "activate_flash_attention_impl", None)
        if activate is not None:
            activate("FA3")
        self.direct: Callable[..., Tensor | tuple[Tensor, ...]] | None = (
            importlib.import_module("flash_attn_interface").flash_attn_varlen_func if activate is None else None
        )

    def _in_a_row(self, query: Tensor, key: Tensor, value: Tensor, cumulative: Tensor, longest: int) -> Tensor:
        if self.direct is None:
            return call_varlen(query, key, value, cumulative, longest)
        out = self.direct(query, key, value, cumulative, cumulative, longest, longest, causal=True)
        return out if isinstance(out, Tensor) else out[0]


class Flex:
    """FlexAttention with the mask of the documents: on GPUs and in dtypes that flash attention does not know, too."""

    def __init__(self, compiled: bool = True) -> None:
        """Take whether the kernel is compiled; without, it is slow, and for tests."""
        self._kernel: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=False) if compiled else _plain_flex

    def prepare(self, segments: Segments) -> Plan:
        """Return the blocks of the mask."""
        return Plan(blocks=document_blocks(segments.documents))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> Tensor:
        """See `Attention`."""
        heads = (part.transpose(1, 2) for part in (query, key, value))
        return self._kernel(*heads, block_mask=plan.blocks, enable_gqa=True).transpose(1, 2)


def choose_attention(
    kernel: Literal["auto"] | Kernel, device: torch.device, dtype: torch.dtype, head_dim: int
) -> Attention:
    """Return a kernel; of `auto` the first that can run of fa3, varlen, flex and reference.

    Args:
        kernel: its name, or `auto`.
        device: of the queries.
        dtype: of the queries.
        head_dim: of the queries.

    Raises:
        UserError: it cannot run there.
    """
    makers: dict[Kernel, Callable[[], Attention]] = {
        "fa3": Flash3,
        "varlen": Varlen,
        "flex": Flex,
        "reference": Reference,
    }
    if kernel == "auto":
        return next(make() for name, make in makers.items() if why_not(name, device, dtype, head_dim) is None)
    if (reason := why_not(kernel, device, dtype, head_dim)) is not None:
        raise UserError(f"compute.attention: {kernel} {reason}; auto takes a kernel that can run here")
    return makers[kernel]()


def why_not(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Return why a kernel cannot train there, or None if it can."""
    if kernel == "reference":
        return None
    if device.type != "cuda":
        return f"trains on GPUs only, and this is a {device.type}"
    if kernel == "flex":
        return None if head_dim >= 16 else f"needs heads of 16 dimensions or more, not {head_dim}"
    if dtype not in (torch.bfloat16, torch.float16):
        return f"needs bf16, not {str(dtype).removeprefix('torch.')}"
    if head_dim % 8 or head_dim > 256:
        return f"needs heads of a multiple of 8 and at most 256 dimensions, not {head_dim}"
    major, minor = torch.cuda.get_device_capability(device)
    if kernel == "varlen":
        return None if major >= 8 else f"needs compute capability 8.0 or more, not {major}.{minor}"
    if major != 9:
        return f"needs a GPU of compute capability 9.0 (Hopper), not {major}.{minor}"
    if importlib.util.find_spec("flash_attn_interface") is None:
        return "needs the package flash_attn_interface: the folder hopper of the sources of FlashAttention builds it"
    return None


def _plain_flex(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask | None, enable_gqa: bool) -> Tensor:
    out = flex_attention(query, key, value, block_mask=block_mask, enable_gqa=enable_gqa)
    assert isinstance(out, Tensor), "nothing else was asked for"
    return out


def call_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cumulative: Tensor,
    longest: int,
    of_keys: tuple[Tensor, int] | None = None,
) -> Tensor:
    """Return flash attention over documents in a row, (rows of queries, H, d).

    Args:
        query: (rows of queries, H, d).
        key: (rows of keys, K, d).
        value: as `key`.
        cumulative: int32: where documents begin in the queries.
        longest: no document of queries is longer; 2 at least.
        of_keys: both of the keys, where these are not those of the queries: the last query of a document sees its last
            key, the one before sees all but that, and so on.
    """
    cumulative_keys, longest_keys = of_keys or (cumulative, longest)
    groups: dict[str, Any] = {}
    if query.shape[1] != key.shape[1] and _WANTS_GROUPS:
        groups = {"enable_gqa": True}
    # A window of all that is before and nothing after is what a causal mask is called there.
    out = varlen_attn(
        query, key, value, cumulative, cumulative_keys, longest, longest_keys, window_size=(-1, 0), **groups
    )
    assert isinstance(out, Tensor), "nothing else was asked for"
    return out
