"""One file of documents -> token shards: one for training, and one for validation where documents are held out.

Row i of `<shard>.documents.parquet` tells of sequence i. Documents that are left out, see `disjoint.py`, are in
neither, and rows of `left_out.parquet`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.ledger import check_conservation
from curation.stage import Result
from filters.words import Segmentation, segmenter_for
from mixing.tokens.corpus_folder import read_batches
from mixing.tokens.document_columns import Measured, columns_read, count_words, documents_schema, documents_table
from mixing.tokens.encoder import Encoder
from mixing.tokens.indexed import IndexedWriter, TokenType, shard_paths
from mixing.tokens.token_source import LEFT_OUT_FILE, Split, documents_path

SUMS = ("documents", "tokens", "words", "characters", "utf8_bytes", "unknown")
LEFT_OUT = pa.schema(
    [
        pa.field("document_id", pa.string()),
        pa.field("file", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("language", pa.string()),
        pa.field("reason", pa.string()),  # `equal` or `near`: what a standing source holds out
    ]
)
_GROUP_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class TokenizeShard:
    """The payload of one task.

    Attributes:
        documents: Parquet file of documents.
        held_out: file of the rows that are held out.
        left_out: file of the rows that are in neither split.
        equal: file of those of them whose text is held out elsewhere.
        language: of documents that name none.
        segmentation: how words are found where the corpus has not counted them.
        tokenizer: its `tokenizer.json`.
        sha256: of that file.
        eod_id: the token that ends a document.
        unknown_id: the token for what the vocabulary cannot tell, if it has one.
        dtype: what tokens are stored as.
    """

    documents: Path
    held_out: Path
    left_out: Path
    equal: Path
    language: str
    segmentation: Segmentation
    tokenizer: Path
    sha256: str
    eod_id: int
    unknown_id: int | None
    dtype: TokenType


def tokenize_documents(payload: object, out: Path, scratch: Path) -> Result:
    """Write `train` and `validation`, each `.bin`, `.idx` and `.documents.parquet`, where they have documents.

    `left_out.parquet` tells of the documents that are left out, where there are some.

    Raises:
        UserError: the file of documents is damaged.
        ConservationError: not every document is in one of the three.
    """
    assert isinstance(payload, TokenizeShard)
    segmenter = segmenter_for(payload.language, payload.segmentation)
    encoder = Encoder(payload.tokenizer, payload.sha256, payload.eod_id, payload.dtype)
    file_schema = pq.read_schema(payload.documents)
    schema = documents_schema(file_schema)
    rows = pq.read_metadata(payload.documents).num_rows
    held_out, left_out = np.load(payload.held_out), np.load(payload.left_out)
    sums: Counter[tuple[Split, str, str]] = Counter()
    others = [LEFT_OUT.empty_table()]
    wanted: dict[Split, bool] = {"train": len(held_out) + len(left_out) < rows, "validation": len(held_out) > 0}
    with ExitStack() as stack:
        splits = {
            split: stack.enter_context(_Shard(out / split, payload.dtype, schema))
            for split, own in wanted.items()
            if own
        }
        start = 0
        for whole in read_batches(payload.documents, columns_read(file_schema)):
            own_rows = np.arange(start, start + whole.num_rows)
            start += whole.num_rows
            is_left_out = np.isin(own_rows, left_out)
            if is_left_out.any():
                others.append(_left_out_rows(payload, whole.filter(pa.array(is_left_out)), own_rows[is_left_out]))
            batch, own_rows = whole.filter(pa.array(~is_left_out)), own_rows[~is_left_out]
            is_held_out = np.isin(own_rows, held_out)
            texts: list[str] = batch.column("text").to_pylist()
            tokens, unknown = _tokenize(texts, payload.unknown_id, encoder, splits, is_held_out)
            measured = Measured(own_rows, tokens, count_words(batch, texts, segmenter), is_held_out)
            table = documents_table(batch, schema, payload.documents.name, payload.language, measured)
            for split, shard in splits.items():
                shard.add_rows(table.filter(pc.equal(table["split"], split)))
            _add_sums(sums, table, unknown)
    left = pa.concat_tables(others)
    if left.num_rows:
        pq.write_table(left, out / LEFT_OUT_FILE, compression="zstd")
    counts: dict[str, int] = {split: shard.sequences for split, shard in splits.items()}
    check_conservation(f"tokens of {payload.documents}", rows, counts | {"left_out": left.num_rows})
    details: dict[str, object] = {
        "sums": [[*key, count] for key, count in sorted(sums.items())],
        "left_out": dict(sorted(Counter(left["language"].to_pylist()).items())),
        "shards": {
            split: {
                "sequences": shard.sequences,
                "tokens": shard.tokens,
                "bin_bytes": shard_paths(out / split)[0].stat().st_size,
            }
            for split, shard in splits.items()
        },
    }
    return Result({"documents": rows, "tokens": sum(shard.tokens for shard in splits.values())}, details)


def _left_out_rows(payload: TokenizeShard, batch: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.Table:
    count = batch.num_rows
    named = batch.column("language") if "language" in batch.schema.names else pa.nulls(count, pa.string())
    columns = [
        batch.column("id").cast(pa.string()),
        pa.array([payload.documents.name] * count, pa.string()),
        pa.array(rows),
        pc.fill_null(named.cast(pa.string()), payload.language),
        pa.array(np.where(np.isin(rows, np.load(payload.equal)), "equal", "near").tolist(), pa.string()),
    ]
    return pa.table(columns, schema=LEFT_OUT)


def _tokenize(
    texts: list[str],
    unknown_id: int | None,
    encoder: Encoder,
    splits: Mapping[Split, _Shard],
    is_held_out: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write the tokens of some texts, and return how many each has, and how many of them are unknown ones."""
    tokens, unknown = (np.zeros(len(texts), dtype=np.int64) for _ in range(2))
    for number, sequence in enumerate(encoder.encode(texts)):
        splits["validation" if is_held_out[number] else "train"].sequences_of.add(sequence)
        tokens[number] = len(sequence)
        if unknown_id is not None:
            unknown[number] = np.count_nonzero(sequence == unknown_id)
    return tokens, unknown


def _add_sums(sums: Counter[tuple[Split, str, str]], table: pa.Table, unknown: NDArray[np.int64]) -> None:
    languages, splits = (np.array(table[name].to_pylist(), dtype=np.str_) for name in ("language", "split"))
    columns = {name: table[name].to_numpy() for name in SUMS if name in table.schema.names} | {"unknown": unknown}
    for split in ("train", "validation"):
        for language in np.unique(languages[splits == split]).tolist():
            own = (languages == language) & (splits == split)
            sums[split, language, "documents"] += int(own.sum())
            for name, values in columns.items():
                sums[split, language, name] += int(values[own].sum())


class _Shard:
    """The three files of a split while they are written."""

    def __init__(self, prefix: Path, dtype: TokenType, schema: pa.Schema) -> None:
        self.sequences_of = IndexedWriter(prefix, dtype)
        self._path, self._schema = documents_path(prefix), schema
        self._waiting: list[pa.Table] = []
        self._rows = 0

    @property
    def sequences(self) -> int:
        """Documents written."""
        return self.sequences_of.sequences

    @property
    def tokens(self) -> int:
        """Tokens written."""
        return self.sequences_of.tokens

    def __enter__(self) -> _Shard:
        self._stack = ExitStack()
        self._stack.enter_context(self.sequences_of)
        self._writer = self._stack.enter_context(
            pq.ParquetWriter(self._path, self._schema, compression="zstd", version="2.6")
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._stack.__exit__(kind, error, trace)

    def add_rows(self, table: pa.Table) -> None:
        """Add rows of the table of documents; row groups depend on their number alone."""
        while self._rows + table.num_rows >= _GROUP_ROWS:
            fitting = _GROUP_ROWS - self._rows
            self._waiting.append(table.slice(0, fitting))
            self._flush()
            table = table.slice(fitting)
        self._waiting.append(table)
        self._rows += table.num_rows

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting) if self._waiting else self._schema.empty_table()
        if table.num_rows:
            self._writer.write_table(table.combine_chunks(), row_group_size=_GROUP_ROWS)
        self._waiting, self._rows = [], 0
