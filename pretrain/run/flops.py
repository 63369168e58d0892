"""Model FLOPs utilisation (MFU): what a step computes of the model, over what the devices could have.

A token costs 6 x (parameters without the input embedding, with the head) for the matrix products of the forward and
the backward pass, and 6 x layers x (heads x head size) x L for attention, of which a causal mask leaves half (A.
Chowdhery et al., PaLM, arXiv 2204.02311, appendix B, counts it whole). Activations that are computed again are not
counted. L is the length of a sequence, whatever documents are in it: masked documents cost less, so MFU at masked ones
is an upper bound of what is computed.
"""

from __future__ import annotations

from pretrain.model.model import ModelConfig

# Dense bfloat16 FLOPs a second, by a part of the device's name: data sheets of NVIDIA, without sparsity.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H20": 148e12,
    "H800": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "B200": 2250e12,
}


def counted_parameters(config: ModelConfig) -> int:
    """Return the parameters that a token is multiplied with: the head is, the input embedding is looked up."""
    size, width = config.hidden_size, config.head_dim
    attention = size * width * (2 * config.heads + 2 * config.kv_heads)
    return config.layers * (attention + 3 * size * config.intermediate_size) + size * config.vocab_size


def flops_per_token(config: ModelConfig, length: int) -> float:
    """Return the FLOPs of a token in a sequence of `length`, forward and backward."""
    attention = 6 * config.layers * config.heads * config.head_dim * length
    return 6.0 * counted_parameters(config) + attention


def peak_flops(device: str) -> float | None:
    """Return the bfloat16 FLOPs a second of a device by its name; None if it is not known."""
    return next((peak for name, peak in PEAK_FLOPS.items() if all(part in device for part in name.split())), None)
