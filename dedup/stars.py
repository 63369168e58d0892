"""Connected components of a graph that does not fit in memory: links are rewired, round by round, until every component
is a star around its smallest node (Kiveris et al. 2014, Connected components in MapReduce and beyond).

A round looks at the links of one node at a time, so the graph may lie in partitions by node. Shape legend: L = links;
each stands in both directions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.minhash import mix

Nodes = NDArray[np.uint64]


def large_star(first: Nodes, second: Nodes) -> tuple[Nodes, Nodes]:
    """Link every larger neighbour of a node to the smallest node of its neighbourhood, itself included.

    Args:
        first: node of each link, shape (L,); all links of a node must be there.
        second: its neighbour, shape (L,).
    """
    first, second, smallest = _neighbourhoods(first, second)
    larger = second > first
    return second[larger], smallest[larger]


def small_star(first: Nodes, second: Nodes) -> tuple[Nodes, Nodes]:
    """Link every smaller neighbour of a node, and the node itself, to the smallest of them. Arguments as above."""
    first, second, smallest = _neighbourhoods(first, second)
    smaller = second < first
    nodes, links = np.unique(
        np.column_stack([np.concatenate([second[smaller], first[smaller]]), np.tile(smallest[smaller], 2)]), axis=0
    ).T
    apart = nodes != links
    return nodes[apart], links[apart]


def labels(first: Nodes, second: Nodes) -> tuple[Nodes, Nodes]:
    """Return the nodes of finished stars, rising, and the centre of each: the smallest node of its component."""
    first, _, smallest = _neighbourhoods(first, second)
    nodes, index = np.unique(first, return_index=True)
    return nodes, smallest[index]


def checksum(first: Nodes, second: Nodes) -> int:
    """Return a number that depends on the set of links alone, below 2**64.

    Numbers of partitions add up. When two rounds, a large and a small one, have changed nothing, all are stars.
    """
    first, second, _ = _neighbourhoods(first, second)
    return int(mix(first ^ mix(second)).sum(dtype=np.uint64))


def _neighbourhoods(first: Nodes, second: Nodes) -> tuple[Nodes, Nodes, Nodes]:
    """Return the distinct links, sorted, and for each the smallest node among its node and that one's neighbours."""
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    fresh = np.ones(len(first), dtype=np.bool_)
    fresh[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    first, second = first[fresh], second[fresh]
    if not len(first):
        return first, second, first
    starts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
    # Neighbours are sorted: the first of a node is its smallest.
    smallest = np.minimum(first[starts], second[starts])
    return first, second, np.repeat(smallest, np.diff(np.append(starts, len(first))))
