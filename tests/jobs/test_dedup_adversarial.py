"""Exact and near deduplication of inputs that are made to hurt: what goes, how long it takes, and how much memory."""

from __future__ import annotations

import itertools
import os
import random
import re
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.dedup_parts import Phases, find, only, pairs, write_parts
from curation.duplicates.sizes import cluster_sizes
from dedup.minhash import MinHashConfig

NGRAM = MinHashConfig().ngram
# A million take three minutes: CORPUS_COPIES=1000000 python -m pytest -m slow tests/jobs/test_dedup_adversarial.py
COPIES = int(os.environ.get("CORPUS_COPIES", "200000"))


class AnonymousPeak(AbstractContextManager["AnonymousPeak"]):
    """How much memory that is no file's the process has at its peak, above what it had before, in MiB."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousPeak:
        self._before = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.mib = max(self.mib, self._now() - self._before)

    @staticmethod
    def _now() -> float:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found
        return int(found[1]) / 1024


@dataclass
class Outcome:
    """What happened to documents, by their number: those that go, each for one that stays in that stage."""

    count: int
    exact: dict[int, int]
    near: dict[int, int]
    counts: dict[str, dict[str, int]]
    clusters: list[dict[str, object]]
    seconds: float
    peak_mib: float

    @property
    def gone(self) -> set[int]:
        return self.exact.keys() | self.near.keys()

    @property
    def kept(self) -> set[int]:
        return set(range(self.count)) - self.gone


def deduplicate(folder: Path, texts: Iterable[str], minhash: MinHashConfig | None = None, code: str = "en") -> Outcome:
    """Run all phases in this process, and check what holds for every input."""
    parts, count = write_parts(((str(number), text) for number, text in enumerate(texts)), folder / "documents", code)
    phases = Phases()
    with AnonymousPeak() as peak:
        start = time.monotonic()
        found = find(parts, count, only(minhash or MinHashConfig()), folder / "work", phases)
        seconds = time.monotonic() - start
    exact, near = ({int(a): int(b) for a, b in pairs(parts, found, stage)} for stage in ("exact", "minhash"))
    files = [manifest.path("clusters.parquet") for manifest in found.survivors]
    clusters = [row for file in files for row in pq.read_table(file).to_pylist()]
    outcome = Outcome(count, exact, near, phases.counts, clusters, seconds, peak.mib)
    assert not exact.keys() & near.keys()
    assert not exact.keys() & set(exact.values())
    assert not outcome.gone & set(near.values())
    starts = itertools.accumulate((pq.read_metadata(part.documents).num_rows for part in parts), initial=0)
    represented = 0
    for part, first in zip(parts, starts, strict=False):
        sizes = cluster_sizes(found.sizes, part.number, found.size_partition(part.number))
        represented += sum(size - 1 for row, size in sizes.items() if first + row in outcome.kept)
    assert represented == len(outcome.gone)
    return outcome


def words(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [f"w{generator.randrange(10**9)}" for _ in range(count)]


def similarity(first: str, second: str) -> float:
    one, two = ({tuple(own[n : n + NGRAM]) for n in range(max(1, len(own) - NGRAM + 1))} for own in
                (first.lower().split(), second.lower().split()))  # fmt: skip
    return len(one & two) / len(one | two)


def test_all_documents_identical(tmp_path: Path) -> None:
    outcome = deduplicate(tmp_path, [" ".join(words(100, 1))] * 12_000)
    assert outcome.kept == {min(outcome.kept)}
    assert set(outcome.exact.values()) == outcome.kept
    assert len(outcome.exact) == 11_999
    assert outcome.counts["sign"]["documents"] == 1  # nothing of the copies is signed
    assert outcome.peak_mib < 150


def test_all_documents_different(tmp_path: Path) -> None:
    outcome = deduplicate(tmp_path, (" ".join(words(60, seed)) for seed in range(12_000)))
    assert not outcome.gone
    assert outcome.counts["edges"]["compared"] == 0
    assert outcome.peak_mib < 150


@pytest.mark.parametrize(
    ("count", "mib"), [(400_000, 150), pytest.param(4_700_000, 800, marks=pytest.mark.slow)], ids=["4 MB", "50 MB"]
)
def test_one_giant_document_and_its_near_copy(tmp_path: Path, count: int, mib: float) -> None:
    long = words(count, 2)
    texts = [" ".join(words(100, 3)), " ".join(long), " ".join(words(100, 4)), " ".join(long[: -count // 100])]
    outcome = deduplicate(tmp_path, texts)
    assert outcome.near == {3: 1}
    assert not outcome.exact
    assert outcome.peak_mib < mib


def test_documents_of_one_word(tmp_path: Path) -> None:
    same = ["Word", "word", " word\n", "word.", "word!", "wordy"] * 500
    outcome = deduplicate(tmp_path, [*same, *words(3_000, 5)])
    # Punctuation is a difference of texts, and none of their words.
    assert len(outcome.exact) == 3_000 - 4
    assert len(outcome.near) == 2
    assert {texts % 6 for texts in (*outcome.near, *outcome.near.values())} <= {0, 1, 2, 3, 4}
    assert set(range(3_000, 6_000)) <= outcome.kept


def test_empty_texts(tmp_path: Path) -> None:
    outcome = deduplicate(tmp_path, ["", " ", "\n\n", "\u3000"] * 1000 + ["…", "?!", "a"])
    assert len(outcome.exact) == 3_999
    assert not outcome.near
    assert {4000, 4001, 4002} <= outcome.kept


def tailed(count: int, boilerplate: int, tail: int) -> Iterable[str]:
    """Return copies of one text, each with an end of its own."""
    start = " ".join(words(boilerplate, 6))
    return (f"{start} {' '.join(words(tail, 1000 + number))}" for number in range(count))


@pytest.mark.parametrize(
    ("count", "seconds", "mib"),
    [(20_000, 60, 200), pytest.param(COPIES, 600, 1000, marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_boilerplate_with_a_unique_tail(tmp_path: Path, count: int, seconds: float, mib: float) -> None:
    """Every document is like every other one: work and memory grow with their number, not with its square."""
    outcome = deduplicate(tmp_path, tailed(count, 100, 2))
    assert len(outcome.kept) == 1
    assert outcome.counts["edges"]["compared"] < 8 * count
    assert outcome.counts["survivors"]["giant_clusters"] == 1
    assert outcome.clusters[0]["size"] == count
    assert outcome.seconds < seconds
    assert outcome.peak_mib < mib


def test_half_boilerplate_is_no_duplicate(tmp_path: Path) -> None:
    """Documents that share bands by the thousand and are no duplicates: each is compared with few others."""
    config = MinHashConfig()
    outcome = deduplicate(tmp_path, tailed(4_000, 100, 30), config)
    assert not outcome.gone
    assert 0 < outcome.counts["edges"]["compared"] <= config.max_leaders * outcome.counts["buckets"]["in_buckets"]
    assert outcome.seconds < 60
    assert outcome.peak_mib < 150


def chain(links: int, seed: int) -> list[str]:
    """Return texts of which neighbours have a similarity of 0.8: a window that slides over one long text."""
    long = words(184 + 20 * links, seed)
    return [" ".join(long[20 * number : 20 * number + 184]) for number in range(links)]


def test_chains_keep_what_is_similar_to_dropped_documents_only(tmp_path: Path) -> None:
    texts = [text for seed in range(20) for text in chain(12, seed)]
    assert similarity(texts[0], texts[1]) == pytest.approx(0.8)
    assert similarity(texts[0], texts[4]) < 0.5
    outcome = deduplicate(tmp_path, texts)
    assert len(outcome.near) > 20
    for worse, better in outcome.near.items():
        assert similarity(texts[worse], texts[better]) >= 0.75
        assert worse // 12 == better // 12
    # Of a chain of twelve at least every third stays: what goes lies beside what stays.
    assert all(len(outcome.kept & set(range(start, start + 12))) >= 4 for start in range(0, 240, 12))


def test_a_giant_cluster_raises_an_alarm_and_loses_only_what_is_very_similar(tmp_path: Path) -> None:
    near, very_near = list(tailed(120, 100, 8)), list(tailed(120, 100, 2))
    texts = [*near, *very_near, " ".join(words(100, 8)), " ".join([*words(100, 8), "end"])]
    free = deduplicate(tmp_path / "free", texts, MinHashConfig(max_cluster=None))
    bound = deduplicate(tmp_path / "bound", texts, MinHashConfig(max_cluster=100, giant_min_similarity=0.9))
    assert (free.counts["survivors"]["giant_clusters"], bound.counts["survivors"]["giant_clusters"]) == (0, 1)
    assert bound.clusters[0]["size"] == free.clusters[0]["size"] == 240
    assert len(free.kept) < 10
    for worse, better in bound.near.items():
        assert similarity(texts[worse], texts[better]) >= (0.9 if worse < 240 else 0.75)
    assert set(range(120)) <= bound.kept  # two of them have a similarity of 0.86
    assert len(bound.kept & set(range(120, 240))) < 10
    assert len(bound.kept & {240, 241}) == 1


def test_the_order_of_words_is_a_difference(tmp_path: Path) -> None:
    own = words(200, 9)
    texts = [" ".join(random.Random(seed).sample(own, 200)) for seed in range(300)]
    assert not deduplicate(tmp_path, texts).gone


def test_how_often_a_sentence_is_repeated_is_none(tmp_path: Path) -> None:
    """Shingles are a set: the longest stays."""
    sentence = " ".join(words(20, 10)) + ". "
    outcome = deduplicate(tmp_path, [sentence * count for count in range(2, 400)])
    assert outcome.kept == {397}
    assert set(outcome.near) == set(range(397))


THAI = "กขคงจฉชซญดตถทนบปผฝพฟมยรลวสหอ"
CHINESE = "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会"


@pytest.mark.parametrize(("code", "letters"), [("th", THAI), ("zh", CHINESE)], ids=["th", "zh"])
def test_near_duplicates_without_spaces(tmp_path: Path, code: str, letters: str) -> None:
    generator, texts = random.Random(11), []
    for _ in range(100):
        text = "".join(generator.choice(letters) for _ in range(400))
        texts += [text, text[:-6], "。".join([text[:200], text[200:]])]
    outcome = deduplicate(tmp_path, texts, code=code)
    assert len(outcome.kept) == 100
    assert all(worse // 3 == better // 3 for worse, better in (outcome.near | outcome.exact).items())


def test_odd_unicode(tmp_path: Path) -> None:
    """Marks alone, joiners, emoji, control and private characters, planes beyond the first, no word over it all."""
    odd = ["\u0301" * 50, "\u200d" * 50, "👩‍👩‍👧‍👦 " * 50, "\x00\x01 " * 50, "\ue000 \U000f0000 " * 50, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 " * 50]
    odd += [
        "\u202eabc\u202c " * 50,
        "ﬁ ﬂ ß ẞ İ ı ǅ " * 20,
        "\ufeff" * 9,
        "\uffff\ufffe",
        "א\u05b0 ב\u05b1 " * 30,
        "a\u0300" * 3000,
    ]
    # In a page of words, too: as it is, in other white space, and nearly it.
    pages = [" ".join([*words(100, number), text]) for number, text in enumerate(odd)]
    texts = [*odd, *odd, *pages, *(page.replace(" ", "\u3000\n") for page in pages), *(f"{page} end" for page in pages)]
    outcome = deduplicate(tmp_path, texts)
    count = len(odd)
    for number in range(count):
        assert len({number, number + count} & outcome.kept) <= 1
        assert len({number + 2 * count, number + 3 * count, number + 4 * count} & outcome.kept) == 1
    again = deduplicate(tmp_path / "again", reversed(texts))
    last = len(texts) - 1
    assert {texts[number] for number in outcome.near} == {texts[last - number] for number in again.near}
