"""Stretches of tokens that occur twice: one task a partition of anchors, after the tokens tasks of all parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.duplicates.identities import Identities, best_first, document_ids, ranks
from curation.duplicates.parts import parts_and_rows, places
from curation.duplicates.shuffle import Columns, read_partition
from curation.duplicates.token_files import (
    ANCHORS,
    PART_BITS,
    UNSPACED_BIT,
    TokenTexts,
    by_part,
    read_numbers,
    read_window_hashes,
)
from curation.schema import SPANS
from curation.stage import Result
from dedup.periods import with_folded
from dedup.repeats import AnchoredWindows, Runs, repeated_runs
from dedup.substring import SubstringConfig, merged
from dedup.winnow import Anchors

_ROW_GROUP = 20_000


@dataclass(frozen=True, slots=True)
class RepeatsPartition:
    """The payload of one repeats task.

    Attributes:
        number: of the partition.
        anchors: `anchors.arrow` of every part.
        tokens: folder of the files of the tokens task, by number of the part.
        identities: file of identities, by number of the part.
        base: numbers of the parts that stay as they are.
        config: what is removed.
    """

    number: int
    anchors: tuple[Path, ...]
    tokens: dict[int, Path]
    identities: dict[int, Path]
    base: frozenset[int]
    config: SubstringConfig


def repeats_partition(payload: object, out: Path, scratch: Path) -> Result:
    """Write `spans.parquet`: what goes of the documents, for the windows whose anchors are in one partition.

    Rows are sorted by part, row and start. Spans of one document that overlap are one row if the first occurrences
    are in one document, too; else they are several rows. `duplicate_of` is the document of the first occurrence of
    the window that a span begins with; it is the document itself for repetition inside of it, and for a first
    occurrence that is removed.
    """
    assert isinstance(payload, RepeatsPartition)
    columns = read_partition(payload.anchors, payload.number, ANCHORS)
    count = len(columns["hash"])
    anchors = _meeting(columns)
    search = _Search(payload)
    unspaced = anchors.hashes >> np.uint64(UNSPACED_BIT) == 1
    tables = [
        search.spans(anchors.at(own), width)
        for own, width in ((~unspaced, payload.config.min_tokens), (unspaced, payload.config.min_tokens_unspaced))
    ]
    spans = pa.concat_tables(tables).sort_by([(name, "ascending") for name in SPANS.names])
    pq.write_table(spans, out / "spans.parquet", compression="zstd", row_group_size=_ROW_GROUP)
    return Result({"anchors": count, "meeting": len(anchors.hashes), "spans": spans.num_rows})


def _meeting(columns: Columns) -> Anchors:
    """Return the anchors whose hash occurs more than once, or whose windows do: those of others occur once."""
    hashes = columns["hash"].astype(np.uint64, copy=False)
    order = np.argsort(hashes)
    meets = columns["again"] != 0
    same = np.diff(hashes[order]) == 0
    meets[order[1:][same]] = meets[order[:-1][same]] = True
    others = (columns[name][meets].astype(np.int64) for name in ("token", "low", "high", "again"))
    return Anchors(hashes[meets], *others)


class _Search:
    """Finds what goes, given anchors of one window length."""

    def __init__(self, payload: RepeatsPartition) -> None:
        self._folders, self._base, self._remove = payload.tokens, payload.base, payload.config.remove
        self._identities = Identities(payload.identities)
        self._texts = TokenTexts(payload.tokens)

    def spans(self, anchors: Anchors, width: int) -> pa.Table:
        """Return a table of `SPANS`."""
        windows = self._windows(anchors, width)
        runs = with_folded(repeated_runs(windows, width, self._texts, self._remove), windows)
        if self._base:
            cut = ~np.isin(runs.targets >> PART_BITS, sorted(self._base))
            runs = Runs(runs.targets[cut], runs.sources[cut], runs.windows[cut])
        documents, originals = self._documents(runs.targets), self._documents(runs.sources)
        ends = runs.targets + runs.windows + width - 1
        first, starts, ends = merged(runs.targets, ends, documents.astype(np.int64), originals.astype(np.int64))
        begin, end = self._characters(starts, ends)
        parts, rows = parts_and_rows(documents[first])
        own, of = np.unique(originals[first], return_inverse=True)
        identifiers = pa.array(document_ids(self._identities.at(own)), pa.string()).take(pa.array(of))
        columns = [parts, rows, begin, end, identifiers, parts_and_rows(originals[first])[0]]
        return pa.table([pa.array(column) for column in columns], schema=SPANS)

    def _windows(self, anchors: Anchors, width: int) -> AnchoredWindows:
        """Return the windows of anchors, those of the best document first."""
        owners, of = np.unique(self._documents(anchors.tokens), return_inverse=True)
        precedence = ranks(best_first(self._identities.at(owners)))
        anchors = anchors.at(np.lexsort((anchors.tokens, precedence[of])))
        tokens, low, high = anchors.tokens, anchors.low, anchors.high
        first = np.cumsum(high - low + 1) - (high - low + 1)
        hashes = np.empty(int((high - low + 1).sum()), dtype=np.uint64)
        for folder, own, numbers in by_part(tokens, self._folders):
            for near, found in read_window_hashes(folder / "sums.bin", numbers, low[own], high[own], width):
                counts = high[own[near]] - low[own[near]] + 1
                into = np.repeat(first[own[near]] - np.cumsum(counts) + counts, counts)
                hashes[into + np.arange(len(found))] = found
        return AnchoredWindows(tokens, low, high, anchors.again, hashes, first)

    def _documents(self, tokens: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the place of each token's document."""
        found = np.empty(len(tokens), dtype=np.uint64)
        for folder, own, numbers in by_part(tokens, self._folders):
            rows, first, _ = np.load(folder / "documents.npy")
            part = int(tokens[own[0]]) >> PART_BITS
            found[own] = places(part, rows[np.searchsorted(first, numbers, side="right") - 1])
        return found

    def _characters(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first and last place, in the text of their document, of spans of tokens."""
        begin, end = np.empty(len(starts), dtype=np.int64), np.empty(len(starts), dtype=np.int64)
        for folder, own, numbers in by_part(starts, self._folders):
            _, first, first_characters = np.load(folder / "documents.npy")
            before = first_characters[np.searchsorted(first, numbers, side="right") - 1]
            last = numbers + (ends - starts)[own] - 1
            begin[own] = read_numbers(folder / "characters.bin", np.uint32, numbers) - before
            end[own] = read_numbers(folder / "characters.bin", np.uint32, last) - before
        return begin, end + self._texts.lengths(ends - 1)
