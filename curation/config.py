"""The configuration of a corpus job: each stage's own settings, by stage name. None switches a stage off."""

from __future__ import annotations

from pydantic import Field

from configs.load import StrictModel
from curation.crawl_config import CrawlStages
from curation.duplicates.config import DedupStages
from curation.resources import MeasureConfig
from dedup.decontaminate import ContaminationConfig
from filters.rules import RulesConfig


class StagesConfig(CrawlStages, DedupStages):
    """Settings by stage. Those of `OPTIONAL_STAGES` may be null: the stage is left out."""

    measure: MeasureConfig = MeasureConfig()
    rules: RulesConfig | None = RulesConfig()
    contamination: ContaminationConfig | None = None

    def of_crawl(self) -> CrawlStages:
        """Return the settings of the crawl alone: all that its tasks may know."""
        return CrawlStages(**{name: getattr(self, name) for name in CrawlStages.model_fields})

    def of_deduplication(self) -> DedupStages:
        """Return the settings of deduplication alone."""
        return DedupStages(**{name: getattr(self, name) for name in DedupStages.model_fields})


OPTIONAL_STAGES = ("url", "glance", "pii", "rules", "contamination", *DedupStages.model_fields)


class ReportConfig(StrictModel):
    """What the report shows.

    Attributes:
        examples_per_rule: dropped records shown for each rule.
        duplicate_pairs: pairs shown for each method.
        sample_documents: documents whose measures make the distributions, for each part of the input.
    """

    examples_per_rule: int = Field(default=5, ge=0)
    duplicate_pairs: int = Field(default=10, ge=0)
    sample_documents: int = Field(default=2000, ge=0)


class CorpusConfig(StrictModel):
    """A corpus job.

    Attributes:
        stages: settings by stage.
        report: what the report shows.
        retries: further attempts at a shard that fails.
        index: publish order, hashes and band keys of the documents, for deduplicating later crawls against the corpus.
        keep_work: keep the intermediate results, so that a later run with other thresholds starts from them.
    """

    stages: StagesConfig = StagesConfig()
    report: ReportConfig = ReportConfig()
    retries: int = Field(default=2, ge=0)
    index: bool = True
    keep_work: bool = True
