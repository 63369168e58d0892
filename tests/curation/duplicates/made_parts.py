"""Parts of a job made from a few documents: files, identities, and tasks that are run on them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.duplicates.identities import identity
from curation.duplicates.parts import DedupPart
from curation.duplicates.shuffle import write_partitions
from curation.schema import DUPLICATES, IDENTITIES, KEPT_ROWS
from curation.stage import Result

_DOCUMENTS = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("id", "text", "url", "date", "language")),
        pa.field("language_score", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Page:
    """One document of a test; its number, by which the test knows it, is in its id."""

    text: str
    number: int
    url: str | None = ""
    date: str | None = ""
    language: str = "en"
    base: bool = False

    @property
    def id(self) -> str:
        return f"{self.number:032x}"

    @property
    def order(self) -> tuple[int, ...]:
        own = identity(self.text, 0.9, self.url or "", self.id, self.base)
        return own.rank0, own.rank1, own.rank2, own.id0, own.id1


def number_of(identifier: str) -> int:
    return int(identifier, 16)


@dataclass
class MadeParts:
    """Parts, where the documents are, and which of them are there from the beginning."""

    parts: list[DedupPart] = field(default_factory=list)
    identities: dict[int, Path] = field(default_factory=dict)
    pages: dict[tuple[int, int], Page] = field(default_factory=dict)

    @property
    def base_parts(self) -> frozenset[int]:
        return frozenset(part.number for part in self.parts if part.base)


def make_parts(folder: Path, pages: Sequence[Page], part_size: int, left_out: Collection[int] = ()) -> MadeParts:
    """Write the documents into parts of some size, those of the base into parts of their own.

    Documents whose number is in `left_out` stand in the files, but no row of theirs is kept.
    """
    made = MadeParts()
    for base in (False, True):
        own = [page for page in pages if page.base == base]
        for start in range(0, len(own), part_size):
            _add_part(made, folder, own[start : start + part_size], base, left_out)
    return made


def _add_part(made: MadeParts, folder: Path, pages: Sequence[Page], base: bool, left_out: Collection[int]) -> None:
    number = len(made.parts)
    documents, kept, known = (folder / f"{kind}-{number}" for kind in ("documents", "kept", "identities"))
    names = ("id", "text", "url", "date", "language")
    rows = [{**{name: getattr(page, name) for name in names}, "language_score": 0.9} for page in pages]
    pq.write_table(pa.Table.from_pylist(rows, schema=_DOCUMENTS), documents, row_group_size=3)
    there = [row for row, page in enumerate(pages) if page.number not in left_out]
    pq.write_table(pa.table({"row": there}, schema=KEPT_ROWS), kept)
    numbers = np.array([pages[row].order for row in there], dtype=np.uint64).reshape(-1, 5)
    columns = {"row": np.array(there, dtype=np.int64)}
    columns |= {name: numbers[:, place] for place, name in enumerate(IDENTITIES.names[1:])}
    write_partitions(known, IDENTITIES, columns, np.zeros(len(there), dtype=np.int64), 1)
    made.parts.append(DedupPart(number, str(number), documents, kept, "", base))
    made.identities[number] = known
    made.pages |= {(number, row): pages[row] for row in there}


def run(function: Callable[[object, Path, Path], Result], payload: object, folder: Path) -> Path:
    """Run a task into a folder of its own."""
    out = folder / uuid.uuid4().hex
    out.mkdir()
    function(payload, out, out)
    return out


def duplicates(made: MadeParts, files: Sequence[Path]) -> dict[int, tuple[int, float]]:
    """Return for each document that goes the one that stays for it, and the similarity; by number."""
    found = {}
    for file in files:
        table = pq.read_table(file)
        assert table.schema == DUPLICATES
        rows = table.to_pylist()
        assert [(row["part"], row["row"]) for row in rows] == sorted((row["part"], row["row"]) for row in rows)
        for row in rows:
            page, kept = made.pages[row["part"], row["row"]], number_of(row["duplicate_of"])
            assert row["duplicate_of_part"] in {place[0] for place, own in made.pages.items() if own.number == kept}
            assert page.number not in found
            found[page.number] = (kept, row["similarity"])
    return found
