"""The tokens of a part's documents, and the anchors of their windows: one task a part (see `token_files.py`)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.duplicates.parts import DedupPart, read_documents, remaining_rows
from curation.duplicates.shuffle import write_partitions
from curation.duplicates.token_files import ANCHORS, PART_BITS, UNSPACED_BIT, TokenTexts
from curation.stage import Result
from dedup.minhash import mix
from dedup.periods import folded
from dedup.substring import SubstringConfig
from dedup.winnow import find_anchors, running_sums
from filters.scripts import code_points
from filters.tokens import find_tokens
from filters.words import Segmentation

# Text that is looked at at a time; no token is longer than a fraction of it.
_STRETCH_BYTES = 1 << 17
_SUM_BYTES, _START_BYTES = 8, 4
_SEGMENTATIONS: tuple[Segmentation, ...] = ("spaces", "none")


def width_of(config: SubstringConfig, segmentation: Segmentation) -> int:
    """Return how many tokens the windows of a language have."""
    return config.min_tokens if segmentation == "spaces" else config.min_tokens_unspaced


@dataclass(frozen=True, slots=True)
class TokensPart:
    """The payload of one tokens task.

    Attributes:
        part: whose documents are read; of `base` parts, too.
        gone: files of duplicates (`DUPLICATES`) of earlier phases; what they name takes no part.
        segmentations: how each language of the part puts spaces between words, by code.
        config: window lengths.
        partitions: number of partitions that the anchors are spread over.
    """

    part: DedupPart
    gone: tuple[Path, ...]
    segmentations: dict[str, Segmentation]
    config: SubstringConfig
    partitions: int


def tokens_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write the files of `token_files.py` for a part's remaining documents."""
    assert isinstance(payload, TokensPart)
    rows = remaining_rows(payload.part, payload.gone)
    with _TokenWriter(out, payload) as writer:
        for own, batch in read_documents(payload.part.documents, rows, ("text", "language")):
            languages = batch.column("language").to_pylist()
            spoken = np.array([_SEGMENTATIONS.index(payload.segmentations[code]) for code in languages])
            for number, segmentation in enumerate(_SEGMENTATIONS):
                chosen = spoken == number
                if chosen.any():
                    texts = batch.column("text").filter(pa.array(chosen))
                    writer.add(own[chosen], texts, segmentation)
    return Result({"documents": len(rows), "tokens": writer.tokens, "anchors": writer.anchors})


class _TokenWriter:
    """Writes the files of one part, batch after batch."""

    def __init__(self, out: Path, payload: TokensPart) -> None:
        self._out, self._config, self._partitions = out, payload.config, payload.partitions
        self._files = {name: (out / f"{name}.bin").open("wb") for name in ("text", "starts", "characters", "sums")}
        self._files["sums"].write(bytes(_SUM_BYTES))
        self._write_end(0)
        self._texts = TokenTexts({payload.part.number: out})
        self._bytes = self._characters = self.tokens = self.anchors = self._sum = 0
        self._first = payload.part.number << PART_BITS
        self._documents = [np.zeros((3, 0), dtype=np.int64)]
        self._columns = [{field.name: np.zeros(0, field.type.to_pandas_dtype()) for field in ANCHORS}]

    def __enter__(self) -> _TokenWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        if kind is None:
            self._write_tables()

    def add(self, rows: NDArray[np.int64], texts: pa.Array, segmentation: Segmentation) -> None:
        """Add documents of one segmentation."""
        text, borders = _joined(texts)
        starts, characters, hashes = _tokenize(text, borders[:-1], segmentation)
        first = np.searchsorted(starts, borders)
        lengths = pc.utf8_length(texts).to_numpy().astype(np.int64)
        self._documents.append(
            np.stack([rows, first[:-1] + self.tokens, np.cumsum(lengths) - lengths + self._characters])
        )
        self._write_text(text, starts, characters)
        sums = running_sums(hashes, self.tokens, self._sum)
        self._files["sums"].write(sums[1:].data)
        self._add_anchors(sums, first[1:], segmentation)
        self._bytes += len(text)
        self._characters += int(lengths.sum())
        self.tokens += len(hashes)
        self._sum = int(sums[-1])

    def _write_text(self, text: memoryview, starts: NDArray[np.uint32], characters: NDArray[np.uint32]) -> None:
        end = self._bytes + len(text)
        if end > np.iinfo(np.uint32).max:
            raise ValueError("a part of more than 4 GiB of text")
        self._files["text"].write(text)
        self._files["characters"].write((characters + np.uint32(self._characters)).data)
        self._files["starts"].write((starts + np.uint32(self._bytes)).data)
        self._files["text"].flush()
        self._write_end(end)

    def _write_end(self, end: int) -> None:
        """Write the end of the text behind the last start, where it stays until other starts come."""
        self._files["starts"].write(np.array([end], dtype=np.uint32).data)
        self._files["starts"].seek(-_START_BYTES, os.SEEK_CUR)

    def _add_anchors(self, sums: NDArray[np.uint64], ends: NDArray[np.int64], segmentation: Segmentation) -> None:
        width = width_of(self._config, segmentation)
        unspaced = np.uint64((segmentation == "none") << UNSPACED_BIT)
        for block in find_anchors(sums, ends, width, self.tokens):
            numbered = replace(block, tokens=block.tokens + self.tokens + self._first)
            own = folded(numbered, width, self._texts)
            columns = (own.hashes >> np.uint64(1) | unspaced, own.tokens, own.low, own.high, own.again)
            self._columns.append(
                {
                    field.name: column.astype(field.type.to_pandas_dtype(), copy=False)
                    for field, column in zip(ANCHORS, columns, strict=True)
                }
            )
            self.anchors += len(own.tokens)

    def _write_tables(self) -> None:
        np.save(self._out / "documents.npy", np.concatenate(self._documents, axis=1))
        columns = {name: np.concatenate([own[name] for own in self._columns]) for name in ANCHORS.names}
        partition = (mix(columns["hash"]) % np.uint64(self._partitions)).astype(np.int64)
        write_partitions(self._out / "anchors.arrow", ANCHORS, columns, partition, self._partitions)


def _joined(texts: pa.Array) -> tuple[memoryview, NDArray[np.int64]]:
    """Return the bytes of several texts, one after the other, and their borders, beginning and end included."""
    texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    borders = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    text = memoryview(data or b"")[int(borders[0]) : int(borders[-1])]
    return text, borders - borders[0]


def _tokenize(
    text: memoryview, borders: NDArray[np.int64], segmentation: Segmentation
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint64]]:
    """Return the byte and the character at which each token of joined texts begins, and the tokens' hashes."""
    empty = np.zeros(0, dtype=np.uint32)
    found = [(empty, empty, np.zeros(0, dtype=np.uint64))]
    position = character = 0
    while position < len(text):
        stop = min(position + _STRETCH_BYTES, len(text))
        while stop < len(text) and text[stop] & 0xC0 == 0x80:
            stop -= 1
        points = code_points(stretch := str(text[position:stop], "utf-8"))
        offsets = _byte_offsets(points, stop - position)
        own = borders[np.searchsorted(borders, position) : np.searchsorted(borders, stop)] - position
        tokens = find_tokens(points, np.searchsorted(offsets, own), segmentation)
        starts, hashes = tokens.starts, tokens.hashes
        step = len(points)
        if stop < len(text) and not stretch[-1].isspace():
            # What follows may belong to the last token: it is read again from its beginning.
            starts, hashes, step = starts[:-1], hashes[:-1], int(starts[-1])
        found.append(((offsets[starts] + position).astype(np.uint32), (starts + character).astype(np.uint32), hashes))
        position, character = position + int(offsets[step]), character + step
    all_starts, characters, all_hashes = zip(*found, strict=True)
    return np.concatenate(all_starts), np.concatenate(characters), np.concatenate(all_hashes)


def _byte_offsets(points: NDArray[np.uint32], length: int) -> NDArray[np.int64]:
    """Return the byte at which each character begins in UTF-8, and the length."""
    if len(points) == length:
        return np.arange(length + 1)
    offsets = np.zeros(len(points) + 1, dtype=np.int64)
    widths = (points >= 0x80).astype(np.uint8)
    for border in (0x800, 0x10000):
        widths += points >= border
    widths += np.uint8(1)
    np.cumsum(widths, out=offsets[1:])
    return offsets
