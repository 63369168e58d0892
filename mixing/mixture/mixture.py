"""The configuration of a mixture: `configs/mixtures/*.yaml`. All shares in it are shares of TOKENS."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, field_validator, model_validator

from configs.load import StrictModel, load_config
from mixing.mixture.amounts import Exact, Tokens
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.slices import Condition, WhereConfig
from mixing.mixture.spread import SpreadConfig, check_shares

# A mixture's name is a folder's name.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Length = Annotated[int, Field(ge=1)]
Entries = TypeVar("Entries", bound=Sized)
Packing = Literal["concatenate", "best_fit"]


def _no_truth_value(data: object) -> object:
    if isinstance(data, bool):
        raise ValueError("YAML reads this as a truth value, as it does the code of Norwegian: put it in quotes")
    return data


# Of a source, or a glob that stands for several.
SourceName = Annotated[Label, BeforeValidator(_no_truth_value)]


def _not_empty(entries: Entries) -> Entries:
    # A length that pydantic checks would be wrong, too, where an entry is: two messages for one mistake.
    if not entries:
        raise ValueError("there is none; name one at least")
    return entries


class _Choice(StrictModel):
    """What of a source is used: of a source in a category, or of all sources in it that do not say otherwise.

    Attributes:
        max_epochs: how often a text may be read in this stage; None is no cap but that of the whole run.
        min_tokens: shortest documents, their end token among the tokens.
        max_tokens: longest documents.
        where: conditions on the columns of the documents' tables.
    """

    max_epochs: Exact | None = None
    min_tokens: Length | None = None
    max_tokens: Length | None = None
    where: WhereConfig = {}


class SourceConfig(_Choice):
    """A source in a category, in YAML its name alone, or a mapping.

    Attributes:
        name: of a folder of tokens, or a glob that stands for several. A name goes before a glob.
    """

    name: Label

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        data = _no_truth_value(data)
        return {"name": data} if isinstance(data, str) else data


class CategoryConfig(_Choice):
    """A part of a stage: its share of the stage's tokens, and what that is drawn from.

    Attributes:
        share: of the stage's tokens.
        sources: where the tokens come from.
        without: names or globs of sources that `sources` does not stand for.
        spread: how the share falls on the languages, or the sources.
    """

    share: Exact
    sources: Annotated[tuple[SourceConfig, ...], AfterValidator(_not_empty)]
    without: tuple[SourceName, ...] = ()
    spread: SpreadConfig = SpreadConfig()

    def choice(self, source: SourceConfig) -> SourceConfig:
        """Return a source with what it does not say itself taken from the category; `where` is joined by column."""
        own = {name: getattr(source, name) for name in source.model_fields_set}
        common = {name: getattr(self, name) for name in _Choice.model_fields}
        return SourceConfig.model_construct(**common | own | {"where": {**self.where, **source.where}})


class StageConfig(StrictModel):
    """A stage of a training run.

    Attributes:
        name: of the stage.
        tokens: its budget.
        sequence_length: of what the trainer eats; None is the mixture's.
        packing: how documents become sequences: `concatenate`, one stream cut into pieces, or `best_fit`, as whole as
            the sequence allows.
        learning_rate: its plan.
        categories: what the tokens are, by name; their shares sum to 1.
        when_short: what happens if a source has too few tokens under its caps: an `error`, which names what would do,
            or `redistribute`: others of its category, then other categories, give more in proportion.
    """

    name: Label
    tokens: Tokens
    sequence_length: Length | None = None
    packing: Packing = "concatenate"
    learning_rate: LearningRateConfig
    categories: Annotated[dict[Label, CategoryConfig], AfterValidator(_not_empty)]
    when_short: Literal["error", "redistribute"] = "error"

    @field_validator("categories")
    @classmethod
    def _shares_sum_to_one(cls, categories: dict[str, CategoryConfig]) -> dict[str, CategoryConfig]:
        check_shares({name: category.share for name, category in categories.items()}, "the categories' shares")
        return categories

    @model_validator(mode="after")
    def _learning_rate_fits(self) -> Self:
        if self.learning_rate.least_tokens > self.tokens:
            raise ValueError(
                f"stage {self.name!r}: warm-up and decay take {self.learning_rate.least_tokens:,} tokens, the stage "
                f"has {self.tokens:,}"
            )
        return self


class MixtureConfig(StrictModel):
    """Which corpora, in which shares of tokens, for how many tokens, in which stages.

    Attributes:
        name: of the mixture, and of its folder.
        seed: of the order of documents.
        tokenizer: SHA-256 of the tokenizer's file, or a path of it, that the tokens must have been made with; None is
            whatever they were made with, which is one and the same for all sources in any case.
        sequence_length: of stages that do not say otherwise.
        max_epochs: how often a text may be read over all stages; None is no cap.
        max_epochs_of: other caps over all stages, by source or glob; a name goes before a glob.
        validation: names or globs of the sources whose held-out texts a run is measured on, whether a stage draws from
            them or not; None is all that are drawn from.
        stages: in their order.
    """

    name: Name
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    tokenizer: Label | None = None
    sequence_length: Length
    max_epochs: Exact | None = Field(default=1, validate_default=True)
    max_epochs_of: dict[Label, Exact | None] = {}
    validation: Annotated[tuple[SourceName, ...], AfterValidator(_not_empty)] | None = None
    stages: Annotated[tuple[StageConfig, ...], AfterValidator(_not_empty)]

    @field_validator("stages")
    @classmethod
    def _names_are_unique(cls, stages: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
        names = [stage.name for stage in stages]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two stages are called {twice[0]!r}; a stage's name is its own")
        return stages


def load_mixture(path: Path) -> MixtureConfig:
    """Read the configuration of a mixture.

    Raises:
        UserError: one line with everything that is wrong with it.
    """
    return load_config(path, MixtureConfig)


def conditions(choice: SourceConfig) -> dict[str, Condition]:
    """Return all conditions on documents, those on their length among them, by column.

    Raises:
        ValueError: length is bounded twice.
    """
    where = dict(choice.where)
    if choice.min_tokens is not None or choice.max_tokens is not None:
        if "tokens" in where:
            raise ValueError("the length of documents is bounded by `where: tokens` and by min_tokens or max_tokens")
        where["tokens"] = Condition(min=choice.min_tokens, max=choice.max_tokens)
    return where
