"""Checkpoints on disk: a folder `step_00000100` is whole or not there, and what became damaged later is found.

A checkpoint is written as `.step_00000100.partial` and renamed once it is complete and synced. `run.json` in it says
what else there is, with sizes and checksums, and has its own checksum, too.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import xxhash
from pydantic import Field, JsonValue, ValidationError

from configs.errors import UserError
from configs.load import StrictModel
from curation.store import sync_path, write_text_atomically
from mixing.tokens.token_source import file_checksum
from pretrain.model.model_config import ModelConfig

RUN_FILE = "run.json"
METADATA_FILE = ".metadata"
_FOLDER = re.compile(r"step_(\d{8,})")
_LEFTOVER = re.compile(r"\.(step_\d{8,})\.(partial|replaced)")
_DATA_FILE = r"(__\d+_\d+\.distcp|\.metadata)"

Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]


class RunState(StrictModel):
    """Where a run stands, beside its weights.

    Attributes:
        step, tokens: of the run so far.
        stage, stage_index, stage_tokens: the stage that is trained, and its tokens so far.
        stage_end: whether it is the last checkpoint of the stage, which stays.
        stream: state of the token stream; None at the start of a stage.
        manifest: checksum of the mixture's manifest.
        config: of the run.
        model: its shape.
        first_evaluation: before the first step; None where there was none.
        versions: of Python and of libraries.
        layout: how many ranks share what; the product is the number of ranks.
    """

    step: Count
    tokens: Count
    stage: str
    stage_index: Count
    stage_tokens: Count
    stage_end: bool = False
    stream: dict[str, JsonValue] | None = None
    manifest: str
    config: dict[str, JsonValue]
    model: ModelConfig
    first_evaluation: JsonValue = None
    versions: dict[str, str]
    layout: dict[str, Size]


class StoredFile(StrictModel):
    """Size in bytes and xxh3_128 of a file."""

    bytes: Count
    checksum: str


class CheckpointRecord(StrictModel):
    """What `run.json` holds: the state of the run, and the files beside it by name."""

    state: RunState
    files: dict[Annotated[str, Field(pattern=f"^{_DATA_FILE}$")], StoredFile]

    def to_json(self) -> str:
        """Return the text of the file, with a checksum of the rest."""
        plain = self.model_dump(mode="json")
        return json.dumps({"checksum": _checksum(plain), **plain}, sort_keys=True, indent=1)


def read_record(folder: Path) -> CheckpointRecord:
    """Read `run.json` of a checkpoint.

    Raises:
        ValueError: it is missing or damaged; the message says how.
    """
    try:
        plain = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{RUN_FILE} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{RUN_FILE} is not JSON") from error
    if not isinstance(plain, dict) or plain.pop("checksum", None) != _checksum(plain):
        raise ValueError(f"{RUN_FILE} has another checksum than was written")
    try:
        return CheckpointRecord.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{RUN_FILE}: {place}: {first['msg']}") from error


def folder_name(step: int) -> str:
    """Return the name of the checkpoint after a step."""
    return f"step_{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, sound or not, in the order of their steps."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [folder / name for name in sorted(filter(_FOLDER.fullmatch, names), key=lambda name: int(name[5:]))]


def store_file(path: Path) -> StoredFile:
    """Return size and checksum of a file."""
    return StoredFile(bytes=path.stat().st_size, checksum=file_checksum(path))


def find_damage(
    folder: Path, checksums: bool = True, part: int = 0, parts: int = 1, any_name: bool = False
) -> str | None:
    """Return what is wrong with a checkpoint, or None.

    Args:
        folder: of the checkpoint.
        checksums: whether files are read; else only their sizes are looked at.
        part: which files are read here, where several processes share them.
        parts: how many processes do.
        any_name: whether the folder may have another name than the step gives it.
    """
    try:
        record = read_record(folder)
    except ValueError as error:
        return str(error)
    if not any_name and folder_name(record.state.step) != folder.name:
        return f"{RUN_FILE} is of step {record.state.step}"
    if METADATA_FILE not in record.files:
        return f"{RUN_FILE} names no {METADATA_FILE}"
    for number, (name, stored) in enumerate(sorted(record.files.items())):
        try:
            size = (folder / name).stat().st_size
            if size != stored.bytes:
                return f"{name} has {size:,} bytes instead of {stored.bytes:,}"
            if checksums and number % parts == part and file_checksum(folder / name) != stored.checksum:
                return f"{name} has another checksum than was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def newest_sound(
    paths: Sequence[Path], tell: Callable[[str], None], damage: Callable[[Path], str | None] = find_damage
) -> Path | None:
    """Return the newest sound one of checkpoints in the order of their steps, or None where there is none at all.

    Args:
        paths: of the checkpoints.
        tell: is told which damaged ones are passed over.
        damage: says what is wrong with one.

    Raises:
        UserError: there are checkpoints, and all are damaged.
    """
    found = []
    for path in reversed(paths):
        if (wrong := damage(path)) is None:
            return path
        found.append(f"{path.name}: {wrong}")
        tell(f"the checkpoint {path} is damaged and passed over: {wrong}")
    if found:
        raise UserError(
            f"every checkpoint in {paths[0].parent} is damaged: {'; '.join(found)}; bring back a copy of one, or "
            "remove the folder to start the run anew"
        )
    return None


def latest(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """Return the newest sound checkpoint in a folder; see `newest_sound`."""
    return newest_sound(list_checkpoints(folder), tell)


def commit(partial: Path, state: RunState, files: Mapping[str, StoredFile]) -> Path:
    """Complete a checkpoint that was written aside, and give it its name.

    Args:
        partial: the folder; its files are synced.
        state: of the run.
        files: what ranks wrote.

    Raises:
        FileNotFoundError: a file that a rank wrote is not there.
    """
    for name, stored in files.items():
        path = partial / name
        if not path.exists() or path.stat().st_size != stored.bytes:
            raise FileNotFoundError(
                errno.ENOENT, f"{name}, which another rank wrote, is not there: the folder must be one for all machines"
            )
    write_text_atomically(partial / RUN_FILE, CheckpointRecord(state=state, files=dict(files)).to_json())
    folder = partial.with_name(folder_name(state.step))
    replaced = folder.with_name(f".{folder.name}.replaced")
    if folder.exists():  # a damaged one that the run came past again
        os.rename(folder, replaced)
    os.rename(partial, folder)
    sync_path(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return folder


def prune(folder: Path, keep: int | None, step: int) -> None:
    """Remove checkpoints before a step that was just written, but for the last `keep` and the last one of each stage.

    Damaged ones neither count nor go.
    """
    if keep is None:
        return
    sound = [
        path
        for path in list_checkpoints(folder)
        if int(path.name[5:]) <= step and find_damage(path, checksums=False) is None
    ]
    for path in sound[:-keep]:
        if not read_record(path).state.stage_end:
            # Renamed first: a removal that is killed half-way leaves no checkpoint with holes.
            partial = partial_folder(path)
            os.rename(path, partial)
            shutil.rmtree(partial)


def partial_folder(checkpoint: Path) -> Path:
    """Return where a checkpoint is written before it is complete."""
    return checkpoint.with_name(f".{checkpoint.name}.partial")


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run left half-written or half-removed."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not (match := _LEFTOVER.fullmatch(path.name)):
            continue
        if match[2] == "replaced" and not (folder / match[1]).exists():
            os.rename(path, folder / match[1])
        else:
            shutil.rmtree(path)


def _checksum(plain: Mapping[str, object]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(plain, sort_keys=True).encode())
