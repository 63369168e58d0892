"""Languages that identifiers take for one another, and telling two of them apart by their words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

# Languages that share script and much of their vocabulary, so that a model takes one for the other. A code may stand in
# two groups: Serbian is confused with Croatian in Latin script and with Macedonian in Cyrillic. Codes outside the
# language table are labels of lid.176.
GROUPS: tuple[frozenset[str], ...] = tuple(
    frozenset(codes.split())
    for codes in (
        "id ms min jv su",
        "cs sk",
        "da nb nn no sv",
        "bs hr sh sr sl",
        "be bg mk ru rue sr uk",
        "az azb tk tr uz",
        "ba kk ky tt",
        "bh gom hi mai mr ne sa",
        "an ast ca es ext gl mwl oc pt",
        "arz ar ary",
        "fa mzn prs tg",
        "pnb ur",
        "af nds nl vls",
        "et fi",
        "ja wuu yue zh",
    )
)


def confusable_with(code: str) -> frozenset[str]:
    """Return the languages that a language is confused with, itself among them."""
    return frozenset({code}).union(*(group for group in GROUPS if code in group))


_WORD = re.compile(r"[^\W\d_]+")
# A larger sum changes no probability that anything can see, and must not overflow.
_LARGEST_LOGIT = 30.0


class WordWeights:
    """Tells two languages apart by how much more frequent each word is in one of them (naive Bayes on words).

    The sum of the words' log ratios is divided by the root of their number: words of one text depend on each other, and
    as independent evidence a hundred of them would always be certain.
    """

    def __init__(
        self, languages: tuple[str, str], weights: Mapping[str, float], like_second: Iterable[str] = ()
    ) -> None:
        """Take the weights.

        Args:
            languages: codes of the two languages.
            weights: word in lower case -> log of (frequency in the first / frequency in the second).
            like_second: further languages that these words do not tell from the second one.
        """
        self.languages = languages
        self.family = frozenset({*languages, *like_second})
        self._weights = dict(weights)

    def share_of_first(self, text: str) -> float | None:
        """Return the probability of the first language, given that it is one of them; None where no word is known."""
        known = [self._weights[word] for word in _WORD.findall(text.lower()) if word in self._weights]
        if not known:
            return None
        logit = math.fsum(known) / math.sqrt(len(known))
        return 1 / (1 + math.exp(-max(-_LARGEST_LOGIT, min(_LARGEST_LOGIT, logit))))

    def shares(self, text: str, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the probability of each language of the family, given that it is one of them.

        Args:
            text: any text.
            scores: another model's probabilities; what the words leave to the others is divided as these say.

        Returns:
            Language -> probability, summing to one; empty where no word is known.
        """
        share = self.share_of_first(text)
        if share is None:
            return {}
        first, second = self.languages
        others = {code: scores.get(code, 0.0) for code in sorted(self.family - {first})}
        total = math.fsum(others.values())
        if total <= 0:
            others, total = {second: 1.0}, 1.0
        return {first: share, **{code: (1 - share) * (score / total) for code, score in others.items()}}
