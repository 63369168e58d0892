"""The files of a token shard, read at any place without mapping them: memory does not grow with what was read.

A map of a file counts as memory of the process page by page as it is touched, and keeps a file open for as long as it
stands. Positioned reads do neither. Of all shards of a process a bounded number of files is open at a time, those used
last; a file that is closed is opened again when it is wanted. Such a shard can be pickled, and forked.

Shape legend: S = documents of the shard, P = documents that are asked for.
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.stream.shuffle import Numbers
from mixing.tokens.indexed import IndexedReader, Tokens, shard_paths

# Files that are kept open, and what the process needs for other things. Fewer where the limit is lower.
_MOST_OPEN, _OTHER_FILES, _FEWEST_OPEN = 1024, 256, 16
# Of an index: see `indexed.py`. Lengths come first, then pointers.
_HEADER_BYTES = struct.calcsize("<9sQBQQ")
_LENGTH_BYTES, _POINTER_BYTES = 4, 8
_Stamp = tuple[int, int, int]


class ShardFile:
    """A shard whose files were checked once, when it was made."""

    def __init__(self, prefix: Path) -> None:
        """Check a shard.

        Raises:
            UserError: as `IndexedReader`.
        """
        self.prefix = prefix
        self._paths = shard_paths(prefix)
        reader = IndexedReader(prefix)
        self._sequences, self.tokens, self._dtype = len(reader), reader.tokens, reader.dtype
        try:
            self._stamps = tuple(_stamp(path.stat()) for path in self._paths)
        except OSError as error:
            raise _unreadable(prefix, error) from error

    def __len__(self) -> int:
        """Return S."""
        return self._sequences

    def lengths(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return the tokens of documents, shape (P,).

        Raises:
            UserError: the index cannot be read any more.
        """
        places = (_HEADER_BYTES + _LENGTH_BYTES * numbers).tolist()
        return np.frombuffer(self._read(1, places, _LENGTH_BYTES), "<i4").astype(np.int64)

    def read(self, number: int, start: int, length: int) -> Tokens:
        """Return tokens of a document, shape (length,).

        Raises:
            UserError: the files cannot be read any more.
        """
        place = _HEADER_BYTES + _LENGTH_BYTES * self._sequences + _POINTER_BYTES * number
        pointer = int.from_bytes(self._read(1, [place], _POINTER_BYTES), "little")
        size = self._dtype.itemsize
        return np.frombuffer(self._read(0, [pointer + size * start], size * length), self._dtype)

    def open_file(self, which: int) -> _OpenFile:
        """Open `.bin` (0) or `.idx` (1), as it was when it was checked.

        Raises:
            UserError: it is gone, or another one.
        """
        try:
            file = _OpenFile(self._paths[which])
            if _stamp(os.fstat(file.number)) != self._stamps[which]:
                raise UserError(f"{self._paths[which]} was rewritten while it was being read; start again")
        except OSError as error:
            raise _unreadable(self.prefix, error) from error
        return file

    def _read(self, which: int, places: list[int], size: int) -> bytes:
        """Return `size` bytes at each place, one after another."""
        file = _opener()(self, which)
        number = file.number
        try:
            data = b"".join([os.pread(number, size, place) for place in places])
        except OSError as error:
            raise _unreadable(self.prefix, error) from error
        if len(data) != size * len(places):
            raise UserError(f"{self._paths[which]} was cut short while it was being read; run `make tokens` again")
        return data


class _OpenFile:
    """A file's descriptor, closed when nobody holds it any more: a thread may still read what another one put out."""

    __slots__ = ("number",)

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def files_to_keep_open() -> int:
    """Return how many files of shards stay open, having raised the limit of this process where that was too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else max(_FEWEST_OPEN, min(_MOST_OPEN, soft - _OTHER_FILES))


@cache
def _opener() -> Callable[[ShardFile, int], _OpenFile]:
    """Return the one place of this process where shards' files are opened: the limit on open files is the process'."""
    return lru_cache(maxsize=files_to_keep_open())(ShardFile.open_file)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _unreadable(prefix: Path, error: OSError) -> UserError:
    return UserError(f"cannot read the token shard {prefix}: {error.strerror}: {error.filename or prefix}")
