"""Files of benchmarks -> their strings: JSONL, JSON, Parquet, CSV, TSV, plain text with an item a line.

Every string of a record is an item, those inside lists and mappings, too: questions, passages, choices. The files are
somebody else's: what they take in memory is bounded, and what cannot be read is named with its place.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UserError
from curation.text_corpus import decompressed

_COMPRESSIONS = (".gz", ".zst", ".lz4")
_MAX_LINE_BYTES = 16 << 20
_BATCH_ROWS = 256
_DAMAGES = (OSError, EOFError, ValueError, NotImplementedError, zlib.error, pa.ArrowException)

# A record: its number from 1, and its strings.
Record = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class BenchmarkFile:
    """One file of a benchmark.

    Attributes:
        path: absolute.
        name: short, unique among the files: relative to the folder that holds them all.
        sha256: of its bytes, for the identity of tasks.
    """

    path: Path
    name: str
    sha256: str


def find_benchmarks(patterns: Iterable[str]) -> tuple[BenchmarkFile, ...]:
    """Return the files that paths and globs mean, each once, in the order of their names.

    Raises:
        UserError: nothing matches, or a file cannot be read or is of no known format.
    """
    paths = sorted({path for pattern in patterns for path in _matches(pattern)})
    common = os.path.commonpath([path.parent for path in paths])
    return tuple(BenchmarkFile(path, path.relative_to(common).as_posix(), _sha256(path)) for path in paths)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    found = [path] if path.is_file() else [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    files = [file.absolute() for file in found if file.is_file()]
    if not files:
        raise UserError(f"no benchmark at {pattern}; name a file, or a glob that matches files")
    for file in files:
        if _suffix(file) not in _READERS:
            raise UserError(f"{file} is of no known format; benchmarks are {', '.join(_READERS)} (.gz, .zst, .lz4)")
    return files


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    return os.path.splitext(name)[1]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the benchmark {path}: {error.strerror}") from error


class Budget:
    """How much text may still be read."""

    def __init__(self, megabytes: int) -> None:
        """Begin with so much."""
        self._megabytes, self._left = megabytes, megabytes << 20

    def check(self, count: int) -> None:
        """Check that so many bytes are left.

        Raises:
            UserError: they are not.
        """
        if count > self._left:
            raise UserError(
                f"the benchmarks hold more than {self._megabytes:,} MB of text: name fewer files, or raise "
                "max_benchmark_mb"
            )

    def spend(self, count: int) -> None:
        """Take so many bytes off.

        Raises:
            UserError: they are not left.
        """
        self.check(count)
        self._left -= count


def read_records(file: BenchmarkFile, budget: Budget) -> Iterator[Record]:
    """Yield the records of a file that hold strings.

    Raises:
        UserError: the file has changed, is damaged, malformed or too large; the message names file and line.
    """
    if _sha256(file.path) != file.sha256:
        raise UserError(f"the benchmark {file.path} has changed while it was in use: run the same command again")
    try:
        with file.path.open("rb") as stream:
            yield from _READERS[_suffix(file.path)](decompressed(cast(BinaryIO, stream)), file.path, budget)
    except _DAMAGES as error:
        raise UserError(f"the benchmark {file.path} is damaged: {' '.join(str(error).split())[:200]}") from error


def _lines(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, line feeds included."""
    number = 0
    while line := stream.readline(_MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > _MAX_LINE_BYTES:
            raise UserError(
                f"{path}, line {number:,} is longer than {_MAX_LINE_BYTES >> 20} MB: no item of a benchmark is"
            )
        budget.spend(len(line))
        yield number, _decoded(line, path, f"line {number:,}")


def _decoded(data: bytes, path: Path, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, {place} is not UTF-8: convert the file, e.g. with iconv -t UTF-8") from error


def _read_plain(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[Record]:
    for number, line in _lines(stream, path, budget):
        if line.strip():
            yield number, [line]


def _read_jsonl(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[Record]:
    for number, line in _lines(stream, path, budget):
        if line.strip():
            yield number, list(_strings(_parsed(line, path, f"line {number:,}")))


def _read_json(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[Record]:
    """Yield the elements of a list, or a single record."""
    pieces = []
    while piece := stream.read(1 << 20):
        budget.spend(len(piece))
        pieces.append(piece)
    value = _parsed(_decoded(b"".join(pieces), path, "the text"), path, "the text")
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield number, list(_strings(record))


def _parsed(text: str, path: Path, place: str) -> object:
    try:
        return cast(object, json.loads(text))
    except (ValueError, RecursionError) as error:
        hint = "; JSON with a record a line is named .jsonl" if place == "the text" else ""
        raise UserError(f"{path}, {place} is not valid JSON ({error}){hint}") from error


def _strings(value: object) -> Iterator[str]:
    """Yield the strings inside a value in their order; names of keys are none."""
    waiting = [value]
    while waiting:
        own = waiting.pop()
        if isinstance(own, str):
            yield own
        elif isinstance(own, dict):
            waiting += reversed(own.values())
        elif isinstance(own, list | tuple):
            waiting += reversed(own)


def _read_csv(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[Record]:
    return _read_cells(csv.reader((line for _, line in _lines(stream, path, budget)), strict=True), path)


def _read_tsv(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[Record]:
    lines = (line for _, line in _lines(stream, path, budget))
    return _read_cells(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), path)


def _read_cells(rows: Iterable[list[str]], path: Path) -> Iterator[Record]:
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            yield number, row
    except csv.Error as error:
        raise UserError(f"{path}, after row {number:,}: {error}") from error


def _read_parquet(stream: BinaryIO, path: Path, budget: Budget) -> Iterator[Record]:
    number = 0
    table = pq.ParquetFile(pa.PythonFile(stream))
    columns = [field.name for field in table.schema_arrow if _holds_strings(field.type)]
    for group in range(table.num_row_groups):
        chunks = map(table.metadata.row_group(group).column, range(table.metadata.num_columns))
        budget.check(sum(own.total_uncompressed_size for own in chunks if own.path_in_schema.split(".")[0] in columns))
    for batch in table.iter_batches(_BATCH_ROWS, columns=columns):
        budget.spend(batch.nbytes)
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}, after row {number:,}: a text is not UTF-8") from error
        for row in rows:
            number += 1
            yield number, list(_strings(row))


def _holds_strings(kind: pa.DataType) -> bool:
    """Return whether there are strings in values of a type; columns of images need not be read."""
    if pa.types.is_dictionary(kind):
        return _holds_strings(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_holds_strings(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


_READERS: dict[str, Callable[[BinaryIO, Path, Budget], Iterator[Record]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".txt": _read_plain,
    ".text": _read_plain,
}
