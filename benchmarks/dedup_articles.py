"""Near duplicates among news articles, beside datatrove's four MinHash stages and datasketch's index, on one core.

The articles hold pairs that people marked: precision and recall are those of the pairs found. Each run is a process of
its own, counted from its start to its end, in the order A B C A B C. All use 14 bands of 8 hashes on 5-grams of words.
The engine reads the text file, writes parts, runs every phase of exact and near deduplication in one process, without
Ray, reads the result and writes the articles that stay as JSON lines; datatrove reads JSON lines and writes JSON lines;
datasketch reads JSON lines and holds all in memory. What a run on a single article takes is start-up: imports, tables,
and what a task costs whatever its size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT, Cost, data_folder, describe, one_core, run
from dedup.minhash import MinHashConfig

PEER = Path(os.environ.get("BENCH_PEER", "/tmp/bench-peer"))
TARGET = 10.0
# Less than this cannot be told from start-up; a rate is a lower bound then.
_NOISE_S = 0.03
_ENGINE, _DATATROVE, _DATASKETCH = "engine", "datatrove", "datasketch"
_VERIFIED = "datasketch, verified"

Pairs = set[frozenset[str]]


@dataclass(frozen=True)
class Articles:
    """A file of articles, a folder that holds the same ones as JSON lines, and the pairs that people marked."""

    text: Path
    lines: Path
    count: int
    marked: Pairs


def prepare(folder: Path, count: int, only_first: bool = False) -> Articles:
    """Write the articles as JSON lines for the peers."""
    source = data_folder() / "dedup" / "articles" / "data"
    if not (source / f"articles_{count}.train").is_file():
        raise SystemExit(f"no articles in {source}")
    lines = (source / f"articles_{count}.train").read_text(encoding="utf-8").splitlines()
    lines = lines[:1] if only_first else lines
    marked = {frozenset(line.split()) for line in (source / f"articles_{count}.truth").read_text().splitlines()}
    place = folder / f"articles-{len(lines)}"
    (place / "lines").mkdir(parents=True)
    (place / "articles.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with (place / "lines" / "articles.jsonl").open("w", encoding="utf-8") as file:
        for name, _, text in (line.partition(" ") for line in lines):
            file.write(json.dumps({"id": name, "text": text}) + "\n")
    return Articles(place / "articles.txt", place / "lines", len(lines), marked)


def command(side: str, articles: Articles, out: Path) -> list[str]:
    """Return the command line of one side."""
    if side == _ENGINE:
        return [sys.executable, "-m", "benchmarks.dedup_articles_engine", str(articles.text), str(out)]
    if side == _DATATROVE:
        script = str(ROOT / "benchmarks" / "peer_dedup_datatrove.py")
        return [str(PEER / "bin" / "python"), script, str(articles.lines), str(out)]
    script = str(ROOT / "benchmarks" / "peer_dedup_datasketch.py")
    return [sys.executable, script, str(articles.lines), str(MinHashConfig().min_similarity)]


def measure(sides: Iterable[str], articles: Articles, rounds: int, core: int, folder: Path) -> dict[str, list[Cost]]:
    """Run all sides in turn and return their costs."""
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in costs:
            out = folder / f"{side}-{articles.count}-{number}"
            out.mkdir()
            costs[side].append(run(command(side, articles, out), core))
    return costs


def report(articles: Articles, costs: dict[str, list[Cost]], starts: dict[str, list[Cost]]) -> None:
    """Print the table of one number of articles."""
    rounds = len(costs[_ENGINE])
    print(f"\n{articles.count} articles, {len(articles.marked)} marked pairs; seconds are medians of {rounds}")
    heads = f"{'wall s':>8}{'docs/s':>8}{'CPU s':>8}{'docs/CPU s':>12}{'start-up CPU s':>16}{'docs/CPU s without':>20}"
    print(f"{'':22}{heads}{'precision':>11}{'recall':>8}")
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    rest: dict[str, float] = {}
    for side, own in costs.items():
        wall[side], cpu[side] = (statistics.median(getattr(cost, name) for cost in own) for name in ("wall_s", "cpu_s"))
        start = statistics.median(cost.cpu_s for cost in starts[side])
        rest[side] = max(_NOISE_S, cpu[side] - start)
        answer = json.loads(own[-1].output.strip().split("\n")[-1])
        shown = f"{wall[side]:8.2f}{articles.count / wall[side]:8.0f}{cpu[side]:8.2f}{articles.count / cpu[side]:12.0f}"
        bound = ">" if rest[side] == _NOISE_S else ""
        shown += f"{start:16.2f}{bound + format(articles.count / rest[side], '.0f'):>20}"
        print(f"{side:22}{shown}{_quality(answer['pairs'], articles.marked)}")
        if "verified" in answer:
            print(f"{_VERIFIED:22}{'':72}{_quality(answer['verified'], articles.marked)}")
    for side in (side for side in costs if side != _ENGINE):
        print(f"engine to {side}: {wall[side] / wall[_ENGINE]:.1f}x in wall time,", end=" ")
        print(f"{cpu[side] / cpu[_ENGINE]:.1f}x in processor time,", end=" ")
        print(f"{rest[side] / rest[_ENGINE]:.1f}x in processor time without start-up", end="")
        print(f" (target {TARGET:.0f}x)" if side == _DATATROVE else "")
    seconds = json.loads(costs[_ENGINE][-1].output)["seconds"]
    print(
        "engine's seconds by phase: " + ", ".join(f"{name} {value:.3f}" for name, value in seconds.items()), flush=True
    )


def _quality(found: list[list[str]], marked: Pairs) -> str:
    own = {frozenset(pair) for pair in found}
    return f"{len(own & marked) / max(1, len(own)):11.3f}{len(own & marked) / len(marked):8.3f}"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="100,1000,2500", help="numbers of articles by comma")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe("numpy", "pyarrow", "datasketch"))
    sides = [_ENGINE, _DATATROVE, _DATASKETCH]
    if not (PEER / "bin" / "python").is_file():
        print(f"without datatrove: there is no environment at {PEER} (requirements-peer.txt)")
        sides.remove(_DATATROVE)
    core = one_core()
    with tempfile.TemporaryDirectory(prefix="bench-articles-") as name:
        folder = Path(name)
        starts = measure(sides, prepare(folder, 100, only_first=True), arguments.rounds, core, folder)
        for count in arguments.counts.split(","):
            articles = prepare(folder, int(count))
            report(articles, measure(sides, articles, arguments.rounds, core, folder), starts)


if __name__ == "__main__":
    main()
