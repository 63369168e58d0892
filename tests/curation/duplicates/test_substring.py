"""Substring tasks through parts and partitions, against a suffix array and a naive tokeniser."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.languages import load_languages
from curation.duplicates import substring_tokens, token_files
from curation.duplicates.substring import RepeatsPartition, repeats_partition
from curation.duplicates.substring_tokens import TokensPart, tokens_part
from curation.schema import DUPLICATES, SPANS
from dedup import winnow
from dedup.substring import SubstringConfig
from filters import tokens
from filters.scripts import code_points
from filters.tokens import find_tokens, token_length
from filters.words import Segmentation
from tests.curation.duplicates.made_parts import MadeParts, Page, make_parts, number_of, run
from tests.dedup.suffix_array import removed_by_suffix_array

KINDS: dict[str, Segmentation] = {"en": "spaces", "hi": "spaces", "th": "none", "zh": "none"}
# number of a document -> what goes of it: start, end and the document that it stands for
Cut = dict[int, list[tuple[int, int, int]]]
WORDS = st.sampled_from(["to", "be", "é", "中文", "ที่", "हि", "👍", "❤\ufe0f", ","])
SPACES = st.sampled_from([" ", " ", " ", "\n", "\u00a0", "\u3000 ", ""])
PASSAGES = st.one_of(
    st.lists(st.builds(lambda word, space: word + space, WORDS, SPACES), max_size=12).map("".join),
    st.builds(lambda word, space, count: (word + space) * count, WORDS, SPACES, st.integers(0, 30)),
)


@st.composite
def make_pages(draw: st.DrawFn) -> list[Page]:
    """Documents made of beginnings and ends of a few passages, so that windows of several of them meet."""
    passages = draw(st.lists(PASSAGES, min_size=1, max_size=3))
    pieces = st.builds(
        lambda text, start, end: text[start % (len(text) + 1) : end % (len(text) + 1)],
        st.sampled_from(passages),
        st.integers(0, 6),
        st.integers(-6, -1),
    )
    texts = draw(st.lists(st.lists(pieces, max_size=4).map("".join), max_size=10))
    languages, base = st.sampled_from(sorted(KINDS)), st.sampled_from([False, False, True])
    return [Page(text, number, language=draw(languages), base=draw(base)) for number, text in enumerate(texts)]


CONFIGS = st.builds(
    SubstringConfig,
    min_tokens=st.integers(2, 5),
    min_tokens_unspaced=st.integers(2, 5),
    remove=st.sampled_from(["repeats", "all"]),
)


def find(folder: Path, made: MadeParts, config: SubstringConfig, partitions: int, gone: Sequence[Path] = ()) -> Cut:
    """Run the tasks, and return what they cut, as it stands in the files."""
    folders = {
        part.number: run(tokens_part, TokensPart(part, tuple(gone), KINDS, config, partitions), folder)
        for part in made.parts
    }
    anchors = tuple(own / "anchors.arrow" for own in folders.values())
    cut: Cut = {}
    for number in range(partitions):
        payload = RepeatsPartition(number, anchors, folders, made.identities, made.base_parts, config)
        table = pq.read_table(run(repeats_partition, payload, folder) / "spans.parquet")
        assert table.schema == SPANS
        places = [(row["part"], row["row"], row["start"]) for row in table.to_pylist()]
        assert places == sorted(places)
        for row in table.to_pylist():
            page, kept = made.pages[row["part"], row["row"]], number_of(row["duplicate_of"])
            assert row["duplicate_of_part"] in {part for (part, _), own in made.pages.items() if own.number == kept}
            cut.setdefault(page.number, []).append((row["start"], row["end"], kept))
    return cut


def token_spans(text: str, segmentation: Segmentation) -> list[tuple[int, int]]:
    starts = find_tokens(code_points(text), np.zeros(1, dtype=np.int64), segmentation).starts.tolist()
    ends = [start + token_length(text[start:end]) for start, end in pairwise([*starts, len(text)])]
    return list(zip(starts, ends, strict=True))


def oracle(pages: Sequence[Page], config: SubstringConfig) -> dict[tuple[int, int], set[int]]:
    """Return the places of the tokens that go, by the numbers of their document and of the one they are copies of."""
    removed: dict[tuple[int, int], set[int]] = {}
    for kind in ("spaces", "none"):
        own = sorted((page for page in pages if KINDS[page.language] == kind), key=lambda page: page.order)
        numbers: dict[str, int] = {}
        documents = [
            [numbers.setdefault(page.text[start:end], len(numbers)) for start, end in token_spans(page.text, kind)]
            for page in own
        ]
        width = config.min_tokens if kind == "spaces" else config.min_tokens_unspaced
        for page, gone in zip(own, removed_by_suffix_array(documents, width, config.remove), strict=True):
            if not page.base:
                removed |= {(page.number, own[source].number): places for source, places in gone.items()}
    return removed


def tokens_cut(pages: Sequence[Page], cut: Cut) -> dict[tuple[int, int], set[int]]:
    """Return what was cut as the oracle does; a span that does not begin and end with a token is an error."""
    found: dict[tuple[int, int], set[int]] = {}
    by_number = {page.number: page for page in pages}
    for number, spans in cut.items():
        page = by_number[number]
        places = token_spans(page.text, KINDS[page.language])
        first_of = {start: place for place, (start, _) in enumerate(places)}
        last_of = {end: place for place, (_, end) in enumerate(places)}
        for start, end, kept in spans:
            found.setdefault((number, kept), set()).update(range(first_of[start], last_of[end] + 1))
    return found


@settings(max_examples=150)
@given(pages=make_pages(), config=CONFIGS, data=st.data())
def test_what_goes_is_what_a_suffix_array_finds(
    pages: list[Page], config: SubstringConfig, data: st.DataObject
) -> None:
    partitions, size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    shuffled = data.draw(st.permutations(pages))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        # Hashes that collide, and pieces that end everywhere.
        patch.setattr(winnow, "HASH_BITS", np.uint64(data.draw(st.sampled_from([2**64 - 1, 7 << 61, 0]))))
        if data.draw(st.booleans()):
            patch.setattr(tokens, "LONGEST", 8)
            patch.setattr(substring_tokens, "_STRETCH_BYTES", 48)
            patch.setattr(winnow, "_BLOCK", 7)
            patch.setattr(token_files, "_PIECE", 5)
            patch.setattr(token_files, "_ROWS", 3)
            patch.setattr(token_files, "_OPEN_TEXTS", 1)
        cut = find(Path(name), make_parts(Path(name), shuffled, size), config, partitions)
        assert tokens_cut(pages, cut) == oracle(pages, config)


PASSAGE = " ".join(f"word{number}" for number in range(60))
UNSPACED = "".join(chr(0x4E00 + 7 * number) for number in range(120))


def cut_of(tmp_path: Path, pages: list[Page], config: SubstringConfig | None = None) -> Cut:
    return find(tmp_path, make_parts(tmp_path, pages, 2), config or SubstringConfig(), 2)


def union(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end, _ in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def texts_cut(pages: Sequence[Page], cut: Cut) -> dict[int, list[str]]:
    return {number: [pages[number].text[a:b] for a, b in union(own)] for number, own in sorted(cut.items())}


def test_a_passage_goes_from_all_documents_but_the_best_one(tmp_path: Path) -> None:
    pages = [Page(f"{'x' * number} before {PASSAGE} after {number}", number) for number in range(5)]
    cut = cut_of(tmp_path, pages)
    assert texts_cut(pages, cut) == {number: [f"before {PASSAGE} after"] for number in range(4)}
    assert {kept for spans in cut.values() for _, _, kept in spans} == {4}, "the longest one keeps it"
    everything = cut_of(tmp_path, pages, SubstringConfig(remove="all"))
    assert set(everything) == {0, 1, 2, 3, 4}


def test_white_space_does_not_count(tmp_path: Path) -> None:
    pages = [Page(PASSAGE, 0), Page(PASSAGE.replace(" ", "\u00a0\n") + " !", 1), Page(PASSAGE.replace(" ", "\n"), 2)]
    assert texts_cut(pages, cut_of(tmp_path, pages)) == {number: [pages[number].text] for number in (0, 2)}
    # Nor does it count whether white space is there at all, between tokens that stand apart anyway.
    apart = [Page("! ? " * 10 + "a . b , c ; " * 10 + "end", 0), Page("! ? " * 10 + "a.b,c;" * 10 + "\nend", 1)]
    config = SubstringConfig(min_tokens=60)
    assert texts_cut(apart, cut_of(tmp_path, apart, config)) == {1: [apart[1].text]}


def test_case_and_signs_count(tmp_path: Path) -> None:
    for other in (PASSAGE.replace("word30", "Word30"), PASSAGE.replace(" word30", ", word30")):
        assert cut_of(tmp_path, [Page(PASSAGE, 0), Page(other, 1)]) == {}


def test_unspaced_languages_have_windows_of_letters(tmp_path: Path) -> None:
    pages = [Page(f"一{UNSPACED}二三四五六", 0, language="zh"), Page(f"七八{UNSPACED}", 1, language="zh")]
    assert texts_cut(pages, cut_of(tmp_path, pages)) == {1: [UNSPACED]}
    short = [Page(f"一{UNSPACED[:99]}二三四", 0, language="zh"), Page(f"七八{UNSPACED[:99]}", 1, language="zh")]
    assert cut_of(tmp_path, short) == {}
    # Where spaces separate words, this is one word each: another number of tokens, and another key.
    assert cut_of(tmp_path, [Page(f"一{UNSPACED}二", 0, language="zh"), Page(UNSPACED, 1, language="en")]) == {}


def test_the_base_is_never_cut_and_comes_first(tmp_path: Path) -> None:
    pages = [
        Page(f"{PASSAGE} much longer than the one that stands already {PASSAGE}", 0),
        Page(f"{PASSAGE} short", 1, base=True),
        Page(f"{PASSAGE} {PASSAGE}", 2, base=True),
    ]
    for remove in ("repeats", "all"):
        cut = cut_of(tmp_path, pages, SubstringConfig.model_validate({"remove": remove}))
        assert texts_cut(pages, cut) == {0: [PASSAGE, PASSAGE]}
        assert {kept for spans in cut.values() for _, _, kept in spans} == {2}


def test_documents_that_are_gone_take_no_part(tmp_path: Path) -> None:
    pages = [Page(f"{PASSAGE} longer {number}" + " x" * (3 - number), number) for number in range(3)]
    made = make_parts(tmp_path, pages, 2, left_out=[1])
    gone = tmp_path / "gone.parquet"
    row = dict.fromkeys(DUPLICATES.names, 0) | {"duplicate_of": pages[2].id, "duplicate_of_part": 1}
    pq.write_table(pa.Table.from_pylist([row], schema=DUPLICATES), gone)
    assert find(tmp_path, made, SubstringConfig(), 1, [gone]) == {}
    assert set(find(tmp_path, made, SubstringConfig(), 1)) == {2}


def test_one_word_over_and_over_is_cut_to_its_first_windows(tmp_path: Path) -> None:
    pages = [Page("spam " * 40_000 + "ham", 0), Page("spam " * 60, 1), Page("! " * 100_000, 2), Page("spam", 3)]
    made = make_parts(tmp_path, pages, 4)
    counts = tokens_part(TokensPart(made.parts[0], (), KINDS, SubstringConfig(), 1), tmp_path, tmp_path).counts
    assert counts["tokens"] == 140_062
    assert counts["anchors"] < 1_000
    cut = find(tmp_path, made, SubstringConfig(), 1)
    assert {number: union(own) for number, own in cut.items()} == {
        0: [(5, 199_999)],
        1: [(0, 299)],
        2: [(2, 199_999)],
    }


def test_identical_documents_keep_one(tmp_path: Path) -> None:
    pages = [Page(PASSAGE, number) for number in range(6)]
    cut = cut_of(tmp_path, pages)
    assert texts_cut(pages, cut) == {number: [PASSAGE] for number in range(1, 6)}


@given(st.lists(st.integers(0, 99), max_size=40), st.integers(1, 30))
def test_numbers_are_read_from_any_place(places: list[int], piece: int) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_files, "_PIECE", piece)
        np.arange(100, 200, dtype=np.uint32).tofile(Path(name) / "numbers")
        found = token_files.read_numbers(Path(name) / "numbers", np.uint32, np.array(places, dtype=np.int64))
    assert found.tolist() == [100 + place for place in places]


def test_no_documents_at_all(tmp_path: Path) -> None:
    assert cut_of(tmp_path, [Page("", 0), Page(" \n", 1), Page("a b", 2)]) == {}


def test_the_files_are_the_same_in_every_run(tmp_path: Path) -> None:
    made = make_parts(tmp_path, [Page(f"{'x ' * number}{PASSAGE} {number}", number) for number in range(5)], 9)
    payload = TokensPart(made.parts[0], (), KINDS, SubstringConfig(), 3)
    first, second = (run(tokens_part, payload, tmp_path) for _ in range(2))
    names = sorted(path.name for path in first.iterdir())
    assert "anchors.arrow" in names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_real_web_pages(tmp_path: Path, data_folder: Path) -> None:
    """Gold texts of pages in many languages, some of them several times: all of them agree with the suffix array."""
    index = data_folder / "web" / "index.jsonl"
    if not index.is_file():
        pytest.skip(f"no web pages at {index}")
    segmentations = {language.code: language.segmentation for language in load_languages().languages}
    pages: list[Page] = []
    for line in index.read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        if isinstance(row.get("gold_text"), str) and row["gold_text"].strip() and row["lang"] in segmentations:
            code = "en" if segmentations[row["lang"]] == "spaces" else "zh"
            pages.append(Page(row["gold_text"], len(pages), language=code))
    assert len(pages) > 500
    config = SubstringConfig()
    expected = oracle(pages, config)
    assert len(expected) > 20
    assert tokens_cut(pages, find(tmp_path, make_parts(tmp_path, pages, 100), config, 2)) == expected
