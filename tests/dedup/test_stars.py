"""Components by stars, partition by partition, against a plain union-find."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.stars import Nodes, checksum, labels, large_star, small_star

Pairs = list[tuple[int, int]]
Links = tuple[Nodes, Nodes]
# Few nodes, so that they meet, and large numbers, as places are.
NODES = st.integers(0, 20).map(lambda number: number << 32 | number % 3)
PAIRS = st.lists(st.tuples(NODES, NODES).filter(lambda pair: pair[0] != pair[1]), max_size=40)
_EMPTY = np.zeros(0, dtype=np.uint64)


def both_ways(pairs: Pairs) -> Links:
    first, second = np.array(pairs, dtype=np.uint64).reshape(-1, 2).T
    return np.concatenate([first, second]), np.concatenate([second, first])


def own_links(links: Links, number: int, partitions: int) -> Links:
    """Return the links of the nodes of a partition."""
    own = (links[0] ^ links[0] >> np.uint64(32)) % np.uint64(partitions) == number
    return links[0][own], links[1][own]


def stars(pairs: Pairs, partitions: int = 1) -> tuple[dict[int, int], int]:
    """Rewire until two rounds change nothing; return the centre of each node and the number of double rounds."""
    links, rounds, before = both_ways(pairs), 0, -1
    while (now := sum(checksum(*own_links(links, n, partitions)) for n in range(partitions)) % 2**64) != before:
        before, rounds = now, rounds + 1
        for rewire in (large_star, small_star):
            found = [rewire(*own_links(links, number, partitions)) for number in range(partitions)]
            first, second = (np.concatenate([own[side] for own in found]) for side in (0, 1))
            links = np.concatenate([first, second]), np.concatenate([second, first])
    named: dict[int, int] = {}
    for number in range(partitions):
        nodes, centres = labels(*own_links(links, number, partitions))
        assert nodes.tolist() == sorted(set(nodes.tolist()))
        named |= dict(zip(nodes.tolist(), centres.tolist(), strict=True))
    return named, rounds


def union_find(pairs: Pairs) -> dict[int, int]:
    above: dict[int, int] = {}

    def root(node: int) -> int:
        above.setdefault(node, node)
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        above[high] = low
    return {node: root(node) for node in above}


@given(PAIRS, st.integers(1, 4))
def test_components_are_those_of_a_union_find(pairs: Pairs, partitions: int) -> None:
    assert stars(pairs, partitions)[0] == union_find(pairs)


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_links_change_nothing(pairs: Pairs, generator: random.Random) -> None:
    shuffled = generator.sample(pairs, len(pairs)) + pairs[:5]
    one, other = both_ways(pairs), both_ways(shuffled)
    assert checksum(*one) == checksum(*other)
    for rewire in (large_star, small_star):
        assert {*zip(*rewire(*one), strict=True)} == {*zip(*rewire(*other), strict=True)}


@given(PAIRS, PAIRS)
def test_a_checksum_tells_sets_of_links_apart(one: Pairs, other: Pairs) -> None:
    same = {frozenset(pair) for pair in one} == {frozenset(pair) for pair in other}
    assert (checksum(*both_ways(one)) == checksum(*both_ways(other))) == same


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled", "zigzag"])
def test_a_long_path_takes_few_rounds(order: str) -> None:
    """A chain of near duplicates is the worst graph: a label that wanders step by step would need a round a step."""
    count = 4096
    nodes = list(range(count))
    if order == "falling":
        nodes.reverse()
    if order == "shuffled":
        random.Random(5).shuffle(nodes)
    if order == "zigzag":
        nodes = [node for pair in zip(nodes[: count // 2], reversed(nodes), strict=False) for node in pair]
    named, rounds = stars(list(itertools.pairwise(nodes)), 3)
    assert named == dict.fromkeys(range(count), 0)
    assert rounds <= math.log2(count) + 2


def test_a_star_of_many_is_done_at_once() -> None:
    named, rounds = stars([(0, node) for node in range(1, 5000)], 2)
    assert set(named.values()) == {0}
    assert rounds <= 2


def test_random_graphs_take_few_rounds() -> None:
    generator = random.Random(9)
    for count, edges in ((3000, 2000), (3000, 3000), (300, 5000)):
        pairs = [(one, other) for one, other in (generator.sample(range(count), 2) for _ in range(edges))]
        named, rounds = stars(pairs, 3)
        assert named == union_find(pairs)
        assert rounds <= math.log2(count) + 2


def test_no_links_at_all() -> None:
    for rewire in (large_star, small_star, labels):
        assert [own.tolist() for own in rewire(_EMPTY, _EMPTY)] == [[], []]
    assert checksum(_EMPTY, _EMPTY) == 0
