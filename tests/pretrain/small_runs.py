"""Whole runs on a mixture of a few texts, small enough to be run many times."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from configs.load import validate_config
from mixing.mixture import publish
from mixing.mixture.mixture import MixtureConfig
from pretrain.run.journal import Journal, Row, read_rows
from pretrain.run.run_config import RunConfig
from pretrain.run.run_setup import RunOptions
from pretrain.train import train
from tests.pretrain.evaluate.text_mixture import write_text_mixture

CATEGORIES = {
    "low": {"share": "1/2", "sources": ["el", "el-news"]},
    "high": {"share": "1/2", "sources": ["en"]},
}
STAGES = {
    "first": {
        "tokens": 2000,
        "categories": CATEGORIES,
        "learning_rate": {"schedule": "cosine", "peak": 1e-2, "final": 1e-3, "warmup_tokens": 400},
    },
    "second": {
        "tokens": 1000,
        "categories": CATEGORIES,
        "sequence_length": 64,
        "packing": "best_fit",
        "learning_rate": {"schedule": "linear", "peak": 5e-3, "final": 0},
    },
}
SHAPE = {
    "family": "qwen2",
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 8,
    "max_positions": 64,
    "qkv_bias": True,
    "tied_head": True,
}


def write_mixture(folder: Path, **stages: dict[str, object]) -> Path:
    """Write tokens and a mixture of two stages, or of those given; return the mixture's folder."""
    if not (folder / "tokens").exists():
        write_text_mixture(folder)
    written = [{"name": name, **stage} for name, stage in (stages or STAGES).items()]
    # The texts are few: they are read again and again.
    data = {"name": "m", "seed": 3, "sequence_length": 32, "max_epochs": 200, "stages": written}
    publish.write_mixture(validate_config(data, MixtureConfig, "m.yaml"), folder / "tokens", folder / "mixtures")
    return folder / "mixtures" / "m"


def small_run(mixture: Path, name: str = "small", **changes: object) -> RunConfig:
    """Return the configuration of a run; `changes` are of its first level."""
    own: dict[str, object] = {
        "name": name,
        "mixture": str(mixture),
        "model": {"shape": SHAPE, "seed": 5},
        "batch": {"tokens": 128, "micro_tokens": 64},
        "compute": {"dtype": "fp32", "compile": False},
        "checkpoint": {"every_steps": 5, "keep": 2},
        "evaluation": {"every_steps": 10, "forgetting": ["en"]},
    }
    return validate_config(own | changes, RunConfig, "the run")


def finish(config: RunConfig, runs: Path, **options: object) -> Path:
    """Train to the end; return the run's folder."""
    train(config, validate_config({"runs": str(runs), **options}, RunOptions, "the options"))
    return runs / config.name


def steps_of(folder: Path) -> list[dict[str, object]]:
    """Return the log, without what depends on the clock."""
    clock = {"seconds", "tokens_per_s", "memory_gib", "data_wait", "mfu"}
    rows = list(read_rows(folder / "log.jsonl"))
    return [{name: value for name, value in row.items() if name not in clock} for row in rows]


def evaluations_of(folder: Path) -> list[dict[str, object]]:
    """Return the evaluations."""
    return [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let a signal that asks runs to stop come after a step."""
    plain = Journal.step

    def stepping(journal: Journal, row: Row) -> None:
        plain(journal, row)
        if row["step"] == step:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Journal, "step", stepping)
