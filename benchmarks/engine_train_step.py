"""Training steps of this engine, as `make cpt` runs them on one device: called by `train_step.py`.

A mode is `default`, or what differs from it, as `weights=bf16/states=int8`:

    attention=auto | varlen | flex | fa3 | reference
    compile=yes | no
    weights=fp32 | bf16, states=fp32 | int8     of the optimizer; all but fp32 need torchao
    recompute=none | selective | all            in place of the case's
    chunk=TOKENS                                of the loss
    keep=auto | yes | no                        gathered weights stay from the forward pass to the backward pass
    split=yes | no                              products may add up parts of themselves in bfloat16
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.distributed.tensor import DTensor

from benchmarks.train_shapes import SHAPES, Work, make_batch, parse_work, time_steps
from pretrain.data.micro_batch import MicroBatch
from pretrain.model.attention import choose_attention
from pretrain.model.model import Decoder
from pretrain.optimizer.optimizer import build_optimizer, named_parameters, set_learning_rate
from pretrain.parallel import sharding
from pretrain.parallel.clipping import clip_gradients
from pretrain.parallel.distributed import process_group
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import DTYPES, build_parts, make_runner
from pretrain.run.run_config import ComputeConfig, OptimizerConfig, ParallelConfig

_MODE = {
    "attention": "auto",
    "compile": "yes",
    "weights": "fp32",
    "states": "fp32",
    "recompute": "",
    "chunk": "",
    "keep": "auto",
    "split": "yes",
}
_SPARE = {"auto": sharding._SPARE, "yes": 1.0, "no": 0.0}


def read_mode(mode: str) -> dict[str, str]:
    """Return all settings of a mode."""
    given = dict(part.split("=", 1) for part in mode.split("/") if part not in ("", "default"))
    if unknown := set(given) - set(_MODE):
        raise ValueError(f"{mode}: there is no {sorted(unknown)}; there are {', '.join(_MODE)}")
    return _MODE | given


def main() -> None:
    """Build the model, and train it for some steps."""
    run(parse_work())


def run(work: Work) -> None:
    """Do the work in this process; prints its figures."""
    mode = read_mode(work.mode)
    sharding._SPARE = _SPARE[mode["keep"]]
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = mode["split"] == "yes"
    with process_group() as device:
        compute = ComputeConfig.model_validate(
            {
                "attention": mode["attention"],
                "compile": mode["compile"] == "yes",
                "dtype": "bf16" if device.type == "cuda" else "fp32",
                "recompute": mode["recompute"] or work.recompute,
                "loss_chunk": int(mode["chunk"]) if mode["chunk"] else None,
            }
        )
        shape, layout = SHAPES[work.shape], Layout(ParallelConfig(), device.type)
        kernel = choose_attention(compute.attention, device, DTYPES[compute.dtype], shape.head_dim)
        parts = build_parts(shape, layout, compute, kernel)
        settings = OptimizerConfig.model_validate({"weights": mode["weights"], "states": mode["states"]})
        for part in parts:
            if settings.weights == "bf16":
                part.to(torch.bfloat16)
            part.to_empty(device=device)
        set_weights(parts)
        runner = make_runner(parts, layout, compute, device)
        optimizer = build_optimizer(named_parameters(parts), settings)
        set_learning_rate(optimizer, 1e-5)

        def step(number: int) -> float:
            batch = make_micro_batch(work, number)
            if device.type == "cuda":
                batch = MicroBatch(*(part.pin_memory() for part in batch))
            loss = runner.forward_backward([batch]).mean()
            clip_gradients(parts, layout, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return float(loss)

        time_steps(work, device, step, type(kernel).__name__.lower())


@torch.no_grad()
def set_weights(parts: Iterable[Decoder]) -> None:
    """Set new weights on the device itself: a billion random numbers of the CPU take longer than the steps."""
    torch.manual_seed(0)
    for part in parts:
        for name, weight in part.named_parameters():
            local = weight.to_local() if isinstance(weight, DTensor) else weight
            if name.endswith("norm.weight"):
                local.fill_(1.0)
            elif name.endswith("bias"):
                local.zero_()
            else:
                local.normal_(0.0, part.config.init_std)


def make_micro_batch(work: Work, number: int) -> MicroBatch:
    """Return the sequences of a step, padded as `make_micro_batches` pads them."""
    tokens, targets, starts = make_batch(work, number)
    most = max(16, 1 << (max(map(len, starts)) - 2).bit_length())
    padded = torch.full((work.batch, most + 1), work.length, dtype=torch.int32)
    for row, own in enumerate(starts):
        padded[row, : len(own)] = torch.from_numpy(own)
    return MicroBatch(torch.from_numpy(tokens), torch.from_numpy(targets), padded, padded[:, :-1] * 0)


if __name__ == "__main__":
    main()
