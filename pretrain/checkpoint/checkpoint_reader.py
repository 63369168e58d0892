"""Reading and writing of tensors with torch.distributed.checkpoint, such that a checkpoint from elsewhere runs no code.

What its tensors are is a pickle, `.metadata`: it is read with a list of the classes that may be in it. Everything else
torch reads with `weights_only`, save for values that are no tensors, which are refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from pretrain.checkpoint.checkpoint_files import METADATA_FILE, StoredFile
from pretrain.parallel.together import one_line

_ALLOWED = {
    (f"torch.distributed.checkpoint.{module}", name)
    for module, name in (
        ("metadata", "Metadata"),
        ("metadata", "TensorStorageMetadata"),
        ("metadata", "ChunkStorageMetadata"),
        ("metadata", "TensorProperties"),
        ("metadata", "_MEM_FORMAT_ENCODING"),
        ("metadata", "MetadataIndex"),
        ("metadata", "StorageMeta"),
        ("filesystem", "_StorageInfo"),
    )
} | {("torch", "Size"), ("torch.serialization", "_get_layout")}


class MetadataUnpickler(pickle.Unpickler):
    """Reads the metadata of a checkpoint, and refuses all classes and functions that do not belong there."""

    def find_class(self, module_name: str, global_name: str) -> object:
        """Return one of the allowed classes, or a type of numbers."""
        if module_name == "torch" and isinstance(found := getattr(torch, global_name, None), torch.dtype):
            return found
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which a checkpoint has no use for")
        return super().find_class(module_name, global_name)


def read_metadata(folder: Path, files: Mapping[str, StoredFile]) -> Metadata:
    """Read and check what the tensors of a checkpoint are, and where.

    Args:
        folder: of the checkpoint.
        files: those that belong to it.

    Raises:
        ValueError: it is damaged or asks for what does not belong to a checkpoint.
    """
    try:
        with (folder / METADATA_FILE).open("rb") as file:
            return _checked(MetadataUnpickler(file).load(), files)
    except Exception as error:  # a damaged pickle may raise any
        raise ValueError(f"{METADATA_FILE} cannot be read: {one_line(error)}") from error


class CheckedReader(FileSystemReader):
    """Reads tensors of a checkpoint whose metadata was checked."""

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        """Take what `read_metadata` returned."""
        super().__init__(folder)
        self._metadata = metadata

    def read_metadata(self) -> Metadata:
        """Return the metadata."""
        return self._metadata


class PlainWriter(FileSystemWriter):
    """Writes tensors, a file a rank, synced; the bytes depend on the tensors alone."""

    def storage_meta(self) -> StorageMeta:
        """Return nothing of path and time."""
        return StorageMeta()

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this rank's file; an error says in one line what the system said."""
        try:
            return super().write_data(plan, planner)
        except Exception as error:
            # torch's own error of a full disk tells of its stream, and causes are lost between ranks.
            raise OSError(one_line(error)) from error


def _checked(metadata: object, files: Mapping[str, StoredFile]) -> Metadata:
    if not isinstance(metadata, Metadata):
        raise TypeError("it is something else")
    for name, tensor in metadata.state_dict_metadata.items():
        if not isinstance(name, str) or not _is_tensor(tensor):
            raise TypeError(f"{name!r} is no tensor")
    for index, place in metadata.storage_data.items():
        if not isinstance(index, MetadataIndex) or not _is_inside(place, files):
            raise TypeError(f"{index!r} is not in a file of the checkpoint")
    return metadata


def _is_tensor(stored: object) -> bool:
    return (
        isinstance(stored, TensorStorageMetadata)
        and isinstance(stored.size, torch.Size)
        and isinstance(stored.properties, TensorProperties)
        and isinstance(stored.chunks, list)
        and all(isinstance(chunk, ChunkStorageMetadata) for chunk in stored.chunks)
    )


def _is_inside(place: object, files: Mapping[str, StoredFile]) -> bool:
    if not isinstance(place, _StorageInfo) or getattr(place, "transform_descriptors", None):
        return False
    name, first, length = place.relative_path, place.offset, place.length
    if not (isinstance(name, str) and isinstance(first, int) and isinstance(length, int) and name in files):
        return False
    return 0 <= first <= first + length <= files[name].bytes
