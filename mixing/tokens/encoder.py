"""Texts -> tokens with any tokenizer, in bounded memory: a long text is encoded in windows that overlap.

The library takes about a hundred bytes of memory for each byte of a text. Two windows that share a stretch give the
same tokens in its middle, as what lies farther away no longer matters; there they are joined, and the tokens are those
of the whole text. Only within a run that the tokenizer cannot divide, longer than the stretch, may the tokens of two
windows differ for good: there the text is cut, and every character is still told once. What a tokenizer puts before a
text, such as `▁`, it does not put behind a cut.

Shape legend: T = tokens.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from mixing.tokens.indexed import TokenType
from mixing.tokens.tokenizer_file import open_tokenizer

# Characters of a window, and of the stretch that two windows share.
WINDOW_CHARS, OVERLAP_CHARS = 400_000, 4_000
# Windows are joined in a run of so many tokens that both have.
_SAME_TOKENS = 16
# Texts are handed to the library together as long as they have no more characters.
_BATCH_CHARS = 400_000

# Number of a token, and the characters [start, end) of the text that it stands for.
Placed = tuple[int, int, int]


class Encoder:
    """Encodes texts, and ends each with the token that ends a document."""

    def __init__(self, tokenizer: Path, sha256: str, eod_id: int, dtype: TokenType) -> None:
        """Open a tokenizer; `dtype` is what tokens are returned as.

        Raises:
            RuntimeError: the file is not the one of that hash.
        """
        # The job runs a process on each core: the library's own threads would only get in their way.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self._tokenizer = open_tokenizer(tokenizer, sha256)
        self._path, self._sha256 = tokenizer, sha256
        self._dtype = np.dtype(dtype)
        self._end = np.array([eod_id], dtype=self._dtype)

    def encode(self, texts: Sequence[str]) -> Iterator[NDArray[np.integer]]:
        """Yield the tokens of each text with the one that ends it, shape (T,); of an empty text that one alone."""
        batch: list[str] = []
        chars = 0
        for text in texts:
            if batch and chars + len(text) > _BATCH_CHARS:
                yield from self._encode_batch(batch)
                batch, chars = [], 0
            if len(text) > WINDOW_CHARS:
                yield np.concatenate([*self._long(text), self._end])
            else:
                batch.append(text)
                chars += len(text)
        yield from self._encode_batch(batch)

    def place(self, text: str, number: int) -> tuple[int, int]:
        """Return the characters [start, end) of a text that its token of a number stands for.

        Raises:
            IndexError: the text has not so many tokens; the one that ends it has no place.
        """
        passed = 0
        for begin, encoding, first, last in self._windows(text):
            kept = self._kept(encoding, first, last)
            if number < passed + len(kept):
                start, end = encoding.token_to_chars(kept[number - passed]) or (0, 0)
                return begin + start, begin + end
            passed += len(kept)
        raise IndexError(f"token {number} of a text that has {passed}")

    def written(self, token: int) -> str:
        """Return a token as the vocabulary writes it."""
        return self._tokenizer.id_to_token(token) or ""

    def _encode_batch(self, texts: list[str]) -> Iterator[NDArray[np.integer]]:
        for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False) if texts else ():
            ids = np.array(encoding.ids, dtype=self._dtype)
            yield np.concatenate([ids[ids != self._end[0]], self._end])

    def _long(self, text: str) -> Iterator[NDArray[np.integer]]:
        for _, encoding, first, last in self._windows(text):
            ids = np.array(encoding.ids[first:last], dtype=self._dtype)
            yield ids[ids != self._end[0]]

    def _kept(self, encoding: Encoding, first: int, last: int) -> list[int]:
        """Return which tokens of a window are written. Some models make the end token out of a text that spells it (as
        Unigram models with `</s>` among their pieces do): it is left out, or a page could end a document.
        """
        ids, end = encoding.ids, int(self._end[0])  # `encoding.ids` makes a list of them each time
        return [number for number in range(first, last) if ids[number] != end]

    def _windows(self, text: str) -> Iterator[tuple[int, Encoding, int, int]]:
        """Yield for each window of a text where it begins, its tokens, and which of them are the text's: [first, last).

        A window ends where the next one takes over.
        """
        begin, first, is_cut = 0, 0, False
        window = self._encode(text[:WINDOW_CHARS])
        while (end := begin + WINDOW_CHARS) < len(text):
            following_begin = end - OVERLAP_CHARS
            following = self._encode(text[following_begin : following_begin + WINDOW_CHARS])
            joint = _joint(window, begin, following, following_begin)
            if joint is None:
                following_begin = end - OVERLAP_CHARS // 2
                window = self._encode(text[begin:following_begin], is_cut)
                yield begin, window, first, len(window)
                following, first = self._encode(text[following_begin : following_begin + WINDOW_CHARS], True), 0
            else:
                yield begin, window, first, joint[0]
                first = joint[1]
            is_cut = joint is None  # a text that was cut there begins with this window
            begin, window = following_begin, following
        yield begin, window, first, len(window)

    def _encode(self, text: str, is_cut: bool = False) -> Encoding:
        tokenizer = open_tokenizer(self._path, self._sha256, inside=True) if is_cut else self._tokenizer
        return tokenizer.encode(text, add_special_tokens=False)


def _joint(window: Encoding, begin: int, following: Encoding, following_begin: int) -> tuple[int, int] | None:
    """Return a place in the middle of the shared stretch where two windows may be joined, or None.

    It is the same place, as a number of tokens of each window: their tokens around it are the same ones.
    """
    quarter = OVERLAP_CHARS // 4
    low, high = following_begin + quarter, following_begin + 3 * quarter
    own, own_start = _placed(window, begin, low, high)
    other, other_start = _placed(following, following_begin, low, high)
    numbers = {token: number for number, token in enumerate(other)}
    for number, token in enumerate(own):
        match = numbers.get(token)
        if match is None:
            continue
        run = own[number : number + _SAME_TOKENS]
        if len(run) == _SAME_TOKENS and run == other[match : match + _SAME_TOKENS]:
            half = _SAME_TOKENS // 2
            return own_start + number + half, other_start + match + half
    return None


def _placed(encoding: Encoding, begin: int, low: int, high: int) -> tuple[list[Placed], int]:
    """Return the tokens that begin at characters [low, high) of the text, and the number of the first of them."""
    first, last = (
        bisect_left(range(len(encoding)), edge - begin, key=lambda n: _start(encoding, n)) for edge in (low, high)
    )
    ids = encoding.ids
    tokens = []
    for number in range(first, last):
        start, end = encoding.token_to_chars(number) or (0, 0)
        tokens.append((ids[number], begin + start, begin + end))
    return tokens, first


def _start(encoding: Encoding, number: int) -> int:
    chars = encoding.token_to_chars(number)
    return chars[0] if chars else 0
