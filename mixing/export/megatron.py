"""A mixture's manifest as the data arguments of Megatron-LM; nanotron's are in `nanotron.py`.

Megatron-LM's data paths are shards, and its weights are of samples, each `--seq-length` tokens: so a shard's weight is
its source's share of tokens, times its part of the source's tokens. Where a stage draws from chosen documents, shards
of them are written (`megatron_slices.py`). What Megatron-LM cannot do is said in a note: it neither caps epochs nor
packs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

from configs.errors import UserError
from mixing.export.megatron_arguments import stage_arguments
from mixing.export.megatron_slices import write_chosen_shards
from mixing.export.stages import STAGES_APART, stage_name, write_files, writing
from mixing.mixture.manifest import manifest_path, token_folder
from mixing.mixture.manifest_schema import Manifest, ManifestShard, ManifestStage

README = "README.md"
# Its blend counts datasets in 16 bits (`BlendedDataset` in its `core/datasets/blended_dataset.py`).
_MOST_SHARDS = (1 << 15) - 2


def megatron_data_path(path: Path, stage: ManifestStage, out: Path) -> list[str]:
    """Return weights and prefixes in turn, as `--data-path` takes them. What has weight 0 or no tokens is left out.

    Args:
        path: of the manifest, or the mixture's folder.
        stage: of the manifest.
        out: folder of the export, where shards of chosen documents are written.

    Raises:
        UserError: the stage draws from more shards than Megatron-LM blends; or a slice is not that of its shards.
        OSError: a file cannot be written.
    """
    arguments = []
    for own in stage.sources:
        if own.weight > 0:
            tokens = token_folder(manifest_path(path), own.folder)
            if own.where is None:
                shards = _whole(tokens, own.shards)
            else:
                shards = list(write_chosen_shards(manifest_path(path).parent, tokens, own, out.absolute()))
            arguments += _by_shard(shards, own.weight)
    _check_count(arguments, f"stage {stage.name!r} draws")
    return arguments


def megatron_validation_path(path: Path, manifest: Manifest) -> list[str]:
    """Return weights and prefixes of all validation texts: each source counts by its tokens.

    Raises:
        UserError: there are more shards of them than Megatron-LM blends.
    """
    whole = sum(own.tokens for own in manifest.validation)
    arguments = [
        argument
        for own in manifest.validation
        if own.tokens
        for argument in _by_shard(_whole(token_folder(manifest_path(path), own.folder), own.shards), own.tokens / whole)
    ]
    _check_count(arguments, "validation is drawn")
    return arguments


def export_megatron(path: Path, manifest: Manifest, out: Path, checkpoints: str) -> list[str]:
    """Write arguments for each stage, which Megatron-LM runs as a run of its own, and return what they do not say.

    `<number>-<stage>.json` is for `--per-split-data-args-path`, with training and validation; `<number>-<stage>.args`
    holds all arguments, that one among them, quoted for a shell; `<number>-<stage>.data-path` holds the same blend for
    `--data-path`, without validation; below `slices` are shards of chosen documents. `README.md` says how they are
    used, and the notes.

    Args:
        path: of the manifest, or the mixture's folder.
        manifest: what it says.
        out: folder of the files.
        checkpoints: folder of the stages' checkpoints; a relative one counts from where the trainer is started.

    Raises:
        UserError: a stage draws from too many shards; or a file cannot be written.
    """
    validation = megatron_validation_path(path, manifest)
    files: dict[str, str] = {}
    for number, stage in enumerate(manifest.stages, 1):
        name = stage_name(number, stage.name)
        with writing(out):
            blend = megatron_data_path(path, stage, out)
        splits = {"train": blend, "valid": validation or None, "test": None}
        files[f"{name}.json"] = json.dumps(splits, indent=1, ensure_ascii=False) + "\n"
        files[f"{name}.data-path"] = shlex.join(blend) + "\n"
        arguments = {"--per-split-data-args-path": str((out / f"{name}.json").absolute())}
        arguments |= stage_arguments(manifest, number, checkpoints)
        files[f"{name}.args"] = "\n".join(shlex.join(pair) for pair in arguments.items()) + "\n"
    notes = _notes(manifest)
    files[README] = _readme(manifest, out.absolute(), notes)
    write_files(out, files)
    return notes


def _notes(manifest: Manifest) -> list[str]:
    """Return what the arguments cannot say."""
    notes = [
        "Megatron-LM reads a source again when it ends, whatever its max_epochs; the stages' budgets keep below them.",
        "It orders documents by its own shuffle: the order is not that of this project's token stream.",
        "It begins with random weights where --load holds no checkpoint: give the first stage the base model by "
        "--pretrained-checkpoint.",
    ]
    if len(manifest.stages) > 1:
        notes += [
            STAGES_APART,
            "A stage begins with the weights of the one before and a new optimizer: its moments are not carried over.",
        ]
    for stage in manifest.stages:
        if stage.packing != "concatenate":
            notes.append(f"stage {stage.name!r} asks for {stage.packing}; Megatron-LM concatenates and cuts.")
    return notes


def _readme(manifest: Manifest, out: Path, notes: Iterable[str]) -> str:
    """Return how the files are used, with the notes."""
    own, tokenizer = manifest.tokenizer, " ".join(manifest.tokenizer.name.split())
    names = (stage_name(number, stage.name) for number, stage in enumerate(manifest.stages, 1))
    files = [shlex.quote(str(out / f"{name}.args")) for name in names]
    lines = [
        f"# {manifest.name} for Megatron-LM",
        "",
        "Stage after stage, with the arguments of the model and the cluster, in bash:",
        "",
        "```sh",
        *(f'eval "stage=($(cat {file}))"; torchrun ... pretrain_gpt.py "${{stage[@]}}" ...' for file in files),
        "```",
        "",
        "Of two arguments of one name the last one counts. A stage that is started again goes on from its own "
        "`--load`; with `--finetune` it would begin anew.",
        "",
        f"- `--save-interval`, batch sizes and the tokenizer are yours to add: {tokenizer} ({own.vocabulary_size:,} "
        f"tokens, {own.eod_id} ends a document, SHA-256 {own.sha256}).",
        "- `.data-path` is the blend alone, for `--data-path`: with `--split 100,0,0`, or Megatron-LM keeps a part of "
        "it for validation and test.",
        "- A mixture that is made again takes the place of its folder, with what is exported there: export to another "
        "folder what a run goes on reading.",
        *(f"- {note}" for note in notes),
    ]
    return "\n".join(lines) + "\n"


def _check_count(arguments: list[str], what: str) -> None:
    if (shards := len(arguments) // 2) > _MOST_SHARDS:
        raise UserError(
            f"{what} from {shards:,} shards, and Megatron-LM blends {_MOST_SHARDS:,} at most: make tokens of fewer, "
            "larger files"
        )


def _whole(tokens: Path, shards: Iterable[ManifestShard]) -> list[tuple[Path, int]]:
    """Return the prefixes of shards and their tokens; those without tokens are left out."""
    return [(tokens / shard.name, shard.tokens) for shard in shards if shard.tokens]


def _by_shard(shards: list[tuple[Path, int]], weight: float) -> list[str]:
    """Return weights and prefixes of a source's shards."""
    whole = sum(tokens for _, tokens in shards)
    return [argument for prefix, tokens in shards for argument in (repr(weight * tokens / whole), str(prefix))]
