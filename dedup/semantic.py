"""Short texts that say the same: cosine similarity of their embeddings.

After SemDeDup (Abbas et al. 2023): embeddings, clusters where there are too many texts to compare all, and inside a
cluster every pair above a similarity. Marco-LLM (section 4.1.1) keeps instructions whose similarity is below 0.7.
SemDeDup keeps of similar texts the one farthest from its cluster's centre; here the better document stays, as in every
other stage, and a document goes only for one that stays.

Shape legend: N = documents, D = numbers of an embedding, K = clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel


class SemanticConfig(StrictModel):
    """Semantic deduplication of short texts, language by language.

    Attributes:
        encoder: what makes embeddings, as `package.module:factory`: a callable without arguments that returns an
            `Encoder`. `dedup.hashed_encoder:hashed_encoder` needs no model, and knows spelling, not meaning. Results
            are known by this name: an encoder with other weights needs another one.
        min_similarity: cosine similarity of two texts from which one of them goes.
        max_chars: longer texts do not take part.
        batch: texts that are encoded at a time.
        max_documents: documents of one language that are all compared with each other. More are split into clusters
            first, and only documents of one cluster are compared: of the pairs that are barely similar enough some lie
            on two sides of a border and are not found.
    """

    encoder: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    min_similarity: float = Field(default=0.7, gt=0, le=1)
    max_chars: int = Field(default=2000, ge=1)
    batch: int = Field(default=64, ge=1)
    max_documents: int = Field(default=200_000, ge=2)


class Encoder(Protocol):
    """Makes embeddings of texts. A text's must not depend on the texts beside it.

    A model of sentence-transformers is one as it is; a module with a factory for it takes three lines:

        from sentence_transformers import SentenceTransformer
        def multilingual() -> SentenceTransformer:
            return SentenceTransformer("/models/paraphrase-multilingual-MiniLM-L12-v2")
    """

    def encode(self, texts: list[str]) -> NDArray[np.floating]:
        """Return the embeddings of some texts, shape (N, D), of any length; one of length zero is similar to none."""
        ...


def embed(encoder: Encoder, name: str, texts: list[str]) -> NDArray[np.float32]:
    """Return the embeddings of some texts, scaled to length one, shape (N, D).

    Args:
        encoder: makes them.
        name: of the encoder, for errors.
        texts: one or more.

    Raises:
        UserError: the encoder returns something else than N embeddings of finite numbers.
    """
    answer = encoder.encode(texts)
    try:
        found = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the encoder {name} does not return an array of numbers: {error}") from error
    if found.ndim != 2 or len(found) != len(texts) or not found.shape[1]:
        raise UserError(
            f"the encoder {name} returned an array of shape {found.shape} for {len(texts)} texts, not (N, D)"
        )
    if not np.isfinite(found).all():
        raise UserError(f"the encoder {name} returned numbers that are not finite")
    # First by the largest number, whose square may be infinite.
    found /= np.maximum(np.abs(found).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    lengths = np.sqrt(np.square(found).sum(axis=1, keepdims=True))
    return (found / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class SemanticDuplicates:
    """Documents that go, by number.

    Attributes:
        gone: the documents, rising, shape (M,).
        kept: for each the one that stays for it, shape (M,).
        similarity: of the two, shape (M,).
    """

    gone: NDArray[np.int64]
    kept: NDArray[np.int64]
    similarity: NDArray[np.float64]


# Documents that are looked at together, and kept ones that they are compared with at a time: 16 MB of similarities.
_BLOCK, _KEPT_BLOCK, _PAIRS = 512, 8192, 1024
# By how much a product of matrices in single precision may be wrong. What is that near to a decision is computed
# again, pair by pair in double precision, so that nothing depends on the sizes of blocks or on the number of threads.
_MARGIN = 1e-3
_DIGITS = 6


def semantic_duplicates(
    embeddings: NDArray[np.float32], min_similarity: float, fixed: int = 0, block: int = _BLOCK
) -> SemanticDuplicates:
    """Return the documents that are similar to a better one that stays.

    Documents are decided from the best to the worst. One goes for the most similar of those that stay before it, of
    equally similar ones for the best. Each is compared with all that stay: at worst N**2 / 2 products of D numbers;
    copies of one text cost next to nothing. Besides the embeddings less than 100 MB are in memory.

    Args:
        embeddings: of length one or zero, from the best document to the worst, shape (N, D).
        min_similarity: cosine similarity from which a document goes.
        fixed: so many of the best documents stay whatever they are similar to.
        block: documents that are looked at together.
    """
    count = len(embeddings)
    stays = np.ones(count, dtype=np.bool_)
    best = _Best(np.full(count, -1, dtype=np.int64), np.zeros(count))
    for start in range(fixed, count, block):
        own = np.arange(start, min(count, start + block))
        kept = np.flatnonzero(stays[:start])
        for first in range(0, len(kept), _KEPT_BLOCK):
            best.offer(*_similar(embeddings, own, kept[first : first + _KEPT_BLOCK], min_similarity, best.similarity))
        # Now among themselves; what is similar to an earlier one is nobody's keeper.
        stays[own] = best.kept[own] < 0
        rows, others, similarity = _similar(embeddings, own, own[stays[own]], min_similarity, None)
        earlier = others < rows
        rows, others, similarity = rows[earlier], others[earlier], similarity[earlier]
        borders = np.flatnonzero(np.diff(rows, prepend=-1))
        for span in np.split(np.arange(len(rows)), borders[1:]) if len(rows) else []:
            pairs = span[stays[others[span]]]
            best.offer(rows[pairs], others[pairs], similarity[pairs])
            stays[rows[span[0]]] &= not len(pairs)
    gone = np.flatnonzero(~stays)
    return SemanticDuplicates(gone, best.kept[gone], best.similarity[gone])


@dataclass(frozen=True, slots=True)
class _Best:
    """The most similar document that stays, for each document, and its similarity; -1 for none."""

    kept: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def offer(self, rows: NDArray[np.int64], others: NDArray[np.int64], similarity: NDArray[np.float64]) -> None:
        """Take what is better than what is there; `others` are worse documents than those offered before."""
        order = np.lexsort((others, -similarity, rows))
        order = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
        order = order[similarity[order] > self.similarity[rows[order]]]
        self.kept[rows[order]] = others[order]
        self.similarity[rows[order]] = similarity[order]


def _similar(
    embeddings: NDArray[np.float32],
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    minimum: float,
    known: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return similar pairs of documents, sorted by row: row, other, similarity.

    Where `known` similarities of the rows are given, only pairs that may be the best of their row.
    """
    product = embeddings[rows] @ embeddings[others].T
    limit = np.full(len(rows), minimum)
    if known is not None and len(others):
        limit = np.maximum(np.maximum(limit, known[rows]), product.max(axis=1))
    first, second = np.nonzero(product >= (limit - _MARGIN)[:, None])
    first, second = rows[first], others[second]
    exact = np.zeros(len(first))
    for start in range(0, len(first), _PAIRS):
        span = slice(start, start + _PAIRS)
        left, right = embeddings[first[span]].astype(np.float64), embeddings[second[span]].astype(np.float64)
        exact[span] = np.round(np.einsum("ij,ij->i", left, right), _DIGITS)
    enough = exact >= minimum
    return first[enough], second[enough], exact[enough]


def centroids(sample: NDArray[np.float32], count: int, rounds: int = 10) -> NDArray[np.float64]:
    """Return the centres of clusters by spherical k-means (Dhillon and Modha 2001), shape (K, D), K at most `count`.

    Args:
        sample: embeddings in an order that depends on the texts alone, shape (N, D); the first different ones are
            where the centres begin.
        count: clusters wanted.
        rounds: of k-means.
    """
    begin: dict[bytes, int] = {}
    for number, embedding in enumerate(sample):
        begin.setdefault(embedding.tobytes(), number)
        if len(begin) == count:
            break
    centres = sample[list(begin.values())].astype(np.float64)
    for _ in range(rounds):
        cluster = nearest(sample, centres)
        order = np.argsort(cluster, kind="stable")
        starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
        sums = np.add.reduceat(sample[order].astype(np.float64), starts, axis=0)
        lengths = np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
        # A cluster without members keeps its centre.
        centres[cluster[order][starts]] = sums / np.where(lengths > 0, lengths, 1.0)
    return centres


def nearest(embeddings: NDArray[np.float32], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cluster of each document, shape (N,): of equally near centres the first."""
    cluster = np.zeros(len(embeddings), dtype=np.int64)
    for start in range(0, len(embeddings), _KEPT_BLOCK):
        span = slice(start, start + _KEPT_BLOCK)
        cluster[span] = np.round(embeddings[span].astype(np.float64) @ centres.T, 2 * _DIGITS).argmax(axis=1)
    return cluster
