"""Processor time of the corpus job beside datatrove's FineWeb recipe: same WARC files, one core, order A B A B.

The engine's side runs the stages crawl to output in one process, without Ray; the whole command line program with Ray
is counted beside it. Each side is a process of its own, counted from its start to its end with all its children.
Set-up is done before: the compact URL lists of the engine, the unpacked lists and the model of the peer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.machine import (
    ROOT,
    Cost,
    copy_one_record,
    corpus_command,
    describe,
    lid_model,
    one_core,
    run,
    run_sampled,
    warc_files,
)
from configs.languages import load_languages
from curation.config import CorpusConfig
from curation.corpus import CorpusJob
from curation.extract import extractor_process
from curation.inputs import find_inputs
from curation.models import prepare_url_lists
from curation.runner import Progress, Runner
from curation.stage import Task, run_task
from curation.store import Manifest

PEER = Path(os.environ.get("BENCH_PEER", "/tmp/bench-peer"))
TARGETS = {"Latn": 12.0}
_TARGET_OWN_SCRIPT = 15.0


class InProcessRunner(Runner):
    """Runs tasks one after the other in this process, so that Ray's own cost stays out of the comparison."""

    def __init__(self) -> None:
        """Prepare."""
        super().__init__(1, 0)

    def run(self, stage: str, tasks: Sequence[Task], progress: Progress | None = None) -> list[Manifest]:
        """Run all tasks and return their manifests, in order."""
        return [run_task(task) for task in tasks]


def run_engine(code: str, source: Path, out: Path) -> None:
    """Run the engine's stages in this process, and print what became of the records as one line of JSON."""
    settings = CorpusConfig()
    job = CorpusJob(load_languages().parse(code), find_inputs(str(source)), out, settings, InProcessRunner())
    result = job.run()
    extractor_process(settings.stages.extract).close()
    outcomes: Counter[str] = Counter()
    kept: dict[str, list[object]] = {}
    for manifest in result.outputs:
        for name in manifest.files:
            if name.startswith("ledger-"):
                for row in pq.read_table(manifest.path(name)).to_pylist():
                    outcomes[f"{row['outcome']} {row['stage'] or ''}".strip()] += 1
                    if row["outcome"] == "kept":
                        kept[row["record_id"]] = [row["warc_file"], row["warc_offset"]]
    print(json.dumps({"outcomes": outcomes, "seconds": result.seconds, "kept": kept}))


def peer_command(code: str, source: Path, out: Path, *options: str) -> list[str]:
    """Return the command line of the peer's side."""
    language = load_languages().parse(code)[0]
    names = ["--lang", code, "--tokenizer", language.iso639_3, "--model", str(lid_model())]
    script = str(ROOT / "benchmarks" / "peer_datatrove.py")
    return [str(PEER / "bin" / "python"), script, *names, "--input", str(source), "--out", str(out), *options]


def peer_environment() -> dict[str, str]:
    """Return where the peer keeps its unpacked lists."""
    return {"HF_HOME": str(PEER / "cache"), "HF_HUB_OFFLINE": "1"}


def peer_documents(out: Path) -> set[str]:
    """Return the WARC record identifiers of what the peer kept."""
    identifiers = set[str]()
    for path in (out / "documents").glob("*.jsonl.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            identifiers.update(json.loads(line)["id"] for line in lines)
    return identifiers


def engine_command(code: str, source: Path, out: Path) -> list[str]:
    """Return the command line of the engine's side."""
    own = ["--side", "engine", "--lang", code, "--input", str(source), "--out", str(out)]
    return [sys.executable, "-m", "benchmarks.corpus_vs_datatrove", *own]


def compare(code: str, pairs: int, core: int, folder: Path) -> None:
    """Measure both sides on one language and print the table."""
    source = warc_files()[0].parent
    costs: dict[str, list[Cost]] = {"datatrove": [], "engine": []}
    for number in range(pairs):
        out = folder / f"{code}-{number}"
        costs["datatrove"].append(run(peer_command(code, source, out / "peer"), core, peer_environment()))
        costs["engine"].append(run(engine_command(code, source, out / "engine"), core))
        pair = {side: own[-1] for side, own in costs.items()}
        shown = ", ".join(f"{side} {cost.cpu_s:.2f} s ({cost.wall_s:.0f} s wall)" for side, cost in pair.items())
        print(
            f"{code} pair {number + 1}: {shown}, ratio {pair['datatrove'].cpu_s / pair['engine'].cpu_s:.1f}", flush=True
        )
    engine = json.loads(costs["engine"][-1].output)
    kept_by_peer = peer_documents(folder / f"{code}-{pairs - 1}" / "peer")
    name, offset = next(place for identifier, place in engine["kept"].items() if identifier in kept_by_peer)
    one = folder / f"{code}-one"
    one.mkdir()
    copy_one_record(source / name, offset, one / "one.warc.gz")
    # What a run costs before it does anything: imports, models, lists, one page that both sides keep.
    start = {
        "datatrove": run(peer_command(code, one, folder / f"{code}-start-peer"), core, peer_environment()).cpu_s,
        "engine": run(engine_command(code, one, folder / f"{code}-start-engine"), core).cpu_s,
    }
    whole = run_sampled(corpus_command(code, source, folder / f"{code}-ray", 1), core)
    _report(code, costs, start, whole, engine, kept_by_peer)


def _report(
    code: str,
    costs: dict[str, list[Cost]],
    start: dict[str, float],
    whole: Cost,
    engine: dict[str, dict[str, int]],
    kept: set[str],
) -> None:
    cpu = {side: statistics.median(cost.cpu_s for cost in own) for side, own in costs.items()}
    net = {side: cpu[side] - start[side] for side in cpu}
    ratios = [p.cpu_s / e.cpu_s for p, e in zip(costs["datatrove"], costs["engine"], strict=True)]
    script = load_languages().parse(code)[0].script
    target = TARGETS.get(script, _TARGET_OWN_SCRIPT)
    steps = json.loads(costs["datatrove"][-1].output)
    outcomes = Counter(engine["outcomes"])
    responses = sum(outcomes.values()) - outcomes["skipped ingest"]
    print(f"{code}: CPU seconds, median of {len(ratios)}: datatrove {cpu['datatrove']:.2f}, engine {cpu['engine']:.2f}")
    print(f"{code}: ratio {statistics.median(ratios):.1f} (each pair: {', '.join(f'{r:.1f}' for r in ratios)})")
    print(f"{code}: start-up alone: datatrove {start['datatrove']:.2f}, engine {start['engine']:.2f}")
    print(f"{code}: without start-up: {net['datatrove']:.2f} / {net['engine']:.2f} = ratio", end=" ")
    print(f"{net['datatrove'] / net['engine']:.1f}; target {target:.0f}")
    print(f"{code}: milliseconds a response record: {cpu['datatrove'] / responses * 1000:.2f}", end=" ")
    print(f"and {cpu['engine'] / responses * 1000:.2f}")
    print(f"{code}: the whole program with Ray, one worker: {whole.cpu_s:.2f} CPU seconds")
    print(f"{code}: documents kept by datatrove {len(kept)}, by the engine {len(engine['kept'])},", end=" ")
    print(f"by both {len(kept & engine['kept'].keys())}")
    handed_on = steps[0]["stats"]["documents"]["total"]
    lost = {s["name"].split()[-1]: {k: v for k, v in s["stats"].items() if isinstance(v, int)} for s in steps}
    print(f"{code}: datatrove's reader handed on {handed_on} of {responses} response records: {lost}")
    print(f"{code}: engine's ledger has {sum(outcomes.values())} rows, {responses} of response records:", end=" ")
    print(dict(sorted(outcomes.items())))
    print(f"{code}: engine's seconds by stage (wall): {engine['seconds']}", flush=True)


def main() -> None:
    """Run the comparison for some languages, or one side of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lang", default="el,pl", help="codes by comma")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--side", choices=["engine"], help=argparse.SUPPRESS)
    parser.add_argument("--input", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_engine(arguments.lang, arguments.input, arguments.out)
        return
    if not (PEER / "bin" / "python").is_file():
        raise SystemExit(f"no peer at {PEER}; see benchmarks/requirements-peer.txt, or set BENCH_PEER")
    print(describe("trafilatura", "resiliparse", "fastwarc", "fasttext-numpy2-wheel", "numpy", "pyarrow", "ray"))
    core = one_core()
    prepare_url_lists()
    with tempfile.TemporaryDirectory(prefix="bench-corpus-") as name:
        folder = Path(name)
        run(peer_command("el", warc_files()[0].parent, folder, "--prepare"), None, peer_environment())
        for code in arguments.lang.split(","):
            compare(code, arguments.pairs, core, folder)


if __name__ == "__main__":
    main()
