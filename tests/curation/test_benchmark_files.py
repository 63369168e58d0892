"""Strings out of benchmark files of every format; what is wrong with a file is said with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.benchmark_files import Budget, find_benchmarks, read_records

QUESTION = {"question": "Wer war, der erste?", "choices": ["A", {"text": "B"}], "answer": 1, "none": None}
STRINGS = ["Wer war, der erste?", "A", "B"]


def read(path: Path, megabytes: int = 1) -> list[tuple[int, list[str]]]:
    (file,) = find_benchmarks([str(path)])
    return list(read_records(file, Budget(megabytes)))


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_jsonl(tmp_path: Path) -> None:
    text = f'\ufeff{json.dumps(QUESTION)}\n\n{json.dumps(QUESTION, ensure_ascii=False)}\r\n"only a string"'
    expected = [(1, STRINGS), (3, STRINGS), (4, ["only a string"])]
    assert read(write(tmp_path / "a.jsonl", text)) == expected
    (tmp_path / "b.JSONL.gz").write_bytes(gzip.compress(text.encode()))
    assert read(tmp_path / "b.JSONL.gz") == expected


@pytest.mark.parametrize(
    ("value", "expected"), [([QUESTION, "x"], [(1, STRINGS), (2, ["x"])]), (QUESTION, [(1, STRINGS)])]
)
def test_json(tmp_path: Path, value: object, expected: list[tuple[int, list[str]]]) -> None:
    assert read(write(tmp_path / "a.json", json.dumps(value, indent=1))) == expected


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "question": ["Wer?", None],
            "choices": [["A", "B"], []],
            "answer": [{"text": ["C"], "start": 1}, {"text": [], "start": 2}],
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "number": [1, 2],
            "image": [b"\xff" * 3_000_000] * 2,
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", compression="none")
    assert read(tmp_path / "a.parquet") == [(1, ["Wer?", "A", "B", "C", "x"]), (2, ["y"])]


def test_csv_and_tsv(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", 'question,answer\n"Wer, und ""wo""?\nWann?",A\n')) == [
        (1, ["question", "answer"]),
        (2, ['Wer, und "wo"?\nWann?', "A"]),
    ]
    assert read(write(tmp_path / "a.tsv", 'Wer, "und\two?\nA\n')) == [(1, ['Wer, "und', "wo?"]), (2, ["A"])]


def test_plain_text_has_an_item_a_line(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.txt", "one\n\ntwo\r\n")) == [(1, ["one\n"]), (3, ["two\r\n"])]


@given(
    st.recursive(
        st.one_of(st.text(), st.integers(), st.none()), lambda own: st.lists(own) | st.dictionaries(st.text(), own)
    )
)
def test_every_string_of_a_record_is_read(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    def strings(own: object) -> list[str]:
        inside = own.values() if isinstance(own, dict) else own if isinstance(own, list) else []
        return [own] if isinstance(own, str) else [text for part in inside for text in strings(part)]

    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    assert read(write(path, json.dumps(value))) == [(1, strings(value))]


def test_globs_and_names(tmp_path: Path) -> None:
    for name in ("one/test.txt", "one/dev.txt", "two/test.txt", "two/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, name)
    files = find_benchmarks([f"{tmp_path}/**/*.txt", f"{tmp_path}/one/dev.txt"])
    assert [file.name for file in files] == ["one/dev.txt", "one/test.txt", "two/test.txt"]
    assert len({file.sha256 for file in files}) == 3
    assert [file.name for file in find_benchmarks([f"{tmp_path}/one/test.txt"])] == ["test.txt"]


@pytest.mark.parametrize(
    ("pattern", "message"), [("no.jsonl", "no benchmark at"), ("x*", "no benchmark at"), ("a.md", "known")]
)
def test_what_is_no_benchmark_is_named(tmp_path: Path, pattern: str, message: str) -> None:
    write(tmp_path / "a.md", "text")
    with pytest.raises(UserError, match=message):
        find_benchmarks([str(tmp_path / pattern)])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl, line 2 is not valid JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not valid JSON"),
        ("a.jsonl", b"1" * 5000, "line 1 is not valid JSON"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "named .jsonl"),
        ("a.txt", b"good\nb\xe9d\n", "a.txt, line 2 is not UTF-8"),
        ("a.txt.gz", gzip.compress(b"text" * 1000)[:-20], "is damaged"),
        ("a.csv", b'x,y\nx,"y\n', "a.csv, after row 1"),
        ("a.csv", b"x," + b"y" * 200_000, "a.csv, after row 0"),
        ("a.parquet", b"PAR1 and nothing else", "is damaged"),
        ("a.txt", b"x" * (17 << 20), "line 1 is longer"),
        ("a.jsonl.gz", gzip.compress(b'{"a": "' + b"x" * 1_000_000 + b'"}\n' + b"\n" * 2_000_000), "max_benchmark_mb"),
        ("a.json", b" " * 2_000_000, "max_benchmark_mb"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name, 32 if "longer" in message else 1)


def test_a_parquet_file_of_too_much_text_is_not_read(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"a": ["x" * 100_000 + str(n) for n in range(40)]}), tmp_path / "a.parquet", compression="zstd"
    )
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(UserError, match="max_benchmark_mb"):
        read(tmp_path / "a.parquet")


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    (file,) = find_benchmarks([str(write(tmp_path / "a.txt", "one"))])
    write(file.path, "two")
    with pytest.raises(UserError, match="has changed"):
        list(read_records(file, Budget(1)))
