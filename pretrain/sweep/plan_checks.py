"""What a sweep may ask of its runs and tokens: what would do nothing, or say nothing, is refused before any trial."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from configs.errors import UserError
from mixing.mixture.mixture import MixtureConfig, StageConfig
from mixing.mixture.sources import find_sources, match_sources
from mixing.tokens.token_source import TokenSource, load_token_source
from pretrain.run.run_config import RunConfig
from pretrain.sweep.design.share_axes import varied_shares
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Point
from pretrain.sweep.trial_files import ID_COLUMN, ID_DIGITS, Base, mixture_problem, trial_configs, trial_mixture

_HASH = re.compile(f"[0-9a-f]{{{ID_DIGITS}}}")
# Ids of a source that are looked at: corpora of others have no hashes from the first one on.
_LOOKED_AT = 1000


def trained_stages(mixture: MixtureConfig, run: RunConfig) -> list[StageConfig]:
    """Return the stages of a mixture that a run trains."""
    return [stage for stage in mixture.stages if run.stages is None or stage.name in run.stages]


def check_trained_stages(config: SweepConfig, mixture: MixtureConfig, run: RunConfig) -> None:
    """Refuse an axis over shares of stages that are not trained.

    Raises:
        UserError: the axis would change nothing.
    """
    names = {stage.name for stage in trained_stages(mixture, run)}
    for own in varied_shares(config.design, mixture):
        if not names.intersection(own.stages):
            raise UserError(
                f"{own.place}: the shares of {', '.join(own.stages)} vary, and `stages` of {config.run} does not train "
                "that; train it, or let the shares of another stage vary"
            )


def check_early_stopping(config: SweepConfig, mixture: MixtureConfig, run: RunConfig) -> None:
    """Refuse a rule of early stopping that no evaluation of a trial could fulfil.

    Args:
        config: of the sweep.
        mixture: of the base mixture's trial.
        run: of it.

    Raises:
        UserError: between `after` and the end of a trial nothing is evaluated.
    """
    rule = config.early_stopping
    if rule is None:
        return
    end = sum(stage.tokens for stage in trained_stages(mixture, run))
    if not any(rule.after * end <= tokens < end for tokens in _evaluated(mixture, run)):
        every = run.evaluation.every_steps
        told = (
            "only at the ends of stages" if every is None else f"every {every:,} steps of {run.batch.tokens:,} tokens"
        )
        raise UserError(
            f"early_stopping: a trial has {end:,} tokens and is evaluated {told}, never between early_stopping.after "
            f"and its end: lower evaluation.every_steps of {config.run}, or early_stopping.after"
        )


def check_other_proxy(base: Base, larger: Base, first: Point, scratch: Path) -> None:
    """Check the trials of the scaling check.

    Args:
        base: what the trials of the design are made of.
        larger: what those of the check are made of.
        first: the base mixture's point.
        scratch: folder for half-written files.

    Raises:
        UserError: they are the same trials, or the base mixture cannot be made with their tokens.
    """
    if trial_configs(base, first, Path())[1].name == trial_configs(larger, first, Path())[1].name:
        raise UserError(
            "scaling: its runs are those of the sweep, of the same proxy and budget, so they would agree in any case; "
            "give the configuration of another proxy"
        )
    if larger.same_epochs and larger.budget > larger.target:
        raise UserError(
            f"same_epochs: a trial of the scaling check has {larger.budget:,} tokens, the run that is to be paid for "
            f"{larger.target:,}"
        )
    if problem := mixture_problem(trial_mixture(larger, first), larger.tokens, scratch):
        raise UserError(f"scaling: the base mixture cannot be made with its {larger.budget:,} tokens: {problem}")


def check_same_epochs(base: Base) -> None:
    """Check that a part of the documents can be chosen by their ids.

    Raises:
        UserError: ids are no hashes, or the mixture chooses documents by them itself.
    """
    if not base.same_epochs or base.budget >= base.target:
        return
    for stage in base.mixture.stages:
        for label, category in stage.categories.items():
            if any(ID_COLUMN in own.where for own in (category, *category.sources)):
                raise UserError(
                    f"same_epochs: stage {stage.name!r}, category {label!r}: `where` chooses by {ID_COLUMN}, by which "
                    "trials choose their part of the documents; leave one of the two out"
                )
    names = find_sources(base.tokens)
    drawn = {name for stage in base.mixture.stages for name in match_sources(stage, names, base.tokens)}
    drawn.update(name for variant in base.variants.values() for name in variant.values() if name in names)
    for name in sorted(drawn):
        for found in _first_ids(load_token_source(base.tokens / name)):
            if not isinstance(found, str) or not _HASH.fullmatch(found):
                raise UserError(
                    f"same_epochs: the source {name!r} has the document id {found!r:.80}, and a part of the documents "
                    f"is chosen by ids that are hashes of {ID_DIGITS} hexadecimal digits, as corpora that are made "
                    "here have them; leave same_epochs out"
                )


def _evaluated(mixture: MixtureConfig, run: RunConfig) -> Iterator[int]:
    """Yield after how many tokens a trial in one process is evaluated, all its sequences full."""
    step = begin = 0
    for stage in trained_stages(mixture, run):
        length = stage.sequence_length or mixture.sequence_length
        tokens = max(1, run.batch.tokens // length) * length
        steps, every = -(-stage.tokens // tokens), run.evaluation.every_steps
        if every is not None:
            first = step // every + 1
            yield from (begin + (own * every - step) * tokens for own in range(first, (step + steps - 1) // every + 1))
        step, begin = step + steps, begin + steps * tokens
        yield begin


def _first_ids(source: TokenSource) -> list[object]:
    for shard in source.of_split("train"):
        with pq.ParquetFile(source.documents_path(shard)) as table:
            for batch in table.iter_batches(_LOOKED_AT, columns=[ID_COLUMN]):
                found: list[object] = batch.column(0).to_pylist()
                return found
    return []
