"""Token shards as a source of documents: any number of Megatron-LM `.bin` and `.idx` files, one after another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from mixing.stream.shard_file import ShardFile
from mixing.stream.shuffle import Numbers
from mixing.tokens.indexed import Tokens


class TokenDocuments:
    """The documents of shards, numbered through. Nothing is read but what is asked for."""

    def __init__(self, name: str, prefixes: Sequence[Path], identity: str | None = None) -> None:
        """Open shards.

        Args:
            name: of the source.
            prefixes: paths of the shards without their endings; the order is that of the documents.
            identity: what the documents are; None is the names and sizes of the shards.

        Raises:
            UserError: a shard is damaged.
        """
        self.name = name
        self._shards = [ShardFile(prefix) for prefix in prefixes]
        self._begins = np.cumsum([0, *(len(shard) for shard in self._shards)], dtype=np.int64)
        self.documents = int(self._begins[-1])
        self.identity = self._own_identity() if identity is None else identity

    @property
    def shards(self) -> tuple[ShardFile, ...]:
        """The shards, in their order."""
        return tuple(self._shards)

    def lengths(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return the tokens of documents, shape (P,).

        Raises:
            UserError: a file cannot be read any more.
        """
        places = self._begins.searchsorted(numbers, side="right") - 1
        found = np.empty(len(numbers), dtype=np.int64)
        order = places.argsort(kind="stable")
        borders = np.flatnonzero(np.diff(places[order], prepend=-1, append=-1))
        for begin, end in itertools.pairwise(borders):
            own = order[begin:end]
            place = places[own[0]]
            found[own] = self._shards[place].lengths(numbers[own] - self._begins[place])
        return found

    def tokens(self, number: int, start: int, length: int) -> Tokens:
        """Return tokens of a document, shape (length,).

        Raises:
            UserError: a file cannot be read any more.
        """
        place = int(self._begins.searchsorted(number, side="right")) - 1
        return self._shards[place].read(number - int(self._begins[place]), start, length)

    def _own_identity(self) -> str:
        sizes = [[shard.prefix.name, len(shard), shard.tokens] for shard in self._shards]
        return xxhash.xxh3_128_hexdigest(json.dumps(sizes).encode("utf-8", "surrogatepass"))
