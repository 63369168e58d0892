"""A mixture's configuration and folders of tokens -> its manifest, stage by stage."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from configs.errors import UserError
from curation.stage import code_version
from mixing.mixture.amounts import decimal_text
from mixing.mixture.budget import Demand, StagePlan, Supply, plan_stage
from mixing.mixture.feasible import short_of_tokens
from mixing.mixture.manifest import manifest_shards
from mixing.mixture.manifest_schema import (
    SHARES_ARE,
    Manifest,
    ManifestCategory,
    ManifestSlice,
    ManifestSource,
    ManifestStage,
    ManifestValidation,
)
from mixing.mixture.mixture import MixtureConfig, SourceConfig, StageConfig, conditions
from mixing.mixture.reads import SourceReads
from mixing.mixture.slices import slice_name, write_slice
from mixing.mixture.sources import (
    Drawn,
    check_tokenizer,
    find_sources,
    load_sources,
    match_sources,
    match_validation,
    measured_sources,
    run_caps,
)
from mixing.tokens.token_source import TokenSource, file_checksum

_LIBRARIES = ("numpy", "pyarrow", "pydantic", "xxhash")


def resolve_mixture(config: MixtureConfig, tokens: Path, fresh: Path, target: Path, deep: bool = False) -> Manifest:
    """Return the manifest of a mixture, its slices written into `fresh`, which will be `target`.

    Raises:
        UserError: as `write_mixture`.
    """
    names = find_sources(tokens)
    drawn = [match_sources(stage, names, tokens) for stage in config.stages]
    trained = {name for stage in drawn for name in stage}
    sources = load_sources(tokens, trained, match_validation(config, names, tokens), deep)
    check_tokenizer(config, sources)
    measured = measured_sources(config, sources, trained, tokens)
    run = _Run(config, sources, run_caps(config, trained), fresh, target)
    stages = tuple(run.stage(stage, own) for stage, own in zip(config.stages, drawn, strict=True))
    plain = config.model_dump(mode="json")
    return Manifest(
        name=config.name,
        shares=SHARES_ARE,
        seed=config.seed,
        tokenizer=next(iter(sources.values())).tokenizer,
        sequence_length=config.sequence_length,
        tokens=sum(stage.tokens for stage in stages),
        stages=stages,
        validation=_validation(measured, target),
        config=plain,
        config_hash=hashlib.sha256(json.dumps(plain, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest(),
        code_version=code_version("mixing.mixture.resolve"),
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


@dataclass(slots=True)
class _Run:
    """The stages of a mixture, resolved one after the other: what one reads, the next has less of.

    Attributes:
        config: the mixture.
        sources: by name.
        caps: on epochs over all stages, by source.
        fresh: folder that slices are written into.
        target: folder that it will be.
        reads: of each source, by the stages so far.
        slices: written so far, by file.
    """

    config: MixtureConfig
    sources: Mapping[str, TokenSource]
    caps: Mapping[str, Fraction | None]
    fresh: Path
    target: Path
    reads: dict[str, SourceReads] = field(default_factory=dict)
    slices: dict[str, ManifestSlice] = field(default_factory=dict)

    def stage(self, stage: StageConfig, drawn: Mapping[str, Drawn]) -> ManifestStage:
        chosen = {name: self._slice(stage, name, own.choice) for name, own in drawn.items()}
        available = {
            name: self.sources[name].totals.tokens if own is None else own.tokens for name, own in chosen.items()
        }
        for name in drawn:
            self.reads.setdefault(name, SourceReads(self.sources[name], self.config.seed, self.fresh))
        demands = self._demands(stage, drawn, chosen, available)
        plan = plan_stage(stage.tokens, demands, stage.when_short == "redistribute")
        if plan.lacks:
            raise short_of_tokens(stage.name, stage.tokens, demands, plan)
        weights = _weights(plan, stage.tokens)
        entries = []
        for name, own in drawn.items():
            tokens, before = plan.sources[name], self.reads[name].read_of(chosen[name])
            self.reads[name].draw(chosen[name], tokens)
            entries.append(
                ManifestSource.model_construct(
                    source=name,
                    category=own.category,
                    language=language_of(self.sources[name]),
                    folder=_relative(self.sources[name].folder, self.target),
                    weight=weights[name],
                    tokens=tokens,
                    available_tokens=available[name],
                    source_tokens=self.sources[name].totals.tokens,
                    epochs=tokens / available[name],
                    epochs_before=before / available[name],
                    max_epochs=_as_float(own.choice.max_epochs),
                    run_max_epochs=_as_float(self.caps[name]),
                    where=chosen[name],
                    shards=manifest_shards(self.sources[name], "train"),
                )
            )
        return ManifestStage(
            name=stage.name,
            tokens=stage.tokens,
            sequence_length=stage.sequence_length or self.config.sequence_length,
            packing=stage.packing,
            learning_rate=stage.learning_rate,
            categories=_categories(stage, plan),
            sources=tuple(entries),
        )

    def _demands(
        self,
        stage: StageConfig,
        drawn: Mapping[str, Drawn],
        chosen: Mapping[str, ManifestSlice | None],
        available: Mapping[str, int],
    ) -> list[Demand]:
        demands = []
        for label, category in stage.categories.items():
            supplies = tuple(
                Supply(
                    name,
                    language_of(self.sources[name]),
                    available[name],
                    self._capacity(name, own, chosen[name], available[name]),
                )
                for name, own in drawn.items()
                if own.category == label
            )
            demand = Demand(label, category.share, category.spread, supplies)
            _check_spread(stage.name, demand)
            demands.append(demand)
        return demands

    def _capacity(self, name: str, own: Drawn, where: ManifestSlice | None, available: int) -> int | None:
        """Return the most tokens that the caps of the stage and of the run leave of a source: see `reads.py`."""
        reads, run = self.reads[name], self.caps[name]
        limits = [] if own.choice.max_epochs is None else [int(own.choice.max_epochs * available)]
        if run is not None:
            whole = self.sources[name].totals.tokens
            limits += [int(run * available) - reads.read_of(where), int(run * whole) - reads.tokens]
        return max(0, min(limits)) if limits else None

    def _slice(self, stage: StageConfig, name: str, choice: SourceConfig) -> ManifestSlice | None:
        """Write the slice of a source, unless a stage before has the same; None where all documents are used."""
        place = f"stage {stage.name!r}, source {name!r}"
        try:
            where = conditions(choice)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{place}: {reason}") from error
        except (ValueError, OverflowError) as error:
            raise UserError(f"{place}: {error}") from error
        if not where:
            return None
        file = f"slices/{slice_name(name, where)}"
        if file not in self.slices:
            path = self.fresh / file
            path.parent.mkdir(exist_ok=True)
            try:
                chosen = write_slice(self.sources[name], where, path)
            except UserError as error:
                raise UserError(f"{place}: {error}") from error
            if not chosen.tokens:
                said = json.dumps({key: own.model_dump(exclude_none=True) for key, own in where.items()})
                raise UserError(f"{place}: no document fulfils {said}; loosen it, or leave the source out")
            self.slices[file] = ManifestSlice(
                conditions=where,
                file=file,
                checksum=file_checksum(path),
                documents=chosen.documents,
                tokens=chosen.tokens,
                documents_by_shard=chosen.by_shard,
            )
        return self.slices[file]


def language_of(source: TokenSource) -> str:
    """Return what stands for a source's languages: its one language or pair, or several joined by `+`."""
    return "+".join(sorted(source.languages)) or source.source


def _check_spread(stage: str, demand: Demand) -> None:
    """Refuse shares that are not given for exactly the languages or sources that there are."""
    spread = demand.spread
    if spread.shares is None:
        return
    found = {own.language if spread.over == "languages" else own.source for own in demand.supplies}
    for what, names in (("lacks", found - spread.shares.keys()), ("has the unknown", spread.shares.keys() - found)):
        if names:
            raise UserError(
                f"stage {stage!r}, category {demand.category!r}: the spread's shares are over {spread.over}, and it "
                f"{what} {', '.join(sorted(names))}; there are: {', '.join(sorted(found))}"
            )


def _weights(plan: StagePlan, tokens: int) -> dict[str, float]:
    """Return shares of a stage's tokens as floats whose exact sum rounds to 1: the largest takes what rounding left."""
    weights = {name: own / tokens for name, own in plan.sources.items()}
    largest = max(weights, key=lambda name: (weights[name], name))
    weights[largest] += 1 - math.fsum(weights.values())
    return weights


def _categories(stage: StageConfig, plan: StagePlan) -> tuple[ManifestCategory, ...]:
    return tuple(
        ManifestCategory(
            name=name,
            share=decimal_text(own.share),
            tokens=plan.categories[name],
            spread=f"over {own.spread.over}: {own.spread.described()}",
        )
        for name, own in stage.categories.items()
    )


def _validation(sources: Mapping[str, TokenSource], target: Path) -> tuple[ManifestValidation, ...]:
    entries = [
        ManifestValidation(
            source=name,
            language=language_of(source),
            folder=_relative(source.folder, target),
            sequences=source.validation.documents,
            tokens=source.validation.tokens,
            shards=manifest_shards(source, "validation"),
        )
        for name, source in sources.items()
    ]
    return tuple(sorted(entries, key=lambda own: (own.language, own.source)))


def _relative(folder: Path, target: Path) -> str:
    """Return a token folder as seen from the mixture's folder: both may move together."""
    return Path(os.path.relpath(folder.resolve(), target.resolve())).as_posix()


def _as_float(number: Fraction | None) -> float | None:
    return None if number is None else float(number)
