"""Captures of one address through parts and partitions, against plain Python."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates.same_url import SameUrlPart, SameUrlPartition, same_url_part, same_url_partition
from tests.curation.duplicates.made_parts import MadeParts, Page, duplicates, make_parts, run

# Addresses by page: those of one page are spelled in several ways; those of none are no addresses of the web.
SPELLINGS = {
    "http://a.org/": "a",
    "https://www.a.org?utm_source=b": "a",
    "http://a.org/b": "b",
    "HTTP://A.org/./b#c": "b",
    "n/a": None,
    "": None,
    None: None,
}
# Dates by the order that they should have.
DATES = {
    "": 0,
    "yesterday": 0,
    None: 0,
    "2020": 1,
    "2020-01-01T00:00:00Z": 1,
    "2020-01-01T02:00:00+01:00": 2,
    "2021": 3,
}
CAPTURES = st.lists(st.tuples(st.sampled_from(list(SPELLINGS)), st.sampled_from(list(DATES))), max_size=16)


def find(folder: Path, made: MadeParts, partitions: int) -> dict[int, tuple[int, float]]:
    urls = tuple(run(same_url_part, SameUrlPart(part, (), partitions), folder) / "urls.arrow" for part in made.parts)
    payloads = [SameUrlPartition(urls, number, made.identities, made.base_parts) for number in range(partitions)]
    return duplicates(made, [run(same_url_partition, own, folder) / "duplicates.parquet" for own in payloads])


@settings(max_examples=60)
@given(CAPTURES, st.integers(1, 5), st.integers(1, 3))
def test_the_newest_capture_stays(
    tmp_path_factory: pytest.TempPathFactory,
    captures: list[tuple[str | None, str | None]],
    part_size: int,
    partitions: int,
) -> None:
    folder = tmp_path_factory.mktemp("urls")
    pages = [Page("a" * (n % 3), n, url, date, base=n % 6 == 5) for n, (url, date) in enumerate(captures)]
    found = find(folder, make_parts(folder, pages, part_size), partitions)
    by_address = defaultdict(list)
    for page in pages:
        if (address := SPELLINGS[page.url]) is not None:
            by_address[address].append(page)
    expected: dict[int, tuple[int, float]] = {}
    for own in by_address.values():
        newest = min(own, key=lambda page: (not page.base, -DATES[page.date], page.order))
        expected |= {page.number: (newest.number, 1.0) for page in own if page is not newest and not page.base}
    assert found == expected


def test_rows_that_are_not_kept_take_no_part(tmp_path: Path) -> None:
    pages = [Page("", number, "http://a.org", str(2000 + number)) for number in range(3)]
    assert find(tmp_path, make_parts(tmp_path, pages, 2, left_out={2}), 1) == {0: (1, 1.0)}


def test_many_captures_of_one_address(tmp_path: Path) -> None:
    pages = [Page("", number, f"http://a.org/?utm_id={number}", f"{number + 1:04d}") for number in range(9000)]
    found = find(tmp_path, make_parts(tmp_path, pages, 5000), 2)
    assert found == dict.fromkeys(range(8999), (8999, 1.0))
