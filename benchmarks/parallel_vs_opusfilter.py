"""Processor time of the parallel job beside OpusFilter's: same pairs, one core, order A B A B.

OpusFilter runs what its documentation gives as a first configuration for clean data - removal of duplicates, lengths,
length ratio, long words, HTML, share of letters, terminal punctuation, numerals - and language identification with the
same fastText model. The engine runs its job with LASER off in one process: 56 measures, rules, identification with and
without a second look, equal pairs, sources and targets, a ledger row for each pair, the report's sample. Each side is a
process of its own, counted from its start to its end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.corpus_vs_datatrove import InProcessRunner
from benchmarks.machine import Cost, data_folder, describe, lid_model, one_core, run
from configs.load import validate_config
from curation.parallel.config import ParallelConfig
from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.job import ParallelJob

PEER = Path(os.environ.get("BENCH_OPUSFILTER", "/tmp/bench-opusfilter"))
_INPUT = "bible-uedin-v1.de-en"
_RUNS = 3


def run_engine(folder: Path, out: Path, second_look: bool) -> None:
    """Run the job in this process, and print how many pairs are left."""
    langid = {} if second_look else {"second_look": None}
    config = validate_config({"stages": {"laser": None, "langid": langid}}, ParallelConfig, "benchmark")
    inputs = find_parallel_inputs(str(folder / "*.gz"), "de", "en")
    result = ParallelJob("de", "en", inputs, out, config, InProcessRunner()).run()
    print(sum(manifest.counts["pairs"] for manifest in result.outputs))


def peer_configuration(folder: Path, out: Path) -> dict[str, object]:
    """Return OpusFilter's configuration; it reads and writes gzip itself."""
    inputs = [str(folder / f"{_INPUT}.{code}.gz") for code in ("de", "en")]
    names = {stage: [str(out / f"{stage}.{code}.gz") for code in ("de", "en")] for stage in ("unique", "filtered")}
    filters: list[dict[str, object]] = [
        {"LengthFilter": {"unit": "word", "min_length": 1, "max_length": 100}},
        {"LengthRatioFilter": {"unit": "word", "threshold": 3}},
        {"LongWordFilter": {"threshold": 40}},
        {"HtmlTagFilter": {}},
        {"CharacterScoreFilter": {"scripts": ["Latin", "Latin"], "thresholds": [1, 1]}},
        {"TerminalPunctuationFilter": {}},
        {"NonZeroNumeralsFilter": {}},
        {"FastTextFilter": {"languages": ["de", "en"], "thresholds": [0.35, 0.35], "model_path": str(lid_model())}},
    ]
    steps = [
        {"type": "remove_duplicates", "parameters": {"inputs": inputs, "outputs": names["unique"]}},
        {
            "type": "filter",
            "parameters": {"inputs": names["unique"], "outputs": names["filtered"], "filters": filters},
        },
    ]
    return {"common": {"output_directory": str(out)}, "steps": steps}


def run_peer(folder: Path, out: Path, core: int) -> tuple[Cost, int]:
    """Run OpusFilter; return its cost and how many pairs are left."""
    out.mkdir()
    configuration = out / "opusfilter.yaml"
    configuration.write_text(json.dumps(peer_configuration(folder, out)), encoding="utf-8")  # JSON is YAML
    cost = run([str(PEER / "bin" / "opusfilter"), str(configuration)], core, {"OMP_NUM_THREADS": "1"})
    with gzip.open(out / "filtered.de.gz", "rt", encoding="utf-8") as file:
        return cost, sum(1 for _ in file)


def main() -> None:
    """Measure both sides, or run the engine's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["engine"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first-look", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = data_folder() / "opus"
    if arguments.side:
        run_engine(folder, arguments.out, not arguments.first_look)
        return
    if not (PEER / "bin" / "opusfilter").exists():
        raise SystemExit(f"no OpusFilter in {PEER}: see benchmarks/requirements-opusfilter.txt")
    print(describe("numpy", "pyarrow", "fasttext-numpy2-wheel"))
    version = run([str(PEER / "bin" / "pip"), "show", "opusfilter"]).output.split("\n")[1]
    with gzip.open(folder / f"{_INPUT}.de.gz", "rt", encoding="utf-8") as file:
        pairs = sum(1 for _ in file)
    print(f"OpusFilter {version}; {pairs:,} pairs of {_INPUT}, one core")
    core = one_core()
    sides: dict[str, list[tuple[Cost, int]]] = {"OpusFilter": [], "engine": [], "engine, first look only": []}
    with tempfile.TemporaryDirectory(prefix="bench-parallel-") as name:
        for number in range(_RUNS):
            sides["OpusFilter"].append(run_peer(folder, Path(name) / f"peer-{number}", core))
            for side, options in (("engine", []), ("engine, first look only", ["--first-look"])):
                out = Path(name) / f"{len(side)}-{number}"
                command = [sys.executable, "-m", "benchmarks.parallel_vs_opusfilter", "--side", "engine"]
                cost = run([*command, "--out", str(out), *options], core, {"OMP_NUM_THREADS": "1"})
                sides[side].append((cost, int(cost.output)))
    base = statistics.median(cost.cpu_s for cost, _ in sides["OpusFilter"])
    for side, runs in sides.items():
        seconds = [cost.cpu_s for cost, _ in runs]
        median = statistics.median(seconds)
        every = ", ".join(f"{own:.1f}" for own in seconds)
        left = f"{runs[0][1]:,} pairs left"
        print(f"{side:26}{median:7.1f} CPU s ({every}){pairs / median:10,.0f} pairs/s{base / median:7.2f}x  {left}")


if __name__ == "__main__":
    main()
