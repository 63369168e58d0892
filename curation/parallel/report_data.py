"""Gathers what the report of a parallel job shows, from what its parts chose: the same whatever the parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from curation.parallel.report_sample import (
    EXCERPT_CHARS,
    PAIR_EXAMPLES,
    PAIR_SAMPLE,
    PairReportConfig,
    choose_examples,
    smallest,
)
from curation.report import MeasureSample
from filters.parallel.measures import PAIR_MEASURES
from filters.rules import Bounds, sides_of

_GATHERED_ROWS = 50_000
# What each score is, by its column.
SCORES = {
    "score_rules": "probability of a translation; from all measures together",
    "score_laser_cosine": "cosine; of the LASER embeddings of the two sides",
    "score_laser_margin": "ratio margin; cosine of the two sides by the mean cosine with their nearest neighbours",
}
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a text, and how many characters it has in all."""

    text: str
    chars: int


@dataclass(frozen=True, slots=True)
class PairExample:
    """A pair, or a unit that never became one: how its way ended, and the beginnings of its texts, if it had any.

    Attributes:
        outcome: `kept`, or why it was not.
        stage: where its way ended; empty for a kept one.
        rule: the reason; near a threshold the rule of that threshold, of kept pairs, too.
        source: name of the input.
        sequence: place in the input.
        value: what was compared with the threshold.
        threshold: None where the rule has none.
        src: source text, or None.
        tgt: target text, or None.
        detail: in words, or None.
        stayed: id of the pair that stays in place of a duplicate, or None.
        stayed_src: its source text, or None where it was not looked up.
        stayed_tgt: its target text.
    """

    outcome: str
    stage: str
    rule: str
    source: str
    sequence: int
    value: float | None = None
    threshold: float | None = None
    src: Excerpt | None = None
    tgt: Excerpt | None = None
    detail: str | None = None
    stayed: str | None = None
    stayed_src: Excerpt | None = None
    stayed_tgt: Excerpt | None = None


@dataclass(frozen=True, slots=True)
class NearThreshold:
    """The pairs closest to a threshold on both sides of it, the closest first."""

    rule: str
    description: str
    threshold: float
    kept: tuple[PairExample, ...]
    dropped: tuple[PairExample, ...]


@dataclass(frozen=True, slots=True)
class PairReportData:
    """All that the report of a parallel job is made of.

    Attributes:
        summary: content of the job's summary.json.
        names: of the source and the target language.
        bounds: the rules, by column of the measures and scores, in the order in which they are tried.
        scores: values of each score that was taken, with its bounds.
        measures: values of the measures that have a rule.
        near: what lies next to each threshold, in the order of the rules.
        duplicates: pairs that were dropped for others.
        others: examples of all other reasons.
    """

    summary: Mapping[str, object]
    names: tuple[str, str]
    bounds: Mapping[str, Bounds]
    scores: Sequence[MeasureSample] = ()
    measures: Sequence[MeasureSample] = ()
    near: Sequence[NearThreshold] = ()
    duplicates: Sequence[PairExample] = ()
    others: Sequence[PairExample] = ()


def merge(parts: Iterable[tuple[pa.Table, pa.Table]], config: PairReportConfig) -> tuple[pa.Table, pa.Table]:
    """Return the sample and the examples of all parts: what `sample_pairs` would have chosen of all their pairs.

    Args:
        parts: what `sample_pairs` returned for each part, in any order, read as it is needed; of a ledger an empty
            sample and what `sample_ledger` returned.
        config: the same as that of the parts.
    """
    samples = _Gathering(PAIR_SAMPLE, partial(smallest, limit=config.sample_pairs))
    examples = _Gathering(PAIR_EXAMPLES, partial(choose_examples, config=config))
    for sample, own in parts:
        samples.add(sample)
        examples.add(own)
    return samples.reduced(), examples.reduced()


class _Gathering:
    """Tables, reduced to the rows that may still be wanted whenever there are many."""

    def __init__(self, schema: pa.Schema, reduce: Callable[[pa.Table], pa.Table]) -> None:
        self._tables, self._reduce = [schema.empty_table()], reduce
        self._rows, self._limit = 0, _GATHERED_ROWS

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._rows += table.num_rows
        if self._rows > self._limit:
            self._tables = [self.reduced()]
            self._rows = self._tables[0].num_rows
            self._limit = max(_GATHERED_ROWS, 2 * self._rows)

    def reduced(self) -> pa.Table:
        return self._reduce(pa.concat_tables(self._tables)).combine_chunks()


def survivors(examples: pa.Table) -> list[str]:
    """Return the ids of the pairs that stay in place of the duplicates shown, whose texts `collect` wants."""
    ids: list[str] = pc.drop_null(pc.unique(examples["duplicate_of"])).to_pylist()
    return sorted(ids)


def collect(
    summary: Mapping[str, object], names: tuple[str, str], bounds: Mapping[str, Bounds], sample: pa.Table,
    examples: pa.Table, texts: Mapping[str, tuple[str, str]],
) -> PairReportData:  # fmt: skip
    """Return the data of the report.

    Args:
        summary: content of the job's summary.json.
        names: of the source and the target language.
        bounds: the rules, by the columns of `sample_pairs`.
        sample: rows of `PAIR_SAMPLE` of all parts.
        examples: rows of `PAIR_EXAMPLES` of all parts.
        texts: source and target of the pairs that `survivors` names, by id; what is missing is said to be.
    """
    rows = examples.to_pylist()
    others = [_example(row, texts) for row in rows if row["distance"] is None]
    ruled = {name: PAIR_MEASURES[name].description for name in PAIR_MEASURES if sides_of(bounds.get(name))}
    return PairReportData(
        summary=summary,
        names=names,
        bounds=bounds,
        scores=[own for own in _samples(sample, SCORES, bounds) if own.kept or own.dropped],
        measures=_samples(sample, ruled, bounds),
        near=_near([row for row in rows if row["distance"] is not None], bounds),
        duplicates=[example for example in others if example.outcome == "duplicate"],
        others=[example for example in others if example.outcome != "duplicate"],
    )


def _samples(sample: pa.Table, descriptions: Mapping[str, str], bounds: Mapping[str, Bounds]) -> list[MeasureSample]:
    """Return the values of kept pairs and of those that were dropped; duplicates are in neither group."""
    groups = [sample.filter(pc.equal(sample["outcome"], outcome)) for outcome in ("kept", "dropped")]
    samples = []
    for name, description in descriptions.items():
        kept, dropped = (tuple(_taken(group[name])) for group in groups)
        own = bounds.get(name, Bounds())
        samples.append(MeasureSample(name, description, kept, dropped, own.min, own.max))
    return samples


def _taken(column: pa.ChunkedArray) -> list[float]:
    values: list[float] = pc.drop_null(column).filter(pc.invert(pc.is_nan(pc.drop_null(column)))).to_pylist()
    return values


def _near(rows: list[Row], bounds: Mapping[str, Bounds]) -> list[NearThreshold]:
    """Return what lies next to each threshold; the rows of each rule and outcome stand in their order."""
    groups: dict[tuple[str, str], list[PairExample]] = defaultdict(list)
    for row in rows:
        groups[str(row["rule"]), str(row["outcome"])].append(_example(row, {}))
    found = []
    for name, own in bounds.items():
        description = SCORES[name] if name in SCORES else PAIR_MEASURES[name].description
        for side, threshold in sides_of(own):
            rule = f"{name}.{side}"
            kept, dropped = (tuple(groups[rule, outcome]) for outcome in ("kept", "dropped"))
            found.append(NearThreshold(rule, description, threshold, kept, dropped))
    return found


def _example(row: Row, texts: Mapping[str, tuple[str, str]]) -> PairExample:
    stayed = _text(row["duplicate_of"])
    both = texts.get(stayed) if stayed is not None else None
    return PairExample(
        outcome=str(row["outcome"]),
        stage=str(row["stage"] or ""),
        rule=str(row["rule"]),
        source=str(row["source"]),
        sequence=int(str(row["sequence"])),
        value=_number(row["value"]),
        threshold=_number(row["threshold"]),
        src=_excerpt(row["src_text"], row["src_chars"]),
        tgt=_excerpt(row["tgt_text"], row["tgt_chars"]),
        detail=_text(row["detail"]),
        stayed=stayed,
        stayed_src=None if both is None else Excerpt(both[0][:EXCERPT_CHARS], len(both[0])),
        stayed_tgt=None if both is None else Excerpt(both[1][:EXCERPT_CHARS], len(both[1])),
    )


def _excerpt(text: object, chars: object) -> Excerpt | None:
    return None if text is None else Excerpt(str(text), int(str(chars)))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
