"""Which layers are in which stage of a pipeline."""

from __future__ import annotations

from itertools import pairwise

from pretrain.model.model_config import ModelConfig


def split_layers(config: ModelConfig, stages: int) -> list[range]:
    """Cut the layers into stages, one layer in each at least, so that the longest stage is as short as it can be.

    The head, in the last stage, counts as many layers as it has weights of one; a look-up in the embedding nothing.
    """
    width = config.head_dim * (2 * config.heads + 2 * config.kv_heads)
    layer = config.hidden_size * (width + 3 * config.intermediate_size)
    costs = [1.0] * stages
    costs[-1] += config.vocab_size * config.hidden_size / layer
    counts = [1] * stages
    for _ in range(config.layers - stages):
        shortest = costs.index(min(costs))
        costs[shortest] += 1
        counts[shortest] += 1
    ends = [sum(counts[:number]) for number in range(stages + 1)]
    return [range(begin, end) for begin, end in pairwise(ends)]
