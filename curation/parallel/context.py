"""What the phases of a parallel job share: the parts, how tasks are run, and what was found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curation.duplicates.context import RunTasks
from curation.duplicates.parts import DedupPart
from curation.parallel.inputs import ParallelInput
from curation.parallel.laser_files import LaserFiles
from curation.parallel.profile import PairProfile
from curation.stage import Task, TaskFunction, make_task
from curation.store import Manifest
from filters.rules import Bounds


@dataclass(frozen=True, slots=True)
class PairPart:
    """A part of an input: what one task of the later stages works on.

    Attributes:
        number: of the part in the job; it makes the places of its pairs.
        name: of its tasks.
        label: the same, whatever other inputs there are.
        entry: number of its input.
        records, pairs: units of the input in it, and how many of them are pairs.
        pairs_path, ledger_path: its files.
        checksum: of both.
    """

    number: int
    name: str
    label: str
    entry: int
    records: int
    pairs: int
    pairs_path: Path
    ledger_path: Path
    checksum: str


def parts_of(read: list[Manifest]) -> list[PairPart]:
    """Return the parts of all inputs, in order."""
    parts: list[PairPart] = []
    for entry, manifest in enumerate(read):
        own = manifest.details["parts"]
        assert isinstance(own, list)
        for position, counts in enumerate(own):
            pairs, ledger = f"pairs-{position:05d}.parquet", f"ledger-{position:05d}.parquet"
            parts.append(
                PairPart(
                    number=len(parts),
                    name=f"{entry:05d}-{position:05d}",
                    label=f"{manifest.folder.name.partition('-')[0]}-{position:05d}",
                    entry=entry,
                    records=counts["records"],
                    pairs=counts["pairs"],
                    pairs_path=manifest.path(pairs),
                    ledger_path=manifest.path(ledger),
                    checksum=manifest.files[pairs] + manifest.files[ledger],
                )
            )
    return parts


@dataclass(slots=True)
class PairContext:
    """The phases after the decision, under way.

    Attributes:
        pair: the pair of languages, `de-en`.
        sources: the parts as they were read, by number.
        parts: what is left of each part, by number.
        measured: manifests of the measures, by part.
        work: folder of intermediate results.
        run: runs the tasks of a phase.
        gone: manifests of the tasks that found duplicates, by stage, in the order of the stages.
        scored, judged: manifests of LASER's scores and of what they decided, by part; empty where the stage is off.
    """

    pair: str
    sources: list[PairPart]
    parts: list[DedupPart]
    measured: list[Manifest]
    work: Path
    run: RunTasks
    gone: dict[str, list[Manifest]] = field(default_factory=dict)
    scored: list[Manifest] = field(default_factory=list)
    judged: list[Manifest] = field(default_factory=list)

    @property
    def gone_files(self) -> dict[str, tuple[Path, ...]]:
        """Files of pairs that go, by stage."""
        return {stage: tuple(own.path("duplicates.parquet") for own in found) for stage, found in self.gone.items()}

    @property
    def every_gone_file(self) -> tuple[Path, ...]:
        """Files of pairs that go, of all stages."""
        return tuple(path for paths in self.gone_files.values() for path in paths)

    def gone_checksums(self) -> list[str]:
        """Return the checksums of all that decides which pairs go."""
        return [own.checksum for found in self.gone.values() for own in found]

    def on_parts(
        self,
        phase: str,
        function: TaskFunction,
        payload: Callable[[DedupPart], object],
        facts: Callable[[DedupPart], Mapping[str, object]],
    ) -> list[Manifest]:
        """Run one task a part, each of which depends on its part, on what goes already, and on its `facts`."""
        gone = self.gone_checksums()
        tasks = []
        for part in self.parts:
            own = {**facts(part), "part": part.number, "input": part.checksum, "gone": gone}
            tasks.append(make_task(phase, part.name, function, payload(part), own, self.work))
        return self.run(phase, tasks)

    def on_texts(
        self,
        phase: str,
        function: TaskFunction,
        payloads: Sequence[object],
        left: Sequence[Manifest],
        facts: Mapping[str, object],
    ) -> list[Manifest]:
        """Run one task a part, each of which depends on its texts, on which of them are `left`, and on `facts`: on
        nothing of other parts.
        """
        tasks = []
        for source, payload, own in zip(self.sources, payloads, left, strict=True):
            identity = {**facts, "input": source.checksum, "left": own.checksum}
            tasks.append(make_task(phase, source.label, function, payload, identity, self.work))
        return self.run(phase, tasks)

    def on_partitions(
        self, phase: str, function: TaskFunction, payloads: Mapping[str, object], facts: Mapping[str, object]
    ) -> list[Manifest]:
        """Run one task for each payload, by name."""
        tasks = [make_task(phase, name, function, own, facts, self.work) for name, own in payloads.items()]
        return self.run(phase, tasks)


@dataclass(slots=True)
class PairJobResult:
    """What the stages left behind, for publication.

    Attributes:
        inputs: what was read.
        checksums: of the files of each input.
        parts: of the inputs.
        outputs: manifests of the final tables, by part.
        bounds: thresholds of measures and scores, by column.
        laser: files of the encoder of each side; None where the stage is off.
        profile: what was fitted to the pair before.
        seconds: by phase.
        resumed: some tasks were finished by an earlier run, so that seconds say little.
        tasks: all that the job has used.
    """

    inputs: list[ParallelInput]
    checksums: list[list[str]]
    parts: list[PairPart]
    outputs: list[Manifest]
    bounds: dict[str, Bounds]
    laser: tuple[LaserFiles, ...] | None
    profile: PairProfile
    seconds: dict[str, float]
    resumed: bool
    tasks: list[Task]
