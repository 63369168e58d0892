"""Text corpora: JSONL in every compression and every disorder, and Parquet."""

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.records import Record
from curation.text_corpus import TextCorpusConfig, read_jsonl, read_parquet
from tests.curation.archives import checked, rules
from tests.curation.peak import peak_growth_mb

DEFAULT = TextCorpusConfig()
ROWS = [
    {"id": f"row-{k}", "text": f"Κείμενο {k} {'λέξη ' * (k % 7)}", "url": f"https://e.org/{k}", "date": "2024"}
    for k in range(900)
]
LINES = [json.dumps(row).encode() + b"\n" for row in ROWS]
JSONL = b"".join(LINES)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstandard": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}
# Text that does not compress, so that a cut leaves something before it.
NOISE = [json.dumps({"text": random.Random(k).randbytes(200).hex()}).encode() + b"\n" for k in range(3000)]


def jsonl(data: bytes, config: TextCorpusConfig = DEFAULT) -> list[Record]:
    return checked(read_jsonl(io.BytesIO(data), "test.jsonl", config))


def parquet(data: bytes, config: TextCorpusConfig = DEFAULT) -> list[Record]:
    return checked(read_parquet(io.BytesIO(data), "test.parquet", config))


def table(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def facts(records: list[Record]) -> list[dict[str, str | None]]:
    return [{"id": r.record_id, "text": r.text, "url": r.url, "date": r.date} for r in records]


# JSONL


@pytest.mark.parametrize("compression", COMPRESS)
def test_rows_are_read_in_every_compression(compression: str) -> None:
    compress = COMPRESS[compression]
    assert facts(jsonl(compress(JSONL))) == ROWS
    assert facts(jsonl(compress(JSONL[: len(LINES[0])]) + compress(JSONL[len(LINES[0]) :]))) == ROWS  # two members
    assert jsonl(compress(b"")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + JSONL,
        JSONL.removesuffix(b"\n"),
        JSONL.replace(b"\n", b"\r\n"),
        JSONL.replace(b'"url"', b' "url"'),
    ],
    ids=["byte order mark", "no last newline", "CRLF", "spaces"],
)
def test_the_form_of_a_file_may_vary(data: bytes) -> None:
    assert facts(jsonl(data)) == ROWS


def test_a_record_knows_its_row() -> None:
    records = jsonl(JSONL)
    assert [(r.sequence, r.offset, r.record_type) for r in records] == [(k, k, "text") for k in range(len(ROWS))]


def test_what_is_missing_is_made_up_or_left_empty() -> None:
    record = jsonl(b'{"text": "one", "url": null}\n')[0]
    assert (record.record_id, record.url, record.date, record.text) == ("test.jsonl:0", "", "", "one")


def test_columns_may_have_other_names() -> None:
    config = TextCorpusConfig(text="content", id="key", url="link", date="when")
    record = jsonl(b'{"content": "one", "key": 7, "link": "l", "when": 2024, "text": "no"}\n', config)[0]
    assert (record.record_id, record.url, record.date, record.text) == ("7", "l", "2024", "one")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"no json", "MalformedJson"),
        (b'{"text": "cut', "MalformedJson"),
        (b'["text"]', "MalformedJson"),
        (b'"text"', "MalformedJson"),
        (b"null", "MalformedJson"),
        (b"[" * 100_000, "MalformedJson"),
        (b"1" * 10_000, "MalformedJson"),
        (b'{"text": "caf\xe9"}', "MalformedJson"),
        (b"{}", "MissingText"),
        (b'{"text": null}', "MissingText"),
        (b'{"text": 12}', "MissingText"),
        (b'{"text": ["a"]}', "MissingText"),
        (b"", "blank_line"),
        (b"  \t", "blank_line"),
    ],
)
def test_a_bad_line_costs_itself(line: bytes, rule: str) -> None:
    records = jsonl(LINES[0] + line + b"\n" + LINES[1])
    assert rules(records) == ["", rule, ""]
    assert [record.text for record in records] == [ROWS[0]["text"], None, ROWS[1]["text"]]
    assert jsonl(line) == [] or rules(jsonl(line)) == [rule]


def test_strings_that_no_table_can_store_are_mended() -> None:
    r"""JSON may spell out half of a surrogate pair: `\ud800`."""
    records = jsonl(b'{"text": "a", "id": "i\\ud800", "url": "u\\udfff", "date": "d\\ud812"}\n')
    assert [(record.record_id, record.url, record.date) for record in records] == [("i?", "u?", "d?")]


@pytest.mark.parametrize("compression", ["gzip", "zstandard", "lz4"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.999])
def test_a_cut_file_keeps_its_lines_and_tells(compression: str, share: float) -> None:
    data = COMPRESS[compression](b"".join(NOISE))
    records = jsonl(data[: int(len(data) * share)])
    assert rules(records)[-1] == "UnreadableBytes"
    kept = [record.text for record in records if record.ending is None]
    assert kept == [json.loads(line)["text"] for line in NOISE[: len(kept)]]
    assert len(kept) > (share - 0.15) * len(NOISE)


@pytest.mark.parametrize("compression", ["gzip", "zstandard", "lz4"])
def test_garbage_behind_a_compressed_file_is_told(compression: str) -> None:
    records = jsonl(COMPRESS[compression](JSONL) + b"garbage" * 5)
    assert rules(records)[-1] == "UnreadableBytes"
    assert records[-1].ending is not None
    assert records[-1].ending.outcome == "failed"


def test_a_line_over_the_limit_is_dropped_and_the_largest_is_kept() -> None:
    config = TextCorpusConfig(max_text_bytes=2000)
    largest = b'{"text": "' + b"x" * (2000 - 12) + b'"}'
    assert len(largest) == 2000
    records = jsonl(largest + b"\n" + largest[:-2] + b'xx"}\n' + LINES[0] + b"y" * 9000, config)
    assert rules(records) == ["", "record_bytes", "", "record_bytes"]
    assert records[1].ending is not None
    assert records[1].ending.outcome == "dropped"


IMPORTS = "from curation.text_corpus import TextCorpusConfig, read_jsonl"
CODE = """
with open(sys.argv[1], "rb") as stream:
    records = list(read_jsonl(stream, "x", TextCorpusConfig()))
assert [r.ending and r.ending.verdict.rule for r in records] == ["record_bytes", None], records
"""


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["gzip", "zstandard"])
def test_an_endless_line_is_passed_over_in_little_memory(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl"
    path.write_bytes(COMPRESS[compression](b'{"text": "' + b"x" * 400_000_000 + b'"}\n' + LINES[0]))
    assert path.stat().st_size < 1_000_000
    assert peak_growth_mb(IMPORTS, CODE, str(path)) < 120


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b'{"text": "a"}\n']),
)
def test_no_bytes_make_the_reader_fail(data: bytes, start: bytes) -> None:
    jsonl(start + data)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=3),
    st.sampled_from(list(COMPRESS)),
)
def test_flipped_bytes_do_not_make_the_reader_fail(flips: list[tuple[int, int]], compression: str) -> None:
    data = bytearray(COMPRESS[compression](b"".join(LINES[:20])))
    for place, mask in flips:
        data[place % len(data)] ^= mask
    assert jsonl(bytes(data))


# Parquet


def test_rows_of_a_table_are_read() -> None:
    records = parquet(table(**{name: [row[name] for row in ROWS] for name in ROWS[0]}, other=list(range(len(ROWS)))))
    assert facts(records) == ROWS


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_come_in_more_than_one_type(kind: pa.DataType) -> None:
    assert [r.text for r in parquet(table(text=pa.array(["a", "b"]).cast(kind)))] == ["a", "b"]


def test_a_row_without_text_fails_alone() -> None:
    assert rules(parquet(table(text=["a", None, "c"]))) == ["", "MissingText", ""]
    assert rules(parquet(table(text=[1, 2]))) == ["MissingText"] * 2
    assert rules(parquet(table(text=[b"a", b"\xff"]))) == ["MissingText"] * 2
    assert rules(parquet(table(text=["a" * 2000, "b"]), TextCorpusConfig(max_text_bytes=1024))) == ["record_bytes", ""]


def test_a_string_that_is_no_utf_8_fails_alone() -> None:
    broken = pa.array([b"good", b"\xff\xfe", b"good too"]).view(pa.string())
    records = parquet(table(text=broken))
    assert [record.text for record in records] == ["good", None, "good too"]
    assert rules(records)[1] == "MalformedText"


@pytest.mark.parametrize("column", ["text", "content"])
def test_a_missing_text_column_names_those_that_are_there(column: str) -> None:
    with pytest.raises(UserError) as caught:
        parquet(table(body=["a"], title=["b"]), TextCorpusConfig(text=column))
    assert all(name in str(caught.value) for name in ("test.parquet", repr(column), "body", "title"))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no table", table(text=["a"])[:-9], table(text=["a"])[9:]])
def test_what_is_no_table_is_one_failed_record(data: bytes) -> None:
    assert rules(parquet(data)) == ["UnreadableBytes"]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes_of_a_table_do_not_make_the_reader_fail(flips: list[tuple[int, int]]) -> None:
    data = bytearray(table(text=[f"some text {k}" * 5 for k in range(50)], id=list(range(50))))
    for place, mask in flips:
        data[place % len(data)] ^= mask
    try:
        records = parquet(bytes(data))
    except UserError:  # the flip hit the name of the column
        return
    assert records
