"""Line-aligned files: what is written comes back, whatever stands in a line and however the files are stored."""

import gzip
import lzma
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.parallel.pairs import BadPair, Pair, PairIngestConfig
from tests.curation.parallel.made import (
    COMPRESS,
    ODD,
    Texts,
    line_texts,
    lines,
    read_all,
    rules,
    texts,
    texts_of,
    write_moses,
)
from tests.curation.peak import peak_growth_mb

ROWS = [(f"Satz {k} {'wort ' * (k % 9)}", f"Sentence {k}") for k in range(5000)]


@given(texts_of(line_texts), st.sampled_from(list(COMPRESS)), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: Texts, suffix: str, end: str
) -> None:
    pattern = write_moses(tmp_path_factory.mktemp("moses"), rows, suffix, end=end)
    units = read_all(pattern)
    assert len(units) == len(rows)
    for unit, row in zip(units, rows, strict=True):
        if isinstance(unit, BadPair):
            assert unit.rule == "blank_line"
            assert not "".join(row).strip()
        else:
            assert (unit.src_text, unit.tgt_text) == row if unit.sequence else True
    # Only the first line may lose something: its byte order mark.
    first = units[0]
    if isinstance(first, Pair):
        assert (first.src_text, first.tgt_text) == (
            rows[0][0].removeprefix("\ufeff"),
            rows[0][1].removeprefix("\ufeff"),
        )


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_only_lines_over_the_limit_are_dropped(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], end: str
) -> None:
    rows = [("a" * length, "b") for length in lengths]
    pattern = write_moses(tmp_path_factory.mktemp("moses"), rows, end=end)
    found = rules(read_all(pattern, config=PairIngestConfig(max_line_bytes=20)))
    assert found["line_too_long"] == sum(length > 20 for length in lengths)
    assert found["pair"] == sum(length <= 20 for length in lengths)


def test_nothing_but_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    rows = [(f"a{odd}b\rc", f"{odd}x{odd}") for odd in ODD if odd != "\ufeff"]
    assert texts(read_all(write_moses(tmp_path, rows))) == rows


def test_a_last_line_without_an_end_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_bytes(b"eins\nzwei")
    (tmp_path / "x.en").write_bytes(b"one\r\ntwo\r\n")
    assert texts(read_all(tmp_path)) == [("eins", "one"), ("zwei", "two")]


def test_the_pair_may_be_asked_for_either_way_round(tmp_path: Path) -> None:
    pattern = write_moses(tmp_path, ROWS[:3])
    assert texts(read_all(pattern, "en-de")) == [(en, de) for de, en in ROWS[:3]]


def test_byte_order_marks_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_bytes("\ufeffeins\n".encode())
    (tmp_path / "x.en").write_bytes(gzip.compress("\ufeffone\n".encode()))
    assert texts(read_all(tmp_path)) == [("eins", "one")]


def test_byte_order_marks_are_found_in_tiny_blocks(tmp_path: Path) -> None:
    packed = b"".join(gzip.compress(bytes([byte])) for byte in "\ufeffeins\n".encode())
    (tmp_path / "x.de.gz").write_bytes(packed)
    (tmp_path / "x.en").write_bytes(b"one\n")
    assert texts(read_all(tmp_path)) == [("eins", "one")]


def test_utf_16_text_is_named(tmp_path: Path) -> None:
    write_moses(tmp_path, ROWS[:3])
    (tmp_path / "x.de-en.de").write_bytes(lines(row[0] for row in ROWS[:3]).decode().encode("utf-16"))
    with pytest.raises(UserError, match=r"x\.de-en\.de is UTF-16"):
        read_all(tmp_path)


def test_a_line_that_is_no_utf_8_costs_that_line(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_bytes(b"gut\nschlecht \xff\ngut \xed\xa0\x80\nEnde\n")
    (tmp_path / "x.en").write_bytes(b"good\nbad\nhalf a surrogate\nend\n")
    units = read_all(tmp_path)
    assert texts(units) == [("gut", "good"), ("Ende", "end")]
    assert [(u.sequence, u.outcome) for u in units if isinstance(u, BadPair) and u.rule == "not_utf8"] == [
        (1, "failed"),
        (2, "failed"),
    ]


@pytest.mark.parametrize(("german", "english"), [(5000, 4321), (4321, 5000), (1, 0), (0, 2)])
def test_different_numbers_of_lines_name_files_and_lines(tmp_path: Path, german: int, english: int) -> None:
    (tmp_path / "x.de.gz").write_bytes(gzip.compress(lines(row[0] for row in ROWS[:german])))
    (tmp_path / "x.en.gz").write_bytes(gzip.compress(lines(row[1] for row in ROWS[:english])))
    with pytest.raises(UserError) as caught:
        read_all(tmp_path)
    message = str(caught.value)
    assert f"{tmp_path}/x.de.gz has {german:,} lines" in message
    assert f"{tmp_path}/x.en.gz has {english:,}" in message


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst", ".lz4"])
def test_a_file_that_breaks_off_ends_in_one_bad_pair(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(0)
    rows = [(noise.randbytes(40).hex(), en) for _, en in ROWS]
    write_moses(tmp_path, rows, suffix)
    broken = tmp_path / f"x.de-en.de{suffix}"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 9 // 10])
    units = read_all(tmp_path)
    last = units.pop()
    assert isinstance(last, BadPair)
    assert (last.outcome, last.rule) == ("failed", "unreadable_bytes")
    assert texts(units) == rows[: len(units)]
    # Of bzip2 and Zstandard the first block is all there is; LZ4 has blocks of 64 KiB.
    assert len(units) >= {".gz": 4300, ".xz": 4300, ".lz4": 4000}.get(suffix, 0)


def test_a_name_that_promises_another_compression_is_no_matter(tmp_path: Path) -> None:
    write_moses(tmp_path, ROWS[:50])
    (tmp_path / "x.de-en.de").rename(tmp_path / "x.de-en.de.gz")
    assert texts(read_all(tmp_path)) == ROWS[:50]


def test_files_of_several_compressed_streams_are_read_whole(tmp_path: Path) -> None:
    for suffix, compress in (("gz", gzip.compress), ("xz", lzma.compress)):
        folder = tmp_path / suffix
        folder.mkdir()
        for side, label in enumerate(("de", "en")):
            halves = [compress(lines(row[side] for row in half)) for half in (ROWS[:70], ROWS[70:99])]
            padding = b"\0\0\0\0" if suffix == "xz" else b""
            (folder / f"x.{label}.{suffix}").write_bytes(padding.join(halves))
        assert texts(read_all(folder)) == ROWS[:99]


def test_an_xz_file_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [
        {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "nice_len": 4}
    ]
    data = lzma.compress(b"eins\n", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    header = lzma.LZMACompressor(filters=filters).compress(b"")
    assert header[:6] == data[:6]
    # Byte 15 codes the size of the dictionary; the header's own checksum follows at 20.
    block = bytearray(data)
    block[16] = 40
    block[20:24] = zlib.crc32(bytes(block[12:20])).to_bytes(4, "little")
    (tmp_path / "x.de.xz").write_bytes(bytes(block))
    (tmp_path / "x.en").write_bytes(b"one\n")
    units = read_all(tmp_path)
    assert rules(units) == {"unreadable_bytes": 1}
    assert isinstance(units[0], BadPair)
    assert "emory" in str(units[0].detail)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_a_bomb_ends_the_input_within_its_budget(tmp_path: Path, suffix: str) -> None:
    bomb = COMPRESS[suffix](b"eins\n" + bytes(100 << 20))
    (tmp_path / f"x.de{suffix}").write_bytes(bomb)
    (tmp_path / "x.en").write_bytes(b"one\ntwo\n")
    units = read_all(tmp_path, config=PairIngestConfig(max_expansion=10))
    assert rules(units) == {"pair": 1, "decompression_budget": 1}


def test_documents_of_each_line_come_from_the_ids_file(tmp_path: Path) -> None:
    write_moses(tmp_path, ROWS[:4])
    (tmp_path / "x.de-en.ids").write_text(
        "".join(f"de/{k // 2}.xml.gz\ten/{k // 2}.xml.gz\t{k}\t{k}\n" for k in range(4))
    )
    units = read_all(tmp_path, "en-de")
    found = [(unit.src_origin, unit.tgt_origin) for unit in units if isinstance(unit, Pair)]
    assert found == [(f"en/{k // 2}.xml.gz", f"de/{k // 2}.xml.gz") for k in range(4)]


def test_blank_lines_between_documents_need_no_line_in_the_ids_file(tmp_path: Path) -> None:
    write_moses(tmp_path, [*ROWS[:2], ("", ""), *ROWS[2:4], ("", "")])
    (tmp_path / "x.de-en.ids").write_text("a\tA\na\tA\nb\tB\nb\tB\n")
    units = read_all(tmp_path)
    assert rules(units) == {"pair": 4, "blank_line": 2}
    assert [unit.src_origin for unit in units if isinstance(unit, Pair)] == ["a", "a", "b", "b"]


def test_an_ids_file_of_another_corpus_is_named(tmp_path: Path) -> None:
    write_moses(tmp_path, ROWS[:4])
    (tmp_path / "x.de-en.ids").write_text("a\tA\n" * 3)
    with pytest.raises(UserError, match=r"x\.de-en\.ids does not have a line for each line of .*x\.de-en\.de"):
        read_all(tmp_path)


_READ = """
from pathlib import Path
from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.pairs import PairIngestConfig
from curation.parallel.read import open_pairs
"""
_COUNT = """
with open_pairs(find_parallel_inputs(sys.argv[1], "de", "en")[0], Path("/tmp"), PairIngestConfig()) as opened:
    assert sum(1 for _ in opened.units) == int(sys.argv[2])
"""


def test_memory_does_not_grow_with_the_file_or_a_line(tmp_path: Path) -> None:
    long_line = b"w" * (60 << 20) + b"\n"
    (tmp_path / "x.de.gz").write_bytes(gzip.compress(b"ein Satz\n" * 300_000 + long_line + b"Ende\n", 1))
    (tmp_path / "x.en.gz").write_bytes(gzip.compress(b"one sentence\n" * 300_000 + b"word\n" + b"end\n", 1))
    assert peak_growth_mb(_READ, _COUNT, str(tmp_path), "300002") < 25


def test_a_line_of_ten_megabytes_costs_that_line(tmp_path: Path) -> None:
    (tmp_path / "x.de").write_bytes(b"vorher\n" + b"w" * (10 << 20) + b"\nnachher\n")
    (tmp_path / "x.en").write_bytes(b"before\nword\nafter\n")
    units = read_all(tmp_path)
    assert texts(units) == [("vorher", "before"), ("nachher", "after")]
    assert isinstance(units[1], BadPair)
    assert (units[1].outcome, units[1].rule) == ("dropped", "line_too_long")
