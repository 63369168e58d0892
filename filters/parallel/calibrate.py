"""Thresholds of a language pair, by the methods that fit those of a language (`filters.calibrate`).

What a threshold needs to know of a measure is on which side bad values lie, how large it can be, and whether it is
whole. The methods look this up in the table of the documents' measures; so a pair's measure is fitted under the name of
a document's measure that is the same in all three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from filters.calibrate import CalibrateConfig, Column, Reference, Threshold, fit_thresholds
from filters.metrics import MEASURES
from filters.parallel.measures import PAIR_MEASURES
from filters.rules import BoundSide, out_of_range

# Columns that no threshold is fitted for: the worse side follows from the two.
_DERIVED = "worst_"


def fit_pair_thresholds(
    columns: Mapping[str, Column], config: CalibrateConfig, reference: Reference | None = None, seed: int = 0
) -> list[Threshold]:
    """Return a threshold for each measure of pairs and bad side, the refused ones with their reason.

    Args:
        columns: values by measure of `PAIR_MEASURES`, shape (N,) each; NaN where a pair has none.
        config: method and limits; its `measures` are names of `PAIR_MEASURES`, None for all but the `worst_` ones.
        reference: positions of thresholds among the pairs of other languages, by names of `PAIR_MEASURES`, as
            `filters.calibrate.positions` gives them.
        seed: of the bootstrap.

    Raises:
        ValueError: a measure that does not exist, or a method without the reference that it needs.
    """
    names = _chosen(config.measures)
    fitted = []
    for name in PAIR_MEASURES:
        if name not in names or name not in columns:
            continue
        other = stand_in(name)
        own = None if reference is None else {(other, side): at for (of, side), at in reference.items() if of == name}
        single = config.model_copy(update={"measures": (other,)})
        for threshold in fit_thresholds({other: columns[name]}, single, own, seed):
            refused = threshold.refused and threshold.refused.replace(f" of {other} ", f" of {name} ")
            fitted.append(replace(threshold, measure=name, refused=refused))
    return fitted


def out_of_pair_range(name: str, side: BoundSide, value: float) -> str | None:
    """Return why a threshold lies where no value of a measure of pairs can be, or None."""
    other = stand_in(name)
    reason = out_of_range(other, side, value)
    return reason and reason.replace(f" of {other} ", f" of {name} ").replace("every document", "every pair")


def stand_in(name: str) -> str:
    """Return the first document's measure with the same bad side, limit and wholeness as a measure of pairs."""
    about = PAIR_MEASURES[name]
    shape = (about.bad, about.highest, about.whole)
    return next(other for other, own in MEASURES.items() if (own.bad, own.highest, own.whole) == shape)


def _chosen(measures: Collection[str] | None) -> Collection[str]:
    if measures is None:
        return [name for name in PAIR_MEASURES if not name.startswith(_DERIVED)]
    if unknown := sorted(set(measures) - set(PAIR_MEASURES)):
        raise ValueError(f"unknown measure {unknown[0]!r}; the measures are: {', '.join(PAIR_MEASURES)}")
    return measures
