"""`where:` of a mixture: the documents of a source that its tokens are drawn from, chosen by columns of their tables.

The tables are read in batches, only the columns that are asked for. What is chosen is written as the numbers of
documents, counted through the source's shards in their order, as a NumPy file that can be memory-mapped.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import model_validator

from configs.errors import UserError
from configs.load import StrictModel
from mixing.tokens.token_source import TokenSource

Value = bool | int | float | str | None
_BATCH_ROWS = 1 << 17
# Columns that nothing is chosen by: the split is the shard's, a row is no property of a text.
_NOT_CHOSEN_BY = ("split", "row")
# Of a NumPy file: always the same, so that the number of rows can be put in when it is known.
SLICE_HEADER_BYTES = 128


class Condition(StrictModel):
    """What a column has to be, in YAML `{min: 50, max: 100}`, one value, or a list of values.

    Attributes:
        min, max: bounds, themselves allowed; of texts, such as dates, in alphabetical order.
        any_of: values, null among them for what has none. Nothing else is true of a value that is not there.
    """

    min: float | str | None = None
    max: float | str | None = None
    any_of: tuple[Value, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: object) -> object:
        if isinstance(data, Mapping):
            return {key: _plain(value) for key, value in data.items()}
        if isinstance(data, Condition):
            return data
        return {"any_of": [_plain(value) for value in (data if isinstance(data, list | tuple) else [data])]}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        bounds = [bound for bound in (self.min, self.max) if bound is not None]
        if bool(bounds) == bool(self.any_of):
            raise ValueError("a condition is {min: ..., max: ...}, a value, or a list of values")
        if len({isinstance(bound, str) for bound in bounds}) > 1:
            raise ValueError("min and max are two numbers, or two texts")
        if len(bounds) == 2 and not self._ordered():
            raise ValueError(f"min, {self.min}, is above max, {self.max}")
        if any(isinstance(value, float) and not math.isfinite(value) for value in (*bounds, *(self.any_of or ()))):
            raise ValueError("a condition takes finite numbers")
        return self

    def _ordered(self) -> bool:
        if isinstance(self.min, str) and isinstance(self.max, str):
            return self.min <= self.max
        return isinstance(self.min, float) and isinstance(self.max, float) and self.min <= self.max

    @property
    def of_texts(self) -> bool | None:
        """Whether it is about texts, not numbers; None where both will do."""
        kinds = {isinstance(value, str) for value in (self.min, self.max, *(self.any_of or ())) if value is not None}
        return kinds.pop() if len(kinds) == 1 else None


WhereConfig = dict[str, Condition]


def _plain(value: object) -> object:
    """Return a value as conditions hold it: a date of YAML as its text, inner lists as tuples."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class ChosenDocuments:
    """What a slice chose: documents and tokens, in all, and documents by shard of the training split."""

    documents: int
    tokens: int
    by_shard: tuple[int, ...]


def slice_name(source: str, where: Mapping[str, Condition]) -> str:
    """Return the name of a slice's file: the source, and a hash of the conditions."""
    plain = json.dumps({name: own.model_dump(exclude_none=True) for name, own in where.items()}, sort_keys=True)
    return f"{source}-{hashlib.sha256(plain.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.npy"


def write_slice(source: TokenSource, where: Mapping[str, Condition], path: Path) -> ChosenDocuments:
    """Write the numbers of the chosen training documents, ascending, and return how much they are.

    In memory is one batch of rows at a time.

    Args:
        source: whose documents.
        where: conditions by column; a document fulfils all of them.
        path: of the file: int64 numbers, counted through the shards of the training split.

    Raises:
        UserError: a column does not exist or is of another kind, or a table is not that of its shard.
    """
    by_shard = []
    tokens = begin = 0
    with path.open("wb") as file:
        file.write(_header(0))
        for shard in source.of_split("train"):
            count = 0
            for rows, batch_tokens in _chosen_rows(source.documents_path(shard), where, shard.sequences):
                file.write((rows + begin).astype("<i8").tobytes())
                count, tokens = count + len(rows), tokens + batch_tokens
            by_shard.append(count)
            begin += shard.sequences
        file.seek(0)
        file.write(_header(sum(by_shard)))
        file.flush()
        os.fsync(file.fileno())
    return ChosenDocuments(sum(by_shard), tokens, tuple(by_shard))


def read_slice(path: Path) -> NDArray[np.int64]:
    """Return the numbers in a slice's file, memory-mapped.

    Raises:
        UserError: the file is not there or damaged.
    """
    try:
        numbers = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read the slice {path}: {error}; run `make mixture` again") from error
    if not isinstance(numbers, np.ndarray) or numbers.dtype != np.int64 or numbers.ndim != 1:
        raise UserError(f"{path} holds no document numbers; run `make mixture` again")
    return numbers


def map_lengths(source: TokenSource, folder: Path) -> NDArray[np.int64]:
    """Return the tokens of all training documents, through the shards in their order, shape (N,), memory-mapped.

    The file is made in `folder`, and has no name there any more when it is returned: it goes with the array.

    Raises:
        UserError: a table is not that of its shard.
    """
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for shard in source.of_split("train"):
            for batch in _batches(source.documents_path(shard), {}, shard.sequences):
                file.write(_tokens(batch).astype("<i8").tobytes())
        file.flush()
        return np.memmap(file.name, dtype="<i8", mode="r")


def _header(count: int) -> bytes:
    """Return the head of a NumPy file, format version 1.0, of `count` int64 numbers: always of the same length."""
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({count},), }}"
    return (
        b"\x93NUMPY\x01\x00"
        + (SLICE_HEADER_BYTES - 10).to_bytes(2, "little")
        + text.ljust(SLICE_HEADER_BYTES - 11).encode()
        + b"\n"
    )


def _chosen_rows(
    path: Path, where: Mapping[str, Condition], expected_rows: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the numbers of chosen rows and the tokens in them, batch by batch."""
    begin = 0
    for batch in _batches(path, where, expected_rows):
        chosen = np.ones(batch.num_rows, dtype=np.bool_)
        for name, condition in where.items():
            chosen &= _fulfils(batch.column(name), condition)
        yield np.flatnonzero(chosen) + begin, int(_tokens(batch)[chosen].sum(dtype=np.int64))
        begin += batch.num_rows


def _batches(path: Path, where: Mapping[str, Condition], expected_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a table's rows: the tokens of documents, and the columns that the conditions are about."""
    try:
        with pq.ParquetFile(path) as table:
            _check_columns(path, table.schema_arrow, where)
            if table.metadata.num_rows != expected_rows:
                raise UserError(
                    f"{path} has {table.metadata.num_rows:,} rows, its shard {expected_rows:,} sequences; run "
                    "`make tokens` again"
                )
            yield from table.iter_batches(_BATCH_ROWS, columns=sorted({*where, "tokens"}))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}; run `make tokens` again") from error


def _tokens(batch: pa.RecordBatch) -> NDArray[np.int64]:
    tokens: NDArray[np.int64] = batch.column("tokens").to_numpy()
    return tokens


def _check_columns(path: Path, schema: pa.Schema, where: Mapping[str, Condition]) -> None:
    kinds = {field.name: _is_text(field.type) for field in schema if field.name not in _NOT_CHOSEN_BY}
    valid = sorted(name for name, kind in kinds.items() if kind is not None)
    for name, condition in {"tokens": None, **where}.items():
        if name not in valid:
            close = difflib.get_close_matches(name, valid, 1)
            hint = f" - did you mean {close[0]!r}?" if close else ""
            raise UserError(f"where: {path} has no column {name!r}{hint}; the valid ones are: {', '.join(valid)}")
        if condition is not None and condition.of_texts not in (None, kinds[name]):
            kind = "texts" if kinds[name] else "numbers"
            raise UserError(f"where: the column {name} of {path} holds {kind}, and the condition does not fit them")


def _is_text(kind: pa.DataType) -> bool | None:
    """Whether a column holds texts, or numbers; None where it holds neither."""
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return False if number else None


def _fulfils(column: pa.Array, condition: Condition) -> NDArray[np.bool_]:
    """Return for each row whether it fulfils the condition."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    missing = column.is_null()
    text = _is_text(column.type)
    if not text:  # whole numbers, truth values and others are compared as the same kind of number
        column = (column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column).cast(pa.float64(), safe=False)
    kind = pa.string() if text else pa.float64()
    mask = pa.array(np.ones(len(column), dtype=np.bool_))
    if condition.any_of is not None:
        values = [value for value in condition.any_of if value is not None]
        mask = pc.is_in(column, pa.array([value if text else float(value) for value in values], kind))
        mask = pc.or_(mask, missing) if None in condition.any_of else mask
    if condition.min is not None:
        mask = pc.and_(mask, pc.greater_equal(column, pa.scalar(condition.min, kind)))
    if condition.max is not None:
        mask = pc.and_(mask, pc.less_equal(column, pa.scalar(condition.max, kind)))
    chosen: NDArray[np.bool_] = mask.fill_null(False).to_numpy(zero_copy_only=False)
    return chosen
