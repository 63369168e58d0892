"""Settings of the deduplication stages, by stage name. None switches a stage off."""

from __future__ import annotations

from pydantic import Field

from configs.load import StrictModel
from dedup.lines import LinesConfig
from dedup.minhash import MinHashConfig
from dedup.semantic import SemanticConfig
from dedup.substring import SubstringConfig
from dedup.urls import SameUrlConfig


class ExactConfig(StrictModel):
    """Whole-document exact deduplication.

    Attributes:
        partitions: files that the hashes are shuffled through; None takes as many as memory asks for.
    """

    partitions: int | None = Field(default=None, ge=1)


class DedupStages(StrictModel):
    """The deduplication stages in their order; each may be null: it is left out."""

    same_url: SameUrlConfig | None = None
    exact: ExactConfig | None = ExactConfig()
    minhash: MinHashConfig | None = MinHashConfig()
    semantic: SemanticConfig | None = None
    lines: LinesConfig | None = None
    substring: SubstringConfig | None = SubstringConfig()

    def first_stays(self) -> frozenset[str]:
        """Return the stages that leave the first occurrence of what they cut where it is."""
        stages = {"lines": self.lines, "substring": self.substring}
        return frozenset(name for name, stage in stages.items() if stage is not None and stage.remove == "repeats")

    def min_remaining(self) -> dict[str, int | None]:
        """Return the characters that must be left of a document after each stage that cuts, in their order."""
        stages = {"lines": self.lines, "substring": self.substring}
        return {name: stage.min_remaining_chars for name, stage in stages.items() if stage is not None}
