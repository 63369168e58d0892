"""What a checkpoint holds, by name: `model.<parameter>`, `optimizer.<parameter>.<moment>`, `generator.<rank>.<device>`.

All are tensors. Those of the model and of the optimizer share the memory of what is trained, and each rank has its part
of them: reading a checkpoint into them sets them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from configs.errors import UserError
from pretrain.checkpoint.checkpoint_files import CheckpointRecord
from pretrain.checkpoint.checkpoint_reader import CheckedReader, read_metadata
from pretrain.optimizer.optimizer import create_states, named_parameters, state_tensors
from pretrain.parallel.sharding import reshard
from pretrain.parallel.together import RankError, one_line, together

_MODEL = "model."

# A process without a group reads and writes alone, as it should.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


def weights(parts: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Return the parameters of the parts of a model that this rank holds."""
    for part in parts:
        reshard(part)
    return {f"{_MODEL}{name}": weight.detach() for name, weight in named_parameters(parts).items()}


def states(parts: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the states of the optimizer; those that there are not yet are created."""
    create_states(optimizer)
    return {
        f"optimizer.{name}.{kind}": tensor.detach()
        for name, weight in named_parameters(parts).items()
        for kind, tensor in state_tensors(optimizer, weight).items()
    }


def generators(rank: int) -> dict[str, Tensor]:
    """Return the states of torch's random number generators in this process."""
    found = {f"generator.{rank}.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found[f"generator.{rank}.cuda"] = torch.cuda.get_rng_state()
    return found


def set_generators(found: Mapping[str, Tensor], rank: int) -> None:
    """Set the states of torch's random number generators in this process."""
    torch.set_rng_state(found[f"generator.{rank}.cpu"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(found[f"generator.{rank}.cuda"])


def stored_shapes(path: Path, record: CheckpointRecord, group: dist.ProcessGroup | None) -> dict[str, torch.Size]:
    """Return the shapes of a checkpoint's tensors by name; all ranks ask.

    Raises:
        UserError: its metadata is damaged.
    """
    own: list[Metadata] = []
    try:
        together(group, lambda: own.append(read_metadata(path, record.files)))
    except RankError as error:
        raise UserError(f"the checkpoint {path} cannot be used: {error}") from error
    tensors = own[0].state_dict_metadata.items()
    return {name: one.size for name, one in tensors if isinstance(one, TensorStorageMetadata)}


def read_tensors(
    path: Path,
    record: CheckpointRecord,
    tensors: Mapping[str, Tensor],
    group: dist.ProcessGroup | None,
    optional: Mapping[str, Tensor] | None = None,
) -> bool:
    """Read a checkpoint into tensors; all ranks do.

    Args:
        path: of the checkpoint.
        record: of what is in it.
        tensors: by name; a rank has its part of them.
        group: the ranks, on CPUs; None is this process alone.
        optional: tensors that stay as they are where the checkpoint does not have all of them.

    Returns:
        Whether the optional ones were read.

    Raises:
        UserError: it is damaged, does not have a tensor, or has it in another shape, or the model lacks one of its own.
    """
    wanted, own = dict(tensors), list[Metadata]()

    def check(names: set[str]) -> None:
        metadata = read_metadata(path, record.files)
        if optional is not None and optional.keys() <= metadata.state_dict_metadata.keys():
            wanted.update(optional)
        _check(metadata, wanted, names)
        own.append(metadata)

    try:
        names = set().union(*together(group, lambda: list(tensors)))
        together(group, lambda: check(names))
        load(wanted, storage_reader=CheckedReader(path, own[0]), process_group=group)
        return len(wanted) > len(tensors)
    except RankError as error:
        raise UserError(f"the checkpoint {path} cannot be used: {error}") from error
    except CheckpointException as error:
        first = one_line(next(iter(error.failures.values()))[0])
        raise UserError(f"the checkpoint {path} cannot be read: {first}") from error


def _check(metadata: Metadata, tensors: Mapping[str, Tensor], names: set[str]) -> None:
    """Compare what is asked for, here `tensors`, on all ranks `names`, with what is there."""
    stored = {name: one for name, one in metadata.state_dict_metadata.items() if isinstance(one, TensorStorageMetadata)}
    if missing := sorted(tensors.keys() - stored.keys()):
        raise ValueError(f"it has no {missing[0]}{_more(missing)}: it is of another model or optimizer")
    if surplus := sorted(name for name in stored.keys() - names if name.startswith(_MODEL)):
        raise ValueError(f"it has {surplus[0]}{_more(surplus)}, which the model has not")
    for name, tensor in tensors.items():
        if stored[name].size != tensor.shape:
            raise ValueError(f"its {name} is {tuple(stored[name].size)}, here it is {tuple(tensor.shape)}")


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""
