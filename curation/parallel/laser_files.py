"""Where the files of LASER2 are: named by the user, put into a folder by hand, or fetched once.

The address is the one that the package laser_encoders fetches them from. A download is compared with the checksum that
the configuration states, else with the length that the server states; its SHA-256 is written down beside it, and every
later job compares the file with that. A file that came by hand has none, unless the configuration states it.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel
from curation.models import cache_folder
from curation.store import write_text_atomically

LASER_URL = "https://dl.fbaipublicfiles.com/nllb/laser"
MODEL, PIECES = "laser2.pt", "laser2.spm"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
# What is larger is none of these files.
_MOST_BYTES = 4 << 30


class LaserFilesConfig(StrictModel):
    """Where the files of LASER2 are looked for.

    Attributes:
        model: path of the checkpoint; without it, laser2.pt of `folder`.
        pieces: path of the SentencePiece model; without it, laser2.spm of `folder`.
        folder: where files are that are not named; without it, `laser` in the folder of CORPUS_CACHE.
        url: where files that are not there are fetched from; None fetches nothing.
        sha256: checksums that files must have, by name: laser2.pt, laser2.spm.
    """

    model: str | None = None
    pieces: str | None = None
    folder: str | None = None
    url: str | None = Field(default=LASER_URL, pattern=r"^https?://")
    sha256: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaserFiles:
    """The files of an encoder, with the SHA-256 of each: what results made with them depend on."""

    model: Path
    pieces: Path
    model_sha256: str
    pieces_sha256: str


def laser_files(
    config: LaserFilesConfig = LaserFilesConfig(),  # noqa: B008 - frozen
    progress: Callable[[str], None] = lambda line: None,
) -> LaserFiles:
    """Return the files, fetched now where they are not there; called once a job, before its tasks start.

    Raises:
        UserError: a file is missing and cannot be fetched, or has another checksum than it should; the message names
            every file that is wanted and where to put it.
    """
    if unknown := sorted(config.sha256.keys() - {MODEL, PIECES}):
        raise UserError(f"laser.sha256 names {', '.join(unknown)}; there are {MODEL} and {PIECES}")
    named = {MODEL: config.model, PIECES: config.pieces}
    folder = Path(config.folder).expanduser() if config.folder else cache_folder() / "laser"
    paths = {name: Path(path).expanduser() if path else folder / name for name, path in named.items()}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if by_name := [f"{paths[name]}" for name in missing if named[name]]:
        raise UserError(f"no LASER file at {' and '.join(by_name)} (laser.model, laser.pieces)")
    for name in missing:
        if config.url is None:
            raise UserError(_wanted(missing, folder, "nothing may be fetched (laser.url)"))
        progress(f"fetch {name} from {config.url} (once)")
        try:
            _fetch(f"{config.url.rstrip('/')}/{name}", folder / name, config.sha256.get(name))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UserError(_wanted(missing, folder, f"{config.url}/{name}: {_reason(error)}")) from error
    sums = {name: _checked(path, config.sha256.get(name)) for name, path in paths.items()}
    return LaserFiles(paths[MODEL], paths[PIECES], sums[MODEL], sums[PIECES])


def _wanted(missing: list[str], folder: Path, reason: str) -> str:
    return (
        f"LASER needs {' and '.join(missing)}, and cannot fetch them: {reason}. Fetch {' and '.join(missing)} from "
        f"{LASER_URL} on another machine and put them into {folder}, or name them (laser.model, laser.pieces), or turn "
        "LASER off (LASER=off), which leaves the rules"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(getattr(cause, "strerror", None) or cause or type(cause).__name__).split())[:200]


def _fetch(url: str, path: Path, expected: str | None) -> None:
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
                raise ValueError("the server states no length, so a cut file could not be told (state laser.sha256)")
            checksum, length = _copy(answer.read, file.write)
            file.flush()
            os.fsync(file.fileno())
        if stated is not None and stated != str(length):
            raise ValueError(f"{length:,} of {stated} bytes came")
        if not length:
            raise ValueError("the answer is empty")
        if expected is not None and checksum != expected.lower():
            raise ValueError(f"the SHA-256 of what came is {checksum}, not {expected.lower()} (laser.sha256)")
        # The checksum first: without its file it does no harm.
        write_text_atomically(_checksum_path(path), f"{checksum}\n")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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


def _checked(path: Path, expected: str | None) -> str:
    """Return the SHA-256 of a file, compared with the one that it should have."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        beside = _checksum_path(path)
        noted = beside.read_text(encoding="ascii").split()[:1] if beside.is_file() else []
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} or its checksum: {_reason(error)}") from error
    if expected is not None and found != expected.lower():
        raise UserError(f"the SHA-256 of {path} is {found}, not {expected.lower()} (laser.sha256)")
    if noted and noted[0] != found:
        raise UserError(
            f"{path} has changed since it was fetched (its SHA-256 is {found}, {beside.name} says {noted[0][:64]}): "
            f"remove both, so that it is fetched again, or {beside.name} alone, if the file is meant"
        )
    return found


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
