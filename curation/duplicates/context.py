"""What all phases of a deduplication share: the parts, the settings, how tasks are run, and what was found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curation.duplicates.config import DedupStages
from curation.duplicates.index import IndexFiles
from curation.duplicates.parts import DedupPart
from curation.duplicates.plan import Plan
from curation.duplicates.sizes import size_partition
from curation.stage import Task, TaskFunction, make_task
from curation.store import Manifest
from filters.words import Segmentation

# Runs the tasks of a phase and returns their manifests, in the same order.
RunTasks = Callable[[str, list[Task]], list[Manifest]]


@dataclass(slots=True)
class Found:
    """What deduplication found.

    Attributes:
        gone: files of documents that go, by stage, in the order of the stages.
        sizes: files of what each document stands for, and the number of their partitions.
        spans: files of stretches inside documents, by stage.
        cuts: file of what is cut out, by part.
        signatures: file of band keys by part.
        hashes: file of exact hashes by part.
        identities: file of identities by part.
        survivors: manifests of the tasks that chose among near duplicates.
        checksums: of all manifests that decide what goes.
    """

    gone: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    sizes: tuple[Path, ...] = ()
    size_partitions: int = 1
    spans: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    cuts: dict[int, Path] = field(default_factory=dict)
    signatures: dict[int, Path] = field(default_factory=dict)
    hashes: dict[int, Path] = field(default_factory=dict)
    identities: dict[int, Path] = field(default_factory=dict)
    survivors: list[Manifest] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)

    @property
    def gone_files(self) -> tuple[Path, ...]:
        """Files of documents that go, of all stages."""
        return tuple(path for paths in self.gone.values() for path in paths)

    def size_partition(self, part: int) -> int:
        """Return the partition of the sizes of a part."""
        return int(size_partition(part, self.size_partitions, len(self.identities)))

    def index_files(self, part: int) -> IndexFiles:
        """Return what the index of a part is made of."""
        return IndexFiles(self.identities[part], self.hashes[part], self.signatures.get(part))

    def add_gone(self, stage: str, manifests: Sequence[Manifest]) -> None:
        """Note the documents that a stage found."""
        self.gone[stage] = tuple(manifest.path("duplicates.parquet") for manifest in manifests)
        self.checksums += [manifest.checksum for manifest in manifests]

    def add_spans(self, stage: str, manifests: Sequence[Manifest]) -> None:
        """Note the stretches that a stage found."""
        self.spans[stage] = tuple(manifest.path("spans.parquet") for manifest in manifests)
        self.checksums += [manifest.checksum for manifest in manifests]


@dataclass(slots=True)
class Context:
    """A deduplication that is under way.

    Attributes:
        parts: what takes part, by rising number from 0; parts of a corpus that stands already last.
        indexes: files of the index of these, by number.
        config: settings by stage.
        plan: numbers of partitions.
        segmentations: how words are found, by language.
        work: folder of intermediate results.
        run: runs tasks.
        found: what was found so far.
    """

    parts: list[DedupPart]
    indexes: dict[int, Path]
    config: DedupStages
    plan: Plan
    segmentations: dict[str, Segmentation]
    work: Path
    run: RunTasks
    found: Found = field(default_factory=Found)

    @property
    def base(self) -> frozenset[int]:
        """Numbers of the parts of a corpus that stands already."""
        return frozenset(part.number for part in self.parts if part.base)

    @property
    def new_parts(self) -> list[DedupPart]:
        """The parts of this job alone."""
        return [part for part in self.parts if not part.base]

    def part_facts(self, part: DedupPart) -> dict[str, object]:
        """Return what a task on a part depends on, as to the part: its number is in the places of its documents."""
        return {"part": part.number, "input": part.checksum, "base": part.base}

    def facts(self) -> dict[str, object]:
        """Return what a task on a partition depends on: all parts, and what went before."""
        return {"parts": [self.part_facts(part) for part in self.parts], "gone": self.found.checksums}

    def on_parts(
        self,
        phase: str,
        function: TaskFunction,
        payload: Callable[[DedupPart], object],
        facts: Mapping[str, object],
        parts: Sequence[DedupPart] | None = None,
    ) -> list[Manifest]:
        """Run one task a part, each of which depends on its part, on what goes already, and on `facts`."""
        tasks = [
            make_task(
                phase,
                part.name,
                function,
                payload(part),
                {**self.part_facts(part), "gone": self.found.checksums, **facts},
                self.work,
            )
            for part in (self.parts if parts is None else parts)
        ]
        return self.run(phase, tasks)

    def on_partitions(
        self, phase: str, function: TaskFunction, payloads: Mapping[str, object], facts: object
    ) -> list[Manifest]:
        """Run one task for each payload, by name, each of which depends on all parts and on `facts`."""
        every = [self.facts(), facts]
        tasks = [
            make_task(phase, name, function, payload, {"facts": every, "task": name}, self.work)
            for name, payload in payloads.items()
        ]
        return self.run(phase, tasks)


def numbered(payloads: Sequence[object]) -> dict[str, object]:
    """Return payloads by a name made from their number."""
    return {f"{number:05d}": payload for number, payload in enumerate(payloads)}
