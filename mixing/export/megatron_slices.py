"""Chosen documents of a source as shards of their own for Megatron-LM: another index of the same tokens.

An index tells where in `.bin` each sequence begins, so one that tells of the chosen documents alone leaves the tokens
as they are: beside it is a link to them. The format is that of `mixing/tokens/indexed.py`.
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.mixture.manifest_schema import ManifestSource
from mixing.mixture.slices import read_slice
from mixing.tokens.indexed import IndexedReader, shard_paths

# Mark, version and token type; the numbers of sequences and of documents, and one, follow.
_KIND_BYTES = 18
_COUNTS = struct.Struct("<QQ")


def write_chosen_shards(mixture: Path, tokens: Path, own: ManifestSource, out: Path) -> Iterator[tuple[Path, int]]:
    """Write an index for each shard with chosen documents, and yield the new prefixes with their tokens.

    In memory are the index of a shard, and the chosen numbers of it.

    Args:
        mixture: folder of the mixture.
        tokens: the source's token folder.
        own: the source in a stage, with its slice.
        out: folder of the export; those with the same slice share what is written there.

    Raises:
        UserError: the slice is not that of these shards, or a file cannot be read.
        OSError: a file cannot be written.
    """
    assert own.where is not None
    folder = out / Path(own.where.file).with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    numbers, found = read_slice(mixture / own.where.file), 0
    sequences = accumulate((shard.sequences for shard in own.shards), initial=0)
    places = accumulate(own.where.documents_by_shard, initial=0)
    for shard, count, begin, place in zip(own.shards, own.where.documents_by_shard, sequences, places, strict=False):
        if not count:
            continue
        rows = numbers[place : place + count] - begin
        if len(rows) != count or rows.min() < 0 or rows.max() >= shard.sequences:
            raise _not_its_slice(mixture, own)
        prefix = folder / shard.name
        if chosen := _write_index(tokens / shard.name, rows, prefix):
            yield prefix, chosen
        found += chosen
    if found != own.where.tokens:
        raise _not_its_slice(mixture, own)


def _write_index(source: Path, rows: NDArray[np.int64], prefix: Path) -> int:
    """Write the index of some sequences of a shard, with a link to its tokens, and return how many tokens they have."""
    reader = IndexedReader(source)
    lengths, pointers = reader.lengths[rows], reader.pointers[rows]
    (tokens, index), (link, target) = shard_paths(source), shard_paths(prefix)
    with index.open("rb") as file:
        kind = file.read(_KIND_BYTES)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with aside.open("wb") as file:
            file.write(kind + _COUNTS.pack(len(rows), len(rows) + 1))
            file.write(lengths.astype("<i4", copy=False).tobytes())
            file.write(pointers.astype("<i8", copy=False).tobytes())
            file.write(np.arange(len(rows) + 1, dtype="<i8").data)
            file.flush()
            os.fsync(file.fileno())
        link.unlink(missing_ok=True)
        link.symlink_to(tokens.absolute())
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    return int(lengths.sum(dtype=np.int64))


def _not_its_slice(mixture: Path, own: ManifestSource) -> UserError:
    return UserError(f"{mixture} has another slice of {own.source!r} than its manifest; run `make mixture` again")
