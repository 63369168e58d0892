"""What was measured on held-out texts, and what it says: how a model adapts to languages, and what it forgets.

Bits per byte compare across tokenizers and languages: the negative log likelihoods of all predicted tokens in bits, the
ends of documents among them, by the UTF-8 bytes of the text that those tokens stand for (L. Gao et al., The Pile, arXiv
2101.00027, section 3.1). The first token of a document, or of a part that it was cut into, is not predicted: neither
its likelihood nor its bytes count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field

from configs.load import StrictModel, validate_config
from pretrain.run.run_config import EvaluationConfig

Count = Annotated[int, Field(ge=0)]
Kind = Literal["adaptation", "forgetting"]


class Loss(StrictModel):
    """Of held-out texts in a language.

    Attributes:
        language: of the texts; several are joined by `+`.
        tokens: that were predicted.
        bytes: that they stand for.
        nll: sum of their negative log likelihoods, natural; None where it is not finite.
    """

    language: str
    tokens: Count
    bytes: Count
    nll: Annotated[float, Field(allow_inf_nan=False)] | None

    @property
    def loss(self) -> float | None:
        """Mean by token, in nats; None where nothing was predicted, or not finitely."""
        return None if self.nll is None or not self.tokens else self.nll / self.tokens

    @property
    def bits_per_byte(self) -> float | None:
        """None where nothing was predicted, or not finitely."""
        return None if self.nll is None or not self.bytes else self.nll / math.log(2) / self.bytes

    def facts(self) -> dict[str, object]:
        """Return it with what follows from it, as JSON can hold it."""
        return {**self.model_dump(mode="json"), "loss": self.loss, "bits_per_byte": self.bits_per_byte}


class SourceLoss(Loss):
    """Of the held-out texts of a source; `category` is the one where it is drawn from first, None where it never is."""

    source: str
    category: str | None


class Evaluation(StrictModel):
    """What was measured after a step: by source as in the manifest; those without held-out texts are last."""

    step: Count
    sources: tuple[SourceLoss, ...]

    def languages(self) -> tuple[Loss, ...]:
        """Return the sums by language, in their order."""
        found = []
        for language in sorted({own.language for own in self.sources}):
            own = [source for source in self.sources if source.language == language]
            nlls = [source.nll for source in own if source.nll is not None]
            nll = math.fsum(nlls) if len(nlls) == len(own) else None
            tokens, octets = sum(source.tokens for source in own), sum(source.bytes for source in own)
            found.append(Loss(language=language, tokens=tokens, bytes=octets, nll=nll))
        return tuple(found)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON can hold it, with what follows from it."""
        sources, languages = ([own.facts() for own in each] for each in (self.sources, self.languages()))
        return {"step": self.step, "sources": sources, "languages": languages}

    @classmethod
    def from_json(cls, data: Mapping[str, object], where: str) -> Self:
        """Return what `to_json` wrote.

        Raises:
            UserError: the data is damaged; `where` says what it is.
        """
        rows = data.get("sources")
        own = {
            "step": data.get("step"),
            "sources": [
                {name: value for name, value in row.items() if name in SourceLoss.model_fields}
                if isinstance(row, dict)
                else row
                for row in (rows if isinstance(rows, list) else [rows])
            ],
        }
        return validate_config(own, cls, where)


class Change(NamedTuple):
    """How a language stands against the first evaluation.

    Attributes:
        language: its code.
        kind: whether it adapts, or may be forgotten.
        first, now: bits per byte; None where they are not known, or not finite.
        same: whether the same tokens were predicted both times.
    """

    language: str
    kind: Kind
    first: float | None
    now: float | None
    same: bool

    @property
    def change(self) -> float | None:
        """Rise of the bits per byte, as a part of the first ones; below 0 is better than then."""
        return None if self.first is None or self.now is None or self.first <= 0 else self.now / self.first - 1


def compare(now: Evaluation, first: Evaluation, forgetting: Sequence[str]) -> tuple[Change, ...]:
    """Return how languages changed since the first evaluation: those that adapt, then those that may be forgotten.

    A language without held-out texts has a row, too: nobody would know what the model gains or loses there.
    """
    before = {own.language: own for own in first.languages()}
    after = {own.language: own for own in now.languages()}
    adapting = sorted({*before, *after} - set(forgetting))
    kinds: list[tuple[str, Kind]] = [(language, "adaptation") for language in adapting]
    kinds += [(language, "forgetting") for language in dict.fromkeys(forgetting)]
    found = []
    for language, kind in kinds:
        old, new = before.get(language), after.get(language)
        same = old is not None and new is not None and (old.tokens, old.bytes) == (new.tokens, new.bytes)
        then, later = (None if each is None else each.bits_per_byte for each in (old, new))
        found.append(Change(language, kind, then, later, same))
    return tuple(found)


def warnings(changes: Sequence[Change], config: EvaluationConfig) -> tuple[str, ...]:
    """Return a line for each language that the model forgets more of than it may."""
    limit = config.max_forgetting
    found = []
    for own in changes:
        if limit is None or own.kind != "forgetting" or own.first is None:
            continue
        if own.now is None:
            found.append(f"forgetting: the held-out loss of {own.language} is not finite any more")
        elif own.change is not None and own.change > limit:
            found.append(
                f"forgetting: {own.language} rose from {own.first:.4f} to {own.now:.4f} bits per byte, "
                f"{own.change:+.1%}; max_forgetting is {limit:.1%}: mix in more of it, or lower the learning rate"
            )
    return tuple(found)


def change_table(changes: Sequence[Change]) -> str:
    """Return the changes as lines of text."""
    lines = [f"{'':12}{'language':16}{'step 0':>9}{'now':>9}{'change':>9}  bits per byte"]
    for own in changes:
        values = "".join("        -" if value is None else f"{value:9.4f}" for value in (own.first, own.now))
        change = "        -" if own.change is None else f"{own.change:+9.2%}"
        note = "" if own.same else "  on other tokens than at step 0"
        if own.first is None and own.now is None:
            note = "  no held-out texts"
        lines.append(f"{own.kind:12}{own.language:16.16}{values}{change}{note}")
    return "\n".join(lines)
