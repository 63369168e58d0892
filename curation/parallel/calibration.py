"""`make calibrate PAIR=de-en`: thresholds of a language pair from the measures that a job stored -> its profile.

Rules on measures and on scores by `filters.parallel.calibrate`, what lengths to expect by `filters.parallel.lengths`.
Every threshold is linted; those that are refused are written, too, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel
from curation.calibration import fitted_threshold, refused_threshold
from curation.parallel.measured import PairSample, open_pair_corpus, read_sample
from curation.parallel.profile import FittedLengths, PairThresholdsFile, pair_profile_folder
from curation.profile import THRESHOLDS, today, write_profile_file
from filters.calibrate import (
    CalibrateConfig,
    Reference,
    Threshold,
    limit_together,
    lint,
    positions,
    quantile_interval,
    removed_together,
)
from filters.lid_thresholds import fineweb2_threshold
from filters.parallel.calibrate import FITTED_MEASURES, PAIRS, SCORE_MEASURES, PairCalibrateConfig, fit_pair_thresholds
from filters.parallel.lengths import LengthModel, fit_lengths
from filters.parallel.rules import swapped
from filters.parallel.score import PENALTIES, pair_scores

# A bootstrap of more scores than this takes minutes and says no more.
_DRAWN = 20_000
# The margin is no number between 0 and 1, so median - sigma, which is held between 0.3 and 0.9, does not fit it.
_SHARES = ("score_rules", "score_laser_cosine")
_CHARS = ("src_chars", "tgt_chars")
# `fit_lengths` takes no fewer.
_LEAST_LENGTHS = 100

Columns = dict[str, NDArray[np.float64]]


class PairScoreConfig(StrictModel):
    """How the scores that a pair needs are fitted.

    Attributes:
        method: `percentile` drops the share of lowest score; `fineweb2` takes max(0.3, min(0.9, median - sigma)), as
            for the confidence of language identification, and for the margin, which may be above 1, the percentile;
            `rules` fits them as the measures are.
        share: of `percentile`.
        resamples: of the bootstrap of `fineweb2`.
        max_removed: a threshold of the first two that removes a larger share of the sample is refused: median - sigma
            takes a sixth of scores that are normal.
    """

    method: Literal["percentile", "fineweb2", "rules"] = "percentile"
    share: float = Field(default=0.05, gt=0, lt=0.5)
    resamples: int = Field(default=200, ge=20)
    max_removed: float = Field(default=0.3, gt=0, le=1)


class PairLengthsConfig(StrictModel):
    """How the lengths to expect are fitted.

    Attributes:
        variance: fit the variance, too; else it is Gale and Church's, for which the combined score was made.
    """

    variance: bool = False


class PairCalibrationConfig(StrictModel):
    """How the thresholds of a language pair are fitted.

    Attributes:
        rules: thresholds of the measures; its `measures` are columns of the pairs', None for those of which it depends
            on the languages what is usual, `filters.parallel.calibrate.FITTED_MEASURES`.
        scores: thresholds of the scores; null leaves them out.
        lengths: what length to expect of a target; null leaves it at the prior of the two languages.
        sample: pairs that are looked at; null takes all.
    """

    rules: PairCalibrateConfig = PairCalibrateConfig()
    scores: PairScoreConfig | None = PairScoreConfig()
    lengths: PairLengthsConfig | None = PairLengthsConfig()
    sample: int | None = Field(default=500_000, ge=1)


def calibrate_pair(
    out: Path, src: str, tgt: str, profiles: Path, config: PairCalibrationConfig, reference: Path | None = None
) -> PairThresholdsFile:
    """Fit the thresholds of a finished parallel corpus and write `profiles/parallel/<src>-<tgt>/thresholds.yaml`.

    Args:
        out: folder of corpora.
        src: code of the source language.
        tgt: of the target language.
        profiles: folder of profiles.
        config: the settings.
        reference: folder of a finished parallel corpus of another pair, `corpora/parallel/en-fr`, for the methods that
            compare with its rules.

    Raises:
        UserError: there is no such corpus, or the method needs a reference.
    """
    corpus = open_pair_corpus(out / "parallel" / f"{src}-{tgt}")
    measures = _measures(config)
    if unknown := sorted(set(measures) - set(PAIRS.measures)):
        raise UserError(f"unknown measure {unknown[0]!r}; the measures are: {', '.join(PAIRS.measures)}")
    # The score is computed anew where lengths are fitted.
    sample = read_sample(corpus, {*measures, *SCORE_MEASURES, *PENALTIES, *_CHARS}, config.sample)
    if not len(sample):
        raise UserError(f"{corpus.folder} holds no pair that was measured: nothing to calibrate on")
    known = _reference(reference, src, tgt, config.sample) if reference is not None else None
    source = f"{corpus.folder}, all pairs that were measured"
    content = fit_pair_profile(sample, f"{src}-{tgt}", source, config, known)
    write_profile_file(pair_profile_folder(profiles, src, tgt), THRESHOLDS, content)
    return content


def fit_pair_profile(
    sample: PairSample, pair: str, source: str, config: PairCalibrationConfig, reference: Reference | None = None
) -> PairThresholdsFile:
    """Return the thresholds of a language pair.

    Args:
        sample: measures and scores of its pairs.
        pair: codes of source and target language, `de-en`.
        source: where the sample came from, in words.
        config: the settings.
        reference: where thresholds lie among the pairs of another language pair.

    Raises:
        UserError: the method needs a reference.
    """
    columns = dict(sample.columns)
    lengths = _lengths(columns, config)
    if lengths is not None:
        columns |= _with_lengths(columns, LengthModel(lengths.ratio, lengths.variance))
    fitted = limit_together(columns, _thresholds(columns, config, reference, sample.identity), config.rules)
    return PairThresholdsFile(
        pair=pair,
        method=config.model_dump(mode="json", exclude={"sample"}),
        pairs=len(sample),
        date=today(),
        input=sample.identity,
        source=source,
        removed_together=round(removed_together(columns, fitted), 4),
        lengths=lengths,
        thresholds=tuple(fitted_threshold(threshold) for threshold in fitted if threshold.refused is None),
        refused=tuple(refused_threshold(threshold) for threshold in fitted if threshold.refused is not None),
    )


def _thresholds(
    columns: Columns, config: PairCalibrationConfig, reference: Reference | None, identity: str
) -> list[Threshold]:
    measures = tuple(name for name in _measures(config) if name not in SCORE_MEASURES)
    # The seed follows from the sample, so that equal samples get equal intervals.
    seed = int(identity[-8:], 16)
    rules = config.rules.model_copy(update={"measures": measures})
    try:
        fitted = fit_pair_thresholds(columns, rules, reference, seed)
        return fitted + _scores(columns, config, reference, seed)
    except ValueError as error:
        raise UserError(f"{error}: REFERENCE=corpora/parallel/en-fr names a finished corpus of another pair") from error


def _measures(config: PairCalibrationConfig) -> tuple[str, ...]:
    return config.rules.measures if config.rules.measures is not None else FITTED_MEASURES


def _scores(columns: Columns, config: PairCalibrationConfig, reference: Reference | None, seed: int) -> list[Threshold]:
    settings = config.scores
    if settings is None:
        return []
    # A score that no pair has was switched off.
    taken = [name for name in SCORE_MEASURES if not np.isnan(columns[name]).all()]
    by_sigma = [name for name in taken if name in _SHARES and settings.method == "fineweb2"]
    rules = config.rules.model_copy(update={"measures": tuple(name for name in taken if name not in by_sigma)})
    if settings.method != "rules":
        own = {"method": "percentile", "percentile": 100 * settings.share, "max_removed": settings.max_removed}
        rules = rules.model_copy(update=own)
    sure = [_median_less_sigma(name, columns[name], config.rules, settings) for name in by_sigma]
    return sure + fit_pair_thresholds(columns, rules, reference, seed)


def _median_less_sigma(
    name: str, column: NDArray[np.float64], rules: CalibrateConfig, settings: PairScoreConfig
) -> Threshold:
    values = np.clip(np.sort(column[~np.isnan(column)]), 0.0, 1.0)  # a cosine may be below 0
    found = fineweb2_threshold(values[:: max(1, len(values) // _DRAWN)], resamples=settings.resamples)
    value, low, high = (round(number, 4) for number in (found.value, found.low, found.high))
    # A threshold that every pair of the sample reaches is right for a clean corpus.
    limits = rules.model_copy(update={"min_removed": 0, "max_removed": settings.max_removed})
    refused = lint(name, "min", value, values, limits, PAIRS)
    return Threshold(name, "min", value, low, high, len(values), float((values < value).mean()), refused)


def _lengths(columns: Columns, config: PairCalibrationConfig) -> FittedLengths | None:
    """Return the lengths to expect; None where they are not asked for, or the pairs are too few."""
    filled = (columns["src_chars"] > 0) & (columns["tgt_chars"] > 0)
    source, target = (columns[name][filled] for name in _CHARS)
    if config.lengths is None or len(source) < max(config.rules.min_documents, _LEAST_LENGTHS):
        return None
    model = fit_lengths(source.astype(np.int64), target.astype(np.int64))
    _, low, high = quantile_interval(target / source, 0.5, config.rules.confidence)
    ratio, low, high = (float(f"{number:.5g}") for number in (model.ratio, low, high))
    variance = float(f"{model.variance:.5g}") if config.lengths.variance else LengthModel(ratio).variance
    return FittedLengths(
        ratio=ratio, interval=(min(low, ratio), max(high, ratio)), variance=variance, pairs=len(source)
    )


def _with_lengths(columns: Columns, model: LengthModel) -> Columns:
    """Return the columns that lengths go into, as a job with this model will measure them."""
    changed = model.measures(columns["src_chars"], columns["tgt_chars"])
    scores = pair_scores(columns | changed)
    return changed | {"score_rules": np.where(np.isnan(columns["score_rules"]), np.nan, scores)}


def _reference(folder: Path, src: str, tgt: str, limit: int | None) -> Reference:
    corpus = open_pair_corpus(folder)
    # A language that both pairs have is compared with itself.
    turned = corpus.src != src and corpus.tgt != tgt and (corpus.src == tgt or corpus.tgt == src)
    found = positions(read_sample(corpus, corpus.rules, limit).columns, corpus.rules)
    return {(swapped(name) if turned else name, side): at for (name, side), at in found.items()}
