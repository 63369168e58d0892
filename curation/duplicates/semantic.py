"""Short texts that say the same: embeddings of each part, then one task a language that compares them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.errors import UserError
from curation.duplicates.found import write_duplicates
from curation.duplicates.identities import Identities, best_first
from curation.duplicates.parts import DedupPart, parts_and_rows, places, read_documents, remaining_rows
from curation.stage import Result
from dedup.semantic import Encoder, SemanticConfig, centroids, embed, nearest, semantic_duplicates

# The documents of a part's embeddings, in the same order: by language, then by row.
EMBEDDED = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("language", pa.string(), nullable=False)])
# Documents that a cluster should have are half of those that are compared at most, as clusters differ in size; the
# centres are found on so many documents each. What does not fall apart after some tries is compared as it is.
_FILL, _SAMPLE, _TRIES = 2, 256, 3


@dataclass(frozen=True, slots=True)
class EmbedPart:
    """The payload of one task that encodes the short texts of a part.

    Attributes:
        part: whose documents are meant.
        gone: files of documents that go already.
        config: which texts are encoded, and by what.
    """

    part: DedupPart
    gone: tuple[Path, ...]
    config: SemanticConfig


def embed_part(payload: object, out: Path, scratch: Path) -> Result:
    """Write `embedded.parquet`, the documents that take part, and `embeddings.npy`, float32 of shape (N, D).

    In memory are the part's short texts and their embeddings, twice.

    Raises:
        UserError: there is no such encoder, or it returns something else than embeddings.
    """
    assert isinstance(payload, EmbedPart)
    config = payload.config
    rows = remaining_rows(payload.part, payload.gone)
    short = sorted(_short_texts(payload.part, rows, config.max_chars))
    vectors: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
    for start in range(0, len(short), config.batch):
        found = embed(
            load_encoder(config.encoder), config.encoder, [own[2] for own in short[start : start + config.batch]]
        )
        if not start:
            vectors = np.zeros((len(short), found.shape[1]), dtype=np.float32)
        if found.shape[1] != vectors.shape[1]:
            raise UserError(f"the encoder {config.encoder} returned embeddings of different lengths")
        vectors[start : start + len(found)] = found
    table = pa.table({"row": [own[1] for own in short], "language": [own[0] for own in short]}, schema=EMBEDDED)
    pq.write_table(table, out / "embedded.parquet", compression="zstd")
    np.save(out / "embeddings.npy", vectors)
    return Result({"documents": len(rows), "embedded": len(short)})


def _short_texts(part: DedupPart, rows: NDArray[np.int64], max_chars: int) -> Iterator[tuple[str, int, str]]:
    """Yield language, row and text of the documents whose text is short and not blank."""
    for own, batch in read_documents(part.documents, rows, ("language", "text")):
        for row, document in zip(own.tolist(), batch.to_pylist(), strict=True):
            if len(document["text"]) <= max_chars and document["text"].strip():
                yield document["language"], row, document["text"]


@lru_cache(maxsize=1)
def load_encoder(name: str) -> Encoder:
    """Return the encoder that `package.module:factory` makes, once a worker.

    Raises:
        UserError: there is no such factory, or what it makes is no encoder.
    """
    module, _, factory = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot load the encoder {name}: {error}") from error
    encoder = make() if callable(make) else None
    if not callable(getattr(encoder, "encode", None)):
        raise UserError(f"the encoder {name} is no function that returns an object with a method encode(texts)")
    return cast(Encoder, encoder)


@dataclass(frozen=True, slots=True)
class SemanticLanguage:
    """The payload of the task that compares the short texts of one language.

    Attributes:
        language: its code, as in the documents.
        embedded: the folder of each part's `embedded.parquet` and `embeddings.npy`, by part.
        identities: files of identities by part.
        base_parts: parts of a corpus that stands already.
        config: which documents are similar.
    """

    language: str
    embedded: dict[int, Path]
    identities: dict[int, Path]
    base_parts: frozenset[int]
    config: SemanticConfig


def semantic_language(payload: object, out: Path, scratch: Path) -> Result:
    """Write `duplicates.parquet`: documents that are similar to a better one.

    In memory are about 100 bytes for each document of the language, and the embeddings of those that are compared with
    each other, four bytes a number: of all documents, or of one cluster where there are more than `max_documents`.

    Raises:
        UserError: the embeddings of different parts have different lengths.
    """
    assert isinstance(payload, SemanticLanguage)
    config = payload.config
    store = _Embeddings(payload)
    numbers = Identities(payload.identities).at(store.places)
    order = best_first(numbers)
    store.places, numbers = store.places[order], numbers[order]
    new = ~np.isin(parts_and_rows(store.places)[0], sorted(payload.base_parts))
    gone, kept, similarity = [], [], []
    largest = clusters = 0
    for own in _clusters(store, numbers[:, 1], config.max_documents):
        found = semantic_duplicates(store.at(own), config.min_similarity, fixed=int((~new[own]).sum()))
        gone.append(own[found.gone])
        kept.append(own[found.kept])
        similarity.append(found.similarity)
        clusters, largest = clusters + 1, max(largest, len(own))
    worse, better = (np.concatenate([np.zeros(0, dtype=np.int64), *pieces]) for pieces in (gone, kept))
    written = write_duplicates(
        out / "duplicates.parquet",
        store.places[worse],
        store.places[better],
        numbers[better],
        np.concatenate([np.zeros(0), *similarity]),
        payload.base_parts,
    )
    counts = {"documents": len(order), "clusters": clusters, "largest_cluster": largest, "duplicates": written}
    return Result(counts)


class _Embeddings:
    """The embeddings of one language, read from the files of all parts.

    `places` are those of its documents; who sorts them sorts what `at` gives.
    """

    def __init__(self, payload: SemanticLanguage) -> None:
        self._files: dict[int, NDArray[np.float32]] = {}
        self._rows: dict[int, tuple[NDArray[np.int64], int]] = {}
        found = [np.zeros(0, dtype=np.uint64)]
        for part, folder in sorted(payload.embedded.items()):
            table = pq.read_table(folder / "embedded.parquet", schema=EMBEDDED, partitioning=None)
            own = np.flatnonzero(pc.equal(table["language"], payload.language).to_numpy())
            if not len(own):
                continue
            rows = table["row"].to_numpy()[own]
            self._files[part] = np.load(folder / "embeddings.npy", mmap_mode="r")
            self._rows[part] = rows, int(own[0])  # rows of one language stand side by side
            found.append(places(part, rows))
        if len(widths := {file.shape[1] for file in self._files.values()}) > 1:
            raise UserError(f"the encoder {payload.config.encoder} returned embeddings of different lengths: {widths}")
        self._width = min(widths, default=0)
        self.places = np.concatenate(found)

    def at(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings of the documents at some of the places, shape (N, D)."""
        vectors = np.zeros((len(documents), self._width), dtype=np.float32)
        parts, rows = parts_and_rows(self.places[documents])
        for part in np.unique(parts).tolist():
            own = np.flatnonzero(parts == part)
            known, first = self._rows[part]
            vectors[own] = self._files[part][first + np.searchsorted(known, rows[own])]
        return vectors


def _clusters(store: _Embeddings, text_hashes: NDArray[np.uint64], most: int) -> Iterator[NDArray[np.int64]]:
    """Yield the documents that are compared with each other, best first: all, or cluster by cluster.

    A cluster that is still too large is split again. What the centres are found on depends on the texts alone.
    """
    waiting = [(np.arange(len(store.places)), 0)]
    while waiting:
        own, tries = waiting.pop()
        if len(own) <= most or tries == _TRIES:
            if len(own):
                yield own
            continue
        count = -(-len(own) * _FILL // most)
        _, different = np.unique(text_hashes[own], return_index=True)
        centres = centroids(store.at(own[different[: count * _SAMPLE]]), count)
        cluster = np.concatenate([nearest(store.at(piece), centres) for piece in np.array_split(own, count * _FILL)])
        waiting += [(own[cluster == number], tries + 1) for number in range(len(centres))]
