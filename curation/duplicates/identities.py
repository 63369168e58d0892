"""Who each document is: the order in which duplicates are kept, and the document's id, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curation.duplicates.parts import parts_and_rows
from curation.schema import IDENTITIES, IDENTITY_NAMES

# Documents of a corpus that stands already come before all others. Texts of 2**31 characters do not exist here, so
# the upper bit of every other rank is set.
_BASE_BIT = 1 << 63


@dataclass(frozen=True, slots=True)
class Identity:
    """The numbers of one document."""

    rank0: int
    rank1: int
    rank2: int
    id0: int
    id1: int


def identity(text: str, language_score: float, url: str, identifier: str, base: bool = False) -> Identity:
    """Return the numbers by which the better of two documents is known: the smaller ones.

    The longer text is better, then the surer language, then the smaller hash of the text and of the URL: nothing of
    it depends on the order of arrival. The id makes it unique.

    Args:
        text: of the document.
        language_score: confidence of its language, from 0 to 1.
        url: its address, or an empty string.
        identifier: its id, 32 hexadecimal digits.
        base: it belongs to a corpus that stands already.
    """
    length = 0xFFFFFFFF - min(len(text), 0x7FFFFFFF)
    unsure = round((1.0 - min(1.0, max(0.0, language_score))) * 0xFFFFFFFF)
    rank0 = (length << 32 | unsure) & ~(_BASE_BIT if base else 0)
    text_hash, url_hash = (xxhash.xxh3_64_intdigest(value.encode("utf-8", "replace")) for value in (text, url))
    return Identity(rank0, text_hash, url_hash, int(identifier[:16], 16), int(identifier[16:], 16))


def base_rank(rank0: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the first numbers of documents as those of a corpus that stands already have them."""
    return rank0 & ~np.uint64(_BASE_BIT)


class Identities:
    """The identities of documents of several parts, by place, from memory-mapped files."""

    def __init__(self, paths: Mapping[int, Path]) -> None:
        """Prepare; a file is opened when a document of its part is asked for.

        Args:
            paths: files of `IDENTITIES` by the number of their part, rows rising.
        """
        self._paths = dict(paths)
        self._open: dict[int, dict[str, NDArray[np.generic]]] = {}

    def at(self, place: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the numbers of the documents at some places, shape (N, 5), in the order of `IDENTITY_NAMES`.

        Raises:
            KeyError: there is no such document.
        """
        numbers, rows = parts_and_rows(place)
        found = np.zeros((len(place), len(IDENTITY_NAMES)), dtype=np.uint64)
        order = np.argsort(numbers, kind="stable")
        borders = np.flatnonzero(np.diff(numbers[order])) + 1
        for own in np.split(order, borders) if len(order) else []:
            columns = self._columns(int(numbers[own[0]]))
            index = np.searchsorted(columns["row"], rows[own])
            index = np.minimum(index, max(0, len(columns["row"]) - 1))
            if not len(columns["row"]) or (columns["row"][index] != rows[own]).any():
                raise KeyError(f"part {numbers[own[0]]} has no identity for some of its rows")
            for number, name in enumerate(IDENTITY_NAMES):
                found[own, number] = columns[name][index]
        return found

    def _columns(self, part: int) -> dict[str, NDArray[np.generic]]:
        if part not in self._open:
            self._open[part] = read_identities(self._paths[part])
        return self._open[part]


def read_identities(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the columns of a file of identities, memory-mapped."""
    with pa.ipc.open_file(pa.memory_map(str(path))) as file:
        batch = file.get_batch(0)
    return {name: batch.column(name).to_numpy() for name in IDENTITIES.names}


def best_first(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the order of documents from the best to the worst; `numbers` has the shape (N, 5)."""
    order: NDArray[np.int64] = np.lexsort(numbers.T[::-1])
    return order


def ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each document, from 0 for the best, given their order."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def document_ids(numbers: NDArray[np.uint64]) -> pa.StringArray:
    """Return the ids of documents, 32 hexadecimal digits each; `numbers` has the shape (N, 5)."""
    digits = numbers[:, 3:].astype(">u8").tobytes().hex().encode()
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(32)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(digits))
