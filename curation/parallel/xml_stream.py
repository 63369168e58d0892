"""XML of unknown origin -> events, in constant memory (expat, which never opens another file).

- Document type declarations are passed over. One that declares an entity or an attribute ends the reading: that is what
  expansion bombs and external entities are made of, and no format here needs it.
- One tag, comment or declaration is at most 4 MiB, elements are at most 64 deep; text comes in pieces, however long.
- Behind a place that is not well-formed, reading goes on at the next element of a kind that the format names.
- The encoding is that of the byte order mark or the declaration, if it is one of a list of character sets.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from xml.parsers import expat

from configs.errors import UserError

_CHUNK_BYTES = 1 << 16
_MAX_TOKEN_BYTES = 4 << 20
_MAX_DEPTH = 64
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CHARACTER_SETS = re.compile(
    r"utf-?8|us-ascii|ascii|utf-?(16|32)(-?[lb]e)?|iso-?8859-?\d+|latin-?\d|(windows-|cp)125\d|koi8-[ru]|gb2312|gbk|"
    r"gb18030|big5|euc-(jp|kr)|shift_jis"
)
_NOT_UTF8 = b"\xff"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"),
)  # fmt: skip


class Events(Protocol):
    """What is done with the parts of a document."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """It ends."""

    def text(self, data: str) -> None:
        """A piece of text."""

    def unknown_entity(self, name: str) -> None:
        """A reference to an entity that the document type, which is not read, may declare."""

    def broken(self, problem: str) -> None:
        """What stands here is not well-formed; what follows begins with the next element, or nothing follows."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Where reading goes on behind a fault: before the next start of `tag`, inside of the elements of `parents`."""

    tag: str
    parents: tuple[str, ...]


class DoctypeError(ValueError):
    """The document type declares entities or attributes."""


class _LimitError(ValueError):
    """A tag is too long or too deep; parsing may go on behind it."""


def parse(stream: io.BufferedReader, name: str, events: Events, resume: Resume | None = None) -> Iterator[None]:
    """Feed the events of a document, and yield after each chunk, so that the caller may fetch what is complete.

    Args:
        stream: decompressed bytes.
        name: for messages.
        events: what is done with them.
        resume: see `Resume`; without it nothing is read behind a fault.

    Raises:
        UserError: the encoding is none that is read.
        DoctypeError: the document type declares entities or attributes.
    """
    parser = _Parser(events)
    start_tag = re.compile(rb"<" + resume.tag.encode() + rb"(?=[\s/>])") if resume else None
    lost = b""  # while a place to go on is looked for: the last bytes seen
    is_lost = False
    for chunk in _utf8_chunks(stream, name):
        data, position = lost + chunk if is_lost else chunk, 0
        while position < len(data):
            if is_lost:
                assert start_tag is not None
                assert resume is not None
                found = start_tag.search(data, position)
                if found is None:
                    lost = data[max(position, len(data) - 16) :]
                    break
                parser, is_lost, position = _Parser(events, resume.parents), False, found.start()
            fault = parser.feed(memoryview(data)[position:])
            if fault is None:
                break
            events.broken(fault.problem)
            if resume is None:
                yield
                return
            is_lost, position = True, position + fault.offset
            lost = b""
        yield
    if not is_lost and (fault := parser.feed(memoryview(b""), final=True)) is not None:
        events.broken(fault.problem)
    yield


@dataclass(frozen=True, slots=True)
class _Fault:
    problem: str
    offset: int  # in the data that was fed last: behind the place of the fault


class _Parser:
    """One expat parser, with limits on what it may hold back."""

    def __init__(self, events: Events, parents: tuple[str, ...] = ()) -> None:
        self._events, self._depth, self._waiting_bytes, self._fed_bytes = events, 0, 0, 0
        self._expat = parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        for tag in parents:
            parser.Parse(f"<{tag}>".encode(), False)
            self._fed_bytes += len(tag) + 2
            self._depth += 1
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity_declared
        parser.AttlistDeclHandler = self._attribute_declared
        parser.SkippedEntityHandler = self._skipped
        parser.DefaultHandler = self._other  # comments, instructions: tokens that came to their end

    def feed(self, data: memoryview, final: bool = False) -> _Fault | None:
        """Parse more; return what is wrong with it."""
        before = self._fed_bytes
        self._fed_bytes += len(data)
        self._waiting_bytes += len(data)
        try:
            self._expat.Parse(data, final)
        except expat.ExpatError as error:
            return _Fault(
                expat.errors.messages.get(error.code, str(error)), self._behind(self._expat.ErrorByteIndex, before)
            )
        except _LimitError as error:
            return _Fault(str(error), self._behind(self._expat.CurrentByteIndex, before))
        if self._waiting_bytes > _MAX_TOKEN_BYTES:
            return _Fault(f"a tag or comment of more than {_MAX_TOKEN_BYTES >> 20} MiB", len(data))
        return None

    @staticmethod
    def _behind(index: int, before: int) -> int:
        return index - before + 1 if index >= before else 0

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._waiting_bytes = 0
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _LimitError(f"elements more than {_MAX_DEPTH} deep")
        self._events.start(tag, attributes)

    def _end(self, tag: str) -> None:
        self._waiting_bytes = 0
        self._depth -= 1
        self._events.end(tag)

    def _text(self, data: str) -> None:
        self._waiting_bytes = 0
        self._events.text(data)

    def _other(self, data: str) -> None:
        self._waiting_bytes = 0

    def _skipped(self, entity: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._events.unknown_entity(entity)

    def _entity_declared(self, entity: str, *_: object) -> None:
        raise DoctypeError(f"it declares the entity {entity[:60]!r}")

    def _attribute_declared(self, tag: str, attribute: str, *_: object) -> None:
        raise DoctypeError(f"it declares the attribute {attribute[:60]!r} of {tag[:60]!r}")


def _utf8_chunks(stream: io.BufferedReader, name: str) -> Iterator[bytes]:
    """Yield the document as UTF-8; what is wrong in its own encoding is wrong in UTF-8, too, so that expat finds it."""
    head = stream.peek(1024)[:1024]
    charset = next((charset for mark, charset in _MARKS if head.startswith(mark)), None)
    if charset is None:
        declared = _DECLARED.match(head)
        charset = declared[1].decode("ascii").lower() if declared else "utf-8"
        if charset.startswith(("utf-16", "utf-32")):  # the declaration could not have been read so
            charset = "utf-8"
    if charset == "utf-8-sig":
        stream.read(len(codecs.BOM_UTF8))
        charset = "utf-8"
    if not _CHARACTER_SETS.fullmatch(charset):
        raise UserError(
            f"{name} is in the encoding {charset!r}, which is none of those that are read: convert it to UTF-8"
        )
    try:
        decoder = codecs.getincrementaldecoder(charset)(
            "surrogatepass" if charset.startswith("utf") else "surrogateescape"
        )
    except LookupError as error:
        raise UserError(f"{name} is in an unknown encoding {charset!r}: convert it to UTF-8") from error
    if codecs.lookup(charset).name in ("utf-8", "ascii"):
        while chunk := stream.read1(_CHUNK_BYTES):
            yield chunk
        return
    errors = "surrogatepass" if charset.startswith("utf") else "surrogateescape"
    is_final = False
    while not is_final:
        chunk = stream.read1(_CHUNK_BYTES)
        is_final = not chunk
        try:
            yield decoder.decode(chunk, is_final).encode("utf-8", errors)
        except UnicodeDecodeError as error:  # half a character at the end, or one that cannot be
            good = error.object[: error.start]
            yield good.decode(error.encoding, errors).encode("utf-8", errors) + _NOT_UTF8
            return
