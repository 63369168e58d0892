"""What the readers of parallel corpora hand on: one `Pair` or `BadPair` for each unit of an input, in its order.

A unit is a line (line-aligned files, TSV, JSONL), a row (Parquet), a translation unit (TMX) or a link (XCES). Texts are
handed on as they stand: NUL and other control characters, line feeds inside a TMX segment or a table's cell, tabs
inside a line of a Moses file and white space at the ends are all kept, for normalisation to deal with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from configs.load import StrictModel
from curation.records import Outcome


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that the input says are translations of each other; one of them may be empty.

    Attributes:
        source: name of the input, see `ParallelInput.name`.
        sequence: position among the units of the input, from 0: with `source` the unique key.
        src_text: text in the source language of the job, whichever side of the input it stands on.
        tgt_text: text in the target language.
        src_origin: document identifier or address of the source side, or None.
        tgt_origin: the same of the target side.
        score: score that the input gives, finite, on that input's own scale; or None.
    """

    source: str
    sequence: int
    src_text: str
    tgt_text: str
    src_origin: str | None = None
    tgt_origin: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class BadPair:
    """A unit whose way ends at ingest.

    Attributes:
        source: name of the input.
        sequence: position among the units of the input, from 0.
        outcome: `failed` (the unit cannot be read), `dropped` (a limit, or a side that is not there) or `skipped` (what
            is no pair by design: a header, a blank line between documents).
        rule: why: `line_too_long`, `not_utf8`, `unreadable_bytes`, `decompression_budget`, `malformed_xml`,
            `doctype_declaration`, `undefined_entity`, `side_missing`, `sentence_missing`, `document_missing`,
            `document_too_large`, `unreadable_document`, `column_count`, `malformed_json`, `missing_text`,
            `other_language`, `blank_line`, `header`. After `unreadable_bytes`, `decompression_budget` and
            `doctype_declaration` nothing more of the input is read, so that one stands for all the rest.
        detail: in words, or None.
    """

    source: str
    sequence: int
    outcome: Outcome
    rule: str
    detail: str | None = None


Unit = Pair | BadPair
Column = Annotated[int, Field(ge=1, strict=True)] | Annotated[str, Field(min_length=1)]


class PairColumns(StrictModel):
    """Where the sides stand in a table: a column's number from 1 (TSV) or its name (TSV with a header, JSONL, Parquet).

    Attributes:
        src: of the text in the source language of the job.
        tgt: of the text in its target language.
        score: of a score.
        src_origin: of the source side's document identifier or address.
        tgt_origin: the same of the target side.
    """

    src: Column
    tgt: Column
    score: Column | None = None
    src_origin: Column | None = None
    tgt_origin: Column | None = None

    @model_validator(mode="after")
    def _two_sides(self) -> PairColumns:
        if self.src == self.tgt:
            raise ValueError(f"src and tgt are both {self.src!r}: a pair has two columns")
        return self


class PairIngestConfig(StrictModel):
    """Limits of reading, and the columns of tables that are of no known layout.

    Attributes:
        max_line_bytes: longest line, segment or cell, in bytes of UTF-8; a longer one is dropped unread.
        max_expansion: how many times its stored size an input may hold once it is decompressed; None for no limit.
            The first 64 MiB are always read.
        max_document_bytes: largest sentence file that an XCES alignment may name, decompressed: its sentences are in
            memory while its links are read.
        columns: columns of TSV, JSONL and Parquet inputs; None recognises the layouts that are stated in `tsv_layout`
            and `tables`.
    """

    max_line_bytes: int = Field(default=1 << 20, ge=16)
    max_expansion: int | None = Field(default=200, ge=1)
    max_document_bytes: int = Field(default=256 << 20, ge=1 << 10)
    columns: PairColumns | None = None
