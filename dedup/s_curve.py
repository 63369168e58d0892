"""The S-curve of LSH bands: how likely it is that two documents of a given similarity are compared at all.

Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dedup.minhash import MinHashConfig


def probability(similarity: float, bands: int, rows: int) -> float:
    """Return the probability that two documents of a Jaccard similarity share at least one band."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def probabilities(similarities: NDArray[np.float64], bands: int, rows: int) -> NDArray[np.float64]:
    """Return the probability of each of several similarities, in their shape."""
    return np.asarray(1.0 - (1.0 - similarities**rows) ** bands, dtype=np.float64)


def steepest(bands: int, rows: int) -> float:
    """Return the similarity around which the curve rises, (1 / bands) ** (1 / rows)."""
    return float((1.0 / bands) ** (1.0 / rows))


def half(bands: int, rows: int) -> float:
    """Return the similarity at which two documents are compared with probability one half."""
    return float((1.0 - 0.5 ** (1.0 / bands)) ** (1.0 / rows))


def missed_at_threshold(config: MinHashConfig) -> float:
    """Return the share of the pairs of exactly `min_similarity` that are expected never to be compared."""
    return 1.0 - probability(config.min_similarity, config.bands, config.rows)


def curve(config: MinHashConfig, similarities: Sequence[float]) -> list[tuple[float, float, bool]]:
    """Return for each similarity the probability of being compared, and whether such a pair is a duplicate then."""
    return [
        (value, probability(value, config.bands, config.rows), value >= config.min_similarity) for value in similarities
    ]
