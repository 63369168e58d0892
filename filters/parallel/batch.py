"""Many texts as one array of code points, so that a look-up or a sum costs one call for all of them.

Shape legend: N = texts of the batch, C = their characters and one separator for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filters.scripts import code_points

# A longer text is looked at up to here: a sentence never is, and memory stays bounded whatever a line holds.
LOOK_CHARS = 100_000
# Characters that one batch holds, unless a single text has more: its arrays stay in the processor's caches.
_BATCH_CHARS = 1 << 16
# A key of `shared` is a pair's number, an item's hash and its side, from the highest bit to the lowest.
_HASH_BITS = 47
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts, one after the other, a line feed after each.

    Attributes:
        text: all texts joined.
        points: its code points, shape (C,), uint32.
        starts: where each text begins, shape (N,), int64; N is at least 1.
        lengths: characters of each text without its separator, shape (N,), int64.
        owner: number of the text that each character belongs to, shape (C,), int64.
    """

    text: str
    points: NDArray[np.uint32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    owner: NDArray[np.int64]

    @property
    def count(self) -> int:
        """N."""
        return len(self.starts)

    def sums(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the sum of a value of each character, shape (C,), for each text, shape (N,)."""
        return np.add.reduceat(values, self.starts)

    def counts(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of some characters each text has, shape (N,), given their indices."""
        return np.bincount(self.owner[places], minlength=self.count)


def join_texts(texts: Sequence[str]) -> Batch:
    """Return at least one text as a batch; of each only the first `LOOK_CHARS` characters."""
    texts = [text if len(text) <= LOOK_CHARS else text[:LOOK_CHARS] for text in texts]
    joined = "\n".join([*texts, ""])
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    ends = np.cumsum(lengths + 1)
    owner = np.repeat(np.arange(len(texts)), lengths + 1)
    return Batch(joined, code_points(joined), ends - lengths - 1, lengths, owner)


def batches(sources: Sequence[str], targets: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield first and last (exclusive) of runs of pairs that make batches of a bounded size."""
    first = chars = 0
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        own = max(len(source), len(target)) + 1
        if number > first and chars + own > _BATCH_CHARS:
            yield first, number
            first, chars = number, 0
        chars += own
    if first < len(sources):
        yield first, len(sources)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the two sides of each pair have in common, shape (N,) each, float64.

    Attributes:
        common: items of both sides, each as often as on the side that has it less often.
        source, target: items of each side.
        source_found, target_found: those of them that the other side has at least once.
    """

    common: NDArray[np.float64]
    source: NDArray[np.float64]
    target: NDArray[np.float64]
    source_found: NDArray[np.float64]
    target_found: NDArray[np.float64]

    def dice(self, smoothing: float = 0.0) -> NDArray[np.float64]:
        """Return twice the common items by all items (Dice 1945); 1 where neither side has any.

        Args:
            smoothing: matching items that are taken to be there besides.
        """
        total = self.source + self.target + 2 * smoothing
        return np.where(total > 0, 2 * (self.common + smoothing) / np.maximum(total, 1e-9), 1.0)


def shared(
    count: int,
    source: tuple[NDArray[np.int64], NDArray[np.uint64]],
    target: tuple[NDArray[np.int64], NDArray[np.uint64]],
) -> Shared:
    """Compare the multisets of both sides of each pair.

    Args:
        count: N, at most 65,536.
        source: the pair of each item, and its hash; shape (items,) each.
        target: the same of the other side.
    """
    keys = np.concatenate([_keys(*source, 0), _keys(*target, 1)])
    if not len(keys):
        none = np.zeros(count)
        return Shared(none, none, none, none, none)
    keys.sort()
    items = keys >> np.uint64(1)
    first = np.flatnonzero(np.concatenate([[True], items[1:] != items[:-1]]))
    pair = (items[first] >> np.uint64(_HASH_BITS)).astype(np.int64)
    on_target = np.add.reduceat(keys & np.uint64(1), first).astype(np.float64)
    on_source = np.diff(first, append=len(keys)) - on_target

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(pair, values, count).astype(np.float64)

    return Shared(
        total(np.minimum(on_source, on_target)),
        total(on_source),
        total(on_target),
        total(on_source * (on_target > 0)),
        total(on_target * (on_source > 0)),
    )


def repetitions(count: int, owner: NDArray[np.int64], hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return how many items of each text occurred in it before, shape (N,).

    Args:
        count: N, at most 65,536.
        owner: the text of each item, shape (items,).
        hashes: its hash, shape (items,).
    """
    keys = np.sort(_keys(owner, hashes, 0))
    again = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(_HASH_BITS + 1)
    return np.bincount(again.astype(np.int64), minlength=count).astype(np.float64)


def _keys(owner: NDArray[np.int64], hashes: NDArray[np.uint64], side: int) -> NDArray[np.uint64]:
    keys = (hashes * _MIX) >> np.uint64(64 - _HASH_BITS)
    keys |= owner.astype(np.uint64) << np.uint64(_HASH_BITS)
    return (keys << np.uint64(1)) | np.uint64(side)
