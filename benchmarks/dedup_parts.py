"""What the benchmarks of deduplication share: documents in parts, all phases over them, and what they found.

A document is known by its name, of which its id is the hash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curation.duplicates.config import DedupStages, ExactConfig
from curation.duplicates.context import Found
from curation.duplicates.job import Deduplication
from curation.duplicates.parts import DedupPart
from curation.duplicates.plan import Plan
from curation.stage import Task, run_task
from curation.store import Manifest
from dedup.minhash import MinHashConfig
from filters.words import Segmentation

# As the crawl cuts its results.
PART_DOCUMENTS, PART_CHARACTERS = 5_000, 32 << 20
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("id", "text", "url", "date", "language")),
        pa.field("language_score", pa.float64()),
    ]
)

SEGMENTATIONS: Mapping[str, Segmentation] = {"en": "spaces", "th": "none", "zh": "none"}

# name, text
Document = tuple[str, str]


def document_id(name: str) -> str:
    """Return the id of a document, 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(name.encode())


def write_parts(documents: Iterable[Document], folder: Path, language: str = "en") -> tuple[list[DedupPart], int]:
    """Write documents of a language of `SEGMENTATIONS` as parts of a job; return the parts and how many documents."""
    folder.mkdir(parents=True, exist_ok=True)
    parts, total = [], 0
    for number, own in enumerate(_cut(documents)):
        path = folder / f"{number:05d}.parquet"
        columns = {
            "id": [document_id(name) for name, _ in own],
            "text": [text for _, text in own],
            "url": [name for name, _ in own],
            "language": [language] * len(own),
            "language_score": [1.0] * len(own),
            "date": [None] * len(own),
        }
        arrays = [pa.array(columns[field.name], field.type) for field in _SCHEMA]
        pq.write_table(pa.table(arrays, schema=_SCHEMA), path, compression="zstd", row_group_size=500)
        parts.append(DedupPart(number, path.stem, path, None, f"{folder}/{path.name}"))
        total += len(own)
    return parts, total


def _cut(documents: Iterable[Document]) -> Iterator[list[Document]]:
    own: list[Document] = []
    characters = 0
    for document in documents:
        if own and (len(own) == PART_DOCUMENTS or characters + len(document[1]) > PART_CHARACTERS):
            yield own
            own, characters = [], 0
        own.append(document)
        characters += len(document[1])
    if own:
        yield own


def only(minhash: MinHashConfig | None, exact: ExactConfig | None = None) -> DedupStages:
    """Return the settings of exact and near duplicates, all other stages switched off."""
    off = dict.fromkeys(DedupStages.model_fields)
    return DedupStages.model_validate({**off, "exact": exact or ExactConfig(), "minhash": minhash})


@dataclass
class Phases:
    """Runs tasks, and keeps the wall seconds of each phase and the counts of its tasks, added up."""

    run_tasks: Callable[[str, list[Task]], list[Manifest]] = lambda phase, tasks: [run_task(task) for task in tasks]
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def run(self, phase: str, tasks: list[Task]) -> list[Manifest]:
        """Run the tasks of a phase."""
        start = time.monotonic()
        manifests = self.run_tasks(phase, tasks)
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - start
        own = self.counts.setdefault(phase, {})
        for manifest in manifests:
            for name, count in manifest.counts.items():
                own[name] = own.get(name, 0) + count
        return manifests


def find(
    parts: Sequence[DedupPart],
    documents: int,
    config: DedupStages,
    work: Path,
    phases: Phases,
    plan: Plan | None = None,
) -> Found:
    """Run all phases of deduplication."""
    return Deduplication(parts, documents, config, SEGMENTATIONS, work, phases.run, plan=plan).find()


def pairs(parts: Sequence[DedupPart], found: Found, stage: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the names of each document that goes, in one stage or in any, and of the one that stays for it."""
    names = [pq.read_table(part.documents, columns=["url"])["url"].to_pylist() for part in parts]
    for path in found.gone_files if stage is None else found.gone[stage]:
        table = pq.read_table(path, columns=["part", "row", "duplicate_of_part", "duplicate_of_row"], partitioning=None)
        for part, row, kept_part, kept_row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            yield names[part][row], names[kept_part][kept_row]
