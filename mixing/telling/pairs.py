"""A pair of texts, and a document that pairs are told in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Style = Literal["english", "source_language", "target_language", "concatenation"]
Direction = Literal["forward", "backward"]
# Stretch of a text: first character and the one after the last, counted in code points.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TextPair:
    """Two texts that say the same.

    Attributes:
        id: names the pair.
        src_lang: code of the language of `src_text`.
        tgt_lang: code of the language of `tgt_text`.
        document_id: the document that both are from, None where it is not known; no two sources share one.
        sequence: the pair's place in that document, in sentences.
    """

    id: str
    src_lang: str
    tgt_lang: str
    src_text: str
    tgt_text: str
    document_id: str | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ToldPair:
    """Where a pair stands in a document, and how it is told.

    Attributes:
        id: id of the pair.
        style: what it was drawn to be told in.
        template: id of the template, None for a concatenation.
        direction: `forward` where `src_text` comes first.
        src: span of `src_text` in the document.
        tgt: span of `tgt_text`.
    """

    id: str
    style: Style
    template: str | None
    direction: Direction
    src: Span
    tgt: Span

    def moved(self, by: int) -> ToldPair:
        """Return the same pair, `by` characters further on."""
        src, tgt = (self.src[0] + by, self.src[1] + by), (self.tgt[0] + by, self.tgt[1] + by)
        return ToldPair(self.id, self.style, self.template, self.direction, src, tgt)


@dataclass(frozen=True, slots=True)
class Document:
    """A text and the pairs in it, in its order."""

    text: str
    pairs: tuple[ToldPair, ...]

    def texts(self, pair: ToldPair) -> tuple[str, str]:
        """Return `src_text` and `tgt_text` of one of the pairs, read from the text."""
        return self.text[slice(*pair.src)], self.text[slice(*pair.tgt)]
