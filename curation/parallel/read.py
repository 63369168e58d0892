"""A parallel input -> its units: the one door to the readers of all formats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from curation.inputs import open_input
from curation.parallel.inputs import ParallelInput
from curation.parallel.moses import NamedStream, read_moses
from curation.parallel.moses_zip import read_moses_zip
from curation.parallel.pairs import PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, plain_bytes, text_bytes, unreadable
from curation.parallel.tables import read_jsonl_pairs, read_parquet_pairs
from curation.parallel.tmx import read_tmx
from curation.parallel.tsv import read_tsv
from curation.parallel.xces import read_xces


@dataclass(frozen=True, slots=True)
class OpenedInput:
    """An open input.

    Attributes:
        units: what it holds, to be read once while it is open.
        checksums: of its files in their order, as `open_input` makes them; those of the sentence files that an XCES
            alignment names are not among them.
    """

    units: Iterator[Unit]
    checksums: tuple[str, ...]


@contextmanager
def open_pairs(entry: ParallelInput, scratch: Path, config: PairIngestConfig) -> Iterator[OpenedInput]:
    """Open an input; remote files are copied into `scratch` first and removed after.

    Reading the units raises `UserError` where the input as a whole is none that can be read: sides of different
    lengths, no layout that is known, other languages. What is wrong with one unit, or with all that follows it, is a
    `BadPair`.

    Raises:
        UserError: a local file has vanished or may not be read.
        OSError: the network failed.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_input(file, scratch)) for file in entry.files]
        streams = [NamedStream(file.url, stream) for file, (stream, _) in zip(entry.files, opened, strict=True)]
        yield OpenedInput(_units(entry, streams, config), tuple(checksum for _, checksum in opened))


def _units(entry: ParallelInput, streams: list[NamedStream], config: PairIngestConfig) -> Iterator[Unit]:
    name, stream, languages = entry.name, streams[0].stream, (entry.src, entry.tgt)
    if entry.format == "moses":
        ids = streams[2] if len(streams) > 2 else None
        yield from read_moses(name, streams[0], streams[1], ids, entry.swapped, config)
        return
    if entry.format == "moses_zip":
        yield from read_moses_zip(stream, name, entry.src, entry.tgt, config)
        return
    if entry.format == "parquet":
        yield from read_parquet_pairs(stream, name, languages, entry.swapped, config)
        return
    try:
        plain = (plain_bytes if entry.format in ("tmx", "xces") else text_bytes)(stream, name, config)
    except DAMAGES as error:
        yield unreadable(name, 0, error)
        return
    if entry.format == "tmx":
        yield from read_tmx(plain, name, entry.src, entry.tgt, config)
    elif entry.format == "xces":
        path = Path(entry.files[0].url)
        yield from read_xces(plain, name, path, entry.src, entry.tgt, entry.swapped, config)
    elif entry.format == "tsv":
        yield from read_tsv(plain, name, languages, entry.swapped, config)
    else:
        yield from read_jsonl_pairs(plain, name, languages, entry.swapped, config)
