"""Kernels of GPUs against the reference in float32: values and slopes, for packed documents of all kinds."""

import pytest
import torch
from torch import Tensor

from pretrain.model.attention import Attention, Kernel, Reference, choose_attention, why_not
from pretrain.model.segments import Segments, find_segments
from tests.pretrain.model.packed import starts_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

LENGTH = 512
PACKINGS = {
    "one document": [[LENGTH], [LENGTH]],
    "documents of one token": [[1] * 40 + [LENGTH - 40], [LENGTH - 1, 1]],
    "only documents of one token": [[1] * LENGTH, [1] * LENGTH],
    "of many lengths": [[3, 128, 1, 200, 180], [127, 129, 256]],
    "empty ones between": [[0, 100, 0, 0, LENGTH - 100], [0, 0, LENGTH]],
    "no multiple of a block": [[77, 300, 135], [1, 510, 1]],
}


def computed(kernel: Attention, inputs: list[Tensor], segments: Segments, weight: Tensor) -> list[Tensor]:
    """Return values and slopes, in float32."""
    query, key, value = (part.detach().requires_grad_() for part in inputs)
    out = kernel.attend(query, key, value, kernel.prepare(segments))
    slopes = torch.autograd.grad((out * weight.to(out.dtype)).sum(), (query, key, value))
    return [part.detach().float() for part in (out, *slopes)]


def usable(name: Kernel, dtype: torch.dtype, head_dim: int) -> Attention:
    device = torch.device("cuda", torch.cuda.current_device())
    if (reason := why_not(name, device, dtype, head_dim)) is not None:
        pytest.skip(f"{name} {reason}")
    return choose_attention(name, device, dtype, head_dim)


@pytest.mark.parametrize("padding", [0, 23])
@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("heads", [(4, 4), (12, 2), (8, 1)])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kernel", ["varlen", "flex", "fa3"])
def test_values_and_slopes_are_those_of_the_reference(
    kernel: Kernel, packing: str, heads: tuple[int, int], head_dim: int, padding: int
) -> None:
    """As near to float32 as the reference is in the same dtype, or nearly so."""
    dtype = torch.bfloat16
    ours = usable(kernel, dtype, head_dim)
    rows = PACKINGS[packing]
    starts = starts_of(rows, LENGTH, max(map(len, rows)) + padding).cuda()
    segments = find_segments(starts, LENGTH)
    random = torch.Generator(device="cuda").manual_seed(0)
    shapes = [(len(rows), LENGTH, count, head_dim) for count in (heads[0], heads[1], heads[1])]
    inputs = [torch.randn(shape, generator=random, device="cuda").to(dtype) for shape in shapes]
    weight = torch.randn(shapes[0], generator=random, device="cuda").to(dtype)
    exact = computed(Reference(), [part.float() for part in inputs], segments, weight.float())
    peer = computed(Reference(), inputs, segments, weight)
    found = computed(ours, inputs, segments, weight)
    for name, wanted, theirs, got in zip(("out", "query", "key", "value"), exact, peer, found, strict=True):
        assert got.isfinite().all(), name
        scale = wanted.abs().max()
        assert (got - wanted).abs().max() <= 2 * (theirs - wanted).abs().max() + 2**-8 * scale, name


@pytest.mark.parametrize("kernel", ["flex", "reference"])
def test_float32_is_the_reference_of_the_cpu(kernel: Kernel) -> None:
    ours = usable(kernel, torch.float32, 64)
    starts = starts_of(PACKINGS["of many lengths"], LENGTH, 8)
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, LENGTH, count, 64, generator=random) for count in (4, 2, 2)]
    weight = torch.randn(2, LENGTH, 4, 64, generator=random)
    wanted = computed(Reference(), inputs, find_segments(starts, LENGTH), weight)
    found = computed(ours, [part.cuda() for part in inputs], find_segments(starts.cuda(), LENGTH), weight.cuda())
    for got, exact in zip(found, wanted, strict=True):
        # A kernel may multiply in TF32, of 10 bits.
        assert (got.cpu() - exact).abs().max() <= 2**-8 * exact.abs().max()


@pytest.mark.parametrize("kernel", ["varlen", "flex", "fa3"])
def test_documents_do_not_see_each_other(kernel: Kernel) -> None:
    """What comes out of a document is the same, to the bit, whatever stands in the others."""
    ours = usable(kernel, torch.bfloat16, 64)
    rows = PACKINGS["of many lengths"]
    segments = find_segments(starts_of(rows, LENGTH, 9).cuda(), LENGTH)
    inputs = [torch.randn(2, LENGTH, count, 64, device="cuda").bfloat16() for count in (4, 2, 2)]
    before = ours.attend(inputs[0], inputs[1], inputs[2], ours.prepare(segments))
    changed = slice(3, 3 + 128)
    others = torch.ones(2, LENGTH, dtype=torch.bool)
    others[0, changed] = False
    for part in inputs:
        part[0, changed] = torch.randn_like(part[0, changed])
    after = ours.attend(inputs[0], inputs[1], inputs[2], ours.prepare(segments))
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[0, changed], after[0, changed])


@pytest.mark.parametrize("kernel", ["varlen", "flex", "fa3"])
def test_nothing_waits_for_the_gpu(kernel: Kernel) -> None:
    ours = usable(kernel, torch.bfloat16, 64)
    inputs = [torch.randn(2, LENGTH, count, 64, device="cuda").bfloat16().requires_grad_() for count in (4, 2, 2)]
    starts = starts_of(PACKINGS["of many lengths"], LENGTH, 9).cuda()

    def step() -> None:
        plan = ours.prepare(find_segments(starts, LENGTH))
        ours.attend(inputs[0], inputs[1], inputs[2], plan).sum().backward()  # type: ignore[no-untyped-call]

    step()  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
