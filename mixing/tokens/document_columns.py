"""`<shard>.documents.parquet`: which document each sequence is, and the columns that a mixture may choose it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dedup.stretches import stretches
from filters.scripts import code_points
from filters.words import Segmenter

# Words are counted in pieces: what is made of a text takes ten times its memory.
_STRETCH_CHARS = 1 << 18
# Columns that a token shard has of every corpus, and those that it has where the corpus has them.
COLUMNS = (
    ("document_id", pa.string()),
    ("url", pa.string()),
    ("language", pa.string()),
    ("file", pa.string()),
    ("row", pa.int64()),
    ("tokens", pa.int64()),
    ("words", pa.int64()),
    ("characters", pa.int64()),
    ("utf8_bytes", pa.int64()),
    ("split", pa.string()),
)
_OPTIONAL = (
    ("date", pa.string()),
    ("source", pa.string()),
    ("cluster_size", pa.int64()),
    ("perplexity_bucket", pa.string()),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is counted of each document of a batch of N, shape (N,) each.

    Attributes:
        rows: of the documents in their file.
        tokens: with the one that ends each document.
        words: of the texts.
        is_held_out: whether a document is for validation.
    """

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    words: NDArray[np.int64]
    is_held_out: NDArray[np.bool_]


def documents_schema(file_schema: pa.Schema) -> pa.Schema:
    """Return the columns of `<shard>.documents.parquet` for a table of documents: numbers of `metrics` lie flat."""
    fields = [pa.field(name, kind) for name, kind in COLUMNS]
    fields += [pa.field(name, kind) for name, kind in _OPTIONAL if name in file_schema.names]
    fields += [pa.field(f"metrics.{name}", pa.float64()) for name in _metrics(file_schema)]
    return pa.schema(fields)


def _metrics(file_schema: pa.Schema) -> list[str]:
    if "metrics" not in file_schema.names or not pa.types.is_struct(file_schema.field("metrics").type):
        return []
    fields = file_schema.field("metrics").type
    return [own.name for own in fields if pa.types.is_floating(own.type) or pa.types.is_integer(own.type)]


def columns_read(file_schema: pa.Schema) -> list[str]:
    """Return the columns that are read of a table of documents."""
    names = ("id", "text", "url", "language", *(name for name, _ in _OPTIONAL), "metrics")
    return [name for name in names if name in file_schema.names]


def count_words(batch: pa.RecordBatch, texts: Sequence[str], segmenter: Segmenter) -> NDArray[np.int64]:
    """Return the words of each text: as the corpus has counted them, or else counted in the same way."""
    if "words" in _metrics(batch.schema):
        counted = pc.struct_field(batch.column("metrics"), "words").cast(pa.float64())
        if not counted.null_count and np.isfinite(counted.to_numpy(zero_copy_only=False)).all():
            return np.asarray(counted.to_numpy(zero_copy_only=False), dtype=np.int64)
    return np.array([_count_words(text, segmenter) for text in texts], dtype=np.int64)


def _count_words(text: str, segmenter: Segmenter) -> int:
    return sum(len(segmenter.spans(piece, code_points(piece))[0]) for piece in stretches(text, _STRETCH_CHARS))


def documents_table(batch: pa.RecordBatch, schema: pa.Schema, file: str, language: str, measured: Measured) -> pa.Table:
    """Return the rows of a batch of documents, of both splits, from the file of a name."""
    text = batch.column("text")
    columns: dict[str, pa.Array] = {
        "document_id": batch.column("id"),
        "file": pa.array([file] * batch.num_rows, pa.string()),
        "row": pa.array(measured.rows),
        "tokens": pa.array(measured.tokens),
        "words": pa.array(measured.words),
        "characters": pc.utf8_length(text),
        "utf8_bytes": pc.binary_length(text),
        "split": pa.array(np.where(measured.is_held_out, "validation", "train").tolist(), pa.string()),
    }
    for name in ("url", "language", *(name for name, _ in _OPTIONAL)):
        if name in batch.schema.names:
            columns[name] = batch.column(name)
    columns.setdefault("url", pa.nulls(batch.num_rows, pa.string()))
    columns.setdefault("language", pa.nulls(batch.num_rows, pa.string()))
    columns["language"] = pc.fill_null(columns["language"].cast(pa.string()), language)
    for name in _metrics(batch.schema):
        columns[f"metrics.{name}"] = pc.struct_field(batch.column("metrics"), name)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)
