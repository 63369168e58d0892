"""The phases of a parallel job that take more than one step: equal pairs, LASER, and what each survivor stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from curation.duplicates.context import numbered
from curation.duplicates.parts import DedupPart
from curation.duplicates.sizes import SizesPartition, sizes_partition
from curation.parallel.config import EqualConfig, LaserStageConfig
from curation.parallel.context import PairContext
from curation.parallel.equal import EqualPartition, PairKeys, Sides, equal_partition, pair_keys, partitions_for
from curation.parallel.laser import (
    EMBEDDINGS,
    LEFT,
    EncodePairs,
    JudgePairs,
    LeftPairs,
    ScorePairs,
    encode_pairs,
    judge_pairs,
    left_pairs,
    score_pairs,
)
from curation.parallel.laser_files import LaserFiles
from curation.store import Manifest
from filters.rules import Bounds

_PARTS_PER_SIZE_PARTITION = 50


def drop_equal(context: PairContext, sides: Sides, config: EqualConfig | None) -> None:
    """Find the pairs with equal texts on both sides or on one, among those that no earlier stage took."""
    if config is None or not context.parts:
        return
    gone = context.every_gone_file
    # As many partitions as the pairs that were read need: they stay the same whatever the thresholds.
    count = partitions_for(sum(manifest.counts["pairs"] for manifest in context.measured))

    def payload(part: DedupPart) -> PairKeys:
        laser = context.scored[part.number].path("scores.parquet") if context.scored else None
        return PairKeys(part, gone, sides, context.measured[part.number].path("measures.parquet"), laser, count)

    def facts(part: DedupPart) -> dict[str, object]:
        scores = [own[part.number].checksum for own in (context.measured, context.scored) if own]
        return {"n": count, "scores": scores}

    sent = context.on_parts(f"{sides}_keys", pair_keys, payload, facts)
    paths = tuple(manifest.path("keys.arrow") for manifest in sent)
    payloads = [EqualPartition(paths, number, config.keep) for number in range(count)]
    every = {"keys": [own.checksum for own in sent], "keep": config.keep, "n": count}
    context.gone[sides] = context.on_partitions(sides, equal_partition, numbered(payloads), every)


def score_by_laser(
    context: PairContext, config: LaserStageConfig, files: tuple[LaserFiles, ...], rules: dict[str, Bounds]
) -> None:
    """Score the pairs that are left, hold the scores against the rules, and leave those that stay."""
    gone = context.every_gone_file
    left = context.on_parts("left", left_pairs, lambda part: LeftPairs(part, gone), lambda part: {})
    texts = [
        EncodePairs(part.documents, own.path(LEFT), files, config.encoder)
        for part, own in zip(context.parts, left, strict=True)
    ]
    facts: dict[str, object] = {
        "files": [own.checksums() for own in files],
        "encoder": config.encoder.model_dump(),
    }
    stored: list[Path | None] = [None] * len(texts)
    if config.cache:
        encoded = context.on_texts("encode", encode_pairs, texts, left, facts)
        stored = [manifest.path(EMBEDDINGS) for manifest in encoded]
    payloads = [
        ScorePairs(own, path, config.neighbours, config.pool_pairs) for own, path in zip(texts, stored, strict=True)
    ]
    facts |= {"neighbours": config.neighbours, "pool": config.pool_pairs}
    context.scored = context.on_texts("score", score_pairs, payloads, left, facts)

    def judge(part: DedupPart) -> JudgePairs:
        scores = context.scored[part.number].path("scores.parquet")
        return JudgePairs(part.documents, left[part.number].path(LEFT), scores, rules, context.pair)

    bounds = {name: own.model_dump() for name, own in rules.items()}
    context.judged = context.on_parts(
        "judge", judge_pairs, judge, lambda part: {"rules": bounds, "scores": context.scored[part.number].checksum}
    )
    context.parts = [
        replace(part, kept=own.path("kept.parquet"), checksum=part.checksum + own.checksum)
        for part, own in zip(context.parts, context.judged, strict=True)
    ]


def count_sizes(context: PairContext) -> tuple[tuple[Path, ...], int]:
    """Return the files of what each survivor stands for, stage after stage, and how many partitions they have."""
    parts = len(context.parts)
    count = max(1, -(-parts // _PARTS_PER_SIZE_PARTITION))
    before: list[Manifest] = []
    for stage, found in context.gone.items():
        earlier = tuple(own.path("represented.arrow") for own in before)
        facts = {"found": [own.checksum for own in found], "before": [own.checksum for own in before], "parts": parts}
        payloads = {
            f"{stage}-{number:05d}": SizesPartition(earlier, context.gone_files[stage], number, count, parts)
            for number in range(count)
        }
        before = context.on_partitions("sizes", sizes_partition, payloads, {**facts, "n": count})
    return tuple(own.path("represented.arrow") for own in before), count
