"""What the numbers of a manifest, which somebody may have changed by hand, have to be to each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

CHANGED = "the manifest was changed; run `make mixture` again"
# Numbers that differ by less, as a part of themselves, differ by rounding.
ROUNDING = 1e-9


def same_number(first: float, second: float) -> bool:
    """Return whether two numbers differ by rounding alone: 0 is the same as nothing else."""
    return math.isclose(first, second, rel_tol=ROUNDING)


def repeated(names: Iterable[str]) -> str | None:
    """Return the first name that stands there again, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def slice_fits(documents: int, by_shard: Sequence[int], sequences: Sequence[int]) -> bool:
    """Return whether a slice's documents are as many as it says, and no shard has fewer than it takes of it.

    Args:
        documents: of the slice.
        by_shard: the same, shard by shard.
        sequences: documents of each shard.
    """
    return (
        len(by_shard) == len(sequences)
        and sum(by_shard) == documents
        and all(chosen <= whole for chosen, whole in zip(by_shard, sequences, strict=True))
    )


def epochs_before(drawn: Sequence[tuple[str | None, int]], where: str | None, available: int) -> float | None:
    """Return how often documents were read in earlier stages; None where that is in their order, not in the manifest.

    Args:
        drawn: of the earlier stages: checksum of the slice, None for all of the source, and tokens.
        where: the same of the documents that are asked about.
        available: their tokens.
    """
    if where is not None and any(other != where for other, _ in drawn):
        return None
    return sum(tokens for _, tokens in drawn) / available
