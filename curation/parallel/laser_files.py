"""Where the files of LASER's encoders are: named by the user, put into a folder by hand, or fetched once.

The address is the one that the package laser_encoders fetches them from. A download is compared with the checksum that
the configuration states, else with the length that the server states; its SHA-256 is written down beside it, and every
later job compares the file with that. A file that came by hand has none, unless the configuration states it.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from configs.errors import UserError
from configs.languages import load_languages
from configs.load import StrictModel
from curation.models import cache_folder
from curation.parallel.laser_fetch import checked, fetch, reason
from curation.parallel.laser_names import LASER3, MODEL, PIECES, PUBLIC_FILES, VOCABULARY, laser3_files, laser3_name

# Where users set what this room reads.
SETTINGS = "stages.laser.files"
LASER_URL = "https://dl.fbaipublicfiles.com/nllb/laser"


class LaserFilesConfig(StrictModel):
    """Which encoders LASER has, and where their files are looked for.

    Attributes:
        model: path of LASER2's checkpoint; without it, laser2.pt of `folder`.
        pieces: path of LASER2's SentencePiece model; without it, laser2.spm of `folder`.
        laser3: languages with an encoder of their own, by code; LASER2 encodes the others. `ne: auto` takes the public
            one, `ne: npi_Deva` names it, and both look into `folder`. All else is the path of a checkpoint, or of a
            folder that has the public files: pieces and vocabulary of `x.pt` are `x.spm` and `x.cvocab` beside it, or
            else laser2.spm and laser2.cvocab there.
        folder: where files are that are not named; without it, `laser` in the folder of CORPUS_CACHE.
        url: where files that are not there are fetched from; None fetches nothing.
        sha256: checksums that files must have, by name: laser2.pt, laser2.spm, laser3-npi_Deva.v1.pt and so on.
    """

    model: str | None = None
    pieces: str | None = None
    laser3: dict[str, Annotated[str, StringConstraints(min_length=1)]] = Field(default_factory=dict)
    folder: str | None = None
    url: str | None = Field(default=LASER_URL, pattern=r"^https?://")
    sha256: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaserFiles:
    """The files of an encoder, with the SHA-256 of each: what results made with them depend on.

    LASER3 has a vocabulary, LASER2 none.
    """

    model: Path
    pieces: Path
    model_sha256: str
    pieces_sha256: str
    vocabulary: Path | None = None
    vocabulary_sha256: str | None = None

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by what the file is."""
        sums = {"model_sha256": self.model_sha256, "pieces_sha256": self.pieces_sha256}
        return sums if self.vocabulary_sha256 is None else sums | {"vocabulary_sha256": self.vocabulary_sha256}


def laser_files(
    config: LaserFilesConfig, languages: Sequence[str], progress: Callable[[str], None] = lambda line: None
) -> tuple[LaserFiles, ...]:
    """Return the files of each language's encoder, fetched now where they are not there.

    Called once a job, before its tasks start.

    Args:
        config: which encoders, and where they are.
        languages: codes of the languages to encode, such as those of a pair's two sides.
        progress: told of every file that is fetched.

    Raises:
        UserError: a file is missing and cannot be fetched, or has another checksum than it should; the message names
            every file that is wanted and where to put it.
    """
    _check_names(config)
    wanted = [_files_of(config, code) for code in languages]
    every = {file.path: file for files in wanted for file in files}
    missing = [file for file in every.values() if not file.path.is_file()]
    if named := [file for file in missing if file.setting]:
        settings = ", ".join(sorted({file.setting for file in named}))
        raise UserError(f"no LASER file at {' and '.join(str(file.path) for file in named)} ({settings})")
    _fetch_missing(config, missing, progress)
    sums = {path: checked(path, config.sha256.get(file.name)) for path, file in every.items()}
    return tuple(_with_checksums([file.path for file in files], sums) for files in wanted)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that an encoder needs: what it is called in public, where it is, and which setting says so, if one does.

    A file that no setting names is fetched where it is not there.
    """

    name: str
    path: Path
    setting: str = ""


def _check_names(config: LaserFilesConfig) -> None:
    """Refuse names that would be of no account."""
    paths = [Path(choice) for choice in config.laser3.values()]
    own = {name for path in paths for name in (path.name, *(beside.name for beside in _beside(path)))}
    if unknown := sorted(config.sha256.keys() - PUBLIC_FILES - own):
        raise UserError(
            f"{SETTINGS}.sha256 names {', '.join(unknown)}; there are {MODEL}, {PIECES}, {VOCABULARY}, and of LASER3 "
            f"files such as {', '.join(laser3_files('kaz_Cyrl'))}"
        )
    for code in config.laser3:
        load_languages().get(code)


def _files_of(config: LaserFilesConfig, code: str) -> tuple[_File, ...]:
    """Return checkpoint and pieces of a language's encoder, and of LASER3 the vocabulary."""
    folder, choice = _folder(config), config.laser3.get(code)
    if choice is None:
        names: tuple[str, ...] = (MODEL, PIECES)
    elif choice == "auto" or choice in LASER3:
        names = laser3_files(laser3_name(code) if choice == "auto" else choice)
    else:
        return tuple(
            _File(path.name, path, f"{SETTINGS}.laser3") for path in _paths_of(Path(choice).expanduser(), code)
        )
    settings = {MODEL: (config.model, f"{SETTINGS}.model"), PIECES: (config.pieces, f"{SETTINGS}.pieces")}
    files = []
    for name in names:
        path, setting = settings.get(name, (None, ""))
        files.append(_File(name, Path(path).expanduser(), setting) if path else _File(name, folder / name))
    return tuple(files)


def _folder(config: LaserFilesConfig) -> Path:
    return Path(config.folder).expanduser() if config.folder else cache_folder() / "laser"


def _paths_of(path: Path, code: str) -> tuple[Path, ...]:
    """Return checkpoint, pieces and vocabulary of a LASER3 encoder that the user named by path."""
    if path.is_dir():
        return tuple(path / name for name in laser3_files(laser3_name(code)))
    own = _beside(path)
    if any(beside.exists() for beside in own):
        return path, *own
    return path, path.parent / PIECES, path.parent / VOCABULARY


def _beside(path: Path) -> tuple[Path, Path]:
    """Return where pieces and vocabulary of a checkpoint's own would be."""
    return path.parent / f"{path.stem}.spm", path.parent / f"{path.stem}.cvocab"


def _fetch_missing(config: LaserFilesConfig, missing: Sequence[_File], progress: Callable[[str], None]) -> None:
    names = [file.name for file in missing]
    for file in missing:
        if config.url is None:
            raise UserError(_wanted(names, _folder(config), "nothing may be fetched (stages.laser.files.url)"))
        progress(f"fetch {file.name} from {config.url} (once)")
        try:
            fetch(f"{config.url.rstrip('/')}/{file.name}", file.path, config.sha256.get(file.name))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UserError(_wanted(names, _folder(config), f"{config.url}/{file.name}: {reason(error)}")) from error


def _wanted(missing: Sequence[str], folder: Path, fault: str) -> str:
    names = " and ".join(missing)
    return (
        f"LASER needs {names}, and cannot fetch them: {fault}. Fetch {names} from {LASER_URL} on another machine and "
        f"put them into {folder}, or name them ({SETTINGS}: model, pieces, laser3), or turn LASER off "
        "(LASER=off), which leaves the rules"
    )


def _with_checksums(paths: Sequence[Path], sums: Mapping[Path, str]) -> LaserFiles:
    files = LaserFiles(paths[0], paths[1], sums[paths[0]], sums[paths[1]])
    return replace(files, vocabulary=paths[2], vocabulary_sha256=sums[paths[2]]) if paths[2:] else files
