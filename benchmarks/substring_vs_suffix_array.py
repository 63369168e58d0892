"""Exact substring deduplication against a suffix array of the whole corpus in memory: seconds and peak memory.

The text is real (gold texts of web pages, NTREX-128, a Bible in English and German), in documents of sentences that
a seeded generator puts into a new order; about 15% of it are passages that stood in an earlier document. No sentence
is as long as a window, so that what occurs twice are the passages.

Ours is both tasks in one process, from Parquet to Parquet, all files between them included, in the order and sizes of
parts that a job has. The peer is pydivsufsort (divsufsort, then Kasai's LCP), with a scan for bytes in repeats of at
least the mean length of a window, on one string in memory: reading and writing files is left out. Seconds are
processor time, of user and system.

Memory is the peak of a fresh process less what it held before. Of ours there are two numbers: less what it held after
its imports, and less what it held after a run on two short documents. Between them is what every worker has once, and
no text adds to: tables of characters, and the code of libraries that is loaded when it is first run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.machine import data_folder, describe, one_core, run
from configs.languages import load_languages
from curation.duplicates.identities import best_first, identity
from curation.duplicates.parts import DedupPart
from curation.duplicates.substring import RepeatsPartition, repeats_partition
from curation.duplicates.substring_tokens import TokensPart, tokens_part
from curation.schema import IDENTITIES, IDENTITY_NAMES, KEPT_ROWS
from curation.store import TableWriter
from dedup.substring import SubstringConfig
from filters.scripts import code_points
from filters.tokens import find_tokens
from filters.words import Segmentation

# A sentence is cut here: well below a window in tokens and in bytes.
_PIECE_WORDS, _PIECE_LETTERS, _PIECE_BYTES = 15, 40, 200
_DOCUMENT_BYTES = (800, 8000)
_PASSAGE_BYTES = (1000, 4000)
_COPIED = 0.15
_PART_DOCUMENTS, _PART_BYTES = 5_000, 32 << 20
# Arrow's own allocator holds tens of megabytes before it is asked for one.
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("language", pa.string())])


def segmentations() -> dict[str, Segmentation]:
    """Return how each language puts spaces between words, by code."""
    return {language.code: language.segmentation for language in load_languages().languages}


def main() -> None:
    """Print a table over the sizes; fail where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="8,32,128", help="MiB of text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", type=Path, help="measure ours on this folder, and print it as JSON")
    arguments = parser.parse_args()
    if arguments.run is not None:
        print(json.dumps(measure(arguments.run)))
        return
    print(describe("pydivsufsort", "numpy", "pyarrow"))
    print(f"one core ({one_core()}), best of {arguments.rounds} rounds, each in a fresh process")
    print(f"{'MiB':>5}{'':10}{'seconds':>9}{'MiB/s':>8}{'peak MiB':>10}{'from imports':>14}{'removed bytes':>15}")
    missed = []
    with tempfile.TemporaryDirectory(prefix="bench-substring-") as name:
        for size in map(int, arguments.sizes.split(",")):
            folder = Path(name) / str(size)
            window = build(folder, size << 20)
            missed += compare(folder, size, window, arguments.rounds)
            shutil.rmtree(folder)
    print(f"targets (as fast, a third of the memory): {'; '.join(missed) if missed else 'met at every size'}")
    sys.exit(1 if missed else 0)


def compare(folder: Path, size: int, window: int, rounds: int) -> list[str]:
    """Measure both on one corpus, print two lines and the ratios, and return which targets were missed."""
    commands = {
        "ours": [sys.executable, "-m", "benchmarks.substring_vs_suffix_array", "--run", str(folder)],
        "peer": [sys.executable, "-m", "benchmarks.peer_suffix_array", str(folder / "text.bin"), str(window)],
    }
    best: dict[str, dict[str, float]] = {}
    for name, command in commands.items():
        measured = [json.loads(run(command, one_core(), _ENVIRONMENT).output) for _ in range(rounds)]
        best[name] = own = {key: min(row[key] for row in measured) for key in measured[0]}
        print(f"{size:5}{name:>10}{own['seconds']:9.2f}{size / own['seconds']:8.1f}{own['peak']:10.0f}", end="")
        print(f"{own['from_imports']:14.0f}{own['removed']:15,.0f}", flush=True)
    ours, peer = best["ours"], best["peer"]
    speed, memory = peer["seconds"] / ours["seconds"], peer["peak"] / ours["peak"]
    print(f"{'':9}{speed:.2f}x as fast, 1/{memory:.2f} of the memory", end=" ")
    print(f"(1/{peer['from_imports'] / ours['from_imports']:.2f} with what every worker has once)")
    apart = (ours["removed"] - peer["removed"]) / peer["stretches"]
    print(
        f"{'':9}{ours['removed'] / (size << 20):.1%} go; {apart:+.1f} bytes a stretch, of {peer['stretches']:,.0f}",
        end="",
    )
    print(f": the peer's begin and end inside of tokens, and have {window} bytes or more", flush=True)
    missed = [f"{size} MiB: slower than the peer"] if speed < 1 else []
    return missed + ([f"{size} MiB: more than a third of the peer's memory"] if memory < 3 else [])


def memory(field: str) -> float:
    """Return a field of this process' status, in MiB."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024


def measure(folder: Path) -> dict[str, float]:
    """Run both tasks on a corpus, and return seconds, peaks of memory in MiB and the bytes that they remove."""
    imported = memory("VmRSS")
    with tempfile.TemporaryDirectory() as name:
        write_part(Path(name), 0, [("en", "a text"), ("zh", "一二三")])
        deduplicate(Path(name))
    first_peak, before = memory("VmHWM"), memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    start = time.process_time()
    spans = deduplicate(folder)
    seconds, peak = time.process_time() - start, memory("VmHWM")
    return {
        "seconds": seconds,
        "peak": peak - before,
        "from_imports": max(peak, first_peak) - imported,
        "removed": removed_bytes(folder, spans),
    }


def deduplicate(folder: Path) -> Path:
    """Run both tasks on the parts in a folder, one part or partition after the other; return the file of spans."""
    config, kinds, out = SubstringConfig(), segmentations(), folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    numbers = range(len(list(folder.glob("documents-*.parquet"))))
    tokens = {number: out / f"tokens-{number}" for number in numbers}
    for number, own in tokens.items():
        own.mkdir(parents=True)
        documents, kept = folder / f"documents-{number}.parquet", folder / f"kept-{number}.parquet"
        part = DedupPart(number, str(number), documents, kept, "")
        tokens_part(TokensPart(part, (), kinds, config, 1), own, out)
    anchors = tuple(own / "anchors.arrow" for own in tokens.values())
    identities = {number: folder / f"identities-{number}.arrow" for number in numbers}
    repeats_partition(RepeatsPartition(0, anchors, tokens, identities, frozenset(), config), out, out)
    return out / "spans.parquet"


def removed_bytes(folder: Path, spans: Path) -> int:
    """Return the bytes of text in the union of all spans."""
    removed = 0
    for number in range(len(list(folder.glob("documents-*.parquet")))):
        texts = pq.read_table(folder / f"documents-{number}.parquet")["text"].to_pylist()
        last_row = last_end = -1
        for row in pq.read_table(spans, filters=[("part", "=", number)]).to_pylist():
            last_end = last_end if row["row"] == last_row else 0
            removed += len(texts[row["row"]][max(last_end, row["start"]) : row["end"]].encode())
            last_row, last_end = row["row"], max(last_end, row["end"])
    return removed


def build(folder: Path, size: int) -> int:
    """Write the parts of a corpus, and `text.bin` for the peer; return the mean bytes of 50 tokens."""
    folder.mkdir(parents=True)
    texts: list[tuple[str, str]] = []
    number, own = 0, 0
    keys: list[NDArray[np.uint64]] = []
    for language, text in documents(size):
        texts.append((language, text))
        own += len(text.encode())
        if own >= _PART_BYTES or len(texts) >= _PART_DOCUMENTS:
            keys.append(write_part(folder, number, texts))
            number, own, texts = number + 1, 0, []
    if texts:
        keys.append(write_part(folder, number, texts))
    return write_peer(folder, np.concatenate(keys))


def write_part(folder: Path, number: int, texts: Sequence[tuple[str, str]]) -> NDArray[np.uint64]:
    """Write documents, kept rows and identities of one part; return the identities, shape (N, 5)."""
    rows = []
    with TableWriter(folder / f"documents-{number}.parquet", _SCHEMA) as writer:
        for row, (language, text) in enumerate(texts):
            name = f"{number:016x}{row:016x}"
            own = identity(text, 1.0, "", name)
            rows.append([own.rank0, own.rank1, own.rank2, own.id0, own.id1])
            writer.write({"id": name, "text": text, "language": language})
    every = pa.array(np.arange(len(texts)))
    pq.write_table(pa.table({"row": every}, schema=KEPT_ROWS), folder / f"kept-{number}.parquet")
    numbers = np.array(rows, dtype=np.uint64)
    columns = [every, *(pa.array(numbers[:, column]) for column in range(len(IDENTITY_NAMES)))]
    with pa.ipc.new_file(folder / f"identities-{number}.arrow", IDENTITIES) as file:
        file.write_batch(pa.record_batch(columns, schema=IDENTITIES))
    return numbers


def write_peer(folder: Path, identities: NDArray[np.uint64]) -> int:
    """Write all texts, the best first, with a byte between them that UTF-8 does not know."""
    count = len(list(folder.glob("documents-*.parquet")))
    table = pa.concat_tables([pq.read_table(folder / f"documents-{number}.parquet") for number in range(count)])
    text = [table["text"][row].as_py() for row in best_first(identities).tolist()]
    (folder / "text.bin").write_bytes(b"\xff".join(own.encode() for own in text))
    sample = "\n".join(text[::50])
    tokens = len(find_tokens(code_points(sample), np.zeros(1, dtype=np.int64), "spaces").starts)
    return round(len(sample.encode()) / tokens * SubstringConfig().min_tokens)


def documents(size: int) -> Iterator[tuple[str, str]]:
    """Yield language and text of documents, `size` bytes in all."""
    pools = {code: own for code, own in sorted(sentences().items()) if len(own) > 500}
    weights = [sum(map(len, own)) for own in pools.values()]
    draw = random.Random(20)
    earlier: dict[str, list[str]] = {code: [] for code in pools}
    total = 0
    while total < size:
        code = draw.choices(list(pools), weights)[0]
        wanted, pieces, length = draw.randint(*_DOCUMENT_BYTES), [], 0
        while length < wanted:
            if earlier[code] and draw.random() < _COPIED * 60 / 1600:
                pieces.append(passage(draw.choice(earlier[code]), draw))
            else:
                pieces.append(draw.choice(pools[code]))
            length += len(pieces[-1].encode())
        text = " ".join(pieces)
        earlier[code].append(text)
        total += len(text.encode())
        yield code, text


def passage(text: str, draw: random.Random) -> str:
    """Return a stretch of a text."""
    data = text.encode()
    length = draw.randint(*_PASSAGE_BYTES)
    start = draw.randrange(max(1, len(data) - length))
    return data[start : start + length].decode("utf-8", "ignore").strip()


def sentences() -> dict[str, list[str]]:
    """Return the distinct sentences of the real texts, by language, in pieces that are no windows."""
    data, table = data_folder(), load_languages()
    found: dict[str, dict[str, None]] = {}
    unspaced = {code for code, kind in segmentations().items() if kind == "none"}

    def add(code: str, lines: Sequence[str]) -> None:
        for line in lines:
            for piece in pieces_of(line, code in unspaced):
                found.setdefault(code, {})[piece] = None

    for row in (data / "web" / "index.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        page = json.loads(row)
        if isinstance(page.get("gold_text"), str) and page["lang"] in segmentations():
            add(page["lang"], page["gold_text"].splitlines())
    for path in sorted((data / "ntrex" / "NTREX-128").glob("newstest2019-ref.*.txt")):
        code = table.by_label(path.name.split(".")[1].split("-")[0])
        if code is not None:
            add(code, path.read_text(encoding="utf-8").splitlines())
    for code in ("de", "en"):
        with gzip.open(data / "opus" / f"bible-uedin-v1.de-en.{code}.gz", "rt", encoding="utf-8") as file:
            add(code, file.read().splitlines())
    return {code: list(own) for code, own in found.items()}


def pieces_of(line: str, unspaced: bool) -> Iterator[str]:
    """Yield a line in pieces of few words or letters, and few bytes."""
    units, joint, most = (line, "", _PIECE_LETTERS) if unspaced else (line.split(), " ", _PIECE_WORDS)
    for start in range(0, len(units), most):
        piece = joint.join(units[start : start + most]).strip().encode()[:_PIECE_BYTES].decode("utf-8", "ignore")
        if piece:
            yield piece


if __name__ == "__main__":
    main()
