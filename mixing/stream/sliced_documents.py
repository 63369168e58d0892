"""A slice: some of a source's documents, chosen by `where:`, as a source that is drawn from in an order of its own.

A slice knows its documents by their numbers in the whole source, which slices share: a document that two of them have
is the same one. The numbers are in a file that is memory-mapped when it is used. A bounded number of maps stands at a
time, and their pages are given back after some look-ups, so that memory does not grow with what was looked up.

Shape legend: N = documents of the slice, P = documents that are asked for.
"""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.mixture.slices import read_slice
from mixing.stream.document_source import DocumentSource
from mixing.stream.shuffle import Numbers

_MOST_MAPS = 64
# The kernel maps up to 64 KiB around a page that is touched: 64 MiB of a map at most.
_RELEASE_AFTER = 1 << 10
_CHUNK = 1 << 20


class SliceNumbers:
    """Ascending numbers of documents, in memory or in a slice's file."""

    def __init__(self, numbers: Numbers | Path) -> None:
        """Look through the numbers once.

        Raises:
            UserError: the file cannot be read, or the numbers do not ascend from 0 or more.
        """
        self._numbers, self._touched = numbers, 0
        self._length: int | None = None
        array = self._array()
        self._length = len(array)
        before = -1
        for begin in range(0, len(array), _CHUNK):
            part = np.array(array[begin : begin + _CHUNK])
            if (np.diff(part, prepend=before) <= 0).any():
                what = numbers if isinstance(numbers, Path) else "the slice"
                raise UserError(f"{what} is damaged: its numbers do not ascend; run `make mixture` again")
            before = int(part[-1])
        self.last = before
        self._release(_RELEASE_AFTER)

    def __len__(self) -> int:
        """Return N."""
        assert self._length is not None
        return self._length

    def at(self, ranks: Numbers) -> Numbers:
        """Return the numbers of documents of the slice, shape (P,)."""
        found = np.asarray(self._array()[ranks], dtype=np.int64)
        self._release(len(ranks))
        return found

    def ranks(self, numbers: Numbers) -> Numbers:
        """Return which documents of the slice these are, shape (P,); -1 for those that are not in it."""
        if not len(self):
            return np.full(len(numbers), -1, dtype=np.int64)
        array = self._array()
        found = array.searchsorted(numbers)
        there = array[np.minimum(found, len(self) - 1)] == numbers
        self._release(len(numbers))
        return np.where(there, found, -1)

    def _array(self) -> Numbers:
        return self._numbers if isinstance(self._numbers, np.ndarray) else _mapped(self)

    def map_file(self) -> Numbers:
        """Map the file of the numbers.

        Raises:
            UserError: it is gone, damaged, or another one than it was.
        """
        assert isinstance(self._numbers, Path), "numbers in memory have no file"
        found = read_slice(self._numbers)
        if self._length not in (None, len(found)):
            raise UserError(f"the slice {self._numbers} was rewritten while it was being read; start again")
        return found

    def _release(self, touched: int) -> None:
        """Give the pages of the map back after some look-ups: they are the file's, and come again when wanted."""
        self._touched += touched
        if self._touched >= _RELEASE_AFTER:
            self._touched = 0
            pages = self._array().base
            if isinstance(pages, mmap.mmap):
                pages.madvise(mmap.MADV_DONTNEED)


class SlicedDocuments:
    """Some documents of a source."""

    def __init__(self, whole: DocumentSource, numbers: SliceNumbers, name: str, identity: str | None = None) -> None:
        """Choose documents.

        Args:
            whole: the source; no slice itself.
            numbers: of its documents.
            name: of the slice: another one than those of the source and its other slices.
            identity: what the documents are; None is the source's, and the numbers.

        Raises:
            UserError: there are numbers that are not among the source's documents.
        """
        if numbers.last >= whole.documents:
            raise UserError(
                f"the slice {name!r} has numbers of documents that are not among the {whole.documents:,} of "
                f"{whole.name!r}; run `make mixture` again"
            )
        self.whole, self.numbers, self.name, self.documents = whole, numbers, name, len(numbers)
        self.identity = self._own_identity() if identity is None else identity

    def lengths(self, numbers: Numbers) -> NDArray[np.integer]:
        """Return the tokens of documents of the slice, shape (P,)."""
        return self.whole.lengths(self.numbers.at(numbers))

    def tokens(self, number: int, start: int, length: int) -> NDArray[np.integer]:
        """Return tokens of a document of the slice, shape (length,)."""
        return self.whole.tokens(int(self.numbers.at(np.array([number]))[0]), start, length)

    def _own_identity(self) -> str:
        digest = xxhash.xxh3_128(self.whole.identity.encode("utf-8", "surrogatepass"))
        for begin in range(0, self.documents, _CHUNK):
            part = self.numbers.at(np.arange(begin, min(begin + _CHUNK, self.documents)))
            digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()


def slice_source_name(source: str, checksum: str) -> str:
    """Return the name that a slice is drawn, and known in a state, by: the same documents have the same name."""
    return f"{source}/{checksum}"


@lru_cache(maxsize=_MOST_MAPS)
def _mapped(numbers: SliceNumbers) -> Numbers:
    return numbers.map_file()
