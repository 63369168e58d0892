"""The configuration of a parallel job: each stage's own settings, by stage name. None switches a stage off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, model_validator

from configs.load import StrictModel
from curation.normalize import NormalizeConfig
from curation.parallel.laser_files import LaserFilesConfig
from curation.parallel.pairs import PairIngestConfig
from curation.parallel.report_sample import PairReportConfig
from dedup.decontaminate import ContaminationConfig
from filters.langid import LangIdConfig
from filters.parallel.calibrate import PAIRS
from filters.parallel.laser import LaserConfig
from filters.parallel.rules import PairRulesConfig, check_pairs
from filters.rules import Bounds, out_of_range, sides_of

# The stages that a pair passes, in order. Each row of the ledger names the one where its way ended.
PAIR_STAGES = ("ingest", "rules", "contamination", "pair", "laser", "source", "target")
OPTIONAL_PAIR_STAGES = PAIR_STAGES[1:]


class PairLangIdConfig(StrictModel):
    """Identification of the language of each side; the first 1,000 characters are looked at.

    Attributes:
        model: path of a fastText model (lid.176, GlotLID, OpenLID ...); None takes the lid.176.ftz of the dependency.
        second_look: the model that is asked where the first one is unsure; None switches it off. It was measured
            beside lid.176: another `model` is left to itself unless its configuration names a second look.
        second_look_below: confidence of the first model from which it is taken at its word.
        second_look_chars: characters that the second model looks at.
    """

    model: str | None = None
    second_look: Literal["py3langid"] | None = "py3langid"
    second_look_below: float = Field(default=0.9, ge=0, le=1)
    second_look_chars: int = Field(default=1000, ge=100)

    def identification(self) -> LangIdConfig:
        """Return the settings of the identifier."""
        return LangIdConfig.model_validate(self.model_dump(exclude_unset=True))


class LaserThresholds(StrictModel):
    """What embeddings have to say of a pair that is kept; None switches a threshold off.

    Attributes:
        min_cosine: lowest cosine similarity of the two sides.
        min_margin: lowest ratio of that to the mean similarity of the nearest neighbours.
    """

    min_cosine: float | None = Field(default=0.6, ge=-1, le=1)
    min_margin: float | None = Field(default=None, ge=0)


_SCORE_OF = {"min_cosine": "score_laser_cosine", "min_margin": "score_laser_margin"}
_LASER_DEFAULTS = {_SCORE_OF[name]: value for name, value in LaserThresholds().model_dump().items()}


class LaserStageConfig(StrictModel):
    """Scores by LASER's embeddings (Artetxe and Schwenk 2019, arXiv 1811.01136, section 3).

    Attributes:
        files: where the encoder's files are.
        encoder: how texts are encoded.
        thresholds: what a pair needs. 0.6 is a cautious start: fit it to the pair (`make calibrate PAIR=...`).
        by_pair: exceptions by pair of languages, `de-en`, which hold for `en-de`, too.
        neighbours: nearest sentences whose mean similarity the margin is taken over; None leaves the margin out.
        pool_pairs: neighbours are looked for among so many pairs that follow each other in the input. The work of the
            margin grows with it.
        cache: keep the embeddings (float16, 4 KiB a pair), so that other neighbours or pools encode nothing again.
    """

    files: LaserFilesConfig = LaserFilesConfig()
    encoder: LaserConfig = LaserConfig()
    thresholds: LaserThresholds = LaserThresholds()
    by_pair: dict[str, LaserThresholds] = {}
    neighbours: int | None = Field(default=4, ge=1)
    pool_pairs: int = Field(default=4096, ge=2)
    cache: bool = False

    @model_validator(mode="after")
    def _each_pair_once(self) -> LaserStageConfig:
        check_pairs(self.by_pair)
        return self

    @model_validator(mode="after")
    def _margin_needs_neighbours(self) -> LaserStageConfig:
        if self.neighbours is None and any(
            own.min_margin is not None for own in (self.thresholds, *self.by_pair.values())
        ):
            raise ValueError("min_margin is set, but neighbours is null: the margin is not taken")
        return self

    def for_pair(self, src: str, tgt: str, fitted: Mapping[str, Bounds]) -> dict[str, Bounds]:
        """Return the thresholds of a pair of languages by score.

        Args:
            src: code of the source language.
            tgt: of the target language.
            fitted: thresholds that were fitted to the pair; they take the place of the defaults, and what the
                configuration names takes theirs.
        """
        limits = dict(_LASER_DEFAULTS)
        limits |= {name: limit for name in limits if name in fitted and (limit := fitted[name].min) is not None}
        own = self.by_pair.get(f"{src}-{tgt}", self.by_pair.get(f"{tgt}-{src}"))
        for place in (self.thresholds, own):
            if place is not None:
                named = place.model_dump(exclude_unset=True)
                limits |= {_SCORE_OF[name]: limit for name, limit in named.items()}
        if self.neighbours is None:
            limits["score_laser_margin"] = None
        return {name: Bounds(min=limit) for name, limit in limits.items() if limit is not None}


class EqualConfig(StrictModel):
    """Removal of pairs with the same text, blind to case and white space.

    Attributes:
        keep: pairs of one text that stay: those with the best score, of equal ones the smaller hashes.
    """

    keep: int = Field(default=1, ge=1)


class PairStagesConfig(StrictModel):
    """Settings by stage. Those of `OPTIONAL_PAIR_STAGES` may be null: the stage is left out.

    Attributes:
        ingest: limits of reading.
        normalize: form in which texts are measured and stored.
        langid: identification of each side's language; null leaves the measure `language_score` out.
        rules: bounds of the measures of pairs.
        score: bounds of the rules' measures put together (`filters.parallel.score`), between 0 and 1.
        contamination: benchmarks that neither side may hold.
        pair: equal pairs.
        laser: scores by embeddings.
        source: pairs with equal sources.
        target: pairs with equal targets.
    """

    ingest: PairIngestConfig = PairIngestConfig()
    normalize: NormalizeConfig = NormalizeConfig()
    langid: PairLangIdConfig | None = PairLangIdConfig()
    rules: PairRulesConfig | None = PairRulesConfig()
    score: Bounds = Bounds()
    contamination: ContaminationConfig | None = None
    pair: EqualConfig | None = EqualConfig()
    laser: LaserStageConfig | None = LaserStageConfig()
    source: EqualConfig | None = EqualConfig()
    target: EqualConfig | None = EqualConfig()

    @model_validator(mode="after")
    def _score_can_be_kept(self) -> PairStagesConfig:
        for side, value in sides_of(self.score):
            if (reason := out_of_range("score_rules", side, value, PAIRS)) is not None:
                raise ValueError(f"score: {reason}; null switches a side off")
        if self.rules is None and sides_of(self.score):
            raise ValueError("score: its bounds belong to the stage rules, which is null; rules: {} switches it on")
        return self

    def codes(self) -> Iterator[tuple[str, str]]:
        """Yield every language code that a setting is for, with the setting's place."""
        if self.rules is not None:
            yield from (("rules.by_language", code) for code in self.rules.by_language)
            yield from (("rules.by_pair", code) for pair in self.rules.by_pair for code in pair.split("-"))
        if self.laser is not None:
            yield from (("laser.by_pair", code) for pair in self.laser.by_pair for code in pair.split("-"))


class ParallelConfig(StrictModel):
    """A parallel job.

    Attributes:
        stages: settings by stage.
        report: what the report shows.
        retries: further attempts at a shard that fails.
        keep_work: keep the intermediate results, so that a later run with other thresholds starts from them.
    """

    stages: PairStagesConfig = PairStagesConfig()
    report: PairReportConfig = PairReportConfig()
    retries: int = Field(default=2, ge=0)
    keep_work: bool = True
