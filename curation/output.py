"""The last task of each part: final documents and the complete ledger, by language, and excerpts for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.config import ReportConfig
from curation.duplicates.cuts import cut_document, span_rows
from curation.duplicates.index import IndexFiles, PartIndex
from curation.duplicates.sizes import cluster_sizes
from curation.ledger import check_conservation, document_row
from curation.measure import documents_with_measures
from curation.record_schema import LEDGER
from curation.report_sample import ReportSample
from curation.schema import CUTS, DOCUMENTS, DUPLICATES, INDEX, PUBLISHED_MEASURES, PUBLISHED_SPANS
from curation.stage import Result
from curation.store import TableWriter, read_tables
from filters.perplexity_cut import Buckets
from filters.words import Segmentation

# The ledger of records that no target language claimed, in a pass over several languages (ISO 639-2 "undetermined").
UNDETERMINED = "und"
_MEASURES_EXCERPT_CHARS = 240

# A row of any table here: its columns are stated in `curation.schema`.
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class OutputShard:
    """The payload of one output task.

    Attributes:
        part: number of the part in the job.
        records: number of input records in the part.
        documents: file of the part's documents.
        measures: file of their measures.
        ledgers: ledger files of the part from the stages before deduplication.
        gone: files of documents that go as a whole, by stage.
        cuts: file of what the stages inside documents cut out; None when there are none.
        min_remaining: characters that must be left after a stage inside documents, by stage.
        sizes: files of cluster sizes, and the partition that is the part's.
        index: files of identities, hashes and band keys, for later crawls; None leaves the index out.
        segmentations: how words are found, by language.
        languages: codes of the target languages.
        buckets: perplexities where `middle` and `tail` begin, by language.
        report: what the report will show.
    """

    part: int
    records: int
    documents: Path
    measures: Path
    ledgers: tuple[Path, ...]
    gone: dict[str, tuple[Path, ...]]
    cuts: Path | None
    min_remaining: dict[str, int | None]
    sizes: tuple[tuple[Path, ...], int]
    index: IndexFiles | None
    segmentations: dict[str, Segmentation]
    languages: tuple[str, ...]
    buckets: dict[str, tuple[float, float]]
    report: ReportConfig


def write_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `documents-`, `ledger-`, `measures-`, `spans-` and `index-<language>.parquet`, `examples.parquet` and
    `sample.parquet`.

    Raises:
        ConservationError: the ledger has not exactly one row for each record of the part.
    """
    assert isinstance(payload, OutputShard)
    rows = {row["sequence"]: row for row in read_tables(payload.ledgers, LEDGER).to_pylist()}
    ended_before = len(rows)
    measured_in = pq.read_metadata(payload.documents).num_rows
    cuts = _cuts(payload)
    duplicates = _duplicates(payload, cuts)
    sizes = cluster_sizes(payload.sizes[0], payload.part, payload.sizes[1])
    index = PartIndex(payload.index) if payload.index is not None else None
    report = ReportSample(payload.report)
    quality: Counter[tuple[str, str, str]] = Counter()
    totals: Counter[tuple[str, str]] = Counter()
    with (
        _ByLanguage(out, "documents", DOCUMENTS) as documents,
        _ByLanguage(out, "measures", PUBLISHED_MEASURES) as measured,
        _ByLanguage(out, "spans", PUBLISHED_SPANS) as spans,
        _ByLanguage(out, "index", INDEX) as indexed,
    ):
        for number, document in enumerate(_documents(payload)):
            language, sequence = str(document["language"]), int(str(document["sequence"]))
            duplicate = duplicates.get(number)
            row = rows.get(sequence) or _final_row(document, duplicate)
            rows[sequence] = row
            report.add(row, document, duplicate)
            measured.write(language, _measures_row(row, document))
            _add_quality(quality, row, document)
            cut = cuts.get(number)
            if cut is not None:
                for span in span_rows(document, cut):
                    spans.write(language, span)
            if row["outcome"] == "kept":
                final = cut_document(document, cut, payload.segmentations[language])
                documents.write(language, {**final, "cluster_size": sizes.get(number, 1)})
                _add_totals(totals, final)
                if index is not None:
                    indexed.write(language, index.row(number))
    counts: Counter[tuple[str, str, str, str]] = Counter()
    with _ByLanguage(out, "ledger", LEDGER) as ledger:
        for _, row in sorted(rows.items()):
            language = ledger_language(row["language"], payload.languages)
            ledger.write(language, row)
            counts[language, str(row["stage"] or ""), str(row["outcome"]), str(row["rule"] or "")] += 1
            if row["outcome"] != "kept":
                report.add_early(row, language)
    check_conservation(f"output of part {payload.part}", payload.records, {"ledger rows": ledger.row_count})
    check_conservation(f"measures of part {payload.part}", measured_in, {"rows of measures": measured.row_count})
    report.write(out)
    types = Counter(str(row["record_type"]) for row in rows.values())
    details: dict[str, object] = {
        "counts": [[*key, count] for key, count in sorted(counts.items())],
        "totals": [[*key, count] for key, count in sorted(totals.items())],
        "quality": [[*key, count] for key, count in sorted(quality.items())],
        "record_types": dict(sorted(types.items())),
        "documents": documents.rows,
        "ledger": ledger.rows,
        "measures": measured.rows,
        "spans": spans.rows,
        "index": indexed.rows,
    }
    return Result({"records": payload.records, "documents": documents.row_count, "ended_before": ended_before}, details)


def ledger_language(language: object, targets: tuple[str, ...]) -> str:
    """Return whose ledger a row belongs to: in a pass over one language all rows are its own."""
    if len(targets) == 1:
        return targets[0]
    return str(language) if language in targets else UNDETERMINED


def _documents(payload: OutputShard) -> Iterator[Row]:
    for document, measures in documents_with_measures(payload.documents, payload.measures):
        borders = payload.buckets.get(str(document["language"]))
        yield {**document, "metrics": measures, "perplexity_bucket": _bucket(borders, measures["perplexity"])}


def _bucket(borders: tuple[float, float] | None, perplexity: float) -> str | None:
    """Return CCNet's part of the distribution; None where the language has no borders or the document no perplexity."""
    if borders is None:
        return None
    middle, tail = borders
    return Buckets(middle, tail, 0).bucket(perplexity)


def _measures_row(row: Row, document: Row) -> Row:
    metrics = document["metrics"]
    assert isinstance(metrics, Mapping)
    text = str(document["text"])
    facts = {"utf8_bytes": len(text.encode("utf-8")), "excerpt": " ".join(text[:_MEASURES_EXCERPT_CHARS].split())}
    return {**{name: row[name] for name in ("document_id", "url", "outcome", "rule")}, **facts, **metrics}


def _duplicates(payload: OutputShard, cuts: Mapping[int, Row]) -> dict[int, Row]:
    """Return the part's documents that go, by row, each with the stage that found it."""
    found: dict[int, Row] = {}
    for stage, paths in payload.gone.items():
        for row in read_tables(paths, DUPLICATES, payload.part).to_pylist():
            found[row["row"]] = {**row, "stage": stage, "value": None, "threshold": None}
    for number, cut in cuts.items():
        if cut["dropped_by"] is not None:
            kept = {name: cut[name] for name in ("duplicate_of", "duplicate_of_part", "similarity")}
            limits = {"value": cut["remaining_chars"], "threshold": payload.min_remaining[str(cut["dropped_by"])]}
            found[number] = {**kept, **limits, "stage": cut["dropped_by"]}
    return found


def _cuts(payload: OutputShard) -> dict[int, Row]:
    """Return what is cut out of the part's documents, by row."""
    if payload.cuts is None:
        return {}
    return {row["row"]: row for row in read_tables([payload.cuts], CUTS).to_pylist()}


def _final_row(document: Row, duplicate: Row | None) -> Row:
    if duplicate is None:
        return document_row(document, {"outcome": "kept", "stage": None, "rule": None})
    names = ("stage", "value", "threshold", "duplicate_of", "similarity")
    columns = {name: duplicate[name] for name in names}
    return document_row(document, {"outcome": "duplicate", "rule": f"{duplicate['stage']}_duplicate", **columns})


def _add_quality(quality: Counter[tuple[str, str, str]], row: Row, document: Row) -> None:
    """Count what the report tells of the documents: their extractors, and their parts of the perplexities."""
    language = str(row["language"])
    quality[language, "extractor", str(document["source"])] += 1
    pii = document["pii"]
    for kind, count in pii.items() if isinstance(pii, Mapping) else ():
        quality[language, "pii", kind] += count or 0
    if document["perplexity_bucket"] is not None and row["outcome"] == "kept":
        quality[language, "perplexity_bucket", str(document["perplexity_bucket"])] += 1


def _add_totals(totals: Counter[tuple[str, str]], document: Row) -> None:
    language, text, metrics = str(document["language"]), str(document["text"]), document["metrics"]
    assert isinstance(metrics, Mapping)
    totals[language, "documents"] += 1
    totals[language, "characters"] += len(text)
    totals[language, "words"] += int(metrics["words"])
    totals[language, "utf8_bytes"] += len(text.encode("utf-8"))
    totals[language, "removed_chars"] += int(str(document["removed_chars"]))
    totals[language, "documents_cut"] += document["removed_chars"] != 0


class _ByLanguage:
    """A Parquet file for each language that has rows, opened with its first row."""

    def __init__(self, out: Path, kind: str, schema: pa.Schema) -> None:
        self._out, self._kind, self._schema = out, kind, schema
        self._writers: dict[str, TableWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _ByLanguage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def rows(self) -> dict[str, int]:
        """Rows by language, complete once the files are closed."""
        return {language: writer.row_count for language, writer in sorted(self._writers.items())}

    @property
    def row_count(self) -> int:
        """Rows of all languages, complete once the files are closed."""
        return sum(self.rows.values())

    def write(self, language: str, row: Row) -> None:
        """Add a row to a language's file."""
        if language not in self._writers:
            path = self._out / f"{self._kind}-{language}.parquet"
            self._writers[language] = self._stack.enter_context(TableWriter(path, self._schema))
        self._writers[language].write({name: row.get(name) for name in self._schema.names})
