"""The tables of the parallel job: what passes between its stages, and what users get."""

from __future__ import annotations

import pyarrow as pa

from filters.parallel.measures import PAIR_MEASURES

# Scores of a whole pair: of the rules' measures together, and of LASER's embeddings. Null where none was taken.
SCORES = ("rules", "laser_cosine", "laser_margin")
SCORES_TYPE = pa.struct([pa.field(name, pa.float64()) for name in SCORES])

# What a pair has from reading on. `source` is the name of the input and `sequence` the place in it: together the key.
PAIR_FIELDS = (
    pa.field("id", pa.string(), nullable=False),
    pa.field("src_lang", pa.string(), nullable=False),
    pa.field("tgt_lang", pa.string(), nullable=False),
    pa.field("src_text", pa.string(), nullable=False),
    pa.field("tgt_text", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("sequence", pa.int64(), nullable=False),
    pa.field("src_origin", pa.string()),
    pa.field("tgt_origin", pa.string()),
    pa.field("input_score", pa.float64()),
)
WORK_PAIRS = pa.schema(PAIR_FIELDS)

# corpora/parallel/<src>-<tgt>/pairs/*.parquet; `cluster_size` counts the pairs that this one stands for, itself among
# them.
PAIRS = pa.schema(
    [
        *PAIR_FIELDS,
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("scores", SCORES_TYPE, nullable=False),
    ]
)

# The measures of a part's pairs, row by row, and what LASER's embeddings say of those that come so far.
WORK_PAIR_MEASURES = pa.schema(
    [
        *(pa.field(name, pa.float64(), nullable=False) for name in PAIR_MEASURES),
        pa.field("score_rules", pa.float64(), nullable=False),
    ]
)
LASER_SCORES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("score_laser_cosine", pa.float64(), nullable=False),
        pa.field("score_laser_margin", pa.float64()),
    ]
)

# corpora/parallel/<src>-<tgt>/measures/*.parquet: one row for each pair that was read, kept or not
PUBLISHED_PAIR_MEASURES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("cluster_size", pa.int64(), nullable=False),
        *(pa.field(f"score_{name}", pa.float64()) for name in SCORES),
        *(pa.field(name, pa.float64()) for name in PAIR_MEASURES),
    ]
)

# Where in a document each pair stands: spans count characters (code points).
TOLD_PAIR = pa.struct(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("template", pa.string()),
        pa.field("style", pa.string(), nullable=False),
        pa.field("direction", pa.string(), nullable=False),
        pa.field("src_start", pa.int64(), nullable=False),
        pa.field("src_end", pa.int64(), nullable=False),
        pa.field("tgt_start", pa.int64(), nullable=False),
        pa.field("tgt_end", pa.int64(), nullable=False),
    ]
)
# corpora/parallel/<src>-<tgt>/documents/*.parquet: pairs told as text. The columns of a web document that mean
# something here, by the same names; `language` is the pair, `de-en`.
PAIR_DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("language", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("pairs", pa.list_(TOLD_PAIR), nullable=False),
    ]
)
