"""Two ranks make of ten steps what one process makes of them, however they share the work."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.profiler import ProfilerActivity, profile

from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import build_parts, make_runner
from pretrain.run.run_config import ParallelConfig
from tests.pretrain.parallel.parallel_steps import (
    LENGTH,
    PLAIN,
    QWEN2,
    QWEN3_TIED,
    SEED,
    SEQUENCES,
    Case,
    Outcome,
    assert_same,
    on_ranks,
    rows_of,
    step_batch,
    train_alone,
    train_cases,
)

_HALF = PLAIN.model_copy(update={"dtype": "bf16", "recompute": "selective"})
_EXACT = {
    "shard": Case(ParallelConfig()),
    "tensor": Case(ParallelConfig(tensor=2), model=QWEN3_TIED),
    "context": Case(ParallelConfig(context=2), PLAIN.model_copy(update={"recompute": "all"})),
    "1f1b": Case(ParallelConfig(pipeline=2)),
    "interleaved": Case(ParallelConfig(pipeline=2, schedule="interleaved")),
    "zero_bubble": Case(ParallelConfig(pipeline=2, schedule="zero_bubble")),
}
# Where the second of three documents begins and ends.
_SECOND = (5, 22)
_CASES = {**_EXACT, "bf16": Case(ParallelConfig(), _HALF)}
_COMPILED = {
    "shard": Case(ParallelConfig(), PLAIN.model_copy(update={"compile": True, "recompute": "selective"})),
    "tensor": Case(ParallelConfig(tensor=2), PLAIN.model_copy(update={"compile": True})),
    "context": Case(ParallelConfig(context=2), PLAIN.model_copy(update={"compile": True, "recompute": "all"})),
    "interleaved": Case(ParallelConfig(pipeline=2, schedule="interleaved"), PLAIN.model_copy(update={"compile": True})),
}


class Found(NamedTuple):
    """What two ranks found."""

    outcomes: dict[str, Outcome]
    exchanges: tuple[int, int]
    changed: Tensor
    spread: bool


def work() -> Found:
    return Found(train_cases(_CASES), count_exchanges(), *mask_documents())


def count_exchanges() -> tuple[int, int]:
    """Return how often gradients are exchanged in a step of one micro-batch, and of four."""
    layout = Layout(ParallelConfig(), "cpu")
    parts = build_parts(QWEN2, layout, PLAIN)
    parts[0].to_empty(device="cpu")
    parts[0].init_weights(SEED)
    runner = make_runner(parts, layout, PLAIN, torch.device("cpu"))
    found = []
    for count in (1, 4):
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            runner.forward_backward([rows_of(step_batch(0), slice(2))] * count)
        found.append(sum(event.name == "c10d::_reduce_scatter_base_" for event in seen.events() or ()))
    return found[0], found[1]


def mask_documents() -> tuple[Tensor, bool]:
    """Change the second document of sequences that two context ranks share.

    Returns:
        Where losses changed by a bit at least; whether the weights are spread again after an evaluation.
    """
    layout = Layout(ParallelConfig(context=2), "cpu")
    parts = build_parts(QWEN2, layout, PLAIN)
    parts[0].to_empty(device="cpu")
    parts[0].init_weights(SEED)
    runner = make_runner(parts, layout, PLAIN, torch.device("cpu"))
    starts = torch.tensor([[0, *_SECOND] + [LENGTH] * 14], dtype=torch.int32).expand(SEQUENCES, -1)
    batch = step_batch(0)._replace(starts=starts)
    other = batch._replace(tokens=batch.tokens.clone())
    other.tokens[:, slice(*_SECOND)] = (other.tokens[:, slice(*_SECOND)] + 7) % QWEN2.vocab_size
    before, after = (runner.evaluate(rows_of(one, slice(2))) for one in (batch, other))
    assert before is not None
    assert after is not None
    return before != after, all(isinstance(weight, DTensor) for weight in parts[0].parameters())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    result = on_ranks(work, 2, tmp_path_factory.mktemp("ranks"))
    assert isinstance(result, Found)
    return result


@pytest.fixture(scope="module")
def alone() -> dict[str, Outcome]:
    return {config.family: train_alone(config) for config in (QWEN2, QWEN3_TIED)}


@pytest.mark.parametrize("name", _EXACT)
def test_two_ranks_do_as_one_process(name: str, found: Found, alone: dict[str, Outcome]) -> None:
    assert_same(found.outcomes[name], alone[_CASES[name].model.family])


@pytest.mark.long
def test_compiled_layers_do_as_one_process(tmp_path: Path, alone: dict[str, Outcome]) -> None:
    for outcome in on_ranks(train_cases, 2, tmp_path, _COMPILED).values():
        assert_same(outcome, alone["qwen2"])


def test_bf16_stays_near_fp32(found: Found, alone: dict[str, Outcome]) -> None:
    ours, exact = found.outcomes["bf16"], alone["qwen2"]
    assert ours.losses == pytest.approx(exact.losses, rel=1e-3)
    assert ours.norms == pytest.approx(exact.norms, rel=0.02)
    assert all(bool(weight.isfinite().all()) for weight in ours.weights.values())
    assert ours.losses != pytest.approx(exact.losses, rel=1e-6), "it was not computed in bfloat16"


def test_gradients_are_exchanged_once_a_step(found: Found) -> None:
    one, four = found.exchanges
    # Once for each layer, and once for the embedding and the head.
    assert one == four == QWEN2.layers + 1


def test_documents_on_two_ranks_do_not_see_each_other(found: Found) -> None:
    begin, end = _SECOND
    assert begin < LENGTH // 4 < LENGTH // 2 < end, "the document lies in chunks of both ranks"
    assert found.changed[:, begin:end].any()
    assert not found.changed[:, :begin].any()
    assert not found.changed[:, end:].any()


def test_an_evaluation_leaves_weights_spread(found: Found) -> None:
    assert found.spread
