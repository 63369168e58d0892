"""The fused head: its value and gradients, by chunks of any size, and that logits are never whole in memory."""

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pretrain.model.loss import IGNORED, chunk_rows, head_loss, reference_loss


def drawn(tokens: int, size: int, vocab: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return hidden states, a head, and targets, of which some are ignored."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, size, generator=random, dtype=torch.float64).to(dtype)
    weight = torch.randn(vocab, size, generator=random, dtype=torch.float64).to(dtype)
    targets = torch.randint(vocab, (tokens,), generator=random)
    targets[torch.rand(tokens, generator=random) < 0.3] = IGNORED
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def with_slopes(
    loss: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], hidden: Tensor, weight: Tensor, scale: float = 1.0
) -> list[Tensor]:
    """Return the sum, the losses, and the slopes by hidden states and head."""
    total, each = loss(hidden, weight)
    return [total.detach(), each, *torch.autograd.grad(total * scale, (hidden, weight))]


@pytest.mark.parametrize("chunk", [1, 3, 10, 11, 12, 1000, None])
def test_value_and_slopes_are_those_of_whole_logits_in_float64(chunk: int | None) -> None:
    hidden, weight, targets = drawn(11, 6, 17, torch.float64)
    found = with_slopes(lambda h, w: head_loss(h, w, targets, chunk), hidden, weight, 0.37)
    wanted = with_slopes(lambda h, w: reference_loss(h, w, targets), hidden, weight, 0.37)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert found[0].dtype == found[1].dtype == torch.float64


def test_slopes_are_those_of_small_differences() -> None:
    hidden, weight, targets = drawn(7, 4, 9, torch.float64)
    assert torch.autograd.gradcheck(lambda h, w: head_loss(h, w, targets, 3)[0], (hidden, weight))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 1000))
def test_chunks_change_nothing_but_rounding(tokens: int, chunk: int, seed: int) -> None:
    hidden, weight, targets = drawn(tokens, 8, 21, torch.float32, seed)
    found = with_slopes(lambda h, w: head_loss(h, w, targets, chunk), hidden, weight)
    whole = with_slopes(lambda h, w: head_loss(h, w, targets, tokens), hidden, weight)
    for ours, theirs in zip(found, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


def test_float32_is_as_near_to_float64_as_pytorchs_own() -> None:
    """F.linear_cross_entropy is PyTorch's own way to leave logits out."""
    hidden, weight, targets = drawn(64, 32, 500, torch.float32)
    exact = with_slopes(
        lambda h, w: reference_loss(h, w, targets),
        hidden.detach().double().requires_grad_(),
        weight.detach().double().requires_grad_(),
    )
    peers = [lambda h, w: reference_loss(h, w, targets)]
    if (peer := getattr(F, "linear_cross_entropy", None)) is not None:
        peers.append(lambda h, w: (peer(h, w, targets, reduction="sum", ignore_index=IGNORED), torch.zeros(64)))
    for theirs in peers:
        wanted = with_slopes(theirs, hidden, weight)
        found = with_slopes(lambda h, w: head_loss(h, w, targets, 5), hidden, weight)
        assert found[0].dtype == found[1].dtype == torch.float32
        for place in (0, 2, 3):
            ours, others = ((got[place] - exact[place]).abs().max() for got in (found, wanted))
            assert ours <= 2 * others + 1e-6 * exact[place].abs().max()


def test_bfloat16_sums_in_float32() -> None:
    hidden, weight, targets = drawn(512, 32, 300, torch.bfloat16)
    total, each, hidden_slope, weight_slope = with_slopes(lambda h, w: head_loss(h, w, targets, 4), hidden, weight)
    assert (total.dtype, each.dtype, hidden_slope.dtype, weight_slope.dtype) == (
        torch.float32,
        torch.float32,
        torch.bfloat16,
        torch.bfloat16,
    )
    exact = with_slopes(
        lambda h, w: reference_loss(h, w, targets),
        hidden.detach().double().requires_grad_(),
        weight.detach().double().requires_grad_(),
    )
    assert abs(total.item() / exact[0].item() - 1) < 1e-3
    for ours, theirs in zip((hidden_slope, weight_slope), exact[2:], strict=True):
        # A number of bfloat16 has 8 bits; what 128 chunks added up in bfloat16 would lose is more.
        assert (ours.double() - theirs).norm() / theirs.norm() < 2**-7


def test_ignored_tokens_have_no_loss_and_no_slope() -> None:
    hidden, weight, targets = drawn(20, 8, 13, torch.float32)
    total, each, hidden_slope, _ = with_slopes(lambda h, w: head_loss(h, w, targets, 3), hidden, weight)
    ignored = targets == IGNORED
    assert 0 < ignored.sum() < 20
    assert not each[ignored].any()
    assert not hidden_slope[ignored].any()
    assert (each[~ignored] > 0).all()
    torch.testing.assert_close(total, each.sum())


@pytest.mark.parametrize("tokens", [0, 5])
def test_without_any_target_all_is_zero(tokens: int) -> None:
    hidden, weight, targets = drawn(tokens, 8, 13, torch.float32)
    for value in with_slopes(lambda h, w: head_loss(h, w, torch.full_like(targets, IGNORED), 2), hidden, weight):
        assert torch.equal(value, torch.zeros_like(value))


def test_large_logits_do_not_overflow() -> None:
    hidden, weight, targets = drawn(6, 4, 9, torch.float32)
    values = with_slopes(lambda h, w: head_loss(1e4 * h, w, targets, 2), hidden, weight)
    assert all(value.isfinite().all() for value in values)


def test_only_wanted_slopes_are_made() -> None:
    hidden, weight, targets = drawn(9, 4, 7, torch.float32)
    (hidden_slope,) = torch.autograd.grad(head_loss(hidden, weight.detach(), targets)[0], hidden)
    (weight_slope,) = torch.autograd.grad(head_loss(hidden.detach(), weight, targets)[0], weight)
    both = torch.autograd.grad(reference_loss(hidden, weight, targets)[0], (hidden, weight))
    torch.testing.assert_close((hidden_slope, weight_slope), both)


def test_a_target_outside_of_the_vocabulary_is_no_loss_of_another_token() -> None:
    hidden, weight, targets = drawn(4, 4, 7, torch.float32)
    for wrong in (-1, 7):
        with pytest.raises((RuntimeError, IndexError)):
            head_loss(hidden, weight, torch.full_like(targets, wrong))


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The largest tensor that any operation made, in elements, and how many matrix products there were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest, self.products = 0, 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        sizes = [part.numel() for part in tree_leaves(made) if isinstance(part, Tensor)]
        self.largest = max(self.largest, *sizes, 0)
        self.products += str(func).startswith("aten.mm")
        return made


@pytest.mark.parametrize("slopes", [True, False])
def test_logits_are_never_whole(slopes: bool) -> None:
    tokens, size, vocab, chunk = 512, 8, 900, 10
    hidden, weight, targets = drawn(tokens, size, vocab, torch.float32)
    with Watch() as seen, torch.set_grad_enabled(slopes):
        total, _ = head_loss(hidden, weight, targets, chunk)
        if slopes:
            total.backward()  # type: ignore[no-untyped-call]
    assert seen.largest == chunk * vocab
    with Watch() as whole:
        reference_loss(hidden, weight, targets)
    assert whole.largest == tokens * vocab, "whole logits would have been seen"


def test_chunks_fit_the_bytes_that_they_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = drawn(50, 8, 900, torch.float32)
    monkeypatch.setattr("pretrain.model.loss.CHUNK_BYTES", 12 * 900 * 4 + 100)
    with Watch() as seen, torch.no_grad():
        head_loss(hidden, weight, targets)
    assert seen.largest == 8 * 900, "a power of two, so that chunks of a sequence have one shape"


@pytest.mark.parametrize(("dtype", "rows"), [(torch.bfloat16, 4096), (torch.float32, 2048)])
@pytest.mark.parametrize("vocabulary", [151_936, 152_064])
def test_qwens_sequences_divide_into_chunks(vocabulary: int, dtype: torch.dtype, rows: int) -> None:
    assert chunk_rows(vocabulary, dtype) == rows


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_compiled_is_the_same(dtype: torch.dtype) -> None:
    hidden, weight, targets = drawn(53, 16, 300, dtype)
    found = with_slopes(lambda h, w: head_loss(h, w, targets, 16, compiled=True), hidden, weight, 0.5)
    wanted = with_slopes(lambda h, w: head_loss(h, w, targets, 16), hidden, weight, 0.5)
    bound = {torch.bfloat16: 2**-7, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)
    with torch.no_grad():
        evaluated = head_loss(hidden, weight, targets, 16, compiled=True)
    torch.testing.assert_close(evaluated[1], wanted[1], rtol=bound, atol=bound)


def test_a_vocabulary_beyond_those_bytes_has_a_token_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = drawn(5, 2, 900, torch.float32)
    monkeypatch.setattr("pretrain.model.loss.CHUNK_BYTES", 10)
    torch.testing.assert_close(head_loss(hidden, weight, targets), reference_loss(hidden, weight, targets))


def test_an_evaluation_makes_no_slopes() -> None:
    """Two of three matrix products are theirs."""
    hidden, weight, targets = drawn(32, 8, 40, torch.float32)
    with Watch() as evaluated, torch.no_grad():
        value = head_loss(hidden, weight, targets, 16)
    with Watch() as trained:
        same = head_loss(hidden, weight, targets, 16)
    assert (evaluated.products, trained.products) == (2, 6)
    torch.testing.assert_close(value, tuple(part.detach() for part in same), rtol=0, atol=0)
