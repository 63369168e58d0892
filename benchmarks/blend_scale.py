"""A mixture of a billion documents as a stream of sequences: time, memory and resuming, with no index of samples.

Documents are made up: lengths are hashes of their numbers, so that a source of any size is there at once, and what is
measured is the stream's own cost. 200 sources of even sizes and uneven shares; the same number of sequences is drawn
from mixtures of a million to a billion documents. Each run is a process of its own, on one core; memory is the growth
of its peak resident set. Then choices a second of the blend alone, and, where megatron-core is installed, its compiled
loop on the same weights in turn, and what its GPTDataset's indices take: document index, sample index and shuffle index
for the documents of one source, with every sample of an epoch.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import ROOT, describe, one_core
from mixing.stream.blend import sample_choices
from mixing.stream.shuffle import Numbers
from mixing.stream.state import StreamConfig
from mixing.stream.stream import TokenStream

_SOURCES, _LENGTH, _MEAN_TOKENS = 200, 8192, 600
_SCALES = (10**6, 10**7, 10**8, 10**9)
_MODES = ("pieces concatenate", "pieces best_fit", "sequences concatenate", "sequences best_fit")
_BLENDED, _ROUNDS = 1_000_000, 3
_CHUNK = 1 << 18


@dataclass(frozen=True)
class HashedDocuments:
    """Documents that are made up when they are asked for; lengths are exponential, `_MEAN_TOKENS` on average."""

    name: str
    documents: int
    identity: str = "hashed"

    def lengths(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return the tokens of documents."""
        mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(0xD6E8FEB86659FD93)
        even = ((mixed >> np.uint64(11)) + np.uint64(1)) / 2.0**53
        return 1 + (-_MEAN_TOKENS * np.log(even)).astype(np.int64)

    def tokens(self, number: int, start: int, length: int) -> NDArray[np.int64]:
        """Return tokens of a document: its number, again and again."""
        del start
        return np.full(length, number)


def make_stream(documents: int, mode: str) -> TokenStream:
    """Return the stream of a mixture of so many documents, as one rank of eight sees it."""
    weights = 1 / (10 + np.arange(_SOURCES))
    sources = [HashedDocuments(f"source-{number:03}", documents // _SOURCES) for number in range(_SOURCES)]
    draw, packing = mode.split()
    config = StreamConfig.model_validate({"sequence_length": _LENGTH, "draw": draw, "packing": packing})
    return TokenStream(sources, list(weights / weights.sum()), 1, config, batch_size=16, rank=3, world_size=8)


def run_stream(documents: int, mode: str, sequences: int) -> dict[str, float]:
    """Build the stream, draw from it, save, load and go on; return what each step took."""
    before = peak_mib()
    facts: dict[str, float] = {}

    def timed(name: str, call: Callable[[], object]) -> None:
        begin = time.process_time()
        call()
        facts[name] = time.process_time() - begin

    batches = sequences // 128
    stream = make_stream(documents, mode)
    timed("build_s", lambda: make_stream(documents, mode))
    timed("first_s", lambda: next(stream))
    timed("draw_s", lambda: deque(islice(stream, batches), maxlen=0))
    saved = json.dumps(stream.state_dict())
    facts["state_kib"] = len(saved) / 1024
    resumed = make_stream(documents, mode)
    timed("load_s", lambda: resumed.load_state_dict(json.loads(saved)))
    timed("resume_s", lambda: next(resumed))
    expected = next(stream)
    again = make_stream(documents, mode)
    again.load_state_dict(json.loads(saved))
    if not np.array_equal(next(again).tokens, expected.tokens):
        raise SystemExit("the stream that was resumed is another one")
    figures = stream.figures()
    drawn = np.array([own.tokens for own in figures.figures])
    facts |= {
        "peak_mib": peak_mib() - before,
        "tokens": float(drawn.sum()),
        "padding": figures.padding / (figures.sequences * _LENGTH),
        "off": float(np.abs(drawn / drawn.sum() - np.array(figures.weights)).max()),
        "window": float(stream.guaranteed_window),
    }
    return facts


def run_megatron(documents: int) -> dict[str, float]:
    """Build what Megatron-LM's GPTDataset builds for one epoch: by its helpers, as its Python code calls them."""
    source, lengths = HashedDocuments("peer", documents), np.empty(documents, dtype=np.int32)
    for start in range(0, documents, _CHUNK):
        lengths[start : start + _CHUNK] = source.lengths(np.arange(start, min(start + _CHUNK, documents)))
    helpers = megatron_helpers()
    before, begin = peak_mib(), time.process_time()
    random = np.random.RandomState(1)
    document_index = np.arange(documents, dtype=np.int32)
    random.shuffle(document_index)
    tokens = int(lengths.sum(dtype=np.int64))
    sample_index = helpers.build_sample_idx_int32(lengths, document_index, _LENGTH, 1, tokens, True, 1)
    shuffle_index = np.arange(len(sample_index) - 1, dtype=np.uint32)
    random.shuffle(shuffle_index)
    return {
        "build_s": time.process_time() - begin,
        "peak_mib": peak_mib() - before,
        "samples": float(len(shuffle_index)),
    }


def peak_mib() -> float:
    """Return this process' peak resident set."""
    # Not from getrusage, which counts what the process was before it began to run this program.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def megatron_helpers() -> ModuleType:
    """Return megatron-core's compiled helpers, without importing the rest of it.

    Raises:
        LookupError: it is not installed.
    """
    try:
        files = importlib.metadata.files("megatron-core") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise LookupError("megatron-core is not installed") from error
    for file in files:
        if file.name.startswith("helpers_cpp.") and file.suffix == ".so":
            spec = importlib.util.spec_from_file_location("helpers_cpp", str(file.locate()))
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise LookupError("megatron-core has no compiled helpers for this Python")


def aside(*arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own, pinned to one core."""
    core = one_core()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.blend_scale", "--one", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    facts: dict[str, float] = json.loads(done.stdout)
    return facts


def print_streams(sequences: int) -> None:
    """Print a table of streams by size and mode."""
    print(f"\n{sequences:,} sequences of {_LENGTH:,} tokens from {_SOURCES} sources, one rank of 8; CPU seconds")
    heads = ("build", "first batch", "draw", "Mtokens/s", "resume", "state KiB", "peak MiB", "padding", "worst share")
    print(f"{'documents':>14} {'':22}" + "".join(f"{head:>12}" for head in heads))
    for mode in _MODES:
        for documents in _SCALES:
            own = aside("stream", str(documents), mode, str(sequences))
            values = (
                f"{own['build_s']:.3f}", f"{own['first_s']:.2f}", f"{own['draw_s']:.1f}",
                f"{sequences * _LENGTH / own['draw_s'] / 1e6:.0f}", f"{own['load_s'] + own['resume_s']:.2f}",
                f"{own['state_kib']:,.0f}", f"{own['peak_mib']:.0f}", f"{own['padding']:.2%}",
                f"{100 * own['off']:.4f}pp",
            )  # fmt: skip
            print(f"{documents:14,} {mode:22}" + "".join(f"{value:>12}" for value in values), flush=True)
        print(f"{'':15}shares are proved within 0.5 points in every window of {own['window']:,.0f} tokens")


def print_blend() -> None:
    """Print choices a second of the blend, and Megatron-LM's beside it."""
    print(f"\nchoices a second, {_BLENDED:,} at a time, median of {_ROUNDS} rounds; CPU time of one core")
    try:
        helpers: ModuleType | None = megatron_helpers()
    except LookupError as error:
        print(f"{error}: no peer")
        helpers = None
    for sources in (2, 5, 10, 20, 50, 100, 300):
        weights = np.random.default_rng(sources).dirichlet(np.ones(sources))
        rates: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            begin = time.process_time()
            chosen = sample_choices(weights.tolist(), [0] * sources, _BLENDED)[0]
            rates[0].append(_BLENDED / (time.process_time() - begin))
            if helpers is not None:
                dataset, sample = np.zeros(_BLENDED, np.int16), np.zeros(_BLENDED, np.int64)
                begin = time.process_time()
                helpers.build_blending_indices(dataset, sample, weights, sources, _BLENDED, False)
                rates[1].append(_BLENDED / (time.process_time() - begin))
                if not np.array_equal(chosen, dataset):
                    raise SystemExit(f"{sources} sources: the blend is another one than Megatron-LM's")
        line = f"{sources:5} sources: {np.median(rates[0]) / 1e6:6.1f}M/s"
        if helpers is not None:
            line += f"; Megatron-LM's C++ {np.median(rates[1]) / 1e6:6.1f}M/s, the same choices"
        print(line, flush=True)


def print_peer() -> None:
    """Print what the peer's indices take."""
    print("\nindices of Megatron-LM's GPTDataset, one source, one epoch:")
    for documents in (10**6, 10**7, 10**8):
        try:
            own = aside("megatron", str(documents))
        except subprocess.CalledProcessError:
            print("not measured: megatron-core is not installed")
            return
        print(
            f"{documents:14,} documents: {own['build_s']:.1f} s CPU, {own['peak_mib']:,.0f} MiB beside the lengths, "
            f"{own['samples']:,.0f} samples"
        )


def main() -> None:
    """Measure all, or one thing in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=12_800)
    parser.add_argument("--one", nargs="+")
    options = parser.parse_args()
    if options.one:
        kind, documents, *rest = options.one
        run = run_stream(int(documents), rest[0], int(rest[1])) if kind == "stream" else run_megatron(int(documents))
        print(json.dumps(run))
        return
    print(describe("numpy"))
    print_blend()
    print_streams(options.sequences)
    print_peer()


if __name__ == "__main__":
    main()
