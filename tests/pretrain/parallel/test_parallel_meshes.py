"""Four ranks, sharing the work in two ways at once, make of ten steps what one process makes of them."""

from __future__ import annotations

import pytest

from pretrain.run.run_config import ParallelConfig
from tests.pretrain.parallel.parallel_steps import (
    PLAIN,
    QWEN2,
    Case,
    Outcome,
    assert_same,
    on_ranks,
    train_alone,
    train_cases,
)

_CASES = {
    "replicate_shard": Case(ParallelConfig(replicate=2)),
    "tensor_shard": Case(ParallelConfig(tensor=2)),
}
_SELECTIVE = PLAIN.model_copy(update={"recompute": "selective"})
_MORE_CASES = {
    "context_shard": Case(ParallelConfig(context=2)),
    "context_tensor": Case(ParallelConfig(context=2, tensor=2), _SELECTIVE),
    "replicate_tensor": Case(ParallelConfig(replicate=2, tensor=2)),
    "pipeline_shard": Case(ParallelConfig(pipeline=2)),
    "pipeline_tensor": Case(ParallelConfig(pipeline=2, tensor=2, schedule="interleaved"), _SELECTIVE),
    "pipeline_context": Case(ParallelConfig(pipeline=2, context=2, schedule="zero_bubble")),
    "pipeline_replicate": Case(ParallelConfig(pipeline=2, replicate=2, schedule="zero_bubble")),
}


@pytest.fixture(scope="module")
def alone() -> Outcome:
    return train_alone(QWEN2)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return dict(on_ranks(train_cases, 4, tmp_path_factory.mktemp("ranks"), _CASES))


@pytest.fixture(scope="module")
def found_more(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return dict(on_ranks(train_cases, 4, tmp_path_factory.mktemp("ranks"), _MORE_CASES))


@pytest.mark.parametrize("name", _CASES)
def test_four_ranks_do_as_one_process(name: str, found: dict[str, Outcome], alone: Outcome) -> None:
    assert_same(found[name], alone)


@pytest.mark.long
@pytest.mark.parametrize("name", _MORE_CASES)
def test_all_pairs_of_ways_do_as_one_process(name: str, found_more: dict[str, Outcome], alone: Outcome) -> None:
    assert_same(found_more[name], alone)
