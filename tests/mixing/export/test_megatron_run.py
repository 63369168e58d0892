"""Exported stages, started as Megatron-LM starts them: its own data code and learning-rate plan, on the CPU."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TypedDict, cast

import pytest

from configs.load import validate_config
from mixing.export.megatron import export_megatron
from mixing.export.megatron_arguments import learning_rate_arguments
from mixing.mixture.learning_rate import LearningRateConfig
from tests.mixing.stream.real_tokens import make_mixture, write_tokens

PLANS = (
    {"schedule": "constant", "peak": 1e-5, "start": 1e-6, "warmup_tokens": 64},
    {"schedule": "cosine", "peak": 1e-5, "final": 1e-6, "warmup_tokens": 320},
    {"schedule": "linear", "peak": 3e-5, "final": 0.0},
    {"schedule": "warmup_stable_decay", "peak": 1e-5, "final": 1e-7, "warmup_tokens": 128, "decay_tokens": 256},
)
# Builds each stage's datasets as pretrain_gpt.py does, and once more the second with the first one's seed.
DATA = """
import json, sys
import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.utils import get_blend_from_list

class Tokenizer:
    eod, pad, vocab_size, unique_identifiers = 0, 0, 300, {"name": "test"}

scratch, *stages = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{scratch}/store", rank=0, world_size=1)
seen = []
for place, stage in enumerate(map(json.loads, stages)):
    splits = json.load(open(stage["--per-split-data-args-path"]))
    length, samples = int(stage["--seq-length"]), int(stage["--train-samples"])
    config = GPTDatasetConfig(
        random_seed=int(stage["--seed"]), sequence_length=length, split=None, tokenizer=Tokenizer(),
        blend_per_split=[get_blend_from_list(splits[name]) for name in ("train", "valid", "test")],
        path_to_cache=f"{scratch}/cache-{place}", reset_position_ids=False, reset_attention_mask=False,
        eod_mask_loss=False,
    )
    train, valid, test = BlendedMegatronDatasetBuilder(GPTDataset, [samples, 3, None], lambda: True, config).build()
    seen.append({
        "sources": train.dataset_index[:samples].tolist(),
        "prefixes": [low.dataset.path_prefix for low in train.datasets],
        "texts": [train[number]["tokens"].tolist() for number in range(samples)],
        "valid": [low.dataset.path_prefix for low in valid.datasets],
        "test": test,
    })
print(json.dumps(seen))
"""
RATES = """
import json, sys
from types import SimpleNamespace
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

found = []
for told in map(json.loads, sys.argv[1:]):
    group = {"lr": 0.0}
    decay = told.get("--lr-wsd-decay-samples")
    scheduler = OptimizerParamScheduler(
        SimpleNamespace(param_groups=[group]), float(told["--lr-warmup-init"]), float(told["--lr"]),
        float(told.get("--min-lr", 0)), int(told["--lr-warmup-samples"]), int(told["--lr-decay-samples"]),
        told["--lr-decay-style"], 0.0, 0.0, 0, "constant", wsd_decay_steps=decay and int(decay),
        lr_wsd_decay_style=told.get("--lr-wsd-decay-style"),
    )
    rates = []
    for _ in range(int(told["--lr-decay-samples"]) + 1):
        rates.append(group["lr"])
        scheduler.step(1)
    found.append(rates)
print(json.dumps(found))
"""


class Seen(TypedDict):
    """What DATA prints of a stage."""

    sources: list[int]
    prefixes: list[str]
    texts: list[list[int]]
    valid: list[str]
    test: None


def megatron(code: str, *arguments: str) -> object:
    """Run code that imports Megatron's in a process of its own, and return what it prints at the end."""
    for name in ("torch", "megatron.core"):
        if importlib.util.find_spec(name.split(".")[0]) is None or importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def shell_arguments(path: Path) -> dict[str, str]:
    """Return the arguments as the shell of the README passes them on."""
    code = 'eval "stage=($(cat "$1"))"; printf "%s\\0" "${stage[@]}"'
    done = subprocess.run(["bash", "-c", code, "bash", str(path)], capture_output=True, text=True, check=True)
    words = done.stdout.split("\0")[:-1]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_megatron_draws_each_stage_by_its_shares_and_in_another_order(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", "el", [[25] * 25, [25] * 15], [25] * 8)
    write_tokens(tmp_path / "tokens", "tr", [[40] * 60], [40] * 4)
    write_tokens(tmp_path / "tokens", "zh", [[40] * 9])
    shares = {"el": {"share": 0.3, "sources": ["el"]}, "tr": {"share": 0.7, "sources": ["tr"]}}
    shares["none"] = {"share": 0, "sources": ["zh"]}
    stage = {"tokens": 960, "categories": shares}
    manifest = make_mixture(tmp_path, **{"main": stage, "the 'end'": stage})
    out = tmp_path / "it's $HOME, of course"
    export_megatron(tmp_path / "mixtures" / "m", manifest, out, "checkpoints")
    first, second = (shell_arguments(out / f"{name}.args") for name in ("1-main", "2-the--end-"))
    arguments = [json.dumps(own) for own in (first, second, second | {"--seed": first["--seed"]})]
    main, end, same = cast(list[Seen], megatron(DATA, str(tmp_path), *arguments))
    for own in (main, end):
        assert [Path(prefix).parent.name for prefix in own["prefixes"]] == ["el", "el", "tr"]  # zh has weight 0
        assert [own["sources"].count(place) for place in range(3)] == pytest.approx([0.1875 * 30, 3.375, 21], abs=1)
        assert {Path(prefix).parent.name for prefix in own["valid"]} == {"validation"}
        assert own["test"] is None
    assert sorted(map(tuple, main["texts"])) != sorted(map(tuple, end["texts"]))
    assert same["texts"] == main["texts"]  # which is why each stage has a seed of its own


@pytest.mark.slow
def test_megatron_follows_the_plan_of_the_learning_rate() -> None:
    plans = [validate_config(plan, LearningRateConfig, "plan") for plan in PLANS]
    found = megatron(RATES, *(json.dumps(learning_rate_arguments(plan, 32, 30)) for plan in plans))
    assert isinstance(found, list)
    for plan, rates in zip(plans, found, strict=True):
        assert rates == pytest.approx([plan.rate(32 * done, 960) for done in range(31)], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("tokens", "samples"), [(1, 1), (40, 2), (960, 30)])
def test_a_warm_up_or_decay_as_long_as_the_stage_stays_below_it(tokens: int, samples: int) -> None:
    """Megatron-LM asserts that the warm-up is shorter than what is decayed over."""
    warm = validate_config({"schedule": "constant", "peak": 1, "warmup_tokens": tokens}, LearningRateConfig, "plan")
    assert int(learning_rate_arguments(warm, 32, samples)["--lr-warmup-samples"]) < samples
    data = {"schedule": "warmup_stable_decay", "peak": 1, "final": 0, "decay_tokens": tokens}
    decay = learning_rate_arguments(validate_config(data, LearningRateConfig, "plan"), 32, samples)
    assert 1 <= int(decay["--lr-wsd-decay-samples"]) <= samples
