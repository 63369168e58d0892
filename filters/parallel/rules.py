"""Rules of sentence pairs: which bounds hold for which pair of languages. `filters.rules.decide` tries them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import model_validator

from configs.load import StrictModel
from filters.confusable import confusable_with
from filters.parallel.calibrate import PAIRS
from filters.parallel.measures import PAIR_MEASURES, SIDES, TOGETHER_MEASURES, PairSide
from filters.parallel.sides import SIDE_MEASURES
from filters.rules import Bounds, merge_bounds, out_of_range, sides_of

Rules = Mapping[str, Bounds | None]
# A measure of a side by its bare name stands for both sides.
NAMES = (*SIDE_MEASURES, *PAIR_MEASURES)
_ALPHABETS = frozenset({"Latn", "Grek", "Cyrl"})
_SWAPPED = {"src_": "tgt_", "tgt_": "src_"}

# Set on one half of the judged pairs of `benchmarks/parallel_rules.py`, each so that what it drops is bad far more
# often than the whole. Sides that are no text at all are what those pairs do not hold: their bounds lie where no
# sentence is.
DEFAULT_PAIR_RULES: dict[str, Bounds] = {
    "chars": Bounds(min=1),
    "letter_ratio": Bounds(min=0.45),
    "script_ratio": Bounds(min=0.4),
    "garbled_ratio": Bounds(max=0.02),
    "markup_ratio": Bounds(max=0.1),
    "symbol_ratio": Bounds(max=0.1),
    "punctuation_ratio": Bounds(max=0.35),
    "digit_ratio": Bounds(max=0.35),
    "repeated_word_ratio": Bounds(max=0.7),
    "repeated_ngram_ratio": Bounds(max=0.3),
    "language_score": Bounds(min=0.35),
    "length_ratio": Bounds(max=1.8),
    "length_deviation": Bounds(max=3.5),
    "similarity": Bounds(max=0.9),
    "untranslated_ratio": Bounds(max=0.65),
    "number_mismatch": Bounds(max=0.7),
    "terminal_mismatch": Bounds(max=0.9),
    "bracket_mismatch": Bounds(max=1),
    "mark_mismatch": Bounds(max=0.75),
    "upper_mismatch": Bounds(max=0.6),
}
# How much shorter a text gets in syllables or ideographs depends on its kind.
_DEFAULT_OTHER_SCRIPTS = {"length_ratio": Bounds(max=2.6)}
# A Galician sentence may well be made of Spanish words.
_DEFAULT_ALIKE = {"similarity": Bounds(max=0.98), "untranslated_ratio": Bounds()}


# Where words take their function words in as endings, or the list is short, many a good sentence holds none of them.
_STOP_WORDS_TELL = {
    "af", "bg", "ca", "cs", "da", "de", "en", "es", "fa", "fr", "ga", "gl", "hi", "hu", "it", "ja", "ms", "nl", "no",
    "pl", "pt", "ro", "ru", "sk", "sl", "sv", "th", "vi",
}  # fmt: skip
_DEFAULT_STOP_WORDS = Bounds(min=0.02)


def check_pairs(pairs: Iterable[str]) -> None:
    """Check the names of settings by pair of languages.

    Raises:
        ValueError: one is no pair, or two are the same pair.
    """
    seen: dict[frozenset[str], str] = {}
    for pair in pairs:
        codes = frozenset(pair.split("-"))
        if len(codes) != 2 or len(pair.split("-")) != 2 or "" in codes:
            raise ValueError(f"{pair!r} is no pair of languages; give two codes such as de-en")
        if (other := seen.setdefault(codes, pair)) != pair:
            raise ValueError(f"{other!r} and {pair!r} are the same pair; name it once")


class PairRulesConfig(StrictModel):
    """Thresholds of the rules of pairs.

    A measure of a side is named by itself for both sides (`digit_ratio`), or for one (`src_digit_ratio`,
    `tgt_digit_ratio`) or the worse of both (`worst_digit_ratio`). A later place overrules an earlier one.

    Attributes:
        rules: bounds by measure. A side that is not named keeps its default, a side that is null is switched off, and
            null for a measure switches both off.
        by_language: exceptions by language code for measures of a side, by their bare names: they hold for the side
            that is in the language.
        by_pair: exceptions by pair of languages, `de-en`. They hold for `en-de`, too, with source and target swapped.
    """

    rules: dict[str, Bounds | None] = {}
    by_language: dict[str, dict[str, Bounds | None]] = {}
    by_pair: dict[str, dict[str, Bounds | None]] = {}

    @model_validator(mode="after")
    def _known_measures(self) -> PairRulesConfig:
        for place in (self.rules, *self.by_pair.values()):
            _check(place, NAMES)
        for place in self.by_language.values():
            _check(place, tuple(SIDE_MEASURES))
        check_pairs(self.by_pair)
        return self

    def for_pair(
        self, source: PairSide, target: PairSide, calibrated: Mapping[str, Bounds] | None = None
    ) -> dict[str, Bounds]:
        """Return the rules of a pair of languages by column, in the order in which they are tried.

        Args:
            source: the side of the sources.
            target: that of the targets.
            calibrated: thresholds that were fitted to the pair, by column; they take the place of the defaults, and
                the configuration's own take theirs.

        Raises:
            UserError: a minimum lies above the maximum that another place of the configuration, or the default, gives.
        """
        merged: dict[str, Bounds] = {}
        for place in (_defaults(source, target), calibrated or {}, self.rules):
            _add(merged, place, ("src", "tgt"))
        for side, language in (("src", source.language), ("tgt", target.language)):
            _add(merged, self.by_language.get(language, {}), (side,))
        _add(merged, self.by_pair.get(f"{source.language}-{target.language}", {}), ("src", "tgt"))
        turned = self.by_pair.get(f"{target.language}-{source.language}", {})
        _add(merged, {swapped(name): bounds for name, bounds in turned.items()}, ("src", "tgt"))
        return {name: merged[name] for name in PAIR_MEASURES if name in merged}


def _defaults(source: PairSide, target: PairSide) -> dict[str, Bounds]:
    rules = dict(DEFAULT_PAIR_RULES)
    if not {source.scripts[0], target.scripts[0]} <= _ALPHABETS:
        rules |= _DEFAULT_OTHER_SCRIPTS
    if target.language in confusable_with(source.language):
        rules |= _DEFAULT_ALIKE
    for side, language in (("src", source.language), ("tgt", target.language)):
        if language in _STOP_WORDS_TELL:
            rules[f"{side}_stop_word_ratio"] = _DEFAULT_STOP_WORDS
    return rules


def _add(merged: dict[str, Bounds], place: Rules, sides: tuple[str, ...]) -> None:
    for name, bounds in place.items():
        columns = [f"{side}_{name}" for side in sides] if name in SIDE_MEASURES else [name]
        for column in columns:
            merged[column] = merge_bounds(column, merged.get(column, Bounds()), bounds)


def swapped(name: str) -> str:
    """Return the column that a column becomes when source and target change places."""
    prefix = name[:4]
    return _SWAPPED.get(prefix, prefix) + name[4:]


def _check(place: Rules, names: tuple[str, ...]) -> None:
    if unknown := sorted(set(place) - set(names)):
        bare = names if names == tuple(SIDE_MEASURES) else (*SIDE_MEASURES, *TOGETHER_MEASURES)
        sides = f" (and each of the first {len(SIDE_MEASURES)} with {', '.join(f'{side}_' for side in SIDES)})"
        more = sides if len(names) > len(bare) else ""
        raise ValueError(f"unknown measure {unknown[0]!r}; the measures are: {', '.join(bare)}{more}")
    for name, bounds in place.items():
        column = f"src_{name}" if name in SIDE_MEASURES else name
        for side, value in sides_of(bounds):
            if (reason := out_of_range(column, side, value, PAIRS)) is not None:
                raise ValueError(f"{reason.replace(column, name)}; null switches a side off")
