"""What one corpus job works on and leaves behind: the parts that the crawl cut its results into, and the results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from curation.duplicates.context import Found
from curation.inputs import InputFile
from curation.profile import Profile
from curation.resources import LanguageResources
from curation.stage import Task
from curation.store import Manifest
from filters.rules import Bounds


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an input file: what one task of the later stages works on.

    `number` and `name` are places in the order of all inputs; `label` stays the same whatever other inputs there are.
    """

    number: int
    name: str
    label: str
    records: int
    documents: int
    documents_path: Path
    ledger_path: Path
    checksum: str


@dataclass(slots=True)
class JobResult:
    """What the stages left behind, for publication.

    `base_documents` are the documents of a corpus that stood already, by the number of their part; `against` is its
    folder.
    """

    inputs: list[InputFile]
    parts: list[Part]
    outputs: list[Manifest]
    input_checksums: dict[str, str]
    rules: dict[str, dict[str, Bounds]]
    resources: dict[str, LanguageResources]
    profiles: dict[str, Profile]
    identified: Counter[tuple[str, str]]
    seconds: dict[str, float] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    found: Found = field(default_factory=Found)
    base_documents: dict[int, Path] = field(default_factory=dict)
    against: Path | None = None


def parts_of(crawled: list[Manifest]) -> list[Part]:
    """Return the parts of all input files, in order."""
    parts: list[Part] = []
    for number, manifest in enumerate(crawled):
        own = manifest.details["parts"]
        assert isinstance(own, list)
        for position, counts in enumerate(own):
            documents, ledger = (f"{kind}-{position:05d}.parquet" for kind in ("documents", "ledger"))
            parts.append(
                Part(
                    number=len(parts),
                    name=f"{number:05d}-{position:05d}",
                    label=f"{manifest.folder.name.partition('-')[0]}-{position:05d}",
                    records=counts["records"],
                    documents=counts["documents"],
                    documents_path=manifest.path(documents),
                    ledger_path=manifest.path(ledger),
                    checksum=manifest.files[documents] + manifest.files[ledger],
                )
            )
    return parts


def identified_in(crawled: list[Manifest]) -> Counter[tuple[str, str]]:
    """Return how many texts the first model gave which label, by the language that they were taken for in the end."""
    counts: Counter[tuple[str, str]] = Counter()
    for manifest in crawled:
        rows = manifest.details["identified"]
        assert isinstance(rows, list)
        for first, final, count in rows:
            counts[first, final] += count
    return counts


def ledger_rows(manifest: Manifest) -> dict[str, int]:
    """Return the rows that an output task wrote into each language's ledger."""
    rows = manifest.details["ledger"]
    assert isinstance(rows, dict)
    return rows
