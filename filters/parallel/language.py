"""Is a side in its language? Language identification, lenient with short texts and with languages that are alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from filters.confusable import confusable_with

# What tells languages: the probabilities of the most probable ones by code, such as `filters.langid.Identifier.scores`.
Scores = Callable[[str], Mapping[str, float]]
# Letters at which an identifier counts half: of three words it is often wrong, of three lines hardly ever.
_HALF_LETTERS = 20.0
# A text of a language that is alike may be of this one, but is less likely to.
_ALIKE = 0.7
_LOOK_CHARS = 1000


def language_scores(texts: Sequence[str], language: str, other: str, identify: Scores | None) -> NDArray[np.float64]:
    """Return how sure it is that each text is in a language, shape (N,), 0 to 1; NaN without an identifier.

    The probability of the language, or 0.7 of that of the languages it is confused with. What is missing to 1 counts
    less in a short text. The language of the other side is never taken for one that is alike: a side that was left
    untranslated is not Norwegian because it is Danish.

    Args:
        texts: N texts.
        language: ISO 639-1 code of the language that they should be in.
        other: that of the other side.
        identify: gives probabilities by language code.
    """
    if identify is None:
        return np.full(len(texts), math.nan)
    alike = sorted(confusable_with(language) - {language, other})
    return np.array([_score(identify(text[:_LOOK_CHARS]), text, language, alike) for text in texts], dtype=np.float64)


def _score(scores: Mapping[str, float], text: str, language: str, alike: Sequence[str]) -> float:
    own = scores.get(language, 0.0)
    probability = min(1.0, max(own, own + _ALIKE * math.fsum(scores.get(code, 0.0) for code in alike)))
    letters = sum(map(str.isalpha, text[:_LOOK_CHARS]))
    return 1.0 - (1.0 - probability) * letters / (letters + _HALF_LETTERS)
