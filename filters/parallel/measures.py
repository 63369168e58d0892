"""All measures of sentence pairs, taken once and stored as columns; rules, calibration and the score read them later.

A measure is a pure function of the two texts and of what is known of their languages. Measures of a side stand in
three columns: `src_` and `tgt_` for each side, and `worst_` for the worse of the two. Marco-LLM (section 3.1.2) filters
by the ratios of special symbols, stop words, digits and repeated words of the source; here both sides are measured, and
what they should have in common. A measure that cannot be taken (no stop words are known) is NaN.

Shape legend: N = pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from filters.metrics import Measure
from filters.parallel.addresses import address_mismatch
from filters.parallel.batch import Batch, batches, join_texts
from filters.parallel.language import Scores, language_scores
from filters.parallel.lengths import LengthModel, expected_lengths
from filters.parallel.marks import mark_measures
from filters.parallel.numbers import number_mismatch
from filters.parallel.overlap import TRANSLITERATED, cognate_ratio, similarity, untranslated_ratio
from filters.parallel.sides import SIDE_MEASURES, character_columns, stop_word_table, word_columns
from filters.words import Segmentation, Words, find_words, segmenter_for

Column = NDArray[np.float64]
# What the two sides say of each other; `Measure.bad` is the side on which bad pairs lie. All are the same when the
# sides change places.
TOGETHER_MEASURES: dict[str, Measure] = {
    "length_ratio": Measure("longer side by shorter side, by what the two languages need; at least 1", "high", None),
    "length_deviation": Measure("difference of the lengths in standard deviations of a translation", "high", None),
    "similarity": Measure("share of letter 3-grams that both sides have", "high"),
    "untranslated_ratio": Measure("share of words, names aside, that stand on the other side as they are", "high"),
    "number_mismatch": Measure("share of numbers that the other side does not have", "high"),
    "address_mismatch": Measure("share of hosts and e-mail addresses that the other side does not have", "high"),
    "terminal_mismatch": Measure("1: a question on one side only, 0.75: one goes on, 0.5: a mark is missing", "high"),
    "bracket_mismatch": Measure("brackets and quotes without a partner on one side only", "high", None),
    "mark_mismatch": Measure("share of punctuation marks that the other side does not have", "high"),
    "upper_mismatch": Measure("difference of the shares of upper-case letters", "high"),
    "cognate_ratio": Measure("share of words of which the other side has one that begins alike", "low"),
}
SIDES = ("src", "tgt", "worst")
# The order is the order of the columns, of the rules and of the report.
PAIR_MEASURES: dict[str, Measure] = {
    **{f"{side}_{name}": measure for name, measure in SIDE_MEASURES.items() for side in SIDES},
    **TOGETHER_MEASURES,
}
# Words that repeat: a letter may be a word where no spaces stand, and function words are short where they do.
_LEAST_LETTERS: dict[Segmentation, int] = {"spaces": 3, "none": 2}
_CASED = frozenset({"Latn", "Grek", "Cyrl", "Armn"})


@dataclass(frozen=True, slots=True)
class PairSide:
    """What is known of the language of one side.

    Attributes:
        language: ISO 639-1 code.
        segmentation: how it separates words.
        scripts: ISO 15924 codes of the scripts that it is written in, the main one first.
        stop_words: its function words; None where none are known.
    """

    language: str
    segmentation: Segmentation
    scripts: tuple[str, ...]
    stop_words: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One side of a batch."""

    batch: Batch
    words: Words
    columns: dict[str, Column] = field(default_factory=dict)


class PairMeasurer:
    """Takes the measures of the pairs of two languages."""

    def __init__(
        self, source: PairSide, target: PairSide, identify: Scores | None = None, lengths: LengthModel | None = None
    ) -> None:
        """Prepare.

        Args:
            source: the language of the sources.
            target: that of the targets.
            identify: gives the probabilities of a text's languages; None leaves `language_score` without a value.
            lengths: what lengths to expect; None takes the prior of the two languages.
        """
        self._source, self._target, self._identify = source, target, identify
        self._lengths = lengths or expected_lengths(
            source.language, source.scripts[0], target.language, target.scripts[0]
        )
        self._stop_words = [None if s.stop_words is None else stop_word_table(s.stop_words) for s in (source, target)]

    def measure(self, sources: Sequence[str], targets: Sequence[str]) -> dict[str, Column]:
        """Return a column of shape (N,) for each name in `PAIR_MEASURES`, in that order.

        A pair's values do not depend on the pairs beside it. Of a text of more than 100,000 characters all but the
        length is measured on the beginning.

        Args:
            sources: N texts.
            targets: N texts.

        Raises:
            ValueError: the two are not equally many.
        """
        if len(sources) != len(targets):
            raise ValueError(f"{len(sources):,} sources and {len(targets):,} targets are no pairs")
        parts = [self._measure(sources[a:b], targets[a:b]) for a, b in batches(sources, targets)]
        return {
            name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0) for name in PAIR_MEASURES
        }

    def measure_pair(self, source: str, target: str) -> dict[str, float]:
        """Return the measures of one pair, as `measure` does."""
        return {name: float(column[0]) for name, column in self.measure([source], [target]).items()}

    def _measure(self, sources: Sequence[str], targets: Sequence[str]) -> dict[str, Column]:
        source = self._prepare(sources, 0)
        target = self._prepare(targets, 1)
        values: dict[str, Column] = {}
        for name, measure in SIDE_MEASURES.items():
            left, right = source.columns[name], target.columns[name]
            worse = np.fmin if measure.bad == "low" else np.fmax
            values |= {f"src_{name}": left, f"tgt_{name}": right, f"worst_{name}": worse(left, right)}
        return values | self._together(source, target)

    def _prepare(self, texts: Sequence[str], number: int) -> _Prepared:
        side, other = (self._source, self._target)[:: 1 if number == 0 else -1]
        batch = join_texts(texts)
        words = find_words(batch.text, batch.points, segmenter_for(side.language, side.segmentation))
        columns = {
            "chars": np.fromiter(map(len, texts), dtype=np.float64, count=len(texts)),
            **character_columns(batch, side.scripts),
            **word_columns(batch, words, self._stop_words[number], _LEAST_LETTERS[side.segmentation]),
            "language_score": language_scores(texts, side.language, other.language, self._identify),
        }
        return _Prepared(batch, words, columns)

    def _together(self, source: _Prepared, target: _Prepared) -> dict[str, Column]:
        left, right = self._source, self._target
        values = {
            **self._lengths.measures(source.columns["chars"], target.columns["chars"]),
            "similarity": similarity(source.batch, target.batch),
            "untranslated_ratio": untranslated_ratio(source.batch, source.words, target.batch, target.words),
            "number_mismatch": number_mismatch(source.batch, target.batch),
            "address_mismatch": address_mismatch(source.batch, target.batch),
            **mark_measures(source.batch, target.batch, (left.language, right.language)),
            **self._comparable(source, target),
        }
        return {name: values[name] for name in TOGETHER_MEASURES}

    def _comparable(self, source: _Prepared, target: _Prepared) -> dict[str, Column]:
        """Return the measures that two scripts of a kind are needed for; NaN for others."""
        left, right = self._source, self._target
        nothing = np.full(source.batch.count, math.nan)
        scripts = {left.scripts[0], right.scripts[0]}
        values = {"upper_mismatch": nothing, "cognate_ratio": nothing}
        if scripts <= _CASED:
            values["upper_mismatch"] = np.abs(source.columns["upper_ratio"] - target.columns["upper_ratio"])
        if scripts <= TRANSLITERATED:
            values["cognate_ratio"] = cognate_ratio(source.batch, source.words, target.batch, target.words)
        return values
