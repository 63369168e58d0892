"""A sweep on made-up languages whose best mixture is known, and RegMix's regression on the same trials.

Two languages contradict each other, one helps both (`markov_languages.py`); the best shares follow from their tables.
Trials are real: `python -m pretrain sweep` trains a small model on each mixture. Printed are the shares that are
recommended beside the true ones, and how predictions rank mixtures that were trained, too, but not fitted on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import spearmanr

from benchmarks.machine import ROOT, describe
from benchmarks.markov_languages import LANGUAGES, best_shares, write_languages
from configs.load import load_config
from pretrain.sweep.analysis.observations import Observations, observe
from pretrain.sweep.analysis.responses import responses
from pretrain.sweep.design.design import features_of
from pretrain.sweep.plan import SweepPlan, open_sweep
from pretrain.sweep.results import ANALYSIS, read_outcome
from pretrain.sweep.sweep_config import SweepConfig

PEER = Path(os.environ.get("BENCH_PEER", "/tmp/bench-peer"))
TEXTS = 80_000
WEIGHTS = {"left": 0.35, "right": 0.25, "helper": 0.40}
EVEN = dict.fromkeys(LANGUAGES, 1 / 3)
MIXTURE = {
    "name": "markov",
    "sequence_length": 160,
    "max_epochs": 10,
    "stages": [
        {
            "name": "only",
            "tokens": "240k",
            "learning_rate": {"schedule": "cosine", "peak": 5e-3, "final": 0, "warmup_tokens": "10k"},
            "categories": {name: {"share": "1/3", "sources": [name]} for name in LANGUAGES},
        }
    ],
}
SHAPE = {
    "family": "qwen2", "vocab_size": 1058, "hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2,
    "kv_heads": 2, "head_dim": 16, "max_positions": 160, "qkv_bias": True, "tied_head": False,
}  # fmt: skip
RUN = {
    "name": "markov",
    "mixture": "unused",
    "model": {"shape": SHAPE},
    "batch": {"tokens": 480, "micro_tokens": 480},
    "compute": {"dtype": "fp32", "compile": False},
    "optimizer": {"weight_decay": 0.0},
    "checkpoint": {"every_steps": None},
    "evaluation": {"every_steps": None, "forgetting": []},
    "export": False,
    "log_every_steps": 1000,
}


def main() -> int:
    """Run both sweeps, compare; return 1 where the recommendation is farther off than 5 points, or ranks badly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24, help="of the sweep, besides the base mixture")
    parser.add_argument("--others", type=int, default=12, help="mixtures that the predictions are measured on")
    parser.add_argument("--seed", type=int, default=1, help="of the languages' texts and of the design")
    parser.add_argument("--folder", type=Path, help="where it is kept; started again, it goes on")
    options = parser.parse_args()
    print(describe("torch", "scikit-learn", "scipy", "ray"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        _prepare(folder, options.seed)
        begin = time.monotonic()
        sweep = _sweep(folder, "sweep", options.trials, options.seed, confirm=True)
        seconds = time.monotonic() - begin
        others = _sweep(folder, "others", options.others, options.seed + 1000, confirm=False)
        return _compare(sweep, others, folder, seconds)


def _prepare(folder: Path, seed: int) -> None:
    if (folder / "tokens").exists():
        return
    corpora, tokenizer = write_languages(folder, TEXTS, seed)
    for name, own in (("mixture", MIXTURE), ("run", RUN), ("tokens", {"validation": {"share": 0.1}})):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    arguments = ["--corpus", f"{corpora}/*", "--out", folder / "tokens", "--tokenizer", tokenizer]
    _run("mixing", "tokens", *arguments, "--config", folder / "tokens.yaml")


def _sweep(folder: Path, name: str, trials: int, seed: int, confirm: bool) -> SweepPlan:
    config = {
        "name": name,
        "mixture": str(folder / "mixture.yaml"),
        "tokens": str(folder / "tokens"),
        "run": str(folder / "run.yaml"),
        "design": {"shares": _axis(trials), "seed": seed},
        "objective": {"weights": WEIGHTS, "compare_with": "base"},
        "constraints": {"max_forgetting": None},
        "analysis": {"confirm": confirm},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    _run("pretrain", "sweep", "--config", path, "--out", folder / "sweeps")
    return open_sweep(load_config(path, SweepConfig), folder / "sweeps")


def _axis(trials: int) -> dict[str, object]:
    bounds = {name: {"min": "3%"} for name in LANGUAGES}
    return {"method": "dirichlet", "trials": trials, "strength": [0.7, 3], "bounds": bounds}


def _run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, check=True, stdout=sys.stderr)


def _observed(plan: SweepPlan) -> Observations:
    trials = [planned.trial for planned in plan.trials]
    outcomes = [own for trial in trials if (own := read_outcome(plan.folder, trial.id)) is not None]
    features = features_of(plan.config, plan.base.mixture)
    return observe(trials, outcomes, features, plan.config.objective, plan.base.run)


def _compare(sweep: SweepPlan, others: SweepPlan, folder: Path, seconds: float) -> int:
    seen, unseen = _observed(sweep), _observed(others)
    # The base mixture is in both sweeps: the others are what nothing was fitted on.
    unseen = unseen.take([row for row, number in enumerate(unseen.numbers) if number])
    truth = best_shares(WEIGHTS, EVEN)
    analysis = json.loads((sweep.folder / ANALYSIS).read_text(encoding="utf-8"))
    print(f"{len(seen)} trials and a confirmation in {seconds:.0f} s; {len(unseen)} other mixtures")
    print(f"{'':32}" + "".join(f"{name:>9}" for name in LANGUAGES) + "  farthest  rank correlation on the others")
    print(f"{'true best shares':32}" + "".join(f"{100 * truth[name]:8.1f}%" for name in LANGUAGES))
    found = analysis["recommendation"]
    chosen = {name: found["shares"]["only"][name]["value"] for name in LANGUAGES}
    rank = _rank(seen, unseen, found["response"])
    far = _row(f"ours ({found['response']})", chosen, truth, rank)
    low = {name: found["shares"]["only"][name]["low"] for name in LANGUAGES}
    high = {name: found["shares"]["only"][name]["high"] for name in LANGUAGES}
    print(
        f"{'  90% of bootstrap samples':32}" + "".join(f"{100 * low[n]:4.0f}-{100 * high[n]:.0f}%" for n in LANGUAGES)
    )
    for response in responses(seen.features):
        print(f"  {response.name:30}{'':27}{'':10}  {_rank(seen, unseen, response.name):.3f}")
    _compare_peer(seen, unseen, truth)
    told = analysis["confirmation"]
    print(
        f"confirmation: objective {told['objective']:+.5f}, predicted {told['predicted']['value']:+.5f}, "
        f"rank {told['rank']} of {told['trials']}"
    )
    return int(far > 0.05 or rank < 0.9)


def _rank(seen: Observations, unseen: Observations, name: str) -> float:
    """Return Spearman's correlation of the objective that a response predicts of other mixtures with what they gave."""
    response = next(own for own in responses(seen.features) if own.name == name)
    columns = [response.fit(seen.matrix, own, 1).predict(unseen.matrix) for own in seen.losses.T]
    predicted = seen.objective_value(np.column_stack(columns))
    return float(spearmanr(predicted, seen.objective_value(unseen.losses)).statistic)


def _compare_peer(seen: Observations, unseen: Observations, truth: Mapping[str, float]) -> None:
    """Print what RegMix's regression makes of the same trials."""
    python = PEER / "bin" / "python"
    if not python.exists():
        print(f"RegMix's regression was not run: no {python}; see benchmarks/requirements-peer.txt")
        return
    told = {
        "shares": seen.matrix.tolist(),
        "target": seen.adaptation().tolist(),
        "others": unseen.matrix.tolist(),
    }
    script = ROOT / "benchmarks" / "peer_regmix.py"
    done = subprocess.run([python, script], input=json.dumps(told), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    print("RegMix's regression, " + ", ".join(f"{name} {own}" for name, own in answer["versions"].items()))
    for name, own in answer["found"].items():
        rank = float(spearmanr(own["predicted"], unseen.adaptation()).statistic)
        _row(f"  {name}", dict(zip(seen.features.names, own["shares"], strict=True)), truth, rank)


def _row(name: str, shares: Mapping[str, float], truth: Mapping[str, float], rank: float) -> float:
    """Print shares beside the true ones; return the largest difference."""
    far = max(abs(shares[own] - truth[own]) for own in LANGUAGES)
    print(f"{name:32}" + "".join(f"{100 * shares[own]:8.1f}%" for own in LANGUAGES) + f"{100 * far:9.1f}  {rank:.3f}")
    return far


if __name__ == "__main__":
    sys.exit(main())
