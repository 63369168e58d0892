"""Anchors: few places in a sequence of tokens, such that equal windows of k tokens have equal anchors.

Winnowing (Schleimer, Wilkerson and Aiken 2003), the minimisers of Roberts et al. 2004: of the sub-windows of `anchor`
tokens in a window of `width` tokens, the one with the smallest hash is the window's anchor. Neighbouring windows
mostly share it, so a run of windows is known by one record: some two in (width - anchor + 2) tokens begin a new one.

Shape legend: T = tokens, D = documents, N = anchors, W = windows of all anchors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dedup.minhash import mix

# Base of the polynomial in which a window's hash takes up its tokens' hashes, modulo 2**64.
_BASE = 0xC2B2AE3D27D4EB4F
_HALF_BITS = 16
_HALF = 1 << _HALF_BITS
# Bits of a hash that are looked at. Results do not depend on it; tests make hashes collide by it.
HASH_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
# Windows that are looked at at a time, so that what is computed of them stays in the processor's cache.
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True)
class Anchors:
    """Anchors, with the windows that they stand for: those that begin `low` to `high` tokens before the anchor.

    Attributes:
        hashes: of the anchors' tokens, shape (N,), uint64.
        tokens: index of the first token of each, shape (N,), int64, rising.
        low: smallest distance from the start of a window to the anchor, shape (N,), int64.
        high: largest one.
        again: number of windows after these that repeat them in turn (`dedup.periods`).
    """

    hashes: NDArray[np.uint64]
    tokens: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    again: NDArray[np.int64]

    def at(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Anchors:
        """Return some of them."""
        return Anchors(self.hashes[index], self.tokens[index], self.low[index], self.high[index], self.again[index])


def joined(blocks: Sequence[Anchors]) -> Anchors:
    """Return the anchors of all blocks."""
    empty = np.zeros(0, dtype=np.int64)
    hashes = np.concatenate([empty.astype(np.uint64), *(block.hashes for block in blocks)])
    names = ("tokens", "low", "high", "again")
    return Anchors(hashes, *(np.concatenate([empty, *(getattr(block, name) for block in blocks)]) for name in names))


def anchor_width(width: int) -> int:
    """Return how many tokens an anchor has in windows of `width` tokens, at least 2."""
    return max(1, width // 2)


def running_sums(hashes: NDArray[np.uint64], first: int = 0, before: int = 0) -> NDArray[np.uint64]:
    """Return the running sums of tokens' hashes, each times a power of the base, shape (T + 1,).

    Args:
        hashes: equal for equal tokens, shape (T,); they are mixed here.
        first: number of the first token in the sequence that is summed up.
        before: the last sum of the tokens before.
    """
    powers, _ = _power_tables()
    sums = np.full(len(hashes) + 1, before, dtype=np.uint64)
    total = before
    for start in range(0, len(hashes), _HALF):
        block = mix(hashes[start : start + _HALF])
        block *= powers[0][: len(block)]
        np.cumsum(block, out=block)
        block *= np.uint64(_power(first + start))
        block += np.uint64(total)
        sums[start + 1 : start + 1 + len(block)] = block
        total = int(block[-1])
    return sums


def window_hashes(
    sums: NDArray[np.uint64], starts: NDArray[np.int64], width: int, first: int = 0
) -> NDArray[np.uint64]:
    """Return the hashes of windows of `width` tokens.

    Args:
        sums: running sums of the tokens.
        starts: index of the first token of each window, shape (N,).
        width: tokens of a window.
        first: number that the first token had in `running_sums`.
    """
    _, inverses = _power_tables()
    numbers = starts + first
    hashes = sums[starts + width] - sums[starts]
    hashes *= inverses[0][numbers & (_HALF - 1)]
    hashes *= inverses[1][numbers >> _HALF_BITS]
    return mix(hashes) & HASH_BITS


def windows_of(
    tokens: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first tokens of all windows of anchors, shape (W,), and the index of each anchor's first window."""
    counts = high - low + 1
    first = np.cumsum(counts) - counts
    return np.repeat(tokens - low + first, counts) - np.arange(int(counts.sum())), first


def find_anchors(sums: NDArray[np.uint64], ends: NDArray[np.int64], width: int, first: int = 0) -> Iterator[Anchors]:
    """Yield the anchors of all windows of `width` tokens, none of which goes over the end of a document, in blocks.

    Of equal hashes the rightmost is the anchor, so that the choice follows from the window's tokens alone.

    Args:
        sums: running sums of the tokens, shape (T + 1,).
        ends: index after the last token of each document, shape (D,), rising; the last one is T.
        width: tokens of a window, at least 2.
        first: number that the first token had in `running_sums`.
    """
    anchor = anchor_width(width)
    choices = width - anchor + 1
    block = max(_BLOCK, 2 * width)
    place_mask = np.uint64((1 << (block + choices).bit_length()) - 1)
    last = len(sums) - 1 - width
    for start in range(0, last + 1, block):
        count = min(block, last + 1 - start)
        hashes = window_hashes(sums, np.arange(start, start + count + choices - 1), anchor, first)
        # The smallest of these values is the rightmost of the smallest hashes, and its lower bits say where it is.
        places = place_mask - np.arange(len(hashes), dtype=np.uint64)
        smallest = sliding_minimum((hashes & ~place_mask) | places, choices)
        chosen = (place_mask - (smallest & place_mask)).astype(np.int64)
        chosen[~_inside(ends, start, count, width)] = -1
        begins = np.flatnonzero(np.diff(chosen, prepend=-2))
        stops = np.append(begins[1:], count)
        real = chosen[begins] >= 0
        begins, stops = begins[real], stops[real]
        own = chosen[begins]
        yield Anchors(hashes[own], own + start, own - stops + 1, own - begins, np.zeros_like(own))


def _inside(ends: NDArray[np.int64], start: int, count: int, width: int) -> NDArray[np.bool_]:
    """Return which of the windows from `start` on lie inside of one document."""
    inside = np.ones(count, dtype=np.bool_)
    near = ends[np.searchsorted(ends, start, side="right") : np.searchsorted(ends, start + count + width)]
    for end in (near - start).tolist():
        inside[max(0, end - width + 1) : max(0, end)] = False
    return inside


def sliding_minimum(values: NDArray[np.uint64], width: int) -> NDArray[np.uint64]:
    """Return the smallest of each `width` neighbouring values, in about log2(width) passes."""
    reach = 1
    while 2 * reach <= width:
        values = np.minimum(values[:-reach], values[reach:])
        reach *= 2
    return np.minimum(values[: len(values) - (width - reach)], values[width - reach :]) if reach < width else values


def _power(number: int) -> int:
    return pow(_BASE, number, 1 << 64)


@cache
def _power_tables() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return powers of the base and of its inverse, shape (2, 2**16) each: of the numbers n, and of n * 2**16."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        table = np.empty((2, _HALF), dtype=np.uint64)
        for row, step in enumerate((base, pow(base, _HALF, 1 << 64))):
            table[row] = step
            table[row, 0] = 1
            np.multiply.accumulate(table[row], out=table[row])
        tables.append(table)
    return tables[0], tables[1]
