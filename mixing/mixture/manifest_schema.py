"""What stands in `mixtures/<name>/manifest.json`: all that a trainer has to know, down to the checksums of the bytes.

All shares and weights in it are shares of TOKENS: not of samples, which documents of different lengths would bend.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from configs.load import StrictModel
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.manifest_checks import CHANGED, ROUNDING, epochs_before, repeated, same_number, slice_fits
from mixing.mixture.mixture import Name, Packing
from mixing.mixture.slices import Condition
from mixing.tokens.token_source import SafeName, TokenizerIdentity

SHARES_ARE = "Shares and weights are shares of a stage's TOKENS, not of its samples or documents."
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A slice lies inside the mixture's own folder.
SliceFile = Annotated[str, StringConstraints(pattern=r"^slices/[^/\\\x00]+\.npy$")]


class ManifestShard(StrictModel):
    """A shard: its name below the source's folder, and what is in it."""

    name: SafeName
    bin_checksum: str
    idx_checksum: str
    sequences: Count
    tokens: Count


class ManifestSlice(StrictModel):
    """The documents that are drawn from, where it is not all of a source's training split.

    Attributes:
        conditions: by column.
        file: NumPy file below the manifest's folder: ascending int64 numbers of documents, counted from 0 through the
            source's shards in the order of the manifest.
        checksum: its xxh3_128.
        documents, tokens: how much that is.
        documents_by_shard: how many of the numbers are of each shard.
    """

    conditions: dict[str, Condition]
    file: SliceFile
    checksum: str
    documents: Count
    tokens: Count
    documents_by_shard: tuple[Count, ...]


class ManifestSource(StrictModel):
    """A source in a stage.

    Attributes:
        source: its name.
        category: that its tokens count for.
        language: of its documents; several are joined by `+`.
        folder: its token folder, relative to the manifest's folder.
        weight: share of the stage's tokens; those of a stage sum to 1.
        tokens: planned for the stage; those of a stage sum to its budget.
        available_tokens: that may be drawn, each counted once: of the chosen documents, or of the training split.
        source_tokens: of the training split.
        epochs: `tokens / available_tokens`.
        epochs_before: how often the documents drawn from were read in earlier stages, on average.
        max_epochs: cap on `epochs`.
        run_max_epochs: cap on the sum over all stages.
        where: the chosen documents; None is all of the training split.
        shards: of the training split, in their order.
    """

    source: str
    category: str
    language: str
    folder: str
    weight: Finite
    tokens: Count
    available_tokens: Annotated[int, Field(ge=1)]
    source_tokens: Annotated[int, Field(ge=1)]
    epochs: Finite
    epochs_before: Finite
    max_epochs: Finite | None
    run_max_epochs: Finite | None
    where: ManifestSlice | None
    shards: tuple[ManifestShard, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        whole = sum(shard.tokens for shard in self.shards)
        available = whole if self.where is None else self.where.tokens
        if (self.source_tokens, self.available_tokens) != (whole, available):
            raise ValueError(
                f"{self.source!r} has {self.source_tokens:,} tokens, {self.available_tokens:,} of them to draw from, "
                f"and its shards have {whole:,} and {available:,}: {CHANGED}"
            )
        if self.where is not None and not slice_fits(
            self.where.documents, self.where.documents_by_shard, [shard.sequences for shard in self.shards]
        ):
            raise ValueError(f"the slice of {self.source!r} has other documents than its shards: {CHANGED}")
        if not same_number(self.epochs, self.tokens / self.available_tokens):
            raise ValueError(
                f"{self.source!r} gives {self.tokens:,} of {self.available_tokens:,} tokens, which is not "
                f"{self.epochs:.12g} epochs: {CHANGED}"
            )
        for epochs, cap in ((self.epochs, self.max_epochs), (self.epochs_before + self.epochs, self.run_max_epochs)):
            if self.tokens and cap is not None and epochs > cap and not same_number(epochs, cap):
                raise ValueError(f"{self.source!r} is read {epochs:.12g} times, and its cap is {cap:g}: {CHANGED}")
        return self


class ManifestCategory(StrictModel):
    """A category of a stage: its share as the configuration has it, the tokens it got, and how they are spread."""

    name: str
    share: str
    tokens: Count
    spread: str


class ManifestStage(StrictModel):
    """A stage."""

    name: str
    tokens: Annotated[int, Field(ge=1)]
    sequence_length: Annotated[int, Field(ge=1)]
    packing: Packing
    learning_rate: LearningRateConfig
    categories: tuple[ManifestCategory, ...]
    sources: tuple[ManifestSource, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        weight, tokens = math.fsum(own.weight for own in self.sources), sum(own.tokens for own in self.sources)
        if abs(weight - 1) > ROUNDING or tokens != self.tokens:
            raise ValueError(
                f"stage {self.name!r}: weights sum to {weight:.12g}, tokens to {tokens:,} of {self.tokens:,}: {CHANGED}"
            )
        for own in self.sources:
            if not same_number(own.weight, own.tokens / self.tokens):
                raise ValueError(
                    f"stage {self.name!r}: the weight of {own.source!r} is {own.weight:.12g}, and it gives "
                    f"{own.tokens:,} of {self.tokens:,} tokens: {CHANGED}"
                )
        for what, names in (("source", [own.source for own in self.sources]), ("category", self._category_names())):
            if twice := repeated(names):
                raise ValueError(f"stage {self.name!r}: the {what} {twice!r} stands there twice: {CHANGED}")
        return self

    @model_validator(mode="after")
    def _categories_add_up(self) -> Self:
        found = dict.fromkeys(self._category_names(), 0)
        for own in self.sources:
            if own.category not in found:
                raise ValueError(f"stage {self.name!r}: {own.source!r} is in no category of the stage: {CHANGED}")
            found[own.category] += own.tokens
        for category in self.categories:
            if found[category.name] != category.tokens:
                raise ValueError(
                    f"stage {self.name!r}: the category {category.name!r} has {category.tokens:,} tokens, and its "
                    f"sources give {found[category.name]:,}: {CHANGED}"
                )
        return self

    def _category_names(self) -> list[str]:
        return [category.name for category in self.categories]


class ManifestValidation(StrictModel):
    """The validation split of a source: nothing is drawn from it in any stage."""

    source: str
    language: str
    folder: str
    sequences: Count
    tokens: Count
    shards: tuple[ManifestShard, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        found = (sum(shard.sequences for shard in self.shards), sum(shard.tokens for shard in self.shards))
        if found != (self.sequences, self.tokens):
            raise ValueError(
                f"the validation texts of {self.source!r} have {self.tokens:,} tokens in {self.sequences:,} sequences, "
                f"its shards {found[1]:,} in {found[0]:,}: {CHANGED}"
            )
        return self


class Manifest(StrictModel):
    """A mixture.

    Attributes:
        name: of the mixture.
        shares: what shares are shares of, in words.
        seed: of the order of documents.
        tokenizer: that all tokens were made with.
        sequence_length: of stages that do not say otherwise.
        tokens: of all stages.
        stages: in their order.
        validation: held-out texts, by language and source; a source may be here that no stage draws from.
        config: the configuration, with all defaults.
        config_hash: SHA-256 of the configuration.
        code_version: hash of the code that wrote the manifest.
        versions: of libraries.
    """

    name: Name
    shares: str
    seed: Count
    tokenizer: TokenizerIdentity
    sequence_length: Annotated[int, Field(ge=1)]
    tokens: Count
    stages: Annotated[tuple[ManifestStage, ...], Field(min_length=1)]
    validation: tuple[ManifestValidation, ...]
    config: dict[str, object]
    config_hash: str
    code_version: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.tokens != (tokens := sum(stage.tokens for stage in self.stages)):
            raise ValueError(f"tokens is {self.tokens:,}, those of the stages sum to {tokens:,}: {CHANGED}")
        if twice := repeated([stage.name for stage in self.stages]):
            raise ValueError(f"two stages are called {twice!r}: {CHANGED}")
        if twice := repeated([own.source for own in self.validation]):
            raise ValueError(f"the validation texts of {twice!r} stand there twice: {CHANGED}")
        drawn: dict[str, list[tuple[str | None, int]]] = {}
        for stage in self.stages:
            for own in stage.sources:
                before, where = drawn.setdefault(own.source, []), None if own.where is None else own.where.checksum
                told = epochs_before(before, where, own.available_tokens)
                if told is not None and not same_number(own.epochs_before, told):
                    raise ValueError(
                        f"stage {stage.name!r}: the stages before read {own.source!r} {told:.12g} times, not "
                        f"{own.epochs_before:.12g} times: {CHANGED}"
                    )
                before += [(where, own.tokens)] if own.tokens else []
        return self
