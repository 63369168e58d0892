"""Lines through parts and partitions, against a dictionary of lines in plain Python."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates.lines import LINES as LINES_TABLE
from curation.duplicates.lines import LinesPart, LinesPartition, lines_part, lines_partition
from curation.duplicates.shuffle import read_partition
from curation.schema import DUPLICATES, SPANS
from dedup.lines import LinesConfig
from tests.curation.duplicates.made_parts import MadeParts, Page, make_parts, number_of, run

# (number of the document, start, end) -> number of the document of the first occurrence
Cut = dict[tuple[int, int, int], int]
# A few lines, so that they meet; two of them are equal once normalised, one is too short, one has no letter.
LINES = st.sampled_from(["Read more", "read  MORE!", "Menu 12", "Menu 34", "ab", "12.34.56", "", "ένα κείμενο"])
TEXTS = st.lists(st.lists(LINES, max_size=6).map("\n".join), max_size=14)


def find(folder: Path, made: MadeParts, config: LinesConfig, partitions: int) -> tuple[Cut, list[dict[str, int]]]:
    """Run the tasks; return what is cut, and the rows on frequent lines."""
    files = tuple(
        run(lines_part, LinesPart(part, (), config, partitions), folder) / "lines.arrow" for part in made.parts
    )
    cut: Cut = {}
    frequent = []
    for number in range(partitions):
        payload = LinesPartition(files, number, made.identities, made.base_parts, config)
        out = run(lines_partition, payload, folder)
        spans = pq.read_table(out / "spans.parquet")
        assert spans.schema == SPANS
        rows = spans.to_pylist()
        assert [(r["part"], r["row"], r["start"]) for r in rows] == sorted(
            (r["part"], r["row"], r["start"]) for r in rows
        )
        for row in rows:
            page = made.pages[row["part"], row["row"]]
            cut[page.number, row["start"], row["end"]] = number_of(row["duplicate_of"])
        frequent += pq.read_table(out / "frequent.parquet").to_pylist()
    return cut, frequent


def oracle(pages: list[Page], config: LinesConfig) -> tuple[Cut, dict[str, int]]:
    """Return what should be cut, and how often each repeated line occurs; the best document comes first."""
    seen: dict[tuple[str, str], list[tuple[Page, int, int]]] = defaultdict(list)
    for page in sorted(pages, key=lambda page: page.order):
        start = 0
        for line in page.text.splitlines(keepends=True):
            plain = "".join("0" if c.isdigit() else c for c in line.lower() if c.isalnum())
            if config.normalise and not plain.strip("0"):
                plain = ""
            same = plain if config.normalise else line.strip()
            if same and sum(not c.isspace() for c in line) >= config.min_chars:
                seen[page.language, same].append((page, start, start + len(line)))
            start += len(line)
    cut: Cut = {}
    counts = {}
    for (language, line), places in seen.items():
        if len(places) < config.min_count:
            continue
        counts[f"{language} {line}"] = len(places)
        for page, start, end in places[1:] if config.remove == "repeats" else places:
            if not page.base:
                cut[page.number, start, end] = places[0][0].number
    return cut, counts


@settings(max_examples=60)
@given(
    TEXTS,
    st.integers(1, 5),
    st.integers(1, 3),
    st.builds(
        LinesConfig,
        min_chars=st.sampled_from([1, 3]),
        min_count=st.integers(2, 3),
        remove=st.sampled_from(["repeats", "all"]),
        normalise=st.booleans(),
    ),
)
def test_what_is_cut_is_what_a_dictionary_finds(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], part_size: int, partitions: int, config: LinesConfig
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    pages = [Page(text, n, base=n % 5 == 4, language="el" if n % 3 == 2 else "en") for n, text in enumerate(texts)]
    cut, frequent = find(folder, make_parts(folder, pages, part_size), config, partitions)
    expected, counts = oracle(pages, config)
    assert cut == expected
    assert sorted(row["count"] for row in frequent) == sorted(counts.values())


def test_frequent_lines_lie_where_they_first_occur(tmp_path: Path) -> None:
    pages = [Page("A fine text\nRead more", 1), Page("Read more\nAnother fine text, a longer one", 2)]
    pages += [Page(f"Read more\n{number} rest", number) for number in range(10, 14)] + [Page("a fine text", 20)]
    made = make_parts(tmp_path, pages, 3)
    _, frequent = find(tmp_path, made, LinesConfig(min_chars=5), 1)
    shown = [(row["count"], made.pages[row["part"], row["row"]].number, row["start"], row["end"]) for row in frequent]
    best = min((page for page in pages if "rest" in page.text), key=lambda page: page.order)
    assert shown == [(6, 2, 0, 10), (4, best.number, 10, 17), (2, 1, 0, 12)]


def test_only_the_hundred_most_frequent_lines_are_listed(tmp_path: Path) -> None:
    text = "\n".join(f"{chr(97 + n % 26)}{chr(97 + n // 26)} line" for n in range(150))
    pages = [Page(text, 1), Page(text + "\nza line\nya line", 2), Page("ya line", 3)]
    _, frequent = find(tmp_path, make_parts(tmp_path, pages, 5), LinesConfig(min_chars=4), 1)
    assert [row["count"] for row in frequent] == [4, 3] + [2] * 98


def test_rows_that_are_not_kept_take_no_part(tmp_path: Path) -> None:
    pages = [Page("the same line", number) for number in range(3)]
    cut, _ = find(tmp_path, make_parts(tmp_path, pages, 2, left_out={1}), LinesConfig(), 1)
    assert len(cut) == 1
    cut, _ = find(tmp_path, make_parts(tmp_path, pages, 2, left_out={1, 2}), LinesConfig(), 1)
    assert cut == {}


def test_documents_that_went_before_take_no_part(tmp_path: Path) -> None:
    made = make_parts(tmp_path, [Page("the same line", number) for number in range(2)], 5)
    row = {"part": 0, "row": 1, "duplicate_of": "", "duplicate_of_part": 0, "duplicate_of_row": 0, "similarity": 1.0}
    pq.write_table(pa.Table.from_pylist([row], schema=DUPLICATES), tmp_path / "gone.parquet")
    out = run(lines_part, LinesPart(made.parts[0], (tmp_path / "gone.parquet",), LinesConfig(), 1), tmp_path)
    assert len(read_partition([out / "lines.arrow"], 0, LINES_TABLE)["start"]) == 1


def test_a_text_of_one_line_over_and_over(tmp_path: Path) -> None:
    pages = [Page("the same line\n" * 100_000, 1), Page("the same line", 2)]
    cut, frequent = find(tmp_path, make_parts(tmp_path, pages, 5), LinesConfig(), 1)
    assert len(cut) == 100_000
    assert (1, 0, 14) not in cut
    assert set(cut.values()) == {1}
    assert [row["count"] for row in frequent] == [100_001]
