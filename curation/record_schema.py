"""The tables that the crawl writes. They know nothing of measures: no change of these reads an archive again."""

from __future__ import annotations

import pyarrow as pa

# The kinds of `filters.pii`, which brings the numbering plans of all countries along; a test compares the two.
PII_KINDS = ("email", "iban", "ip", "card", "phone")
# Places of personal data that were replaced, by kind.
PII_TYPE = pa.struct([pa.field(kind, pa.int64()) for kind in PII_KINDS])

# What a document has from the crawl on; `schema.DOCUMENTS` adds what later stages know of it.
DOCUMENT_FIELDS = (
    pa.field("id", pa.string(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("url", pa.string()),
    pa.field("date", pa.string()),
    pa.field("language", pa.string(), nullable=False),
    pa.field("language_score", pa.float64(), nullable=False),
    pa.field("source", pa.string()),
    pa.field("warc_file", pa.string()),
    pa.field("warc_offset", pa.int64()),
)

# Between the stages a document keeps its place in the input, and the identity of its record.
WORK_DOCUMENTS = pa.schema(
    [
        *DOCUMENT_FIELDS,
        pa.field("first_language", pa.string(), nullable=False),
        pa.field("pii", PII_TYPE),
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("record_type", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
    ]
)

# corpora/<language>/ledger/*.parquet: one row for each record of the input
LEDGER = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("language", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("duplicate_of", pa.string()),
        pa.field("similarity", pa.float64()),
        pa.field("document_id", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("pii", PII_TYPE),
        pa.field("record_type", pa.string(), nullable=False),
        pa.field("warc_file", pa.string(), nullable=False),
        pa.field("warc_offset", pa.int64(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
    ]
)
