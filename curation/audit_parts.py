"""The documents that took part in `minhash`, found again in what a finished job left behind: texts and verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import UserError
from curation.duplicates.parts import read_documents
from curation.measured import Corpus, reading
from curation.record_schema import LEDGER
from curation.records import STAGES
from curation.store import MANIFEST, Manifest, read_manifest

# Whose way ended at one of these stages had been compared by `minhash` before.
_COMPARED = STAGES[STAGES.index("minhash") :]
_LEDGER_COLUMNS = ("document_id", "outcome", "stage", "duplicate_of", "similarity")


@dataclass(frozen=True, slots=True)
class AuditPart:
    """A part of the job.

    Attributes:
        documents: its file of documents, of all languages of the pass.
        ledger: its rows in the corpus's ledger; None where there are none.
        base: it is a file of a corpus that stood already: all its documents were compared, and none could go.
    """

    documents: Path
    ledger: Path | None
    base: bool = False


@dataclass(frozen=True, slots=True)
class Members:
    """The documents of a part that took part in `minhash`, by rising row.

    Attributes:
        rows: in the part's file of documents, shape (N,).
        ids: of the documents.
        dropped: whether `minhash` dropped it, shape (N,).
        duplicate_of: id of the document that it was dropped for; None for the others.
        similarity: of these two as the ledger tells it; not a number for the others, shape (N,).
    """

    rows: NDArray[np.int64]
    ids: list[str]
    dropped: NDArray[np.bool_]
    duplicate_of: list[str | None]
    similarity: NDArray[np.float64]


def find_parts(corpus: Corpus, work: Path) -> list[AuditPart]:
    """Return the parts of a finished job, those of a corpus that it was deduplicated against last.

    Args:
        corpus: the published corpus.
        work: folder of the job's intermediate results.

    Raises:
        UserError: the intermediate results are not there, or not only those of this job.
    """
    inputs = corpus.summary["inputs"]
    assert isinstance(inputs, list)
    parts = []
    for number, entry in enumerate(inputs):
        crawled = _crawled(corpus, work, entry)
        for name in sorted(name for name in crawled.files if name.startswith("documents-")):
            # Published files are named by the place of their input among all inputs, and of the part in it.
            position = Path(name).stem.partition("-")[2]
            ledger = corpus.folder / "ledger" / f"{number:05d}-{position}.parquet"
            parts.append(AuditPart(crawled.path(name), ledger if ledger.exists() else None))
    published = {ledger for ledger in (corpus.folder / "ledger").glob("*.parquet") if ledger.stem != "empty"}
    if published != {part.ledger for part in parts} - {None}:
        raise _missing(corpus, work)
    if (against := corpus.summary.get("against")) is not None:
        folder = Path(str(against)) / corpus.folder.name / "documents"
        parts += [AuditPart(documents, None, base=True) for documents in sorted(folder.glob("*.parquet"))]
    return parts


def _crawled(corpus: Corpus, work: Path, entry: Mapping[str, object]) -> Manifest:
    """Return what the crawl of one input left behind."""
    name = hashlib.sha256(str(entry["name"]).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    found = []
    for folder in sorted((work / "crawl").glob(f"{name}-*")):
        try:
            identity = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["identity"]
        except (OSError, ValueError, KeyError):
            continue
        manifest = read_manifest(folder, identity)
        if manifest is not None and entry["checksum"] == f"blake2b-128:{manifest.details['checksum']}":
            found.append(manifest)
    if len(found) > 1:
        raise UserError(
            f"{work} holds results of another, unfinished job, too: run `make corpus` with the same OUT to its end"
        )
    if not found:
        raise _missing(corpus, work)
    return found[0]


def _missing(corpus: Corpus, work: Path) -> UserError:
    return UserError(
        f"{work} does not hold the intermediate results of {corpus.folder}: run its `make corpus` again, with "
        "`keep_work: true` (the default) in its configuration"
    )


def members(part: AuditPart) -> Members:
    """Return the documents of a part that took part in `minhash`.

    Raises:
        UserError: the ledger names a document that the part does not hold, or a file is damaged.
    """
    stored = document_ids(part)
    if part.ledger is None:
        count = len(stored) if part.base else 0
        ids = stored.to_pylist()[:count]
        return Members(np.arange(count), ids, np.zeros(count, np.bool_), [None] * count, np.full(count, np.nan))
    with reading(part.ledger.parent):
        schema = pa.schema([LEDGER.field(name) for name in _LEDGER_COLUMNS])
        ledger = pq.read_table(part.ledger, schema=schema, partitioning=None)
    compared = pc.is_in(ledger["stage"], value_set=pa.array(_COMPARED))
    ledger = ledger.filter(pc.or_(pc.equal(ledger["outcome"], "kept"), compared))
    rows = pc.index_in(ledger["document_id"], value_set=stored.combine_chunks())
    if rows.null_count:
        raise UserError(
            f"{part.ledger} does not belong to {part.documents}: run `make corpus` with the same OUT to its end"
        )
    ledger = ledger.append_column("row", rows).sort_by("row")
    dropped = pc.fill_null(pc.equal(ledger["stage"], "minhash"), False).to_numpy()
    return Members(
        rows=ledger["row"].to_numpy().astype(np.int64),
        ids=ledger["document_id"].to_pylist(),
        dropped=dropped,
        duplicate_of=[
            own if gone else None for own, gone in zip(ledger["duplicate_of"].to_pylist(), dropped, strict=True)
        ],
        similarity=ledger["similarity"].to_numpy().astype(np.float64),
    )


def document_ids(part: AuditPart) -> pa.ChunkedArray:
    """Return the ids of all documents of a part, in the order of its rows."""
    with reading(part.documents.parent):
        return pq.read_table(part.documents, columns=["id"], partitioning=None)["id"]


@dataclass(frozen=True, slots=True)
class Text:
    """A document: its row in the part, its id, its address, its language and its text."""

    row: int
    id: str
    url: str
    language: str
    text: str


def read_texts(part: AuditPart, rows: NDArray[np.int64]) -> Iterator[Text]:
    """Yield some documents of a part, by rising row."""
    with reading(part.documents.parent):
        for own, batch in read_documents(part.documents, rows, ("id", "url", "language", "text")):
            for row, document in zip(own.tolist(), batch.to_pylist(), strict=True):
                yield Text(row, document["id"], document["url"] or "", document["language"], document["text"])
