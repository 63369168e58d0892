"""Checkpoints of LASER's encoders: read without running anything of them, and never larger than their files.

LASER2 is saved as `params`, `model` and `dictionary`; LASER3 as fairseq saves what it trains, `cfg` and `model`, with
the dictionary in a file of its own. What the sizes mean is the networks' matter (`laser_lstm`, `laser_transformer`);
here a file becomes tensors and plain values, and these are checked.
"""

from __future__ import annotations

import argparse
import re
import reprlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from configs.errors import UserError


def load_checkpoint(path: Path) -> dict[str, object]:
    """Return what a checkpoint holds: tensors, plain values and `argparse.Namespace`, of which PyTorch makes no more.

    Raises:
        UserError: the file is missing, damaged, claims more than it holds, or holds other objects.
    """
    _check_archive(path)
    try:
        # fairseq keeps a model's settings in a Namespace: attributes and no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the file is anybody's, and so is what PyTorch raises on it
        raise UserError(f"{path} is no LASER checkpoint, or is damaged: {_load_fault(error)}") from error
    if isinstance(checkpoint, dict):
        return checkpoint
    raise UserError(f"{path} is no LASER checkpoint: it does not hold params, model and dictionary, nor cfg and model")


def _check_archive(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"no LASER checkpoint at {path}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            # PyTorch stores tensors as they are; what is packed could be far larger than the file.
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise UserError(f"{path} is no LASER checkpoint: its tensors claim more than the file holds")
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path} is no LASER checkpoint, or is damaged: {brief(error)}") from error


def _load_fault(error: Exception) -> str:
    message = str(error)
    if found := re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", message):
        return f"it holds {found[1][:100]}, and only tensors, plain values and argparse.Namespace are read"
    # What precedes the fault itself is advice on how to trust the file.
    return brief(message.rpartition("WeightsUnpickler error:")[2])


def read_size(settings: Mapping[str, object], name: str, most: int, path: Path) -> int:
    """Return one of the sizes that a checkpoint states, between 1 and the most it may be."""
    size = settings[name]
    if type(size) is not int or not 1 <= size <= most:
        raise UserError(f"{path}: {name} of the checkpoint is {brief(size)}, not a number from 1 to {most:,}")
    return size


def read_tensors(state: object, path: Path) -> dict[str, object]:
    """Return the entries of a checkpoint that should be tensors, by name; what they are is not looked at."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path}: model of the checkpoint must map names to tensors")
    return dict(state)


def check_tensors(
    state: Mapping[str, object], expected: Mapping[str, tuple[int, ...]], settings: str, path: Path
) -> dict[str, torch.Tensor]:
    """Return the tensors of a network, which must be those of its sizes, finite, and no larger than their file.

    Args:
        state: tensors by name, as they were read.
        expected: shapes by name, as the sizes ask for them.
        settings: what the checkpoint calls its sizes, for messages.
        path: of the checkpoint.

    Raises:
        UserError: one is missing, odd, of another shape or not finite, or all together claim more than the file holds.
    """
    if odd := sorted(state.keys() ^ expected.keys()):
        raise UserError(
            f"{path}: the tensors of the checkpoint are not those its {settings} speak of: {brief(', '.join(odd))}"
        )
    tensors: dict[str, torch.Tensor] = {}
    for name, size in expected.items():
        tensor = state[name]
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or tuple(tensor.shape) != size:
            is_now = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise UserError(f"{path}: {name} of the checkpoint is {is_now}, but must be real numbers of shape {size}")
        tensors[name] = tensor
    # A few stored numbers can be spread over any shape, and one store be shared by many tensors.
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > path.stat().st_size:
        raise UserError(f"{path} is no LASER checkpoint: its tensors claim more than the file holds")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} of the checkpoint holds numbers that are not finite")
    return tensors


def brief(value: object) -> str:
    """Return anything as a short text on one line, however deep or large it is."""
    text = str(value) if isinstance(value, (str, Exception)) else reprlib.repr(value)
    return " ".join(text.split())[:200]
