"""The trained model as a folder of Hugging Face, with its tokenizer: `runs/<name>/hf/`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import xxhash
from torch import Tensor

from mixing.mixture.manifest import token_folder
from mixing.tokens.folder import TOKENIZER_FOLDER
from mixing.tokens.tokenizer_file import TOKENIZER_FILE, find_tokenizer
from pretrain.checkpoint.checkpoint_files import RUN_FILE
from pretrain.hf.hf import whole_weights
from pretrain.hf.hf_config import CONFIG, read_token_ids
from pretrain.hf.hf_export import write_model
from pretrain.model.model import Decoder
from pretrain.parallel.layout import Layout
from pretrain.run.run_setup import RunPlan

EXPORT = "hf"
# In the folder: which checkpoint the weights are those of.
_ORIGIN = "training.json"
# Of a model's folder, beside tokenizer.json: what transformers reads a tokenizer from.
_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")


def is_exported(plan: RunPlan, checkpoint: Path) -> bool:
    """Return whether the folder is there, and of these very weights: those of a checkpoint."""
    try:
        return (plan.folder / EXPORT / _ORIGIN).read_text(encoding="utf-8") == _origin(plan, checkpoint)
    except (OSError, ValueError):
        return False


def export_model(
    plan: RunPlan, parts: Sequence[Decoder], layout: Layout, checkpoint: Path, tell: Callable[[str], None]
) -> None:
    """Write the model, in bfloat16 or, where layers compute in float32, in that; all ranks take part.

    Args:
        plan: of the run.
        parts: of the model that this rank holds.
        layout: of the ranks.
        checkpoint: which has these weights; the export names it.
        tell: is told, on one rank, where the model is.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = plan.folder / EXPORT
    weights = _all_weights(parts, layout)
    if dist.get_rank() == 0:
        source = plan.config.model.path
        own = source if source is not None and (source / CONFIG).is_file() else None
        ids = read_token_ids(own) if own is not None else {"eos_token_id": plan.manifest.tokenizer.eod_id}
        with tempfile.TemporaryDirectory() as aside:
            origin = Path(aside) / _ORIGIN
            origin.write_text(_origin(plan, checkpoint), encoding="utf-8")
            files = [*_tokenizer_files(plan, own), origin]
            write_model(weights, plan.model, folder, dtype=_dtype(plan), extra_files=files, token_ids=ids, replace=True)
        tell(f"{folder}: the model for Hugging Face")
    else:
        for _ in weights:
            pass
    dist.barrier()


def _origin(plan: RunPlan, checkpoint: Path) -> str:
    """Return what the export says of where it is from."""
    facts = {
        "run": plan.config.name,
        "checkpoint": checkpoint.name,
        "checksum": xxhash.xxh3_128_hexdigest((checkpoint / RUN_FILE).read_bytes()),
        "mixture": plan.manifest.name,
        "mixture_checksum": plan.checksum,
        "dtype": str(_dtype(plan)),
    }
    return json.dumps(facts, indent=1) + "\n"


def _dtype(plan: RunPlan) -> torch.dtype:
    return torch.float32 if plan.config.compute.dtype == "fp32" else torch.bfloat16


def _all_weights(parts: Sequence[Decoder], layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """Yield all weights, whole, on the CPU; the stages of a pipeline send theirs to each other."""
    own = (weight for part in parts for weight in whole_weights(part))
    if layout.sizes.pipeline == 1:
        yield from own
        return
    group = layout.mesh["pipeline"].get_group()
    for rank in range(layout.sizes.pipeline):
        source = dist.get_global_rank(group, rank)
        mine = dist.get_rank() == source
        while True:
            sent: list[tuple[str, Tensor] | None] = [next(own, None) if mine else None]
            dist.broadcast_object_list(sent, src=source, group=group)
            if sent[0] is None:
                break
            yield sent[0]


def _tokenizer_files(plan: RunPlan, own: Path | None) -> list[Path]:
    """Return the tokenizer's files: those of the model, or the one that the tokens were made with."""
    if own is not None and (own / TOKENIZER_FILE).is_file():
        return [own / name for name in (TOKENIZER_FILE, *_TOKENIZER_FILES) if (own / name).is_file()]
    stage = plan.stages[0]
    folder = token_folder(plan.mixture, stage.sources[0].folder).parent / TOKENIZER_FOLDER
    kept = folder / TOKENIZER_FILE
    if kept.is_file() and find_tokenizer(kept, None).sha256 == plan.manifest.tokenizer.sha256:
        return [kept]
    return []
