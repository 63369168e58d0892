"""Which rows of two corpora with the same keys become partners: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
Rows = NDArray[np.int64]


def best_partners(
    sets: Rows, content: Numbers, score: NDArray[np.float64], identity: Numbers, most: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Choose among the rows of each set: one of each content, and of these the best ones.

    Of rows with one content the one with the highest score counts, then the one with the smallest identity. Of
    different contents those with the highest scores are the best, then the smallest contents. No score is below all.

    Args:
        sets: of each row, shape (N,).
        content: numbers that are equal for equal texts, shape (N,).
        score: not a number for none, shape (N,).
        identity: shape (N,).
        most: rows that a set may have.

    Returns:
        whether a row is the one of its content, and whether it is one of the best, each of shape (N,).
    """
    falling = -score  # what is not a number is sorted last
    order = np.lexsort((identity, falling, content, sets))
    only = order[_starts(sets[order], content[order])]
    order = only[np.lexsort((content[only], falling[only], sets[only]))]
    first = np.flatnonzero(_starts(sets[order]))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    distinct, best = np.zeros(len(sets), dtype=np.bool_), np.zeros(len(sets), dtype=np.bool_)
    distinct[only] = True
    best[order[rank < most]] = True
    return distinct, best


def products(first: tuple[Numbers, ...], second: tuple[Numbers, ...]) -> tuple[Rows, Rows]:
    """Return the rows of all pairs, one row of each of two tables, with the same key.

    Args:
        first: columns of the first table, each of shape (N,): the halves of the key, and more that order rows of one
            key.
        second: the same of the second table, each of shape (M,).

    Returns:
        rows of the first and of the second table, pair by pair: by key, then by row of the first, then of the second.
    """
    columns = [np.concatenate(own) for own in zip(first, second, strict=True)]
    side = np.repeat(np.arange(2), [len(first[0]), len(second[0])])
    order = np.lexsort((*columns[:1:-1], side, *columns[1::-1]))
    group = np.cumsum(_starts(columns[0][order], columns[1][order])) - 1
    rows, others = order[side[order] == 0], order[side[order] == 1] - len(first[0])
    sizes = tally(group, side[order])
    starts = np.cumsum(sizes, axis=0) - sizes
    counts = sizes.prod(axis=1)
    which = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = sizes[which, 1]
    return rows[starts[which, 0] + step // width], others[starts[which, 1] + step % width]


def tally(group: Rows, side: Rows, groups: int | None = None) -> Rows:
    """Return the rows of each group on each of two sides, shape (groups, 2).

    Args:
        group: of each row, from 0, shape (N,).
        side: 0 or 1, shape (N,).
        groups: how many there are; None for as many as rows name.
    """
    if groups is None:
        groups = int(group.max()) + 1 if len(group) else 0
    return np.bincount(2 * group + side, minlength=2 * groups).astype(np.int64).reshape(-1, 2)


def _starts(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return whether a row differs from the one before it in some column."""
    new = np.ones(len(columns[0]), dtype=np.bool_)
    new[1:] = np.any([own[1:] != own[:-1] for own in columns], axis=0)
    return new
