"""JSONL and Parquet."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.parallel.pairs import BadPair, Pair, PairColumns, PairIngestConfig
from tests.curation.parallel.made import Texts, line_texts, read_all, rules, texts, texts_of
from tests.curation.peak import peak_growth_mb

Rows = list[dict[str, object]]
ROWS = [(f"Satz {k}", f"sentence {k}") for k in range(600)]
any_texts = st.one_of(line_texts, st.text(st.characters(codec="utf-8"), max_size=20))


def write(folder: Path, rows: Rows, kind: str, name: str = "x") -> Path:
    path = folder / f"{name}.{kind}"
    data = "".join(json.dumps(row, ensure_ascii=len(row) % 2 == 0) + "\n" for row in rows).encode()
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    else:
        path.write_bytes(gzip.compress(data) if kind.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
@given(rows=texts_of(any_texts))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, kind: str, rows: Texts) -> None:
    made: Rows = [{"translation": {"en": en, "de": de}} for de, en in rows]
    assert texts(read_all(write(tmp_path_factory.mktemp("table"), made, kind))) == rows


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    "names", [("src", "tgt"), ("de", "en"), ("deu_Latn", "eng_Latn"), ("source", "target"), ("text1", "text2")]
)
def test_columns_of_known_names(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    made: Rows = [
        {"n": k, names[0]: de, names[1]: en, "score": k / 4, "src_url": f"http://a/{k}", "tgt_url": f"http://b/{k}"}
        for k, (de, en) in enumerate(ROWS)
    ]
    units = read_all(write(tmp_path, made, kind, "x.de-en"))
    assert texts(units) == ROWS
    assert units[3] == Pair(units[3].source, 3, *ROWS[3], "http://a/3", "http://b/3", 0.75)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_sides_are_turned_by_the_name_of_the_file(tmp_path: Path, kind: str) -> None:
    made: Rows = [{"src": en, "tgt": de, "src_url": "E", "tgt_url": "D"} for de, en in ROWS[:3]]
    units = read_all(write(tmp_path, made, kind, "x.en-de"))
    assert texts(units) == ROWS[:3]
    assert isinstance(units[0], Pair)
    assert (units[0].src_origin, units[0].tgt_origin) == ("D", "E")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_that_say_which_side_is_which(tmp_path: Path, kind: str) -> None:
    made: Rows = [
        {"src_text": "a", "tgt_text": "b", "src_lang": src, "tgt_lang": tgt}
        for src, tgt in [("de", "en"), ("eng", "deu"), ("de", "fr"), ("de", "de")]
    ]
    units = read_all(write(tmp_path, made, kind, "x.en-de"))
    assert texts(units) == [("a", "b"), ("b", "a")]
    assert rules(units) == {"pair": 2, "other_language": 2}


def test_a_parquet_map_of_languages(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.string())
    column = pa.array([[("en", en), ("de-AT", de)] for de, en in ROWS[:5]] + [[("fr", "x")]], kind)
    pq.write_table(pa.table({"translation": column}), tmp_path / "x.parquet")
    units = read_all(tmp_path / "x.parquet")
    assert texts(units) == ROWS[:5]
    assert rules(units)["missing_text"] == 1


LINES = [
    ('{"de": "a", "en": "b"}', "pair"),
    ("", "blank_line"),
    ('{"de": "a"', "malformed_json"),
    ('["a", "b"]', "malformed_json"),
    ("[" * 100_000, "malformed_json"),
    ('{"de": "a"}', "missing_text"),
    ('{"de": 1, "en": "b"}', "missing_text"),
    ('{"de": null, "en": "b"}', "missing_text"),
    ('{"translation": {"de": "a"}}', "missing_text"),
    ('{"translation": {}}', "missing_text"),
    ('{"translation": {"de": "c", "en": "d"}}', "pair"),
    ('{"translation": [["de", "c"], "en", 5]}', "missing_text"),
    ('{"translation": "c", "de": "e", "en": "f"}', "pair"),
    ('{"de": "\\ud800", "en": "b"}', "not_utf8"),
    ('{"de": "' + "a" * 300_000 + '", "en": "b"}', "line_too_long"),
    ('{"src_lang": "\\ud800", "tgt_lang": "en", "de": "g", "en": "h"}', "pair"),
    ('{"de": "g", "en": "h", "score": NaN, "url": "\\ud800"}', "pair"),
]


def test_each_disorder_of_a_line_costs_that_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(line for line, _ in LINES).encode() + b'\n{"de": "\xff", "en": "b"}\n')
    units = read_all(path, config=PairIngestConfig(max_line_bytes=200_000))
    found = [unit.rule if isinstance(unit, BadPair) else "pair" for unit in units]
    assert found == [rule for _, rule in LINES] + ["not_utf8"]
    last = units[-2]
    assert isinstance(last, Pair)
    assert (last.score, last.src_origin) == (None, None)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_tables_without_the_two_sides_list_their_columns(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, [{"french": "a", "german": "b"}], kind)
    with pytest.raises(
        UserError, match=r"no columns for de and en; set columns.src and columns.tgt out of: french, ger"
    ):
        read_all(path)
    units = read_all(path, config=PairIngestConfig(columns=PairColumns(src="german", tgt="french")))
    assert texts(units) == [("b", "a")]
    with pytest.raises(UserError, match="names, not numbers"):
        read_all(path, config=PairIngestConfig(columns=PairColumns(src=1, tgt=2)))


def test_damaged_parquet(tmp_path: Path) -> None:
    path = write(tmp_path, [{"de": de, "en": en} for de, en in ROWS], "parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    assert rules(read_all(path)) == {"unreadable_bytes": 1}
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(40) + data[middle + 40 :])
    units = read_all(path)
    assert rules(units)["unreadable_bytes"] == 1
    assert texts(units) == ROWS[: len(units) - 1]


def test_parquet_strings_that_are_no_utf_8(tmp_path: Path) -> None:
    binary = pa.array([b"gut", b"\xff", b"Ende"], pa.binary())
    strings = pa.StringArray.from_buffers(3, binary.buffers()[1], binary.buffers()[2])
    pq.write_table(pa.table({"de": strings, "en": ["good", "bad", "end"]}), tmp_path / "x.parquet")
    units = read_all(tmp_path / "x.parquet")
    assert texts(units) == [("gut", "good"), ("Ende", "end")]
    assert rules(units)["not_utf8"] == 1


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


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    line = json.dumps({"de": "ein Satz " * 10, "en": "a sentence " * 10})
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(f"{line}\n".encode() * 200_000, 1))
    assert peak_growth_mb(_READ, _COUNT, str(tmp_path), "200000") < 25
