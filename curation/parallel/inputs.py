"""INPUT and PAIR -> the parallel inputs: which files belong together, what they are, and which side is which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import fsspec

from configs.errors import UserError
from curation.inputs import InputFile, describe_file, input_names, list_files
from curation.parallel.codes import OtherLanguagesError, language_of
from curation.parallel.file_names import COMPRESSIONS, FileName, ParallelFormat, read_name
from curation.parallel.moses_zip import find_members
from curation.parallel.pairs import PairIngestConfig
from curation.parallel.streams import DAMAGES, plain_bytes

_KNOWN = ".zip, .tmx, .xml (XCES), .tsv, .jsonl, .parquet, and files whose names end in a language (x.de-en.de)"


@dataclass(frozen=True, slots=True)
class ParallelInput:
    """One parallel input, which is one shard of the job.

    Attributes:
        name: unique short name, relative to what all inputs have in common: it goes into the ledger. Of two aligned
            files it is what their names share, and both languages: `bible.de-en.de+en`.
        format: how it is read.
        files: the file; for `moses` the files of the source and the target side, and the `.ids` file if there is one.
        src: code of the source language of the job.
        tgt: of its target language.
        swapped: by its name the input holds the target side first. Formats that say themselves which side is which do
            not heed it.
    """

    name: str
    format: ParallelFormat
    files: tuple[InputFile, ...]
    src: str
    tgt: str
    swapped: bool


@dataclass(frozen=True, slots=True)
class _Found:
    file: InputFile
    part: str  # the part of INPUT that means it
    known: FileName


def find_parallel_inputs(pattern: str, src: str, tgt: str) -> list[ParallelInput]:
    """Return the inputs of a language pair, in the order of their names.

    Files of other language pairs are left out, as long as each part of INPUT has one of this pair.

    Args:
        pattern: a file, a folder (searched through), a glob with `*` and `**`, an fsspec URL, or several of these
            separated by commas.
        src: code of the source language, see `parse_pair`.
        tgt: of the target language.

    Raises:
        UserError: nothing matches, a side or its partner is missing, there are two files for one side, the format is
            unknown, or a zip cannot be read.
    """
    if src == tgt:
        raise UserError(f"both sides are {src}: a pair has two languages")
    parts = [piece.strip() for piece in pattern.split(",") if piece.strip()]
    if not parts:
        raise UserError(
            "INPUT is empty: name Moses, TMX, XCES, TSV, JSONL or Parquet files, a folder, a glob or an URL"
        )
    found = _unique(entry for part in parts for entry in _find(part))
    inputs = [*_line_aligned(found, src, tgt), *_single(found, src, tgt)]
    used = {file.url for entry in inputs for file in entry.files}
    for part in parts:
        own = [entry for entry in found if entry.part == part]
        if own and not any(entry.file.url in used for entry in own):
            _raise_unfit(part, own, src, tgt)
    names = input_names([entry.name for entry in inputs])
    named = (replace(entry, name=names[entry.name]) for entry in inputs)
    return sorted(named, key=lambda entry: entry.name)


def _unique(found: Iterable[_Found]) -> list[_Found]:
    return list({entry.file.url: entry for entry in found}.values())


def _find(part: str) -> Iterator[_Found]:
    try:
        fs, paths = list_files(part)
        found = [_Found(describe_file(fs, path), part, read_name(path)) for path in paths if _is_visible(path)]
    except UserError:
        raise
    except Exception as error:  # every store raises errors of its own: missing credentials, a bucket that is not there
        raise UserError(f"cannot look up the input {part}: {' '.join(str(error).split())}") from error
    if not found:
        raise UserError(f"no input at {part}")
    return iter(found)


def _is_visible(path: str) -> bool:
    """Return whether a file is none of those that systems hide, such as the `._x.de` that macOS puts beside `x.de`."""
    return not os.path.basename(path).startswith(".")


def _line_aligned(found: list[_Found], src: str, tgt: str) -> Iterator[ParallelInput]:
    """Yield the inputs that are two files aligned by line."""
    sides: dict[str, dict[str, _Found]] = {}
    for entry in found:
        code = language_of(entry.known.side) if entry.known.kind == "moses" else None
        if code in (src, tgt):
            other = sides.setdefault(_stem(entry), {}).setdefault(code, entry)
            if other is not entry:
                raise UserError(f"{other.file.url} and {entry.file.url} are both the {code} side: name one of them")
    ids = {_stem(entry): entry for entry in found if entry.known.kind == "ids"}
    for stem, own in sides.items():
        if len(own) == 2:
            files = [own[src].file, own[tgt].file] + ([ids[stem].file] if stem in ids else [])
            labels = "+".join(sorted((own[src].known.side, own[tgt].known.side)))
            name = f"{stem}{'' if stem.endswith('/') else '.'}{labels}"
            yield ParallelInput(name, "moses", tuple(files), src, tgt, own[src].known.pair == (tgt, src))
        elif not _has_other_languages(stem, found):
            (code, entry), missing = next(iter(own.items())), tgt if src in own else src
            raise UserError(
                f"{entry.file.url} is the {code} side of a corpus whose {missing} side is missing: INPUT has to match "
                f"both, e.g. {os.path.basename(stem)}.{missing}"
            )


def _has_other_languages(stem: str, found: list[_Found]) -> bool:
    """Return whether there are files of other languages beside: then the corpus is one of other pairs."""
    labels = [entry.known.side for entry in found if entry.known.kind == "moses" and _stem(entry) == stem]
    return len(labels) > 1


def _stem(entry: _Found) -> str:
    """Return what the files of one corpus share: the URL up to the suffix of the side."""
    folder = entry.file.url.rpartition("/")[0]
    return f"{folder}/{os.path.basename(entry.known.stem)}"


def _single(found: list[_Found], src: str, tgt: str) -> Iterator[ParallelInput]:
    """Yield the inputs that are one file."""
    for entry in found:
        kind, pair = entry.known.kind, entry.known.pair
        if kind is None or kind in ("moses", "ids") or (pair is not None and set(pair) != {src, tgt}):
            continue
        if kind == "xml":
            kind = _kind_of_xml(entry.file)
            if kind is None:
                continue
        if kind == "xces" and "://" in entry.file.url:
            raise UserError(
                f"{entry.file.url}: sentence files are read beside an alignment: copy both to a local folder"
            )
        if kind == "moses_zip" and not _holds(entry.file, src, tgt):
            continue
        format_ = cast(ParallelFormat, kind)
        yield ParallelInput(entry.file.url, format_, (entry.file,), src, tgt, pair == (tgt, src))


def _kind_of_xml(file: InputFile) -> ParallelFormat | None:
    """Return what an XML file is by its beginning; None for others, such as the sentence files of an alignment."""
    try:
        with fsspec.open(file.url, "rb", compression=None) as stored:
            head = plain_bytes(cast(BinaryIO, stored), file.url, PairIngestConfig()).peek(1 << 12)[: 1 << 12]
    except DAMAGES as error:
        raise UserError(f"{file.url} cannot be read: fetch it again ({error})") from error
    head = head.replace(b"\0", b"")  # UTF-16
    return "xces" if b"<cesAlign" in head else "tmx" if b"<tmx" in head else None


def _holds(file: InputFile, src: str, tgt: str) -> bool:
    """Return whether a zip holds both languages."""
    try:
        _check_zip(file, src, tgt)
    except OtherLanguagesError:
        return False
    return True


def _check_zip(file: InputFile, src: str, tgt: str) -> None:
    with fsspec.open(file.url, "rb", compression=None) as stored:
        find_members(cast(BinaryIO, stored), file.url, src, tgt)


def _raise_unfit(part: str, own: list[_Found], src: str, tgt: str) -> None:
    if len(own) == 1 and own[0].known.kind == "moses_zip":
        _check_zip(own[0].file, src, tgt)
    pairs = sorted({"-".join(entry.known.pair) for entry in own if entry.known.pair})
    labels = sorted({entry.known.side for entry in own if entry.known.side})
    if pairs or labels:
        raise UserError(f"{part} holds no {src}-{tgt}, it holds: {', '.join([*pairs, *labels][:20])}")
    if any(entry.known.kind == "moses_zip" for entry in own):
        raise UserError(f"none of the {len(own)} files at {part} holds both {src} and {tgt}")
    names = ", ".join(os.path.basename(entry.file.url) for entry in own[:5])
    raise UserError(
        f"none of the {len(own)} files at {part} ({names}{', ...' if len(own) > 5 else ''}) is a parallel corpus of a "
        f"known format; known are {_KNOWN}, each also with {', '.join(COMPRESSIONS)}"
    )
