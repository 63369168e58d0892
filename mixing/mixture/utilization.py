"""How much of the tokens a mixture uses, by category and language, as in Marco-LLM's table 1 (arXiv 2412.04003)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixing.mixture.manifest_schema import Manifest, ManifestSource


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that there are and tokens that are used, over all stages.

    Attributes:
        name: of the language, category or mixture.
        sources: their names.
        available: tokens of the sources' training splits, whatever conditions a stage draws its documents by.
        used: planned tokens, a text that is read twice counted twice.
        by_stage: the same, stage by stage.
        epochs: how often a text of the source that is read most is read, on average, among the documents drawn from.
    """

    name: str
    sources: tuple[str, ...]
    available: int
    used: int
    by_stage: tuple[int, ...]
    epochs: float

    @property
    def rate(self) -> float:
        """Used tokens by available ones; above 1 texts are read again."""
        return self.used / self.available


@dataclass(frozen=True, slots=True)
class CategoryUsage:
    """A category, and its languages from the one used most."""

    whole: Usage
    languages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Utilization:
    """A mixture, and its categories in the order of the manifest. The whole counts a source in two of them once."""

    whole: Usage
    categories: tuple[CategoryUsage, ...]


def utilization(manifest: Manifest) -> Utilization:
    """Return how much of the tokens a mixture uses."""
    stages = len(manifest.stages)
    entries = [(place, own) for place, stage in enumerate(manifest.stages) for own in stage.sources]
    by_category: dict[str, list[tuple[int, ManifestSource]]] = {}
    for entry in entries:
        by_category.setdefault(entry[1].category, []).append(entry)
    categories = []
    for name, own in by_category.items():
        by_language: dict[str, list[tuple[int, ManifestSource]]] = {}
        for entry in own:
            by_language.setdefault(entry[1].language, []).append(entry)
        languages = [_usage(language, rows, stages) for language, rows in by_language.items()]
        languages.sort(key=lambda row: (-row.used, row.name))
        categories.append(CategoryUsage(_usage(name, own, stages), tuple(languages)))
    return Utilization(_usage(manifest.name, entries, stages), tuple(categories))


def _usage(name: str, entries: Sequence[tuple[int, ManifestSource]], stages: int) -> Usage:
    by_stage = [0] * stages
    epochs: dict[str, float] = {}
    available: dict[str, int] = {}
    for place, own in entries:
        by_stage[place] += own.tokens
        epochs[own.source] = epochs.get(own.source, 0.0) + own.epochs
        available[own.source] = own.source_tokens
    return Usage(
        name, tuple(sorted(available)), sum(available.values()), sum(by_stage), tuple(by_stage), max(epochs.values())
    )


def usage_rows(table: Utilization) -> Iterable[tuple[str, Usage]]:
    """Yield all rows with their kind: `category`, its `language` rows, in the end `whole`."""
    for category in table.categories:
        yield "category", category.whole
        for language in category.languages:
            yield "language", language
    yield "whole", table.whole
