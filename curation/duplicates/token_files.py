"""The files in which a part's tokens lie, and reading them back without holding more than a piece of one.

A token is known by its number: that of its part in the upper 32 bits, its place among the part's tokens in the lower
ones. The files of a part with T tokens and D documents:

- `text.bin`: the texts of the documents, one after the other, UTF-8
- `starts.bin`: uint32, T + 1: the byte of `text.bin` at which each token begins; the end of the text
- `characters.bin`: uint32, T: the character of `text.bin` at which each token begins
- `sums.bin`: uint64, T + 1: running sums of the tokens' hashes (`dedup.winnow`)
- `documents.npy`: int64, (3, D): row, first token and first character of each document
- `anchors.arrow`: a record batch of `ANCHORS` for each partition
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dedup.winnow import window_hashes, windows_of

# Windows by their anchors. The upper bit of the hash says that the windows have the length of unspaced languages.
ANCHORS = pa.schema(
    [
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("token", pa.int64(), nullable=False),
        pa.field("low", pa.uint32(), nullable=False),
        pa.field("high", pa.uint32(), nullable=False),
        pa.field("again", pa.uint32(), nullable=False),
    ]
)
PART_BITS = 32
UNSPACED_BIT = 63
_PLACE_MASK = (1 << PART_BITS) - 1
# Numbers of a file that are read at a time. Nothing is memory-mapped: pages once touched would count as a worker's.
_PIECE = 1 << 15
# Stretches that are compared at a time.
_ROWS = 1 << 14
# Texts that are open at a time: each takes a file descriptor.
_OPEN_TEXTS = 200

Number = TypeVar("Number", np.uint32, np.uint64)


def by_part(
    tokens: NDArray[np.int64], folders: Mapping[int, Path]
) -> Iterator[tuple[Path, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield for each part the folder of its files, the indexes of its tokens, and their places in it, rising."""
    order = np.argsort(tokens, kind="stable")
    parts = tokens[order] >> PART_BITS
    for own in np.split(order, np.flatnonzero(np.diff(parts)) + 1) if len(order) else []:
        yield folders[int(tokens[own[0]]) >> PART_BITS], own, tokens[own] & _PLACE_MASK


def read_numbers(path: Path, dtype: type[Number], places: NDArray[np.int64]) -> NDArray[Number]:
    """Return the numbers at some places of a file, which are rising, or nearly so."""
    found = np.empty(len(places), dtype=dtype)
    for own in _pieces(places):
        near = places[own]
        first = int(near.min())
        piece = np.fromfile(path, dtype, int(near.max()) - first + 1, offset=first * found.itemsize)
        found[own] = piece[near - first]
    return found


def read_window_hashes(
    path: Path, tokens: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64], width: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Yield the hashes of all windows of anchors, a piece of the file of sums after the other.

    Args:
        path: of `sums.bin`.
        tokens: place of each anchor's first token, rising.
        low: smallest distance from the start of a window to its anchor.
        high: largest one.
        width: tokens of a window.

    Yields:
        Indexes of anchors, and the hashes of their windows, anchor by anchor, those of small distances first.
    """
    for own in _pieces(tokens):
        first = int((tokens[own] - high[own]).min())
        count = int((tokens[own] - low[own]).max()) - first + width + 1
        sums = np.fromfile(path, np.uint64, count, offset=first * 8)
        starts, _ = windows_of(tokens[own] - first, low[own], high[own])
        yield own, window_hashes(sums, starts, width, first)


def _pieces(places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the indexes of places, cut where another piece of a file begins."""
    borders = np.flatnonzero(np.diff(places // _PIECE)) + 1
    return np.split(np.arange(len(places)), borders) if len(places) else []


class TokenTexts:
    """The tokens of all parts themselves, by number."""

    def __init__(self, folders: Mapping[int, Path]) -> None:
        """Prepare; a file is opened when a token of its part is asked for.

        Args:
            folders: of the files of each part, by its number.
        """
        self._folders = folders
        # Closed when the last reference to it goes.
        self._open = lru_cache(maxsize=_OPEN_TEXTS)(lambda part: (folders[part] / "text.bin").open("rb", buffering=0))

    def equal(
        self, first: NDArray[np.int64], second: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Compare stretches as bytes, without white space at their ends; those that differ, token by token."""
        same = np.zeros(len(first), dtype=np.bool_)
        order = np.lexsort((first, second))  # so that few texts have to be open
        for own in np.split(order, range(_ROWS, len(order), _ROWS)):
            columns = (self._bytes(first[own], counts[own]), self._bytes(second[own], counts[own]))
            rows = zip(own.tolist(), *(column.tolist() for column in (*columns[0], *columns[1])), strict=True)
            for number, part, start, end, other, other_start, other_end in rows:
                one, two = self._read(part, start, end), self._read(other, other_start, other_end)
                # Equal words, or white space that differs, are seen at once; the rest is looked at token by token.
                same[number] = one.rstrip() == two.rstrip() or one.split() == two.split()
        for number in np.flatnonzero(~same).tolist():
            same[number] = self._equal(int(first[number]), int(second[number]), int(counts[number]))
        return same

    def _equal(self, first: int, second: int, count: int) -> bool:
        steps = ((start, min(_PIECE, count - start)) for start in range(0, count, _PIECE))
        return all(self.content(first + start, own) == self.content(second + start, own) for start, own in steps)

    def content(self, start: int, count: int) -> bytes:
        """Return the tokens with one space between them."""
        part, place = start >> PART_BITS, start & _PLACE_MASK
        borders = np.fromfile(self._folders[part] / "starts.bin", np.uint32, count + 1, offset=place * 4).tolist()
        text = self._read(part, borders[0], borders[-1])
        tokens = [text[begin - borders[0] : end - borders[0]].decode("utf-8") for begin, end in pairwise(borders)]
        return " ".join([token.rstrip() for token in tokens]).encode("utf-8")

    def lengths(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the characters of tokens."""
        columns = self._bytes(tokens, np.ones(len(tokens), dtype=np.int64))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        lengths = [len(self._read(part, start, end).decode("utf-8").rstrip()) for part, start, end in rows]
        return np.array(lengths, dtype=np.int64)

    def _read(self, part: int, start: int, end: int) -> bytes:
        return os.pread(self._open(part).fileno(), end - start, start)

    def _bytes(
        self, tokens: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the parts of stretches of tokens, and where in the parts' texts they begin and end."""
        begin, end = np.empty(len(tokens), dtype=np.int64), np.empty(len(tokens), dtype=np.int64)
        for folder, own, places in by_part(tokens, self._folders):
            begin[own] = read_numbers(folder / "starts.bin", np.uint32, places)
            end[own] = read_numbers(folder / "starts.bin", np.uint32, places + counts[own])
        return tokens >> PART_BITS, begin, end
