"""`corpora/<language>` and `corpora/parallel/<pair>` as inputs: their documents, whoever wrote them."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UserError
from configs.languages import load_languages
from filters.words import Segmentation

SUMMARY = "summary.json"
# Of a source. A mixture would take `*`, `?` and `[` for a glob; no file system takes a longer name.
_NAME = re.compile(r"[^./\\*?\[][^/\\*?\[]{0,99}")
_MOST_BYTES = 255
# As `curation/duplicates/base.py` compares them.
_SIGNED_WITH = ("bands", "rows", "ngram", "seed")
NEEDED_COLUMNS = ("id", "text")
# Read at a time: rows, and about so many bytes of them.
_BATCH_ROWS, _BATCH_BYTES = 256, 8 << 20


class EmptyCorpusError(UserError):
    """A corpus that holds no document."""


@dataclass(frozen=True, slots=True)
class CorpusFolder:
    """A finished corpus.

    Attributes:
        folder: where it is.
        name: the source's name in a mixture: the one that it was given, or the folder's.
        language: its code; of a parallel corpus its pair, `de-en`.
        summary_sha256: of its `summary.json`.
        utf8_bytes: of its texts, as its summary says; None where that says nothing.
        files: its Parquet files of documents that have rows, in order.
        indexes: file of band keys of each of them, or None.
        band_keys: settings that they were made with, as the summary says; None where it does not, or there are none.
    """

    folder: Path
    name: str
    language: str
    summary_sha256: str
    utf8_bytes: int | None
    files: tuple[Path, ...]
    indexes: tuple[Path | None, ...]
    band_keys: str | None = None

    @property
    def segmentation(self) -> Segmentation:
        """How words are found in its texts: a pair's, and those of a language that is not in the table, by spaces."""
        known = {language.code: language.segmentation for language in load_languages().languages}
        return known.get(self.language, "spaces")


def find_corpora(selection: str) -> list[CorpusFolder]:
    """Return the corpora of a selection: folders, folders with a name (`el-raw=raw/el`) or globs, several by comma.

    A glob takes the finished corpora that hold a document; a folder that is named must be one. What is named goes
    before a glob. A folder that is there goes before a name: `x=y` is the folder `x=y`, where there is one.

    Raises:
        UserError: a folder is missing or is no finished corpus, two of them have one name or one of them has two, or a
            name cannot be one.
    """
    corpora: dict[Path, CorpusFolder] = {}
    named: dict[Path, str] = {}
    for piece in filter(None, (piece.strip() for piece in selection.split(","))):
        if (given := _given_name(piece)) is None and glob.has_magic(piece):
            matched = ((corpus.folder.resolve(), corpus) for corpus in _matches(piece))
            corpora |= {folder: corpus for folder, corpus in matched if folder not in named}
            continue
        name, written = given or (None, piece)
        corpus = open_corpus_folder(Path(written), name)
        folder = corpus.folder.resolve()
        if (other := named.setdefault(folder, corpus.name)) != corpus.name:
            raise UserError(f"{folder} would be two sources, {other!r} and {corpus.name!r}; give it one name")
        corpora[folder] = corpus
    if not corpora:
        raise UserError("CORPUS names no folder; give the folder of a corpus, such as corpora/el")
    _refuse_one_name(corpora.values())
    return list(corpora.values())


def _refuse_one_name(corpora: Iterable[CorpusFolder]) -> None:
    by_name: dict[str, CorpusFolder] = {}
    for corpus in corpora:
        other = by_name.setdefault(corpus.name, corpus)
        if other is not corpus:
            raise UserError(
                f"{other.folder} and {corpus.folder} would both be the source {corpus.name!r}; give one of them "
                f"another name, as in CORPUS={corpus.name}-2={corpus.folder}"
            )


def _given_name(piece: str) -> tuple[str, str] | None:
    """Return the name and the folder of `name=folder`; None where a folder or a glob is written.

    Raises:
        UserError: no source can be called so, or the name stands before a glob or before nothing.
    """
    name, equals, folder = (part.strip() for part in piece.partition("="))
    if not equals or "/" in name or os.path.exists(piece) or _globbed(piece):  # noqa: PTH110  (a name may be too long)
        return None
    name = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(name) or not name.isprintable() or len(name.encode()) > _MOST_BYTES:
        raise UserError(
            f"CORPUS={piece:.80}: no source can be called {name[:40]!r}: its name is a folder's, of 100 characters and "
            f"{_MOST_BYTES} bytes at most, that begins with no dot and has neither / \\ * ? [ nor invisible characters"
        )
    if glob.has_magic(folder) and not os.path.exists(folder):  # noqa: PTH110
        raise UserError(f"CORPUS={piece}: a glob may stand for several corpora, and {name!r} is the name of one")
    if not folder:
        raise UserError(f"CORPUS={piece}: there is no folder behind the name; write {name}=corpora/el")
    return name, folder


def _globbed(pattern: str) -> list[str]:
    """Return the paths that a glob stands for; none where it is no glob."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else []  # noqa: PTH207  (Path.glob takes no absolute one)


def _matches(pattern: str) -> list[CorpusFolder]:
    corpora = []
    for name in _globbed(pattern):
        if (Path(name) / SUMMARY).is_file():
            with suppress(EmptyCorpusError):
                corpora.append(open_corpus_folder(Path(name)))
    if not corpora:
        raise UserError(f"CORPUS={pattern} matches no folder of a finished corpus that holds a document")
    return corpora


def open_corpus_folder(folder: Path, name: str | None = None) -> CorpusFolder:
    """Return a finished corpus.

    Args:
        folder: where it is.
        name: of the source; None is the folder's.

    Raises:
        EmptyCorpusError: it has no documents.
        UserError: it is missing, is not finished, or a file of documents is damaged or lacks columns.
    """
    folder = folder.absolute()
    try:
        content = (folder / SUMMARY).read_bytes()
        summary = json.loads(content)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is not a finished corpus: it has no readable {SUMMARY}; run the job that makes it first"
        ) from error
    language = summary.get("pair", summary.get("language")) if isinstance(summary, dict) else None
    if not isinstance(language, str):
        raise UserError(f"{folder / SUMMARY} names neither a language nor a pair: it is not of a finished corpus")
    paths = sorted(path for path in (folder / "documents").glob("*.parquet") if not path.name.startswith("."))
    if not paths:
        raise UserError(f"{folder} has no documents/*.parquet; run the job that made it again")
    files = tuple(path for path in paths if _rows(path))
    if not files:
        raise EmptyCorpusError(f"{folder} holds no document: there is nothing to tokenize")
    size, indexes = summary.get("utf8_bytes"), tuple(_index(path) for path in files)
    return CorpusFolder(
        folder=folder,
        name=name or folder.name,
        language=language,
        summary_sha256=hashlib.sha256(content).hexdigest(),
        utf8_bytes=size if isinstance(size, int) else None,
        files=files,
        indexes=indexes,
        band_keys=_band_keys(summary) if any(indexes) else None,
    )


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield columns of a table of documents in batches, in order: no more in memory than a row group.

    Raises:
        UserError: the file is damaged, or a document has no text.
    """
    with reading_table(path), pq.ParquetFile(path) as table:
        for group in range(table.num_row_groups):
            stored = table.metadata.row_group(group)
            rows = _BATCH_BYTES * stored.num_rows // max(1, stored.total_byte_size)
            for batch in table.iter_batches(min(max(rows, 1), _BATCH_ROWS), [group], list(columns)):
                for name in NEEDED_COLUMNS:
                    if name in batch.schema.names and batch.column(name).null_count:
                        raise UserError(f"{path} has a document whose {name!r} is null; run the job that made it again")
                yield batch


@contextmanager
def reading_table(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged or missing table into one line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(f"cannot read {path}: {reason}; run the job that made it again") from error


def _rows(path: Path) -> int:
    with reading_table(path):
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    for name in NEEDED_COLUMNS:
        if name not in schema.names:
            raise UserError(f"{path} has no column {name!r}; its columns are: {', '.join(schema.names)}")
        if not pa.types.is_string(schema.field(name).type) and not pa.types.is_large_string(schema.field(name).type):
            raise UserError(f"{path}: the column {name!r} holds {schema.field(name).type}, not strings")
    return int(rows)


def _band_keys(summary: dict[str, object]) -> str | None:
    """Return the settings of MinHash that must be the same for the band keys of two corpora to meet."""
    found: object = summary
    for name in ("config", "stages", "minhash"):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return None
    return ", ".join(f"{name} {found.get(name)}" for name in _SIGNED_WITH)


def _index(documents: Path) -> Path | None:
    """Return the index of a file of documents, where there is one with band keys.

    Raises:
        UserError: it has not one row for each document.
    """
    path = documents.parent.parent / "index" / documents.name
    if not path.is_file():
        return None
    with reading_table(path):
        if "band_keys" not in pq.read_schema(path).names:
            return None
        rows = pq.read_metadata(path).num_rows
    if rows != pq.read_metadata(documents).num_rows:
        raise UserError(f"{path} does not belong to {documents}; run the job that made them again")
    return path
