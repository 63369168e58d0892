"""Telling a finished job's pairs: every pair once and whole, however the pairs were cut into files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.parallel.schema import PAIRS
from curation.runner import Progress, Runner
from curation.stage import Result, Task, run_task
from curation.store import Manifest
from mixing.telling import tell
from mixing.telling.language_names import SHIPPED
from mixing.telling.render import RenderConfig
from mixing.telling.tell import TellJob

PLACES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([None, "one", "two"]))
TEXTS = st.text(st.sampled_from("ab {}\n\t\u2028é字"), min_size=1, max_size=30)
ROWS = st.lists(st.tuples(PLACES, TEXTS, TEXTS), max_size=25)


class InProcess(Runner):
    """Runs tasks here, one after the other."""

    def __init__(self) -> None:
        super().__init__(1, 0)

    def run(self, stage: str, tasks: Sequence[Task], progress: Progress | None = None) -> list[Manifest]:
        return [run_task(task) for task in tasks]


def corpus(folder: Path, rows: Sequence[tuple[tuple[str, str | None], str, str]], cuts: Sequence[int]) -> Path:
    """Write a finished parallel corpus of these pairs, cut into files at some places."""
    (folder / "pairs").mkdir(parents=True)
    table = [
        {
            "id": f"{number:032x}",
            "src_lang": "de",
            "tgt_lang": "en",
            "src_text": src,
            "tgt_text": tgt,
            "source": source,
            "sequence": number,
            "src_origin": origin,
            "tgt_origin": None,
            "input_score": None,
            "cluster_size": 1,
            "scores": {"rules": 0.5, "laser_cosine": None, "laser_margin": None},
        }
        for number, ((source, origin), src, tgt) in enumerate(rows)
    ]
    borders = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    for number, (start, end) in enumerate(pairwise(borders)):
        path = folder / "pairs" / f"{number:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(table[start:end], schema=PAIRS), path)
    chars = {side: sum(len(row[place]) for row in rows) for side, place in (("src", 1), ("tgt", 2))}
    (folder / "summary.json").write_text(json.dumps({"pairs": len(rows), "characters": chars}))
    return folder


def told(folder: Path, config: RenderConfig) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Tell the pairs; return the documents in their order, and what the job says of them."""
    summary = TellJob(folder, "de", "en", folder / "work", config, InProcess()).run()
    assert summary == json.loads((folder / "documents.json").read_text(encoding="utf-8"))
    files = sorted((folder / "documents").glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()], summary


@given(
    rows=ROWS,
    cuts=st.lists(st.integers(0, 30), max_size=3),
    paragraphs=st.booleans(),
    limit=st.sampled_from([60, None]),
)
def test_every_pair_is_told_once_and_whole(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[tuple[str, str | None], str, str]],
    cuts: list[int],
    paragraphs: bool,
    limit: int | None,
) -> None:
    config = RenderConfig(paragraphs=paragraphs, max_chars=limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tell, "_BUCKET_PAIRS", 7)
        folder = corpus(tmp_path_factory.mktemp("one"), rows, cuts)
        documents, summary = told(folder, config)
        other, _ = told(corpus(tmp_path_factory.mktemp("other"), rows, []), config)
    assert documents == other
    found = {}
    for document in documents:
        text, pairs = str(document["text"]), document["pairs"]
        assert isinstance(pairs, list)
        for pair in pairs:
            assert pair["id"] not in found
            src, tgt = (text[pair[f"{side}_start"] : pair[f"{side}_end"]] for side in ("src", "tgt"))
            found[pair["id"]] = src, tgt
        sources = {rows[int(pair["id"], 16)][0][0] for pair in pairs}
        assert document["source"] == (sources.pop() if len(sources) == 1 else None)
    assert found == {f"{number:032x}": (src, tgt) for number, (_, src, tgt) in enumerate(rows)}
    assert summary["pairs"] == len(rows)
    assert len({document["id"] for document in documents}) == len(documents) == summary["documents"]


def test_sentences_of_one_document_stay_together_as_paragraphs(tmp_path: Path) -> None:
    rows = [(("a", "one"), f"Satz {number}.", f"Sentence {number}.") for number in range(4)]
    documents, _ = told(corpus(tmp_path, rows, [2]), RenderConfig(paragraphs=True))
    assert len(documents) == 1
    assert "Satz 0. Satz 1. Satz 2. Satz 3." in str(documents[0]["text"])


def test_documents_of_two_inputs_are_two_though_they_have_one_name(tmp_path: Path) -> None:
    rows = [(("ab"[number % 2], "one"), f"Satz {number}.", f"Sentence {number}.") for number in range(4)]
    documents, _ = told(corpus(tmp_path, rows, []), RenderConfig(paragraphs=True, max_missing=5))
    text = "".join(str(document["text"]) for document in documents)
    assert "Satz 0. Satz 2." in text
    assert "Satz 1. Satz 3." in text


def test_a_corpus_that_lost_a_file_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path, [(("a", None), f"Satz {number}.", f"Sentence {number}.") for number in range(4)], [2])
    next((folder / "pairs").glob("*.parquet")).unlink()
    with pytest.raises(UserError, match=r"holds 2 pairs, its summary\.json says 4"):
        told(folder, RenderConfig())


def test_other_names_of_languages_tell_the_pairs_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpus(tmp_path, [(("a", None), "Satz.", "Sentence.")], [])
    ran: list[str] = []
    real = tell.tell_bucket

    def counted(payload: object, out: Path, scratch: Path) -> Result:
        ran.append("tell")
        return real(payload, out, scratch)

    counted.__module__ = tell.__name__
    monkeypatch.setattr(tell, "tell_bucket", counted)
    told(folder, RenderConfig())
    told(folder, RenderConfig())
    assert len(ran) == 1
    names = tmp_path / "names.yaml"
    names.write_bytes(SHIPPED.read_bytes() + b"# another one\n")
    monkeypatch.setattr(tell, "SHIPPED_NAMES", names)
    told(folder, RenderConfig())
    assert len(ran) == 2


def test_the_other_direction_is_named(tmp_path: Path) -> None:
    corpus(tmp_path / "de-en", [], [])
    with pytest.raises(UserError, match="PAIR=de-en"):
        TellJob(tmp_path / "en-de", "en", "de", tmp_path / "work", RenderConfig(), InProcess())


def test_an_unfinished_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make parallel PAIR=de-en"):
        TellJob(tmp_path, "de", "en", tmp_path / "work", RenderConfig(), InProcess())
