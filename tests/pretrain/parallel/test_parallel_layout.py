"""Which rank has what, without any of the ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch.testing._internal.distributed.fake_pg import FakeStore

from configs.errors import UserError
from pretrain.model.model_config import ModelConfig
from pretrain.parallel.layout import Layout, find_sizes
from pretrain.parallel.parallel import build_parts
from pretrain.parallel.stages import split_layers
from pretrain.run.run_config import ComputeConfig, ParallelConfig
from tests.pretrain.parallel.parallel_steps import PLAIN, QWEN2, QWEN3_TIED


@contextmanager
def fake_rank(rank: int, world: int) -> Iterator[None]:
    """Be one of so many ranks, which exchange nothing."""
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_shard_takes_what_the_others_leave() -> None:
    sizes = find_sizes(ParallelConfig(replicate=2, tensor=4, pipeline=2), 64)
    assert sizes.shard == 4
    assert math.prod(sizes) == 64


def test_sizes_that_do_not_multiply_are_told_with_their_numbers() -> None:
    with pytest.raises(UserError, match=r"8 ranks are no multiple of .*context 3 x tensor 1 = 3"):
        find_sizes(ParallelConfig(context=3), 8)
    with pytest.raises(UserError, match=r"tensor 2 x shard 2 = 4 ranks, but there are 8"):
        find_sizes(ParallelConfig(tensor=2, shard=2), 8)


def test_each_rank_has_its_own_data_share_and_stages() -> None:
    config = ParallelConfig(replicate=2, context=2, tensor=2, pipeline=2, schedule="interleaved")
    seen = set()
    for rank in range(16):
        with fake_rank(rank, 16):
            layout = Layout(config, "cpu")
            assert (layout.data_world, layout.stages) == (2, 4)
            seen.add((layout.data_rank, layout.share, tuple(layout.own_stages)))
    assert len(seen) == 16
    assert {data for data, _, _ in seen} == {0, 1}
    assert {stages for _, _, stages in seen} == {(0, 2), (1, 3)}


def test_a_rank_has_the_layers_of_its_stages() -> None:
    with fake_rank(1, 2):
        layout = Layout(ParallelConfig(pipeline=2, schedule="interleaved"), "cpu")
        parts = build_parts(QWEN2, layout, PLAIN)
    assert [list(part.layers) for part in parts] == [["1"], ["3"]]
    assert [part.embed is None for part in parts] == [True, True]
    assert [part.head is None for part in parts] == [True, False]


@pytest.mark.parametrize(
    ("parallel", "compute", "model", "told"),
    [
        (ParallelConfig(tensor=8), PLAIN, QWEN2, "8 ranks cannot share heads 4"),
        (ParallelConfig(tensor=4, shard=2), PLAIN, QWEN2, "4 ranks cannot share kv_heads 2"),
        (ParallelConfig(pipeline=2), PLAIN, QWEN3_TIED, "the head of this model is its embedding"),
        (ParallelConfig(pipeline=8, shard=1), PLAIN, QWEN2, "4 layers cannot be cut into 8 stages"),
        (ParallelConfig(pipeline=2, schedule="zero_bubble"), ComputeConfig(compile=True), QWEN2, "compute.compile"),
        (ParallelConfig(), PLAIN.model_copy(update={"float8": True}), QWEN2, "float8 needs a GPU"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    parallel: ParallelConfig, compute: ComputeConfig, model: ModelConfig, told: str
) -> None:
    with fake_rank(0, 8):
        layout = Layout(parallel, "cpu")
        with pytest.raises(UserError, match=told):
            build_parts(model, layout, compute)


def test_lengths_and_numbers_of_micro_batches_that_cannot_be_shared_are_refused() -> None:
    with fake_rank(0, 4):
        layout = Layout(ParallelConfig(context=2, tensor=2), "cpu")
        layout.check_length(24)
        with pytest.raises(UserError, match=r"sequences of 28 tokens .* multiple of 8"):
            layout.check_length(28)
        layout.check_micro_batches(1)
        one_by_one = Layout(ParallelConfig(pipeline=4), "cpu")
        one_by_one.check_micro_batches(4)
        with pytest.raises(UserError, match="3 micro-batches in a step are fewer than its 4 ranks"):
            one_by_one.check_micro_batches(3)
        in_rounds = Layout(ParallelConfig(pipeline=2, schedule="interleaved"), "cpu")
        in_rounds.check_micro_batches(6)
        with pytest.raises(UserError, match="5 micro-batches in a step are no multiple of 2"):
            in_rounds.check_micro_batches(5)


@given(st.integers(1, 40), st.integers(1, 8), st.integers(16, 200_000))
def test_layers_are_cut_into_stages_in_their_order(layers: int, stages: int, vocabulary: int) -> None:
    if stages > layers:
        return
    config = QWEN2.model_copy(update={"layers": layers, "vocab_size": vocabulary})
    cut = split_layers(config, stages)
    assert [number for part in cut for number in part] == list(range(layers))
    assert len(cut) == stages
    assert all(cut)
    # No stage is longer than another by more than a layer, unless the head makes the last one so.
    sizes = [len(part) for part in cut[:-1]]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert len(cut[-1]) <= max(sizes, default=layers)


def test_the_head_counts_as_the_layers_that_it_weighs() -> None:
    # Qwen2-1.5B: a layer has 46.8 million weights, the head 233 million, as many as five layers.
    config = QWEN2.model_copy(
        update={
            "vocab_size": 151_936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "layers": 28,
            "heads": 12,
            "kv_heads": 2,
            "head_dim": 128,
        }
    )
    assert [len(part) for part in split_layers(config, 4)] == [8, 8, 8, 4]
