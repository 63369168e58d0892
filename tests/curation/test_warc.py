"""WARC files as they are, as they should not be, and as broken disks leave them: no record may go missing unnoticed."""

import bz2
import gzip
import hashlib
import io
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from fastwarc.warc import ArchiveIterator as FastWarcIterator
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from curation.http import IngestConfig
from curation.warc import WarcReader
from tests.curation.archives import SMALL, checked, good, http, name, names, packed, page, read, rules, warc
from tests.curation.peak import peak_growth_mb

RECORDS = [warc(number) for number in range(6)]
READ_FILE = """
from curation.http import IngestConfig
from curation.warc import WarcReader
"""
PRINT_FILE = """
with open(sys.argv[1], "rb") as stream:
    found = [(r.record_id, r.ending and r.ending.verdict.rule) for r in WarcReader(stream, "x", IngestConfig())]
assert found == eval(sys.argv[2]), found
"""


def join(pieces: list[bytes]) -> bytes:
    return b"".join(pieces)


# Real files


def quirks(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if any(kind in path.name for kind in (".warc", ".wet", ".wat"))]
    if not files:
        pytest.skip(f"no WARC files in {folder}")
    return sorted(files)


def fastwarc_headers(path: Path) -> Iterator[dict[str, str]]:
    for record in FastWarcIterator(path.open("rb"), parse_http=False):
        yield {key.lower(): value for key, value in record.headers.items()}


def warcio_headers(path: Path) -> Iterator[dict[str, str]]:
    for record in WarcioIterator(path.open("rb"), no_record_parse=True):
        yield {key.lower(): value for key, value in record.rec_headers.headers}


def sound_before_failure(headers: Iterator[dict[str, str]]) -> tuple[int, int, bool]:
    """How many records a reader yields before it fails, how many of those say what they are and how long, and whether
    it comes to the end."""
    count = sound = 0
    try:
        for header in headers:
            count += 1
            sound += bool(header.get("warc-type")) and header.get("content-length", "").isdigit()
    except Exception:  # whatever it is that a reader fails with
        return count, sound, False
    return count, sound, True


def test_every_genuine_quirk_is_accounted_for(data_folder: Path) -> None:
    """No fewer records than FastWARC and warcio find, no fewer that could be told what they are; and where those two
    come to the end of a sound file, nothing but what they read."""
    fewer, invented, sound_files = [], [], 0
    for path in quirks(data_folder / "warc_quirks"):
        with path.open("rb") as stream:
            records = checked(WarcReader(stream, path.name, IngestConfig()))
        recognised = sum(record.record_type != "unreadable" for record in records)
        others = [sound_before_failure(headers(path)) for headers in (fastwarc_headers, warcio_headers)]
        for count, sound, _ in others:
            if len(records) < count or recognised < sound:
                fewer.append((path.name, len(records), recognised, count, sound))
        count, sound, is_whole = others[0]
        if others[0] == others[1] and is_whole and count == sound:
            sound_files += 1
            if len(records) != count:
                invented.append((path.name, len(records), count))
    assert (fewer, invented) == ([], [])
    assert sound_files > 30


def test_the_web_pages_are_where_the_index_says(data_folder: Path) -> None:
    if not (data_folder / "web" / "index.jsonl").is_file():
        pytest.skip(f"no index of web pages in {data_folder}")
    with (data_folder / "web" / "index.jsonl").open(encoding="utf-8") as lines:
        index = [json.loads(line) for line in lines]
    wrong, seen = [], 0
    for file in sorted({row["warc"] for row in index}):
        with (data_folder / "web" / "warc" / file).open("rb") as stream:
            records = checked(WarcReader(stream, file, IngestConfig()))
        pages = [record for record in records if record.record_type == "response"]
        rows = [row for row in index if row["warc"] == file]
        assert len(pages) == len(rows)
        for record, row in zip(pages, rows, strict=True):
            seen += 1
            expected = (row["offset"], row["record_id"], row["url"], row["bytes"], row["payload_sha1"])
            body = record.body or b""
            sha1 = hashlib.sha1(body, usedforsecurity=False).hexdigest()
            if (record.offset, record.record_id, record.url, len(body), sha1) != expected:
                wrong.append((record.offset, record.record_id, expected))
    assert (wrong, seen) == ([], len(index))


# Sound files in every wrapping


@pytest.mark.parametrize(
    "wrap",
    [
        join,
        lambda records: join(packed(records)),
        lambda records: gzip.compress(join(records)),
        lambda records: gzip.compress(join(records[:2])) + gzip.compress(join(records[2:])),
        lambda records: join([lz4.frame.compress(record) for record in records]),
        lambda records: join([zstandard.ZstdCompressor().compress(record) for record in records]),
        lambda records: b"\r\n\n" + join(records),
        lambda records: b"\r\n".join(records) + b"\r\n" * 50,
        lambda records: join([record.removesuffix(b"\r\n") for record in records]),
    ],
    ids=["plain", "gzip", "one member", "two members", "lz4", "zstandard", "newlines", "more newlines", "few newlines"],
)
def test_a_sound_file_is_read_whole(wrap: Callable[[list[bytes]], bytes]) -> None:
    records = read(wrap(RECORDS))
    assert good(records) == names(range(6))
    assert len(records) == 6
    assert [record.body for record in records] == [page(number).partition(b"\r\n\r\n")[2] for number in range(6)]


def test_a_record_has_what_its_header_says() -> None:
    record = read(warc(7))[0]
    assert (record.record_type, record.url, record.date) == (
        "response",
        "https://example.org/7",
        "2024-01-02T03:04:05Z",
    )
    assert (record.record_id, record.sequence, record.offset) == (name(7), 0, 0)


def test_offsets_are_those_of_the_members() -> None:
    members = packed(RECORDS)
    starts = [sum(map(len, members[:number])) for number in range(6)]
    assert [record.offset for record in read(join(members))] == starts


@pytest.mark.parametrize("kind", ["warcinfo", "request", "metadata", "revisit", "continuation", "REQUEST"])
def test_what_is_no_page_is_skipped_by_its_type(kind: str) -> None:
    records = read(RECORDS[0] + warc(1, kind=kind) + RECORDS[2])
    assert rules(records) == ["", kind.lower(), ""]
    assert records[1].ending is not None
    assert records[1].ending.outcome == "skipped"


def test_a_type_that_nobody_knows_is_skipped() -> None:
    assert rules(read(warc(0, kind="hologram") + RECORDS[1])) == ["unknown_type", ""]


def test_text_of_a_wet_file_is_taken_as_it_is() -> None:
    text = "Ο δήμος υποσχέθηκε ότι τα έργα θα τελειώσουν."
    record = read(warc(0, text.encode(), kind="conversion"))[0]
    assert (record.text, record.body) == (text, None)


def test_a_resource_is_a_page_without_http() -> None:
    block = b"<html><body>A page that came by another way.</body></html>"
    header = b"Content-Type: application/http; msgtype=response"
    sound = warc(0, block, kind="resource").replace(header, b"Content-Type: text/html; charset=koi8-r")
    record = read(sound)[0]
    assert (record.body, record.charset) == (block, "koi8-r")
    image = warc(0, block, kind="resource").replace(header, b"Content-Type: image/png")
    assert rules(read(image)) == ["content_type"]


def test_a_file_in_the_warc_folder_may_be_an_arc_file() -> None:
    """It has no WARC record, and that is said."""
    arc = b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain 74\n1 0 InternetArchive\n"
    arc += b"URL IP-address Archive-date Content-type Archive-length\n\n"
    assert rules(read(arc)) == ["UnreadableBytes"]


# Nothing in it


@pytest.mark.parametrize("data", [b"", b"\r\n" * 1000, b" \n\t"])
def test_an_empty_file_has_no_record(data: bytes) -> None:
    assert read(data) == []


@pytest.mark.parametrize(
    "data",
    [
        b"not an archive",
        random.Random(1).randbytes(100_000),
        gzip.compress(b""),
        gzip.compress(b"no record\r\n\r\n" * 1000),
        bz2.compress(join(RECORDS)),
        lz4.frame.compress(b"no record"),
        b"\x28\xb5\x2f\xfd" + bytes(range(256)),
        b"\x1f\x8b\x08" + bytes(range(256)),
        b"WARC/1.0\r\n",
        b"WARC/1.0\r\n\r\n",
        b"WARC/9.9\r\n" + RECORDS[0].partition(b"\r\n")[2],
    ],
    ids=["text", "noise", "empty gzip", "gzip", "bzip2", "lz4", "zstandard", "gzip magic", "cut", "bare", "version"],
)
def test_what_is_no_archive_is_one_failed_record(data: bytes) -> None:
    records = read(data)
    assert rules(records) == ["UnreadableBytes"]
    assert records[0].offset == 0


# Wrong lengths


@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "length",
    ["0", "3", "60", "-5", "", "abc", "12x", "1e3", " ", "²", "9" * 30, str(10**18), "100000000", "5000", "2000"],
)
def test_a_lying_length_costs_one_record(length: str, wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    """Too small, too large for the file, too large for the limit, negative, missing, or no number at all."""
    lying = warc(2, http(b"<html><body>Page number two</body></html>"), length=length)
    records = read(join(wrap([*RECORDS[:2], lying, *RECORDS[3:]])), SMALL)
    others = [identifier for identifier in good(records) if identifier != name(2)]
    assert others == names([0, 1, 3, 4, 5])
    assert any(name(2) == record.record_id or record.record_type == "unreadable" for record in records)


@pytest.mark.parametrize("length", range(100, 1000, 50))
def test_a_length_into_other_records_costs_no_more_than_those(length: int) -> None:
    """What the stated length covers is lost, as nothing tells it from a page; what lies behind is found again."""
    lying = warc(1, page(1), length=length)
    records = read(RECORDS[0] + lying + join(RECORDS[2:]))
    end = len(RECORDS[0]) + lying.index(page(1)) + length
    starts = [len(RECORDS[0]) + len(lying) + sum(map(len, RECORDS[2:number])) for number in range(2, 6)]
    behind = [number for number, start in zip(range(2, 6), starts, strict=True) if start >= end]
    assert good(records)[-len(behind) :] == names(behind)
    assert good(records)[0] == name(0)


def test_within_its_member_a_length_that_lies_is_harmless() -> None:
    """Too long for the member: the record is cut short, and the next one is where it was."""
    records = read(join(packed([RECORDS[0], warc(1, length=700), RECORDS[2]])))
    assert rules(records) == ["", "TruncatedRecord", ""]


# Damage between and within records


@pytest.mark.parametrize(
    "garbage",
    [b"x", b"garbage\r\n\r\nand more\r\n" * 20, bytes(range(256)) * 9, b"WARC/1.0, but no record\r\n\r\n" * 9],
)
@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_garbage_between_records_is_one_failed_record(
    garbage: bytes, place: int, wrap: Callable[[list[bytes]], list[bytes]]
) -> None:
    pieces = wrap(RECORDS)
    records = read(join([*pieces[:place], garbage, *pieces[place:]]))
    assert good(records) == names(range(6))
    assert rules(records) == [""] * place + ["UnreadableBytes"] + [""] * (6 - place)
    start = sum(map(len, pieces[:place]))
    assert records[place].offset in (start, max(start - 4, 0), max(start - 2, 0))  # newlines belong to either side


@pytest.mark.parametrize("size", [1 << 16, (1 << 20) + 17, 3 << 20])
@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_much_garbage_is_passed_over(size: int, wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    garbage = random.Random(size).randbytes(size)
    for place in (0, 3, 6):
        pieces = wrap(RECORDS)
        assert good(read(join([*pieces[:place], garbage, *pieces[place:]]))) == names(range(6))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"WARC/1.0", b"warc/1.0"),
        (b"WARC-Type: ", b"WARC-TYPE:"),
        (b"Content-Length", b"content-length"),
        (b"WARC-Target-URI: https", b"WARC-Target-URI:\r\n https"),
        (b"WARC-Record-ID: ", b"WARC-Record-ID:\r\n\t"),
        (b"WARC-Date: 2024-01-02T03:04:05Z", b"WARC-Date: yesterday"),
        (b"WARC-Date: 2024-01-02T03:04:05Z\r\n", b""),
        (b"WARC-Date", b"no colon on this line\r\nWARC-Date"),
        (b"https://example.org", b"<https://example.org/\xff\xed\xa0\x80>"),
    ],
)
@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_an_unusual_header_is_read(old: bytes, new: bytes, wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    unusual = RECORDS[1].replace(old, new, 1)
    assert unusual != RECORDS[1]
    records = read(join(wrap([RECORDS[0], unusual, *RECORDS[2:]])))
    assert good(records) == names(range(6))


@pytest.mark.parametrize(
    "wrap",
    [
        join,
        lambda records: join(packed(records)),
        lambda records: gzip.compress(join(records)),
        lambda records: join([lz4.frame.compress(record) for record in records]),
    ],
    ids=["plain", "gzip", "one member", "lz4"],
)
def test_header_lines_may_end_in_a_line_feed(wrap: Callable[[list[bytes]], bytes]) -> None:
    long = b"<p>" + b"A long page. " * 20_000
    bare = [warc(0, http(long), end="\n"), *[warc(number, end="\n") for number in range(1, 6)]]
    records = read(wrap(bare))
    assert good(records) == names(range(6))
    assert len(records) == 6
    assert records[0].body == long


@pytest.mark.parametrize("place", range(7))
def test_garbage_among_records_of_bare_line_feeds_costs_none_of_them(place: int) -> None:
    """In this mode FastWARC passes over garbage in silence, and over the record behind it."""
    bare = [warc(number, end="\n") for number in range(6)]
    records = read(join([*bare[:place], b"garbage\n\nand more\n" * 9, *bare[place:]]))
    assert good(records) == names(range(6))
    assert rules(records) == [""] * place + ["UnreadableBytes"] + [""] * (6 - place)


@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_line_ends_may_differ_from_record_to_record(wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    mixed = [warc(number, end="\n" if number in (0, 2, 3) else "\r\n") for number in range(6)]
    assert good(read(join(wrap(mixed)))) == names(range(6))


@pytest.mark.parametrize("field", [b"WARC-Type: response\r\n", b"Content-Length: "])
@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_a_header_without_type_or_length_costs_one_record(
    field: bytes, wrap: Callable[[list[bytes]], list[bytes]]
) -> None:
    broken = RECORDS[1].replace(field, b"X-Nothing: ")
    records = read(join(wrap([RECORDS[0], broken, *RECORDS[2:]])))
    assert good(records) == names([0, 2, 3, 4, 5])
    assert rules(records) == ["", "UnreadableBytes", "", "", "", ""]


@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_a_record_within_a_payload_is_no_record(wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    inner = http(join([RECORDS[4], RECORDS[5], *packed(RECORDS[4:])]))
    records = read(join(wrap([RECORDS[0], warc(1, inner), RECORDS[2]])))
    assert good(records) == names([0, 1, 2])
    assert records[1].body == inner.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("wrap", [list, packed], ids=["plain", "gzip"])
def test_an_endless_header_costs_one_record(wrap: Callable[[list[bytes]], list[bytes]]) -> None:
    endless = b"WARC/1.0\r\n" + b"X-Line: value\r\n" * 200_000
    assert good(read(join(wrap([RECORDS[0], endless, RECORDS[2]])))) == names([0, 2])
    one_line = b"WARC/1.0\r\nX: " + b"x" * 3_000_000
    assert good(read(join(wrap([RECORDS[0], one_line, RECORDS[2]])))) == names([0, 2])


@pytest.mark.parametrize("size", [100, 200_000])
def test_an_endless_http_header_costs_one_record(size: int) -> None:
    """FastWARC gives up on a header that is too long; so the record fails, and is not lost."""
    records = read(RECORDS[0] + warc(1, http(b"<p>x</p>", "X: " + "x" * size)) + RECORDS[2])
    assert [record.record_id for record in records] == names([0, 1, 2])
    assert rules(records) == ["", "" if size == 100 else "MalformedHttp", ""]


def test_starts_of_records_without_an_end_take_no_time() -> None:
    start = time.monotonic()
    records = read(b"WARC/1.0\r\n" * 2_000 + RECORDS[0])
    assert good(records) == names([0])
    assert time.monotonic() - start < 20


# Damage to the compression


@pytest.mark.parametrize("share", range(1, 20))
def test_a_file_cut_anywhere_keeps_the_records_before(share: int) -> None:
    members = packed(RECORDS)
    data = join(members)
    cut = len(data) * share // 20
    records = read(data[:cut])
    whole = sum(sum(map(len, members[: number + 1])) <= cut for number in range(6))
    assert good(records)[:whole] == names(range(whole))
    assert len(records) == whole + (cut > sum(map(len, members[:whole])))
    assert all(record.ending and record.ending.outcome == "failed" for record in records[whole:])


@pytest.mark.parametrize("share", range(1, 20))
def test_a_plain_file_cut_anywhere_keeps_the_records_before(share: int) -> None:
    data = join(RECORDS)
    cut = len(data) * share // 20
    records = read(data[:cut])
    whole = sum(sum(map(len, RECORDS[: number + 1])) - 4 <= cut for number in range(6))
    assert good(records) == names(range(whole))
    assert len(records) == whole + bool(data[sum(map(len, RECORDS[:whole])) : cut].strip())


@pytest.mark.parametrize("share", range(1, 20))
def test_a_single_member_cut_anywhere_does_not_end_in_silence(share: int) -> None:
    noise = random.Random(3)
    records = [warc(number, http(b"<p>" + noise.randbytes(500).hex().encode())) for number in range(6)]
    data = gzip.compress(join(records))
    found = read(data[: len(data) * share // 20])
    assert good(found) == names(range(len(good(found))))
    assert "failed" in [record.ending.outcome for record in found if record.ending]


@pytest.mark.parametrize("damaged", range(6))
@pytest.mark.parametrize("part", ["checksum", "length", "data", "header"])
@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
def test_a_broken_member_costs_one_record(damaged: int, part: str, size: int) -> None:
    noise = random.Random(5)
    bodies = [http(b"<p>" + noise.randbytes(size).hex().encode()) for _ in range(6)]
    members = packed([warc(number, body) for number, body in enumerate(bodies)])
    place = {"checksum": -8, "length": -4, "data": len(members[damaged]) // 2, "header": 0}[part]
    member = bytearray(members[damaged])
    member[place] ^= 0xFF
    members[damaged] = bytes(member)
    records = read(join(members))
    assert [identifier for identifier in good(records) if identifier != name(damaged)] == names(
        number for number in range(6) if number != damaged
    )
    assert len(records) == 6
    if part != "length":  # the length of a member is a second checksum, which FastWARC may leave alone
        assert [record.sequence for record in records if record.ending] == [damaged]


def test_damage_within_a_member_of_many_records_is_told() -> None:
    """Where one member holds the whole file, the next record cannot be looked for; then a failed record says so."""
    for damage in (b"no record here\r\n\r\n", warc(2, length="abc"), warc(2, kind="")):
        records = read(gzip.compress(join([*RECORDS[:2], damage, *RECORDS[3:]])))
        assert good(records)[:2] == names([0, 1])
        assert records[-1].ending is not None
        assert records[-1].ending.outcome == "failed"


def test_damage_within_members_of_many_records_repeats_none() -> None:
    """FastWARC does not say in which of such members a record stands; so the reader must not go on by guess."""
    members = [RECORDS[:2], RECORDS[2:4], RECORDS[4:]]
    for number, member in enumerate(members):
        for place in range(3):
            damaged = [*member[:place], b"no record here\r\n\r\n", *member[place:]]
            data = join([gzip.compress(join(damaged if other is member else other)) for other in members])
            records = read(data)
            before = 2 * number + place
            assert good(records)[:before] == names(range(before))
            assert len(set(good(records))) == len(good(records))
            assert "UnreadableBytes" in rules(records)


@pytest.mark.parametrize(
    "compress", [lz4.frame.compress, zstandard.ZstdCompressor().compress], ids=["lz4", "zstandard"]
)
def test_damage_to_another_compression_is_told(compress: Callable[[bytes], bytes]) -> None:
    frames = [compress(record) for record in RECORDS]
    for data in (join(frames)[: -len(frames[5]) // 2], join([*frames[:3], b"garbage" * 9, *frames[3:]])):
        records = read(data)
        assert good(records)[:3] == names(range(3))
        assert records[-1].ending is not None
        assert records[-1].ending.outcome == "failed"


# Too large


@pytest.mark.parametrize(
    "wrap",
    [
        join,
        lambda records: join(packed(records)),
        lambda records: gzip.compress(join(records)),
        lambda records: join([lz4.frame.compress(record) for record in records]),
        lambda records: join([zstandard.ZstdCompressor().compress(record) for record in records]),
    ],
    ids=["plain", "gzip", "one member", "lz4", "zstandard"],
)
def test_a_record_over_the_limit_costs_no_other(wrap: Callable[[list[bytes]], bytes]) -> None:
    large = warc(1, http(b"<p>" + b"large page " * 20_000))
    records = read(wrap([RECORDS[0], large, *RECORDS[2:], large, RECORDS[0]]), SMALL)
    assert rules(records) == ["", "record_bytes", "", "", "", "", "record_bytes", ""]
    ending = records[1].ending
    assert ending is not None
    assert (ending.outcome, ending.verdict.threshold) == ("dropped", 4096)
    assert (ending.verdict.value or 0) > 4096


def sparse(path: Path, size: int) -> Path:
    """A plain file with an honest record of that many bytes between two good ones."""
    empty = warc(1, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", length=size).removesuffix(b"\r\n\r\n")
    with path.open("wb") as stream:
        stream.write(RECORDS[0] + empty)
        stream.seek(len(RECORDS[0]) + empty.index(b"HTTP/1.1") + size)
        stream.write(b"\r\n\r\n" + RECORDS[2])
    return path


def test_a_large_honest_record_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = sparse(tmp_path / "large.warc", 200_000_000)
    expected = repr([(name(0), None), (name(1), "record_bytes"), (name(2), None)])
    assert peak_growth_mb(READ_FILE, PRINT_FILE, str(path), expected) < 100


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        self.count += len(data)
        return data


def test_a_large_record_of_a_plain_file_is_not_even_read(tmp_path: Path) -> None:
    with CountingFile(sparse(tmp_path / "large.warc", 200_000_000)) as stream:
        records = checked(WarcReader(cast(BinaryIO, stream), "x", IngestConfig()))
        assert rules(records) == ["", "record_bytes", ""]
        assert stream.count < 20_000_000


@pytest.mark.slow
@pytest.mark.parametrize("stated", [1_000_000_000, 100_000_000_000, 1000])
def test_a_bomb_is_dropped_in_little_time_and_memory(tmp_path: Path, stated: int) -> None:
    """A gigabyte of zeros in one member: its length told truly, told larger, and told as if it were small."""
    packer = zlib.compressobj(1, wbits=31)
    pieces = [packer.compress(warc(1, http(b""), length=stated).removesuffix(b"\r\n\r\n"))]
    zeros = bytes(10_000_000)
    pieces += [packer.compress(zeros) for _ in range(100)]
    path = tmp_path / "bomb.warc.gz"
    path.write_bytes(join([*packed(RECORDS[:1]), *pieces, packer.flush(), *packed(RECORDS[2:3])]))
    start = time.monotonic()
    if stated > 1000:
        expected = [(name(0), None), (name(1), "record_bytes"), (name(2), None)]
    else:
        expected = [(name(0), None), (name(1), "binary_body"), ("x:2", "UnreadableBytes"), (name(2), None)]
    assert peak_growth_mb(READ_FILE, PRINT_FILE, str(path), repr(expected)) < 150
    assert time.monotonic() - start < 30


# Any damage at all

FLIPS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 255)), min_size=1, max_size=4)


def flipped(data: bytes, flips: list[tuple[int, int]]) -> tuple[bytes, list[int]]:
    damaged = bytearray(data)
    places = sorted({place % len(data) for place, _ in flips})
    for place, mask in flips:
        damaged[place % len(data)] ^= mask
    return bytes(damaged), [place for place in places if damaged[place] != data[place]]


@hypothesis_settings(max_examples=300)
@given(FLIPS)
@example([(0, 0x20)])
@example([(len(RECORDS[0]) + RECORDS[1].index(b"Content-Length: ") + 16, 1)])
def test_flipped_bytes_of_a_plain_file_do_not_reach_back(flips: list[tuple[int, int]]) -> None:
    data, places = flipped(join(RECORDS), flips)
    records = read(data)
    if places:
        before = sum(sum(map(len, RECORDS[: number + 1])) - 4 <= places[0] for number in range(6))
        assert [(r.record_id, r.body) for r in records[:before]] == [
            (r.record_id, r.body) for r in read(join(RECORDS))[:before]
        ]
        assert len(records) >= before


@hypothesis_settings(max_examples=300)
@given(FLIPS)
@example([(3, 0xE0)])
@example([(193, 181), (237, 99), (772, 119), (1080, 79)])  # data that zlib reads on in, for a while
def test_flipped_bytes_of_a_compressed_file_cost_their_own_records(flips: list[tuple[int, int]]) -> None:
    members = packed(RECORDS)
    data, places = flipped(join(members), flips)
    records = read(data)
    ends = [sum(map(len, members[: number + 1])) for number in range(6)]
    hit = {next(number for number in range(6) if place < ends[number]) for place in places}
    untouched = [number for number in range(6) if number not in hit]
    assert [identifier for identifier in good(records) if identifier in names(untouched)] == names(untouched)
    assert bool(hit) <= (len(records) > len(untouched))


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"WARC/1.0\r\n", b"\x1f\x8b\x08", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"]),
)
def test_no_bytes_make_the_reader_fail(data: bytes, start: bytes) -> None:
    records = read(start + data)
    assert bool((start + data).strip()) == bool(records)
