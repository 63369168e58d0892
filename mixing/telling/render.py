"""Pairs of texts told as text: by a template (Marco-LLM, arXiv 2412.03004, section 3.1.2), or both texts one after the
other (the pseudo-monolingual stage of X-ALMA, arXiv 2410.03115).

Whatever is drawn for a pair is drawn from a hash of its texts and languages, so it depends on no order and no worker;
two equal pairs are told in the same way. Texts are never altered, and spans say where each stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import get_args

import xxhash
from pydantic import Field, model_validator

from configs.errors import UserError
from configs.languages import load_languages
from configs.load import StrictModel
from mixing.telling.pairs import Direction, Document, Span, Style, TextPair, ToldPair
from mixing.telling.templates import Frame, TemplateLibrary, load_templates

# Scripts in which one sentence follows the other without a space.
_UNSPACED_SCRIPTS = frozenset({"Hans", "Hant", "Jpan"})
_LIMIT = 1 << 64


class StyleWeights(StrictModel):
    """How often each style is drawn, in shares of their sum; 0 never.

    A style that a pair cannot be told in, because no template of that language has both names, leaves its share to the
    others in proportion.

    Attributes:
        english: a template in English.
        source_language: a template in the language of the text that comes first.
        target_language: a template in the language of the text that comes second.
        concatenation: both texts and nothing else.
    """

    english: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    source_language: float = Field(default=0.15, ge=0, allow_inf_nan=False)
    target_language: float = Field(default=0.15, ge=0, allow_inf_nan=False)
    concatenation: float = Field(default=0.1, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _some_style_is_drawn(self) -> StyleWeights:
        if not any(getattr(self, style) for style in get_args(Style)):
            raise ValueError(f"every weight is 0; give one of {', '.join(get_args(Style))} a weight")
        return self


class RenderConfig(StrictModel):
    """How pairs become documents.

    Attributes:
        styles: weights of the styles; templates of a style are equally likely.
        forward_share: share of the pairs that a template tells from `src` to `tgt`; the others are told the other way
            round. A concatenation teaches no direction: its order is drawn evenly, as X-ALMA's.
        max_chars: characters of a document that pairs are packed into; None leaves each pair, or paragraph, on its own.
        separator: between two pairs, or paragraphs, of a document.
        concatenation_separator: between the two texts of a concatenation.
        paragraphs: whether consecutive sentences of a document are told as one text.
        max_missing: sentences that may be missing between two that still count as consecutive.
        seed: of everything that is drawn.
    """

    styles: StyleWeights = StyleWeights()
    forward_share: float = Field(default=0.5, ge=0, le=1)
    max_chars: int | None = Field(default=4_000, ge=1)
    separator: str = "\n\n"
    concatenation_separator: str = "\n"
    paragraphs: bool = False
    max_missing: int = Field(default=0, ge=0)
    seed: int = Field(default=1, ge=0, lt=_LIMIT)


@dataclass(frozen=True, slots=True)
class Telling:
    """What was drawn for a pair: how it, and the sentences that follow it in a paragraph, are told."""

    style: Style
    direction: Direction
    frame: Frame


class Renderer:
    """Draws how pairs are told, and tells them."""

    def __init__(self, config: RenderConfig, library: TemplateLibrary | None = None) -> None:
        """Take the templates of `library`, the shipped ones where it is None."""
        self.config = config
        self._library = library or load_templates()
        self._choices = cache(self._find_choices)

    def draw(self, pair: TextPair) -> Telling:
        """Return how `pair` is told, drawn from `content_hash`.

        Raises:
            UserError: a language is not in the table, or no style with a weight can tell a pair of these languages.
        """
        digest = content_hash(pair, self.config.seed)
        direction = _direction(digest, self.config.forward_share)
        styles, sums, frames = self._choices(pair.src_lang, pair.tgt_lang)[direction]
        point = _draw(digest, "style") / _LIMIT * sums[-1]
        # Rounding may put the point on the last sum itself.
        style = next((style for style, sum_ in zip(styles, sums, strict=True) if point < sum_), styles[-1])
        if style == "concatenation":
            direction = _direction(digest, 0.5)
        # Multiplying a 64-bit number and keeping what lies above them spreads it evenly over the frames.
        pool = frames[style]
        return Telling(style, direction, pool[_draw(digest, "template") * len(pool) >> 64])

    def tell(self, pairs: Sequence[TextPair], telling: Telling) -> Document:
        """Return one pair, or consecutive ones of one document and one pair of languages, as one text.

        Sentences of a side are put together by a space, in Chinese and Japanese by nothing.
        """
        frame, forward = telling.frame, telling.direction == "forward"
        sides = [[pair.src_text for pair in pairs], [pair.tgt_text for pair in pairs]]
        languages = [pairs[0].src_lang, pairs[0].tgt_lang]
        first, second = (0, 1) if forward else (1, 0)
        text, spans = _join(sides[first], joint(languages[first]), len(frame.before))
        other_start = len(frame.before) + len(text) + len(frame.between)
        other, other_spans = _join(sides[second], joint(languages[second]), other_start)
        src_spans, tgt_spans = (spans, other_spans) if forward else (other_spans, spans)
        told = (
            ToldPair(pair.id, telling.style, frame.template, telling.direction, src, tgt)
            for pair, src, tgt in zip(pairs, src_spans, tgt_spans, strict=True)
        )
        return Document(f"{frame.before}{text}{frame.between}{other}{frame.after}", tuple(told))

    def render(self, pair: TextPair) -> Document:
        """Return one pair as a text of its own; raises as `draw`."""
        return self.tell((pair,), self.draw(pair))

    def _find_choices(self, src: str, tgt: str) -> dict[Direction, _Choices]:
        """Return the choices of each direction that is drawn: what cannot be told shows at the first pair."""
        choices: dict[Direction, _Choices] = {}
        if self.config.forward_share > 0:
            choices["forward"] = self._choices_of(src, tgt)
        if self.config.forward_share < 1:
            choices["backward"] = self._choices_of(tgt, src)
        return choices

    def _choices_of(self, source: str, target: str) -> _Choices:
        find = self._library.frames
        frames: dict[Style, tuple[Frame, ...]] = {
            "english": find("en", source, target),
            "source_language": find(source, source, target),
            "target_language": find(target, source, target),
            "concatenation": (Frame(None, "", self.config.concatenation_separator, ""),),
        }
        weights: dict[Style, float] = {style: getattr(self.config.styles, style) for style in get_args(Style)}
        usable = [style for style in frames if frames[style] and weights[style]]
        if not usable:
            wanted = ", ".join(style for style in frames if weights[style])
            raise UserError(
                f"no template tells {source} to {target} in the styles with a weight ({wanted}); "
                f"give styles.english or styles.concatenation a weight"
            )
        return usable, list(accumulate(weights[style] for style in usable)), frames


# The styles that can be drawn, the running sums of their weights, and the frames of each.
_Choices = tuple[list[Style], list[float], dict[Style, tuple[Frame, ...]]]


def content_hash(pair: TextPair, seed: int) -> bytes:
    """Return 128 bits of xxh3 over a pair's languages and texts.

    The length of each goes before it, so that no two pairs run together into the same bytes.
    """
    fields = (pair.src_lang, pair.tgt_lang, pair.src_text, pair.tgt_text)
    encoded = [field.encode("utf-8", "surrogatepass") for field in fields]
    lengths = [len(field).to_bytes(8, "little") for field in encoded]
    return xxhash.xxh3_128_digest(b"".join([*lengths, *encoded]), seed)


@cache
def joint(language: str) -> str:
    """Return what stands between two sentences of a language: a space, or nothing in Chinese and Japanese."""
    return "" if load_languages().get(language).script in _UNSPACED_SCRIPTS else " "


def _draw(digest: bytes, what: str) -> int:
    """Return a number below 2**64 that is drawn for one purpose, independent of those for others."""
    return xxhash.xxh3_64_intdigest(digest + what.encode())


def _direction(digest: bytes, forward_share: float) -> Direction:
    return "forward" if _draw(digest, "direction") < forward_share * _LIMIT else "backward"


def _join(texts: Sequence[str], between: str, start: int) -> tuple[str, list[Span]]:
    """Return the texts in one string, and the span of each where that string begins at `start`."""
    spans = []
    for text in texts:
        spans.append((start, start + len(text)))
        start += len(text) + len(between)
    return between.join(texts), spans
