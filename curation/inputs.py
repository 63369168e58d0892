"""Which files does INPUT mean? A file, a folder, a glob, several of them by comma, or any fsspec URL."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast
from urllib.parse import urlsplit, urlunsplit

import fsspec
from fsspec.core import url_to_fs
from fsspec.spec import AbstractFileSystem

from configs.errors import UserError

Format = Literal["warc", "arc", "jsonl", "parquet"]

# Suffixes by format, without those of compression.
_FORMATS: dict[str, Format] = {
    ".warc": "warc",
    ".wet": "warc",
    ".wat": "warc",
    ".arc": "arc",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_COMPRESSIONS = (".gz", ".zst", ".lz4")
# What file systems call the entity tag or the time of change of a file; HTTP's name comes as the server writes it.
_VERSIONS = ("ETag", "LastModified", "Last-Modified", "Content-MD5", "mtime")
_HEAD_BYTES = 1 << 16
_COPY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file, which is one shard of the job.

    Attributes:
        name: unique short name, relative to what all inputs have in common: it goes into the ledger.
        url: where it is; a local path, or an URL that fsspec opens.
        format: how it is read.
        size_bytes: as stored.
        version: changes when the file does: its time stamp, or the entity tag of the remote store.
    """

    name: str
    url: str
    format: Format
    size_bytes: int
    version: str


def format_of(path: str) -> Format | None:
    """Return the format that a file's name announces, or None."""
    stem = path.lower()
    for compression in _COMPRESSIONS:
        stem = stem.removesuffix(compression)
    # `.warc.wet.gz` and `.warc.wat.gz` are WARC files, too.
    return _FORMATS.get(os.path.splitext(stem)[1])


def find_inputs(pattern: str) -> list[InputFile]:
    """Return the input files, in the order of their names.

    Args:
        pattern: a file, a folder (searched through), a glob with `*` and `**`, an fsspec URL, or several of these
            separated by commas.

    Raises:
        UserError: nothing matches, a match cannot be read, or its format is unknown.
    """
    found: dict[str, InputFile] = {}
    for part in filter(None, (piece.strip() for piece in pattern.split(","))):
        for entry in _find(part):
            found[entry.url] = entry
    if not found:
        raise UserError("INPUT is empty: name a WARC, WET, ARC, JSONL or Parquet file, a folder, a glob or an URL")
    names = input_names(list(found))
    inputs = [InputFile(names[url], url, e.format, e.size_bytes, e.version) for url, e in found.items()]
    return sorted(inputs, key=lambda entry: entry.name)


def input_names(urls: Sequence[str]) -> dict[str, str]:
    """Return the name of each address: unique, short, and what goes into the ledger.

    Passwords and signatures are not in it; addresses that differ in nothing else are told apart by a hash.
    """
    plain = {url: without_secrets(url) for url in urls}
    common, counts = common_folder(sorted(plain.values())), Counter(plain.values())
    hashes = {url: f"#{hashlib.sha256(url.encode()).hexdigest()[:8]}" for url in urls}
    return {url: own[len(common) :] + (hashes[url] if counts[own] > 1 else "") for url, own in plain.items()}


def without_secrets(url: str) -> str:
    """Return an address without the parts that carry passwords and signatures; a path is returned as it is."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _find(part: str) -> Iterator[InputFile]:
    try:
        fs, chosen = list_files(part)
        known = [path for path in chosen if format_of(path)]
        found = [describe_file(fs, path) for path in known]
    except UserError:
        raise
    except Exception as error:  # every store raises errors of its own: missing credentials, a bucket that is not there
        raise UserError(f"cannot look up the input {part}: {' '.join(str(error).split())}") from error
    if not chosen:
        raise UserError(f"no input at {part}")
    if not known:
        kinds = ", ".join(sorted(_FORMATS))
        raise UserError(f"none of the {len(chosen)} files at {part} is an input; known are {kinds} (.gz, .zst, .lz4)")
    yield from found


def list_files(part: str) -> tuple[AbstractFileSystem, list[str]]:
    """Return the file system of a part of INPUT and all files that it means."""
    fs, path = url_to_fs(os.path.expanduser(part) if "://" not in part else part)
    if any(character in part for character in "*?["):
        return fs, sorted(str(found) for found in fs.glob(path) if fs.isfile(found))
    if fs.isdir(path):
        # Hidden folders are those of tools, and of jobs: `.work` of an output folder.
        found = (str(own) for own in fs.find(path))
        return fs, sorted(own for own in found if "/." not in own[len(path.rstrip("/")) :])
    return fs, [str(path)] if fs.exists(path) else []


def describe_file(fs: AbstractFileSystem, path: str) -> InputFile:
    """Return what identifies a file: address, size and version."""
    info = fs.info(path)
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    if "file" in protocols:
        if not os.access(path, os.R_OK):
            raise UserError(f"cannot read the input {path}: permission denied")
        url, version = path, str(os.stat(path).st_mtime_ns)
    else:
        url = fs.unstrip_protocol(path)
        version = str(next((info[key] for key in _VERSIONS if info.get(key)), ""))
    try:
        url.encode()
    except UnicodeEncodeError as error:
        plain = os.fsencode(url).decode("utf-8", "replace")
        raise UserError(f"the name of the input {plain} is not UTF-8: give the file another name") from error
    return InputFile(path, url, cast(Format, format_of(path)), int(info.get("size") or 0), version)


def common_folder(urls: list[str]) -> str:
    """Return the longest prefix, up to a slash, that all urls share."""
    prefix = os.path.commonprefix(urls) if len(urls) > 1 else urls[0]  # noqa: RUF071  (URLs, cut at a slash below)
    return prefix[: prefix.rfind("/") + 1]


@contextmanager
def open_input(entry: InputFile, scratch: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Open an input as a seekable local file; a remote one is copied into `scratch` first and removed after.

    Yields:
        the open file and its BLAKE2b checksum (128 bits, hexadecimal).

    Raises:
        UserError: a local file has vanished or may not be read.
        OSError: the network failed; the caller's shard is tried again.
    """
    copy: Path | None = None
    if "://" in entry.url:
        copy = scratch / f"download-{hashlib.blake2b(entry.url.encode(), digest_size=8).hexdigest()}"
        with fsspec.open(entry.url, "rb", compression=None) as remote, copy.open("wb") as local:
            shutil.copyfileobj(remote, local, _COPY_BYTES)
    try:
        with open(copy or entry.url, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            file.seek(0)
            yield cast(BinaryIO, file), digest
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        if copy is None and error.filename == entry.url:
            raise UserError(f"cannot read the input {entry.url}: {error.strerror}") from error
        raise
    finally:
        if copy is not None:
            copy.unlink(missing_ok=True)
