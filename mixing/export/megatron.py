"""A mixture's manifest as the data arguments of other trainers: Megatron-LM, and nanotron in `export_nanotron.py`.

Megatron-LM's data paths are shards, and its weights are of samples, each `--seq-length` tokens: so a shard's weight is
its source's share of tokens, times its part of the source's tokens. What these trainers cannot do is refused, or said
in a note: none of them draws from chosen documents of a shard, caps epochs, or packs.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable
from pathlib import Path

from configs.errors import UserError
from mixing.mixture.manifest import manifest_path, token_folder
from mixing.mixture.manifest_schema import Manifest, ManifestShard, ManifestStage

_MOST_SEEDS = (1 << 31) - 1


def megatron_data_path(path: Path, stage: ManifestStage) -> list[str]:
    """Return weights and prefixes in turn, as `--data-path` takes them. Sources of weight 0 are left out.

    Args:
        path: of the manifest, or the mixture's folder.
        stage: of the manifest.

    Raises:
        UserError: the stage draws from chosen documents of a source.
    """
    refuse_slices(stage, "Megatron-LM")
    return [
        argument
        for source in stage.sources
        if source.weight > 0
        for argument in _by_shard(manifest_path(path), source.folder, source.shards, source.weight)
    ]


def megatron_validation_path(path: Path, manifest: Manifest) -> list[str]:
    """Return weights and prefixes of all validation texts: each source counts by its tokens."""
    whole = sum(own.tokens for own in manifest.validation)
    return [
        argument
        for own in manifest.validation
        if own.tokens
        for argument in _by_shard(manifest_path(path), own.folder, own.shards, own.tokens / whole)
    ]


def export_megatron(path: Path, manifest: Manifest, out: Path) -> list[str]:
    """Write arguments for each stage, which Megatron-LM runs as a run of its own, and return what they do not say.

    `<number>-<stage>.json` is for `--per-split-data-args-path`, with training and validation; `<number>-<stage>.args`
    holds all arguments, that one among them, quoted for a shell; `<number>-<stage>.data-path` holds the same blend for
    `--data-path`, without validation.

    Args:
        path: of the manifest, or the mixture's folder.
        manifest: what it says.
        out: folder of the files.

    Raises:
        UserError: a stage draws from chosen documents of a source; or a file cannot be written.
    """
    validation = megatron_validation_path(path, manifest)
    files: dict[str, str] = {}
    notes = [
        "Megatron-LM reads a source again when it ends, whatever its max_epochs; the stages' budgets keep below them.",
        "It orders documents by its own shuffle: the order is not that of this project's token stream.",
    ]
    for number, stage in enumerate(manifest.stages, 1):
        name = file_name(number, stage.name)
        blend = megatron_data_path(path, stage)
        splits = {"train": blend, "valid": validation or None, "test": None}
        files[f"{name}.json"] = json.dumps(splits, indent=1, ensure_ascii=False) + "\n"
        files[f"{name}.data-path"] = shlex.join(blend) + "\n"
        arguments = {
            "--per-split-data-args-path": str((out / f"{name}.json").absolute()),
            "--seq-length": str(stage.sequence_length),
            "--train-samples": str(math.ceil(stage.tokens / stage.sequence_length)),
            # Megatron-LM wants a positive seed that NumPy takes, too.
            "--seed": str(manifest.seed % _MOST_SEEDS + 1),
        }
        files[f"{name}.args"] = "\n".join(shlex.join(pair) for pair in arguments.items()) + "\n"
        if stage.packing != "concatenate":
            notes.append(f"stage {stage.name!r} asks for {stage.packing}; Megatron-LM concatenates and cuts.")
    write_files(out, files)
    return notes


def export_torchtitan() -> list[str]:
    """Say that there is nothing to write.

    Raises:
        UserError: always.
    """
    raise UserError(
        "torchtitan has no weighted blend of .bin token shards, only of text datasets that it tokenizes itself: "
        "iterate mixing.stream.stage_stream.open_stage in a data loader of your own instead"
    )


def refuse_slices(stage: ManifestStage, trainer: str) -> None:
    """Raise where a stage draws from chosen documents.

    Raises:
        UserError: it does; the message names the sources.
    """
    names = [source.source for source in stage.sources if source.where is not None and source.weight > 0]
    if names:
        raise UserError(
            f"stage {stage.name!r} draws from chosen documents of {', '.join(names)} (where, min_tokens, max_tokens); "
            f"{trainer} draws from whole shards only: make corpora of those documents, or leave the conditions out"
        )


def file_name(number: int, name: str) -> str:
    """Return a name for a file, whatever the name is that it is made from."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return f"{number}-{plain[:60]}"


def write_files(out: Path, files: dict[str, str]) -> None:
    """Write texts by name.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}: {error.filename}") from error


def _by_shard(path: Path, folder: str, shards: Iterable[ManifestShard], weight: float) -> list[str]:
    """Return weights and prefixes of a source's shards; those without tokens are left out."""
    used = [shard for shard in shards if shard.tokens]
    whole = sum(shard.tokens for shard in used)
    arguments = []
    for shard in used:
        arguments += [repr(weight * shard.tokens / whole), str(token_folder(path, folder) / shard.name)]
    return arguments
