"""Whether the order of mixtures is the same on the other proxy, so that a small model's answer may be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pretrain.sweep.analysis.analysis_schema import Interval, Scaling
from pretrain.sweep.analysis.cross_validation import rank_correlation
from pretrain.sweep.analysis.features import Array

# The order is said to hold from these on, and not to hold below the other one.
HOLDS, LEAST_LOW, FAILS = 0.8, 0.5, 0.5
# With fewer mixtures even the same order of all is too likely by chance: 1 of 24 times with four.
LEAST_TRIALS = 5
_WARNING = "Marco-LLM (arXiv 2412.04003) warns that what a small model says of a mixture may not hold for a large one"


def compare_proxies(
    numbers: Sequence[int],
    objectives: tuple[Sequence[float], Sequence[float]],
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    weights: tuple[int, int],
    samples: int,
    seed: int,
) -> Scaling:
    """Compare the same mixtures on two proxies.

    Args:
        numbers: of the trials of the design that finished on both.
        objectives: of the sweep's proxy and of the other one, in this order.
        losses: the same for the bits per byte of each language.
        weights: parameters of the two.
        samples: of the bootstrap over trials.
        seed: of the bootstrap.
    """
    small, large = (np.asarray(own, dtype=np.float64) for own in objectives)
    found = _with_interval(small, large, samples, seed)
    same_best = bool(len(numbers)) and int(np.argmin(small)) == int(np.argmin(large))
    return Scaling(
        trials=len(numbers),
        weights=weights,
        rank_correlation=found,
        by_language={name: rank_correlation(np.asarray(own[0]), np.asarray(own[1])) for name, own in losses.items()},
        same_best=same_best,
        numbers=tuple(numbers),
        small=tuple(small.tolist()),
        large=tuple(large.tolist()),
        words=_words(len(numbers), found, same_best),
    )


def _with_interval(small: Array, large: Array, samples: int, seed: int) -> Interval | None:
    """Return Spearman's correlation, and where 90% of those of resampled trials lie.

    A sample of one trial only, many times, has no order and does not count.
    """
    value = rank_correlation(small, large)
    if value is None:
        return None
    random = np.random.default_rng(seed)
    drawn = [random.integers(len(small), size=len(small)) for _ in range(samples)]
    found = [own for rows in drawn if (own := rank_correlation(small[rows], large[rows])) is not None]
    low, high = np.quantile(found, (0.05, 0.95)).tolist() if found else (-1.0, 1.0)
    return Interval(value=value, low=low, high=high)


def _words(trials: int, found: Interval | None, same_best: bool) -> str:
    if found is None:
        return (
            f"Nothing can be said of the order on the other model: {trials} mixture{'s' * (trials != 1)} finished on "
            f"both, or all are alike. {_WARNING}."
        )
    if found.value >= HOLDS and found.low >= LEAST_LOW and trials >= LEAST_TRIALS:
        verdict = "The order of the mixtures holds on the other model"
    elif found.value < FAILS:
        verdict = "The order of the mixtures does not hold on the other model: do not rely on the recommendation there"
    else:
        verdict = "Whether the order of the mixtures holds on the other model is doubtful"
    best = "the best one is the same" if same_best else "the best one is another"
    return (
        f"{verdict}: Spearman's rank correlation is {found.value:.2f} over {trials} mixtures (90% of the bootstrap "
        f"samples lie between {found.low:.2f} and {found.high:.2f}), and {best}. It is said to hold from {HOLDS} on, "
        f"with {LEAST_LOW} at least at the interval's lower end and {LEAST_TRIALS} mixtures or more, and not to hold "
        f"below {FAILS}. {_WARNING}."
    )
