"""What differs between two manifests: settings, stages, shares of categories, tokens and bytes of sources.

The bytes of held-out texts count, too: losses on others do not compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from curation.charts import number, share
from mixing.mixture.manifest_schema import Manifest, ManifestSource, ManifestStage, ManifestValidation
from mixing.mixture.report_utilization import plan_words
from mixing.mixture.utilization import usage_rows, utilization


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        place: where it is: `mixture`, a stage, a stage and category or source.
        what: of it that differs.
        before, after: as text; empty where it is not there.
    """

    place: str
    what: str
    before: str
    after: str


def compare_manifests(before: Manifest, after: Manifest) -> list[Change]:
    """Return the differences, the mixture's first, then stage by stage; none for manifests that train alike,
    and are measured alike.

    What says where and with which code a manifest was made is no difference: folders, versions, hashes.
    """
    changes = list(_changed("mixture", _facts(before), _facts(after)))
    stages = {stage.name: stage for stage in after.stages}
    for stage in before.stages:
        if stage.name not in stages:
            changes.append(Change(f"stage {stage.name}", "tokens", f"{stage.tokens:,}", ""))
        else:
            changes += _stage_changes(stage, stages.pop(stage.name))
    changes += [Change(f"stage {name}", "tokens", "", f"{stage.tokens:,}") for name, stage in stages.items()]
    changes += _validation_changes(before, after)
    changes += _usage_changes(before, after)
    return changes


def _facts(manifest: Manifest) -> dict[str, str]:
    return {
        "name": manifest.name,
        "tokens": f"{manifest.tokens:,}",
        "seed": str(manifest.seed),
        "tokenizer": f"{manifest.tokenizer.name} {manifest.tokenizer.sha256[:12]}",
        "stages": ", ".join(stage.name for stage in manifest.stages),
    }


def _stage_changes(before: ManifestStage, after: ManifestStage) -> Iterator[Change]:
    place = f"stage {before.name}"
    yield from _changed(place, _stage_facts(before), _stage_facts(after))
    for name in dict.fromkeys(own.name for own in (*before.categories, *after.categories)):
        shares = [_category_facts(stage, name) for stage in (before, after)]
        yield from _changed(f"{place}, {name}", *shares)
    sources = [{own.source: own for own in stage.sources} for stage in (before, after)]
    for name in sorted(sources[0].keys() | sources[1].keys()):
        facts = [_source_facts(own[name]) if name in own else {} for own in sources]
        yield from _changed(f"{place}, source {name}", *facts)


def _stage_facts(stage: ManifestStage) -> dict[str, str]:
    return {
        "tokens": f"{stage.tokens:,}",
        "sequence length": f"{stage.sequence_length:,}",
        "packing": stage.packing,
        "learning rate": plan_words(stage.learning_rate),
    }


def _category_facts(stage: ManifestStage, name: str) -> dict[str, str]:
    return {
        fact: text
        for own in stage.categories
        if own.name == name
        for fact, text in (("share of tokens", share(own.tokens, stage.tokens)), ("spread", own.spread))
    }


def _source_facts(own: ManifestSource) -> dict[str, str]:
    where = "all documents" if own.where is None else f"{own.where.documents:,} documents ({own.where.checksum[:12]})"
    return {
        "category": own.category,
        "tokens": f"{own.tokens:,}",
        "weight": f"{own.weight:.6g}",
        "epochs": number(own.epochs),
        "available": f"{own.available_tokens:,}",
        "drawn from": where,
        "shards": _shards(own),
    }


def _validation_changes(before: Manifest, after: Manifest) -> Iterator[Change]:
    """Yield how the held-out texts differ, source by source."""
    sources = [{own.source: own for own in manifest.validation} for manifest in (before, after)]
    for name in sorted(sources[0].keys() | sources[1].keys()):
        facts = [_held_out_facts(own[name]) if name in own else {} for own in sources]
        yield from _changed(f"validation, source {name}", *facts)


def _held_out_facts(own: ManifestValidation) -> dict[str, str]:
    return {
        "language": own.language,
        "documents": f"{own.sequences:,}",
        "tokens": f"{own.tokens:,}",
        "shards": _shards(own),
    }


def _shards(own: ManifestSource | ManifestValidation) -> str:
    """Return something that is equal for equal bytes, and short."""
    sums = sorted(f"{shard.name} {shard.bin_checksum} {shard.idx_checksum}" for shard in own.shards)
    return f"{len(sums):,} ({_digest(sums)})"


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _usage_changes(before: Manifest, after: Manifest) -> Iterator[Change]:
    """Yield how the utilization by category and language differs, over all stages."""
    tables = []
    for manifest in (before, after):
        rows: dict[str, dict[str, str]] = {}
        category = ""
        for kind, row in usage_rows(utilization(manifest)):
            category = row.name if kind == "category" else category
            place = {"category": row.name, "language": f"{category}, {row.name}", "whole": "all together"}[kind]
            used = f"{row.used:,} of {row.available:,} tokens, {share(row.used, row.available)}"
            rows[place] = {"utilization": used}
        tables.append(rows)
    for place in dict.fromkeys([*tables[0], *tables[1]]):
        yield from _changed(place, tables[0].get(place, {}), tables[1].get(place, {}))


def _changed(place: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for what in dict.fromkeys([*before, *after]):
        old, new = before.get(what, ""), after.get(what, "")
        if old != new:
            yield Change(place, what, old, new)
