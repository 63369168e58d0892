"""Time and memory of exact and near deduplication on 1x, 4x and 16x the documents, drawn in docs/dedup_growth.svg.

The documents are made up (`dedup_made.py`): 300 words, one in ten an exact copy, two in ten a near copy. Two workers
run all phases through Ray. Processor time is that of the driver and of the workers; Ray's daemons are left out, as they
use processor time while they wait, too. Memory is the resident set of the largest process, mapped files included,
sampled every 50 ms. A run on a hundred documents, the fastest of three, tells what of it all is start-up.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.dedup_made import MadeDocuments
from benchmarks.dedup_parts import Phases, find, only, pairs, write_parts
from benchmarks.line_chart import Line, Panel, write_chart
from benchmarks.machine import ROOT, Cost, describe, run_sampled
from curation.duplicates.parts import DedupPart
from curation.runner import Runner
from dedup.minhash import MinHashConfig

CHART = ROOT / "docs" / "dedup_growth.svg"
_SHORTEST = _LONGEST = 300
_START_UP, _START_UP_RUNS = 100, 3


def run_engine(folder: Path, documents: int, workers: int) -> None:
    """Run all phases in this process and its workers, and print how many duplicates there are."""
    paths = sorted((folder / "documents").glob("*.parquet"))
    parts = [DedupPart(number, path.stem, path, None, str(path)) for number, path in enumerate(paths)]
    with Runner(workers, 0) as runner:
        phases = Phases(lambda phase, tasks: runner.run(phase, tasks))
        found = find(parts, documents, only(MinHashConfig()), folder / "work", phases)
    print(sum(1 for _ in pairs(parts, found)))
    print(", ".join(f"{phase} {seconds:.1f}" for phase, seconds in phases.seconds.items()))


def measure(documents: int, workers: int, folder: Path) -> Cost:
    """Make the documents, run the engine on them, and return its cost."""
    write_parts(MadeDocuments(documents, _SHORTEST, _LONGEST).named(), folder / "documents")
    own = ["--side", "engine", "--folder", str(folder), "--documents", str(documents), "--workers", str(workers)]
    cost = run_sampled([sys.executable, "-m", "benchmarks.dedup_growth", *own])
    shutil.rmtree(folder)
    return cost


def own_s(cost: Cost) -> float:
    """Return the processor seconds of the driver and the workers."""
    return cost.cpu_s - cost.cpu_by_kind.get("other", 0.0)


def peak(cost: Cost) -> float:
    """Return the most memory that one process took, in MiB, those of Ray left out."""
    return max(own.rss for kind, own in cost.peaks.items() if kind != "other")


def report(costs: dict[int, Cost], start: Cost) -> None:
    """Print the table and the ratios."""
    heads = f"{'wall s':>9}{'CPU s':>9}{'docs/CPU s':>12}{'worker MiB':>12}{'driver MiB':>12}{'duplicates':>12}"
    print(f"{'documents':>10}{heads}")
    for documents, cost in costs.items():
        workers, driver = (cost.peaks[kind].rss for kind in ("worker", "driver"))
        found, seconds = cost.output.strip().split("\n")[-2:]
        print(f"{documents:10,}{cost.wall_s:9.1f}{own_s(cost):9.1f}{documents / own_s(cost):12,.0f}", end="")
        print(f"{workers:12,.0f}{driver:12,.0f}{int(found):12,}")
        print(f"{'':10}  seconds by phase: {seconds}")
    print(
        f"start-up ({_START_UP} documents): {start.wall_s:.1f} s wall, {own_s(start):.1f} s CPU, {peak(start):.0f} MiB"
    )
    first, *others = costs.items()
    for documents, cost in others:
        ratio = documents / first[0]
        for name, one, other, base in (
            ("wall time", first[1].wall_s, cost.wall_s, start.wall_s),
            ("processor time", own_s(first[1]), own_s(cost), own_s(start)),
        ):
            print(f"{ratio:.0f}x the documents: {name} {other / one:.2f}x,", end=" ")
            print(f"less start-up {(other - base) / (one - base):.2f}x")
        print(f"{ratio:.0f}x the documents: peak memory {peak(cost) / peak(first[1]):.2f}x")


def draw(costs: dict[int, Cost], workers: int) -> None:
    """Draw the chart."""
    sizes = list(costs)
    cpu = [own_s(cost) for cost in costs.values()]
    seconds = [
        Line("processor time", cpu),
        Line(f"wall time, {workers} workers", [cost.wall_s for cost in costs.values()]),
        Line("as the documents grow", [cpu[0] * size / sizes[0] for size in sizes], guide=True),
    ]
    memory = [
        Line(name, [cost.peaks[kind].rss for cost in costs.values()])
        for kind, name in (("worker", "largest worker"), ("driver", "driver"))
    ]
    panels = [Panel("Seconds", sizes, seconds, logarithmic=True), Panel("Peak memory, MiB", sizes, memory)]
    write_chart(CHART, panels, "documents of 300 words")


def main() -> None:
    """Measure all sizes, or run the engine's side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,40000,160000", help="numbers of documents by comma")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--side", choices=["engine"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--documents", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_engine(arguments.folder, arguments.documents, arguments.workers)
        return
    print(describe("ray", "pyarrow", "numpy"))
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        starts = [measure(_START_UP, arguments.workers, Path(name) / "start") for _ in range(_START_UP_RUNS)]
        start = min(starts, key=lambda cost: cost.wall_s)
        sizes = [int(size) for size in arguments.sizes.split(",")]
        costs = {size: measure(size, arguments.workers, Path(name) / str(size)) for size in sizes}
    report(costs, start)
    draw(costs, arguments.workers)


if __name__ == "__main__":
    main()
