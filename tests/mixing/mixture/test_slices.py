"""`where:` chooses the documents that a plain reading of the table chooses, and says what it cannot do."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import mixing.mixture.slices
from configs.errors import UserError
from mixing.mixture.slices import Condition, read_slice, slice_name, write_slice
from mixing.tokens.token_source import TokenSource, load_token_source
from tests.mixing.mixture.token_folders import Row, write_source

BUCKETS = (None, "head", "middle", "tail")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "tokens": st.integers(0, 50),
            "metrics.words": st.none() | st.integers(0, 20).map(float) | st.just(float("nan")),
            "cluster_size": st.integers(1, 5),
            "perplexity_bucket": st.sampled_from(BUCKETS),
            "date": st.none() | st.dates(datetime.date(2019, 1, 1), datetime.date(2022, 1, 1)).map(str),
        }
    ),
    max_size=30,
)
FULL: Row = {"tokens": 9, "metrics.words": 5.0, "cluster_size": 1, "perplexity_bucket": "head", "date": "2020-02-03"}
WHERE = st.fixed_dictionaries(
    {},
    optional={
        "tokens": st.integers(0, 50).map(lambda low: Condition(min=low, max=low + 20)),
        "metrics.words": st.sampled_from([Condition(min=5), Condition(any_of=(3, 4.0, None))]),
        "cluster_size": st.sampled_from([Condition(max=2), Condition(any_of=(1, 4))]),
        "perplexity_bucket": st.lists(st.sampled_from(BUCKETS), min_size=1).map(
            lambda own: Condition(any_of=tuple(own))
        ),
        "date": st.sampled_from([Condition(min="2020-01-01"), Condition(min="2019-06", max="2020-06")]),
    },
)


def fulfils(row: Row, where: dict[str, Condition]) -> bool:
    for name, condition in where.items():
        value = row[name]
        if condition.any_of is not None and value not in condition.any_of:
            return False
        bounds = (condition.min, condition.max)
        if bounds != (None, None) and (value is None or value != value):
            return False
        if condition.min is not None and not value >= condition.min:  # type: ignore[operator]
            return False
        if condition.max is not None and not value <= condition.max:  # type: ignore[operator]
            return False
    return True


def source_of(folder: Path, *shards: list[Row]) -> TokenSource:
    return load_token_source(write_source(folder, "el", shards))


@given(st.lists(ROWS, min_size=1, max_size=3), WHERE)
def test_a_slice_is_what_a_plain_reading_chooses(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[Row]], where: dict[str, Condition]
) -> None:
    folder = tmp_path_factory.mktemp("slices")
    shards = [[FULL, *shard] for shard in shards]  # a column of nothing but nulls would have no kind
    source = source_of(folder, *shards)
    path = folder / "slice.npy"
    chosen = write_slice(source, where, path)
    flat = [row for shard in shards for row in shard]
    expected = [place for place, row in enumerate(flat) if fulfils(row, where)]
    numbers = read_slice(path)
    assert numbers.tolist() == expected
    assert chosen.documents == len(expected)
    assert chosen.tokens == sum(int(str(flat[place]["tokens"])) for place in expected)
    assert chosen.by_shard == tuple(sum(fulfils(row, where) for row in shard) for shard in shards)


def test_batches_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [{"tokens": place % 7} for place in range(5000)]
    source = source_of(tmp_path, rows, rows[:17])
    where = {"tokens": Condition(min=2, max=5)}
    files = []
    for batch in (100, 1 << 17):
        monkeypatch.setattr(mixing.mixture.slices, "_BATCH_ROWS", batch)
        write_slice(source, where, tmp_path / "a.npy")
        files.append((tmp_path / "a.npy").read_bytes())
    assert files[0] == files[1]
    assert np.load(tmp_path / "a.npy").tolist() == [
        n for n in range(5017) if 2 <= (n if n < 5000 else n - 5000) % 7 <= 5
    ]


def test_validation_documents_are_never_chosen(tmp_path: Path) -> None:
    source = load_token_source(write_source(tmp_path, "el", [[{"tokens": 5}]], validation=[{"tokens": 5}] * 9))
    assert write_slice(source, {"tokens": Condition(min=1)}, tmp_path / "a.npy").documents == 1


def test_truth_values_and_dictionaries_are_columns_like_others(tmp_path: Path) -> None:
    source = source_of(tmp_path, [{"tokens": n, "good": n > 2, "domain": "ab"[n % 2]} for n in range(5)])
    path = source.documents_path(source.shards[0])
    table = pq.read_table(path)
    table = table.set_column(table.column_names.index("domain"), "domain", table["domain"].dictionary_encode())
    pq.write_table(table, path)
    where = {"good": Condition(any_of=(True,)), "domain": Condition(any_of=("a",))}
    write_slice(source, where, tmp_path / "a.npy")
    assert read_slice(tmp_path / "a.npy").tolist() == [4]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"metrics.word": Condition(min=1)}, "has no column 'metrics.word' - did you mean 'metrics.words'"),
        ({"split": Condition(any_of=("train",))}, "has no column 'split'; the valid ones are: document_id, file, lang"),
        ({"language": Condition(min=1)}, "the column language of .* holds texts, and the condition does not fit them"),
        ({"metrics.words": Condition(any_of=("a",))}, "metrics.words of .* holds numbers"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, where: dict[str, Condition], message: str) -> None:
    source = source_of(tmp_path, [{"tokens": 1, "metrics.words": 1.0}])
    with pytest.raises(UserError, match=message):
        write_slice(source, where, tmp_path / "a.npy")


def test_a_table_that_is_not_its_shards_is_refused(tmp_path: Path) -> None:
    source = source_of(tmp_path, [{"tokens": 1}] * 3)
    path = source.documents_path(source.shards[0])
    pq.write_table(pq.read_table(path).slice(0, 2), path)
    with pytest.raises(UserError, match="has 2 rows, its shard 3 sequences"):
        write_slice(source, {"tokens": Condition(min=1)}, tmp_path / "a.npy")
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cannot read .*; run `make tokens` again"):
        write_slice(source, {"tokens": Condition(min=1)}, tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"x" * 500])
def test_a_damaged_slice_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read the slice|holds no document numbers"):
        read_slice(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"min": 50}, Condition(min=50)),
        ("head", Condition(any_of=("head",))),
        (["head", None], Condition(any_of=("head", None))),
        ({"min": datetime.date(2020, 1, 2)}, Condition(min="2020-01-02")),
        (3, Condition(any_of=(3,))),
    ],
)
def test_conditions_have_short_forms(data: object, expected: Condition) -> None:
    assert Condition.model_validate(data) == expected


@pytest.mark.parametrize(
    "data",
    [{}, [], {"min": float("nan")}, [float("inf")], {"min": 3, "max": 2}, {"min": 1, "max": "a"}, {"least": 1}, [[1]]],
)
def test_conditions_that_say_nothing_are_refused(data: object) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(data)


def test_names_of_slices_tell_conditions_apart() -> None:
    first = slice_name("el", {"a": Condition(min=1), "b": Condition(min=2)})
    assert first == slice_name("el", {"b": Condition(min=2), "a": Condition(min=1)})
    assert len({first, slice_name("el", {"a": Condition(min=1)}), slice_name("tr", {"a": Condition(min=1)})}) == 3
