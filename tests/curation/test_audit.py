"""The audit against a comparison of every pair in plain Python, and what it leaves in the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

import curation.audit_compare
from configs.errors import UserError
from configs.languages import load_languages
from curation.audit import PAIRS, Audit, audit_corpus
from curation.audit_compare import band_borders
from curation.audit_report import render_audit, with_section, write_audit
from curation.cli_dedup import audit_command, scurve_command
from dedup.minhash import MinHashConfig
from dedup.s_curve import probability
from dedup.shares import share_of
from tests.curation.finished_job import Page, add_crawl, finish_job, identifier, write_documents
from tests.curation.test_report import HOSTILE, check_page, report

CONFIG = MinHashConfig(ngram=2, min_similarity=0.5)
COMPARED = {None, "minhash", "semantic", "lines", "substring"}


def shingles(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[place : place + ngram]) for place in range(max(1, len(words) - ngram + 1))} if words else set()


def similarity(one: Page, other: Page, config: MinHashConfig) -> float:
    first, second = shingles(one.text, config.ngram), shingles(other.text, config.ngram)
    return len(first & second) / max(1, len(first | second))


def by_hash(pages: Sequence[Page]) -> list[Page]:
    return sorted(pages, key=lambda page: xxhash.xxh3_64_intdigest(page.id))


def check(audit: Audit, pages: Sequence[Page], base: Sequence[Page], config: MinHashConfig, count: int) -> None:
    """Compare an audit with what a look at every pair says."""
    own = [page for page in pages if page.language == "el" and page.stage in COMPARED]
    dropped = {page.id for page in own if page.stage == "minhash"}
    sampled = by_hash(own)[:count]
    assert (audit.population, audit.base, audit.dropped) == (len(own), len(base), len(dropped))
    assert audit.sampled == len(sampled)
    pairs: dict[frozenset[str], float] = {}
    alone = partnered = 0
    for page in sampled:
        similar = [other for other in (*own, *base) if other is not page]
        similar = [other for other in similar if similarity(page, other, config) >= config.min_similarity]
        partnered += bool(similar)
        alone += bool(similar) and all(page.id in dropped or other.id in dropped for other in similar)
        for other in similar:
            pairs[frozenset((page.id, other.id))] = similarity(page, other, config)
    assert audit.document_recall == share_of(alone, partnered)
    assert audit.pair_recall == share_of(sum(bool(pair & dropped) for pair in pairs), len(pairs))
    for number, band in enumerate(audit.bands):
        last = number == len(audit.bands) - 1
        inside = [pair for pair, value in pairs.items() if band.low <= value and (value < band.high or last)]
        assert band.found == sum(bool(pair & dropped) for pair in inside)
        assert band.missed == len(inside) - band.found
    expected = sum(probability(value, config.bands, config.rows) for value in pairs.values())
    assert sum(band.expected for band in audit.bands) == pytest.approx(expected)
    known = {page.id: page for page in (*pages, *base)}
    checked = by_hash([page for page in own if page.stage == "minhash"])[:count]
    right = sum(similarity(page, known[identifier(page.duplicate_of or 0)], config) >= config.min_similarity
                for page in checked)  # fmt: skip
    assert audit.precision == share_of(right, len(checked))
    assert all(similarity(known[pair.ids[0]], known[pair.ids[1]], config) == pair.similarity for pair in audit.pairs)


def watch(done: int, total: int) -> None:
    assert 0 < done <= total


def run(out: Path, count: int) -> Audit:
    return audit_corpus(out, load_languages(), "el", count, watch)


TEXTS = st.lists(st.sampled_from(["α", "β", "γ", "δδ"]), max_size=7).map(" ".join)
STAGES = st.sampled_from([None, None, "minhash", "minhash", "exact", "rules", "substring", "semantic"])


@st.composite
def pages(draw: st.DrawFn) -> list[Page]:
    texts = draw(st.lists(st.tuples(TEXTS, STAGES, st.sampled_from(["el", "el", "el", "en"])), min_size=1, max_size=14))
    made = [Page(number, text, stage, language=language) for number, (text, stage, language) in enumerate(texts)]
    others = st.integers(0, len(made) - 1)
    return [
        replace(page, duplicate_of=draw(others), similarity=0.75) if page.stage in ("minhash", "exact") else page
        for page in made
    ]


@settings(max_examples=25)
@given(pages(), st.integers(1, 20), st.integers(1, 5), st.integers(0, 4), st.sampled_from([0.3, 0.5, 0.77, 1.0]))
def test_the_counts_are_those_of_a_look_at_every_pair(
    made: list[Page], count: int, part_size: int, base_count: int, minimum: float
) -> None:
    config = CONFIG.model_copy(update={"min_similarity": minimum})
    base = [Page(100 + number, page.text) for number, page in enumerate(made[:base_count])]
    parts = [made[start : start + part_size] for start in range(0, len(made), part_size)]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        stood = Path(folder) / "stood"
        if base:
            write_documents(stood / "el" / "documents" / "00000-00000.parquet", base)
        finish_job(out, [parts[::2], parts[1::2]], config, languages=("el", "en"), against=stood if base else None)
        audit = run(out, count)
        check(audit, made, base, config, count)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("_INDEXED", "_DOCUMENTS", "_SHINGLES"):
                patch.setattr(curation.audit_compare, name, 3)
            again = run(out, count)
        figures = replace(again, expected_recall=None, bands=(), pairs=())
        assert figures == replace(audit, expected_recall=None, bands=(), pairs=())
        check(again, made, base, config, count)


# Twelve words, of which each copy changes some: the similarity of 11 shingles of two words.
WORDS = [f"λέξη{number}" for number in range(12)]


def copy(number: int, changed: Sequence[int], **verdict: object) -> Page:
    words = [f"άλλη{number}x{place}" if place in changed else word for place, word in enumerate(WORDS)]
    return replace(Page(number, " ".join(words), url=f"https://a.example/{number}"), **verdict)  # type: ignore[arg-type]


FAR = Page(9, "τελείως άλλο κείμενο που δεν μοιάζει με τίποτα")
JOB = [
    copy(0, []),
    copy(1, [0], stage="minhash", duplicate_of=0, similarity=10 / 12),
    copy(2, [11]),  # 10 / 12 of the first as well, and missed
    copy(3, [0, 1, 2], stage="minhash", duplicate_of=0, similarity=0.9),  # 8 / 14, dropped wrongly
    copy(4, [0, 1]),  # 9 / 13, a near miss
    FAR,
]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    finish_job(tmp_path, [[JOB[:2], JOB[2:4]], [JOB[4:]]], MinHashConfig(ngram=2, min_similarity=0.75))
    return tmp_path


def test_the_pairs_tell_what_went_wrong_first(job: Path) -> None:
    audit = run(job, 100)
    shown = [(pair.kind, {int(url.rpartition("/")[2]) for url in pair.urls}) for pair in audit.pairs]
    assert shown == [("missed", {0, 2}), ("wrong", {0, 3}), ("near miss", {0, 4}), ("duplicate", {0, 1})]
    assert audit.pairs[1].similarity == pytest.approx(8 / 14)
    assert audit.pairs[1].urls[0] == "https://a.example/3"
    assert audit.largest_difference == pytest.approx(0.9 - 8 / 14)
    assert audit.precision == share_of(1, 2)
    assert audit.pair_recall == share_of(1, 2)
    # The first has a similar one beside it, and so has the third; the second was dropped.
    assert audit.document_recall == share_of(1, 3)
    assert audit.expected_recall == pytest.approx(probability(10 / 12, 14, 8))


def test_pairs_are_bounded_and_spread_over_the_similarities(tmp_path: Path) -> None:
    many = [copy(0, [])]
    for number in range(1, 120):
        changed = range(number % 3)
        own = (11 - len(changed)) / (11 + len(changed))
        many.append(copy(number, changed, stage="minhash", duplicate_of=0, similarity=own))
    finish_job(tmp_path, [[many]], CONFIG)
    audit = run(tmp_path, 1000)
    assert len(audit.pairs) <= PAIRS
    found = [pair.similarity for pair in audit.pairs if pair.kind == "duplicate"]
    assert found == sorted(found)
    assert {round(value, 3) for value in found} == {round((11 - n) / (11 + n), 3) for n in range(3)}


def test_bands_begin_at_the_threshold() -> None:
    assert band_borders(0.75).tolist() == [0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
    assert band_borders(0.77).tolist() == [0.77, 0.8, 0.85, 0.9, 0.95, 1.0]
    assert band_borders(1.0).tolist() == [0.95, 1.0]
    assert len(band_borders(0.0)) == 21


def test_the_files_say_what_was_found_and_the_report_is_filled_once(job: Path) -> None:
    audit = run(job, 100)
    write_audit(job / "el", audit)
    once = (job / "el" / "report.html").read_text()
    write_audit(job / "el", audit)
    assert (job / "el" / "report.html").read_text() == once
    assert once.startswith("<h1>before</h1>\n<!-- audit -->")
    assert once.endswith("<!-- /audit -->\n<p>after</p>\n")
    assert "not run" not in once
    facts = json.loads((job / "el" / "audit.json").read_text())
    assert facts["pair_recall"]["share"] == 0.5
    assert facts["minhash"]["bands"] == 14
    assert [pair["kind"] for pair in facts["pairs"]] == ["missed", "wrong", "near miss", "duplicate"]
    assert sum(band["found"] + band["missed"] for band in facts["bands"]) == 2


def test_the_whole_report_takes_the_section(job: Path) -> None:
    before = report()
    assert "<!-- audit -->" in before
    assert "make audit LANG=el" in before
    audit = run(job, 100)
    filled = with_section(before, render_audit(audit))
    assert filled is not None
    page = check_page(filled)
    text = " ".join(page.text.split())
    assert "6 of 6 documents that took part" in text
    assert "1 found, 1 missed" in filled
    assert "make audit LANG=el" not in text
    assert filled.count('id="audit"') == before.count('id="audit"') == 1
    assert with_section(filled, render_audit(audit)) == filled
    assert len(filled) > len(before)


def test_hostile_texts_are_shown_and_never_run(tmp_path: Path) -> None:
    bad = HOSTILE.replace("\ud800", "")  # Parquet holds no surrogates
    words = f"{bad} <!-- /audit --> {' '.join(WORDS)}"
    first = Page(0, words, url=f"{bad}<!-- /audit -->")
    second = Page(1, f"{words} τέλος", url=bad)
    finish_job(tmp_path, [[[first, second]]], CONFIG)
    filled = with_section(report(), render_audit(run(tmp_path, 10)))
    assert filled is not None
    page = check_page(filled)
    assert page.text.count("<script>alert(1)</script>") >= 4
    assert filled.count("<!-- /audit -->") == 1
    assert with_section(filled, render_audit(run(tmp_path, 10))) == filled


def test_a_report_without_a_place_is_refused(job: Path) -> None:
    (job / "el" / "report.html").write_text("<h1>old</h1>")
    audit = run(job, 10)
    with pytest.raises(UserError, match="has no place for an audit"):
        write_audit(job / "el", audit)
    assert not (job / "el" / "audit.json").exists()
    (job / "el" / "report.html").unlink()
    with pytest.raises(UserError, match="cannot read"):
        write_audit(job / "el", audit)


def test_nothing_similar_is_no_recall(tmp_path: Path) -> None:
    finish_job(tmp_path, [[[FAR, copy(1, [])]]], CONFIG)
    audit = run(tmp_path, 10)
    assert (
        audit.pair_recall.value is audit.document_recall.value is audit.precision.value is audit.expected_recall is None
    )
    assert "there is no recall to measure" in render_audit(audit)
    write_audit(tmp_path / "el", audit)
    assert json.loads((tmp_path / "el" / "audit.json").read_text())["pair_recall"]["share"] is None


def test_what_a_document_was_dropped_for_may_be_gone(tmp_path: Path) -> None:
    page = copy(1, [], stage="minhash", duplicate_of=77, similarity=1.0)
    finish_job(tmp_path, [[[page, copy(0, [])]]], CONFIG)
    audit = run(tmp_path, 10)
    assert (audit.not_found, audit.precision.whole) == (1, 0)
    assert "1 dropped documents are not judged" in render_audit(audit)


def test_a_text_of_an_earlier_job_is_that_of_the_corpus_that_stood(tmp_path: Path) -> None:
    """The same input read again gives the same ids: the new document went for the old one, not for itself."""
    own = copy(1, [0, 1, 2], stage="minhash", duplicate_of=1, similarity=0.9)
    write_documents(tmp_path / "stood" / "el" / "documents" / "0.parquet", [copy(1, [])])
    finish_job(tmp_path / "out", [[[own]]], MinHashConfig(ngram=2), against=tmp_path / "stood")
    audit = run(tmp_path / "out", 10)
    assert audit.precision == share_of(0, 1)
    assert audit.pairs[0].similarity == pytest.approx(8 / 14)


def test_intermediate_results_are_needed(job: Path) -> None:
    with pytest.raises(UserError, match="no finished corpus"):
        audit_corpus(job, load_languages(), "de", 10, watch)
    folder = min((job / ".work" / "el" / "crawl").iterdir())
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match="keep_work: true"):
        run(job, 10)


def test_results_of_another_unfinished_job_are_not_taken(job: Path) -> None:
    add_crawl(job / ".work" / "el", "0.jsonl", "0", [JOB[:2]], settings="others")
    with pytest.raises(UserError, match="unfinished job"):
        run(job, 10)


def test_a_ledger_without_its_documents_is_refused(job: Path) -> None:
    """Otherwise a part of the population would be left out, and nobody would know."""
    (job / "el" / "ledger" / "00001-00000.parquet").rename(job / "el" / "ledger" / "00007-00000.parquet")
    with pytest.raises(UserError, match="does not hold the intermediate results"):
        run(job, 10)


def test_an_input_of_another_state_is_passed_over(job: Path) -> None:
    add_crawl(job / ".work" / "el", "0.jsonl", "before", [[FAR]], settings="others")
    assert run(job, 10).population == len(JOB)


def test_documents_that_do_not_belong_are_refused(job: Path) -> None:
    (path,) = sorted((job / ".work" / "el" / "crawl").glob("*/documents-00001.parquet"))
    write_documents(path, JOB[2:3])
    with pytest.raises(UserError, match="does not belong to"):
        run(job, 10)


def test_a_corpus_without_minhash_has_nothing_to_audit(tmp_path: Path) -> None:
    finish_job(tmp_path, [[JOB]], None)
    with pytest.raises(UserError, match="without minhash"):
        run(tmp_path, 10)


def test_the_command_prints_and_writes(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit_command("el", job, 100, None)
    printed = " ".join(capsys.readouterr().out.split())
    assert "precision │ 50%" in printed
    assert "0.8 to 0.85 │ 2 │ 1 │ 1 │ 50%" in printed
    assert (job / "el" / "audit.json").exists()


def test_the_curves_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scurve_command(None)
    printed = capsys.readouterr().out
    assert "fineweb: 14 x 8" in printed
    assert "refinedweb: 450 x 20" in printed
    assert "own" not in printed
    assert f"{probability(0.8, 14, 8):.1%}" in printed
    config = tmp_path / "own.yaml"
    config.write_text("stages: {minhash: {bands: 20, rows: 5, min_similarity: 0.6}}\n")
    scurve_command(config)
    assert "own: 20 x 5" in capsys.readouterr().out
    config.write_text("stages: {minhash: null}\n")
    with pytest.raises(UserError, match="leaves minhash out"):
        scurve_command(config)
