"""Training steps beside transformers + Liger-Kernel: tokens a second, MFU, memory; on one GPU.

Both train a model of Qwen2's shape with new weights on the same random tokens, in documents of mixed lengths that do
not see each other. Each side is a process of its own, in turns A B A B; the median of the rounds counts. The peer runs
with each attention that it has there, and once more without masks, where its kernel is fastest: the best of all is what
we are compared with. Needs transformers, liger-kernel and a CUDA device; `--device cpu` tries the scripts on a small
shape.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from statistics import median

from benchmarks.machine import ROOT, describe
from benchmarks.train_shapes import Work

PEER_PYTHON = os.environ.get("BENCH_TRAIN_PEER", sys.executable)
TARGET, TARGET_MFU = 1.2, 0.62
# Shape, sequences, length, recomputation: what is claimed.
CASES = (
    ("qwen2-1.5b", 4, 8192, "none"),
    ("qwen2-1.5b", 1, 32_768, "none"),
    ("qwen2-7b", 2, 4096, "selective"),
)


def main() -> None:
    """Run the sides in turns and print what each gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="A B A B is two")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=4)
    parser.add_argument("--case", type=int, action="append", help="number of a case, from 0; all by default")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--modes", default="auto/compile/fp32", help="of ours, by comma: attention/compile/weights")
    options = parser.parse_args()
    print(describe("torch", "transformers"))
    cases = CASES if options.device == "cuda" else (("tiny", 2, 512, "none"),)
    for number, (shape, batch, length, recompute) in enumerate(cases):
        if options.case and number not in options.case:
            continue
        work = Work(shape, batch, length, options.steps, options.warmup, "", recompute, masked=True)
        print(f"\n{shape}, {batch} x {length:,}, recomputation of ours: {recompute}")
        _compare(work, options)


def _compare(work: Work, options: argparse.Namespace) -> None:
    sides: dict[str, tuple[str, Work]] = {}
    for mode, masked in _peer_modes(options.device):
        peer = replace(work, mode=mode, masked=masked, recompute="none" if work.shape != "qwen2-7b" else "all")
        sides[f"transformers + Liger, {mode}{'' if masked else ', no masks'}"] = ("peer_train_step", peer)
    for mode in options.modes.split(","):
        chosen = mode if options.device == "cuda" else "reference/plain/fp32"
        sides[f"this engine, {chosen}"] = ("engine_train_step", replace(work, mode=chosen))
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, (script, own) in sides.items():
            if (found := _run(script, own)) is not None:
                figures[name].append(found)
    _print(figures)


def _peer_modes(device: str) -> list[tuple[str, bool]]:
    if device == "cpu":
        return [("sdpa", True)]
    flash = [("flash", True)] if importlib.util.find_spec("flash_attn") else []
    return [*flash, ("flex", True), ("sdpa", False)]


def _run(script: str, work: Work) -> dict[str, float] | None:
    python = PEER_PYTHON if script.startswith("peer") else sys.executable
    command = [python, "-m", f"benchmarks.{script}", json.dumps(asdict(work))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  {script} {work.mode} failed: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def _print(figures: dict[str, list[dict[str, float]]]) -> None:
    rates = {name: median(own["tokens_per_s"] for own in found) for name, found in figures.items() if found}
    for name, rate in rates.items():
        found = figures[name]
        mfu = "" if found[0]["mfu"] is None else f"  MFU {median(own['mfu'] for own in found):.1%}"
        memory = "" if found[0]["peak_gib"] is None else f"  {max(own['peak_gib'] for own in found):.1f} GiB"
        rounds = ", ".join(f"{own['tokens_per_s']:,.0f}" for own in found)
        print(
            f"  {name:44}{rate:>10,.0f} tokens/s{mfu}{memory}  (rounds {rounds}; loss {found[0]['first_loss']:.3f} -> "
            f"{found[0]['last_loss']:.3f})"
        )
    peers = [rate for name, rate in rates.items() if name.startswith("transformers")]
    ours = [rate for name, rate in rates.items() if not name.startswith("transformers")]
    if peers and ours:
        print(f"  ratio to the best of the peer: {max(ours) / max(peers):.2f} (target {TARGET}, MFU {TARGET_MFU:.0%})")


if __name__ == "__main__":
    main()
