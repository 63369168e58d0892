"""JSONL and Parquet -> pairs.

A row holds its two texts in a mapping of languages (`{"translation": {"en": ..., "de": ...}}`), in columns that are
named by language, or in columns of the names that `tsv_layout` lists. Rows of the last kind may say in `src_lang` and
`tgt_lang` which side is which.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UserError
from curation.parallel.codes import choose_labels, language_of
from curation.parallel.lines import LineFault, bad_line, read_lines
from curation.parallel.origins import origin, score
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, unreadable
from curation.parallel.tsv_layout import ORIGIN_NAMES, SCORE_NAMES, side_columns
from curation.records import error_detail

_BATCH_ROWS = 256
_LANGUAGE_NAMES = (("src_lang", "tgt_lang"), ("source_lang", "target_lang"))
_MAX_GROUP_BYTES = 4 << 30  # of one row group's wanted columns, as its own footer says
# What Arrow raises on a damaged file, whichever of its fields the damage hit.
_PARQUET_ERRORS = (*DAMAGES, ValueError, NotImplementedError)

Row = Mapping[str, object]


def read_jsonl_pairs(
    stream: io.BufferedReader, name: str, languages: tuple[str, str], swapped: bool, config: PairIngestConfig
) -> Iterator[Unit]:
    """Yield a unit for each line of a JSONL file.

    Args:
        stream: decompressed bytes without a byte order mark.
        name: of the input.
        languages: codes of source and target.
        swapped: the target side stands first, where nothing in a row says which side is which.
        config: limits and columns.

    Raises:
        UserError: the first object has no fields that hold the two sides.
    """
    sequence = 0
    reader = _RowReader(name, languages, swapped, config)
    try:
        for line in read_lines(stream, config.max_line_bytes):
            if isinstance(line, LineFault):
                yield bad_line(name, sequence, line, config.max_line_bytes)
            elif not line.strip():
                yield BadPair(name, sequence, "skipped", "blank_line")
            else:
                yield _from_json(reader, name, sequence, line)
            sequence += 1
    except DAMAGES as error:
        yield unreadable(name, sequence, error)


def _from_json(reader: _RowReader, name: str, sequence: int, line: str) -> Unit:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadPair(name, sequence, "failed", "malformed_json", error_detail(error))
    if not isinstance(row, dict):
        return BadPair(name, sequence, "failed", "malformed_json", f"{type(row).__name__}, not an object")
    return reader.read(row, sequence)


def read_parquet_pairs(
    stream: BinaryIO, name: str, languages: tuple[str, str], swapped: bool, config: PairIngestConfig
) -> Iterator[Unit]:
    """Yield a unit for each row of a Parquet file; arguments as `read_jsonl_pairs`, the stream seekable.

    Raises:
        UserError: the file has no columns that hold the two sides; the message lists those it has.
    """
    sequence = 0
    reader = _RowReader(name, languages, swapped, config)
    try:
        table = pq.ParquetFile(stream)
        columns = reader.columns(list(table.schema_arrow.names))
        for group in range(table.num_row_groups):
            _check_group(table, group, columns, name)
        for batch in table.iter_batches(_BATCH_ROWS, columns=columns):
            for row in _rows(batch):
                if row is None:
                    yield BadPair(name, sequence, "failed", "not_utf8", "not valid UTF-8")
                else:
                    yield reader.read(row, sequence)
                sequence += 1
    except _PARQUET_ERRORS as error:
        yield unreadable(name, sequence, error)


def _check_group(table: pq.ParquetFile, group: int, columns: list[str], name: str) -> None:
    chunks = map(table.metadata.row_group(group).column, range(table.metadata.num_columns))
    size = sum(own.total_uncompressed_size for own in chunks if own.path_in_schema.split(".")[0] in columns)
    if size > _MAX_GROUP_BYTES:
        raise UserError(f"{name}: row group {group} holds {size:,} bytes: write the file with smaller row groups")


def _rows(batch: pa.RecordBatch) -> list[Row | None]:
    """Return the rows of a batch; None for one whose strings are no UTF-8."""
    try:
        return cast(list[Row | None], batch.to_pylist())
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [None]
        return [row for index in range(batch.num_rows) for row in _rows(batch.slice(index, 1))]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Names of the columns of source and target; `turned`: the file's first side is the target."""

    src: str
    tgt: str
    turned: bool


class _RowReader:
    """Finds the two sides in the rows of one input."""

    def __init__(self, name: str, languages: tuple[str, str], swapped: bool, config: PairIngestConfig) -> None:
        self._name, self._languages, self._swapped = name, languages, swapped
        self._max_bytes, self._chosen = config.max_line_bytes, config.columns
        self._known: tuple[str, str] | None = None  # names of the columns of the first and the second side
        self._maps = False  # an earlier row had its sides in a mapping
        chosen = config.columns
        if chosen is not None:
            if not isinstance(chosen.src, str) or not isinstance(chosen.tgt, str):
                raise UserError(f"{name} has columns with names: set columns.src and columns.tgt to names, not numbers")
            self._known = chosen.src, chosen.tgt

    def columns(self, names: list[str]) -> list[str]:
        """Return those of a table's columns that have to be read.

        Raises:
            UserError: the two sides are not among them.
        """
        if not self._is_mapping(names) and not set(self._find(names)) <= set(names):
            raise self._no_sides(names)
        wanted = {name for own in (*ORIGIN_NAMES, *_LANGUAGE_NAMES, SCORE_NAMES) for name in own}
        if self._chosen is not None:
            wanted = {str(self._chosen.score), str(self._chosen.src_origin), str(self._chosen.tgt_origin)}
        wanted |= set(self._known or ("translation",))
        return [name for name in names if name in wanted]

    def read(self, row: Row, sequence: int) -> Unit:
        """Return the unit of a row.

        Raises:
            UserError: it is the first one and does not hold the two sides.
        """
        fields = row
        if self._is_mapping(row):
            fields = _mapping(row.get("translation"))
            src, tgt = choose_labels(fields, *self._languages)
            if src is None or tgt is None:
                held = _shown(fields)
                return BadPair(self._name, sequence, "failed", "missing_text", f"translation holds {held or 'nothing'}")
            sides = _Sides(src, tgt, self._swapped)
        else:
            found = self._sides(row)
            if isinstance(found, str):
                return BadPair(self._name, sequence, "dropped", "other_language", found)
            sides = found
        src_text, tgt_text = fields.get(sides.src), fields.get(sides.tgt)
        if not isinstance(src_text, str) or not isinstance(tgt_text, str):
            missing = sides.tgt if isinstance(src_text, str) else sides.src
            return BadPair(self._name, sequence, "failed", "missing_text", f"no text under {missing!r}")
        if fault := _fault(src_text, self._max_bytes) or _fault(tgt_text, self._max_bytes):
            return bad_line(self._name, sequence, fault, self._max_bytes)
        src_origin, tgt_origin, rated = self._extras(row, sides.turned)
        return Pair(self._name, sequence, src_text, tgt_text, src_origin, tgt_origin, rated)

    def _is_mapping(self, row: Row | list[str]) -> bool:
        if self._chosen is not None:
            return False
        if isinstance(row, list):
            held = "translation" in row
        else:
            # A row may have lost its mapping: then that is its fault, and no other layout is looked for.
            value = row.get("translation")
            lost = value is None and self._known is None and (self._maps or "translation" in row)
            held = isinstance(value, dict | list) or lost
        self._maps |= held
        return held

    def _find(self, names: Iterable[str]) -> tuple[str, str]:
        if self._known is None:
            names = list(names)
            self._known = side_columns(names, self._languages, swapped=False)
            if self._known is None:
                raise self._no_sides(names)
        return self._known

    def _sides(self, row: Row) -> _Sides | str:
        """Return the sides of a row, or the languages that it says it has, where they are others."""
        first, second = self._find(row)
        if self._chosen is not None or None not in choose_labels((first, second), *self._languages):
            return _Sides(first, second, self._swapped and self._chosen is None)
        turned = self._swapped
        for own in _LANGUAGE_NAMES:
            labels = [label for name in own if isinstance(label := row.get(name), str)]
            if len(labels) == 2:
                codes = language_of(labels[0]), language_of(labels[1])
                if codes not in (self._languages, self._languages[::-1]):
                    return _shown(labels)
                turned = codes != self._languages
                break
        return _Sides(second, first, True) if turned else _Sides(first, second, False)

    def _extras(self, row: Row, turned: bool) -> tuple[str | None, str | None, float | None]:
        """Return the documents of the two sides and the score."""
        if self._chosen is not None:
            names = (self._chosen.src_origin, self._chosen.tgt_origin, self._chosen.score)
            src, tgt, rated = (row.get(name) if isinstance(name, str) else None for name in names)
            return origin(src), origin(tgt), score(rated)
        first, second = next((own for own in ORIGIN_NAMES if own[0] in row and own[1] in row), ("", ""))
        rated = next((row[own] for own in SCORE_NAMES if own in row), None)
        places = origin(row.get(first)), origin(row.get(second))
        return (*(places[::-1] if turned else places), score(rated))

    def _no_sides(self, names: Iterable[str]) -> UserError:
        src, tgt = self._languages
        return UserError(
            f"{self._name}: no columns for {src} and {tgt}; set columns.src and columns.tgt out of: {_shown(names)}"
        )


def _shown(names: Iterable[str]) -> str:
    """Return names as they may be printed and stored: a name in JSON may hold half of a surrogate pair."""
    return ", ".join(repr(name[:40])[1:-1] for name in islice(names, 20))


def _mapping(value: object) -> dict[str, object]:
    """Return the texts by language; a map of Parquet comes as a list of pairs."""
    entries = value.items() if isinstance(value, dict) else value if isinstance(value, list) else ()
    pairs = (entry for entry in entries if isinstance(entry, tuple) and len(entry) == 2)
    return {key: text for key, text in pairs if isinstance(key, str)}


def _fault(text: str, max_bytes: int) -> LineFault | None:
    try:
        return LineFault.TOO_LONG if len(text.encode("utf-8")) > max_bytes else None
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON may spell out and no table can store
        return LineFault.NOT_UTF8
