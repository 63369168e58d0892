"""Files that are either whole or not there: written aside, synced, renamed, the manifest last."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

MANIFEST = "manifest.json"
_COPY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a finished task left behind.

    Attributes:
        folder: where its files are.
        identity: of the task that made them.
        counts: numbers that the task reports.
        details: anything else that it reports, as JSON.
        files: checksums by file name.
    """

    folder: Path
    identity: str
    counts: dict[str, int]
    details: dict[str, object]
    files: dict[str, str]

    def path(self, name: str) -> Path:
        """Return the path of one of the files."""
        return self.folder / name

    @property
    def checksum(self) -> str:
        """Hash of everything the task produced: what follows depends on this and on nothing else of the task."""
        plain = json.dumps([self.counts, self.details, self.files], sort_keys=True)
        return xxhash.xxh3_128_hexdigest(plain.encode())


def read_manifest(folder: Path, identity: str) -> Manifest | None:
    """Return the manifest of a finished task, or None when it is not finished or belongs to another identity."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if data.get("identity") != identity or any(not (folder / name).exists() for name in data["files"]):
        return None
    return Manifest(folder, identity, data["counts"], data["details"], data["files"])


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for half-written files; it is removed unless it was renamed away."""
    folder = parent / f"{os.getpid()}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def commit(
    scratch: Path, folder: Path, identity: str, counts: Mapping[str, int], details: Mapping[str, object]
) -> Manifest:
    """Turn a scratch folder into a finished task's folder, at once. Whoever comes second finds it done."""
    files = {path.name: _checksum_and_sync(path) for path in sorted(scratch.iterdir()) if path.is_file()}
    content = {"identity": identity, "counts": dict(counts), "details": dict(details), "files": files}
    write_text_atomically(scratch / MANIFEST, json.dumps(content, sort_keys=True, indent=1))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (done := read_manifest(folder, identity)) is not None:
        return done
    shutil.rmtree(folder, ignore_errors=True)  # a folder without a valid manifest is no result
    try:
        os.rename(scratch, folder)
    except OSError:
        if (done := read_manifest(folder, identity)) is not None:  # another attempt at this task was faster
            return done
        raise
    sync_path(folder.parent)
    return Manifest(folder, identity, dict(counts), dict(details), files)


def file_version(path: Path) -> list[object]:
    """Return name, size and time of change of a file: what its tasks' identity is made from."""
    stat = path.stat()
    return [path.name, stat.st_size, stat.st_mtime_ns]


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small file so that it is never seen half-written."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync_path(path.parent)


def _checksum_and_sync(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_COPY_BYTES):
            digest.update(block)
        os.fsync(file.fileno())
    return digest.hexdigest()


def sync_path(path: Path) -> None:
    """Make what is written to a file, or the names in a folder, last on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class TableWriter:
    """Writes rows to a Parquet file, a bounded number of them in memory. The bytes depend on the rows alone."""

    def __init__(self, path: Path, schema: pa.Schema, group_rows: int = 500, group_bytes: int = 8 << 20) -> None:
        """Open the file; a row group is closed at `group_rows` rows or `group_bytes` of strings."""
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", version="2.6")
        self._schema, self._group_rows, self._group_bytes = schema, group_rows, group_bytes
        self._rows: list[Mapping[str, object]] = []
        self._bytes = 0
        self.row_count = 0

    def __enter__(self) -> TableWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row, a value by column name; columns that it does not name are null."""
        self._rows.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
        if len(self._rows) >= self._group_rows or self._bytes >= self._group_bytes:
            self._flush()

    def write_table(self, table: pa.Table) -> None:
        """Add the rows of a table, as row groups of their own."""
        self._flush()
        self._writer.write_table(table.select(self._schema.names).cast(self._schema), row_group_size=self._group_rows)
        self.row_count += table.num_rows

    def close(self) -> None:
        """Write what is left and close the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self.row_count += len(self._rows)
            self._rows, self._bytes = [], 0


def read_tables(paths: Sequence[Path], schema: pa.Schema, part: int | None = None) -> pa.Table:
    """Return the rows of several small tables, of one part where it is given."""
    filters = None if part is None else [("part", "=", part)]
    # `partitioning=None`: a folder that happens to be called `a=b` is no column.
    tables = [pq.read_table(path, schema=schema, filters=filters, partitioning=None) for path in paths]
    return pa.concat_tables(tables) if tables else schema.empty_table()
