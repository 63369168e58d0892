"""Long texts in pieces, so that what is made of them takes memory by the piece."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPACE = re.compile(r"\s")


def stretches(text: str, length: int) -> Iterator[str]:
    """Yield a text in pieces of `length` characters and more, each cut before white space: no word is cut.

    Joined, the pieces are the text; an empty text is one piece.
    """
    start = 0
    while len(text) - start > length and (space := _SPACE.search(text, start + length)) is not None:
        yield text[start : space.start()]
        start = space.start()
    yield text[start:]
