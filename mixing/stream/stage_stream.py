"""From a mixture's manifest to the stream of a stage, and to its validation texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xxhash

from configs.errors import UserError
from mixing.mixture.manifest import load_manifest, manifest_path, token_folder
from mixing.mixture.manifest_schema import Manifest, ManifestShard, ManifestSlice, ManifestSource, ManifestStage
from mixing.stream.document_source import DocumentSource
from mixing.stream.sliced_documents import SlicedDocuments, SliceNumbers, slice_source_name
from mixing.stream.state import StreamConfig
from mixing.stream.stream import TokenStream
from mixing.stream.token_documents import TokenDocuments


def stage_of(manifest: Manifest, name: str) -> ManifestStage:
    """Return a stage by its name.

    Raises:
        UserError: there is none.
    """
    for stage in manifest.stages:
        if stage.name == name:
            return stage
    names = ", ".join(stage.name for stage in manifest.stages)
    raise UserError(f"the mixture {manifest.name} has no stage {name!r}; it has: {names}")


def open_stage(
    path: Path,
    name: str,
    config: StreamConfig | None = None,
    batch_size: int = 1,
    rank: int = 0,
    world_size: int = 1,
    deep: bool = False,
    earlier: Sequence[Path] = (),
) -> TokenStream:
    """Return the stream of a stage, from its beginning; `load_state_dict` takes it on from the stage before.

    It has no end: the trainer stops at the stage's budget. Of a source, less than one sequence or piece more than
    planned is drawn until then. No document comes again, from whichever slices of its source it was drawn, before all
    documents of the slice that is drawn from have come as often.

    Args:
        path: of the manifest, or the mixture's folder.
        name: of the stage.
        config: None is the stage's sequence length and packing, and defaults.
        batch_size: sequences of a rank in a batch.
        rank: of this process among those that share the data.
        world_size: how many there are.
        deep: compare the checksums of all files first.
        earlier: manifests of other mixtures that the run was trained with before, for the slices that they drew from.

    Raises:
        UserError: there is no such stage, or the tokens are not those that the mixture was made of.
    """
    manifest = load_manifest(path, deep)
    stage = stage_of(manifest, name)
    own = config or StreamConfig(sequence_length=stage.sequence_length, packing=stage.packing)
    wholes = {
        source.source: _open(manifest_path(path), source.source, source.folder, source.shards)
        for source in stage.sources
    }
    slices: dict[str, DocumentSource] = {}
    for place, mixture in ((path, manifest), *((place, load_manifest(place, deep)) for place in earlier)):
        for source in (source for other in mixture.stages for source in other.sources):
            if source.source in wholes and source.where and _drawn_as(source) not in slices:
                slices[_drawn_as(source)] = _slice(manifest_path(place), source, source.where, wholes[source.source])
    return TokenStream(
        [slices[_drawn_as(source)] if source.where else wholes[source.source] for source in stage.sources],
        [source.weight for source in stage.sources],
        manifest.seed,
        own,
        batch_size,
        rank,
        world_size,
        padding=manifest.tokenizer.eod_id,
        known=tuple(slices.values()),
    )


def open_validation(
    path: Path, source: str, config: StreamConfig, batch_size: int = 1, rank: int = 0, world_size: int = 1
) -> TokenStream:
    """Return the validation texts of a source, each once; then the stream ends.

    Args:
        path: of the manifest, or the mixture's folder.
        source: whose texts.
        config: how they become sequences.
        batch_size: sequences of a rank in a batch.
        rank: of this process among those that share the data.
        world_size: how many there are.

    Raises:
        UserError: the source has no validation texts, or they are not those that the mixture was made with.
    """
    return validation_stream(path, load_manifest(path), source, config, batch_size, rank, world_size)


def validation_stream(
    path: Path,
    manifest: Manifest,
    source: str,
    config: StreamConfig,
    batch_size: int = 1,
    rank: int = 0,
    world_size: int = 1,
) -> TokenStream:
    """Return what `open_validation` does, of a manifest that was loaded: loading checks the files of all sources.

    Raises:
        UserError: as `open_validation`.
    """
    for own in manifest.validation:
        if own.source == source and own.sequences:
            documents = _open(manifest_path(path), f"{source}/validation", own.folder, own.shards)
            return TokenStream(
                [documents],
                [1.0],
                manifest.seed,
                config,
                batch_size,
                rank,
                world_size,
                epochs=1,
                padding=manifest.tokenizer.eod_id,
            )
    raise UserError(f"the mixture {manifest.name} has no validation texts of {source!r}")


def _drawn_as(source: ManifestSource) -> str:
    return slice_source_name(source.source, source.where.checksum) if source.where else source.source


def _slice(path: Path, source: ManifestSource, where: ManifestSlice, whole: TokenDocuments) -> SlicedDocuments:
    numbers = SliceNumbers(path.parent / where.file)
    return SlicedDocuments(whole, numbers, _drawn_as(source), _identity(source.shards, where.checksum))


def _open(path: Path, name: str, folder: str, shards: Sequence[ManifestShard]) -> TokenDocuments:
    """Return the documents of shards; what they are is what the checksums say."""
    prefixes = [token_folder(path, folder) / shard.name for shard in shards]
    documents = TokenDocuments(name, prefixes, _identity(shards))
    for prefix, shard, file in zip(prefixes, shards, documents.shards, strict=True):
        if (len(file), file.tokens) != (shard.sequences, shard.tokens):
            raise UserError(
                f"{prefix} has {len(file):,} documents with {file.tokens:,} tokens, the mixture tells of "
                f"{shard.sequences:,} with {shard.tokens:,}; run `make mixture` again"
            )
    return documents


def _identity(shards: Sequence[ManifestShard], chosen: str = "") -> str:
    sums = [checksum for shard in shards for checksum in (shard.bin_checksum, shard.idx_checksum)]
    return xxhash.xxh3_128_hexdigest("\n".join([*sums, chosen]))
