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
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import torch

from benchmarks.machine import ROOT, describe
from benchmarks.train_shapes import Work

PEER_PYTHON = os.environ.get("BENCH_TRAIN_PEER", sys.executable)
TARGET, TARGET_MFU = 1.2, 0.62
# Shape, sequences, length, recomputation of ours and of the peer, modes of ours: what is claimed. 7B's float32 weights,
# moments and gradients are 16 bytes each, 122 GB; the peer has bfloat16 for all of them.
CASES = (
    ("qwen2-1.5b", 4, 8192, "none", "none", ("default",)),
    ("qwen2-1.5b", 1, 32_768, "none", "none", ("default",)),
    ("qwen2-7b", 2, 4096, "selective", "none", ("default", "weights=bf16/states=int8/recompute=none")),
)
_TINY = (("tiny", 2, 512, "none", "none", ("default",)),)


def main() -> None:
    """Run the sides in turns and print what each gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="A B A B is two")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=4)
    parser.add_argument("--case", type=int, action="append", help="number of a case, from 0; all by default")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--modes", help="of ours, by comma, in place of the case's: see engine_train_step.py")
    parser.add_argument("--ours-only", action="store_true", help="to compare modes of ours")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON lines")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here: run it on a GPU, or try the scripts with --device cpu")
    print(describe("torch"))
    cases = CASES if options.device == "cuda" else _TINY
    for number, (shape, batch, length, own, peers, modes) in enumerate(cases):
        if options.case and number not in options.case:
            continue
        work = Work(shape, batch, length, options.steps, options.warmup, "", own, masked=True)
        print(f"\n{shape}, {batch} x {length:,}, recomputation of ours: {own}, of the peer: {peers}")
        chosen = options.modes.split(",") if options.modes else modes
        _compare(work, replace(work, recompute=peers), chosen, options)


def _compare(ours: Work, peer: Work, modes: Sequence[str], options: argparse.Namespace) -> None:
    sides: dict[str, tuple[str, Work]] = {}
    for mode, masked in () if options.ours_only else _peer_modes(options.device):
        name = f"transformers + Liger, {mode}{'' if masked else ', no masks'}"
        sides[name] = ("peer_train_step", replace(peer, mode=mode, masked=masked))
    for mode in modes:
        if options.device == "cpu":
            mode = f"{mode}/attention=reference/compile=no"
        sides[f"this engine, {mode}"] = ("engine_train_step", replace(ours, mode=mode))
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(options.rounds):
        for name, (script, own) in sides.items():
            if (found := run_side(script, own, options.device)) is None:
                continue
            figures[name].append(found)
            # At once: what is ended by a limit has shown what it found.
            print(f"  round {number + 1}: {name}: {found['tokens_per_s']:,.0f} tokens/s", flush=True)
            if options.out is not None:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"side": name, "round": number, "work": asdict(own), **found}) + "\n")
    _print(figures)


def _peer_modes(device: str) -> list[tuple[str, bool]]:
    if device == "cpu":
        return [("sdpa", True)]
    flash = [("flash", True)] if importlib.util.find_spec("flash_attn") else []
    return [*flash, ("flex", True), ("sdpa", False)]


def run_side(script: str, work: Work, device: str) -> dict[str, float] | None:
    """Return the figures of a side, run as a process of its own; None where it failed, which is said."""
    python = PEER_PYTHON if script.startswith("peer") else sys.executable
    command = [python, "-m", f"benchmarks.{script}", json.dumps(asdict(work))]
    # Both sides: blocks of memory that grow, as tensors of many sizes leave holes otherwise.
    settings = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    if device == "cpu":
        settings["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**settings, **os.environ}
    )
    if done.returncode:
        last = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:]
        print(f"  {script} {work.mode} failed: {last}", flush=True)
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
            f"{found[0]['last_loss']:.3f}; attention {found[0]['attention']}; first steps {found[0]['warmup_s']:.0f} s)"
        )
    peers = [rate for name, rate in rates.items() if name.startswith("transformers")]
    ours = [rate for name, rate in rates.items() if not name.startswith("transformers")]
    if peers and ours:
        print(f"  ratio to the best of the peer: {max(ours) / max(peers):.2f} (target {TARGET}, MFU {TARGET_MFU:.0%})")


if __name__ == "__main__":
    main()
