"""What leaves documents, and that nothing that others share with a document that goes is lost with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.duplicates.config import DedupStages
from curation.duplicates.cuts import CutPart, cut_part
from curation.duplicates.job import Deduplication
from curation.schema import CUTS, SPANS
from curation.stage import Task, run_task
from curation.store import Manifest
from dedup.cuts import cut_text
from tests.curation.duplicates.made_parts import MadeParts, Page, make_parts


def words(name: str, count: int) -> str:
    return " ".join(f"{name}{number}" for number in range(count))


def final_texts(folder: Path, pages: list[Page], config: DedupStages, part_size: int = 2) -> dict[int, str]:
    """Run the job and return the text of every document that stays, by number."""
    made = make_parts(folder, pages, part_size)

    def run(phase: str, tasks: list[Task]) -> list[Manifest]:
        return [run_task(task) for task in tasks]

    found = Deduplication(made.parts, len(pages), config, {"en": "spaces"}, folder / "work", run).find()
    texts = {page.number: page.text for page in pages}
    for part, path in found.cuts.items():
        for row in pq.read_table(path).to_pylist():
            page = made.pages[part, row["row"]]
            if row["dropped_by"] is None:
                texts[page.number] = cut_text(page.text, list(zip(row["starts"], row["ends"], strict=True)))
            else:
                del texts[page.number]
    return texts


def settings(**stages: object) -> DedupStages:
    return DedupStages.model_validate({"exact": None, "minhash": None, "substring": None, **stages})


def test_what_is_shared_with_a_document_that_goes_stays_elsewhere(tmp_path: Path) -> None:
    shared, long = words("p", 6), words("q", 200)
    pages = [
        Page(f"{words('s', 5)} {long} {shared}", 0),  # the best: holds `long`, which 1 repeats, and `shared`
        Page(f"{long} {shared[:-1]}", 1),
        Page(f"{words('z', 100)}", 2),
    ]
    # 3 is better than 4: without 3, of which too little is left, what they share would be nowhere.
    pages += [Page(f"{long} {words('r', 6)}", 3), Page(f"{words('t', 60)} {words('r', 6)}", 4)]
    config = settings(substring={"min_tokens": 6, "min_remaining_chars": 40})
    texts = final_texts(tmp_path, pages, config)
    assert set(texts) == {0, 2, 4}
    assert words("r", 6) in texts[4]
    strict = settings(substring={"min_tokens": 6, "min_remaining_chars": 0})
    (tmp_path / "strict").mkdir()
    kept = final_texts(tmp_path / "strict", pages, strict)
    assert words("r", 6) in kept[3]
    assert words("r", 6) not in kept[4]


def test_lines_that_a_document_takes_with_it_stay_elsewhere(tmp_path: Path) -> None:
    notice, other = "A notice that stands in two documents", "Another line that stands elsewhere, too"
    pages = [
        Page(f"{words('a', 30)}\n{other}", 0),
        Page(f"{notice}\n{other}\n{words('b', 2)}", 1),
        Page(f"{notice}\nbut", 2),
    ]
    texts = final_texts(tmp_path, pages, settings(lines={"min_remaining_chars": 60}))
    assert set(texts) == {0, 2}
    assert notice in texts[2]


def made_spans(folder: Path, rows: list[dict[str, object]], name: str) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SPANS), path)
    return path


def cut(
    folder: Path, made: MadeParts, spans: dict[str, Path], minimum: dict[str, int | None]
) -> list[dict[str, object]]:
    files: dict[str, tuple[Path, ...]] = {stage: (path,) for stage, path in spans.items()}
    result = cut_part(CutPart(made.parts[0], (), files, minimum, frozenset(), ()), folder, folder)
    table = pq.read_table(folder / "cuts.parquet")
    assert table.schema == CUTS
    assert result.counts["dropped"] == len(np.load(folder / "lost.npy"))
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def test_stages_are_put_together_and_the_main_source_is_named(tmp_path: Path) -> None:
    pages = [Page("0123456789" * 10, 0)]
    made = make_parts(tmp_path, pages, 1)
    own, first, second = pages[0].id, f"{7:032x}", f"{8:032x}"
    common = {"part": 0, "row": 0, "duplicate_of_part": 3}
    spans = {
        "lines": made_spans(tmp_path, [{**common, "start": 10, "end": 30, "duplicate_of": first}], "lines"),
        "substring": made_spans(
            tmp_path,
            [
                {**common, "start": 20, "end": 45, "duplicate_of": second},
                {**common, "start": 40, "end": 50, "duplicate_of": second},
                {**common, "start": 60, "end": 99, "duplicate_of": own},
            ],
            "substring",
        ),
    }
    (row,) = cut(tmp_path, made, spans, {"lines": 80, "substring": 20})
    assert (row["starts"], row["ends"]) == ([10, 60], [50, 99])
    assert (row["removed_chars"], row["dropped_by"], row["duplicate_of"]) == (79, None, second)
    found = [(f["stage"], f["start"], f["end"], f["duplicate_of"]) for f in row["found"]]  # type: ignore[attr-defined]
    assert found == [("lines", 10, 30, first), ("substring", 20, 50, second), ("substring", 60, 99, own)]
    (row,) = cut(tmp_path, made, spans, {"lines": 82, "substring": 20})
    assert row["dropped_by"] == "lines"
    (row,) = cut(tmp_path, made, spans, {"lines": None, "substring": 30})
    assert row["dropped_by"] == "substring"


def test_a_document_that_repeats_itself_alone_is_no_duplicate_of_itself(tmp_path: Path) -> None:
    pages = [Page("x " * 100, 0)]
    made = make_parts(tmp_path, pages, 1)
    span = {"part": 0, "row": 0, "start": 2, "end": 199, "duplicate_of": pages[0].id, "duplicate_of_part": 0}
    (row,) = cut(tmp_path, made, {"substring": made_spans(tmp_path, [span], "substring")}, {"substring": 50})
    assert (row["dropped_by"], row["duplicate_of"]) == ("substring", None)
