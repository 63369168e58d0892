"""OPUS alignments in XCES (`cesAlign`) and the sentence files that they name -> pairs: one unit for each link.

An alignment names for each group of links the two sentence files, relative to its own folder, and for each link the
sentences on either side. Several sentences of a side are joined by a space, as OPUS does in its Moses files.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from configs.errors import UserError
from curation.parallel.codes import language_of
from curation.parallel.origins import origin, score
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, plain_bytes, unreadable
from curation.parallel.xml_stream import DoctypeError, Resume, parse

_RESUME = Resume("linkGrp", ("cesAlign",))
_SPACES = re.compile(r"[ \t\r\n]+")  # the white space of XML, and no other
# Where OPUS releases keep the sentence files, seen from the alignment's folder.
_FOLDERS = ("", "xml", "raw", "..", "../xml", "../raw")


@dataclass(frozen=True, slots=True)
class Link:
    """One link of an alignment.

    Attributes:
        first_document: name of the sentence file that it names first, as it stands there.
        second_document: of the other one.
        first: identifiers of the sentences of the first document.
        second: of the second.
        score: score of the aligner, or None.
    """

    first_document: str
    second_document: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    score: float | None


def read_links(stream: io.BufferedReader, name: str, config: PairIngestConfig) -> Iterator[Link | BadPair]:
    """Yield the links of an alignment, and one bad pair for each stretch that is not well-formed.

    Raises:
        DAMAGES: while reading.
    """
    events = _LinkEvents(name)
    try:
        for _ in parse(stream, name, events, _RESUME):
            yield from events.take()
    except DoctypeError as error:
        yield from events.take()
        yield BadPair(name, events.sequence, "failed", "doctype_declaration", str(error))


class _LinkEvents:
    def __init__(self, name: str) -> None:
        self._name, self._documents, self._done = name, ("", ""), list[Link | BadPair]()
        self.sequence = 0

    def take(self) -> list[Link | BadPair]:
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "linkGrp":
            self._documents = attributes.get("fromDoc", ""), attributes.get("toDoc", "")
        elif tag == "link":
            first, _, second = attributes.get("xtargets", "").partition(";")
            rated = next((attributes[key] for key in ("certainty", "score", "overlap") if key in attributes), None)
            self._emit(Link(*self._documents, tuple(first.split()), tuple(second.split()), score(rated)))

    def end(self, tag: str) -> None: ...

    def text(self, data: str) -> None: ...

    def unknown_entity(self, name: str) -> None: ...

    def broken(self, problem: str) -> None:
        self._emit(BadPair(self._name, self.sequence, "failed", "malformed_xml", problem))

    def _emit(self, unit: Link | BadPair) -> None:
        self._done.append(unit)
        self.sequence += 1


def read_xces(
    stream: io.BufferedReader, name: str, path: Path, src: str, tgt: str, swapped: bool, config: PairIngestConfig
) -> Iterator[Unit]:
    """Yield a unit for each link.

    Args:
        stream: decompressed bytes of the alignment.
        name: of the input.
        path: of the alignment: sentence files are looked for beside it, and nowhere else.
        src: code of the source language.
        tgt: of the target language.
        swapped: the alignment names the target side first, where the folders of its documents do not say it.
        config: limits.

    Raises:
        UserError: the sentence files of the first group are not there, or its languages are others.
    """
    documents = (_Documents(path, config), _Documents(path, config))
    found_any = False
    sequence = 0
    try:
        for link in read_links(stream, name, config):
            if isinstance(link, BadPair):
                yield BadPair(name, sequence, link.outcome, link.rule, link.detail)
            else:
                turned = _is_turned(link, name, src, tgt, swapped)
                unit = _unit(name, sequence, link, turned, documents, config)
                if isinstance(unit, BadPair) and unit.rule == "document_missing" and not found_any:
                    raise UserError(f"{name}: {unit.detail}: unpack the sentence files of the release beside {path}")
                found_any = True
                yield unit
            sequence += 1
    except DAMAGES as error:
        yield unreadable(name, sequence, error)


def sentence_files_version(alignment: Path) -> str:
    """Return a hash of names, sizes and times of change of the XML files that the links of an alignment may name."""
    digest = hashlib.sha256()
    for path in sorted(alignment.parent.rglob("*.xml*")):
        if path.is_file():
            stat = path.stat()
            digest.update(f"{path.relative_to(alignment.parent)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_turned(link: Link, name: str, src: str, tgt: str, swapped: bool) -> bool:
    """Return whether the first document of a link is that of the target language."""
    first, second = (
        language_of(document.partition("/")[0]) for document in (link.first_document, link.second_document)
    )
    if first is None or second is None:
        return swapped
    if {first, second} != {src, tgt}:
        raise UserError(f"{name} aligns {first} with {second}, not {src} with {tgt}")
    return first == tgt


def _unit(
    name: str,
    sequence: int,
    link: Link,
    turned: bool,
    documents: tuple[_Documents, _Documents],
    config: PairIngestConfig,
) -> Unit:
    texts = []
    for document, identifiers, own in zip(
        (link.first_document, link.second_document), (link.first, link.second), documents, strict=True
    ):
        if not identifiers:
            return BadPair(name, sequence, "dropped", "side_missing", f"no sentence of {document[:200]}")
        problem = own.open(document)
        if problem is not None:
            return BadPair(name, sequence, "failed", *problem)
        missing = next((own_id for own_id in identifiers if own_id not in own.sentences), None)
        if missing is not None:
            return BadPair(name, sequence, "failed", "sentence_missing", f"{missing[:40]!r} is not in {document[:200]}")
        if sum(map(own.size, identifiers)) > config.max_line_bytes:
            detail = f"sentences of {document[:200]} are longer than {config.max_line_bytes:,} bytes"
            return BadPair(name, sequence, "dropped", "line_too_long", detail)
        texts.append(" ".join(own.sentences[own_id] for own_id in identifiers))
    places = [origin(link.first_document), origin(link.second_document)]
    if turned:
        texts.reverse()
        places.reverse()
    return Pair(name, sequence, texts[0], texts[1], places[0], places[1], link.score)


class _Documents:
    """The sentences of one document of one side: the one that the links name now."""

    def __init__(self, alignment: Path, config: PairIngestConfig) -> None:
        self._folder, self._config = alignment.parent, config
        self._document: str | None = None
        self._problem: tuple[str, str] | None = None
        self.sentences: dict[str, str] = {}

    def size(self, sentence: str) -> int:
        """Return the bytes of a sentence."""
        return len(self.sentences[sentence].encode("utf-8"))

    def open(self, document: str) -> tuple[str, str] | None:
        """Make a document the present one; return rule and detail of what is wrong with it."""
        if document != self._document:
            self._document, self.sentences = document, {}
            try:
                self._problem = self._read(document)
            except DoctypeError as error:
                self._problem = ("doctype_declaration", f"{document[:200]}: {error}")
            except DAMAGES as error:
                self._problem = ("unreadable_document", f"{document[:200]}: {error}")
        return self._problem

    def _read(self, document: str) -> tuple[str, str] | None:
        path = self._find(document)
        if path is None:
            return "document_missing", f"there is no {document[:200]!r} in its folder"
        with path.open("rb") as file:
            events = _SentenceEvents(self._config.max_document_bytes)
            plain = plain_bytes(cast(BinaryIO, file), document, self._config)
            for _ in parse(plain, document, events):
                if events.too_large:
                    limit = self._config.max_document_bytes
                    return "document_too_large", f"{document[:200]} holds more than {limit:,} bytes of text"
        if events.problem is not None:
            return "malformed_xml", f"{document[:200]}: {events.problem}"
        self.sentences = events.sentences
        return None

    def _find(self, document: str) -> Path | None:
        """Return where a document is; a name that leads out of the release's folder is none."""
        normal = posixpath.normpath(document)
        if normal.startswith(("/", "..")) or "\0" in document or "\\" in document:
            return None
        other = normal.removesuffix(".gz") if normal.endswith(".gz") else f"{normal}.gz"
        places = (self._folder / folder / own for folder in _FOLDERS for own in (normal, other))
        return next((place for place in places if place.is_file()), None)


class _SentenceEvents:
    """Gathers the sentences of a document: raw text, or the words of tokenised text with spaces between them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._identifier: str | None = None
        self._pieces: list[str] = []
        self._joins = False  # the next word follows without a space
        self.sentences: dict[str, str] = {}
        self.problem: str | None = None

    @property
    def too_large(self) -> bool:
        return self._bytes > self._max_bytes

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "s":
            self._identifier, self._pieces, self._joins = attributes.get("id"), [], False
            self._bytes += 100  # what a sentence takes besides its text
        elif tag == "w":
            if self._joins and self._pieces and not self._pieces[-1].strip():
                self._pieces.pop()
            self._joins = "SpaceAfter=No" in attributes.get("misc", "")

    def end(self, tag: str) -> None:
        if tag == "s" and self._identifier is not None:
            self.sentences.setdefault(self._identifier, _SPACES.sub(" ", "".join(self._pieces)).strip(" "))
            self._identifier = None

    def text(self, data: str) -> None:
        if self._identifier is not None and not self.too_large:
            self._bytes += len(data.encode("utf-8"))
            self._pieces.append(data)

    def unknown_entity(self, name: str) -> None:
        self.problem = self.problem or f"a sentence has the entity {name[:60]!r}"

    def broken(self, problem: str) -> None:
        self.problem = problem
