"""Rows of equal 128-bit keys, whatever the keys are of: texts, addresses, lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def equal_keys(
    first: NDArray[np.uint64], second: NDArray[np.uint64], min_count: int = 2
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows whose key occurs often enough, and for each the number of its key; keys rise.

    Args:
        first: the first halves of the keys, shape (N,).
        second: the second halves, shape (N,).
        min_count: how often is often enough.
    """
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    counts = np.diff(np.append(np.flatnonzero(new), len(order)))
    often = np.repeat(counts >= min_count, counts)
    number = np.cumsum(new[often]) - 1
    return order[often], number
