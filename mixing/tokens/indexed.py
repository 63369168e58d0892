r"""Token shards: `<prefix>.bin` and `<prefix>.idx`, byte for byte what Megatron-LM's IndexedDataset reads and writes.

The index, little-endian (Megatron-LM core 0.16, `core/datasets/indexed_dataset.py`): the magic `MMIDIDX\0\0`, version 1
(u64), the token type's code (u8), S (u64), D + 1 (u64), lengths in tokens (i32, S), pointers in bytes (i64, S), number
of the first sequence of each document and S (i64, D + 1). `.bin` holds the tokens of all sequences, one after another.

Shape legend: S = sequences, D = documents; here every document is one sequence.
"""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError

TokenType = Literal["uint16", "int32"]
# What an array of tokens may be made of.
Tokens = NDArray[np.integer]

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_VERSION = 1
_CODES = MappingProxyType({1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16"})
# The rule of Megatron-LM: a smaller vocabulary is stored in 16 bits.
_SMALL_VOCABULARY = 65_500
_MOST_TOKENS = np.iinfo(np.int32).max
_CHUNK, _CHECKED = 1 << 20, 1 << 16


def token_type(vocabulary_size: int) -> TokenType:
    """Return what Megatron-LM stores the tokens of a vocabulary as.

    Raises:
        ValueError: no token type holds so many.
    """
    if vocabulary_size > np.iinfo(np.int32).max:
        raise ValueError(f"a vocabulary of {vocabulary_size:,} does not fit into 32 bits")
    return "uint16" if vocabulary_size < _SMALL_VOCABULARY else "int32"


def shard_paths(prefix: Path) -> tuple[Path, Path]:
    """Return the paths of `.bin` and `.idx`; the prefix' own name may have dots."""
    return prefix.with_name(f"{prefix.name}.bin"), prefix.with_name(f"{prefix.name}.idx")


def index_bytes(sequences: int) -> int:
    """Return the size of an index of as many sequences, each a document of its own."""
    return _HEADER.size + 4 * sequences + 8 * sequences + 8 * (sequences + 1)


class IndexedWriter:
    """Writes a shard sequence by sequence. Memory: 4 bytes a sequence, and the one that is being added.

    The files are there, whole, once the `with` block has ended without an error; the index comes last.
    """

    def __init__(self, prefix: Path, dtype: TokenType) -> None:
        """Prepare; `dtype` is what the tokens are stored as."""
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._limits = np.iinfo(self._dtype)
        self._targets = shard_paths(prefix)
        mark = uuid.uuid4().hex
        self._aside = tuple(path.with_name(f".{path.name}.{mark}") for path in self._targets)
        self._lengths = np.zeros(1 << 10, dtype=np.int32)
        self.sequences = 0
        self.tokens = 0

    def __enter__(self) -> IndexedWriter:
        """Open the file of tokens."""
        self._bin = self._aside[0].open("wb")
        return self

    def add(self, tokens: Tokens) -> None:
        """Add a sequence, shape (T,); an empty one is a sequence, too.

        Raises:
            ValueError: the sequence is longer than an index can tell, or a token does not fit into the token type.
        """
        if len(tokens) > _MOST_TOKENS:
            raise ValueError(f"a sequence of {len(tokens):,} tokens; an index can tell {_MOST_TOKENS:,}")
        if len(tokens) and (tokens.min() < self._limits.min or tokens.max() > self._limits.max):
            raise ValueError(f"tokens from {tokens.min()} to {tokens.max()} do not fit into {self._dtype.name}")
        self._bin.write(np.ascontiguousarray(tokens, dtype=self._dtype).data)
        if self.sequences == len(self._lengths):
            self._lengths = np.concatenate((self._lengths, np.zeros_like(self._lengths)))
        self._lengths[self.sequences] = len(tokens)
        self.sequences += 1
        self.tokens += len(tokens)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish both files, or leave none."""
        try:
            if kind is None:
                _sync_and_close(self._bin)
                self._write_index()
                self._targets[1].unlink(missing_ok=True)  # an old index must not stand beside new tokens
                for aside, target in zip(self._aside, self._targets, strict=True):
                    os.replace(aside, target)
        finally:
            self._bin.close()
            for aside in self._aside:
                aside.unlink(missing_ok=True)

    def _write_index(self) -> None:
        code = next(code for code, name in _CODES.items() if name == self._dtype.name)
        lengths = self._lengths[: self.sequences]
        with self._aside[1].open("wb") as file:
            file.write(_HEADER.pack(_MAGIC, _VERSION, code, self.sequences, self.sequences + 1))
            file.write(lengths.astype("<i4", copy=False).data)
            pointer = 0
            for start in range(0, self.sequences, _CHUNK):
                sizes = lengths[start : start + _CHUNK].astype("<i8") * self._dtype.itemsize
                ends = pointer + np.cumsum(sizes)
                file.write((ends - sizes).astype("<i8", copy=False).data)
                pointer = int(ends[-1])
            for start in range(0, self.sequences + 1, _CHUNK):
                file.write(np.arange(start, min(start + _CHUNK, self.sequences + 1), dtype="<i8").data)
            _sync_and_close(file)


def _sync_and_close(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


class IndexedReader:
    """A shard, memory-mapped. What the files say is checked when they are opened, in memory that does not grow with S.

    For that 12 bytes a sequence are read once. Both files must stay as they are while they are mapped: the system ends
    a process that reads behind the end of a mapped file.
    """

    def __init__(self, prefix: Path) -> None:
        """Open a shard.

        Raises:
            UserError: a file is missing or unreadable, is no such file, is cut short, or points outside the other one.
        """
        self._bin_path, self._idx_path = shard_paths(prefix)
        with _naming(self._bin_path), self._bin_path.open("rb") as file:
            self._bin_bytes = os.fstat(file.fileno()).st_size
        with _naming(self._idx_path), self._idx_path.open("rb") as file:
            self._read_header(file.read(_HEADER.size))
            self._map_index()
            self._check(file)

    def _read_header(self, header: bytes) -> None:
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise UserError(f"{self._idx_path} is no index of tokens: it does not begin with Megatron-LM's mark")
        _, version, code, self._sequences, self._documents = _HEADER.unpack(header)
        if version != _VERSION or code not in _CODES:
            raise UserError(f"{self._idx_path}: version {version} with token type {code} cannot be read here")
        self.dtype = np.dtype(_CODES[code]).newbyteorder("<")

    def _map_index(self) -> None:
        raw = np.asarray(np.memmap(self._idx_path, mode="r"))
        sizes = 4 * self._sequences, 8 * self._sequences, 8 * self._documents
        if _HEADER.size + sum(sizes) != len(raw):
            raise UserError(
                f"{self._idx_path} has {len(raw):,} bytes, but {self._sequences:,} sequences take "
                f"{_HEADER.size + sum(sizes):,}: it was cut short, or tells of more than tokens"
            )
        borders = np.cumsum((_HEADER.size, *sizes)).tolist()
        self._lengths = raw[borders[0] : borders[1]].view("<i4")
        self._pointers = raw[borders[1] : borders[2]].view("<i8")
        self._document_indices = raw[borders[2] : borders[3]].view("<i8")

    def _check(self, file: IO[bytes]) -> None:
        """Check all sequences, in blocks that are read: pages of a map would stay in memory."""
        indices = self._document_indices
        if not len(indices) or indices[0] != 0 or indices[-1] != self._sequences:
            raise UserError(f"{self._idx_path} is damaged: its documents are not those of its sequences")
        self.tokens = 0
        for start in range(0, self._sequences, _CHECKED):
            count = min(_CHECKED, self._sequences - start)
            lengths = _read(file, _HEADER.size + 4 * start, 4 * count).view("<i4").astype(np.int64)
            pointers = _read(file, _HEADER.size + 4 * self._sequences + 8 * start, 8 * count).view("<i8")
            # Where the last token may begin: adding to a pointer from the file could overflow.
            last = self._bin_bytes - lengths * self.dtype.itemsize
            if (lengths < 0).any() or (pointers < 0).any() or (pointers > last).any():
                raise self._points_outside()
            self.tokens += int(lengths.sum())

    def _points_outside(self) -> UserError:
        return UserError(
            f"{self._idx_path} points outside {self._bin_path.name}, which has {self._bin_bytes:,} bytes: one of the "
            "two was cut short or replaced"
        )

    def _place(self, number: int) -> tuple[int, int]:
        """Return where in `.bin` a sequence begins, in bytes, and its tokens."""
        pointer, length = int(self._pointers[number]), int(self._lengths[number])
        if length < 0 or pointer < 0 or pointer + length * self.dtype.itemsize > self._bin_bytes:
            raise self._points_outside()
        return pointer, length

    def __len__(self) -> int:
        """Return S."""
        return int(self._sequences)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of each sequence, shape (S,), as the file has them."""
        return self._lengths

    @property
    def pointers(self) -> NDArray[np.int64]:
        """Where in `.bin` each sequence begins, in bytes, shape (S,), as the file has them."""
        return self._pointers

    @cached_property
    def _bin(self) -> NDArray[np.uint8]:
        if not self._bin_bytes:  # there is no map of an empty file
            return np.zeros(0, dtype=np.uint8)
        with _naming(self._bin_path):
            raw = np.memmap(self._bin_path, mode="r")
        if len(raw) != self._bin_bytes:
            raise UserError(f"{self._bin_path} was replaced while it was open; open the shard again")
        return raw

    def sequence(self, number: int, start: int = 0, length: int | None = None) -> Tokens:
        """Return tokens of a sequence without copying them, shape (length,): from `start` on, to its end if None.

        Raises:
            IndexError: there is no such sequence, or it has not so many tokens.
            UserError: the index is damaged there, or `.bin` is no longer what was opened.
        """
        if not 0 <= number < self._sequences:
            raise IndexError(f"sequence {number} of {self._sequences}")
        pointer, whole = self._place(number)
        length = whole - start if length is None else length
        if start < 0 or length < 0 or start + length > whole:
            raise IndexError(f"tokens {start} to {start + length} of a sequence of {whole}")
        begin = pointer + start * self.dtype.itemsize
        # A pointer need not be a multiple of the token's size: such a view is slower, and right.
        return np.frombuffer(self._bin.data, self.dtype, length, begin) if length else np.zeros(0, self.dtype)


def _read(file: IO[bytes], start: int, size: int) -> NDArray[np.uint8]:
    file.seek(start)
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it was cut short while it was being read")
    return np.frombuffer(data, np.uint8)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into one line that names it."""
    try:
        yield
    except (OSError, ValueError) as error:  # a map of a file that is empty by now is a ValueError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise UserError(f"cannot read the token shard {path}: {reason}; run `make tokens` again") from error
