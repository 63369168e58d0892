"""Stretches that leave a text: joined where they overlap, and taken out without gluing what stood around them."""

from __future__ import annotations

from collections.abc import Sequence

# The beginning of a stretch and the place after its end, in characters.
Span = tuple[int, int]


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the spans sorted, those that overlap or touch as one; empty ones are left out."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def cut_text(text: str, spans: Sequence[Span]) -> str:
    """Return the text without the spans, which are merged and sorted.

    What stood before and after a span does not belong together: they become two lines, or two paragraphs where an empty
    line was beside the span.
    """
    if not spans:
        return text
    pieces: list[str] = []
    position, separator = 0, ""
    for start, end in [*spans, (len(text), len(text))]:
        piece = text[position:start]
        around = piece[: len(piece) - len(piece.lstrip())] if pieces else ""
        if piece.strip():
            if pieces:
                pieces.append("\n\n" if "\n\n" in (separator, around) or around.count("\n") > 1 else "\n")
            tail = piece[len(piece.rstrip()) :]
            separator = "\n\n" if tail.count("\n") > 1 else ""
            pieces.append(piece.strip())
        position = end
    return "".join(pieces)
