"""A sweep on real text of four languages: 24 trials and more of 16M parameters on one GPU; how long it takes.

    python -m benchmarks sweep_four_languages [--tokens FOLDER] [--out FOLDER] [--cpu]

Corpora and tokens are made of the real web pages first, unless tokens are given. `--cpu` trains a far smaller model on
fewer tokens, to see that all works where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml

from benchmarks.machine import ROOT, data_folder, describe
from pretrain.sweep.results import ANALYSIS

LANGUAGES = ("de", "en", "ru", "zh")
SWEEP = "four_languages"
_MINUTES = 30


def main() -> int:
    """Run it; return 1 where it took longer than half an hour, or fewer than 24 trials finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=Path, help="folder of tokens of de, en, ru and zh")
    parser.add_argument("--out", type=Path, help="where the sweep is kept; started again, it goes on")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    if not options.cpu and not torch.cuda.is_available():
        print("there is no GPU here; --cpu tries it with a small model", file=sys.stderr)
        return 2
    print(describe("torch", "ray", "scikit-learn"), torch.cuda.get_device_name() if not options.cpu else "", sep="\n")
    with tempfile.TemporaryDirectory() as scratch:
        tokens = options.tokens or _make_tokens(Path(scratch))
        out = options.out or Path(scratch) / "sweeps"
        config = _small_config(Path(scratch)) if options.cpu else ROOT / "configs" / "sweeps" / f"{SWEEP}.yaml"
        begin = time.monotonic()
        _run("pretrain", "sweep", "--config", config, "--tokens", tokens, "--out", out)
        minutes = (time.monotonic() - begin) / 60
        analysis = json.loads((out / SWEEP / ANALYSIS).read_text(encoding="utf-8"))
    finished, left_out = len(analysis["measured"]), len(analysis["left_out"])
    print(f"{finished} trials of the design finished, {left_out} trials left out, {minutes:.1f} minutes")
    found = analysis["recommendation"]
    for name, share in (found or {"shares": {"": {}}})["shares"].popitem()[1].items():
        print(f"{name:12}{100 * share['value']:6.1f}% ({100 * share['low']:.1f}-{100 * share['high']:.1f})")
    return int(finished < 24 or minutes > _MINUTES)


def _make_tokens(folder: Path) -> Path:
    pages = data_folder() / "web" / "warc" / "*.warc.gz"
    _run("curation", "corpus", "--lang", ",".join(LANGUAGES), "--input", pages, "--out", folder / "corpora")
    (folder / "tokens.yaml").write_text("validation: {share: 0.05}\n", encoding="utf-8")
    corpora = ",".join(str(folder / "corpora" / name) for name in LANGUAGES)
    _run("mixing", "tokens", "--corpus", corpora, "--out", folder / "tokens", "--config", folder / "tokens.yaml")
    return folder / "tokens"


def _small_config(folder: Path) -> Path:
    """Write the same sweep for a processor: 160,000 tokens a trial, the proxy of the tiny sweep."""
    configs = ROOT / "configs"
    mixture = yaml.safe_load((configs / "mixtures" / f"{SWEEP}.yaml").read_text(encoding="utf-8"))
    mixture["sequence_length"] = 256
    stage = mixture["stages"][0]
    stage["tokens"] = "160k"
    stage["learning_rate"] |= {"peak": 4e-3, "final": 4e-4, "warmup_tokens": "16k"}
    run = yaml.safe_load((configs / "pretrain" / "tiny_proxy.yaml").read_text(encoding="utf-8"))
    run["evaluation"] = {"every_steps": 40, "forgetting": []}
    sweep = yaml.safe_load((configs / "sweeps" / f"{SWEEP}.yaml").read_text(encoding="utf-8"))
    sweep = {name: own for name, own in sweep.items() if name not in ("scaling", "launch")}
    sweep |= {"mixture": str(folder / "mixture.yaml"), "run": str(folder / "run.yaml")}
    for name, own in (("mixture", mixture), ("run", run), ("sweep", sweep)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    return folder / "sweep.yaml"


def _run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
