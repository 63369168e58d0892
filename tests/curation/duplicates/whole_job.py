"""The phases of deduplication over made parts, in this process, and what they found in the terms of a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.duplicates.config import DedupStages, ExactConfig
from curation.duplicates.context import Found
from curation.duplicates.index import PartIndex
from curation.duplicates.job import Deduplication
from curation.duplicates.sizes import cluster_sizes
from curation.schema import INDEX
from curation.stage import Task, run_task
from curation.store import Manifest
from dedup.minhash import MinHashConfig
from filters.words import Segmentation
from tests.curation.duplicates.made_parts import MadeParts, Page, duplicates, make_parts

# What goes, by number: what stays for it, and how similar they are.
Gone = dict[int, tuple[int, float]]
SEGMENTATIONS: Mapping[str, Segmentation] = {"en": "spaces", "el": "spaces", "th": "none", "zh": "none"}


@dataclass
class Outcome:
    """What deduplication found, by the numbers of the documents."""

    made: MadeParts
    found: Found
    exact: Gone
    near: Gone
    sizes: dict[int, int]
    phases: list[str] = field(default_factory=list)

    @property
    def gone(self) -> Gone:
        return self.exact | self.near

    @property
    def kept(self) -> set[int]:
        return {page.number for page in self.made.pages.values()} - self.gone.keys()


def stages(exact: ExactConfig | None, minhash: MinHashConfig | None) -> DedupStages:
    """Return settings with these stages and no other."""
    plain = {name: None for name in DedupStages.model_fields if name not in ("exact", "minhash")}
    return DedupStages.model_validate({**plain, "exact": exact, "minhash": minhash})


def deduplicate(
    folder: Path,
    pages: Sequence[Page],
    part_size: int,
    minhash: MinHashConfig | None,
    exact: ExactConfig | None = None,
    left_out: Sequence[int] = (),
) -> Outcome:
    """Run all phases over documents in parts of some size; those of the base are indexed by a job of their own."""
    folder.mkdir(exist_ok=True)
    made = make_parts(folder, pages, part_size, left_out)
    config = stages(exact or ExactConfig(), minhash)
    phases: list[str] = []

    def run(phase: str, tasks: list[Task]) -> list[Manifest]:
        phases.append(phase)
        return [run_task(task) for task in tasks]

    indexes = _indexes(folder, made, config)
    counts = [len(pages), config, SEGMENTATIONS, folder / "work", run, indexes]
    found = Deduplication(made.parts, *counts).find()  # type: ignore[arg-type]
    exact_, near = (duplicates(made, found.gone.get(stage, ())) for stage in ("exact", "minhash"))
    sizes: dict[int, int] = {}
    for part in made.parts:
        own = cluster_sizes(found.sizes, part.number, found.size_partition(part.number))
        rows = [(row, page.number) for (number, row), page in made.pages.items() if number == part.number]
        sizes |= {number: own.get(row, 1) for row, number in rows}
    assert not exact_.keys() & near.keys()
    return Outcome(made, found, exact_, near, sizes, phases)


def _indexes(folder: Path, made: MadeParts, config: DedupStages) -> dict[int, Path]:
    """Return index files of the base, as the job that published it leaves them."""
    indexes = {}
    for part in (part for part in made.parts if part.base):
        work = folder / f"base-{part.number}"
        pages = [page for (number, _), page in made.pages.items() if number == part.number]
        work.mkdir()
        plain = make_parts(work, [Page(p.text, p.number, p.url, p.date, p.language) for p in pages], len(pages))
        run = Deduplication(
            plain.parts, len(pages), config, SEGMENTATIONS, work / "work", lambda _, tasks: [run_task(t) for t in tasks]
        )
        index = PartIndex(run.find().index_files(0))
        rows = [index.row(row) for row in range(len(pages))]
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), work / "index.parquet")
        indexes[part.number] = work / "index.parquet"
    return indexes
