"""What a finished corpus job leaves behind, made of a few documents and verdicts on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curation.record_schema import LEDGER, WORK_DOCUMENTS
from curation.store import commit
from dedup.minhash import MinHashConfig

_DOCUMENTS = pa.schema([WORK_DOCUMENTS.field(name) for name in ("id", "text", "url", "language")])


@dataclass(frozen=True)
class Page:
    """A document; `stage` is where its way ended, None when it was kept."""

    number: int
    text: str
    stage: str | None = None
    duplicate_of: int | None = None
    similarity: float | None = None
    language: str = "el"
    url: str = ""

    @property
    def id(self) -> str:
        return identifier(self.number)


def identifier(number: int) -> str:
    """Return the id of the page of a number: like all ids, it looks random."""
    return xxhash.xxh3_128_hexdigest(str(number).encode())


def finish_job(
    out: Path,
    inputs: Sequence[Sequence[Sequence[Page]]],
    config: MinHashConfig | None,
    language: str = "el",
    languages: Sequence[str] = ("el",),
    against: Path | None = None,
) -> Path:
    """Write the crawl's results and the corpus of one language: for each input its parts, for each part its pages."""
    work = out / ".work" / "-".join(sorted(languages))
    folder = out / language
    (folder / "ledger").mkdir(parents=True)
    (folder / "measures").mkdir()
    named = []
    for number, parts in enumerate(inputs):
        name = f"{number}.jsonl"
        named.append({"name": name, "bytes": 1, "checksum": f"blake2b-128:{number}"})
        add_crawl(work, name, str(number), parts)
        for position, pages in enumerate(parts):
            own = [_ledger_row(page) for page in pages if page.language == language]
            if own:
                path = folder / "ledger" / f"{number:05d}-{position:05d}.parquet"
                pq.write_table(pa.Table.from_pylist(own, schema=LEDGER), path)
    stages = {"minhash": None if config is None else config.model_dump()}
    summary = {
        "language": language,
        "languages": list(languages),
        "rules": {},
        "config": {"stages": stages},
        "config_hash": "ab" * 32,
        "inputs": named,
        "against": None if against is None else str(against),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "report.html").write_text("<h1>before</h1>\n<!-- audit -->\nnot run\n<!-- /audit -->\n<p>after</p>\n")
    return folder


def add_crawl(
    work: Path, name: str, checksum: str, parts: Sequence[Sequence[Page]], settings: str = "settings"
) -> None:
    """Write what the crawl of an input leaves behind."""
    key = hashlib.sha256(name.encode()).hexdigest()[:12]
    scratch = work / "scratch" / f"{key}-{settings}"
    scratch.mkdir(parents=True)
    for position, pages in enumerate(parts):
        write_documents(scratch / f"documents-{position:05d}.parquet", pages)
    identity = hashlib.sha256(f"{name} {settings}".encode()).hexdigest()
    commit(scratch, work / "crawl" / f"{key}-{identity[:16]}", identity, {}, {"checksum": checksum})


def write_documents(path: Path, pages: Sequence[Page]) -> None:
    rows = [{name: getattr(page, name) for name in _DOCUMENTS.names} for page in pages]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_DOCUMENTS), path, row_group_size=3)


def _ledger_row(page: Page) -> dict[str, object]:
    outcome = "kept" if page.stage is None else "dropped" if page.stage == "rules" else "duplicate"
    return {
        "record_id": str(page.number),
        "record_type": "text",
        "warc_file": "x",
        "warc_offset": page.number,
        "sequence": page.number,
        "language": page.language,
        "document_id": page.id,
        "outcome": outcome,
        "stage": page.stage,
        "duplicate_of": None if page.duplicate_of is None else identifier(page.duplicate_of),
        "similarity": page.similarity,
    }
