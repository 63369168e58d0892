"""ARC files: the genuine ones, and the ways in which one breaks."""

import gzip
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from curation.arc import read_arc
from curation.http import IngestConfig
from curation.records import Record
from tests.curation.archives import PAGE, SMALL, checked, http, page, rules
from tests.curation.peak import peak_growth_mb

HEADER = (
    b"filedesc://test.arc 0.0.0.0 20080430204825 text/plain 76\n1 0 InternetArchive\n"
    b"URL IP-address Archive-date Content-type Archive-length\n\n"
)


def arc(number: int, block: bytes | None = None, length: object = None) -> bytes:
    block = page(number) if block is None else block
    stated = len(block) if length is None else length
    return f"https://example.org/{number} 192.0.2.1 20240102030405 text/html {stated}\n".encode() + block + b"\n"


RECORDS = [arc(number) for number in range(5)]


def read(data: bytes, config: IngestConfig | None = None) -> list[Record]:
    return checked(read_arc(io.BytesIO(data), "test.arc", config or IngestConfig()))


def urls(records: Iterable[Record]) -> list[str]:
    return [record.url for record in records if record.ending is None]


def addresses(numbers: Iterable[int]) -> list[str]:
    return [f"https://example.org/{number}" for number in numbers]


def test_the_genuine_files_are_accounted_for(data_folder: Path) -> None:
    """No fewer records than warcio finds, each with its whole content, and pages among them."""
    files = sorted(path for path in (data_folder / "warc_quirks").rglob("*.arc*") if path.is_file())
    if not files:
        pytest.skip(f"no ARC files in {data_folder}")
    pages = 0
    for path in files:
        expected = 0
        try:
            for _ in ArchiveIterator(path.open("rb"), no_record_parse=True):
                expected += 1
        except Exception:  # whatever it is that warcio fails with
            expected += 1
        with path.open("rb") as stream:
            records = checked(read_arc(stream, path.name, IngestConfig()))
        assert len(records) == expected, path
        assert "TruncatedRecord" not in rules(records), path
        pages += sum(record.ending is None for record in records)
    assert pages > 10


@pytest.mark.parametrize(
    "wrap",
    [b"".join, lambda pieces: b"".join(map(gzip.compress, pieces))],
    ids=["plain", "gzip"],
)
def test_a_sound_file_is_read_whole(wrap: Callable[[list[bytes]], bytes]) -> None:
    records = read(wrap([HEADER, *RECORDS]))
    assert rules(records) == ["arc_header", *[""] * 5]
    assert urls(records) == addresses(range(5))
    assert [record.body for record in records[1:]] == [page(number).partition(b"\r\n\r\n")[2] for number in range(5)]
    assert {(record.record_type, record.date) for record in records[1:]} == {("arc", "2024-01-02T03:04:05Z")}
    assert [record.record_id for record in records] == [f"test.arc:{number}" for number in range(6)]


@pytest.mark.parametrize("wrap", [list, lambda pieces: list(map(gzip.compress, pieces))], ids=["plain", "gzip"])
def test_offsets_are_those_of_the_records(wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    pieces = wrap([HEADER, *RECORDS])
    assert [record.offset for record in read(b"".join(pieces))] == [sum(map(len, pieces[:k])) for k in range(6)]


def test_a_file_may_come_without_its_header() -> None:
    assert urls(read(b"".join(RECORDS))) == addresses(range(5))


def test_a_large_page_is_read_whole() -> None:
    body = b"<html>" + b"A long page. " * 100_000
    records = read(HEADER + arc(0, http(body)) + RECORDS[1])
    assert records[1].body == body
    assert urls(records) == addresses([0, 1])


def test_a_page_may_come_without_http() -> None:
    records = read(HEADER + arc(0, PAGE) + RECORDS[1])
    assert records[1].body == PAGE


def test_a_record_over_the_limit_costs_no_other() -> None:
    records = read(HEADER + RECORDS[0] + arc(1, http(b"x" * 5000)) + RECORDS[2], SMALL)
    assert rules(records) == ["arc_header", "", "record_bytes", ""]


@pytest.mark.parametrize("length", ["20", "-5", "abc", "1", "9" * 30, "1000000"])
def test_a_lying_length_is_told(length: str) -> None:
    """What follows cannot be found again; but nothing is lost in silence, and what came before is kept."""
    records = read(HEADER + RECORDS[0] + arc(1, length=length) + b"".join(RECORDS[2:]))
    assert urls(records)[0] == addresses([0])[0]
    assert {"UnreadableBytes", "TruncatedRecord", "record_bytes"} & set(rules(records))


@pytest.mark.parametrize("garbage", [b"no record\nat all\n", bytes(range(1, 256)), b"\xff" * 50 + b"\n"])
def test_garbage_is_one_failed_record(garbage: bytes) -> None:
    records = read(HEADER + RECORDS[0] + garbage)
    assert rules(records) == ["arc_header", "", "UnreadableBytes"]
    assert rules(read(garbage)) == ["UnreadableBytes"]


@pytest.mark.parametrize("share", range(1, 20))
@pytest.mark.parametrize("wrap", [list, lambda pieces: list(map(gzip.compress, pieces))], ids=["plain", "gzip"])
def test_a_file_cut_anywhere_keeps_the_records_before(share: int, wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    pieces = wrap([HEADER, *RECORDS])
    data = b"".join(pieces)
    cut = len(data) * share // 20
    records = read(data[:cut])
    whole = sum(sum(map(len, pieces[: number + 1])) <= cut for number in range(6))
    assert urls(records)[: max(whole - 1, 0)] == addresses(range(whole - 1))
    assert len(records) > whole or cut == sum(map(len, pieces[:whole]))


@pytest.mark.parametrize("wrap", [list, lambda pieces: list(map(gzip.compress, pieces))], ids=["plain", "gzip"])
def test_newlines_at_the_end_are_nothing(wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    assert urls(read(b"".join(wrap([HEADER, *RECORDS[:-1], RECORDS[-1] + b"\n" * 9])))) == addresses(range(5))
    assert len(read(b"".join(wrap([HEADER, RECORDS[0] + b"\n\n"])))) == 2


def test_an_empty_file_has_no_record() -> None:
    assert read(b"") == []


def test_a_single_member_over_all_records_is_told() -> None:
    """warcio reads no such file; that is a failed record, not silence."""
    assert rules(read(gzip.compress(HEADER + b"".join(RECORDS))))[-1] == "UnreadableBytes"


IMPORTS = """
from curation.arc import read_arc
from curation.http import IngestConfig
"""
CODE = """
with open(sys.argv[1], "rb") as stream:
    rules = [r.ending and r.ending.verdict.rule for r in read_arc(stream, "x", IngestConfig())]
assert rules == eval(sys.argv[2]), rules
"""


@pytest.mark.parametrize("is_first", [True, False])
def test_a_bomb_takes_little_memory(is_first: bool, tmp_path: Path) -> None:
    """Zeros where a line of the header should be: warcio alone would take gigabytes for these kilobytes."""
    path = tmp_path / "bomb.arc.gz"
    sound = [] if is_first else list(map(gzip.compress, [HEADER, RECORDS[0]]))
    path.write_bytes(b"".join([*sound, gzip.compress(bytes(100_000_000), 1)]))
    expected = ["UnreadableBytes"] if is_first else ["arc_header", None, "UnreadableBytes"]
    assert peak_growth_mb(IMPORTS, CODE, str(path), repr(expected)) < 100


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4), st.booleans())
def test_flipped_bytes_do_not_reach_back(flips: list[tuple[int, int]], is_packed: bool) -> None:
    pieces = list(map(gzip.compress, [HEADER, *RECORDS])) if is_packed else [HEADER, *RECORDS]
    data = bytearray(b"".join(pieces))
    for place, mask in flips:
        data[place % len(data)] ^= mask
    first = min(place % len(data) for place, _ in flips)
    before = sum(sum(map(len, pieces[: number + 1])) <= first for number in range(6))
    assert urls(read(bytes(data)))[: max(before - 1, 0)] == addresses(range(before - 1))
