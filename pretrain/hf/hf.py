"""A folder of Hugging Face <-> a model: its shape (`hf_config.py`), its weights, and the way back (`hf_export.py`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from configs.errors import UserError
from pretrain.hf.hf_config import read_config as read_config
from pretrain.hf.hf_config import read_token_ids as read_token_ids
from pretrain.hf.hf_export import weight_shapes
from pretrain.hf.hf_export import write_model as write_model
from pretrain.hf.hf_files import StoredTensor, list_tensors, read_tensors
from pretrain.hf.hf_names import hf_name, is_derived, plain_name
from pretrain.model.model import Decoder, ModelConfig
from pretrain.parallel.placed import copy_whole

# Others are quantised: their numbers are no weights without scales, which stand elsewhere.
_DTYPES = ("BF16", "F16", "F32", "F64")
_ROWS = 4096


def load_weights(model: Decoder, folder: Path) -> None:
    """Set the weights of a model, or of the part of it that is here, to those of a checkpoint.

    The whole checkpoint is checked on each rank, so that all of them fail on a mistake. Weights may be spread over a
    mesh of devices; nothing is sent.

    Raises:
        UserError: tensors are missing, too many or of another shape; files are missing or damaged.
    """
    stored = _checked(model.config, folder)
    wanted = {hf_name(name): weight for name, weight in model.named_parameters()}
    for name, whole in read_tensors((name, stored[name]) for name in wanted):
        copy_whole(wanted[name], whole)


def whole_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield names and weights, whole, on the CPU; where they are spread over ranks, all ranks have to iterate."""
    for name, weight in model.named_parameters():
        whole = weight.detach()
        yield plain_name(name), (whole.full_tensor() if isinstance(whole, DTensor) else whole).cpu()


def _checked(config: ModelConfig, folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a checkpoint, of which there are those that the model has, of their shapes."""
    shapes = {hf_name(name): shape for name, shape in weight_shapes(config).items()}
    stored = {name: tensor for name, tensor in list_tensors(folder).items() if not is_derived(name)}
    if config.tied_head and "lm_head.weight" in stored:
        _check_tied(stored, folder)
        del stored["lm_head.weight"]
    if missing := shapes.keys() - stored.keys():
        hint = "; tie_word_embeddings in config.json is false" if "lm_head.weight" in missing else ""
        raise UserError(f"{folder} has no tensor {_some(missing)}, which the model of config.json has{hint}")
    if surplus := stored.keys() - shapes.keys():
        raise UserError(f"{folder} has the tensor {_some(surplus)}, which the model of config.json has not")
    for name, tensor in sorted(stored.items()):
        if tensor.shape != shapes[name]:
            raise UserError(
                f"{tensor.path}: {name} has the shape {list(tensor.shape)}, and by config.json {list(shapes[name])}"
            )
        if tensor.dtype not in _DTYPES:
            raise UserError(f"{tensor.path}: {name} has the dtype {tensor.dtype}: only {', '.join(_DTYPES)} are read")
    return stored


def _check_tied(stored: Mapping[str, StoredTensor], folder: Path) -> None:
    """Make sure that a head that is stored beside the embedding is the embedding."""
    embed = stored.get("model.embed_tokens.weight")
    if embed is None:
        return  # it is missing, and told so
    pair = [(name, stored[name]) for name in ("model.embed_tokens.weight", "lm_head.weight")]
    # Both are views of files in memory: blocks of rows are compared, so that no page of them has to stay.
    first, second = (tensor for _, tensor in read_tensors(pair))
    same = first.shape == second.shape and all(
        torch.equal(first[row : row + _ROWS], second[row : row + _ROWS]) for row in range(0, len(first), _ROWS)
    )
    if not same:
        raise UserError(
            f"{folder}: lm_head.weight differs from model.embed_tokens.weight, but tie_word_embeddings in config.json "
            "is true: set it to false to train the head by itself, or remove lm_head.weight"
        )


def _some(names: Collection[str]) -> str:
    """Return the first of some names, and how many others there are."""
    others = f" (and {len(names) - 1} others)" if len(names) > 1 else ""
    return f"{min(names)}{others}"
