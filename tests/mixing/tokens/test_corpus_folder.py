"""Which folders are corpora, and what is said of those that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import UserError
from mixing.tokens.corpus_folder import find_corpora, open_corpus_folder, read_batches
from tests.mixing.tokens.finished_corpora import write_corpus, write_pair_corpus


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "el", [["α", "β"], [], ["γ"]])
    write_corpus(tmp_path / "zh", [["中文"]], "zh", index=False)
    write_corpus(tmp_path / "und", [[]], "und")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_files_without_rows_are_left_out(corpora: Path) -> None:
    found = open_corpus_folder(corpora / "el")
    assert [path.name for path in found.files] == ["00000-00000.parquet", "00002-00000.parquet"]
    assert [path.parent.name for path in found.indexes if path is not None] == ["index", "index"]
    assert (found.name, found.language, found.segmentation, found.utf8_bytes) == ("el", "el", "spaces", 6)
    chinese = open_corpus_folder(corpora / "zh")
    assert (chinese.segmentation, chinese.indexes) == ("none", (None,))


def test_a_glob_takes_the_corpora_and_a_name_must_be_one(corpora: Path) -> None:
    assert [own.name for own in find_corpora(f"{corpora}/*")] == ["el", "zh"]
    assert [own.name for own in find_corpora(f"{corpora}/zh, {corpora}/e*,{corpora}/el/")] == ["zh", "el"]
    for selection, message in (
        (f"{corpora}/x*", "matches no folder of a finished corpus"),
        (f"{corpora}/und", "holds no document"),
        (f"{corpora}/notes", "is not a finished corpus: it has no readable summary.json"),
        (f"{corpora}/nowhere", "is not a finished corpus"),
        (" , ", "CORPUS names no folder"),
    ):
        with pytest.raises(UserError, match=message):
            find_corpora(selection)


def test_two_corpora_of_one_name_are_refused(corpora: Path, tmp_path: Path) -> None:
    shutil.copytree(corpora / "el", tmp_path / "other" / "el")
    with pytest.raises(UserError, match="would both be the source 'el'"):
        find_corpora(f"{corpora}/el,{tmp_path}/other/el")


def test_a_pair_stands_for_itself(tmp_path: Path) -> None:
    folder = write_pair_corpus(tmp_path / "parallel" / "de-en", [[]])
    with pytest.raises(UserError, match="holds no document"):
        open_corpus_folder(folder)
    (folder / "summary.json").write_text(json.dumps({"pair": "de-zh", "language": "x"}))
    pq.write_table(pa.table({"id": ["1"], "text": ["a b"]}), folder / "documents" / "00000.parquet")
    found = open_corpus_folder(folder)
    assert (found.language, found.segmentation) == ("de-zh", "spaces")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "no column 'id'; its columns are: text"),
        ({"id": ["1"], "content": ["a"]}, "no column 'text'; its columns are: id, content"),
        ({"id": [1], "text": ["a"]}, "the column 'id' holds int64, not strings"),
        ({"id": ["1"], "text": [["a"]]}, "the column 'text' holds list"),
    ],
)
def test_tables_of_other_columns_are_refused(corpora: Path, columns: dict[str, list[object]], message: str) -> None:
    pq.write_table(pa.table(columns), corpora / "el" / "documents" / "00000-00000.parquet")
    with pytest.raises(UserError, match=message):
        open_corpus_folder(corpora / "el")


@pytest.mark.parametrize("summary", ["", "[]", "{}", '{"language": 3}'])
def test_a_damaged_summary_is_refused(corpora: Path, summary: str) -> None:
    (corpora / "el" / "summary.json").write_text(summary)
    with pytest.raises(UserError, match="finished corpus"):
        open_corpus_folder(corpora / "el")


def test_an_index_of_other_documents_is_refused(corpora: Path) -> None:
    shutil.copy(corpora / "el" / "index" / "00002-00000.parquet", corpora / "el" / "index" / "00000-00000.parquet")
    with pytest.raises(UserError, match="does not belong to"):
        open_corpus_folder(corpora / "el")


def test_a_damaged_table_is_one_line(corpora: Path) -> None:
    (corpora / "el" / "documents" / "00000-00000.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(UserError, match=r"cannot read .*00000-00000\.parquet") as caught:
        open_corpus_folder(corpora / "el")
    assert "\n" not in str(caught.value)


def test_a_document_without_text_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1", "2"], "text": ["a", None]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="a document whose 'text' is null"):
        list(read_batches(tmp_path / "x.parquet", ["id", "text"]))


def test_large_documents_are_read_few_at_a_time(tmp_path: Path) -> None:
    texts = ["a" * 3_000_000 + str(number) for number in range(8)] + ["b"] * 600
    table = pa.table({"id": [str(number) for number in range(len(texts))], "text": texts})
    pq.write_table(table.slice(0, 8), tmp_path / "x.parquet", row_group_size=8, use_dictionary=False)
    sizes = [batch.num_rows for batch in read_batches(tmp_path / "x.parquet", ["id", "text"])]
    assert sum(sizes) == 8
    assert max(sizes) <= 3
    pq.write_table(table.slice(8), tmp_path / "y.parquet")
    assert [batch.num_rows for batch in read_batches(tmp_path / "y.parquet", ["text"])] == [256, 256, 88]
