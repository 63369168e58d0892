"""Rules: a measure, a direction and a threshold. The first rule that a document breaks is its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError, model_validator

from configs.errors import UserError
from configs.load import StrictModel
from filters.metrics import MEASURES, Measure
from filters.verdict import Verdict
from filters.words import Segmentation

BoundSide = Literal["min", "max"]


class Bounds(StrictModel):
    """Bounds of one measure. None switches a side off; 0 is a value."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: every document would be dropped")
        return self


@dataclass(frozen=True, slots=True)
class Subject:
    """What thresholds judge.

    Attributes:
        unit: what one of them is called.
        measures: what is measured of it, by name, in the order of the columns.
    """

    unit: str
    measures: Mapping[str, Measure]


DOCUMENTS = Subject("document", MEASURES)


def out_of_range(measure: str, side: BoundSide, value: float, subject: Subject = DOCUMENTS) -> str | None:
    """Return why a threshold lies where no value of the measure can be, or None: it would drop all, or nothing."""
    highest = subject.measures[measure].highest
    if math.isfinite(value) and value >= 0 and (highest is None or value <= highest):
        return None
    limit = "no upper limit" if highest is None else f"{highest:g}"
    what = "cannot fire" if (side == "max") == (value > 0) else f"drops every {subject.unit}"
    return f"{side} {value:g} of {measure} is out of the measure's range, 0 to {limit}: it {what}"


def decide(measures: Mapping[str, float], rules: Mapping[str, Bounds]) -> Verdict | None:
    """Return the first rule that the measures break, in the order of `rules`, or None when all hold.

    A rule's name in the ledger is `<measure>.min` or `<measure>.max`. A measure that a document has no value for
    (NaN) breaks no rule.

    Raises:
        KeyError: a rule names a measure that was not taken.
    """
    for name, bounds in rules.items():
        value = measures[name]
        if bounds.min is not None and value < bounds.min:
            return Verdict(f"{name}.min", value, bounds.min)
        if bounds.max is not None and value > bounds.max:
            return Verdict(f"{name}.max", value, bounds.max)
    return None


class RulesConfig(StrictModel):
    """Thresholds of the quality rules.

    The defaults are language-neutral: what no language's prose reaches. The ratios of repetition follow Gopher (Rae et
    al. 2021, table A1), loosened where inflection-poor languages repeat more; the rest was set on web pages of 50
    languages. Calibration replaces them per language.

    Attributes:
        rules: bounds by measure. A side that is not named keeps its default, a side that is null is switched off, and
            null for a measure switches both off.
        by_language: exceptions by language code, then by measure.
        spaces: bounds that hold only for languages that separate words by spaces.
        none: bounds that hold only for languages that do not.
    """

    rules: dict[str, Bounds | None] = {}
    spaces: dict[str, Bounds | None] = {}
    none: dict[str, Bounds | None] = {}
    by_language: dict[str, dict[str, Bounds | None]] = {}

    @model_validator(mode="after")
    def _known_measures(self) -> RulesConfig:
        for place in (self.rules, self.spaces, self.none, *self.by_language.values()):
            if unknown := sorted(set(place) - set(MEASURES)):
                raise ValueError(f"unknown measure {unknown[0]!r}; the measures are: {', '.join(MEASURES)}")
            for name, bounds in place.items():
                for side, value in sides_of(bounds):
                    if (reason := out_of_range(name, side, value)) is not None:
                        raise ValueError(f"{reason}; null switches a side off")
        return self

    def for_language(
        self, language: str, segmentation: Segmentation, calibrated: Mapping[str, Bounds] | None = None
    ) -> dict[str, Bounds]:
        """Return the rules of one language, in the order in which they are tried.

        Args:
            language: ISO 639-1 code.
            segmentation: how the language separates words.
            calibrated: thresholds that were fitted to the language; they take the place of the defaults, and the
                configuration's own take theirs.

        Raises:
            UserError: a minimum lies above the maximum that another place of the configuration, or the default, gives.
        """
        by_segmentation = self.spaces if segmentation == "spaces" else self.none
        merged = DEFAULT_RULES | _DEFAULT_BY_SEGMENTATION[segmentation] | _DEFAULT_BY_LANGUAGE.get(language, {})
        for own in (calibrated or {}, self.rules, by_segmentation, self.by_language.get(language, {})):
            for name, bounds in own.items():
                merged[name] = merge_bounds(name, merged.get(name, Bounds()), bounds)
        return {name: merged[name] for name in MEASURES if name in merged}


def sides_of(bounds: Bounds | None) -> list[tuple[BoundSide, float]]:
    """Return the sides of a rule that are set, with their values; a rule that is switched off has none."""
    sides: tuple[tuple[BoundSide, float | None], ...] = (
        (("min", bounds.min), ("max", bounds.max)) if bounds is not None else ()
    )
    return [(side, value) for side, value in sides if value is not None]


def merge_bounds(name: str, default: Bounds, own: Bounds | None) -> Bounds:
    """Return the bounds of a rule when `own` overrules `default`: a side that is not named keeps its default.

    Raises:
        UserError: the minimum lies above the maximum.
    """
    if own is None:
        return Bounds()
    sides = default.model_dump() | {side: getattr(own, side) for side in own.model_fields_set}
    try:
        return Bounds.model_validate(sides)
    except ValidationError as error:
        message = f"the rule on {name} has min {sides['min']} above max {sides['max']}; a side that is not named keeps"
        raise UserError(f"{message} its default, null switches it off") from error


DEFAULT_RULES: dict[str, Bounds] = {
    "symbol_ratio": Bounds(max=0.1),
    "punctuation_ratio": Bounds(max=0.25),
    "digit_ratio": Bounds(max=0.25),
    "script_ratio": Bounds(min=0.5),
    "garbled_ratio": Bounds(max=0.01),
    "short_line_ratio": Bounds(max=0.9),
    "unfinished_line_ratio": Bounds(max=0.8),
    "ellipsis_line_ratio": Bounds(max=0.5),
    "duplicate_line_ratio": Bounds(max=0.3),
    "duplicate_paragraph_ratio": Bounds(max=0.3),
    "top_2gram_ratio": Bounds(max=0.2),
    "top_3gram_ratio": Bounds(max=0.18),
    "top_4gram_ratio": Bounds(max=0.16),
    "duplicate_5gram_ratio": Bounds(max=0.4),
    "duplicate_10gram_ratio": Bounds(max=0.2),
    "own_language_ratio": Bounds(min=0.5),
    "language_score": Bounds(min=0.5),
}
_DEFAULT_BY_SEGMENTATION: dict[Segmentation, dict[str, Bounds]] = {
    "spaces": {
        "chars": Bounds(min=200),
        "words": Bounds(min=40),
        "prose_chars": Bounds(min=350),
        "mean_word_length": Bounds(min=2.5, max=12),
        "top_word_ratio": Bounds(max=0.2),
        "repeated_run_ratio": Bounds(max=0.05),
    },
    # A letter carries more of the text here, and frequent letters are more frequent than frequent words.
    "none": {"chars": Bounds(min=100), "prose_chars": Bounds(min=140), "top_word_ratio": Bounds(max=0.3)},
}
# Thai, Lao and Khmer end sentences with a space, so that no line holds a sentence's end; and their letters are those
# of an alphabet, of which a text has as many as elsewhere.
_DEFAULT_BY_LANGUAGE: dict[str, dict[str, Bounds]] = {
    language: {"unfinished_line_ratio": Bounds(), "prose_chars": Bounds(), "chars": Bounds(min=200)}
    for language in ("th", "lo", "km")
}
