"""What stands in `mixtures/<name>/manifest.json`: all that a trainer has to know, down to the checksums of the bytes.

All shares and weights in it are shares of TOKENS: not of samples, which documents of different lengths would bend.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from configs.load import StrictModel
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.mixture import Name, Packing
from mixing.mixture.slices import Condition
from mixing.tokens.token_source import SafeName, TokenizerIdentity

SHARES_ARE = "Shares and weights are shares of a stage's TOKENS, not of its samples or documents."
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A slice lies inside the mixture's own folder.
SliceFile = Annotated[str, StringConstraints(pattern=r"^slices/[^/\\\x00]+\.npy$")]
_ROUNDING = 1e-9


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
        epochs_before: the same, summed over earlier stages.
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
        if abs(weight - 1) > _ROUNDING or tokens != self.tokens:
            raise ValueError(
                f"stage {self.name!r}: weights sum to {weight:.12g}, tokens to {tokens:,} of {self.tokens:,}: the "
                "manifest was changed; run `make mixture` again"
            )
        return self


class ManifestValidation(StrictModel):
    """The validation split of a source: nothing is drawn from it in any stage."""

    source: str
    language: str
    folder: str
    sequences: Count
    tokens: Count
    shards: tuple[ManifestShard, ...]


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
        validation: by language and source.
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
        if self.tokens != sum(stage.tokens for stage in self.stages):
            raise ValueError("tokens is not the sum of the stages: the manifest was changed; run `make mixture` again")
        return self
