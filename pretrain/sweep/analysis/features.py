"""Mixtures as vectors: what a response is fitted on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretrain.sweep.trial import Point

Array = NDArray[np.float64]


class ShareBlock(NamedTuple):
    """Categories whose shares vary together, and sum to `total`.

    Attributes:
        stages: in which the shares are these.
        categories: in their order.
        total: what the fixed categories leave.
    """

    stages: tuple[str, ...]
    categories: tuple[str, ...]
    total: float


class Features(NamedTuple):
    """What varies in a sweep, and so what stands in a vector: shares block by block, numbers, variants.

    Attributes:
        blocks: of shares.
        learning_rate, max_epochs: whether they vary; in a vector is their binary logarithm.
        splits: stages whose share of the tokens varies, all but the last.
        variants: of the corpora, all but the first: 1 where a trial has it.
    """

    blocks: tuple[ShareBlock, ...]
    learning_rate: bool = False
    splits: int = 0
    max_epochs: bool = False
    variants: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What each number of a vector is."""
        shares = [
            category if len(self.blocks) == 1 else f"{category} ({', '.join(block.stages)})"
            for block in self.blocks
            for category in block.categories
        ]
        others = ["log2 learning rate"] * self.learning_rate + [f"split {place + 1}" for place in range(self.splits)]
        return (*shares, *others, *["log2 epochs"] * self.max_epochs, *self.variants)

    @property
    def share_columns(self) -> tuple[range, ...]:
        """The columns of each block."""
        found, start = [], 0
        for block in self.blocks:
            found.append(range(start, start + len(block.categories)))
            start += len(block.categories)
        return tuple(found)

    def vector(self, point: Point) -> list[float]:
        """Return a point's vector; what it leaves to the base mixture must not vary."""
        row = [float(point.shares[block.stages[0]][name]) for block in self.blocks for name in block.categories]
        if self.learning_rate:
            assert point.learning_rate is not None
            row.append(math.log2(point.learning_rate))
        if self.splits:
            assert point.stage_split is not None
            row += [float(own) for own in point.stage_split[: self.splits]]
        if self.max_epochs:
            assert point.max_epochs is not None
            row.append(math.log2(point.max_epochs))
        return row + [float(point.variant == name) for name in self.variants]

    def matrix(self, points: Sequence[Point]) -> Array:
        """Return a row for each point."""
        return np.array([self.vector(point) for point in points], dtype=np.float64).reshape(
            len(points), len(self.names)
        )
