"""The first pass over an input file: records in, measured documents and ledger rows out.

The way of a record reads from top to bottom in `_Crawl.process`; nothing that comes later reads the input again. A
file's results are cut into parts of bounded size, so that every later task has a bounded memory however large the
input file was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import xxhash
from datatrove.data import Document

from configs.languages import Language
from curation.arc import read_arc
from curation.crawl_config import CrawlStages
from curation.decode import decode_page
from curation.extract import ExtractorProcess, extractor_process
from curation.inputs import InputFile, open_input
from curation.ledger import ConservationError, check_conservation, record_row
from curation.models import glance_identifier, identifier_of, url_filter
from curation.normalize import normalize, repair_page
from curation.record_schema import LEDGER, WORK_DOCUMENTS
from curation.records import Ending, Record
from curation.stage import Result
from curation.store import TableWriter
from curation.text_corpus import read_jsonl, read_parquet
from curation.warc import WarcReader
from filters.glance import Glance
from filters.langid import Guess, judge
from filters.phones import REGIONS
from filters.pii import KINDS, replace_pii
from filters.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CrawlShard:
    """The payload of one crawl task: an input file and what to look for in it."""

    entry: InputFile
    languages: tuple[Language, ...]
    stages: CrawlStages


class RecordError(RuntimeError):
    """An error that is no record's own fault, with the record at which it happened."""


# A part is the unit of memory in every later task.
PART_RECORDS = 5_000
PART_TEXT_BYTES = 32 << 20
# How far a shard is, for whoever watches: a number of records in a file of its scratch folder.
HEARTBEAT = "records"
_HEARTBEAT_RECORDS = 200


def crawl(payload: object, out: Path, scratch: Path) -> Result:
    """Read one input file into parts: `documents-00000.parquet` and `ledger-00000.parquet`, `-00001` and so on.

    Raises:
        RecordError: an unexpected error, naming file, offset and URL of the record.
        ConservationError: records in and rows out do not add up, or the reader passed over one.
    """
    assert isinstance(payload, CrawlShard)
    with open_input(payload.entry, scratch) as (stream, checksum):
        pipeline = _Crawl(payload, extractor_process(payload.stages.extract))
        writer = _PartWriter(payload.entry.name, out)
        with writer:
            for number, record in enumerate(_read(stream, payload)):
                if record.sequence != number:
                    raise ConservationError(f"{payload.entry.name}: record {number} never left the reader")
                try:
                    result = pipeline.process(record)
                except Exception as error:
                    place = f"{payload.entry.name}, record {record.sequence} at offset {record.offset}, {record.url}"
                    raise RecordError(f"{place}: {type(error).__name__}: {error}") from error
                writer.write(record, result)
                if number % _HEARTBEAT_RECORDS == 0:
                    (scratch / HEARTBEAT).write_text(str(number))
    records, documents, rows = writer.totals
    check_conservation(f"crawl of {payload.entry.name}", records, {"documents": documents, "ledger rows": rows})
    counts = {"records": records, "documents": documents, "ledger": rows, "parts": len(writer.parts)}
    identified = [[*labels, count] for labels, count in sorted(pipeline.identified.items())]
    return Result(counts, {"checksum": checksum, "parts": writer.parts, "identified": identified})


def _read(stream: BinaryIO, payload: CrawlShard) -> Iterator[Record]:
    entry, stages = payload.entry, payload.stages
    if entry.format == "warc":
        return iter(WarcReader(stream, entry.name, stages.ingest))
    if entry.format == "arc":
        return read_arc(stream, entry.name, stages.ingest)
    if entry.format == "jsonl":
        return read_jsonl(stream, entry.name, stages.text_corpus)
    return read_parquet(stream, entry.name, stages.text_corpus)


class _Crawl:
    """Takes one record at a time through the stages before the first barrier."""

    def __init__(self, payload: CrawlShard, extractor: ExtractorProcess) -> None:
        stages = payload.stages
        self._name, self._stages, self._extractor = payload.entry.name, stages, extractor
        self._languages = {language.code: language for language in payload.languages}
        # How often a label of the first model became which language.
        self.identified: Counter[tuple[str, str]] = Counter()
        self._targets = frozenset(self._languages)
        self._identifier = identifier_of(stages.langid)
        # What a model says of a language that a profile added: its labels are not in the table.
        self._codes = {label: language.code for language in payload.languages for label in language.labels()}
        self._urls = url_filter(stages.url) if stages.url is not None else None
        every_script = {script for language in payload.languages for script in language.scripts}
        self._glance = (
            Glance(glance_identifier(stages.langid, self._targets), sorted(self._targets), every_script, stages.glance)
            if stages.glance
            else None
        )

    def process(self, record: Record) -> Document | Ending:
        """Return the document of a record, or where and why its way ended."""
        if record.ending is not None:
            return record.ending
        if self._urls is not None and (verdict := self._urls.judge(record.url)):
            return Ending("dropped", "url", verdict)
        text, source = record.text, "text"
        if record.body is not None:
            extracted = self._extract(record)
            if isinstance(extracted, Ending):
                return extracted
            text, source = extracted
        text = normalize(text or "", self._stages.normalize)
        if not text:
            return Ending("dropped", "normalize", Verdict("empty_text", 0, 1))
        return self._identify(record, text, source)

    def _extract(self, record: Record) -> tuple[str, str] | Ending:
        assert record.body is not None
        page = decode_page(record.body, record.charset).text
        record.body = None
        if self._stages.normalize.repair_encoding:
            page = repair_page(page)
        if self._glance is not None and (verdict := self._glance.judge(page)):
            return Ending("dropped", "glance", verdict)
        extraction = self._extractor.extract(page)
        if extraction.error:
            kind = extraction.error.split(": ")[1]
            return Ending("failed", "extract", Verdict(kind, detail=extraction.error))
        if not extraction.text.strip():
            return Ending("dropped", "extract", Verdict("no_main_text", 0, 1))
        return extraction.text, extraction.extractor

    def _identify(self, record: Record, text: str, source: str) -> Document | Ending:
        guess = self._identifier.identify(text[: self._stages.langid.max_chars])
        guess = Guess(self._codes.get(guess.language, guess.language), guess.score, guess.first)
        self.identified[guess.first, guess.language] += 1
        if verdict := judge(guess, self._targets, self._stages.langid):
            return Ending("dropped", "langid", verdict)
        language = self._languages[guess.language]
        if self._urls is not None and (verdict := self._urls.judge_language(record.url, language.code)):
            return Ending("dropped", "url", verdict)
        replaced: dict[str, int] = {}
        if self._stages.pii is not None:
            text, replaced = replace_pii(text, self._stages.pii, REGIONS.get(language.code, ()))
        metadata: dict[str, object] = {
            "url": record.url,
            "date": record.date,
            "language": language.code,
            "language_score": guess.score,
            "source": source,
            "first_language": guess.first,
            "pii": {kind: replaced.get(kind, 0) for kind in KINDS},
        }
        identifier = document_id(self._name, record.sequence, record.url, text)
        return Document(text=text, id=identifier, metadata=metadata)


def document_id(file_name: str, sequence: int, *content: str) -> str:
    """Return the identifier of the document that a record becomes: 32 hexadecimal digits.

    Address and text are in it, so that crawls whose files have the same names have documents of different names; a
    record that became none is known by its place alone.
    """
    names = "\0".join((file_name, str(sequence), *content))
    return xxhash.xxh3_128_hexdigest(names.encode("utf-8", "surrogatepass"))


class _PartWriter:
    """Writes documents and ledger rows into parts of bounded size."""

    def __init__(self, name: str, out: Path) -> None:
        self._name, self._out = name, out
        self.parts: list[dict[str, int]] = []
        self._documents: TableWriter | None = None
        self._ledger: TableWriter | None = None
        self._counts = {"records": 0, "documents": 0, "text_bytes": 0}

    def __enter__(self) -> _PartWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    @property
    def totals(self) -> tuple[int, int, int]:
        """Records, documents and ledger rows of all parts, the rows as counted by the writers of the files."""
        keys = ("records", "documents", "ledger")
        records, documents, rows = (sum(part[key] for part in self.parts) for key in keys)
        return records, documents, rows

    def write(self, record: Record, result: Document | Ending) -> None:
        """Write what became of a record."""
        if self._documents is None or self._ledger is None:
            number = len(self.parts)
            self._documents = TableWriter(self._out / f"documents-{number:05d}.parquet", WORK_DOCUMENTS)
            self._ledger = TableWriter(self._out / f"ledger-{number:05d}.parquet", LEDGER)
        self._counts["records"] += 1
        if isinstance(result, Ending):
            language = result.verdict.detail if result.stage == "langid" else None
            identifier = document_id(self._name, record.sequence)
            self._ledger.write(record_row(record, self._name, result, language, identifier))
        else:
            self._counts["documents"] += 1
            self._counts["text_bytes"] += len(result.text)
            place = {"record_id": record.record_id, "record_type": record.record_type, "sequence": record.sequence}
            file = {"warc_file": self._name, "warc_offset": record.offset}
            self._documents.write({"id": result.id, "text": result.text, **result.metadata, **place, **file})
        if self._counts["records"] >= PART_RECORDS or self._counts["text_bytes"] >= PART_TEXT_BYTES:
            self._close()

    def _close(self) -> None:
        if self._documents is None or self._ledger is None:
            return
        self._documents.close()
        self._ledger.close()
        counts = {"documents": self._documents.row_count, "ledger": self._ledger.row_count}
        self.parts.append({**self._counts, **counts})
        self._documents = self._ledger = None
        self._counts = dict.fromkeys(self._counts, 0)
