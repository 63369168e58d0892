"""From a mixture's manifest to the stream of a stage, and to its validation texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xxhash

from configs.errors import UserError
from mixing.mixture.manifest import load_manifest, manifest_path, token_folder
from mixing.mixture.manifest_schema import Manifest, ManifestShard, ManifestSlice, ManifestSource, ManifestStage
from mixing.mixture.slices import read_slice
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
) -> TokenStream:
    """Return the stream of a stage, from its beginning; `load_state_dict` takes it on from the stage before.

    It has no end: the trainer stops at the stage's budget. Of a source, less than one sequence or piece more than
    planned is drawn until then. A slice of a source is a source of its own: documents that an earlier stage drew from
    the whole source, or from another slice, may come again.

    Args:
        path: of the manifest, or the mixture's folder.
        name: of the stage.
        config: None is the stage's sequence length and packing, and defaults.
        batch_size: sequences of a rank in a batch.
        rank: of this process among those that share the data.
        world_size: how many there are.
        deep: compare the checksums of all files first.

    Raises:
        UserError: there is no such stage, or the tokens are not those that the mixture was made of.
    """
    manifest = load_manifest(path, deep)
    stage = stage_of(manifest, name)
    own = config or StreamConfig(sequence_length=stage.sequence_length, packing=stage.packing)
    sources = [_documents(manifest_path(path), source) for source in stage.sources]
    weights = [source.weight for source in stage.sources]
    return TokenStream(
        sources, weights, manifest.seed, own, batch_size, rank, world_size, padding=manifest.tokenizer.eod_id
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
    manifest = load_manifest(path)
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


def _documents(path: Path, source: ManifestSource) -> TokenDocuments:
    where = source.where
    if where is None:
        return _open(path, source.source, source.folder, source.shards)
    return _open(path, f"{source.source}/{where.checksum}", source.folder, source.shards, where)


def _open(
    path: Path, name: str, folder: str, shards: Sequence[ManifestShard], where: ManifestSlice | None = None
) -> TokenDocuments:
    """Return the documents of shards, or a slice of them; what they are is what the checksums say."""
    sums = [checksum for shard in shards for checksum in (shard.bin_checksum, shard.idx_checksum)]
    identity = xxhash.xxh3_128_hexdigest("\n".join([*sums, where.checksum if where else ""]))
    prefixes = [token_folder(path, folder) / shard.name for shard in shards]
    documents = TokenDocuments(name, prefixes, read_slice(path.parent / where.file) if where else None, identity)
    for prefix, shard, reader in zip(prefixes, shards, documents.shards, strict=True):
        if (len(reader), reader.tokens) != (shard.sequences, shard.tokens):
            raise UserError(
                f"{prefix} has {len(reader):,} documents with {reader.tokens:,} tokens, the mixture tells of "
                f"{shard.sequences:,} with {shard.tokens:,}; run `make mixture` again"
            )
    return documents
