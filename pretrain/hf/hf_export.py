"""A model -> a folder of Hugging Face that transformers and other engines load.

Written aside and renamed, so that a folder that is there is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from configs.errors import UserError
from curation.store import sync_path
from pretrain.hf.hf_config import CONFIG, config_json
from pretrain.hf.hf_files import INDEX, WEIGHTS
from pretrain.hf.hf_names import hf_name
from pretrain.model.model import Decoder, ModelConfig

# As transformers cuts its own: small enough for file systems and downloads.
SHARD_BYTES = 5 * 10**9


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of a model by our names, in their order; nothing of that size is made."""
    with torch.device("meta"):
        model = Decoder(config)
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def write_model(
    state: Iterable[tuple[str, Tensor]],
    config: ModelConfig,
    folder: Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES,
    extra_files: Sequence[Path] = (),
    token_ids: Mapping[str, object] | None = None,
    replace: bool = False,
) -> None:
    """Write a folder of Hugging Face.

    Args:
        state: names, as `Decoder` has them, and whole weights; in the order of `weight_shapes` no more than one shard
            of them is held, in others more.
        config: the shape.
        folder: to be made.
        dtype: of the weights in the files.
        shard_bytes: of a file at most, where it has more than one tensor.
        extra_files: copied beside: tokenizer.json and the like.
        token_ids: of special tokens, see `hf_config.TOKEN_IDS`.
        replace: whether the folder may be there already; it is replaced then.

    Raises:
        UserError: the folder is there, or cannot be written.
        ValueError: a weight is missing, there twice, unknown or of another shape.
    """
    if folder.exists() and not replace:
        raise UserError(f"{folder} is there already: remove it, or export to another folder")
    try:
        with _aside(folder) as aside:
            _write_weights(state, config, aside, dtype, shard_bytes)
            text = config_json(config, str(dtype).removeprefix("torch."), token_ids or {})
            (aside / CONFIG).write_text(text, encoding="utf-8")
            for path in extra_files:
                if (aside / path.name).exists():
                    raise ValueError(f"{path.name} is written by the export itself")
                shutil.copyfile(path, aside / path.name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write the model to {folder}: {error}") from error


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes the place of `folder` when all went well; leftovers are removed."""
    aside, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "replaced"))
    _clear(folder, aside, old)
    aside.mkdir(parents=True)
    try:
        yield aside
        for path in [*aside.iterdir(), aside]:
            sync_path(path)
        if folder.exists():
            os.rename(folder, old)
        os.rename(aside, folder)
        sync_path(folder.parent)
    finally:
        _clear(folder, aside, old)


def _clear(folder: Path, aside: Path, old: Path) -> None:
    """Remove what was half-written, and what was replaced; where nothing took its place, that is put back."""
    if old.exists() and not folder.exists():
        os.rename(old, folder)
    for rest in (aside, old):
        shutil.rmtree(rest, ignore_errors=True)


def _write_weights(
    state: Iterable[tuple[str, Tensor]], config: ModelConfig, folder: Path, dtype: torch.dtype, shard_bytes: int
) -> None:
    shapes = weight_shapes(config)
    shards = _shards(shapes, dtype.itemsize, shard_bytes)
    place = {name: number for number, names in enumerate(shards) for name in names}
    files = [WEIGHTS] if len(shards) == 1 else [_shard_name(number, len(shards)) for number in range(len(shards))]
    held: list[dict[str, Tensor]] = [{} for _ in shards]
    seen = set[str]()
    for name, weight in state:
        if shapes.get(name) != tuple(weight.shape) or name in seen:
            wanted = "no weight of it" if name not in shapes else f"of shape {list(shapes[name])}, once"
            raise ValueError(f"the model has {name} {wanted}, not with the shape {list(weight.shape)}")
        seen.add(name)
        number = place[name]
        held[number][hf_name(name)] = weight.detach().to("cpu", dtype).contiguous()
        if len(held[number]) == len(shards[number]):
            save_file(held[number], folder / files[number], metadata={"format": "pt"})
            held[number] = {}
    if missing := shapes.keys() - seen:
        raise ValueError(f"the weight {min(missing)} is missing")
    if len(shards) > 1:
        total = sum(_elements(shape) for shape in shapes.values()) * dtype.itemsize
        places = {hf_name(name): files[number] for name, number in place.items()}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(shapes: Mapping[str, tuple[int, ...]], item_bytes: int, shard_bytes: int) -> list[list[str]]:
    """Return the names of the weights of each file: one after the other, as many as fit, one at least."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, shape in shapes.items():
        size = _elements(shape) * item_bytes
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05}-of-{count:05}.safetensors"


def _elements(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
