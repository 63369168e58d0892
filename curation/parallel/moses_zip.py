"""OPUS's Moses zips -> pairs: two text members, and where there is one, an alignment or `.ids` member with documents.

Nothing is unpacked to disk: members are read where they stand, so that their names, however spelt, name no file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from configs.errors import UserError
from curation.parallel.codes import choose_labels, not_found
from curation.parallel.file_names import read_name
from curation.parallel.lines import Line, read_lines
from curation.parallel.moses import Side, align
from curation.parallel.origins import NO_ORIGINS, LineOrigins, Origins, fit_origins, read_ids
from curation.parallel.pairs import PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, budgeted, without_mark
from curation.parallel.xces import Link, read_links

_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@dataclass(frozen=True, slots=True)
class ZipMembers:
    """The members of one corpus in a zip.

    Attributes:
        src: text of the source side.
        tgt: of the target side.
        ids: documents of each line, or None.
        alignment: XCES alignment that the lines were made from, or None.
        swapped: the other members name the target side first.
    """

    src: str
    tgt: str
    ids: str | None
    alignment: str | None
    swapped: bool


def find_members(stream: BinaryIO, name: str, src: str, tgt: str) -> ZipMembers:
    """Return the members of a zip that hold two languages.

    Raises:
        UserError: it is no zip that can be read, does not hold both languages, or holds several corpora of them.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = [entry for entry in archive.infolist() if _is_content(entry.filename)]
    except (*DAMAGES, ValueError, NotImplementedError) as error:
        raise UserError(f"{name} is no zip file, or a damaged one: fetch it again ({error})") from error
    sides: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in members:
        known = read_name(entry.filename)
        if known.kind == "moses":
            sides.setdefault(known.stem, {})[known.side] = entry
    chosen = {stem: choose_labels(found, src, tgt) for stem, found in sides.items()}
    whole = [(stem, a, b) for stem, (a, b) in chosen.items() if a is not None and b is not None]
    if not whole:
        labels = {label for found in sides.values() for label in found}
        raise not_found(name, src, tgt, labels)
    if len(whole) > 1:
        stems = ", ".join(sorted(stem for stem, _, _ in whole)[:5])
        raise UserError(f"{name} holds several {src}-{tgt} corpora ({stems}): unpack it and name them one by one")
    stem, src_label, tgt_label = whole[0]
    for entry in (sides[stem][src_label], sides[stem][tgt_label]):
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            raise UserError(f"{name}: {entry.filename} is encrypted or in an unknown compression: unpack it first")
    others = {entry.filename for entry in members}
    return ZipMembers(
        sides[stem][src_label].filename,
        sides[stem][tgt_label].filename,
        f"{stem}.ids" if f"{stem}.ids" in others else None,
        f"{stem}.xml" if f"{stem}.xml" in others else None,
        read_name(f"{stem}.ids").pair == (tgt, src),
    )


def _is_content(member: str) -> bool:
    """Return whether a member is no folder and none of the files that macOS puts beside each."""
    base = member.rpartition("/")[2]
    return bool(base) and not base.startswith("._") and not member.startswith("__MACOSX/")


def read_moses_zip(stream: BinaryIO, name: str, src: str, tgt: str, config: PairIngestConfig) -> Iterator[Unit]:
    """Yield a unit for each line of the two text members of a zip.

    Raises:
        UserError: as `find_members`, and the members have different numbers of lines.
    """
    members = find_members(stream, name, src, tgt)
    with zipfile.ZipFile(stream) as archive:
        reader = _MemberReader(archive, name, stream.seek(0, 2), config)
        sides = [Side(f"{name}: {member}", reader.lines(member)) for member in (members.src, members.tgt)]
        yield from align(name, sides[0], sides[1], reader.origins(members), config)


@dataclass(frozen=True, slots=True)
class _MemberReader:
    """Opens members of a zip within the budget of the whole file."""

    archive: zipfile.ZipFile
    name: str
    stored_bytes: int
    config: PairIngestConfig

    def lines(self, member: str) -> Iterator[Line]:
        opened = self._open(member)
        yield from read_lines(without_mark(opened, f"{self.name}: {member}"), self.config.max_line_bytes)

    def origins(self, members: ZipMembers) -> LineOrigins | None:
        """Return the documents of the lines, where a member tells them that fits."""
        readers = {
            members.ids: lambda member: read_ids(self.lines(member), members.swapped),
            members.alignment: lambda member: self._links(member, members.swapped),
        }
        for member, read in readers.items():
            if member is not None:
                found = fit_origins(partial(read, member), partial(self.lines, members.src))
                if found is not None:
                    return found
        return None

    def _links(self, member: str, swapped: bool) -> Iterator[Origins]:
        for link in read_links(self._open(member), member, self.config):
            first, second = (link.first_document, link.second_document) if isinstance(link, Link) else NO_ORIGINS
            yield (second, first) if swapped else (first, second)

    def _open(self, member: str) -> io.BufferedReader:
        opened = cast(BinaryIO, self.archive.open(member))
        return budgeted(opened, f"{self.name}: {member}", self.stored_bytes, self.config)
