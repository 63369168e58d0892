"""Language identification with a fastText model (Joulin et al. 2016): label and confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fasttext
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel
from filters.rules import Verdict


class LangIdConfig(StrictModel):
    """Language identification of the extracted text.

    Attributes:
        model: path of a fastText model (lid.176, GlotLID, OpenLID ...); None takes the lid.176.ftz of the dependency.
        min_score: lowest confidence at which a document is kept; None keeps every confidence.
        min_score_by_language: exceptions by language code.
        max_chars: characters that are looked at, from the start of the text.
    """

    model: str | None = None
    min_score: float | None = Field(default=0.5, ge=0, le=1)
    min_score_by_language: dict[str, float | None] = {}
    max_chars: int = Field(default=5000, ge=100)

    def threshold(self, language: str) -> float | None:
        """Return the lowest confidence for a language, or None where every confidence is kept."""
        return self.min_score_by_language.get(language, self.min_score)


@dataclass(frozen=True, slots=True)
class Guess:
    """The most probable language: a code of the language table, or the model's own label outside of it."""

    language: str
    score: float


class LanguageIdentifier:
    """A fastText language identification model."""

    def __init__(self, path: Path, code_of_label: Callable[[str], str | None]) -> None:
        """Load the model.

        Args:
            path: the model file.
            code_of_label: maps a label of the model to a code of the language table, or None.

        Raises:
            UserError: the file is missing or is no fastText model.
        """
        if not path.is_file():
            raise UserError(f"no language identification model at {path}")
        try:
            self._model = fasttext.FastText._FastText(model_path=str(path))
        except ValueError as error:
            raise UserError(f"{path} is not a fastText model: {error}") from error
        labels = self._model.get_labels()
        self._codes = {label: code_of_label(label) or label.removeprefix("__label__") for label in labels}

    def scores(self, text: str, labels: int = 5) -> dict[str, float]:
        """Return the probabilities of the `labels` most probable languages, summed where labels share a code."""
        scores: dict[str, float] = {}
        # The binding below `predict` skips its numpy arrays: half the time on short texts.
        for score, label in self._model.f.predict(_one_line(text), labels, 0.0, "replace"):
            code = self._codes[label]
            scores[code] = scores.get(code, 0.0) + float(score)
        return scores

    def identify(self, text: str) -> Guess:
        """Return the most probable language of a text; ties go to the smaller code. Score 0 where there is no text."""
        scores = self.scores(text, 2)
        if not scores:
            return Guess("und", 0.0)
        language = min(scores, key=lambda code: (-scores[code], code))
        # fastText's softmax can sum to slightly more than one.
        return Guess(language, min(1.0, scores[language]))


def judge(guess: Guess, targets: frozenset[str], config: LangIdConfig) -> Verdict | None:
    """Return why a document is not kept for any target language, or None."""
    if guess.language not in targets:
        return Verdict("language", guess.score, None, guess.language)
    threshold = config.threshold(guess.language)
    if threshold is not None and guess.score < threshold:
        return Verdict("language_score", guess.score, threshold, guess.language)
    return None


def _one_line(text: str) -> str:
    # fastText refuses line feeds and lone surrogates, and a NUL ends its string.
    return text.replace("\n", " ").replace("\x00", " ").encode("utf-8", "replace").decode()
