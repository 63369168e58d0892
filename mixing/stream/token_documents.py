"""Token shards as a source of documents: any number of Megatron-LM `.bin` and `.idx` files, one after another."""

from __future__ import annotations

import itertools
import json
import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.stream.shuffle import Numbers
from mixing.tokens.indexed import IndexedReader, Tokens

# A shard keeps both of its files open as long as they are mapped; the process needs some files for other things, too.
_FILES_OF_A_SHARD, _OTHER_FILES = 2, 256


class TokenDocuments:
    """The documents of shards, numbered through, or some of them. Nothing is read but what is asked for."""

    def __init__(
        self,
        name: str,
        prefixes: Sequence[Path],
        chosen: NDArray[np.int64] | NDArray[np.bool_] | None = None,
        identity: str | None = None,
    ) -> None:
        """Open shards.

        Args:
            name: of the source.
            prefixes: paths of the shards without their endings; the order is that of the documents.
            chosen: numbers of the documents to be used, shape (N,), or for every document whether it is; None is all.
                An array that is memory-mapped stays so.
            identity: what the documents are; None is the names and sizes of the shards, and what is chosen of them.

        Raises:
            UserError: a shard is damaged, or what is chosen is not in it.
        """
        self.name = name
        _allow_open_files(_FILES_OF_A_SHARD * len(prefixes))
        self._shards = [IndexedReader(prefix) for prefix in prefixes]
        self._begins = np.cumsum([0, *(len(shard) for shard in self._shards)], dtype=np.int64)
        whole = int(self._begins[-1])
        if chosen is not None and chosen.dtype == np.bool_:
            if len(chosen) != whole:
                raise UserError(f"the slice of {name!r} is of {len(chosen):,} documents, the source has {whole:,}")
            chosen = np.flatnonzero(chosen)
        if chosen is not None and len(chosen) and (chosen.min() < 0 or chosen.max() >= whole):
            raise UserError(f"the slice of {name!r} has numbers of documents that are not among its {whole:,}")
        self._chosen = chosen
        self.documents = whole if chosen is None else len(chosen)
        self.identity = self._own_identity(prefixes) if identity is None else identity

    @property
    def shards(self) -> tuple[IndexedReader, ...]:
        """The readers of the shards."""
        return tuple(self._shards)

    def lengths(self, numbers: Numbers) -> NDArray[np.int64]:
        """Return the tokens of documents, shape (P,)."""
        numbers = self._in_shards(numbers)
        places = self._begins.searchsorted(numbers, side="right") - 1
        found = np.empty(len(numbers), dtype=np.int64)
        order = places.argsort(kind="stable")
        borders = np.flatnonzero(np.diff(places[order], prepend=-1, append=-1))
        for begin, end in itertools.pairwise(borders):
            own = order[begin:end]
            place = places[own[0]]
            found[own] = self._shards[place].lengths[numbers[own] - self._begins[place]]
        return found

    def tokens(self, number: int, start: int, length: int) -> Tokens:
        """Return tokens of a document, shape (length,)."""
        number = int(self._in_shards(np.array([number]))[0])
        place = int(self._begins.searchsorted(number, side="right")) - 1
        return self._shards[place].sequence(number - int(self._begins[place]), start, length)

    def _in_shards(self, numbers: Numbers) -> Numbers:
        return numbers if self._chosen is None else np.asarray(self._chosen[numbers], dtype=np.int64)

    def _own_identity(self, prefixes: Sequence[Path]) -> str:
        sizes = [[prefix.name, len(shard), shard.tokens] for prefix, shard in zip(prefixes, self._shards, strict=True)]
        digest = xxhash.xxh3_128(json.dumps(sizes).encode("utf-8", "surrogatepass"))
        if self._chosen is not None:
            digest.update(b"chosen" + np.ascontiguousarray(self._chosen, dtype="<i8").tobytes())
        return digest.hexdigest()


def _allow_open_files(count: int) -> None:
    """Raise the limit on open files of this process, as far as it may itself.

    Raises:
        UserError: that is not far enough.
    """
    needed = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise UserError(
            f"the shards of a source need {needed:,} open files, and this process may have {hard:,}: raise the limit "
            "(`ulimit -Hn`), or make fewer, larger shards"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
