"""Token folders whose shards hold real tokens, and a mixture of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from configs.load import validate_config
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from mixing.tokens.indexed import IndexedWriter, shard_paths
from mixing.tokens.token_source import file_checksum
from tests.mixing.mixture.token_folders import write_source

VOCABULARY = 300


def made_tokens(name: str, number: int, length: int) -> list[int]:
    """Return a document of a source, ending with the end-of-document token, 0, that is nowhere else in it."""
    begin = sum(name.encode()) + 37 * number
    return [1 + (begin + 7 * place) % (VOCABULARY - 1) for place in range(length - 1)] + [0]


def write_tokens(
    folder: Path,
    name: str,
    shards: Sequence[Sequence[int]],
    validation: Sequence[int] = (),
    **columns: Sequence[object],
) -> None:
    """Write a source of documents of given lengths, shard by shard; `columns` are of all training documents."""
    rows = [[{"tokens": length} for length in shard] for shard in shards]
    for column, values in columns.items():
        for row, value in zip((row for shard in rows for row in shard), values, strict=True):
            row[column] = value  # type: ignore[assignment]
    source = write_source(folder, name, rows, validation=[{"tokens": length} for length in validation])
    facts = json.loads((source / "tokens.json").read_text())
    number = 0
    for shard, lengths in zip(facts["shards"], [*shards, validation], strict=False):
        with IndexedWriter(source / shard["name"], "uint16") as writer:
            for length in lengths:
                writer.add(np.array(made_tokens(name, number, length)))
                number += 1
        tokens, index = shard_paths(source / shard["name"])
        shard |= {
            "bin_bytes": tokens.stat().st_size,
            "bin_checksum": file_checksum(tokens),
            "idx_checksum": file_checksum(index),
        }
    (source / "tokens.json").write_text(json.dumps(facts))


def make_mixture(folder: Path, **stages: dict[str, object]) -> Manifest:
    """Write a mixture named m of the sources below `folder/tokens`."""
    plan = {"schedule": "constant", "peak": 1e-5}
    written = [{"name": name, "learning_rate": plan, **stage} for name, stage in stages.items()]
    data = {"name": "m", "seed": 3, "sequence_length": 32, "stages": written}
    return write_mixture(validate_config(data, MixtureConfig, "m.yaml"), folder / "tokens", folder / "mixtures")
