"""Tokens job beside datatrove's DocumentTokenizer: same documents and tokenizer, one core, order A B A B; and growth.

The engine's side is the whole job without Ray: what is held out for validation, tokens, words, the table of documents,
checksums. The peer's is reading and tokenizing. Each side is a process of its own, counted from its start to its end;
what a run on one document costs is taken off. Without validation the tokens of both are compared, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import xxhash

from benchmarks.corpus_vs_datatrove import InProcessRunner
from benchmarks.line_chart import Line, Panel, write_chart
from benchmarks.machine import ROOT, Cost, data_folder, describe, one_core, run, run_sampled
from curation.schema import DOCUMENTS
from curation.store import TableWriter
from filters.metrics import MEASURES
from mixing.tokens.byte_level_bpe import BpeConfig, save_tokenizer, train_byte_level_bpe
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import open_corpus_folder
from mixing.tokens.folder import keep_tokenizer
from mixing.tokens.job import TokensJob, choose_dtype
from mixing.tokens.token_source import load_token_source
from mixing.tokens.tokenizer_file import find_tokenizer

CHART = ROOT / "docs" / "tokenize_growth.svg"
PEER = Path(os.environ.get("BENCH_PEER", "/tmp/bench-peer"))
EOD = "<|endoftext|>"
_FILE_DOCUMENTS = 1_000
_MAX_GROWTH = 1.05


def texts() -> list[str]:
    """Return the gold texts of the real pages, 50 languages."""
    lines = (data_folder() / "web" / "index.jsonl").read_text(encoding="utf-8").strip().split("\n")
    return [text for line in lines if isinstance(text := json.loads(line).get("gold_text"), str) and text]


def build(folder: Path, own: list[str], times: int) -> tuple[Path, int]:
    """Write a corpus of the texts, `times` over, and return its folder and the bytes of its texts."""
    (folder / "documents").mkdir(parents=True)
    number, size = 0, 0
    documents = _documents(own, times)
    while batch := [row for _, row in zip(range(_FILE_DOCUMENTS), documents, strict=False)]:
        with TableWriter(folder / "documents" / f"{number:05d}.parquet", DOCUMENTS) as writer:
            for row in batch:
                writer.write(row)
                size += len(str(row["text"]).encode("utf-8"))
        number += 1
    (folder / "summary.json").write_text(json.dumps({"language": "mul", "utf8_bytes": size}))
    return folder, size


def _documents(own: list[str], times: int) -> Iterator[dict[str, object]]:
    metrics = dict.fromkeys(MEASURES, 0.5) | {"words": None}  # so that the engine has to count them
    for turn in range(times):
        for text in own:
            told = text if turn == 0 else f"{text}\n{turn}"  # a copy would be the same document
            common = {"url": "https://example.org", "date": "2024", "language": "mul", "language_score": 0.9}
            sizes = {"cluster_size": 1, "removed_chars": 0, "metrics": metrics}
            yield {"id": xxhash.xxh3_128_hexdigest(told.encode()), "text": told, **common, **sizes}


def run_engine(corpus: Path, tokenizer: Path, out: Path, validation: bool) -> None:
    """Run the job in this process."""
    config = TokensConfig() if validation else TokensConfig(validation=None)
    found = find_tokenizer(tokenizer, EOD)
    kept = keep_tokenizer(out, found, choose_dtype(found, None))
    TokensJob(open_corpus_folder(corpus), kept, out, config, InProcessRunner()).run()


def engine_command(corpus: Path, tokenizer: Path, out: Path, *options: str) -> list[str]:
    """Return the command line of the engine's side."""
    own = ["--side", "engine", "--corpus", str(corpus), "--tokenizer", str(tokenizer), "--out", str(out), *options]
    return [sys.executable, "-m", "benchmarks.tokenize_speed", *own]


def peer_command(corpus: Path, tokenizer: Path, out: Path) -> list[str]:
    """Return the command line of the peer's side."""
    script = str(ROOT / "benchmarks" / "peer_tokenize.py")
    names = ["--input", str(corpus / "documents"), "--tokenizer", str(tokenizer / "tokenizer.json"), "--eod", EOD]
    return [str(PEER / "bin" / "python"), script, *names, "--out", str(out)]


def compare(folder: Path, tokenizer: Path, own: list[str], times: int, pairs: int, core: int) -> None:
    """Measure both sides on the same documents, and compare their tokens."""
    corpus, size = build(folder / "corpus", own, times)
    one, _ = build(folder / "one", own[:1], 1)
    environment = {"TOKENIZERS_PARALLELISM": "false"}
    start = {
        "datatrove": run(peer_command(one, tokenizer, folder / "one-peer"), core, environment).cpu_s,
        "engine": run(engine_command(one, tokenizer, folder / "one-engine", "--no-validation"), core).cpu_s,
    }
    print(
        f"{size / 1e6:.1f} MB of text; start-up: datatrove {start['datatrove']:.1f} s, engine {start['engine']:.1f} s"
    )
    speeds: dict[str, list[float]] = {"datatrove": [], "engine": []}
    for number in range(pairs):
        place = folder / f"pair-{number}"
        costs = {
            "datatrove": run(peer_command(corpus, tokenizer, place / "peer"), core, environment),
            "engine": run(engine_command(corpus, tokenizer, place / "engine"), core),
        }
        for side, cost in costs.items():
            speeds[side].append(size / 1e6 / (cost.cpu_s - start[side]))
        shown = ", ".join(f"{side} {own[-1]:.2f} MB/s" for side, own in speeds.items())
        print(f"pair {number + 1}: {shown}, ratio {speeds['engine'][-1] / speeds['datatrove'][-1]:.2f}", flush=True)
    ratio = statistics.median(e / p for p, e in zip(speeds["datatrove"], speeds["engine"], strict=True))
    medians = {side: statistics.median(own) for side, own in speeds.items()}
    shown = ", ".join(f"{side} {speed:.2f}" for side, speed in medians.items())
    print(f"MB/s on one core, without start-up, median: {shown}; median ratio {ratio:.2f} (target 1.0)")
    run(engine_command(corpus, tokenizer, folder / "exact", "--no-validation"), core)
    _compare_tokens(folder / "exact" / "corpus", folder / "pair-0" / "peer" / "tokens")


def _compare_tokens(ours: Path, theirs: Path) -> None:
    source = load_token_source(ours)
    own = b"".join((ours / f"{shard.name}.bin").read_bytes() for shard in source.shards)
    peer = b"".join(path.read_bytes() for path in sorted(theirs.glob("*.ds")))
    print(f"tokens: {source.totals.tokens:,} and {len(peer) // 2:,}; the same bytes: {own == peer}", flush=True)


def grow(folder: Path, tokenizer: Path, own: list[str], sizes: list[int], core: int) -> None:
    """Measure the engine on 1, 4 and 16 times the documents, and draw it in docs/tokenize_growth.svg."""
    one, _ = build(folder / "one", own[:1], 1)
    start = run(engine_command(one, tokenizer, folder / "one-out", "--no-validation"), core).cpu_s
    seconds: list[float] = []
    megabytes: list[float] = []
    memory: list[float] = []
    for times in sizes:
        corpus, size = build(folder / f"corpus-{times}", own, times)
        cost: Cost = run_sampled(engine_command(corpus, tokenizer, folder / f"out-{times}"), core)
        seconds.append(cost.cpu_s - start)
        megabytes.append(round(size / 1e6, 1))
        memory.append(cost.peaks["driver"].rss)
        growth = seconds[-1] / seconds[0]
        limit = _MAX_GROWTH * times / sizes[0]
        print(
            f"{times}x, {size / 1e6:.1f} MB: {seconds[-1]:.1f} s without start-up ({start:.1f} s), "
            f"{growth:.2f} times the first (at most {limit:.1f}), peak RSS {cost.peaks['driver'].rss:.0f} MiB",
            flush=True,
        )
    straight = [seconds[-1] * size / megabytes[-1] for size in megabytes]
    lines = [Line("processor time", seconds), Line("a straight line", straight, guide=True)]
    panels = [
        Panel("Seconds, start-up left out", megabytes, lines, logarithmic=True),
        Panel("Peak memory, MiB", megabytes, [Line("the job", memory)]),
    ]
    write_chart(CHART, panels, "megabytes of text")


def huge(folder: Path, tokenizer: Path, own: list[str], megabytes: int, core: int) -> None:
    """Measure the engine on one document of many megabytes."""
    whole = "\n".join(own)
    text = (whole * (megabytes * 1_000_000 // len(whole.encode()) + 1)).encode()[: megabytes * 1_000_000]
    corpus, size = build(folder / "huge", [text.decode("utf-8", "ignore"), "x"], 1)
    cost = run_sampled(engine_command(corpus, tokenizer, folder / "huge-out", "--no-validation"), core)
    memory = cost.peaks["driver"].rss
    print(f"one document of {size / 1e6:.0f} MB: {cost.cpu_s:.0f} s, peak RSS {memory:.0f} MiB", flush=True)


def main() -> None:
    """Print the speeds and the growth, or run one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--sizes", default="1,4,16")
    parser.add_argument("--vocabulary", type=int, default=32_000)
    for name in ("--corpus", "--tokenizer", "--out"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=["engine"], help=argparse.SUPPRESS)
    parser.add_argument("--no-validation", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_engine(arguments.corpus, arguments.tokenizer, arguments.out, not arguments.no_validation)
        return
    print(describe("tokenizers", "pyarrow", "numpy", "datatrove"))
    own, core = texts(), one_core()
    with tempfile.TemporaryDirectory(prefix="bench-tokenize-") as name:
        folder = Path(name)
        corpus, _ = build(folder / "train", own, 1)
        made = train_byte_level_bpe([open_corpus_folder(corpus)], BpeConfig(vocabulary_size=arguments.vocabulary), EOD)
        save_tokenizer(folder / "tokenizer", made, "bench", EOD, {})
        if (PEER / "bin" / "python").is_file():
            compare(folder / "compare", folder / "tokenizer", own, arguments.times, arguments.pairs, core)
        else:
            print(f"without the peer: there is no environment at {PEER} (requirements-peer.txt)")
        grow(folder / "growth", folder / "tokenizer", own, [int(size) for size in arguments.sizes.split(",")], core)
        huge(folder / "huge", folder / "tokenizer", own, 50, core)


if __name__ == "__main__":
    main()
