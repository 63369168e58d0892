"""Who survives: checked by what is promised of the survivors, on graphs of every shape."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.cluster import Edge, bucket_edges, choose_survivors

SIMILARITIES = st.sampled_from([0.7, 0.75, 0.8, 0.9, 1.0])
PAIRS = st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda pair: pair[0] != pair[1])
GRAPHS = st.dictionaries(PAIRS.map(lambda pair: (min(pair), max(pair))), SIMILARITIES, max_size=40).map(
    lambda graph: [Edge(better, worse, similarity) for (better, worse), similarity in graph.items()]
)


@given(GRAPHS)
def test_every_dropped_document_is_similar_to_a_kept_one(edges: list[Edge[int]]) -> None:
    dropped = choose_survivors(edges)
    for rank, edge in dropped.items():
        assert edge in edges
        assert edge.worse == rank
        assert edge.better not in dropped


@given(GRAPHS)
def test_no_two_kept_documents_are_similar(edges: list[Edge[int]]) -> None:
    dropped = choose_survivors(edges)
    assert [edge for edge in edges if edge.better not in dropped and edge.worse not in dropped] == []


@given(GRAPHS)
def test_the_best_document_of_all_is_kept(edges: list[Edge[int]]) -> None:
    if edges:
        assert min(edge.better for edge in edges) not in choose_survivors(edges)


@given(GRAPHS)
def test_a_duplicate_is_attached_to_its_most_similar_kept_document(edges: list[Edge[int]]) -> None:
    dropped = choose_survivors(edges)
    for rank, chosen in dropped.items():
        kept = [edge for edge in edges if edge.worse == rank and edge.better not in dropped]
        assert chosen.similarity == max(edge.similarity for edge in kept)
        assert chosen.better == min(edge.better for edge in kept if edge.similarity == chosen.similarity)


@given(GRAPHS, st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_edges_do_not_matter(edges: list[Edge[int]], generator: random.Random) -> None:
    shuffled = generator.sample(edges, len(edges)) + edges[:5]
    assert choose_survivors(shuffled) == choose_survivors(edges)


@given(GRAPHS)
def test_any_ordered_ranks_will_do(edges: list[Edge[int]]) -> None:
    named = [Edge(bytes([edge.better]), bytes([edge.worse]), edge.similarity) for edge in edges]
    expected = {bytes([rank]): bytes([edge.better]) for rank, edge in choose_survivors(edges).items()}
    assert {rank: edge.better for rank, edge in choose_survivors(named).items()} == expected


def test_a_chain_does_not_drop_what_is_similar_to_a_dropped_document_only() -> None:
    first, second = Edge(1, 2, 0.8), Edge(2, 3, 0.8)
    assert choose_survivors([first, second]) == {2: first}


class Documents:
    """Documents as points on a line: the nearer, the more similar. Counts the comparisons."""

    def __init__(self, places: list[int]) -> None:
        self.places = places
        self.compared: list[tuple[int, int]] = []

    def peek(self, first: int, second: int) -> float:
        return 1 - abs(self.places[first] - self.places[second]) / 100

    def similarity(self, first: int, second: int) -> float:
        self.compared.append((first, second))
        return self.peek(first, second)


PLACES = st.lists(st.integers(0, 100), max_size=30)
MINIMUM = 0.9


@given(PLACES, st.integers(1, 5))
def test_the_comparisons_are_bounded(places: list[int], max_leaders: int) -> None:
    documents = Documents(places)
    bucket_edges(range(len(places)), documents.similarity, MINIMUM, max_leaders)
    for rank in range(len(places)):
        mine = [first for first, second in documents.compared if second == rank]
        assert len(mine) <= max_leaders
        assert mine == sorted(set(mine))


@given(PLACES, st.integers(1, 30))
def test_edges_are_true_and_lead_to_the_better_document(places: list[int], max_leaders: int) -> None:
    documents = Documents(places)
    edges = bucket_edges(range(len(places)), documents.similarity, MINIMUM, max_leaders)
    for edge in edges:
        assert edge.better < edge.worse
        assert edge.similarity == documents.peek(edge.better, edge.worse) >= MINIMUM
    assert len({edge.worse for edge in edges}) == len(edges)
    assert not {edge.better for edge in edges} & {edge.worse for edge in edges}


@given(PLACES)
def test_with_leaders_enough_no_similar_pair_of_them_is_missed(places: list[int]) -> None:
    documents = Documents(places)
    edges = bucket_edges(range(len(places)), documents.similarity, MINIMUM, len(places) + 1)
    attached = {edge.worse: edge.better for edge in edges}
    leaders = [rank for rank in range(len(places)) if rank not in attached]
    for index, leader in enumerate(leaders):
        assert all(documents.peek(better, leader) < MINIMUM for better in leaders[:index])
    for rank, leader in attached.items():
        assert leader == next(better for better in leaders if documents.peek(better, rank) >= MINIMUM)


@given(PLACES, st.integers(1, 30), st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_ranks_do_not_matter(
    places: list[int], max_leaders: int, generator: random.Random
) -> None:
    ranks = list(range(len(places)))
    shuffled = generator.sample(ranks, len(ranks)) + ranks[:3]
    documents = Documents(places)
    expected = bucket_edges(ranks, documents.similarity, MINIMUM, max_leaders)
    assert bucket_edges(shuffled, documents.similarity, MINIMUM, max_leaders) == expected


@pytest.mark.parametrize("minimum", [0.0, 0.5, 1.0])
def test_a_similarity_on_the_threshold_is_enough(minimum: float) -> None:
    assert bucket_edges([3, 7], lambda first, second: minimum, minimum, 5) == [Edge(3, 7, minimum)]


@given(PLACES, st.integers(2, 6))
def test_buckets_and_survivors_together_keep_their_promise(places: list[int], width: int) -> None:
    """Overlapping buckets, as bands make them: whoever is dropped is truly similar to somebody kept."""
    documents = Documents(places)
    ranks = list(range(len(places)))
    buckets = [ranks[start : start + width] for start in ranks] + [ranks[start::width] for start in range(width)]
    edges = [edge for bucket in buckets for edge in bucket_edges(bucket, documents.similarity, MINIMUM, 50)]
    dropped = choose_survivors(edges)
    for rank, edge in dropped.items():
        assert edge.better not in dropped
        assert documents.peek(edge.better, rank) >= MINIMUM
