"""Stored bytes -> decompressed bytes within a budget, and what a damaged or hostile file raises on the way."""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import zipfile
import zlib
from typing import BinaryIO, cast

import pyarrow as pa

from configs.errors import UserError
from curation.parallel.pairs import BadPair, PairIngestConfig
from curation.records import error_detail
from curation.text_corpus import decompressed

# So much is read of any input, however well it is compressed.
_FREE_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 18
_HEAD_BYTES = 4096
_XZ_MAGIC = b"\xfd7zXZ\x00"
_XZ_MAX_MEMORY = 256 << 20  # `xz -9` needs 65 MB; the header of a hostile file may ask for 4 GB


class DecompressionBudgetError(ValueError):
    """An input holds too much for its stored size."""


# What reading raises on damaged data.
DAMAGES = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    pa.ArrowException,
    DecompressionBudgetError,
)


class _Budgeted(io.RawIOBase):
    """Raw reads from a stream, up to a number of bytes."""

    def __init__(self, stream: BinaryIO, name: str, max_bytes: int | None) -> None:
        # read1, where there is one, hands on what stands before a break; read would lose it.
        self._read = getattr(stream, "read1", stream.read)
        self._name, self._max_bytes, self._seen = name, max_bytes, 0
        self._head: bytes | None = None
        self._damage: BaseException | None = None  # that broke off the head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._head is None:
            self._head = self._read_head()
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        elif self._damage is not None:
            raise self._damage
        else:
            data = self._read(len(buffer))
        self._seen += len(data)
        if self._max_bytes is not None and self._seen > self._max_bytes:
            raise DecompressionBudgetError(
                f"{self._name} holds more than {self._max_bytes:,} bytes once decompressed: raise max_expansion if it "
                "is no bomb"
            )
        buffer[: len(data)] = data
        return len(data)

    def _read_head(self) -> bytes:
        """Return the first bytes together, however small the first block is: what a file is stands there."""
        head = b""
        try:
            while len(head) < _HEAD_BYTES and (data := self._read(_HEAD_BYTES)):
                head += data
        except DAMAGES as error:
            self._damage = error
        return head


def budgeted(stream: BinaryIO, name: str, stored_bytes: int, config: PairIngestConfig) -> io.BufferedReader:
    """Return a buffered reader of decompressed bytes that raises `DecompressionBudgetError` when they are too many."""
    ratio = config.max_expansion
    max_bytes = None if ratio is None else max(_FREE_BYTES, ratio * stored_bytes)
    return io.BufferedReader(_Budgeted(stream, name, max_bytes), _BUFFER_BYTES)


def plain_bytes(stream: BinaryIO, name: str, config: PairIngestConfig) -> io.BufferedReader:
    """Return what a seekable stream holds: plain, gzip, xz, bzip2, Zstandard or LZ4, by its first bytes.

    Raises:
        DAMAGES: here or while reading.
    """
    stored_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    magic = stream.read(6)
    stream.seek(0)
    if magic == _XZ_MAGIC:
        plain = cast(BinaryIO, _XzFile(stream))
    elif magic.startswith(b"BZh"):
        plain = cast(BinaryIO, bz2.BZ2File(stream))
    else:
        plain = decompressed(stream)
        if plain is stream:  # nothing to expand
            return io.BufferedReader(_Budgeted(stream, name, None), _BUFFER_BYTES)
    return budgeted(plain, name, stored_bytes, config)


class _XzFile:
    """Reads an xz file of one or more streams, with a limit on the memory that its header may ask for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflate = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MAX_MEMORY)
        self._at_start = True

    def read(self, size: int) -> bytes:
        while True:
            if self._inflate.eof:
                rest = self._inflate.unused_data.lstrip(b"\0")  # padding between streams
                while not rest and (more := self._stream.read(_BUFFER_BYTES)):
                    rest = more.lstrip(b"\0")
                if not rest:
                    return b""
                self._inflate = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MAX_MEMORY)
                data = self._inflate.decompress(rest, size)
            elif self._inflate.needs_input:
                compressed = self._stream.read(_BUFFER_BYTES)
                if not compressed:
                    raise EOFError("the file ends before its compressed data does")
                data = self._inflate.decompress(compressed, size)
            else:
                data = self._inflate.decompress(b"", size)
            if data:
                return data


def without_mark(stream: io.BufferedReader, name: str) -> io.BufferedReader:
    """Return a stream of text behind its byte order mark, if it has one.

    Raises:
        UserError: the mark is that of UTF-16 or UTF-32.
    """
    head = stream.peek(4)[:4]
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise UserError(f"{name} is UTF-16 or UTF-32 text: convert it first, e.g. with iconv -f UTF-16 -t UTF-8")
    return stream


def text_bytes(stream: BinaryIO, name: str, config: PairIngestConfig) -> io.BufferedReader:
    """Return the decompressed text of a seekable stream, without its byte order mark; see `plain_bytes`."""
    return without_mark(plain_bytes(stream, name, config), name)


def unreadable(name: str, sequence: int, error: BaseException) -> BadPair:
    """Return the bad pair that stands for the rest of an input that one of `DAMAGES` broke off."""
    if isinstance(error, DecompressionBudgetError):
        return BadPair(name, sequence, "failed", "decompression_budget", str(error))
    return BadPair(name, sequence, "failed", "unreadable_bytes", error_detail(error))
