"""How long a translation is: the characters that languages need to say the same.

The priors are characters of the 31 articles (with the preamble) of the Universal Declaration of Human Rights in each
language by those of the English text. A pair of languages is expected to stand in the ratio of its two numbers; a model
can be fitted to a corpus of the pair instead. The deviation in standard deviations is Gale and Church's (1993,
section 3): the variance of a translation's length grows with the length.

Shape legend: N = pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RELATIVE_LENGTH = {
    "af": 0.98, "am": 0.63, "ar": 0.71, "az": 1.01, "be": 1.07, "bg": 1.07, "bn": 0.91, "bs": 0.93, "ca": 1.03,
    "cs": 0.92, "cy": 0.95, "da": 1.02, "de": 1.12, "el": 1.17, "en": 1.0, "eo": 0.93, "es": 1.12, "et": 1.01,
    "eu": 1.03, "fa": 0.85, "fi": 1.04, "fr": 1.12, "ga": 1.09, "gl": 1.06, "gu": 0.94, "ha": 1.35, "he": 0.68,
    "hi": 1.02, "hr": 0.93, "hu": 1.13, "hy": 1.04, "id": 1.18, "is": 0.96, "it": 1.12, "ja": 0.39, "ka": 1.1,
    "kk": 1.03, "km": 1.0, "kn": 0.99, "ko": 0.44, "ky": 1.09, "lo": 0.98, "lt": 1.02, "lv": 0.98, "mg": 1.11,
    "mk": 1.01, "mr": 1.08, "ms": 1.18, "mt": 1.05, "my": 1.42, "nb": 0.96, "ne": 0.85, "nl": 1.2, "nn": 0.94,
    "no": 0.96, "pa": 0.99, "pl": 1.05, "ps": 0.94, "pt": 1.07, "ro": 1.12, "ru": 1.1, "si": 0.99, "sk": 0.95,
    "sl": 0.97, "so": 1.08, "sq": 1.04, "sr": 0.89, "sv": 1.0, "sw": 0.94, "ta": 1.24, "te": 1.04, "tg": 0.97,
    "th": 0.87, "tl": 1.16, "tr": 0.97, "uk": 1.01, "ur": 0.9, "uz": 1.14, "vi": 1.21, "yo": 1.2, "zh": 0.26,
}  # fmt: skip
# The medians of the languages of a script, for a language that is not listed; 1 for any other script.
_RELATIVE_LENGTH_OF_SCRIPT = {
    "Latn": 1.04, "Cyrl": 1.03, "Arab": 0.88, "Hebr": 0.68, "Ethi": 0.63, "Jpan": 0.39, "Kore": 0.44, "Hans": 0.26,
    "Hant": 0.26, "Hani": 0.26, "Thai": 0.87, "Mymr": 1.42,
}  # fmt: skip
# Variance of a length in characters, by character (Gale and Church 1993, section 3).
_VARIANCE = 6.8
# A word more or less is no sign in a heading: lengths are compared as if each had this many characters more.
_SMOOTHING = 12.0
_LEAST_PAIRS = 100


@dataclass(frozen=True, slots=True)
class LengthModel:
    """What length to expect of a target.

    Attributes:
        ratio: characters of the target for each of the source.
        variance: variance of the target's characters, by character of the longer side.
    """

    ratio: float
    variance: float = _VARIANCE

    def measures(self, source: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return `length_ratio` (at least 1) and `length_deviation` (standard deviations, at least 0).

        Args:
            source: characters of the sources, shape (N,).
            target: characters of the targets, shape (N,).
        """
        # Both in characters of the side with the shorter writing, so that the two directions are alike.
        scale = math.sqrt(self.ratio)
        left, right = source * scale, target / scale
        low, high = np.minimum(left, right), np.maximum(left, right)
        return {
            "length_ratio": (high + _SMOOTHING) / (low + _SMOOTHING),
            "length_deviation": (high - low) / np.sqrt(self.variance * np.maximum(high, 1.0)),
        }


def expected_lengths(source: str, source_script: str, target: str, target_script: str) -> LengthModel:
    """Return the prior of a pair of languages (ISO 639-1) that are written in these scripts (ISO 15924)."""
    return LengthModel(_relative(target, target_script) / _relative(source, source_script))


def fit_lengths(source: Iterable[int], target: Iterable[int]) -> LengthModel:
    """Return the model of a corpus: the median ratio, and the variance by the median deviation, so that pairs that are
    no translations weigh little.

    Args:
        source: characters of the sources.
        target: characters of the targets, in the same order. Pairs with an empty side are left out.

    Raises:
        ValueError: fewer than 100 pairs.
    """
    left, right = np.array(list(source), dtype=np.float64), np.array(list(target), dtype=np.float64)
    filled = (left > 0) & (right > 0)
    left, right = left[filled], right[filled]
    if len(left) < _LEAST_PAIRS:
        raise ValueError(f"{len(left):,} pairs are too few to fit lengths to: give {_LEAST_PAIRS} or more")
    ratio = float(np.median(right / left))
    deviations = LengthModel(ratio, 1.0).measures(left, right)["length_deviation"]
    # 0.6745 is the median of the absolute value of a standard normal variable.
    return LengthModel(ratio, max(0.01, (float(np.median(deviations)) / 0.6745) ** 2))


def _relative(language: str, script: str) -> float:
    return _RELATIVE_LENGTH.get(language, _RELATIVE_LENGTH_OF_SCRIPT.get(script, 1.0))
