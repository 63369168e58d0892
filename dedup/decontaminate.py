"""Which benchmark does a document hold? Overlap of n-grams, verified on the text of the benchmark's items.

An item is a string of a benchmark: a question, a passage, an answer. A document is contaminated when one item stands in
it: when enough of the item's tokens lie in n-grams that the document has, too. Measured so (Llama 3, Dubey et al. 2024,
section 5.1.4, with 8-grams) a word that was changed in the middle of a question costs one word; of the share of n-grams
it would cost eight, and of GPT-3's 13-grams (Brown et al. 2020, appendix C) often all. GPT-3 takes n between 8 and 13,
and a shorter item as a whole; datatrove takes 12. Both let a single n-gram decide, so that a phrase that a benchmark
quotes goes with it. Here an item has to be there as such.

Shape legend: T = tokens of a text, G = distinct n-grams of the benchmarks, P = their places in items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from configs.load import StrictModel
from dedup.minhash import mix

_DEFAULTS = {"words": {"ngram": 8, "min_item_tokens": 8}, "characters": {"ngram": 20, "min_item_tokens": 20}}


class ContaminationConfig(StrictModel):
    """Removal of documents that hold an item of a benchmark.

    Attributes:
        benchmarks: files, or globs of files: JSONL, JSON, Parquet, CSV, TSV, or plain text with an item a line,
            compressed or not. Every string of a record is an item.
        tokens: what n-grams are made of: `words`, or `characters`, that is letters, but for runs of basic Latin letters
            and digits. Case, punctuation and white space never count.
        ngram: tokens of an n-gram; 8 words or 20 characters where it is not set.
        min_share: share of an item's tokens from which it stands in a document.
        min_item_tokens: shorter items are left out: answers such as `none of the above` stand anywhere; 8 words or 20
            characters where it is not set. An item shorter than an n-gram has to be there as a whole.
        max_benchmark_mb: megabytes of text that all benchmarks together may hold. Every worker has them in memory,
            with 16 bytes for each token; three times as much while they are sorted.
    """

    benchmarks: tuple[str, ...] = Field(min_length=1)
    tokens: Literal["words", "characters"] = "words"
    ngram: int = Field(default=8, ge=1)
    min_share: float = Field(default=0.8, gt=0, le=1)
    min_item_tokens: int = Field(default=8, ge=1)
    max_benchmark_mb: int = Field(default=256, ge=1, le=4096)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_tokens(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        return {**_DEFAULTS.get(str(data.get("tokens", "words")), {}), **data}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text.

    Attributes:
        text: the text in lower case, or however else equal tokens are equal.
        starts: index of each token's first character, shape (T,).
        ends: index after its last one, shape (T,).
        hashes: equal for equal tokens, shape (T,), uint64.
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    def words(self, first: int, count: int) -> list[str]:
        """Return some of the tokens."""
        spans = zip(self.starts[first : first + count].tolist(), self.ends[first : first + count].tolist(), strict=True)
        return [self.text[start:end] for start, end in spans]


@dataclass(frozen=True, slots=True)
class Item:
    """One string of a benchmark.

    Attributes:
        benchmark: name of the file.
        number: of the record in it, from 1.
        tokens: of the string.
    """

    benchmark: str
    number: int
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Match:
    """An item that a document holds: its benchmark, the number of its record, the share of it that is there."""

    benchmark: str
    number: int
    share: float


_STEP = np.uint64(0xD6E8FEB86659FD93)


def _ngrams(hashes: NDArray[np.uint64], lengths: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """Yield the hashes of n-grams of several lengths, which rise; of lengths over that of the text there are none."""
    mixed = mix(hashes)
    grams, done = mixed, 1
    for length in lengths:
        if length > len(mixed):
            return
        while done < length:
            grams = grams[:-1] * _STEP + mixed[done:]
            done += 1
        yield length, grams


class BenchmarkIndex:
    """Finds items of benchmarks in documents. In memory are the items' texts, and 16 bytes for each of their tokens."""

    def __init__(self, items: Iterable[Item], config: ContaminationConfig) -> None:
        """Index the items that are long enough; of equal ones the first."""
        self._config = config
        self._owners: list[tuple[str, int]] = []
        self._texts: list[str] = []
        lengths: list[int] = []
        grams: dict[int, list[tuple[int, NDArray[np.uint64]]]] = {}
        known: set[str] = set()
        total = 0
        for item in items:
            count = len(item.tokens.hashes)
            text = " ".join(item.tokens.words(0, count)) if count >= config.min_item_tokens else ""
            if not text or text in known:
                continue
            known.add(text)
            self._owners.append((item.benchmark, item.number))
            self._texts.append(text)
            lengths.append(count)
            for length, own in _ngrams(item.tokens.hashes, (min(config.ngram, count),)):
                grams.setdefault(length, []).append((total, own))
            total += count
        self._lengths = np.array(lengths, dtype=np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._tables = {length: _Table(grams.pop(length)) for length in sorted(grams)}

    def __len__(self) -> int:
        """Return the number of different items."""
        return len(self._texts)

    def find(self, document: Tokens) -> Match | None:
        """Return the item of which the largest share stands in a document, of equal ones the first; or None."""
        best: tuple[float, int] | None = None
        for length, grams in _ngrams(document.hashes, self._tables):
            found = self._best_item(document, length, grams)
            if found is not None and (best is None or (-found[0], found[1]) < (-best[0], best[1])):
                best = found
        return Match(*self._owners[best[1]], best[0]) if best is not None else None

    def _best_item(self, document: Tokens, length: int, grams: NDArray[np.uint64]) -> tuple[float, int] | None:
        """Return share and number of the item that n-grams of one length find."""
        places, firsts = self._tables[length].look_up(grams)
        if not len(places):
            return None
        items = np.searchsorted(self._starts, places, side="right") - 1
        borders = np.flatnonzero(np.diff(items, prepend=-1))
        candidates = items[borders]
        # At most so much of each item is there: hashes may collide.
        shares = np.add.reduceat(_covered(places, items, length), borders) / self._lengths[candidates]
        stops = np.append(borders[1:], len(places))
        best: tuple[float, int] | None = None
        for own in np.lexsort((candidates, -shares)).tolist():
            item, most = int(candidates[own]), float(shares[own])
            if most < self._config.min_share or (best is not None and (-most, item) > (-best[0], best[1])):
                break
            span = slice(borders[own], stops[own])
            share = self._verified_share(document, item, places[span], firsts[span], length)
            if share >= self._config.min_share and (best is None or (-share, item) < (-best[0], best[1])):
                best = share, item
        return best

    def _verified_share(
        self, document: Tokens, item: int, places: NDArray[np.int64], firsts: NDArray[np.int64], length: int
    ) -> float:
        """Return the share of an item's tokens in n-grams that are equal to the document's, word by word."""
        words, start = self._texts[item].split(" "), int(self._starts[item])
        true = [
            words[place - start : place - start + length] == document.words(first, length)
            for place, first in zip(places.tolist(), firsts.tolist(), strict=True)
        ]
        places = places[true]
        return float(_covered(places, np.zeros_like(places), length).sum() / self._lengths[item])


def _covered(places: NDArray[np.int64], items: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return how many tokens each n-gram covers up to the next one of its item; places rise."""
    covered = np.full(len(places), length, dtype=np.int64)
    if len(places) > 1:
        same = items[1:] == items[:-1]
        covered[:-1] = np.where(same, np.minimum(np.diff(places), length), length)
    return covered


class _Table:
    """The n-grams of one length: sorted hashes, shape (G,), and the places where each stands, shape (P,)."""

    def __init__(self, grams: list[tuple[int, NDArray[np.uint64]]]) -> None:
        """Sort the n-grams of items; each item's begin at the given place."""
        hashes = np.concatenate([own for _, own in grams])
        places = np.concatenate([np.arange(first, first + len(own), dtype=np.uint32) for first, own in grams])
        order = np.argsort(hashes, kind="stable")
        self._places = places[order]
        self._hashes, starts = np.unique(hashes[order], return_index=True)
        self._starts = np.append(starts, len(order)).astype(np.uint32)

    def look_up(self, grams: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places that a document's n-grams have in the items, rising, and for each a place in the document.

        Of n-grams that repeat in the document the first counts.
        """
        wanted, first = np.unique(grams, return_index=True)
        found = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        hits = np.flatnonzero(self._hashes[found] == wanted)
        starts = self._starts[found[hits]].astype(np.int64)
        counts = self._starts[found[hits] + 1].astype(np.int64) - starts
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self._places[np.repeat(starts, counts) + steps].astype(np.int64)
        order = np.argsort(places, kind="stable")
        return places[order], np.repeat(first[hits], counts)[order]
