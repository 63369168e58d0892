"""What the stages inside documents found, put together: the stretches that leave each document, and the documents of
which too little is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.duplicates.parts import DedupPart, read_documents, remaining_rows
from curation.schema import CUTS, SPANS
from curation.stage import Result
from curation.store import TableWriter, read_tables
from dedup.cuts import Span, cut_text, merge_spans
from filters.scripts import code_points
from filters.words import Segmentation, find_words, segmenter_for

_EXCERPT_CHARS = 300
# A row of a table of documents or of cuts.
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class CutPart:
    """The payload of one cutting task.

    Attributes:
        part: whose documents are cut.
        gone: files of documents that go already.
        spans: files of spans by stage, in the order of the stages.
        minimum: characters that must be left after each stage, by stage; None for any number.
        first_stays: stages that leave the first occurrence where it is.
        lost: files of documents that went in the first pass, in which too little was left of them. What others share
            with these is not cut out of the others: it would be nowhere.
    """

    part: DedupPart
    gone: tuple[Path, ...]
    spans: dict[str, tuple[Path, ...]]
    minimum: dict[str, int | None]
    first_stays: frozenset[str]
    lost: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    span: Span
    stage: str
    duplicate_of: str
    duplicate_of_part: int
    source_is_lost: bool


def cut_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `cuts.parquet`: for each document that loses something, the stretches and whether it goes altogether.

    `lost.npy` names those that go, sorted.
    """
    assert isinstance(payload, CutPart)
    found = _spans(payload)
    rows = remaining_rows(payload.part, payload.gone)
    wanted = rows[np.isin(rows, sorted(found))]
    removed, lost = 0, []
    with TableWriter(out / "cuts.parquet", CUTS) as writer:
        for row, identifier, text in _texts(payload.part, wanted):
            own = [entry for entry in found[row] if not entry.source_is_lost or entry.duplicate_of == identifier]
            if not own:
                continue
            cut = _cut(identifier, text, own, payload.minimum)
            writer.write({"row": row, **cut})
            removed += int(str(cut["removed_chars"]))
            if cut["dropped_by"] is not None:
                lost.append(identifier)
    np.save(out / "lost.npy", np.array(sorted(lost), dtype="S32"))
    counts = {"documents": len(rows), "cut": len(wanted), "dropped": len(lost), "removed_chars": removed}
    return Result(counts)


def _spans(payload: CutPart) -> dict[int, list[_Found]]:
    found: dict[int, list[_Found]] = defaultdict(list)
    for stage, paths in payload.spans.items():
        table = read_tables(paths, SPANS, payload.part.number)
        sources = np.array(table["duplicate_of"].to_pylist(), dtype="S32")
        lost = np.zeros(len(sources), dtype=np.bool_)
        for path in payload.lost if stage in payload.first_stays else ():
            lost |= np.isin(sources, np.load(path))
        for row, is_lost in zip(table.to_pylist(), lost.tolist(), strict=True):
            span = row["start"], row["end"]
            entry = _Found(span, stage, row["duplicate_of"], row["duplicate_of_part"], is_lost)
            found[row["row"]].append(entry)
    return found


def _texts(part: DedupPart, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[tuple[int, str, str]]:
    for own, batch in read_documents(part.documents, rows, ("id", "text")):
        yield from zip(own.tolist(), *(batch.column(name).to_pylist() for name in ("id", "text")), strict=True)


def _cut(own_id: str, text: str, found: list[_Found], minimum: Mapping[str, int | None]) -> dict[str, object]:
    """Return the columns of one document."""
    spans: list[Span] = []
    dropped_by, left = None, len(text)
    for stage, least in minimum.items():
        own = [entry.span for entry in found if entry.stage == stage]
        if not own:
            continue
        spans = merge_spans([*spans, *own])
        left = len(cut_text(text, spans))
        if left == 0 or (least is not None and left < least):
            dropped_by = stage
            break
    removed = sum(end - start for start, end in spans)
    source, source_part = _main_source(own_id, found)
    return {
        "starts": [start for start, _ in spans],
        "ends": [end for _, end in spans],
        "found": _stretches(found),
        "dropped_by": dropped_by,
        "removed_chars": removed,
        "remaining_chars": left,
        "similarity": removed / max(1, len(text)),
        "duplicate_of": source,
        "duplicate_of_part": source_part,
    }


def _stretches(found: list[_Found]) -> list[dict[str, object]]:
    """Return what each stage found of each source, whatever partitions it came from."""
    spans: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for entry in found:
        spans[entry.stage, entry.duplicate_of].append(entry.span)
    rows = [(stage, *span, source) for (stage, source), own in spans.items() for span in merge_spans(own)]
    return [dict(zip(("stage", "start", "end", "duplicate_of"), row, strict=True)) for row in sorted(rows)]


def _main_source(own_id: str, found: list[_Found]) -> tuple[str | None, int | None]:
    """Return the other document that holds most of what is removed; of equal ones the one of the smallest id.

    There is none where the document only repeats itself.
    """
    spans: dict[tuple[str, int], list[Span]] = defaultdict(list)
    for entry in found:
        if entry.duplicate_of != own_id:
            spans[entry.duplicate_of, entry.duplicate_of_part].append(entry.span)
    if not spans:
        return None, None
    sizes = {source: sum(end - start for start, end in merge_spans(own)) for source, own in spans.items()}
    return min(sizes, key=lambda source: (-sizes[source], source))


def cut_document(document: Row, cut: Row | None, segmentation: Segmentation) -> Row:
    """Return a document as it is published: without what is cut out, its words counted anew.

    The other measures are those of the whole text, by which the document was judged.
    """
    if cut is None:
        return {**document, "removed_chars": 0}
    metrics = document["metrics"]
    assert isinstance(metrics, Mapping)
    text = cut_text(str(document["text"]), _borders(cut))
    words = find_words(text, code_points(text), segmenter_for(str(document["language"]), segmentation))
    measured = {**metrics, "words": float(len(words.starts))}
    return {**document, "text": text, "metrics": measured, "removed_chars": cut["removed_chars"]}


def _borders(cut: Row) -> list[Span]:
    starts, ends = cut["starts"], cut["ends"]
    assert isinstance(starts, list)
    assert isinstance(ends, list)
    return list(zip(starts, ends, strict=True))


def span_rows(document: Row, cut: Row) -> Iterator[Row]:
    """Yield what the stages found in a document, as rows of the published table of spans."""
    found = cut["found"]
    assert isinstance(found, list)
    for span in found:
        excerpt = str(document["text"])[span["start"] : span["end"]][:_EXCERPT_CHARS]
        yield {"document_id": document["id"], "url": document["url"], **span, "text": excerpt}
