"""The profile of a language pair, `profiles/parallel/de-en/thresholds.yaml`: what `make calibrate PAIR=de-en` derived.

It holds for the pair in either direction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from configs.errors import UserError
from configs.load import StrictModel, load_config
from curation.profile import THRESHOLDS, FittedThreshold, RefusedThreshold
from filters.parallel.calibrate import PAIRS, SCORE_MEASURES
from filters.parallel.lengths import LengthModel
from filters.parallel.rules import swapped
from filters.rules import Bounds, out_of_range

PARALLEL = "parallel"


class FittedLengths(StrictModel):
    """What length to expect of a target.

    Attributes:
        ratio: characters of the target for each of the source.
        interval: its confidence interval.
        variance: of the target's characters, by character of the longer side.
        pairs: pairs that it was fitted to.
    """

    ratio: float = Field(gt=0, allow_inf_nan=False)
    interval: tuple[float, float]
    variance: float = Field(gt=0, allow_inf_nan=False)
    pairs: int


class PairThresholdsFile(StrictModel):
    """Thresholds that were fitted to one language pair.

    Attributes:
        pair: codes of source and target language, `de-en`.
        method: how they were fitted, as the settings of the calibration.
        pairs: pairs of the sample.
        date: day of the calibration, ISO 8601.
        input: hash of the sample.
        source: where the sample came from.
        removed_together: share of the sample beyond at least one of the thresholds.
        lengths: what lengths to expect, which the thresholds on lengths and on the score go with; None for the prior of
            the two languages.
        thresholds: those to use, by columns of the measures.
        refused: those that were fitted and not taken.
    """

    pair: str
    method: dict[str, object]
    pairs: int
    date: str
    input: str
    source: str
    removed_together: float = Field(ge=0, le=1)
    lengths: FittedLengths | None = None
    thresholds: tuple[FittedThreshold, ...] = ()
    refused: tuple[RefusedThreshold, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> PairThresholdsFile:
        for threshold in self.thresholds:
            if threshold.measure not in PAIRS.measures:
                raise ValueError(
                    f"unknown measure {threshold.measure!r}; the measures are: {', '.join(PAIRS.measures)}"
                )
            if (reason := out_of_range(threshold.measure, threshold.side, threshold.value, PAIRS)) is not None:
                raise ValueError(reason)
        return self


@dataclass(frozen=True, slots=True)
class PairProfile:
    """What is known of a language pair beyond the defaults.

    Attributes:
        src: code of the source language of the job.
        tgt: of its target language.
        thresholds: the file as it stands; None where there is none.
        turned: the file is of the same languages with source and target swapped.
    """

    src: str
    tgt: str
    thresholds: PairThresholdsFile | None = None
    turned: bool = False

    def bounds(self) -> dict[str, Bounds]:
        """Return the thresholds on measures as bounds by column; a side without a threshold is not set."""
        return self._bounds(name for name in PAIRS.measures if name not in SCORE_MEASURES)

    def score_bounds(self) -> dict[str, Bounds]:
        """Return those on scores by column: `score_rules`, `score_laser_cosine`, `score_laser_margin`."""
        return self._bounds(SCORE_MEASURES)

    @property
    def lengths(self) -> LengthModel | None:
        """What length to expect of a target; None for the prior of the two languages."""
        fitted = self.thresholds.lengths if self.thresholds is not None else None
        if fitted is None:
            return None
        # The variance is measured half-way between the two writings, so it is that of either direction.
        return LengthModel(1 / fitted.ratio if self.turned else fitted.ratio, fitted.variance)

    def _bounds(self, names: Iterable[str]) -> dict[str, Bounds]:
        sides: dict[str, dict[str, float]] = {}
        for threshold in self.thresholds.thresholds if self.thresholds is not None else ():
            column = swapped(threshold.measure) if self.turned else threshold.measure
            sides.setdefault(column, {})[threshold.side] = threshold.value
        return {name: Bounds.model_validate(sides[name]) for name in names if name in sides}


def pair_profile_folder(profiles: Path, src: str, tgt: str) -> Path:
    """Return the folder of a pair's profile."""
    return profiles / PARALLEL / f"{src}-{tgt}"


def load_pair_profile(profiles: Path | None, src: str, tgt: str) -> PairProfile:
    """Return a pair's profile; one without anything where there is none.

    The profile of the other direction holds, too, where there is none of this one.

    Raises:
        UserError: the file is not what it should be.
    """
    if profiles is None:
        return PairProfile(src, tgt)
    for codes in ((src, tgt), (tgt, src)):
        path = pair_profile_folder(profiles, *codes) / THRESHOLDS
        if path.is_file():
            content = load_config(path, PairThresholdsFile)
            if content.pair != "-".join(codes):
                raise UserError(f"{path} is of the pair {content.pair!r}: it was put into the wrong folder")
            return PairProfile(src, tgt, content, turned=codes != (src, tgt))
    return PairProfile(src, tgt)
