"""The tensors in a folder of Hugging Face: `model.safetensors`, or shards with an index.

Only safetensors are read: pickles run code. Files are memory-mapped, so that of a checkpoint no more is in memory than
the tensor that is being read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from configs.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_MAX_INDEX_BYTES = 64 << 20


class StoredTensor(NamedTuple):
    """Where a tensor is stored, its shape and its dtype, as safetensors names it: BF16."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


def list_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a checkpoint by name; only the heads of files are read.

    Raises:
        UserError: a file is missing or damaged, or the index does not fit the files.
    """
    if (folder / WEIGHTS).exists():
        return _in_file(folder / WEIGHTS)
    if not (folder / INDEX).exists():
        pickled = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
        hint = f"; {pickled[0]} is a pickle, which can run code, and is not read" if pickled else ""
        raise UserError(
            f"no {WEIGHTS} and no {INDEX} in {folder}{hint}: put the checkpoint's *.safetensors there, for example "
            f"with `hf download Qwen/Qwen2-1.5B --local-dir {folder}`"
        )
    places = _read_index(folder / INDEX)
    found: dict[str, StoredTensor] = {}
    for name in sorted(set(places.values())):
        for tensor, stored in _in_file(folder / name).items():
            if places.get(tensor) != name:
                wanted = places.get(tensor, "in no file")
                raise UserError(f"{folder / INDEX}: {tensor} is in {name}, and by the index {wanted}")
            found[tensor] = stored
    if absent := sorted(places.keys() - found.keys()):
        raise UserError(f"{folder / INDEX}: {absent[0]} is not in {places[absent[0]]}")
    return found


def read_tensors(wanted: Iterable[tuple[str, StoredTensor]]) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors by name, file by file: views of the files in memory.

    Raises:
        UserError: a file cannot be read.
    """
    by_file: dict[Path, list[str]] = {}
    for name, stored in wanted:
        by_file.setdefault(stored.path, []).append(name)
    for path, names in sorted(by_file.items()):
        try:
            with safe_open(path, framework="pt") as file:
                for name in names:
                    yield name, file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error


def _in_file(path: Path) -> dict[str, StoredTensor]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return {
                name: StoredTensor(path, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()
            }
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: the index names it; download it again") from error
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is cut short or damaged, download it again: {' '.join(str(error).split())}")


def _read_index(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise UserError(f"{path} has more than {_MAX_INDEX_BYTES} bytes: this is no index")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {' '.join(str(error).split())}") from error
    places = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(places, dict) or not places:
        raise UserError(f"{path} has no weight_map, which says in which file each tensor is")
    for tensor, name in places.items():
        # The name of a file, and no path: what an index says is not let out of its folder.
        if not isinstance(name, str) or not name.endswith(".safetensors") or "\0" in name or Path(name).name != name:
            raise UserError(f"{path}: {tensor} is in {name!r}, which is no *.safetensors file of this folder")
    return places
