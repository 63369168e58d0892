"""Memory and processor time of the corpus job on 1x, 3x and 10x the input: as many files, and as one large file.

The inputs repeat the real WARC files. Memory is that of one worker process and of one extractor process, sampled every
50 ms: RSS, which counts memory shared with other processes, and USS, which does not. Processor time is that of all
processes, and that of the engine's own among them: driver, workers and extractors. Ray's daemons are the rest; they
use processor time while they wait, too. A run on a single page tells what of it all is start-up.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.machine import Cost, Peak, copy_one_record, corpus_command, describe, run_sampled, warc_files
from curation.models import prepare_url_lists

MAX_RSS_RATIO = 1.2


def build(folder: Path, times: int, shape: str) -> Path:
    """Write the real WARC files `times` over, as further files or as one file, and return their folder."""
    folder.mkdir(parents=True)
    for number in range(times):
        for source in warc_files():
            if shape == "files":
                shutil.copyfile(source, folder / f"{number:02d}-{source.name}")
            else:
                with (folder / "large.warc.gz").open("ab") as large:
                    large.write(source.read_bytes())
    return folder


def measure(languages: str, source: Path, out: Path, workers: int) -> tuple[Cost, int]:
    """Run the job and return its cost and the documents kept."""
    cost = run_sampled(corpus_command(languages, source, out, workers))
    tables = [
        pq.read_table(path, columns=["id"], partitioning=None) for path in (out / languages / "documents").glob("*")
    ]
    return cost, sum(table.num_rows for table in tables)


def own_s(cost: Cost) -> float:
    """Return the processor seconds of the engine's processes: all but Ray's daemons."""
    return cost.cpu_s - cost.cpu_by_kind.get("other", 0.0)


def start_up(languages: str, sources: Path, out: Path, folder: Path) -> Cost:
    """Return the cost of a job on one page of the language, which is all start-up."""
    path = next(
        path for path in sorted((out / languages / "documents").glob("*.parquet")) if pq.read_metadata(path).num_rows
    )
    row = pq.read_table(path, columns=["warc_file", "warc_offset"], partitioning=None).to_pylist()[0]
    one = folder / "one"
    one.mkdir()
    copy_one_record(sources / row["warc_file"], row["warc_offset"], one / "one.warc.gz")
    return run_sampled(corpus_command(languages, one, folder / "one-out", 1))


def _show(shape: str, languages: str, times: int, cost: Cost, documents: int) -> None:
    names = ("worker", "extractor", "driver")
    memory = ", ".join(f"{n} {(p := cost.peaks.get(n, Peak())).rss:.0f}/{p.uss:.0f}" for n in names)
    print(
        f"{languages} {shape} {times}x: {documents} documents, CPU {cost.cpu_s:.1f} s ({own_s(cost):.1f} without Ray),",
        end=" ",
    )
    print(f"wall {cost.wall_s:.1f} s, peak RSS/USS MiB: {memory}", flush=True)


def grow(languages: str, shape: str, sizes: list[int], workers: int, folder: Path) -> None:
    """Measure one language and one shape of input at all sizes and print the ratios."""
    costs: dict[int, Cost] = {}
    start = Cost(0.0, 0.0, "")
    for times in sizes:
        place = folder / f"{languages}-{shape}-{times}"
        source = build(place / "input", times, shape)
        costs[times], documents = measure(languages, source, place / "out", workers)
        _show(shape, languages, times, costs[times], documents)
        if times == sizes[0]:
            start = start_up(languages, source, place / "out", place)
        shutil.rmtree(place)
    first = costs[sizes[0]]
    for times in sizes[1:]:
        cost, ratio = costs[times], times / sizes[0]
        memory = {
            name: (cost.peaks[name].rss / first.peaks[name].rss, cost.peaks[name].uss / first.peaks[name].uss)
            for name in ("worker", "extractor", "driver")
            if name in first.peaks and name in cost.peaks
        }
        shown = ", ".join(f"{name} {rss:.2f}x/{uss:.2f}x" for name, (rss, uss) in memory.items())
        print(f"{languages} {shape} {times}x to {sizes[0]}x: peak RSS/USS {shown} (target {MAX_RSS_RATIO}x);", end=" ")
        for name, count in (("all CPU", lambda own: own.cpu_s), ("CPU without Ray's daemons", own_s)):
            growth = (count(cost) - count(start)) / (count(first) - count(start))
            print(
                f"{name} {count(cost) / count(first):.2f}x, less {count(start):.1f} s start-up {growth:.2f}x;", end=" "
            )
        print(f"target {1.05 * ratio:.1f}x", flush=True)


def main() -> None:
    """Print a line for each run and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lang", default="el,de", help="codes by comma, one job each")
    parser.add_argument("--sizes", default="1,3,10")
    parser.add_argument("--shapes", default="files,one")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    print(describe("ray", "pyarrow", "trafilatura", "psutil"))
    prepare_url_lists()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        for shape in arguments.shapes.split(","):
            for languages in arguments.lang.split(","):
                grow(languages, shape, sizes, arguments.workers, Path(name))


if __name__ == "__main__":
    main()
