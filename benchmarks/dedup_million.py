"""Exact and near duplicates among two million short documents inside 2 GiB of memory, all of Ray's processes included.

The documents are made up (`dedup_made.py`): 30 to 60 words, one in ten an exact copy, two in ten a near copy. Two
workers run all phases through Ray. The limit is enforced by the kernel; what was found is compared with what was
planted. A group of copies is found whole when all of it but one document goes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.dedup_made import EXACT, NEAR, MadeDocuments
from benchmarks.dedup_parts import PART_DOCUMENTS, Phases, find, only, write_parts
from benchmarks.machine import describe
from benchmarks.memory_limit import MemoryGroup, memory_group
from curation.duplicates.parts import DedupPart
from curation.duplicates.plan import Load, make_plan
from curation.runner import Runner
from dedup.minhash import MinHashConfig
from dedup.s_curve import probability

_MIB = 1 << 20
_SHORTEST, _LONGEST = 30, 60


def run_engine(folder: Path, documents: int, workers: int, memory: int) -> None:
    """Run all phases in this process and its workers, and print seconds, counts and files as one line of JSON."""
    paths = sorted((folder / "documents").glob("*.parquet"))
    parts = [DedupPart(number, path.stem, path, None, str(path)) for number, path in enumerate(paths)]
    config = only(MinHashConfig())
    plan = make_plan(Load(documents), config, workers, memory)
    print(", ".join(f"{step.partitions} partitions of {step.stage}" for step in plan.steps))
    start = time.monotonic()
    with Runner(workers, 0) as runner:
        phases = Phases(lambda phase, tasks: runner.run(phase, tasks))
        found = find(parts, documents, config, folder / "work", phases, plan)
    print(
        json.dumps(
            {
                "wall": time.monotonic() - start,
                "seconds": phases.seconds,
                "counts": phases.counts,
                "gone": {stage: [str(path) for path in files] for stage, files in found.gone.items()},
            }
        )
    )


def check(gone: dict[str, list[str]], made: MadeDocuments) -> None:
    """Print precision and recall against what was planted."""
    numbers = np.arange(made.count)
    origins, kinds = made.origins(numbers), made.kinds(numbers)
    found = 0
    for stage, files in gone.items():
        own = wrong = 0
        for path in files:
            table = pq.read_table(path, columns=["part", "row", "duplicate_of_part", "duplicate_of_row"])
            part, row, kept_part, kept_row = (column.to_numpy() for column in table.columns)
            worse, better = part * PART_DOCUMENTS + row, kept_part * PART_DOCUMENTS + kept_row
            own += len(worse)
            wrong += int((origins[worse] != origins[better]).sum())
        found += own
        print(
            f"{stage}: {own:,} duplicates, {wrong} of them of another document: precision {1 - wrong / max(1, own):.6f}"
        )
    planted = made.count - len(np.unique(origins))
    near = numbers[kinds == NEAR]
    config = MinHashConfig()
    meets = [probability(value, config.bands, config.rows) for value in made.similarities(near).tolist()]
    print(f"planted: {int((kinds == EXACT).sum()):,} exact and {len(near):,} near copies;", end=" ")
    print(f"{found:,} of {planted:,} are gone: recall {found / planted:.4f}", end=" ")
    print(f"(near copies meet their original with {np.mean(meets):.4f})")


def measure(folder: Path, made: MadeDocuments, workers: int, memory: int, group: MemoryGroup) -> None:
    """Run the engine inside the limit and print what it took."""
    own = ["--side", "engine", "--folder", str(folder), "--documents", str(made.count), "--workers", str(workers)]
    command = [sys.executable, "-m", "benchmarks.dedup_million", *own, "--memory-mib", str(memory // _MIB)]
    use = group.run(command)
    print(f"limit {memory // _MIB:,} MiB by {group.kind}; exit code {use.code}, killed for memory {use.killed}")
    print(f"peak of private memory {use.private:,.0f} MiB, of shared memory {use.shared:,.0f} MiB,", end=" ")
    print(f"PSS {use.pss:,.0f} MiB, which was:")
    for kind, (size, count) in sorted(use.by_kind.items(), key=lambda item: -item[1][0]):
        print(f"  {kind:20}{count:3} processes{size:8,.0f} MiB")
    if use.code:
        raise SystemExit(use.output[-3000:])
    plan, answer = use.output.strip().split("\n")[-2:]
    result = json.loads(answer)
    million = made.count / 1e6
    cpu_s = use.cpu_of("driver", "worker")
    print(f"{plan}\n{use.wall_s:.0f} s in all, {use.wall_s / million:.1f} s a million documents;", end=" ")
    print(f"{cpu_s / million:.1f} processor seconds a million, Ray's daemons left out; wall seconds by phase:")
    for phase, seconds in result["seconds"].items():
        counts = ", ".join(f"{name} {count:,}" for name, count in result["counts"][phase].items())
        print(f"  {phase:12}{seconds:8.1f} s  {seconds / use.wall_s:6.1%}  {counts}")
    size = sum(path.stat().st_size for path in (folder / "work").rglob("*") if path.is_file())
    print(f"intermediate results: {size / _MIB:,.0f} MiB")
    check(result["gone"], made)


def main() -> None:
    """Make the documents and measure, or run the engine's side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory-mib", type=int, default=2048)
    parser.add_argument("--keep", type=Path, help="folder that the documents stay in, and are found in again")
    parser.add_argument("--side", choices=["engine"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    memory = arguments.memory_mib * _MIB
    if arguments.side:
        run_engine(arguments.folder, arguments.documents, arguments.workers, memory)
        return
    print(describe("ray", "pyarrow", "numpy"))
    made = MadeDocuments(arguments.documents, _SHORTEST, _LONGEST)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bench-million-"))
    try:
        start = time.monotonic()
        if not (folder / "documents").is_dir():
            write_parts(made.named(), folder / "documents")
        size = sum(path.stat().st_size for path in (folder / "documents").iterdir())
        print(f"{made.count:,} documents, {size / _MIB:,.0f} MiB of Parquet ({time.monotonic() - start:.0f} s to make)")
        shutil.rmtree(folder / "work", ignore_errors=True)
        with memory_group(memory) as group:
            measure(folder, made, arguments.workers, memory, group)
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
