"""How long a trainer waits for its tokens, and the memory of reading them from 100 shards in random order.

20 sources of 5 shards with 5 million tokens each (int32, documents of about 600 tokens) make 2 GB on disk, mixed in
uneven shares. A process pinned to one core reads steps of 65,536 tokens through `StageBatches`, as a rank does: once at
50,000 tokens a second, where a sleep stands for what the step computes, and once as fast as it can. Waiting is what
`__next__` took. Resident memory is told apart: what the process allocated, and pages of mapped files, which are those
of libraries: shards are read without mapping them. They were just written, so they come from the page cache, not from a
disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.blend_scale import peak_mib
from benchmarks.machine import describe, one_core, run
from configs.load import validate_config
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from mixing.tokens.indexed import IndexedWriter, shard_paths
from mixing.tokens.source_facts import TokenTotals
from mixing.tokens.token_source import TOKENS_FILE, TokenizerIdentity, TokenShard, documents_path
from pretrain.data.data import StageBatches, StepBatch

_SOURCES, _SHARDS, _SHARD_TOKENS, _MEAN_TOKENS = 20, 5, 5_000_000, 600
_LENGTHS = (8_192, 32_768)
_STEP_TOKENS, _RATE = 65_536, 50_000
_TOKENIZER = TokenizerIdentity("0" * 64, "none", 150_000, 0, "int32")


def make_mixture(folder: Path) -> Path:
    """Write the sources, and a mixture of them with a stage for each length; return its folder."""
    for number in range(_SOURCES):
        _write_source(folder / "tokens" / f"source-{number:02}", number)
    shares = [10 + number for number in range(_SOURCES)]
    categories = {
        f"c{number:02}": {"share": f"{share}/{sum(shares)}", "sources": [f"source-{number:02}"]}
        for number, share in enumerate(shares)
    }
    plan = {"schedule": "constant", "peak": 1e-5}
    stages = [
        {
            "name": f"{length}-{packing}",
            "tokens": "1B",
            "sequence_length": length,
            "packing": packing,
            "learning_rate": plan,
            "categories": categories,
        }
        for length in _LENGTHS
        for packing in ("concatenate", "best_fit")
    ]
    data = {"name": "wait", "sequence_length": _LENGTHS[0], "max_epochs": None, "stages": stages}
    write_mixture(validate_config(data, MixtureConfig, "wait"), folder / "tokens", folder / "mixtures")
    return folder / "mixtures" / "wait"


def _write_source(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(number)
    shards = [_write_shard(folder / f"{shard:05}", random) for shard in range(_SHARDS)]
    documents, tokens = sum(own.sequences for own in shards), sum(own.tokens for own in shards)
    facts = {
        "source": folder.name,
        "languages": [folder.name],
        "tokenizer": asdict(_TOKENIZER),
        "corpus": {"folder": "none", "summary_sha256": "", "files": {}},
        "shards": [asdict(own) for own in shards],
        **asdict(TokenTotals(documents, tokens, tokens, 4 * tokens, 4 * tokens)),
        "validation": asdict(TokenTotals(0, 0, 0, 0, 0)),
        "fertility": {},
        "config_hash": "",
    }
    (folder / TOKENS_FILE).write_text(json.dumps(facts))


def _write_shard(prefix: Path, random: np.random.Generator) -> TokenShard:
    with IndexedWriter(prefix, "int32") as writer:
        while writer.tokens < _SHARD_TOKENS:
            tokens = random.integers(1, 150_000, 1 + int(random.exponential(_MEAN_TOKENS)), dtype=np.int32)
            tokens[-1] = 0
            writer.add(tokens)
    documents_path(prefix).touch()
    size = shard_paths(prefix)[0].stat().st_size
    # Nothing here reads checksums: they are compared where a mixture is checked byte by byte.
    return TokenShard(prefix.name, "train", writer.sequences, writer.tokens, size, f"{prefix}", "", "")


def paced(batches: StageBatches, seconds: float) -> dict[str, float]:
    """Take steps at the rate of a trainer; return how long it waited, and memory."""
    waits, memory, cpu = [], [], time.process_time()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        step = next(batches)
        waits.append(step.wait_s)
        memory.append(resident())
        time.sleep(step.tokens / _RATE)
    wall = time.perf_counter() - begin
    return {
        "steps": float(len(waits)),
        "wait": sum(waits) / wall,
        "later_wait": sum(waits[1:]) / (wall - waits[0]),
        "first_s": waits[0],
        "longest_s": max(waits[1:]),
        "cpu": (time.process_time() - cpu) / wall,
        **growth(memory),
    }


def unpaced(batches: StageBatches, tokens: int) -> dict[str, float]:
    """Take steps as fast as they come, until there were so many tokens."""
    passed, memory = 0, []
    begin, cpu = time.perf_counter(), time.process_time()
    for step in _until(batches, tokens):
        passed += step.tokens
        memory.append(resident())
    wall, spent = time.perf_counter() - begin, time.process_time() - cpu
    return {"rate": passed / wall, "cpu_rate": passed / spent, "tokens": float(passed), **growth(memory)}


def _until(batches: StageBatches, tokens: int) -> Iterator[StepBatch]:
    return islice(batches, -(-tokens // _STEP_TOKENS))


def resident() -> tuple[float, float]:
    """Return this process' resident MiB: allocated, and of mapped files."""
    rows = dict(line.split(":") for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(rows["RssAnon"].split()[0]) / 1024, int(rows["RssFile"].split()[0]) / 1024


def growth(memory: list[tuple[float, float]]) -> dict[str, float]:
    """Return the means of the first third, how much more those of the last one are, and the peak of all memory."""
    table = np.array(memory)
    third = max(1, len(table) // 3)
    first, last = table[:third].mean(0), table[-third:].mean(0)
    names = ("allocated", "mapped")
    found = {f"{name}_mib": float(value) for name, value in zip(names, first, strict=True)}
    found |= {f"{name}_growth": float(value) for name, value in zip(names, last - first, strict=True)}
    return found | {"peak_mib": peak_mib()}


def one(mixture: Path, stage: str, kind: str, amount: float) -> dict[str, float]:
    """Measure one thing in this process."""
    length = int(stage.split("-")[0])
    with StageBatches(mixture, stage, _STEP_TOKENS // length, 1) as batches:
        return paced(batches, amount) if kind == "paced" else unpaced(batches, int(amount))


def aside(mixture: Path, stage: str, kind: str, amount: float) -> dict[str, float]:
    """Measure one thing in a process of its own, pinned to one core."""
    command = [sys.executable, "-m", "benchmarks.data_wait", "--one", str(mixture), stage, kind, str(amount)]
    facts: dict[str, float] = json.loads(run(command, one_core()).output)
    return facts


def memory_line(own: dict[str, float]) -> str:
    """Return what `growth` found."""
    return (
        f"{own['allocated_mib']:.0f} MiB allocated ({own['allocated_growth']:+.1f} from first to last third), "
        f"{own['mapped_mib']:.0f} MiB of mapped files ({own['mapped_growth']:+.1f}), peak {own['peak_mib']:.0f} MiB"
    )


def main() -> None:
    """Measure all, or one thing in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--folder", type=Path, help="where 2 GB are written; else the folder of temporary files")
    parser.add_argument("--one", nargs=4)
    options = parser.parse_args()
    if options.one:
        mixture, stage, kind, amount = options.one
        print(json.dumps(one(Path(mixture), stage, kind, float(amount))))
        return
    print(describe("numpy", "torch"))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        mixture = make_mixture(Path(folder))
        for length in _LENGTHS:
            for packing in ("concatenate", "best_fit"):
                stage = f"{length}-{packing}"
                own = aside(mixture, stage, "paced", options.seconds)
                print(
                    f"\n{length:,} tokens a sequence, {packing}\n"
                    f"at {_RATE:,} tokens/s: waited {own['wait']:.3%} of {options.seconds:.0f} s, of which "
                    f"{own['first_s']:.2f} s for the first step, when nothing was read ahead; after it "
                    f"{own['later_wait']:.3%}, at most {1000 * own['longest_s']:.1f} ms; {own['cpu']:.1%} of a core\n"
                    f"  {memory_line(own)}",
                    flush=True,
                )
                own = aside(mixture, stage, "unpaced", options.tokens)
                print(
                    f"as fast as can be, {own['tokens']:,.0f} tokens: {own['rate'] / 1e6:.1f}M tokens/s, "
                    f"{own['cpu_rate'] / 1e6:.1f}M a CPU second\n  {memory_line(own)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
