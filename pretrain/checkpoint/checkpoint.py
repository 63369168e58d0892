"""Checkpoints of a run: weights, states of the optimizer and of generators, and where the run stands.

Each rank writes its part, with torch.distributed.checkpoint; another number of ranks, or ranks that share the model in
another way, can read it. While it is written, training goes on with the next steps.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_saver import AsyncSaveResponse, async_save, save

from configs.errors import UserError
from pretrain.checkpoint.checkpoint_blocks import longer_blocks, spread_scales, take_shorter_blocks
from pretrain.checkpoint.checkpoint_files import (
    METADATA_FILE,
    RunState,
    StoredFile,
    commit,
    find_damage,
    folder_name,
    list_checkpoints,
    newest_sound,
    partial_folder,
    prune,
    read_record,
    remove_leftovers,
    store_file,
)
from pretrain.checkpoint.checkpoint_reader import PlainWriter
from pretrain.checkpoint.checkpoint_tensors import (
    generators,
    read_tensors,
    set_generators,
    states,
    stored_shapes,
    weights,
)
from pretrain.parallel.together import RankError, one_line, together


class CheckpointError(Exception):
    """A checkpoint could not be written; the message is one line."""


class Checkpointer:
    """Writes and reads the checkpoints of a run. All ranks make the same calls in the same order.

    Writing goes through a process group of its own: its collectives are not mixed up with those of training.
    """

    def __init__(self, folder: Path, keep: int | None, background: bool, tell: Callable[[str], None]) -> None:
        """Make the folder ready: what a killed run left half-written there goes.

        Args:
            folder: of the checkpoints, on a file system that all machines share.
            keep: how many stay, beside the last of each stage; None is all.
            background: whether training goes on while one is written, from a copy in host memory.
            tell: is told, on one rank, about damaged checkpoints.

        Raises:
            UserError: the folder cannot be made or changed.
        """
        self.folder, self._keep, self._background = folder, keep, background
        self._group = dist.new_group(backend="gloo") if dist.is_initialized() else None
        self._rank = dist.get_rank() if dist.is_initialized() else 0
        self._ranks = dist.get_world_size() if dist.is_initialized() else 1
        self._tell = tell
        on_gpu = torch.cuda.is_available()
        self._stager = DefaultStager(StagingOptions(on_gpu, False, False, on_gpu))
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        try:
            together(self._group, lambda: self._on_first(self._make_ready))
        except RankError as error:
            raise UserError(f"{folder} cannot be used for checkpoints: {error}") from error

    def save(self, state: RunState, parts: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint; the one before is waited for.

        Args:
            state: of the run.
            parts: of the model that this rank holds.
            optimizer: of all of them.

        Raises:
            CheckpointError: this one, or the one before, could not be written; earlier ones stay as they are.
        """
        self.wait()
        tensors = weights(parts) | states(parts, optimizer) | generators(self._rank)
        partial = partial_folder(self.folder / folder_name(state.step))
        writer, group = PlainWriter(partial), self._group
        if self._background:
            started = async_save(tensors, storage_writer=writer, process_group=group, async_stager=self._stager)
            written = started.upload_completion if isinstance(started, AsyncSaveResponse) else started
            self._pending = self._writer.submit(self._finish, written.result, partial, state)
        else:
            self._finish(lambda: save(tensors, storage_writer=writer, process_group=group), partial, state)

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk.

        Raises:
            CheckpointError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    @property
    def failed(self) -> bool:
        """Whether the last checkpoint could not be written, as far as this rank knows: `wait` will raise its error."""
        return self._pending is not None and self._pending.done() and self._pending.exception() is not None

    def close(self) -> None:
        """Wait, and end.

        Raises:
            CheckpointError: the last checkpoint could not be written.
        """
        try:
            self.wait()
        finally:
            self._writer.shutdown()
            self._stager.close()

    def latest(self) -> Path | None:
        """Return the newest sound checkpoint, or None where there is none at all; ranks share the reading.

        Raises:
            UserError: there are checkpoints, and all are damaged.
        """
        paths = together(self._group, lambda: list_checkpoints(self.folder))[0]
        tell = self._tell if self._rank == 0 else lambda _: None
        return newest_sound(paths, tell, lambda path: _damage(path, self._group))

    def load(
        self, path: Path, parts: Sequence[nn.Module], optimizer: torch.optim.Optimizer, layout: Mapping[str, int]
    ) -> RunState:
        """Read a checkpoint into a model and its optimizer.

        Generators go on where they stood, if ranks share the work as they did then, and on devices of the same kind;
        else they are seeded by the step.

        Args:
            path: of the checkpoint.
            parts: of the model that this rank holds.
            optimizer: of all of them.
            layout: how many ranks share what.

        Returns:
            Where the run stood.

        Raises:
            UserError: the checkpoint is damaged, or of another model or optimizer.
        """
        if (wrong := _damage(path, self._group, checksums=False)) is not None:
            raise UserError(f"the checkpoint {path} is damaged: {wrong}")
        record = read_record(path)
        own = generators(self._rank) if dict(layout) == record.state.layout else {}
        stored = stored_shapes(path, record, self._group)
        take_shorter_blocks(parts, optimizer, stored)
        tensors = weights(parts) | states(parts, optimizer)
        longer = longer_blocks(tensors, stored)
        has_generators = read_tensors(path, record, tensors | longer, self._group, own)
        spread_scales(tensors, longer)
        if has_generators:
            set_generators(own, self._rank)
        else:
            torch.manual_seed(record.state.step)
        return record.state

    def _make_ready(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)

    def _finish(self, written: Callable[[], object], partial: Path, state: RunState) -> None:
        """Wait until all ranks have written, and commit; in the background, if saving is there."""
        try:
            written()
            stored: dict[str, StoredFile] = {}
            for files in together(self._group, lambda: self._store_files(partial)):
                stored |= files
            together(self._group, lambda: self._on_first(lambda: commit(partial, state, stored)))
        except (Exception, CheckpointException) as error:
            if self._rank == 0:
                shutil.rmtree(partial, ignore_errors=True)
            there = ", ".join(path.name for path in list_checkpoints(self.folder)) or "no checkpoint"
            raise CheckpointError(
                f"the checkpoint of step {state.step:,} was not written: {_reason(error)}; {self.folder} has {there}"
            ) from error
        try:
            together(self._group, lambda: self._on_first(lambda: prune(self.folder, self._keep, state.step)))
        except RankError as error:
            raise CheckpointError(
                f"the checkpoint of step {state.step:,} was written, but an older one cannot be removed: {error}"
            ) from error

    def _store_files(self, partial: Path) -> dict[str, StoredFile]:
        paths = sorted(partial.glob(f"__{self._rank}_*"))
        if self._rank == 0:
            paths.append(partial / METADATA_FILE)
        return {path.name: store_file(path) for path in paths}

    def _on_first(self, task: Callable[[], object]) -> None:
        if self._rank == 0:
            task()


def load_weights(path: Path, parts: Sequence[nn.Module]) -> RunState:
    """Read only the weights of a checkpoint, of this run or of another one; all ranks do.

    Raises:
        UserError: the checkpoint is damaged, or of another model.
    """
    group = dist.new_group(backend="gloo") if dist.is_initialized() else None
    try:
        # Under any name: it may be a copy that somebody keeps.
        if (wrong := _damage(path, group, any_name=True)) is not None:
            raise UserError(f"the checkpoint {path} is damaged: {wrong}")
        record = read_record(path)
        read_tensors(path, record, weights(parts), group)
        return record.state
    finally:
        if group is not None:
            dist.destroy_process_group(group)


def _damage(path: Path, group: dist.ProcessGroup | None, checksums: bool = True, any_name: bool = False) -> str | None:
    """Return what some rank found wrong with a checkpoint, the same on all ranks, which share the reading."""
    rank, ranks = (0, 1) if group is None else (dist.get_rank(group), dist.get_world_size(group))
    found = together(group, lambda: find_damage(path, checksums, rank, ranks, any_name))
    return next((wrong for wrong in found if wrong is not None), None)


def _reason(error: BaseException) -> str:
    if isinstance(error, CheckpointException) and error.failures:
        rank, (first, _) = next(iter(error.failures.items()))
        return f"{one_line(first)} (rank {rank})" if dist.is_initialized() else one_line(first)
    return one_line(error)
