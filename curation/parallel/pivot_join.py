"""Matched rows of two corpora -> candidates, once their texts in the shared language were seen to be the same.

texts   a task a file of pairs        the texts of the matched rows, by file of candidates
join    a task a file of candidates   all pairs with one shared text, in the order of its hash
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from curation.duplicates.shuffle import read_partition
from curation.parallel.pivot_corpora import SIDE_ROWS, SIDES, PivotPart
from curation.parallel.pivot_match import HASHES, MATCHED_ROWS, bucket, hash_rows
from curation.parallel.pivot_partners import products
from curation.stage import Result
from curation.store import TableWriter

MATCHED_TEXTS = pa.schema([*HASHES, *SIDE_ROWS])
_STRINGS = (
    "id", "src_lang", "tgt_lang", "src_text", "tgt_text", "pivot_lang", "pivot_text", "src_pair", "tgt_pair",
    "src_source", "tgt_source",
)  # fmt: skip
# corpora/parallel/candidates/<src>-<tgt>/pairs/*.parquet. `src_pair` is the id of the pair that the source comes from,
# `src_source` and `src_origin` its input and document; `score` is the smaller one of the two pairs' scores.
CANDIDATES = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _STRINGS),
        pa.field("src_origin", pa.string()),
        pa.field("tgt_origin", pa.string()),
        pa.field("score", pa.float64()),
    ]
)

# Candidates are made so many, or so many bytes of text, at a time.
_GROUP_ROWS, _GROUP_BYTES = 2_000, 8 << 20


@dataclass(frozen=True, slots=True)
class TextsPart:
    """The payload of one task that sends the texts of a file's matched rows on.

    Attributes:
        part: the file.
        matched: files of matched rows of its corpus, of all partitions.
        files: number of files of candidates.
    """

    part: PivotPart
    matched: tuple[Path, ...]
    files: int


def pivot_texts_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `texts.arrow`: the matched rows of a file with their texts, a record batch a file of candidates."""
    assert isinstance(payload, TextsPart)
    rows = np.sort(read_partition(payload.matched, payload.part.number, MATCHED_ROWS)["row"].astype(np.int64))
    found = [MATCHED_TEXTS.empty_table()]
    for _, batch in payload.part.read(rows):
        hashes = hash_rows(batch)
        columns = [*(pa.array(hashes[field.name]) for field in HASHES), *batch.columns]
        found.append(pa.table(columns, schema=MATCHED_TEXTS))
    table = pa.concat_tables(found)
    own = bucket(table["hash0"].to_numpy().astype(np.uint64), payload.files)
    batch = _one_batch(table.take(pa.array(np.argsort(own, kind="stable"))))
    borders = np.searchsorted(np.sort(own), np.arange(payload.files + 1)).tolist()
    with pa.OSFile(str(out / "texts.arrow"), "wb") as sink, pa.ipc.new_file(sink, MATCHED_TEXTS) as file:
        for start, end in itertools.pairwise(borders):
            file.write_batch(batch.slice(start, end - start))
    return Result({"rows": table.num_rows})


@dataclass(frozen=True, slots=True)
class CandidatesFile:
    """The payload of one task that writes a file of candidates.

    Attributes:
        texts: files of matched texts of the two corpora.
        number: of the file.
        languages: of source, target and the shared text.
    """

    texts: tuple[tuple[Path, ...], tuple[Path, ...]]
    number: int
    languages: tuple[str, str, str]


def pivot_join_file(payload: object, out: Path, scratch: Path) -> Result:
    """Write `pairs.parquet`: all pairs of a source and a target whose shared texts are the same."""
    assert isinstance(payload, CandidatesFile)
    src, tgt = (_read_texts(paths, payload.number) for paths in payload.texts)
    first, second = products(_hashes(src), _hashes(tgt))
    counts = {"candidates": 0, "not_equal": 0}
    with TableWriter(out / "pairs.parquet", CANDIDATES, _GROUP_ROWS) as writer:
        for chunk in _chunks(_text_bytes(src)[first] + _text_bytes(tgt)[second]):
            own, other = src.take(pa.array(first[chunk])), tgt.take(pa.array(second[chunk]))
            equal = pc.equal(own["pivot_text"], other["pivot_text"])
            made = _candidates(own.filter(equal), other.filter(equal), payload.languages)
            if made.num_rows:
                writer.write_table(made)
            counts["candidates"] += made.num_rows
            counts["not_equal"] += len(equal) - made.num_rows
    return Result(counts)


def _read_texts(paths: Sequence[Path], number: int) -> pa.RecordBatch:
    batches = []
    for path in paths:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            batches.append(file.get_batch(number))
    return _one_batch(pa.Table.from_batches(batches, schema=MATCHED_TEXTS))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.record_batch([column.combine_chunks() for column in table.columns], schema=table.schema)


def _hashes(rows: pa.RecordBatch) -> tuple[NDArray[np.uint64], ...]:
    return tuple(rows[field.name].to_numpy(zero_copy_only=False).astype(np.uint64) for field in HASHES)


def _text_bytes(rows: pa.RecordBatch) -> NDArray[np.int64]:
    lengths = [pc.binary_length(rows[name]).to_numpy(zero_copy_only=False) for name in ("pivot_text", "text")]
    return np.asarray(lengths[0] + lengths[1], dtype=np.int64)


def _chunks(sizes: NDArray[np.int64]) -> Iterator[slice]:
    """Yield stretches of candidates of bounded number and bytes, of one candidate at least."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(ends):
        limit = ends[start] - sizes[start] + _GROUP_BYTES
        end = min(start + _GROUP_ROWS, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, max(start + 1, end))
        start = max(start + 1, end)


def _candidates(src: pa.RecordBatch, tgt: pa.RecordBatch, languages: tuple[str, str, str]) -> pa.Table:
    columns = {"pivot_text": src["pivot_text"]}
    for name, language in zip((*SIDES, "pivot"), languages, strict=True):
        columns[f"{name}_lang"] = pa.repeat(language, src.num_rows)
    for name, rows in zip(SIDES, (src, tgt), strict=True):
        columns |= {f"{name}_{column}": rows[column] for column in ("text", "pair", "source", "origin")}
    columns["score"] = pc.min_element_wise(src["score"], tgt["score"], skip_nulls=False)
    pairs = zip(src["pair"].to_pylist(), tgt["pair"].to_pylist(), strict=True)
    columns["id"] = pa.array([xxhash.xxh3_128_hexdigest(json.dumps(pair).encode()) for pair in pairs], pa.string())
    return pa.table([columns[name] for name in CANDIDATES.names], names=CANDIDATES.names)
