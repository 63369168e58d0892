"""Kernels of attention: what runs on a CPU, the plans, and which kernel is chosen where."""

import importlib.util
import itertools
import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.nn.attention.flex_attention import create_block_mask

from configs.errors import UserError
from pretrain.model import attention
from pretrain.model.attention import Attention, Flash3, Flex, Kernel, Reference, Varlen, choose_attention, why_not
from pretrain.model.attention_blocks import document_blocks
from pretrain.model.model import Decoder, ModelConfig
from pretrain.model.segments import find_segments
from tests.pretrain.model.packed import LENGTH, LENGTHS, documents_of, packings, starts_of

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


Inputs = tuple[Tensor, Tensor, Tensor]


def drawn(batch: int, length: int, heads: int, kv_heads: int, width: int, dtype: torch.dtype) -> Inputs:
    """Return queries, keys and values."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(batch, length, count, width, generator=random, dtype=torch.float64).to(dtype).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    )
    return query, key, value


def plain(inputs: Inputs) -> Inputs:
    """Return them without slopes."""
    query, key, value = (part.detach() for part in inputs)
    return query, key, value


def by_hand(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return causal attention of one document, (L, H, d), from the formula, head by head."""
    out = []
    for head in range(query.shape[1]):
        group = head // (query.shape[1] // key.shape[1])
        scores = query[:, head] @ key[:, group].T / query.shape[2] ** 0.5
        later = torch.ones_like(scores).triu(1).bool()
        out.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ value[:, group])
    return torch.stack(out, dim=1)


def slopes(kernel: Attention, inputs: Inputs, starts: Tensor, weight: Tensor) -> list[Tensor]:
    """Return what a kernel returns, and the slopes of its sum, weighted, by its inputs."""
    out = kernel.attend(*inputs, kernel.prepare(find_segments(starts, inputs[0].shape[1])))
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
def test_the_reference_is_attention_of_each_document_alone(heads: int, kv_heads: int) -> None:
    inputs = drawn(len(LENGTHS), LENGTH, heads, kv_heads, 8, torch.float64)
    out = torch.empty(inputs[0].shape, dtype=torch.float64)
    for row, place in documents_of(LENGTHS):
        out[row, place] = by_hand(*(part[row, place].detach() for part in inputs))
    kernel = Reference()
    found = kernel.attend(*inputs, kernel.prepare(find_segments(starts_of(LENGTHS, LENGTH, 9), LENGTH)))
    torch.testing.assert_close(found.detach(), out, rtol=1e-12, atol=1e-12)


# varlen and fa3: there is no kernel for CPUs, so that a loop over the cumulative lengths stands in its place.


def in_documents(query: Tensor, key: Tensor, value: Tensor, cumulative: Tensor, longest: int) -> Tensor:
    """What flash attention is asked for: causal attention between one cumulative length and the next."""
    assert cumulative.dtype == torch.int32
    assert cumulative[0] == 0
    assert cumulative[-1] == len(query)
    assert (cumulative.diff() >= 0).all()
    assert cumulative.diff().max() <= longest
    bounds = cumulative.tolist()
    parts = [slice(begin, end) for begin, end in itertools.pairwise(bounds) if end > begin]
    return torch.cat([by_hand(query[part], key[part], value[part]) for part in parts])


def varlen_of_213(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    assert window_size == (-1, 0)
    assert cu_seq_q is cu_seq_k
    assert max_q == max_k
    assert enable_gqa or query.shape[1] == key.shape[1]
    return in_documents(query, key, value, cu_seq_q, max_q)


def varlen_of_211(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """Its kernel knows groups of heads without being told."""
    return varlen_of_213(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, window_size=window_size, enable_gqa=True)


@pytest.fixture(params=[varlen_of_213, varlen_of_211])
def varlen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "varlen_attn", request.param)
    monkeypatch.setattr(attention, "_WANTS_GROUPS", request.param is varlen_of_213)


@pytest.mark.usefixtures("varlen")
@settings(max_examples=10, deadline=None)
@given(packings(most=20), st.sampled_from([(2, 2), (4, 2), (3, 1)]), st.integers(0, 3))
def test_varlen_is_asked_for_what_the_reference_computes(
    packing: tuple[list[list[int]], int], heads: tuple[int, int], padding: int
) -> None:
    rows, length = packing
    starts = starts_of(rows, length, max(map(len, rows)) + padding)
    inputs = drawn(len(rows), length, *heads, 4, torch.float64)
    weight = torch.randn(inputs[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for found, wanted in zip(
        slopes(Varlen(), inputs, starts, weight), slopes(Reference(), inputs, starts, weight), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_a_bound_of_one_is_never_asked_for() -> None:
    plan = Varlen().prepare(find_segments(starts_of([[1]], 1), 1))
    assert plan.longest == 2


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_varlen_is_called_as_the_installed_pytorch_has_it(heads: tuple[int, int]) -> None:
    """On the meta device, where shapes are computed, and the signature is checked."""
    query, key, value = (part.to("meta").requires_grad_() for part in plain(drawn(2, 8, *heads, 64, torch.bfloat16)))
    segments = find_segments(torch.empty(2, 5, dtype=torch.int32, device="meta"), 8)
    kernel = Varlen()
    out = kernel.attend(query, key, value, kernel.prepare(segments))
    assert out.shape == query.shape
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert [part.grad is not None and part.grad.shape == part.shape for part in (query, key, value)] == [True] * 3


def test_a_compiled_layer_is_compiled_once_whatever_the_documents() -> None:
    config = ModelConfig(
        family="llama", vocab_size=8, hidden_size=64, intermediate_size=8, layers=1, heads=4, kv_heads=2, head_dim=16
    )
    with torch.device("meta"):
        model = Decoder(config, attention=Varlen()).to(torch.bfloat16)
    counter = CompileCounter()
    block = model.layers["0"]
    block.forward = torch.compile(block.forward, fullgraph=True, dynamic=False, backend=counter)
    tokens = torch.zeros(2, 64, dtype=torch.int64, device="meta")
    for rows in ([[64], [1, 63]], [[20, 20, 24], [64]]):
        assert model(tokens, starts_of(rows, 64, 4).to("meta"), tokens).shape == ()
    assert counter.frame_count == 1


def test_flash_attention_3_takes_the_place_of_pytorchs_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch.nn.attention, "activate_flash_attention_impl", asked.append)
    monkeypatch.setattr(attention, "varlen_attn", varlen_of_213)
    compare(Flash3())
    assert asked == ["FA3"]


@pytest.mark.parametrize("with_sums", [False, True])
def test_flash_attention_3_is_called_directly_where_pytorch_cannot(
    monkeypatch: pytest.MonkeyPatch, with_sums: bool
) -> None:
    """Some versions of it return the sums of exponentials as well."""

    def flash_attn_varlen_func(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seqlens_q: Tensor,
        cu_seqlens_k: Tensor,
        max_seqlen_q: int,
        max_seqlen_k: int,
        causal: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        assert causal
        assert cu_seqlens_q is cu_seqlens_k
        assert max_seqlen_q == max_seqlen_k
        out = in_documents(q, k, v, cu_seqlens_q, max_seqlen_q)
        return (out, out.sum(-1)) if with_sums else out

    module = types.ModuleType("flash_attn_interface")
    module.__dict__["flash_attn_varlen_func"] = flash_attn_varlen_func
    monkeypatch.setitem(sys.modules, "flash_attn_interface", module)
    monkeypatch.delattr(torch.nn.attention, "activate_flash_attention_impl")
    compare(Flash3())


def compare(kernel: Attention) -> None:
    """Compare a kernel with the reference on grouped heads."""
    inputs = drawn(len(LENGTHS), LENGTH, 4, 2, 4, torch.float64)
    starts = starts_of(LENGTHS, LENGTH, 8)
    weight = torch.randn(inputs[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for found, wanted in zip(
        slopes(kernel, inputs, starts, weight), slopes(Reference(), inputs, starts, weight), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


# flex.


@settings(max_examples=25, deadline=None)
@given(packings(most=700))
def test_blocks_are_those_of_the_whole_mask(packing: tuple[list[list[int]], int]) -> None:
    rows, length = packing
    segments = find_segments(starts_of(rows, length), length)
    documents = segments.documents

    def sees(batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (documents[batch, query] == documents[batch, key]) & (query >= key)

    wanted = create_block_mask(sees, len(rows), None, length, length, device="cpu")
    found = document_blocks(documents)
    assert found.seq_lengths == wanted.seq_lengths
    assert torch.equal(found.to_dense(), wanted.to_dense())
    for kind in ("", "full_"):
        for axis in ("kv", "q"):
            counts = getattr(found, f"{kind}{axis}_num_blocks")
            assert torch.equal(counts, getattr(wanted, f"{kind}{axis}_num_blocks")), (kind, axis)
            indices, others = (getattr(mask, f"{kind}{axis}_indices") for mask in (found, wanted))
            used = torch.arange(indices.shape[-1]) < counts[..., None]
            assert torch.equal(indices[used], others[used]), (kind, axis)


@pytest.mark.parametrize("length", [40, 128, 300])
def test_flex_is_the_reference(length: int) -> None:
    """FlexAttention has no backward pass on a CPU."""
    rows = [[length], [1, length - 1], [length // 2, 1, length - length // 2 - 1]]
    segments = find_segments(starts_of(rows, length, 7), length)
    inputs = plain(drawn(3, length, 4, 2, 16, torch.float32))
    flex, reference = Flex(compiled=False), Reference()
    found = flex.attend(*inputs, flex.prepare(segments))
    torch.testing.assert_close(found, reference.attend(*inputs, reference.prepare(segments)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_compiled_flex_is_the_reference() -> None:
    length = 256
    flex, reference = Flex(), Reference()
    inputs = plain(drawn(2, length, 4, 2, 16, torch.float32))
    for rows in ([[200, 56], [1, 255]], [[256], [100, 100, 56]]):  # the second is not compiled anew
        segments = find_segments(starts_of(rows, length, 4), length)
        found = flex.attend(*inputs, flex.prepare(segments))
        torch.testing.assert_close(found, reference.attend(*inputs, reference.prepare(segments)), rtol=1e-4, atol=1e-4)


# Which one.


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A GPU of Hopper, with FlashAttention-3 installed."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.nn.attention, "activate_flash_attention_impl", lambda name: None)
    return monkeypatch


@pytest.mark.parametrize("kernel", ["varlen", "flex", "fa3"])
def test_a_cpu_has_the_reference_only(kernel: Kernel) -> None:
    assert isinstance(choose_attention("auto", CPU, torch.bfloat16, 64), Reference)
    assert isinstance(choose_attention("reference", CPU, torch.float32, 64), Reference)
    with pytest.raises(UserError) as error:
        choose_attention(kernel, CPU, torch.bfloat16, 64)
    assert str(error.value) == (
        f"compute.attention: {kernel} trains on GPUs only, and this is a cpu; auto takes a kernel that can run here"
    )


def test_auto_is_the_first_that_can_run(gpu: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_attention("auto", CUDA, torch.bfloat16, 64), Flash3)
    gpu.setattr(importlib.util, "find_spec", lambda name: None)
    assert type(choose_attention("auto", CUDA, torch.bfloat16, 64)) is Varlen
    assert isinstance(choose_attention("auto", CUDA, torch.float32, 64), Flex)
    assert isinstance(choose_attention("auto", CUDA, torch.bfloat16, 36), Flex)
    assert isinstance(choose_attention("auto", CUDA, torch.bfloat16, 8), Varlen)
    assert isinstance(choose_attention("auto", CUDA, torch.float32, 8), Reference)
    gpu.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert isinstance(choose_attention("auto", CUDA, torch.bfloat16, 64), Flex)


@pytest.mark.parametrize(
    ("kernel", "dtype", "head_dim", "capability", "said"),
    [
        ("varlen", torch.float32, 64, (9, 0), "needs bf16, not float32"),
        ("varlen", torch.bfloat16, 60, (9, 0), "needs heads of a multiple of 8 and at most 256 dimensions, not 60"),
        ("fa3", torch.bfloat16, 264, (9, 0), "needs heads of a multiple of 8 and at most 256 dimensions, not 264"),
        ("varlen", torch.bfloat16, 64, (7, 5), "needs compute capability 8.0 or more, not 7.5"),
        ("fa3", torch.bfloat16, 64, (8, 0), "needs a GPU of compute capability 9.0 (Hopper), not 8.0"),
        ("fa3", torch.bfloat16, 64, (10, 0), "needs a GPU of compute capability 9.0 (Hopper), not 10.0"),
        ("flex", torch.bfloat16, 8, (9, 0), "needs heads of 16 dimensions or more, not 8"),
    ],
)
def test_what_a_kernel_cannot_do_is_told(
    gpu: pytest.MonkeyPatch, kernel: Kernel, dtype: torch.dtype, head_dim: int, capability: tuple[int, int], said: str
) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert why_not(kernel, CUDA, dtype, head_dim) == said
    with pytest.raises(UserError, match=f"compute.attention: {kernel} needs"):
        choose_attention(kernel, CUDA, dtype, head_dim)


def test_flash_attention_3_that_is_not_installed_is_told(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="flash_attn_interface"):
        choose_attention("fa3", CUDA, torch.bfloat16, 64)
