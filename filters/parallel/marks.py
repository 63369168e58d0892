"""Punctuation of both sides of a pair, folded across scripts: how they end, brackets and quotes, and all other marks.

Shape legend: N = pairs, C = characters of a batch.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from filters.parallel.batch import Batch, shared
from filters.scripts import in_ranges

_STOP, _QUESTION, _EXCLAMATION, _COLON, _COMMA = 1, 2, 3, 4, 5
_OPEN, _CLOSE, _QUOTE, _DASH, _SLASH, _OTHER = 6, 7, 8, 9, 10, 11
_CLASSES = {
    _STOP: ".。．｡।॥።۔։།။។…‥⋯",
    _QUESTION: "?？؟\u037e՞፧⸮",
    _EXCLAMATION: "!！¡՜",
    _COLON: ":：፡",
    _COMMA: ",;，、；،؛､՝፣፤",
    _OPEN: "([{（［｛【〔〈《「『",
    _CLOSE: ")]}）］｝】〕〉》」』",
    _QUOTE: '"“”„‟«»＂〝〞',
    _DASH: "–—―‒",
    _SLASH: "/|\\／｜",
}
# Marks of their own: each matches itself only.
_THEMSELVES = "&%@#*+=<>©®™°€$£¥•·►»→_~^"
# They separate sentences by spaces, and hardly use a full stop or a comma.
UNMARKED = frozenset({"th", "lo", "km", "my"})
# An exclamation for a full stop, or a sentence that has lost its mark, is no other sentence. Where one side goes on
# after a comma or colon and the other has ended, sentences were often only cut in another place.
_NEAR, _GOES_ON = 0.5, 0.75
# Matching marks that are taken to be there besides: one comma more or less is no sign.
_SMOOTHING = 1.0


def mark_measures(source: Batch, target: Batch, languages: tuple[str, str]) -> dict[str, NDArray[np.float64]]:
    """Return `terminal_mismatch`, `bracket_mismatch` and `mark_mismatch`, shape (N,) each.

    Args:
        source: the sources.
        target: the targets.
        languages: ISO 639-1 codes of source and target.
    """
    source_language, target_language = languages
    left, right = _classes(source, source_language), _classes(target, target_language)
    return {
        "terminal_mismatch": _terminal(
            _last(source, left), _last(target, right), source_language in UNMARKED, target_language in UNMARKED
        ),
        "bracket_mismatch": np.abs(_unbalanced(source, left) - _unbalanced(target, right)),
        "mark_mismatch": _mark_mismatch(source, left, target, right, {source_language, target_language}),
    }


def _classes(batch: Batch, language: str) -> NDArray[np.uint16]:
    classes = _table()[batch.points]
    if language == "el":  # the Greek question mark looks like a semicolon, and mostly is one
        classes[batch.points == ord(";")] = _QUESTION
    return classes


def _last(batch: Batch, classes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the class of the last character of each text that is no space, quote or closing bracket; 0 for none."""
    passed = (classes == _QUOTE) | (classes == _CLOSE) | _spaces(batch.points)
    places = np.where(passed, -1, np.arange(len(classes)))
    last = np.maximum.reduceat(places, batch.starts)
    return np.where(last >= 0, classes[np.maximum(last, 0)], 0).astype(np.uint16)


def _terminal(
    left: NDArray[np.uint16], right: NDArray[np.uint16], left_unmarked: bool, right_unmarked: bool
) -> NDArray[np.float64]:
    left, right = (np.where(side <= _COMMA, side, 0) for side in (left, right))
    near = np.isin(left, (0, _STOP, _EXCLAMATION)) & np.isin(right, (0, _STOP, _EXCLAMATION))
    asked = (left == _QUESTION) != (right == _QUESTION)
    value = np.where(left == right, 0.0, np.where(near, _NEAR, np.where(asked, 1.0, _GOES_ON)))
    for unmarked, own in ((left_unmarked, left), (right_unmarked, right)):
        if unmarked:
            value[own == 0] = 0.0
    return value


def _unbalanced(batch: Batch, classes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return how many brackets have no partner; the quotes, whatever their shape, lack one when their number is odd."""
    opened, closed, quotes = (
        batch.counts(np.flatnonzero(classes == kind)).astype(np.float64) for kind in (_OPEN, _CLOSE, _QUOTE)
    )
    return np.abs(opened - closed) + quotes % 2


def _mark_mismatch(
    source: Batch, left: NDArray[np.uint16], target: Batch, right: NDArray[np.uint16], languages: set[str]
) -> NDArray[np.float64]:
    ignored = (_STOP, _COMMA, _QUESTION) if languages & UNMARKED else ()
    items = []
    for batch, classes in ((source, left), (target, right)):
        # A run of one mark, such as an ellipsis of three dots, is one.
        counted = classes != 0
        counted[1:] &= classes[1:] != classes[:-1]
        counted &= ~np.isin(classes, ignored)
        places = np.flatnonzero(counted)
        items.append((batch.owner[places], classes[places].astype(np.uint64)))
    return 1 - shared(source.count, items[0], items[1]).dice(_SMOOTHING)


def _spaces(points: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return (points <= 0x20) | in_ranges(points, ((0x85, 0x85), (0xA0, 0xA0), (0x2000, 0x200F), (0x2028, 0x202F)))


@cache
def _table() -> NDArray[np.uint16]:
    table = np.zeros(0x110000, dtype=np.uint16)
    for kind, marks in _CLASSES.items():
        for mark in marks:
            table[ord(mark)] = table[ord(mark)] or kind
    for number, mark in enumerate(_THEMSELVES):
        table[ord(mark)] = table[ord(mark)] or _OTHER + number
    return table
