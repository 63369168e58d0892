"""One score for a pair, from its measures: for ranking, and for a threshold on all of them together.

Each measure gives a penalty between 0, up to a good value, and 1, from a bad one on, and linear in between. The score
is the logistic function of an intercept less the weighted penalties, so it never rises when a measure gets worse. It
reads as the probability that people call the pair a translation where as many pairs are none.

The weights were fitted by logistic regression, none below 0, to one half of people's judgements of 51,000 web pairs in
29 language pairs (`benchmarks/parallel_rules.py`); all language pairs count alike. Where those pairs, which a filter
had passed before, held no example of a fault - sides that are equal, markup, symbols and digits instead of letters, a
side that is empty - the weight was set by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filters.parallel.measures import Column


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a measure takes off the score: nothing at `good`, `weight` at `bad`, in the logarithm of the odds."""

    good: float
    bad: float
    weight: float


INTERCEPT = 2.7
PENALTIES: dict[str, Penalty] = {
    "worst_script_ratio": Penalty(1.0, 0.6, 0.93),
    "worst_garbled_ratio": Penalty(0.0, 0.05, 0.61),
    "worst_punctuation_ratio": Penalty(0.03, 0.08, 0.44),
    "worst_upper_ratio": Penalty(0.04, 0.12, 0.79),
    "worst_stop_word_ratio": Penalty(0.5, 0.2, 0.33),
    "worst_repeated_ngram_ratio": Penalty(0.0, 0.3, 0.31),
    "worst_language_score": Penalty(0.95, 0.35, 2.25),
    "length_ratio": Penalty(1.15, 1.6, 1.57),
    "length_deviation": Penalty(0.3, 3.0, 1.52),
    "untranslated_ratio": Penalty(0.0, 0.5, 1.45),
    "number_mismatch": Penalty(0.0, 0.4, 2.74),
    "address_mismatch": Penalty(0.0, 1.0, 0.13),
    "terminal_mismatch": Penalty(0.0, 0.5, 0.63),
    "bracket_mismatch": Penalty(0.0, 1.0, 0.84),
    "mark_mismatch": Penalty(0.0, 0.3, 0.52),
    "upper_mismatch": Penalty(0.0, 0.3, 0.34),
    "cognate_ratio": Penalty(0.5, 0.0, 1.26),
    # By hand: see above.
    "worst_chars": Penalty(1.0, 0.0, 6.0),
    "worst_letter_ratio": Penalty(0.6, 0.3, 2.0),
    "worst_symbol_ratio": Penalty(0.1, 0.3, 2.0),
    "worst_markup_ratio": Penalty(0.0, 0.2, 2.0),
    "similarity": Penalty(0.8, 1.0, 3.0),
}


def pair_scores(columns: Mapping[str, Column]) -> NDArray[np.float64]:
    """Return the score of each pair, shape (N,), between 0 and 1; a measure that is NaN takes nothing off.

    Args:
        columns: values by measure, shape (N,) each; those that `PENALTIES` names are read.

    Raises:
        KeyError: one of them is not there.
    """
    odds: Column = np.full(len(next(iter(columns.values()))), INTERCEPT)
    for name, penalty in PENALTIES.items():
        share = np.clip((columns[name] - penalty.good) / (penalty.bad - penalty.good), 0.0, 1.0)
        odds -= penalty.weight * np.nan_to_num(share)
    return np.asarray(1 / (1 + np.exp(-odds)))


def pair_score(measures: Mapping[str, float]) -> float:
    """Return the score of one pair, as `pair_scores` does."""
    return float(pair_scores({name: np.array([measures[name]]) for name in PENALTIES})[0])
