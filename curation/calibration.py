"""`make calibrate LANG=el`: thresholds of one language from the measures that a job stored -> its profile.

Rules on text measures by `filters.calibrate`, the confidence of language identification by `filters.lid_thresholds`,
the cut of perplexity and CCNet's buckets by `filters.perplexity_cut`. Every threshold is linted; those that are refused
are written, too, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel
from curation.measured import as_arrays, open_corpus, read_columns, table_hash
from curation.profile import (
    THRESHOLDS,
    FittedThreshold,
    PerplexityBuckets,
    RefusedThreshold,
    ThresholdsFile,
    today,
    write_profile_file,
)
from filters.calibrate import (
    CalibrateConfig,
    Reference,
    Threshold,
    fit_thresholds,
    limit_together,
    lint,
    positions,
    removed_together,
)
from filters.lid_thresholds import fineweb2_threshold, percentile_threshold
from filters.metrics import MEASURES
from filters.perplexity_cut import CutConfig, buckets, upper_cut

# A bootstrap of more scores than this takes minutes and says no more.
_DRAWN = 20_000
# These have methods of their own.
_OWN_METHOD = ("language_score", "perplexity")

Columns = Mapping[str, NDArray[np.float64]]


class LanguageScoreConfig(StrictModel):
    """How the confidence that a document needs is fitted.

    Attributes:
        method: `fineweb2` takes max(0.3, min(0.9, median - sigma)), `percentile` drops the share of lowest confidence.
        share: of `percentile`.
        resamples: of the bootstrap of `fineweb2`.
        max_removed: a threshold that removes a larger share of the sample is refused: median - sigma takes a sixth of
            scores that are normal.
    """

    method: Literal["fineweb2", "percentile"] = "fineweb2"
    share: float = Field(default=0.02, gt=0, lt=1)
    resamples: int = Field(default=200, ge=20)
    max_removed: float = Field(default=0.3, gt=0, le=1)


class CalibrationConfig(StrictModel):
    """How the thresholds of a language are fitted.

    Attributes:
        rules: thresholds of the text measures.
        perplexity: the upper cut of perplexity; null leaves it out.
        language_score: the confidence of language identification; null leaves it out.
        sample: documents that are looked at, those of smallest identifier; null takes all.
    """

    rules: CalibrateConfig = CalibrateConfig()
    perplexity: CutConfig | None = CutConfig()
    language_score: LanguageScoreConfig | None = LanguageScoreConfig()
    sample: int | None = Field(default=500_000, ge=1)


def calibrate_corpus(
    out: Path, language: str, profiles: Path, config: CalibrationConfig, reference: Path | None = None
) -> ThresholdsFile:
    """Fit the thresholds of a finished corpus and write `profiles/<language>/thresholds.yaml`.

    Args:
        out: folder of corpora.
        language: ISO 639-1 code.
        profiles: folder of profiles.
        config: the settings.
        reference: folder of a finished English corpus, `corpora/en`, for the methods that compare with English.

    Raises:
        UserError: there is no such corpus, or the method needs a reference.
    """
    columns, identity = _sample(out, language, config)
    english = _reference(reference) if reference is not None else None
    content = fit_profile(
        columns, language, identity, f"{out / language}, after language identification", config, english
    )
    write_profile_file(profiles / language, THRESHOLDS, content)
    return content


def fit_profile(
    columns: Columns,
    language: str,
    identity: str,
    source: str,
    config: CalibrationConfig,
    reference: Reference | None = None,
) -> ThresholdsFile:
    """Return the thresholds of a language.

    Args:
        columns: values by measure, one for each document; NaN where a document has none.
        language: ISO 639-1 code.
        identity: hash of the sample.
        source: where the sample came from, in words.
        config: the settings.
        reference: where English thresholds lie among English documents.

    Raises:
        UserError: the method needs a reference.
    """
    count = len(next(iter(columns.values())))
    text_columns = {name: values for name, values in columns.items() if name not in _OWN_METHOD}
    try:
        # The seed follows from the sample, so that equal samples get equal intervals.
        fitted = fit_thresholds(text_columns, config.rules, reference, seed=int(identity[-8:], 16))
    except ValueError as error:
        raise UserError(
            f"{error}: REFERENCE=corpora/en names a corpus that was made with the rules for English"
        ) from error
    fitted += _language_score(columns, config)
    cut, borders = _perplexity(columns, config)
    fitted = limit_together(columns, fitted + cut, config.rules)
    return ThresholdsFile(
        language=language,
        method=config.model_dump(mode="json", exclude={"sample"}),
        documents=count,
        date=today(),
        input=identity,
        source=source,
        removed_together=round(removed_together(columns, fitted), 4),
        thresholds=tuple(fitted_threshold(threshold) for threshold in fitted if threshold.refused is None),
        refused=tuple(refused_threshold(threshold) for threshold in fitted if threshold.refused is not None),
        perplexity_buckets=borders,
    )


def _sample(out: Path, language: str, config: CalibrationConfig) -> tuple[Columns, str]:
    corpus = open_corpus(out, language)
    table = read_columns(corpus, ["document_id", *MEASURES])
    if not table.num_rows:
        raise UserError(f"{corpus.folder} holds no document of the language: nothing to calibrate on")
    if config.sample is not None and table.num_rows > config.sample:
        smallest = np.sort(np.argsort(np.asarray(table["document_id"].to_pylist(), dtype="S32"))[: config.sample])
        table = table.take(smallest)
    columns = as_arrays(table, MEASURES)
    return columns, table_hash(table["document_id"], columns)


def _reference(folder: Path) -> Reference:
    corpus = open_corpus(folder.parent, folder.name)
    rules = corpus.rules
    return positions(as_arrays(read_columns(corpus, rules), rules), rules)


def _language_score(columns: Columns, config: CalibrationConfig) -> list[Threshold]:
    scores = _known(columns.get("language_score"))
    if config.language_score is None or not len(scores):
        return []
    settings = config.language_score
    if settings.method == "fineweb2":
        # Sorted, so that the order of the documents makes no difference to what is drawn.
        found = fineweb2_threshold(np.sort(scores)[:: max(1, len(scores) // _DRAWN)], resamples=settings.resamples)
    else:
        found = percentile_threshold(scores, settings.share)
    value, low, high = (round(number, 4) for number in (found.value, found.low, found.high))
    # A threshold that every document of the sample reaches is right for a language that is easily told.
    limits = config.rules.model_copy(update={"min_removed": 0, "max_removed": settings.max_removed})
    refused = lint("language_score", "min", value, scores, limits)
    removed = float((scores < value).mean())
    return [Threshold("language_score", "min", value, low, high, len(scores), removed, refused)]


def _perplexity(columns: Columns, config: CalibrationConfig) -> tuple[list[Threshold], PerplexityBuckets | None]:
    values = _known(columns.get("perplexity"))
    if config.perplexity is None or not len(values):
        return [], None
    nothing = float("nan")
    try:
        cut, borders = upper_cut(values, config.perplexity), buckets(values, least=config.perplexity.min_documents)
    except UserError as error:
        return [Threshold("perplexity", "max", nothing, nothing, nothing, len(values), 0.0, str(error))], None
    value, low, high = (float(f"{number:.5g}") for number in (cut.threshold, cut.low, cut.high))
    removed = float((values > value).mean())
    threshold = Threshold("perplexity", "max", value, low, high, len(values), removed)
    threshold = replace(threshold, refused=lint("perplexity", "max", threshold.value, values, config.rules))
    return [threshold], PerplexityBuckets(middle=round(borders.middle, 2), tail=round(borders.tail, 2))


def _known(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return values[~np.isnan(values)] if values is not None else np.zeros(0)


def fitted_threshold(threshold: Threshold) -> FittedThreshold:
    """Return a threshold as a profile's file has it."""
    return FittedThreshold(
        measure=threshold.measure,
        side=threshold.side,
        value=threshold.value,
        interval=(threshold.low, threshold.high),
        documents=threshold.documents,
        removed=round(threshold.removed, 4),
    )


def refused_threshold(threshold: Threshold) -> RefusedThreshold:
    """Return a threshold that was refused as a profile's file has it."""
    value = None if np.isnan(threshold.value) else threshold.value
    assert threshold.refused is not None
    return RefusedThreshold(measure=threshold.measure, side=threshold.side, value=value, reason=threshold.refused)
