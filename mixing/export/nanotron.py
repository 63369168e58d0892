"""A mixture's manifest as nanotron's `data_stages`, and the tokens as the files that nanotron reads.

nanotron reads folders of datatrove's `.ds` files (`NanosetDatasetsArgs`: `dataset_folder`, `dataset_weights`): tokens
one after another, in 2 or 4 bytes, which is what `.bin` holds, too, so these are links. Beside each is `.ds.index`, the
end of every document in tokens as 64-bit numbers. Each source is one folder, so its weight is its share as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from configs.errors import UserError
from mixing.export.stages import STAGES_APART, refuse_slices, stage_name, stage_seed, write_files, writing
from mixing.mixture.manifest import manifest_path, token_folder
from mixing.mixture.manifest_schema import Manifest, ManifestShard
from mixing.tokens.indexed import IndexedReader, shard_paths

_CHUNK = 1 << 20


def export_nanotron(path: Path, manifest: Manifest, out: Path, batch_sequences: int) -> list[str]:
    """Write `data_stages.yaml` and a folder of links for each source, and return what they do not say.

    Args:
        path: of the manifest, or the mixture's folder.
        manifest: what it says.
        out: folder of the files.
        batch_sequences: sequences of a training step, over all ranks: stages begin at a step.

    Raises:
        UserError: the stages differ in sequence length, or draw from chosen documents; or a file cannot be written.
    """
    lengths = sorted({stage.sequence_length for stage in manifest.stages})
    if len(lengths) > 1:
        raise UserError(
            f"the stages have sequences of {' and '.join(map(str, lengths))} tokens, and nanotron has one length in a "
            "run: make a mixture for each"
        )
    for stage in manifest.stages:
        refuse_slices(stage, "nanotron")
    shards = {own.folder: own.shards for stage in manifest.stages for own in stage.sources if own.weight > 0}
    folders = {
        folder: out.absolute() / stage_name(number, Path(folder).name) for number, folder in enumerate(shards, 1)
    }
    stages = _stages(manifest, folders, batch_sequences)
    with writing(out):
        for folder, links in folders.items():
            _link(token_folder(manifest_path(path), folder), shards[folder], links)
    text = yaml.safe_dump({"data_stages": stages}, sort_keys=False, allow_unicode=True)
    write_files(out, {"data_stages.yaml": text})
    notes = [
        f"Set tokens.sequence_length to {lengths[0]}, tokenizer_name to the tokenizer's Hugging Face name or folder.",
        "nanotron reads documents in the order of their shards, and a source again when it ends, past its max_epochs.",
    ]
    if len(manifest.stages) > 1:
        notes += [
            STAGES_APART,
            "The stages' learning rates are not written: nanotron has one schedule in a run.",
        ]
    packed = [stage.name for stage in manifest.stages if stage.packing != "concatenate"]
    return [*notes, *(f"stage {name!r} asks for packing; nanotron concatenates and cuts." for name in packed)]


def _stages(manifest: Manifest, folders: Mapping[str, Path], batch_sequences: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    done = before = 0
    for number, stage in enumerate(manifest.stages, 1):
        drawn = [source for source in stage.sources if source.weight > 0]
        dataset = {
            "dataset_folder": [str(folders[source.folder]) for source in drawn],
            "dataset_weights": [source.weight for source in drawn],
            "tokenizer_name": manifest.tokenizer.name,
            "vocab_size": manifest.tokenizer.vocabulary_size,
            "token_size_in_bytes": np.dtype(manifest.tokenizer.dtype).itemsize,
        }
        start = 1 + done // (batch_sequences * stage.sequence_length)
        if start == before:
            raise UserError(f"the stage before {stage.name!r} is shorter than a step of {batch_sequences:,} sequences")
        data = {"dataset": dataset, "seed": stage_seed(manifest, number), "num_loading_workers": 1}
        found.append({"name": stage.name, "start_training_step": start, "data": data})
        done, before = done + stage.tokens, start
    return found


def _link(tokens: Path, shards: Sequence[ManifestShard], folder: Path) -> None:
    """Make links to the tokens of shards, and indices of their documents."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.ds"), *folder.glob("*.ds.index")]:
        old.unlink()
    for shard in shards:
        if not shard.tokens:
            continue
        prefix = tokens / shard.name
        link = folder / f"{prefix.name}.ds"
        link.symlink_to(shard_paths(prefix)[0].absolute())
        lengths = IndexedReader(prefix).lengths
        end = 0
        with link.with_name(f"{link.name}.index").open("wb") as file:
            for begin in range(0, len(lengths), _CHUNK):
                ends = end + np.cumsum(lengths[begin : begin + _CHUNK], dtype=np.int64)
                file.write(ends.astype("<u8").data)
                end = int(ends[-1])
