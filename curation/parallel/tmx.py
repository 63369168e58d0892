"""TMX (Translation Memory eXchange 1.4b, and what passes for it) -> pairs: one unit for each `tu`.

Of a segment its text and what stands inside `hi` is kept; the native codes of `bpt`, `ept`, `it`, `ph` and `ut` are
markup of the document that was translated and no text. Of several variants in one language the first counts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from configs.errors import UserError
from curation.parallel.codes import language_of, not_found
from curation.parallel.origins import origin, score
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig, Unit
from curation.parallel.streams import DAMAGES, unreadable
from curation.parallel.xml_stream import DoctypeError, Resume, parse
from curation.records import Outcome

_RESUME = Resume("tu", ("tmx", "body"))
_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})
_ORIGIN_PROPS = frozenset({"source-document", "source-url", "sourceurl", "url", "document", "docid"})
_MAX_PROP_CHARS = 2000
_MAX_LABELS = 100


def read_tmx(stream: io.BufferedReader, name: str, src: str, tgt: str, config: PairIngestConfig) -> Iterator[Unit]:
    """Yield a unit for each translation unit.

    Args:
        stream: decompressed bytes.
        name: of the input.
        src: code of the source language.
        tgt: of the target language.
        config: limits.

    Raises:
        UserError: the file has units, and none in one of the languages; the message lists those that it has.
    """
    events = _TmxEvents(name, src, tgt, config.max_line_bytes)
    try:
        for _ in parse(stream, name, events, _RESUME):
            yield from events.take()
    except DoctypeError as error:
        yield from events.take()
        yield BadPair(name, events.sequence, "failed", "doctype_declaration", str(error))
    except DAMAGES as error:
        yield from events.take()
        yield unreadable(name, events.sequence, error)
    else:
        if not events.is_tmx:
            raise UserError(f"{name} is no TMX: it has no element <tmx>")
        if events.labels and not {src, tgt} <= events.languages:
            raise not_found(name, src, tgt, events.labels)


class _TmxEvents:
    """Gathers the units of a document."""

    def __init__(self, name: str, src: str, tgt: str, max_bytes: int) -> None:
        self._name, self._src, self._tgt, self._max_bytes = name, src, tgt, max_bytes
        self._codes: dict[str, str | None] = {}
        self._done: list[Unit] = []
        self.sequence = 0  # of the unit that is read, or the next one
        self.labels = set[str]()  # of variants, the first hundred kinds
        self.is_tmx = False
        self.languages = set[str]()  # of the two, those that were seen
        self._in_unit = False
        self._begin()

    def _begin(self) -> None:
        self._texts: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._score: float | None = None
        self._problem: tuple[str, str] | None = None  # rule, detail
        self._side: str | None = None  # the language whose variant is read, where it is one of the two
        self._pieces: list[str] | None = None  # of the segment or property that is read
        self._bytes = 0
        self._code_depth = 0
        self._in_variant = False
        self._prop: str | None = None  # type of the property that is read

    def take(self) -> list[Unit]:
        """Return the units that are complete, each once."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.is_tmx = self.is_tmx or tag == "tmx"
        if tag == "tu":
            self._in_unit = True
            self._begin()
        elif not self._in_unit:
            return
        elif tag == "tuv":
            self._in_variant = True
            self._side = self._side_of(attributes.get("xml:lang") or attributes.get("lang") or "")
        elif tag == "seg":
            wanted = self._side is not None and self._side not in self._texts
            self._pieces, self._bytes = [] if wanted else None, 0
        elif tag == "prop":
            self._prop, self._pieces, self._bytes = attributes.get("type", "").lower(), [], 0
        elif tag in _CODES:
            self._code_depth += 1

    def end(self, tag: str) -> None:
        if not self._in_unit:
            return
        if tag == "tu":
            self._finish()
        elif tag == "tuv":
            self._in_variant, self._side = False, None
        elif tag == "seg":
            if self._side is not None and self._pieces is not None:
                self._texts[self._side] = "".join(self._pieces)
            self._pieces = None
        elif tag == "prop":
            self._keep_prop(self._prop or "", "".join(self._pieces or ()))
            self._prop, self._pieces = None, None
        elif tag in _CODES:
            self._code_depth -= 1

    def text(self, data: str) -> None:
        if self._pieces is None or self._code_depth:
            return
        self._bytes += len(data) if data.isascii() else len(data.encode("utf-8"))
        if self._prop is not None:
            if self._bytes <= _MAX_PROP_CHARS:
                self._pieces.append(data)
        elif self._bytes <= self._max_bytes:
            self._pieces.append(data)
        else:
            self._pieces.clear()
            self._problem = ("line_too_long", f"a segment is longer than {self._max_bytes:,} bytes")

    def unknown_entity(self, name: str) -> None:
        if self._pieces is not None and self._prop is None and not self._code_depth:
            self._problem = self._problem or ("undefined_entity", f"a segment has the entity {name[:60]!r}")

    def broken(self, problem: str) -> None:
        self._emit(BadPair(self._name, self.sequence, "failed", "malformed_xml", problem))

    def _finish(self) -> None:
        src, tgt = self._texts.get(self._src), self._texts.get(self._tgt)
        if self._problem:
            rule, detail = self._problem
            outcome: Outcome = "dropped" if rule == "line_too_long" else "failed"
            self._emit(BadPair(self._name, self.sequence, outcome, rule, detail))
        elif src is None or tgt is None:
            missing = self._src if src is None else self._tgt
            self._emit(BadPair(self._name, self.sequence, "dropped", "side_missing", f"no segment in {missing}"))
        else:
            origins = self._origins.get(self._src), self._origins.get(self._tgt)
            self._emit(Pair(self._name, self.sequence, src, tgt, *origins, self._score))

    def _emit(self, unit: Unit) -> None:
        self._done.append(unit)
        self.sequence += 1
        self._in_unit = False

    def _side_of(self, label: str) -> str | None:
        if label not in self._codes:
            if len(self._codes) >= _MAX_LABELS:  # no file has so many languages
                self._codes.clear()
            self._codes[label] = language_of(label)
        if len(self.labels) < _MAX_LABELS:
            self.labels.add(label[:40])
        code = self._codes[label]
        if code not in (self._src, self._tgt):
            return None
        self.languages.add(code)
        return code

    def _keep_prop(self, kind: str, value: str) -> None:
        if kind in _ORIGIN_PROPS:
            found = origin(value)
            for side in [self._side] if self._in_variant else [self._src, self._tgt]:
                if found is not None and side is not None:
                    self._origins.setdefault(side, found)
        elif kind.startswith("score") and (self._score is None or "bicleaner" in kind):
            self._score = score(value)
