"""Training steps of transformers with Liger-Kernel, as its users run them: called by `train_step.py`.

Weights in bfloat16, AdamW fused in bfloat16 as well: the least that it can do. `flash` takes FlashAttention over
documents (needs the package flash-attn), `flex` FlexAttention with the mask of the documents, `sdpa` scaled dot-product
attention: with a whole mask where documents are kept apart, else its fast causal kernel.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.train_shapes import SHAPES, make_batch, parse_work, time_steps

_ATTENTION = {"flash": "flash_attention_2", "flex": "flex_attention", "sdpa": "sdpa"}


def main() -> None:
    """Build the model, and train it for some steps."""
    work = parse_work()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = SHAPES[work.shape]
    if device.type == "cuda":
        importlib.import_module("liger_kernel.transformers").apply_liger_kernel_to_qwen2(
            fused_linear_cross_entropy=True, rope=True, rms_norm=True, swiglu=True
        )
    config = Qwen2Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=shape.tied_head,
        use_cache=False,
    )
    torch.manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with torch.device(device):
        model = Qwen2ForCausalLM._from_config(  # type: ignore[no-untyped-call]
            config, attn_implementation=_ATTENTION[work.mode], dtype=dtype
        )
    if work.recompute == "all":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step(number: int) -> float:
        tokens, targets, starts = make_batch(work, number)
        positions = np.stack([_positions(own) for own in starts])
        # Documents in a row of one sequence: how transformers is told of them for flash and flex attention.
        flat = (1, -1) if work.masked else (work.batch, -1)
        inputs, labels, places = (
            torch.from_numpy(part).reshape(flat).to(device, non_blocking=True) for part in (tokens, targets, positions)
        )
        # The targets are those of the tokens themselves; transformers would shift its labels once more.
        loss = model(input_ids=inputs, position_ids=places, labels=labels, shift_labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss)

    time_steps(work, device, step, work.mode)


def _positions(starts: NDArray[np.int32]) -> NDArray[np.int64]:
    places = np.arange(starts[-1], dtype=np.int64)
    return places - np.repeat(starts[:-1], np.diff(starts))


if __name__ == "__main__":
    main()
