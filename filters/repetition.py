"""Repetition inside a document: n-grams, lines and paragraphs (Rae et al. 2021, Gopher, appendix A.1.1, table A1).

Shape legend: W = number of words. All n-gram measures work on word numbers (equal words have equal numbers) and weigh
words by their length in characters, so that they are shares of the text and not of the word count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Odd multiplier of a polynomial hash modulo 2**64: one step appends a word to an n-gram's hash.
_STEP = np.uint64(0x9E3779B97F4A7C15)


def ngram_hashes(words: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Return the hashes of all n-grams, shape (max(0, W - n + 1),).

    Args:
        words: word numbers or hashes, shape (W,).
        n: words per n-gram, at least 1.
    """
    count = max(0, len(words) - n + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    for position in range(n):
        hashes *= _STEP
        hashes += words[position : position + count]
    return hashes


def top_ngram_share(words: NDArray[np.uint64], lengths: NDArray[np.int64], n: int) -> float:
    """Return the share of characters that the most frequent n-gram takes; 0 where none occurs twice."""
    hashes = ngram_hashes(words, n)
    if len(hashes) < 2:
        return 0.0
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    most = int(counts.max())
    if most < 2:
        return 0.0
    # Of several equally frequent n-grams the one that takes most characters counts, wherever it stands.
    ends = np.concatenate(([0], np.cumsum(lengths)))
    starts = first[counts == most]
    width = int((ends[starts + n] - ends[starts]).max())
    return min(1.0, most * width / max(1, int(ends[-1])))


def duplicate_ngram_share(words: NDArray[np.uint64], lengths: NDArray[np.int64], n: int) -> float:
    """Return the share of characters inside n-grams that occurred before in the text, each character once."""
    hashes = ngram_hashes(words, n)
    if len(hashes) < 2:
        return 0.0
    _, first = np.unique(hashes, return_index=True)
    repeated = np.ones(len(hashes), dtype=np.int64)
    repeated[first] = 0
    if not repeated.any():
        return 0.0
    # A word is covered when one of the n n-grams that hold it is a repetition: a running sum answers for all words.
    edges = np.zeros(len(words) + 1, dtype=np.int64)
    edges[: len(repeated)] += repeated
    edges[n : n + len(repeated)] -= repeated
    covered = np.cumsum(edges)[: len(words)] > 0
    return float(lengths[covered].sum() / max(1, int(lengths.sum())))


def duplicate_share(pieces: Sequence[str]) -> float:
    """Return the share of characters in pieces (lines, paragraphs) that occurred before in the text."""
    seen = set[str]()
    total = repeated = 0
    for piece in pieces:
        total += len(piece)
        if piece in seen:
            repeated += len(piece)
        seen.add(piece)
    return repeated / total if total else 0.0
