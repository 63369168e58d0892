"""The tables that pass between stages and to the user, save those that the crawl itself writes (`record_schema.py`)."""

from __future__ import annotations

import pyarrow as pa

from curation.record_schema import DOCUMENT_FIELDS, LEDGER
from filters.metrics import MEASURES

METRICS_TYPE = pa.struct([pa.field(name, pa.float64()) for name in MEASURES])

# corpora/<language>/documents/*.parquet
DOCUMENTS = pa.schema(
    [
        *DOCUMENT_FIELDS,
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("removed_chars", pa.int64(), nullable=False),
        pa.field("perplexity_bucket", pa.string()),
        pa.field("metrics", METRICS_TYPE, nullable=False),
    ]
)

# corpora/<language>/measures/*.parquet: one row for each document that was measured, kept or not
PUBLISHED_MEASURES = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("rule", pa.string()),
        pa.field("utf8_bytes", pa.int64(), nullable=False),
        pa.field("excerpt", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in MEASURES),
    ]
)

# corpora/<language>/spans/*.parquet: one row for each stretch that was cut out of a document
PUBLISHED_SPANS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("duplicate_of", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)

# The measures of a part's documents, row by row.
WORK_MEASURES = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("metrics", METRICS_TYPE, nullable=False),
    ]
)

# Rows of a part's documents that the rules keep.
KEPT_ROWS = pa.schema([pa.field("row", pa.int64(), nullable=False)])
# Who a document is, as numbers: the order of `rank0`, `rank1`, `rank2`, `id0`, `id1` says which of two is the better
# one (see `curation.duplicates.identities`); `id0` and `id1` are the two halves of its id.
IDENTITY_NAMES = ("rank0", "rank1", "rank2", "id0", "id1")
IDENTITIES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        *(pa.field(name, pa.uint64(), nullable=False) for name in IDENTITY_NAMES),
    ]
)


def _numbers(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.uint64(), nullable=False) for name in names]


# The 128-bit hash that exact duplicates share, by row, and on its way to its partition.
EXACT_HASHES = pa.schema([pa.field("row", pa.int64(), nullable=False), *_numbers("hash0", "hash1")])
EXACT_KEYS = pa.schema(_numbers("hash0", "hash1", "place"))
BAND_KEYS = pa.schema(_numbers("key", "place"))
# The band keys of a part's documents, by row.
SIGNATURES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("band_keys", pa.list_(pa.uint64()), nullable=False),
    ]
)
# corpora/<language>/index/*.parquet: what a later crawl has to know of each published document, row by row
INDEX = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        *_numbers(*IDENTITY_NAMES, "hash0", "hash1"),
        pa.field("band_keys", pa.list_(pa.uint64())),
    ]
)
# Documents that share a band key with another one, sorted by bucket; and the same documents by place.
BUCKETS = pa.schema(_numbers("bucket", "place"))
CANDIDATES = pa.schema(_numbers("place"))
SHINGLES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("shingles", pa.large_list(pa.uint64()), nullable=False),
    ]
)
# Pairs of documents that are truly similar, the better one first.
EDGES = pa.schema([*_numbers("better", "worse"), pa.field("similarity", pa.float64(), nullable=False)])
# Pairs of documents that belong to one cluster (see `curation.duplicates.components`).
LINKS = pa.schema(_numbers("first", "second"))
# Documents that go as a whole, each for one that stays. `row` is the row in the part's file of documents.
DUPLICATES = pa.schema(
    [
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("duplicate_of", pa.string(), nullable=False),
        pa.field("duplicate_of_part", pa.int64(), nullable=False),
        pa.field("duplicate_of_row", pa.int64(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
    ]
)
# Stretches inside documents that another document holds, too: characters [start, end) of the document's text.
SPANS = pa.schema(
    [
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("duplicate_of", pa.string(), nullable=False),
        pa.field("duplicate_of_part", pa.int64(), nullable=False),
    ]
)
# What leaves a document: the stretches to cut out, and which stage found what.
CUTS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("starts", pa.list_(pa.int64()), nullable=False),
        pa.field("ends", pa.list_(pa.int64()), nullable=False),
        pa.field(
            "found",
            pa.list_(
                pa.struct(
                    [
                        pa.field("stage", pa.string()),
                        pa.field("start", pa.int64()),
                        pa.field("end", pa.int64()),
                        pa.field("duplicate_of", pa.string()),
                    ]
                )
            ),
            nullable=False,
        ),
        pa.field("dropped_by", pa.string()),
        pa.field("removed_chars", pa.int64(), nullable=False),
        pa.field("remaining_chars", pa.int64(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("duplicate_of", pa.string()),
        pa.field("duplicate_of_part", pa.int64()),
    ]
)
# The largest clusters of near duplicates, each with its best document.
CLUSTERS = pa.schema(
    [
        pa.field("size", pa.int64(), nullable=False),
        pa.field("kept", pa.int64(), nullable=False),
        pa.field("min_similarity", pa.float64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
    ]
)
# How many documents each one stands for, itself left out.
REPRESENTED = pa.schema(_numbers("place", "count"))

# Excerpts for the report. `order` is a hash of the record: the smallest ones are shown, whatever the shards.
EXAMPLES = pa.schema(
    [
        pa.field("order", pa.uint64(), nullable=False),
        *(
            LEDGER.field(name)
            for name in ("language", "outcome", "stage", "rule", "url", "value", "threshold", "detail")
        ),
        *(LEDGER.field(name) for name in ("duplicate_of", "similarity")),
        pa.field("duplicate_of_part", pa.int64()),
        pa.field("excerpt", pa.string(), nullable=False),
    ]
)
MEASURE_SAMPLE = pa.schema(
    [
        pa.field("order", pa.uint64(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("metrics", METRICS_TYPE, nullable=False),
    ]
)
