"""How often the documents of a source are read, stage after stage: what epoch caps of a run count.

A run's cap on a source, C, is held like this. Tokens are planned tokens.

- A stage draws from a slice (the whole source is one) no more tokens than are left until its documents, all tokens of
  all stages together and whichever slices they were drawn by, have been read C times on average.
- All stages together draw no more than C times the tokens of the source.

The stream draws a document only when every other document of the slice has been drawn as often (`stream/order.py`). So
no document is read more than C times, or, where C is no whole number, more often than the next one: 1.5 is one epoch,
and half of the tokens once more. What the stream draws beyond its plan, or out of its order, comes on top: less than a
sequence or piece of a source, and with `best_fit` what waits in the packing window.

Where all stages draw from the same documents, counting is a sum. Where a stage draws from others, which of them were
read before is in the order of the earlier stages, and is found by going through that order, as the stream will.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixing.mixture.manifest_schema import ManifestSlice
from mixing.mixture.slices import map_lengths
from mixing.stream.order import DocumentOrder
from mixing.stream.sliced_documents import SlicedDocuments, SliceNumbers, slice_source_name
from mixing.tokens.token_source import TokenSource

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class _Lengths:
    """A source of which only lengths are known: enough for going through its order."""

    name: str
    of_documents: NDArray[np.int64]
    identity: str = ""

    @property
    def documents(self) -> int:
        return len(self.of_documents)

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(self.of_documents[numbers], dtype=np.int64)

    def tokens(self, number: int, start: int, length: int) -> NDArray[np.int64]:
        raise NotImplementedError("only lengths are known")


@dataclass(slots=True)
class SourceReads:
    """What the stages until now read of a source.

    Attributes:
        source: the source.
        seed: of the order of documents.
        folder: of the mixture, with its slices.
        drawn: slices, None for the whole source, and tokens, in the order of the stages.
    """

    source: TokenSource
    seed: int
    folder: Path
    drawn: list[tuple[ManifestSlice | None, int]] = field(default_factory=list)
    _passed: int = 0
    _whole: _Lengths | None = None
    _orders: dict[str, DocumentOrder] = field(default_factory=dict)
    _waiting: list[tuple[int, int]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens that were drawn of the source, by all slices."""
        return sum(tokens for _, tokens in self.drawn)

    def draw(self, where: ManifestSlice | None, tokens: int) -> None:
        """Draw tokens from a slice, or from the whole source."""
        if tokens:
            self.drawn.append((where, tokens))

    def read_of(self, where: ManifestSlice | None) -> int:
        """Return how many tokens of a slice were read, by whichever slices, a document that was read twice twice."""
        if where is None or all(_checksum(own) == where.checksum for own, _ in self.drawn):
            return self.tokens
        order = self._order(where)
        for own, tokens in self.drawn[self._passed :]:
            self._pass(self._order(own), tokens)
        self._passed = len(self.drawn)
        return self._read(order) - sum(left for number, left in self._waiting if self._is_in(order, number))

    def _order(self, where: ManifestSlice | None) -> DocumentOrder:
        """Return the order of a slice, which knows of all others, and they of it."""
        if self._whole is None:
            self._whole = _Lengths(self.source.source, map_lengths(self.source, self.folder))
        name = _checksum(where)
        if name not in self._orders:
            source = _sliced(self._whole, where, self.folder)
            self._orders[name] = DocumentOrder(source, self.seed)
            for own, order in self._orders.items():
                order.others = tuple(other for key, other in self._orders.items() if key != own)
        return self._orders[name]

    def _is_in(self, order: DocumentOrder, number: int) -> bool:
        return bool(order.positions(0, np.array([number]))[0] >= 0)

    def _pass(self, order: DocumentOrder, tokens: int) -> None:
        """Go on in an order by so many tokens, first with what is left of documents that were touched before.

        As a stream that concatenates does, it touches the document of the token after the last one, too.
        """
        left, own = [], 0
        for number, rest in self._waiting:
            is_in = self._is_in(order, number)
            taken = min(tokens, rest) if is_in else 0
            tokens -= taken
            if rest > taken:
                left.append((number, rest - taken))
                own += is_in
        self._waiting, begin = left, order.cursor[1]
        while not own:
            if begin == order.source.documents:
                order.cursor, begin = (order.cursor[0] + 1, 0), 0
            if order.skip_epochs():
                begin = 0
            end = min(begin + _CHUNK, order.source.documents)
            positions, documents = order.not_drawn(begin, end)
            sums = order.source.lengths(documents).cumsum()
            last = int(sums.searchsorted(tokens, side="right"))
            if last < len(sums):
                order.cursor = order.cursor[0], int(positions[last]) + 1
                self._waiting.append((int(order.in_whole(documents[last : last + 1])[0]), int(sums[last]) - tokens))
                return
            tokens -= int(sums[-1]) if len(sums) else 0
            order.cursor, begin = (order.cursor[0], end), end

    def _read(self, order: DocumentOrder) -> int:
        """Return the tokens of a slice's documents, as often as any order came to them."""
        found = 0
        for begin in range(0, order.source.documents, _CHUNK):
            ranks = np.arange(begin, min(begin + _CHUNK, order.source.documents))
            numbers = order.in_whole(ranks)
            times = np.max([own.times(numbers) for own in (order, *order.others)], axis=0)
            # Epochs times tokens may be beyond 64 bits: in Python's numbers.
            found += sum(int(times_) * int(tokens) for times_, tokens in _grouped(times, order.source.lengths(ranks)))
        return found


def _grouped(times: NDArray[np.int64], lengths: NDArray[np.integer]) -> list[tuple[int, int]]:
    return [(number, int(lengths[times == number].sum())) for number in np.unique(times).tolist()]


def _sliced(whole: _Lengths, where: ManifestSlice | None, folder: Path) -> _Lengths | SlicedDocuments:
    if where is None:
        return whole
    numbers = SliceNumbers(folder / where.file)
    return SlicedDocuments(whole, numbers, slice_source_name(whole.name, where.checksum), where.checksum)


def _checksum(where: ManifestSlice | None) -> str:
    return "" if where is None else where.checksum
