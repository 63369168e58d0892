"""Documents that hold an item of a benchmark: found by the n-grams of its words, while the rules are applied."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from curation.benchmark_files import BenchmarkFile, Budget, find_benchmarks, read_records
from dedup.decontaminate import BenchmarkIndex, ContaminationConfig, Item, Tokens
from filters.characters import WORD, character_flags, fold_table
from filters.scripts import code_points
from filters.verdict import Verdict
from filters.words import LetterSegmenter, Segmentation, Segmenter, encodable, find_words, segmenter_for

RULE = "contaminated"


def load_benchmarks(config: ContaminationConfig) -> tuple[BenchmarkFile, ...]:
    """Return the files of the benchmarks, read through once, so that what is wrong with them is said before the job.

    Their names and checksums belong into the identity of the tasks that use them.

    Raises:
        UserError: a file is missing, damaged, malformed or too large, or holds no item that is long enough.
    """
    files = find_benchmarks(config.benchmarks)
    _index(files, config, "", "spaces")
    return files


class BenchmarkFilter:
    """Judges documents by the benchmarks.

    A worker has one index for all languages with spaces between words, and one for each other language that it meets,
    as ICU's dictionaries split the benchmarks' own words differently; with `tokens: characters` it has one for all.
    """

    def __init__(self, files: Sequence[BenchmarkFile], config: ContaminationConfig) -> None:
        """Prepare; the benchmarks are read when the first document is judged, once a worker."""
        self._files, self._config = tuple(files), config
        self._indexes: dict[tuple[str, Segmentation], BenchmarkIndex] = {}

    def judge(self, text: str, language: str, segmentation: Segmentation) -> Verdict | None:
        """Return why a document is dropped, or None.

        The verdict's value is the share of the benchmark's item that stands in the document; its detail names the file
        and the record.

        Args:
            text: of the document.
            language: ISO 639-1 code.
            segmentation: how the language separates words.

        Raises:
            UserError: as `load_benchmarks`, when a file has changed since.
        """
        one_for_all = segmentation == "spaces" or self._config.tokens == "characters"
        key: tuple[str, Segmentation] = ("", "spaces") if one_for_all else (language, segmentation)
        if key not in self._indexes:
            self._indexes[key] = _index(self._files, self._config, *key)
        match = self._indexes[key].find(tokenise(text, _segmenter(self._config, *key)))
        if match is None:
            return None
        return Verdict(RULE, match.share, self._config.min_share, f"{match.benchmark}:{match.number}")


class _WordRuns:
    """Words are runs of letters, marks and digits: unlike elsewhere, an apostrophe or a hyphen ends a word.

    Of `Beacon's` and `Beacon’s`, `13-year-old` and `13 year old`, the words are the same.
    """

    name = "runs"

    def spans(self, text: str, points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and ends of the words."""
        inside = np.zeros(len(points) + 2, dtype=np.bool_)
        np.not_equal(character_flags(points) & np.uint16(WORD), 0, out=inside[1:-1])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        return edges[::2], edges[1::2]


def _segmenter(config: ContaminationConfig, language: str, segmentation: Segmentation) -> Segmenter:
    if config.tokens == "characters":
        return LetterSegmenter()
    return _WordRuns() if segmentation == "spaces" else segmenter_for(language, segmentation)


def tokenise(text: str, segmenter: Segmenter) -> Tokens:
    """Return the tokens of a text, in which case, and how accents are encoded, do not count."""
    # As capital letters the two Turkish i are one.
    text = unicodedata.normalize("NFC", encodable(text)).replace("ı", "i")
    points = code_points(text)
    words = find_words(text, points, segmenter)
    folded = fold_table()[points].astype("<u4", copy=False).tobytes().decode("utf-32-le")
    return Tokens(folded, words.starts, words.ends, words.hashes)


@lru_cache(maxsize=8)
def _index(
    files: tuple[BenchmarkFile, ...], config: ContaminationConfig, language: str, segmentation: Segmentation
) -> BenchmarkIndex:
    segmenter = _segmenter(config, language, segmentation)
    index = BenchmarkIndex(_items(files, config, segmenter), config)
    if not len(index):
        raise UserError(
            f"the benchmarks hold no item of {config.min_item_tokens} {config.tokens} or more: lower min_item_tokens, "
            "or leave them out"
        )
    return index


def _items(files: Sequence[BenchmarkFile], config: ContaminationConfig, segmenter: Segmenter) -> Iterator[Item]:
    budget = Budget(config.max_benchmark_mb)
    for file in files:
        for number, strings in read_records(file, budget):
            for text in strings:
                yield Item(file.name, number, tokenise(text, segmenter))
