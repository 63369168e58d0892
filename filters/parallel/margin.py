"""Scores of sentence pairs by their embeddings: cosine similarity, and its margin over the nearest other sentences.

After Artetxe and Schwenk (2019, arXiv 1811.01136, section 3): some sentences are close to everything, so a cosine is
judged by how near the nearest neighbours of both sides are; `ratio` is the variant they find best.

Similarities are computed in double precision and rounded, so that neither the size of blocks nor the number of threads
changes a score, and equal ones are equal.

Shape legend: N = sentences or pairs, M = sentences that neighbours are looked for in, D = numbers of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_DIGITS = 9


def cosine(a: Floats, b: Floats, block: int = 4096) -> NDArray[np.float64]:
    """Return the cosine similarity of each pair of rows, shape (N,); 0 where one of them has length zero.

    Args:
        a: embeddings of one side, of any length, shape (N, D).
        b: those of the other side, shape (N, D).
        block: pairs that are computed at a time.

    Raises:
        ValueError: the shapes are not alike, or a number is not finite.
    """
    _check(a, b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} embeddings of one side, {len(b)} of the other")
    found = np.empty(len(a))
    for start in range(0, len(a), block):
        span = slice(start, start + block)
        found[span] = np.einsum("nd,nd->n", _scaled(a[span]), _scaled(b[span]))
    return np.round(found, _DIGITS)


def ratio_margin(a: Floats, b: Floats, k: int = 4, block: int = 1024) -> NDArray[np.float64]:
    """Return for each pair of rows its cosine by the mean cosine of its sides with their neighbours, shape (N,).

    cos(x, y) / (sum of cos(x, z) / 2k over the k nearest z of x in `b` + the same of y in `a`). A pair whose sides
    prefer each other is above 1. The partner counts as a neighbour, as in the paper, and so do copies of it: sentences
    should be distinct. Where the neighbours' mean is not above zero a ratio says nothing, and the score is 0. Takes
    4 * N**2 * D operations; besides the embeddings about 40 * `block`**2 + 32 * `block` * D bytes are in memory.

    Args:
        a: embeddings of one side, shape (N, D).
        b: those of the other side, shape (N, D).
        k: neighbours; where there are fewer sentences, all of them.
        block: sentences of each side that are compared at a time.

    Raises:
        ValueError: as `cosine`, or `k` or `block` is below 1.
    """
    pair = cosine(a, b)
    if not len(pair):
        return pair
    mean = (neighbours(a, b, k, block).similarity.mean(axis=1) + neighbours(b, a, k, block).similarity.mean(axis=1)) / 2
    scores = np.zeros_like(pair)
    np.divide(pair, mean, out=scores, where=mean > 0)
    return np.round(scores, _DIGITS)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest sentences of each, the nearest first, of equally near ones the one with the smallest number first.

    Attributes:
        index: their numbers, shape (N, min(k, M)).
        similarity: their cosine similarities, shape (N, min(k, M)).
    """

    index: NDArray[np.int64]
    similarity: NDArray[np.float64]


def neighbours(queries: Floats, pool: Floats, k: int = 4, block: int = 1024) -> Neighbours:
    """Return the `k` rows of `pool`, shape (M, D), with the highest cosine similarity to each of `queries`, (N, D).

    Raises:
        ValueError: as `ratio_margin`.
    """
    _check(queries, pool)
    if k < 1 or block < 1:
        raise ValueError(f"k and block must be at least 1, not {k} and {block}")
    count = min(k, len(pool))
    index = np.empty((len(queries), count), dtype=np.int64)
    similarity = np.empty((len(queries), count))
    for start in range(0, len(queries), block):
        span = slice(start, start + block)
        left = _scaled(queries[span])
        best = np.empty((len(left), 0), dtype=np.int64), np.empty((len(left), 0))
        for first in range(0, len(pool), block):
            cosines = (left @ _scaled(pool[first : first + block]).T).round(_DIGITS)
            numbers = np.broadcast_to(np.arange(first, first + cosines.shape[1]), cosines.shape)
            best = _nearest(np.hstack([best[0], numbers]), np.hstack([best[1], cosines]), count)
        index[span], similarity[span] = best
    return Neighbours(index, similarity)


def _nearest(
    numbers: NDArray[np.int64], cosines: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the best `count` columns of each row, the best first; of equal ones the smallest numbers."""
    if cosines.shape[1] > count:
        limit = -np.partition(-cosines, count - 1, axis=1)[:, count - 1 : count]
        rows, columns = np.nonzero(cosines >= limit)
    else:
        rows, columns = np.indices(cosines.shape).reshape(2, -1)
    order = np.lexsort((numbers[rows, columns], -cosines[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, columns = rows[rank < count], columns[rank < count]
    shape = len(cosines), min(count, cosines.shape[1])
    return numbers[rows, columns].reshape(shape), cosines[rows, columns].reshape(shape)


def _scaled(rows: Floats) -> NDArray[np.float64]:
    """Return rows of length one, in double precision; a row of zeros stays one."""
    found: NDArray[np.float64] = rows.astype(np.float64)
    # First by the largest number, whose square may be infinite.
    found /= np.maximum(np.abs(found).max(axis=1, keepdims=True, initial=0), np.finfo(np.float64).tiny)
    lengths = np.sqrt(np.square(found).sum(axis=1, keepdims=True))
    np.divide(found, lengths, out=found, where=lengths > 0)
    return found


def _check(a: Floats, b: Floats) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"embeddings of shapes {a.shape} and {b.shape}, not (N, D) and (M, D)")
    if not all(np.isfinite(side[start : start + 4096]).all() for side in (a, b) for start in range(0, len(side), 4096)):
        raise ValueError("embeddings that are not finite")
