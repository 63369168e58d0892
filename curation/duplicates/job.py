"""Deduplication of all parts of a job, stage by stage. Read this first.

Hashes, band keys, lines and anchors pass through partitions: no task holds more than one part or one partition.

identify      order, id and hash of each document           (identities.py, exact.py, index.py)
same_url      captures of one address                       (same_url.py)
exact         equal texts                                   (exact.py)
minhash       nearly equal texts                            (near_phases.py)
semantic      short texts of nearly one meaning             (semantic.py)
sizes         what each survivor stands for                 (sizes.py)
lines         lines that stand elsewhere, too               (lines.py)
substring     passages that stand elsewhere, too            (substring_tokens.py, substring.py)
cut           what leaves each document                     (cuts.py)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from curation.duplicates.config import DedupStages
from curation.duplicates.context import Context, Found, RunTasks, numbered
from curation.duplicates.cuts import CutPart, cut_part
from curation.duplicates.exact import (
    ExactKeysPart,
    ExactPartition,
    IdentifyPart,
    exact_keys_part,
    exact_partition,
    identify_part,
)
from curation.duplicates.index import IndexedPart, indexed_part
from curation.duplicates.lines import LinesPart, LinesPartition, lines_part, lines_partition
from curation.duplicates.near_phases import find_near
from curation.duplicates.parts import DedupPart
from curation.duplicates.plan import Load, Plan, make_plan
from curation.duplicates.same_url import SameUrlPart, SameUrlPartition, same_url_part, same_url_partition
from curation.duplicates.semantic import EmbedPart, SemanticLanguage, embed_part, semantic_language
from curation.duplicates.sizes import SizesPartition, sizes_partition
from curation.duplicates.substring import RepeatsPartition, repeats_partition
from curation.duplicates.substring_tokens import TokensPart, tokens_part
from curation.stage import code_version
from dedup.lines import LinesConfig
from dedup.semantic import SemanticConfig
from dedup.substring import SubstringConfig
from filters.words import Segmentation

_PARTS_PER_SIZE_PARTITION = 50


class Deduplication:
    """Finds the duplicates among the documents of all parts."""

    def __init__(
        self,
        parts: Sequence[DedupPart],
        documents: int,
        config: DedupStages,
        segmentations: Mapping[str, Segmentation],
        work: Path,
        run: RunTasks,
        indexes: Mapping[int, Path] | None = None,
        plan: Plan | None = None,
    ) -> None:
        """Prepare; nothing is read before `find`.

        Args:
            parts: what takes part, by rising number from 0; parts of a corpus that stands already last.
            documents: number of documents in all of them.
            config: settings by stage.
            segmentations: how words are found, by language.
            work: folder of intermediate results.
            run: runs tasks.
            indexes: files of the index of a corpus that stands already, by number of its parts.
            plan: numbers of partitions; None makes one from the number of documents.
        """
        plan = plan or make_plan(Load(documents), config, workers=1)
        self._context = Context(list(parts), dict(indexes or {}), config, plan, dict(segmentations), work, run)

    def find(self) -> Found:
        """Run all stages that are switched on."""
        context = self._context
        config = context.config
        if context.parts:
            _identify(context)
            if config.same_url is not None:
                _same_url(context)
            if config.exact is not None:
                _exact(context)
            if config.minhash is not None:
                find_near(context, config.minhash)
            if config.semantic is not None:
                _semantic(context, config.semantic)
            _count(context)
            if config.lines is not None:
                _lines(context, config.lines)
            if config.substring is not None:
                _substring(context, config.substring)
            _cut(context)
        return context.found


def _identify(context: Context) -> None:
    bands = context.config.minhash.bands if context.config.minhash is not None else None
    base, found = [part for part in context.parts if part.base], context.found
    manifests = context.on_parts("identify", identify_part, IdentifyPart, {}, context.new_parts)
    if base:
        manifests += context.on_parts(
            "identify",
            indexed_part,
            lambda part: IndexedPart(part, context.indexes[part.number], bands),
            {"bands": bands},
            base,
        )
    for part, manifest in zip([*context.new_parts, *base], manifests, strict=True):
        found.identities[part.number] = manifest.path("identities.arrow")
        found.hashes[part.number] = manifest.path("hashes.arrow")
        if part.base:
            found.signatures[part.number] = manifest.path("signatures.parquet")


def _same_url(context: Context) -> None:
    found, count = context.found, context.plan.partitions("same_url")
    keys = context.on_parts("url_keys", same_url_part, lambda part: SameUrlPart(part, (), count), {"n": count})
    files = tuple(manifest.path("urls.arrow") for manifest in keys)
    payloads = [SameUrlPartition(files, number, found.identities, context.base) for number in range(count)]
    found.add_gone("same_url", context.on_partitions("same_url", same_url_partition, numbered(payloads), count))


def _exact(context: Context) -> None:
    found, count = context.found, context.plan.partitions("exact")
    gone = found.gone_files
    keys = context.on_parts(
        "exact_keys",
        exact_keys_part,
        lambda part: ExactKeysPart(part, found.hashes[part.number], gone, count),
        {"n": count},
    )
    files = tuple(manifest.path("keys.arrow") for manifest in keys)
    payloads = [ExactPartition(files, number, found.identities, context.base) for number in range(count)]
    found.add_gone("exact", context.on_partitions("exact", exact_partition, numbered(payloads), count))


def _semantic(context: Context, config: SemanticConfig) -> None:
    found, gone = context.found, context.found.gone_files
    # The encoder is imported by name: its source is in no task's own code.
    facts = {"config": config.model_dump(), "encoder": code_version(config.encoder.partition(":")[0])}
    embedded = context.on_parts("embed", embed_part, lambda part: EmbedPart(part, gone, config), facts)
    folders = {part.number: manifest.folder for part, manifest in zip(context.parts, embedded, strict=True)}
    payloads = {
        language: SemanticLanguage(language, folders, found.identities, context.base, config)
        for language in sorted(context.segmentations)
    }
    found.add_gone("semantic", context.on_partitions("semantic", semantic_language, payloads, facts))


def _count(context: Context) -> None:
    """Count what each document stands for, stage after stage."""
    found, parts = context.found, len(context.parts)
    count = max(1, -(-parts // _PARTS_PER_SIZE_PARTITION))
    before: tuple[Path, ...] = ()
    for stage, files in found.gone.items():
        payloads = {
            f"{stage}-{number:05d}": SizesPartition(before, files, number, count, parts) for number in range(count)
        }
        manifests = context.on_partitions("sizes", sizes_partition, payloads, count)
        before = tuple(manifest.path("represented.arrow") for manifest in manifests)
    found.sizes, found.size_partitions = before, count


def _lines(context: Context, config: LinesConfig) -> None:
    found, count = context.found, context.plan.partitions("lines")
    gone = found.gone_files
    facts = {"config": config.model_dump(), "n": count}
    keys = context.on_parts("line_keys", lines_part, lambda part: LinesPart(part, gone, config, count), facts)
    files = tuple(manifest.path("lines.arrow") for manifest in keys)
    payloads = [LinesPartition(files, number, found.identities, context.base, config) for number in range(count)]
    found.add_spans("lines", context.on_partitions("lines", lines_partition, numbered(payloads), facts))


def _substring(context: Context, config: SubstringConfig) -> None:
    found, count = context.found, context.plan.partitions("substring")
    gone = found.gone_files
    facts = {"config": config.model_dump(), "n": count, "segmentations": context.segmentations}
    read = context.on_parts(
        "tokens", tokens_part, lambda part: TokensPart(part, gone, context.segmentations, config, count), facts
    )
    anchors = tuple(manifest.path("anchors.arrow") for manifest in read)
    tokens = {part.number: manifest.folder for part, manifest in zip(context.parts, read, strict=True)}
    payloads = [
        RepeatsPartition(number, anchors, tokens, found.identities, context.base, config) for number in range(count)
    ]
    found.add_spans("substring", context.on_partitions("substring", repeats_partition, numbered(payloads), facts))


def _cut(context: Context) -> None:
    """Put together what the stages inside documents found."""
    found = context.found
    if not found.spans:
        return
    gone, minimum, first_stays = found.gone_files, context.config.min_remaining(), context.config.first_stays()
    facts: dict[str, object] = {"minimum": minimum, "first_stays": sorted(first_stays)}
    lost: tuple[Path, ...] = ()

    def payload(part: DedupPart) -> CutPart:
        return CutPart(part, gone, found.spans, minimum, first_stays, lost)

    manifests = context.on_parts("cut", cut_part, payload, facts, context.new_parts)
    if any(manifest.counts["dropped"] for manifest in manifests):
        lost = tuple(manifest.path("lost.npy") for manifest in manifests)
        facts["lost"] = [manifest.files["lost.npy"] for manifest in manifests]
        manifests = context.on_parts("cut_again", cut_part, payload, facts, context.new_parts)
    for part, manifest in zip(context.new_parts, manifests, strict=True):
        found.cuts[part.number] = manifest.path("cuts.parquet")
    found.checksums += [manifest.checksum for manifest in manifests]
