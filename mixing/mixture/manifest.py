"""Reading the manifest of a mixture, and checking that what it tells of is still what is there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from configs.errors import UserError
from configs.load import validate_config
from mixing.mixture.manifest_schema import Manifest, ManifestShard, ManifestSlice, ManifestSource, ManifestValidation
from mixing.mixture.slices import SLICE_HEADER_BYTES
from mixing.tokens.token_source import Split, TokenSource, file_checksum, load_token_source

MANIFEST_FILE = "manifest.json"


def read_manifest(path: Path) -> Manifest:
    """Return the manifest at a path, a file or the mixture's folder; what it tells of is not looked at.

    Raises:
        UserError: it is not there, or is none.
    """
    path = manifest_path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"no mixture at {path}: {error.strerror}; run `make mixture` first") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; run `make mixture` again") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} is no manifest of a mixture; run `make mixture` again")
    return validate_config(data, Manifest, str(path))


def load_manifest(path: Path, deep: bool = False) -> Manifest:
    """Return a manifest whose bytes are still there: checked against the token folders.

    Args:
        path: of the file, or the mixture's folder.
        deep: read every byte and compare checksums, too. Sizes, and what `tokens.json` tells of checksums, are compared
            in any case.

    Raises:
        UserError: a shard or slice is gone or was rewritten, or a folder has another tokenizer; the message names it.
    """
    manifest = read_manifest(path)
    path = manifest_path(path)
    folders: dict[str, TokenSource] = {}
    drawn = [source for stage in manifest.stages for source in stage.sources]
    entries: list[ManifestSource | ManifestValidation] = [*drawn, *manifest.validation]
    for own in entries:
        if own.folder not in folders:
            source = load_token_source(token_folder(path, own.folder))
            if source.tokenizer != manifest.tokenizer:
                raise UserError(
                    f"{source.folder} was made with the tokenizer {source.tokenizer.name} "
                    f"({source.tokenizer.sha256}), the mixture {path} with {manifest.tokenizer.name} "
                    f"({manifest.tokenizer.sha256}); run `make mixture` again"
                )
            source.verify(deep)
            folders[own.folder] = source
        split: Split = "validation" if isinstance(own, ManifestValidation) else "train"
        _check_shards(path, folders[own.folder], split, own.shards)
        if isinstance(own, ManifestSource) and own.where is not None:
            _check_slice(path, own.where, deep)
    return manifest


def manifest_path(path: Path) -> Path:
    """Return the path of a manifest, given it or its folder."""
    return path / MANIFEST_FILE if path.is_dir() else path


def token_folder(path: Path, folder: str) -> Path:
    """Return a source's token folder.

    Args:
        path: of the manifest.
        folder: as the manifest has it.
    """
    return Path(os.path.normpath(path.absolute().parent / folder))


def manifest_shards(source: TokenSource, split: Split) -> tuple[ManifestShard, ...]:
    """Return the shards of a split as a manifest tells of them."""
    return tuple(
        ManifestShard.model_construct(
            name=shard.name,
            bin_checksum=shard.bin_checksum,
            idx_checksum=shard.idx_checksum,
            sequences=shard.sequences,
            tokens=shard.tokens,
        )
        for shard in source.of_split(split)
    )


def _check_shards(path: Path, source: TokenSource, split: Split, told: Sequence[ManifestShard]) -> None:
    found = manifest_shards(source, split)
    for shard, own in zip(told, found, strict=False):
        if shard != own:
            raise UserError(
                f"{source.folder / own.name} was rewritten since the mixture {path} was made; run `make mixture` again"
            )
    if len(told) != len(found):
        raise UserError(
            f"{source.folder} has {len(found):,} shards for {split}, the mixture {path} was made of {len(told):,}; run "
            "`make mixture` again"
        )


def _check_slice(path: Path, where: ManifestSlice, deep: bool) -> None:
    file = path.parent / where.file
    try:
        size = file.stat().st_size
        if size != SLICE_HEADER_BYTES + 8 * where.documents or (deep and file_checksum(file) != where.checksum):
            raise UserError(f"{file} is not the slice that the mixture was made with; run `make mixture` again")
    except OSError as error:
        raise UserError(f"cannot read the slice {file}: {error.strerror}; run `make mixture` again") from error
