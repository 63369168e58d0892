"""Two texts side by side in a report, the words that differ marked. `pair.html.j2` shows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

# Characters read of a text, words compared, and equal words shown around a difference.
_READ, _COMPARED, _CONTEXT = 100_000, 400, 20
# Scripts that do not separate words are compared by letter with its marks. Endless words are split: they fill pages.
_UNSPACED = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_MARKS = "".join(chr(point) for point in range(0x0E00, 0x1800) if unicodedata.category(chr(point)).startswith("M"))
_WORD = re.compile(rf"[{_UNSPACED}][{_MARKS}]*\s*|[^\s{_UNSPACED}]{{1,60}}\s*|\s+")


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """A document that was dropped for another one; the method is a stage of deduplication.

    Where no single document holds what the dropped one repeats, `kept_url` and `kept_text` are empty.
    """

    method: str
    similarity: float
    dropped_url: str
    dropped_text: str
    kept_url: str
    kept_text: str


def pair_view(pair: DuplicatePair, sides: tuple[str, str] = ("dropped", "kept")) -> dict[str, object]:
    """Return a pair with the words that differ marked, as the template takes it.

    Beyond the equal beginning, which may be long, few words are compared.

    Args:
        pair: what is compared.
        sides: what became of the two documents: `dropped` or `kept`.
    """
    if not (pair.kept_url or pair.kept_text):
        note = "No single document holds all that it repeats."
        return {"pair": pair, "note": note, "sides": [(sides[0], pair.dropped_url, [("same", pair.dropped_text)])]}
    texts = pair.dropped_text, pair.kept_text
    words = [_WORD.findall(re.sub(r"\s*\n\s*", "\n", text[:_READ])) for text in texts]
    keys = [[word.strip() for word in side] for side in words]
    equal = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(*keys, strict=False)))
    end = equal + _COMPARED
    matcher = SequenceMatcher(None, keys[0][equal:end], keys[1][equal:end], autojunk=False)
    pieces = [_shortened(side[:equal]) for side in words]
    opcodes = matcher.get_opcodes()
    for tag, *bounds in opcodes:
        for side, own, (start, stop) in zip(pieces, words, (bounds[:2], bounds[2:]), strict=True):
            span = own[equal + start : equal + stop]
            text = "".join(span)
            marked = [("differs", text.rstrip()), ("same", text[len(text.rstrip()) :])]
            side.extend(_shortened(span) if tag == "equal" else marked)
    for side, own, whole in zip(pieces, words, texts, strict=True):
        if len(own) > end or len(whole) > _READ:
            side.append(("gap", "the rest is not compared"))
    where = "." if pair.method == "exact" else " in the beginnings that are compared."
    note = "" if any(tag != "equal" for tag, *_ in opcodes) else f"No word differs{where}"
    urls = pair.dropped_url, pair.kept_url
    return {"pair": pair, "note": note, "sides": list(zip(sides, urls, pieces, strict=True))}


def _shortened(words: Sequence[str]) -> list[tuple[str, str]]:
    """Leave out the middle of a long run of equal words."""
    if len(words) <= 3 * _CONTEXT:
        return [("same", "".join(words))]
    gap = f"{len(words) - 2 * _CONTEXT:,} equal words"
    return [("same", "".join(words[:_CONTEXT])), ("gap", gap), ("same", "".join(words[-_CONTEXT:]))]
