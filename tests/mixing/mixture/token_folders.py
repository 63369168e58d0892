"""Token folders for tests: what `make tokens` leaves behind, of any size that `tokens.json` may tell of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mixing.tokens.indexed import index_bytes
from mixing.tokens.token_source import file_checksum

TOKENIZER = {"sha256": "a" * 64, "name": "test", "vocabulary_size": 300, "eod_id": 0, "dtype": "uint16"}
Row = Mapping[str, object]


def write_source(
    tokens: Path,
    name: str,
    shards: Sequence[Sequence[Row]],
    languages: Sequence[str] | None = None,
    validation: Sequence[Row] = (),
    tokenizer: Mapping[str, object] = TOKENIZER,
) -> Path:
    """Write a source: a shard for each list of documents, which say at least their `tokens`; text is made up.

    `.bin` holds a few bytes whatever the tokens are, so that a corpus of billions can be told of.
    """
    folder = tokens / name
    codes = list(languages or [name])
    told = [_write_shard(folder, f"part-{place:05}", "train", rows, codes[0]) for place, rows in enumerate(shards)]
    if validation:
        told.append(_write_shard(folder, "validation/part-00000", "validation", validation, codes[0]))
    totals = {split: _totals([own for own in told if own["split"] == split]) for split in ("train", "validation")}
    facts = {
        "source": name,
        "languages": codes,
        "tokenizer": dict(tokenizer),
        "corpus": {"folder": f"corpora/{name}", "summary_sha256": "b" * 64, "files": {}},
        "shards": told,
        **totals["train"],
        "validation": totals["validation"],
        "fertility": {code: {"tokens_per_word": 1.5, "tokens_per_byte": 0.3, "unknown_share": None} for code in codes},
        "moved_to_training": {},
        "not_compared": 0,
        "config": {},
        "config_hash": "c" * 64,
        "versions": {},
    }
    (folder / "tokens.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def even_rows(count: int, tokens: int, **columns: object) -> list[Row]:
    """Return documents that hold as many tokens in all, as even as can be."""
    return [{"tokens": tokens // count + (place < tokens % count), **columns} for place in range(count)]


def _write_shard(folder: Path, name: str, split: str, rows: Sequence[Row], language: str) -> dict[str, object]:
    prefix = folder / name
    prefix.parent.mkdir(parents=True, exist_ok=True)
    table = prefix.with_name(f"{prefix.name}.documents.parquet")
    common = {"language": language, "split": split, "file": "a.parquet"}
    filled = [{"document_id": f"{place:032x}", "row": place, **common, **row} for place, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(filled or [{"tokens": 0}]).slice(0, len(filled)), table, row_group_size=1000)
    tokens, index = prefix.with_name(f"{prefix.name}.bin"), prefix.with_name(f"{prefix.name}.idx")
    tokens.write_bytes(f"{folder.name} {name} {[row['tokens'] for row in rows[:9]]}".encode())
    index.write_bytes(bytes(index_bytes(len(rows))))
    return {
        "name": name,
        "split": split,
        "sequences": len(rows),
        "tokens": sum(int(str(row["tokens"])) for row in rows),
        "bin_bytes": tokens.stat().st_size,
        "bin_checksum": file_checksum(tokens),
        "idx_checksum": file_checksum(index),
        "documents_checksum": file_checksum(table),
    }


def _totals(shards: Sequence[Mapping[str, object]]) -> dict[str, int]:
    documents, tokens = (sum(int(str(own[what])) for own in shards) for what in ("sequences", "tokens"))
    return {
        "documents": documents,
        "tokens": tokens,
        "words": tokens,
        "characters": 4 * tokens,
        "utf8_bytes": 4 * tokens,
    }
