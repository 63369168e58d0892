"""Who survives: checked by what is promised of the survivors, on graphs of every shape, and against plain Python."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dedup.cluster import Edges, choose_survivors, compare_buckets, components, without_weak_edges_of_giants

COUNT = 13
SIMILARITIES = st.sampled_from([0.7, 0.75, 0.8, 0.9, 1.0])
PAIRS = st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).filter(lambda pair: pair[0] != pair[1])
GRAPHS = st.dictionaries(PAIRS.map(lambda pair: (min(pair), max(pair))), SIMILARITIES, max_size=40)

Graph = dict[tuple[int, int], float]
Whole = NDArray[np.int64]


def edges_of(pairs: Sequence[tuple[tuple[int, int], float]]) -> Edges:
    ends = np.array([pair for pair, _ in pairs], dtype=np.int64).reshape(-1, 2)
    return Edges(ends[:, 0], ends[:, 1], np.array([similarity for _, similarity in pairs], dtype=np.float64))


def graph_of(edges: Edges) -> Graph:
    ends = zip(edges.better.tolist(), edges.worse.tolist(), strict=True)
    found = list(zip(ends, edges.similarity.tolist(), strict=True))
    assert len(dict(found)) == len(found)
    return dict(found)


def survive(graph: Graph, count: int = COUNT) -> dict[int, tuple[int, float]]:
    """Return what each dropped document is a duplicate of, and how similar it is to that."""
    dropped = choose_survivors(edges_of(list(graph.items())), count)
    assert len(set(dropped.worse.tolist())) == len(dropped.worse)
    return {worse: (better, similarity) for (better, worse), similarity in graph_of(dropped).items()}


@given(GRAPHS)
def test_every_dropped_document_is_similar_to_a_kept_one(graph: Graph) -> None:
    dropped = survive(graph)
    for worse, (better, similarity) in dropped.items():
        assert graph[better, worse] == similarity
        assert better not in dropped


@given(GRAPHS)
def test_no_two_kept_documents_are_similar(graph: Graph) -> None:
    dropped = survive(graph)
    assert [pair for pair in graph if not dropped.keys() & set(pair)] == []


@given(GRAPHS)
def test_the_best_document_of_all_is_kept(graph: Graph) -> None:
    if graph:
        assert min(better for better, _ in graph) not in survive(graph)


@given(GRAPHS)
def test_a_duplicate_is_attached_to_its_most_similar_kept_document(graph: Graph) -> None:
    dropped = survive(graph)
    for worse, (better, similarity) in dropped.items():
        kept = {one: own for (one, other), own in graph.items() if other == worse and one not in dropped}
        assert similarity == max(kept.values())
        assert better == min(one for one, own in kept.items() if own == similarity)


@given(GRAPHS, st.randoms(use_true_random=False))
def test_the_order_of_edges_does_not_matter(graph: Graph, generator: random.Random) -> None:
    shuffled = generator.sample(list(graph.items()), len(graph))
    assert survive(dict(shuffled)) == survive(graph)


def test_a_chain_does_not_drop_what_is_similar_to_a_dropped_document_only() -> None:
    assert survive({(1, 2): 0.8, (2, 3): 0.8}) == {2: (1, 0.8)}


@given(GRAPHS, st.integers(2, 8), SIMILARITIES)
def test_weak_edges_of_giant_clusters_alone_are_left_out(graph: Graph, limit: int, minimum: float) -> None:
    edges = edges_of(list(graph.items()))
    cluster = components(edges.better, edges.worse, COUNT)
    sizes = np.bincount(cluster, minlength=COUNT)
    expected = {
        pair: similarity
        for pair, similarity in graph.items()
        if similarity >= minimum or sum(member == cluster[pair[0]] for member in cluster.tolist()) <= limit
    }
    assert graph_of(without_weak_edges_of_giants(edges, cluster, sizes, limit, minimum)) == expected
    assert graph_of(without_weak_edges_of_giants(edges, cluster, sizes, None, minimum)) == graph


def brute_components(pairs: Sequence[tuple[int, int]], count: int) -> list[int]:
    """The smallest node that each is connected with, by walking the graph."""
    neighbours = defaultdict(set)
    for one, other in pairs:
        neighbours[one].add(other)
        neighbours[other].add(one)
    smallest = [-1] * count
    for start in range(count):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if smallest[node] < 0:
                smallest[node] = start
                waiting += neighbours[node]
    return smallest


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60))
def test_components_are_those_of_a_walk(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    assert components(first, second, 30).tolist() == brute_components(pairs, 30)


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled", "zigzag"])
def test_a_long_path_is_one_component(order: str) -> None:
    count = 20_000
    nodes = np.arange(count)
    if order == "falling":
        nodes = nodes[::-1]
    if order == "shuffled":
        nodes = np.random.default_rng(3).permutation(count)
    if order == "zigzag":  # every other node is a root that meets no smaller one at first
        nodes = np.column_stack([nodes[: count // 2], nodes[count // 2 :]]).ravel()
    assert not components(nodes[:-1], nodes[1:], count).any()


class Documents:
    """Documents as points on a line: the nearer, the more similar. Notes the comparisons."""

    def __init__(self, places: list[int]) -> None:
        self.places = places
        self.compared: list[tuple[int, int]] = []

    def peek(self, first: int, second: int) -> float:
        return 1 - abs(self.places[first] - self.places[second]) / 100

    def similarities(self, better: Whole, worse: Whole) -> NDArray[np.float64]:
        pairs = list(zip(better.tolist(), worse.tolist(), strict=True))
        self.compared += pairs
        return np.array([self.peek(*pair) for pair in pairs], dtype=np.float64)


MINIMUM = 0.9
# Places of documents, which of them are of the base, and the documents of each bucket.
Buckets = list[list[int]]
CASES = st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=25).flatmap(
    lambda own: st.tuples(
        st.just([place for place, _ in own]),
        st.just([base for _, base in own]),
        st.lists(st.lists(st.integers(0, len(own) - 1), max_size=12), max_size=6),
    )
)
Case = tuple[list[int], list[bool], Buckets]


def compare(documents: Documents, base: list[bool], buckets: Buckets, max_leaders: int) -> Edges:
    entries = [(number, document) for number, bucket in enumerate(buckets) for document in bucket]
    bucket, document = np.array(entries, dtype=np.int64).reshape(-1, 2).T
    marks = np.array(base, dtype=np.bool_)
    return compare_buckets(bucket, document, marks, documents.similarities, MINIMUM, max_leaders)


def plain_compare(documents: Documents, base: list[bool], buckets: Buckets, max_leaders: int) -> Graph:
    """The same in plain Python, bucket after bucket and document after document."""
    found: Graph = {}
    for bucket in buckets:
        leaders: list[int] = []
        for document in sorted(set(bucket)):
            for leader in leaders[:max_leaders]:
                both = base[leader] and base[document]
                if not both and documents.peek(leader, document) >= MINIMUM:
                    found[leader, document] = documents.peek(leader, document)
                    break
            else:
                leaders.append(document)
    return found


@given(CASES, st.integers(1, 6))
def test_buckets_are_compared_as_plain_python_does_it(case: Case, max_leaders: int) -> None:
    places, base, buckets = case
    documents = Documents(places)
    found = graph_of(compare(documents, base, buckets, max_leaders))
    assert found == plain_compare(documents, base, buckets, max_leaders)


@given(CASES, st.integers(1, 4))
def test_the_comparisons_are_bounded_and_similar_pairs_are_compared_once(case: Case, max_leaders: int) -> None:
    places, base, buckets = case
    documents = Documents(places)
    compare(documents, base, buckets, max_leaders)
    similar = [pair for pair in documents.compared if documents.peek(*pair) >= MINIMUM]
    assert len(set(similar)) == len(similar)
    assert len(documents.compared) <= max_leaders * sum(len(set(bucket)) for bucket in buckets)
    assert all(better < worse for better, worse in documents.compared)
    assert not [pair for pair in documents.compared if base[pair[0]] and base[pair[1]]]


@given(CASES, st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_entries_do_not_matter(
    case: Case, max_leaders: int, generator: random.Random
) -> None:
    places, base, buckets = case
    documents = Documents(places)
    shuffled = [
        generator.sample(bucket, len(bucket)) + bucket[:3] for bucket in generator.sample(buckets, len(buckets))
    ]
    assert graph_of(compare(documents, base, shuffled, max_leaders)) == graph_of(
        compare(documents, base, buckets, max_leaders)
    )


@given(CASES)
def test_buckets_and_survivors_together_keep_their_promise(case: Case) -> None:
    """Overlapping buckets, as bands make them: whoever is dropped is truly similar to somebody kept."""
    places, base, buckets = case
    documents = Documents(places)
    dropped = choose_survivors(compare(documents, base, buckets, 50), len(places))
    for better, worse in zip(dropped.better.tolist(), dropped.worse.tolist(), strict=True):
        assert better not in dropped.worse
        assert documents.peek(better, worse) >= MINIMUM


@pytest.mark.parametrize("minimum", [0.0, 0.5, 1.0])
def test_a_similarity_on_the_threshold_is_enough(minimum: float) -> None:
    both, base = np.array([3, 7]), np.zeros(8, dtype=np.bool_)
    found = compare_buckets(
        np.zeros(2, dtype=np.int64), both, base, lambda one, _: np.full(len(one), minimum), minimum, 5
    )
    assert graph_of(found) == {(3, 7): minimum}
    above = math.nextafter(minimum, 2)
    assert not graph_of(
        compare_buckets(np.zeros(2, dtype=np.int64), both, base, lambda one, _: np.full(len(one), minimum), above, 5)
    )
