"""`make where TOKEN=<source>/<shard>:<offset>`: from a training token back to its document, its URL and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from configs.errors import UserError
from mixing.tokens.corpus_folder import reading_table
from mixing.tokens.encoder import Encoder
from mixing.tokens.folder import kept_tokenizer
from mixing.tokens.token_source import TokenShard, TokenSource, file_checksum, load_token_source

_AROUND_CHARS = 200
_LEDGER_COLUMNS = ("document_id", "record_id", "url", "outcome", "warc_file", "warc_offset", "sequence")
_SIDES = ("src", "tgt")
# A row of a published table.
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token came from.

    Attributes:
        token: its number.
        written: as the vocabulary writes it.
        document: row of `<shard>.documents.parquet`.
        position: of the token in the document.
        before, text, after: what stands around it, and the characters that it stands for; several tokens may tell parts
            of one character. The token that ends a document stands for none.
        pairs: of a parallel corpus, the pairs at that place, or next to it.
        records: rows of the ledger: what the document, or each of the pairs, was made of.
    """

    token: int
    written: str
    document: Row
    position: int
    before: str
    text: str
    after: str
    pairs: list[str]
    records: list[Row]


def parse_token(text: str) -> tuple[str, str, int]:
    """Return source, shard and offset of `<source>/<shard>:<offset>`.

    Raises:
        UserError: it is written otherwise.
    """
    names, colon, offset = text.strip().rpartition(":")
    source, slash, shard = names.partition("/")
    if not (colon and slash and source and shard and offset.isascii() and offset.isdigit()) or source.startswith("."):
        raise UserError(
            f"TOKEN={text} names no token; write <source>/<shard>:<offset>, as el/00000-00000:1234; the offset counts "
            "tokens from the beginning of the shard's .bin"
        )
    return source, shard, int(offset)


def find_place(out: Path, wanted: str, corpus: Path | None = None) -> Place:
    """Return where a token came from.

    Args:
        out: folder of token sources.
        wanted: `<source>/<shard>:<offset>`.
        corpus: where the corpus is now; None takes the folder that it was in.

    Raises:
        UserError: there is no such token, or tokens, tokenizer or corpus are not those of then; the message says which.
    """
    name, shard_name, offset = parse_token(wanted)
    source = load_token_source(out / name)
    shard = next((own for own in source.shards if own.name == shard_name), None)
    if shard is None:
        known = ", ".join(own.name for own in source.shards[:10])
        more = f" and {len(source.shards) - 10} more" if len(source.shards) > 10 else ""
        raise UserError(f"{source.folder} has no shard {shard_name!r}; it has: {known}{more}")
    if offset >= shard.tokens:
        raise UserError(f"{wanted}: the shard has {shard.tokens:,} tokens, so the last offset is {shard.tokens - 1}")
    reader = source.open(shard)
    at = offset * reader.dtype.itemsize
    number = int(np.searchsorted(reader.pointers, at, side="right")) - 1
    position = (at - int(reader.pointers[number])) // reader.dtype.itemsize
    tokens = reader.sequence(number)
    document = _row(source.documents_path(shard), number)
    folder = corpus.expanduser().absolute() if corpus is not None else Path(source.corpus.folder)
    row = _corpus_row(source, shard, folder, document)
    text = str(row["text"])
    encoder, written = _encoder(out, source, int(tokens[position]))
    if not np.array_equal(next(iter(encoder.encode([text]))), tokens):
        raise UserError(f"{source.prefix(shard)}.bin does not hold the tokens of {document['document_id']} any more")
    start, end = encoder.place(text, position) if position < len(tokens) - 1 else (len(text), len(text))
    pairs = _pairs(row, start, end)
    return Place(
        token=int(tokens[position]),
        written=written,
        document=document,
        position=position,
        before=text[max(0, start - _AROUND_CHARS) : start],
        text=text[start:end],
        after=text[end : end + _AROUND_CHARS],
        pairs=pairs,
        records=_records(folder / "ledger", pairs or [str(document["document_id"])]),
    )


def _encoder(out: Path, source: TokenSource, token: int) -> tuple[Encoder, str]:
    kept = kept_tokenizer(out, None)
    if kept is None or kept.sha256 != source.tokenizer.sha256:
        raise UserError(f"{out} has no longer the tokenizer of {source.source}: put its tokenizer.json back there")
    encoder = Encoder(kept.path, kept.sha256, source.tokenizer.eod_id, source.tokenizer.dtype)
    return encoder, encoder.written(token)


def _corpus_row(source: TokenSource, shard: TokenShard, folder: Path, document: Row) -> Row:
    """Return the document in its corpus, after looking whether the file is still the one that was tokenized."""
    file = str(document["file"])
    path = folder / "documents" / file
    if file not in source.corpus.files or Path(file).name != file:
        raise UserError(f"{source.documents_path(shard)} names a file that was not tokenized: {file}")
    if not path.is_file():
        raise UserError(f"the corpus is no longer in {folder}: say where it is with CORPUS=...")
    if file_checksum(path) != source.corpus.files[file]:
        raise UserError(f"{path} was written anew since it was tokenized: run `make tokens` again")
    return _row(path, int(str(document["row"])))


def _row(path: Path, number: int) -> Row:
    """Return one row of a Parquet file, of which a row group is read."""
    with reading_table(path), pq.ParquetFile(path) as table:
        start = 0
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if number < start + rows:
                found: list[dict[str, object]] = table.read_row_group(group).slice(number - start, 1).to_pylist()
                return found[0]
            start += rows
    raise UserError(f"{path} has no row {number}: it is not the file that was tokenized")


def _pairs(row: Row, start: int, end: int) -> list[str]:
    """Return the ids of the pairs at some characters of a document of a parallel corpus: those that stand nearest."""
    told = row.get("pairs")
    if not isinstance(told, list) or not told:
        return []
    distances = [
        min(max(0, pair[f"{side}_start"] - max(start, end - 1), start - pair[f"{side}_end"] + 1) for side in _SIDES)
        for pair in told
    ]
    return [str(pair["id"]) for pair, own in zip(told, distances, strict=True) if own == min(distances)]


def _records(folder: Path, identifiers: Sequence[str]) -> list[Row]:
    """Return the rows of a ledger with some document ids."""
    paths = [str(path) for path in sorted(folder.glob("*.parquet"))]
    if not paths:
        return []
    with reading_table(folder):
        table = ds.dataset(paths, format="parquet")
        columns = [name for name in _LEDGER_COLUMNS if name in table.schema.names]
        found = table.to_table(columns, ds.field("document_id").isin(pa.array(sorted(identifiers), pa.string())))
    rows: list[Row] = found.to_pylist()
    return [row for row in rows if row.get("outcome") == "kept"] or rows
