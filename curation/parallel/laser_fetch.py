"""One file of a model, fetched whole or not at all, and compared with its checksum ever after."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

from configs.errors import UserError
from curation.store import write_text_atomically

_SETTING = "stages.laser.files.sha256"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
# What is larger is no file of LASER: 12 layers and 50,000 pieces, of 1,024 numbers each, take 0.6 GB.
_MOST_BYTES = 4 << 30


def fetch(url: str, path: Path, expected: str | None) -> None:
    """Fetch a file: whole, of the stated length and checksum, or not at all.

    Raises:
        OSError: no connection, no room, or no such file there.
        ValueError: what came is not the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, aside.open("wb") as file:
            if answer.headers.get_content_type() == "text/html":
                raise ValueError("the answer is a web page, not the file")
            if (stated := answer.headers.get("Content-Length")) is None and expected is None:
                raise ValueError(f"the server states no length, so a cut file could not be told (state {_SETTING})")
            checksum, length = _copy(answer.read, file.write)
            file.flush()
            os.fsync(file.fileno())
        if stated is not None and stated != str(length):
            raise ValueError(f"{length:,} of {stated} bytes came")
        if not length:
            raise ValueError("the answer is empty")
        if expected is not None and checksum != expected.lower():
            raise ValueError(f"the SHA-256 of what came is {checksum}, not {expected.lower()} ({_SETTING})")
        # The checksum first: without its file it does no harm.
        write_text_atomically(_checksum_path(path), f"{checksum}\n")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def checked(path: Path, expected: str | None) -> str:
    """Return the SHA-256 of a file, compared with the one that it should have.

    Raises:
        UserError: the file cannot be read, is not the one that is expected, or has changed since it was fetched.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        beside = _checksum_path(path)
        noted = beside.read_text(encoding="ascii").split()[:1] if beside.is_file() else []
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} or its checksum: {reason(error)}") from error
    if expected is not None and found != expected.lower():
        raise UserError(f"the SHA-256 of {path} is {found}, not {expected.lower()} ({_SETTING})")
    if noted and noted[0] != found:
        raise UserError(
            f"{path} has changed since it was fetched (its SHA-256 is {found}, {beside.name} says {noted[0][:64]}): "
            f"remove both, so that it is fetched again, or {beside.name} alone, if the file is meant"
        )
    return found


def reason(error: Exception) -> str:
    """Return why a file could not be fetched or read, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(getattr(cause, "strerror", None) or cause or type(cause).__name__).split())[:200]


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> tuple[str, int]:
    """Copy to the end; return SHA-256 and bytes."""
    digest, length = hashlib.sha256(), 0
    while block := read(_BLOCK_BYTES):
        length += len(block)
        if length > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes came")
        digest.update(block)
        write(block)
    return digest.hexdigest(), length


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
