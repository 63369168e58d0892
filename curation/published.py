"""Finished tasks' files in the folder that users see: tables replaced as a whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.measured import reading


def replace_tables(folder: Path, kind: str, files: Iterable[tuple[str, Path]], schema: pa.Schema) -> int:
    """Fill `folder/kind` with finished files, at once, and return their rows.

    Args:
        folder: of the corpus.
        kind: name of the folder in it.
        files: name in the folder, and finished file.
        schema: of the empty table that stands there when there are none: readers of `*.parquet` find the columns.
    """
    for left in folder.glob(f".{kind}.*"):  # of a killed job
        shutil.rmtree(left, ignore_errors=True)
    fresh = folder / f".{kind}.{uuid.uuid4().hex}"
    fresh.mkdir()
    rows = 0
    try:
        for name, path in files:
            target = fresh / name
            link_or_copy(path, target)
            with reading(folder / kind):  # a published file and the stored result are one file with two names
                rows += pq.read_metadata(target).num_rows
        if not any(fresh.iterdir()):
            pq.write_table(schema.empty_table(), fresh / "empty.parquet", compression="zstd")
        shutil.rmtree(folder / kind, ignore_errors=True)
        os.rename(fresh, folder / kind)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return rows


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
