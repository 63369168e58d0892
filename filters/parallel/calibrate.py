"""Thresholds of a language pair, by the methods that fit those of a language (`filters.calibrate`)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from filters.calibrate import CalibrateConfig, Column, Reference, Threshold, fit_thresholds
from filters.metrics import Measure
from filters.parallel.measures import PAIR_MEASURES
from filters.rules import Subject

# Scores of a pair as a whole, by their columns. A threshold on one of LASER's lies above 0, where a translation's is.
SCORE_MEASURES: dict[str, Measure] = {
    "score_rules": Measure("score of the measures together", "low"),
    "score_laser_cosine": Measure("cosine similarity of the sides' embeddings", "low"),
    "score_laser_margin": Measure("cosine similarity by that of the nearest other sentences", "low", None),
}
PAIRS = Subject("pair", PAIR_MEASURES | SCORE_MEASURES)
# What is usual for these depends on the two languages and on the kind of text: how sure identification is, how long a
# translation, how many marks and capitals. A letter of another script, a number that is missing or a text that was left
# untranslated is a fault in any: fitted to a corpus that is full of them, a bound would let them pass.
FITTED_MEASURES: tuple[str, ...] = (
    "src_language_score", "tgt_language_score", "length_ratio", "length_deviation", "mark_mismatch", "upper_mismatch",
)  # fmt: skip


class PairCalibrateConfig(CalibrateConfig):
    """How thresholds of pairs are fitted: as those of documents, but each takes less.

    A pair that breaks one threshold seldom breaks another, so what they take adds up, on a clean corpus for nothing.

    Attributes:
        percentile, tail, sigmas: as there.
    """

    percentile: float = Field(default=0.5, gt=0, lt=50)
    tail: float = Field(default=0.005, gt=0, lt=0.5)
    sigmas: float | None = Field(default=5.0, gt=0)


def fit_pair_thresholds(
    columns: Mapping[str, Column], config: CalibrateConfig, reference: Reference | None = None, seed: int = 0
) -> list[Threshold]:
    """Return a threshold for each measure of pairs and bad side, the refused ones with their reason.

    Args:
        columns: values by measure of `PAIRS`, shape (N,) each; NaN where a pair has none.
        config: method and limits; its `measures` are names of `PAIRS`, None for `FITTED_MEASURES` and the scores.
        reference: positions of thresholds among the pairs of other languages, by names of `PAIRS`, as
            `filters.calibrate.positions` gives them.
        seed: of the bootstrap.

    Raises:
        ValueError: a measure that does not exist, or a method without the reference that it needs.
    """
    if config.measures is None:
        config = config.model_copy(update={"measures": (*FITTED_MEASURES, *SCORE_MEASURES)})
    return fit_thresholds(columns, config, reference, seed, PAIRS)
