"""The report on deduplication: methods, clusters, the S-curve, what was cut, and pairs of any stage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curation.charts_duplicates import found_bar, s_curve_chart
from curation.config import CorpusConfig
from curation.job_parts import JobResult
from curation.report_cuts import gather_cuts
from curation.report_data import collect_report_data
from curation.report_duplicates import CutExcerpt, CutStage
from curation.report_pairs import DuplicatePair
from curation.schema import EXAMPLES, MEASURE_SAMPLE, PUBLISHED_SPANS
from curation.store import Manifest
from dedup.s_curve import probability
from tests.curation.finished_job import Page, write_documents
from tests.curation.test_report import HOSTILE, check_page, report, stage, summary
from tests.curation.test_report import Page as Html

MINHASH = {"bands": 14, "rows": 8, "min_similarity": 0.75, "max_cluster": 10_000, "giant_min_similarity": 0.8}
CUTS = [CutStage("lines", 7, 31, 12_345), CutStage("substring", 2, 3, 4_567)]
LARGEST = {"size": 30_000, "kept": 12, "min_similarity": 0.7512, "id": "ab" * 16, "url": "https://a.example/giant"}


def facts(**changes: Any) -> dict[str, Any]:
    kept = [stage(name, 100, 100) for name in ("ingest", "contamination", "same_url")]
    found = [stage("exact", 100, 80, duplicate=20), stage("minhash", 80, 50, duplicate=30), stage("lines", 50, 50)]
    plain = summary(
        records=100,
        stages=[*kept, *found],
        reasons=[
            {"stage": "exact", "outcome": "duplicate", "rule": "exact_duplicate", "count": 20},
            {"stage": "minhash", "outcome": "duplicate", "rule": "minhash_duplicate", "count": 30},
        ],
        config={"stages": {"contamination": None, "same_url": None, "minhash": MINHASH, "lines": {}}},
        documents_cut=7,
        removed_chars=11_111,
        deduplication={
            "clusters": [[2, 900], [3, 40], [4, 10], [512, 1], [8192, 1]],
            "giant_clusters": 1,
            "max_cluster": 10_000,
            "largest": [LARGEST],
        },
    )
    return {**plain, **changes}


def words(source: str) -> str:
    return " ".join(check_page(source).text.split())


def test_the_methods_tell_what_they_took() -> None:
    text = words(report(summary=facts(), cuts=CUTS))
    assert "exactexact duplicates20–––" in text
    assert "minhashnear duplicates30–––" in text
    assert "linesrepeated lines073112,345" in text
    assert "substringrepeated passages0234,567" in text
    assert "From 7 of the documents in the corpus 11,111 characters were cut out." in text


def test_what_was_switched_off_and_lost_nothing_is_left_out() -> None:
    source = report(summary=facts())
    assert "texts of benchmarks" not in source
    assert "captures of one address" not in source
    assert "repeated lines" in source
    # A switch that was turned after the job must not hide what it lost.
    config = {"stages": {"exact": None, "minhash": None}}
    source = report(summary=facts(config=config))
    assert source.count("exact duplicates") == 2
    assert "20 duplicates" in source


def test_giant_clusters_raise_an_alarm() -> None:
    text = words(report(summary=facts()))
    assert "ALARM: 1 cluster has more than 10,000 documents" in text
    assert "only pairs from 0.8 on count" in text
    assert "https://a.example/giant30,00012" in text
    none = facts(deduplication={**facts()["deduplication"], "giant_clusters": 0})
    assert "ALARM" not in words(report(summary=none))


def test_clusters_are_counted_by_powers_of_two() -> None:
    rows = words(report(summary=facts())).partition("by number of documents")[2].partition("Which pairs")[0]
    assert "2 to 3" in rows
    assert "940" in rows
    assert "8,192 to 16,383" in rows
    assert rows.index("2 to 3") < rows.index("4 to 7") < rows.index("512 to 1,023") < rows.index("8,192 to")


def test_summaries_that_tell_less_make_a_report() -> None:
    old = {name: value for name, value in facts().items() if name not in ("deduplication", "documents_cut")}
    text = words(report(summary={**old, "config": {}}))
    assert "or this summary tells nothing of them" not in text  # neither clusters nor a curve: nothing is shown
    assert "Which pairs MinHash compares" not in text
    text = words(report(summary=old))
    assert "or this summary tells nothing of them" in text
    assert "Which pairs MinHash compares" in text


def test_excerpts_of_cuts_are_shown_and_never_run() -> None:
    excerpt = CutExcerpt("lines", HOSTILE, 5000, HOSTILE)
    source = report(summary=facts(deduplication={"largest": [{**LARGEST, "url": HOSTILE}]}), excerpts=[excerpt])
    text = check_page(source).text
    assert text.count("<script>alert(1)</script>") == 3
    assert "lines: 5,000 characters, of which" in text


def test_a_document_that_repeats_no_single_one_stands_alone() -> None:
    source = report(duplicates=[DuplicatePair("lines", 0.9, "https://a.example/", "Μενού", "", "")])
    assert "No single document holds all that it repeats." in words(source)
    assert ("div", {"class": "kept"}) not in Html(source).tags


@given(st.integers(1, 500), st.integers(1, 30), st.floats(0, 1))
def test_every_curve_can_be_drawn(bands: int, rows: int, minimum: float) -> None:
    svg = ElementTree.fromstring(s_curve_chart(bands, rows, minimum))
    (line,) = svg.iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in str(line.get("points")).split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert all(22 <= y <= 192 for _, y in points)
    heights = [192 - 170 * probability(place / 100, bands, rows) for place in range(101)]
    assert [y for _, y in points] == pytest.approx(heights, abs=0.01)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1))
def test_a_bar_is_as_wide_as_its_share(found: int, missed: int, share: float) -> None:
    whole = found + missed
    assume(whole)
    bars = {item.get("class"): item for item in ElementTree.fromstring(found_bar(found, missed, share * whole)).iter()}
    assert float(str(bars["kept"].get("width")).rstrip("%")) == pytest.approx(100 * found / whole, abs=0.01)
    assert float(str(bars["dropped"].get("width")).rstrip("%")) == pytest.approx(100 * missed / whole, abs=0.01)
    assert float(str(bars["bound"].get("x1")).rstrip("%")) == pytest.approx(100 * share, abs=0.01)


def span(document: int, stage_: str, start: int, end: int) -> dict[str, object]:
    names = {"document_id": f"{document:032x}", "url": f"https://a.example/{document}", "duplicate_of": "x"}
    return {**names, "stage": stage_, "start": start, "end": end, "text": f"{stage_} {start} {end}"}


SPANS = st.lists(
    st.builds(
        lambda document, stage_, start, length: span(document, stage_, start, start + length),
        st.integers(0, 15), st.sampled_from(["lines", "substring"]), st.integers(0, 3), st.integers(1, 3),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=30)
@given(SPANS, st.integers(1, 5))
def test_cuts_are_counted_and_drawn_whatever_the_files(rows: list[dict[str, Any]], files: int) -> None:
    with TemporaryDirectory() as folder:
        paths = []
        for number in range(files):
            own = [row for row in rows if int(row["document_id"], 16) % files == number]
            paths.append(Path(folder) / f"{number}.parquet")
            pq.write_table(pa.Table.from_pylist(own, schema=PUBLISHED_SPANS), paths[-1])
        cuts, excerpts = gather_cuts(paths)
    sizes = Counter[str]()
    for row in rows:
        sizes[row["stage"]] += row["end"] - row["start"]
    assert {cut.stage: cut.characters for cut in cuts} == dict(sizes)
    for cut in cuts:
        assert cut.documents == len({row["document_id"] for row in rows if row["stage"] == cut.stage})
        assert cut.stretches == sum(row["stage"] == cut.stage for row in rows)
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rows:
        key = row["document_id"], row["stage"]
        first[key] = min(first.get(key, (99, 0)), (row["start"], -row["end"]))
    expected = [f"{key[1]} {start} {-end}" for key, (start, end) in sorted(first.items())[:10]]
    assert [excerpt.text for excerpt in excerpts] == expected


def test_pairs_find_the_documents_of_a_corpus_that_stood_already(tmp_path: Path) -> None:
    write_documents(tmp_path / "base.parquet", [Page(1, "η Αθήνα", url="https://old.example/")])
    row = {
        "order": 1, "language": "und", "outcome": "duplicate", "stage": "same_url", "rule": "same_url_duplicate",
        "url": "https://new.example/", "duplicate_of": Page(1, "").id, "similarity": 1.0, "duplicate_of_part": 7,
        "excerpt": "η Αθήνα πάλι",
    }  # fmt: skip
    alone = {**row, "stage": "lines", "rule": "lines_duplicate", "duplicate_of": "", "duplicate_of_part": 0}
    pq.write_table(pa.Table.from_pylist([row, alone], schema=EXAMPLES), tmp_path / "examples.parquet")
    pq.write_table(MEASURE_SAMPLE.empty_table(), tmp_path / "sample.parquet")
    names = ("examples.parquet", "sample.parquet")
    manifest = Manifest(tmp_path, "", {}, {}, dict.fromkeys(names, ""))
    job = JobResult([], [], [manifest], {}, {}, {}, {}, Counter(), base_documents={7: tmp_path / "base.parquet"})
    data = collect_report_data(job, "und", "none", {}, CorpusConfig())
    first, second = data.duplicates
    assert (first.kept_url, first.kept_text, first.method) == ("https://old.example/", "η Αθήνα", "same_url")
    assert (second.kept_url, second.kept_text) == ("", "")
