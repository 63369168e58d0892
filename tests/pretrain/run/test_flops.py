"""FLOPs of a token, and the peaks of devices."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pretrain.model.model import Decoder, ModelConfig
from pretrain.run.flops import counted_parameters, flops_per_token, peak_flops

SHAPE = ModelConfig(
    family="qwen2", vocab_size=512, hidden_size=64, intermediate_size=160, layers=3, heads=4, kv_heads=2, head_dim=16,
    tied_head=True,
)  # fmt: skip
# config.json of Qwen/Qwen2-1.5B.
QWEN2_1_5B = ModelConfig(
    family="qwen2", vocab_size=151_936, hidden_size=1536, intermediate_size=8960, layers=28, heads=12, kv_heads=2,
    head_dim=128, qkv_bias=True, tied_head=True,
)  # fmt: skip


def test_the_parameters_of_qwen2_are_those_that_are_told_of_it() -> None:
    """1.54 billion, of which 1.31 are not the embedding (Qwen2's model card); the tied head is counted once."""
    assert counted_parameters(QWEN2_1_5B) == pytest.approx(1.54e9, rel=0.01)
    assert counted_parameters(QWEN2_1_5B) - 151_936 * 1536 == pytest.approx(1.31e9, rel=0.01)


def test_matrix_products_are_those_that_pytorch_counts() -> None:
    """Of a forward pass, whose third they are; attention is counted apart, as a mask leaves half of it."""
    model = Decoder(SHAPE)
    model.init_weights(0)
    length = 128
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, length, dtype=torch.long), torch.tensor([[0, length]], dtype=torch.int32))
    counts = counter.get_flop_counts()["Global"]
    products = sum(count for name, count in counts.items() if "mm" in str(name) and "scaled" not in str(name))
    assert products / length == 2 * counted_parameters(SHAPE)
    attention = flops_per_token(SHAPE, length) - 6 * counted_parameters(SHAPE)
    # Two products of L x d with d x L by head, of which half is seen: 2 x 2 x H x d x L / 2 forward, three times that.
    assert attention == 3 * SHAPE.layers * 2 * SHAPE.heads * SHAPE.head_dim * length


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H20", 148e12),
        ("Some other device", None),
    ],
)
def test_devices_are_known_by_their_names(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak
