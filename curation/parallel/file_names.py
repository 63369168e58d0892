"""What the name of a file says: its format, its compression, the language of its side, the pair that it holds."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from curation.parallel.codes import language_of, split_pair

ParallelFormat = Literal["moses", "moses_zip", "tmx", "xces", "tsv", "jsonl", "parquet"]
Kind = ParallelFormat | Literal["xml", "ids"]

COMPRESSIONS = (".gz", ".xz", ".zst", ".bz2", ".lz4")
_KINDS: dict[str, Kind] = {
    ".zip": "moses_zip",
    ".tmx": "tmx",
    ".xml": "xml",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".ids": "ids",
}


# `es-AR` and `zh-Hans` are languages with region or script, `es-ar` is a pair.
_SIDE = re.compile(r"[A-Za-z]{2,3}(_.*|-[A-Z0-9].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file's name says.

    Attributes:
        kind: its format; `xml` for XML of one kind or another, `ids` for OPUS's document identifiers, None for a name
            that says nothing.
        stem: path without compression, and without the suffix that says the kind or the side.
        side: label of the language of a line-aligned file (`de` of `x.de-en.de.gz`), or an empty string.
        pair: codes of the two languages in the name, in its order, or None.
    """

    kind: Kind | None
    stem: str
    side: str
    pair: tuple[str, str] | None


def read_name(path: str) -> FileName:
    """Return what the name at the end of a path says. Of several pairs in a name the last one counts."""
    plain = without_compression(path)
    stem, suffix = os.path.splitext(plain)
    if kind := _KINDS.get(suffix.lower()):
        return FileName(kind, stem, "", pair_in(stem))
    if suffix.lower() in (".txt", ".text"):
        plain = stem
        stem, suffix = os.path.splitext(plain)
    if not suffix and not os.path.basename(plain).startswith("."):  # `de.txt`
        folder, suffix = os.path.split(plain)
        stem = os.path.join(folder, "")
    label = suffix.removeprefix(".")
    if _SIDE.fullmatch(label) and language_of(label):
        return FileName("moses", stem, label, pair_in(stem))
    # `sorted.en-de` and `en-de.bicleaner.txt` are tables.
    pair = pair_in(plain)
    return FileName("tsv" if pair else None, plain, "", pair)


def without_compression(path: str) -> str:
    """Return a path without a suffix of compression."""
    for suffix in COMPRESSIONS:
        if path.lower().endswith(suffix):
            return path[: -len(suffix)]
    return path


def pair_in(path: str) -> tuple[str, str] | None:
    """Return the languages of the last part of a file's name that is a pair: `a.de-en.b`, `en_XX-de_DE`, `a-de-en`."""
    for part in reversed(os.path.basename(path).split(".")):
        if pair := split_pair(part) or split_pair("-".join(part.split("-")[-2:])):
            return pair
    return None
