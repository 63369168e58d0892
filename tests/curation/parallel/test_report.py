"""The report of a parallel job: which pairs it shows, whatever the parts, and what a reader sees of them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from configs.languages import load_languages
from curation.parallel import report_data
from curation.parallel.pairs import Pair
from curation.parallel.report import render_pair_report
from curation.parallel.report_data import (
    Excerpt,
    NearThreshold,
    PairExample,
    PairReportData,
    collect,
    merge,
    survivors,
)
from curation.parallel.report_sample import (
    EXCERPT_CHARS,
    PAIR_EXAMPLES,
    PAIR_SAMPLE,
    SCORE_COLUMNS,
    PairReportConfig,
    sample_ledger,
    sample_pairs,
)
from curation.parallel.schema import WORK_PAIRS
from curation.record_schema import LEDGER
from curation.report import MeasureSample
from filters.decisions import decide_columns
from filters.parallel.measures import PAIR_MEASURES, PairMeasurer, PairSide
from filters.parallel.rules import PairRulesConfig
from filters.parallel.score import pair_scores
from filters.rules import Bounds, sides_of
from tests.curation.parallel.made import read_all
from tests.curation.test_report import HOSTILE, Page, check_page, stage
from tests.strategies import ANY_TEXT

BOUNDS = {
    "length_ratio": Bounds(min=1.0, max=1.8),
    "similarity": Bounds(max=0.5),
    "score_laser_cosine": Bounds(min=0.4),
}
FIRST = PairReportConfig(sample_pairs=4, examples_per_side=2, examples_per_rule=2, duplicate_pairs=1)
NUMBERS = (*SCORE_COLUMNS, *PAIR_MEASURES)
Row = dict[str, Any]


def row(number: int, text: str, outcome: str, rule: str | None, values: dict[str, float], source: str = "a") -> Row:
    name = (rule or "").rpartition(".")[0]
    return {
        "id": f"id {source}{number}", "src_lang": "de", "tgt_lang": "en", "src_text": text, "tgt_text": f"{text} en",
        "source": source, "sequence": number, "outcome": outcome, "rule": rule,
        "stage": None if outcome == "kept" else "rules" if name else "pair", "value": values.get(name),
        "threshold": None if not name else 1.8, "duplicate_of": "id a0" if outcome == "duplicate" else None, **values,
    }  # fmt: skip


def tables(rows: list[Row]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return pairs, measures and endings; a measure that a row does not name is NaN."""
    ends = [("outcome", pa.string()), ("stage", pa.string()), ("rule", pa.string()), ("value", pa.float64()),
            ("threshold", pa.float64()), ("duplicate_of", pa.string())]  # fmt: skip
    measures = {name: pa.array([own.get(name, math.nan) for own in rows], pa.float64()) for name in NUMBERS}
    return (
        pa.Table.from_pylist(rows, schema=WORK_PAIRS),
        pa.table(measures),
        pa.Table.from_pylist(rows, schema=pa.schema(ends)),
    )


def chosen(rows: list[Row], config: PairReportConfig = FIRST) -> tuple[pa.Table, pa.Table]:
    return sample_pairs(*tables(rows), BOUNDS, config)


def facts(chosen: tuple[pa.Table, pa.Table]) -> tuple[str, ...]:
    """Return two tables as texts: NaN is no value that equals itself."""
    return tuple(repr((table.schema, table.to_pylist())) for table in chosen)


# Few values, few texts: ties, copies, and values that were not taken.
_VALUES = st.sampled_from([0.0, 0.3, 0.4, 0.5, 0.7, 1.0, 1.75, 1.8, 1.85, 2.5, math.nan, math.inf])
_ENDINGS = st.sampled_from(
    [("kept", None)] * 4
    + [("dropped", f"{name}.{side}") for name, side in (("length_ratio", "max"), ("similarity", "max"))] * 2
    + [("dropped", "score_laser_cosine.min"), ("dropped", "benchmark"), ("duplicate", "equal_pair")]
    + [("duplicate", "equal_source"), ("failed", "ValueError"), ("dropped", "length_ratio.min")]
)


@st.composite
def corpora(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(0, 40))):
        outcome, rule = draw(_ENDINGS)
        values = {name: draw(_VALUES) for name in BOUNDS}
        rows.append(row(number, draw(st.sampled_from("abcdefgh")), outcome, rule, values, draw(st.sampled_from("ab"))))
    return rows


def content(own: Row) -> int:
    return xxhash.xxh3_64_intdigest(own["tgt_text"], xxhash.xxh3_64_intdigest(own["src_text"]))


def first_of(ranked: list[tuple[float, Row]], limit: int) -> list[str]:
    """Return the ids of the nearest rows, of equal texts one."""
    ids, seen = list[str](), set[int]()
    for _, own in sorted(ranked, key=lambda item: (item[0], content(item[1]), item[1]["source"], item[1]["sequence"])):
        if content(own) not in seen and len(ids) < limit:
            ids.append(own["id"])
        seen.add(content(own))
    return ids


def expected(rows: list[Row], config: PairReportConfig) -> dict[tuple[bool, str, str, str], list[str]]:
    """Choose by looking at every row for every group."""
    groups: dict[tuple[bool, str, str, str], list[tuple[float, Row]]] = {}
    thresholds = {f"{name}.{side}": (name, bound) for name, own in BOUNDS.items() for side, bound in sides_of(own)}
    for own in rows:
        for rule, (name, threshold) in thresholds.items():
            by_this = own["outcome"] == "dropped" and own["rule"] == rule
            if (own["outcome"] == "kept" or by_this) and not math.isnan(own[name]):
                key = True, own["outcome"], own["stage"] or "", rule
                groups.setdefault(key, []).append((abs(own[name] - threshold), own))
        if own["outcome"] != "kept" and not (own["outcome"] == "dropped" and own["rule"] in thresholds):
            groups.setdefault((False, own["outcome"], own["stage"] or "", own["rule"]), []).append((0.0, own))
    limits = {"duplicate": config.duplicate_pairs}
    return {
        key: ids
        for key, ranked in groups.items()
        if (
            ids := first_of(
                ranked, config.examples_per_side if key[0] else limits.get(key[1], config.examples_per_rule)
            )
        )
    }


def shown(examples: pa.Table) -> dict[tuple[bool, str, str, str], list[str]]:
    groups: dict[tuple[bool, str, str, str], list[str]] = {}
    for own in examples.to_pylist():
        key = own["distance"] is not None, own["outcome"], own["stage"] or "", own["rule"]
        groups.setdefault(key, []).append(own["id"])
    return groups


CONFIGS = st.builds(
    PairReportConfig,
    sample_pairs=st.integers(0, 50),
    examples_per_side=st.integers(0, 4),
    examples_per_rule=st.integers(0, 3),
    duplicate_pairs=st.integers(0, 3),
)


@given(corpora(), CONFIGS)
def test_the_rows_are_those_that_looking_at_every_row_finds(rows: list[Row], config: PairReportConfig) -> None:
    sample, examples = chosen(rows, config)
    assert shown(examples) == expected(rows, config)
    by_id = sorted(rows, key=lambda own: (xxhash.xxh3_64_intdigest(own["id"]), own["source"], own["sequence"]))
    assert [(own["source"], own["sequence"]) for own in sample.to_pylist()] == [
        (own["source"], own["sequence"]) for own in by_id[: config.sample_pairs]
    ]


@given(corpora(), CONFIGS, st.lists(st.integers(0, 40), max_size=5), st.randoms(use_true_random=False))
def test_they_do_not_depend_on_the_parts(
    rows: list[Row], config: PairReportConfig, cuts: list[int], order: Any
) -> None:
    """Parts of any size, in any order, their rows in any order, and gathered with as little memory as may be."""
    whole = facts(chosen(rows, config))
    mixed = order.sample(rows, len(rows))
    borders = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [chosen(mixed[a:b], config) for a, b in pairwise(borders)]
    with patch.object(report_data, "_GATHERED_ROWS", 1):
        assert facts(merge(parts, config)) == whole


def test_a_bound_is_told_with_the_value_and_the_distance() -> None:
    rows = [row(0, "near", "kept", None, {"length_ratio": 1.75}), row(1, "far", "kept", None, {"length_ratio": 1.2}),
            row(2, "over", "dropped", "length_ratio.max", {"length_ratio": 1.9})]  # fmt: skip
    examples = chosen(rows)[1].to_pylist()
    assert [(own["rule"], own["outcome"], own["src_text"], own["value"], own["threshold"]) for own in examples] == [
        ("length_ratio.max", "dropped", "over", 1.9, 1.8),
        ("length_ratio.max", "kept", "near", 1.75, 1.8), ("length_ratio.max", "kept", "far", 1.2, 1.8),
        ("length_ratio.min", "kept", "far", 1.2, 1.0), ("length_ratio.min", "kept", "near", 1.75, 1.0),
    ]  # fmt: skip


def test_long_texts_are_cut_by_characters() -> None:
    [own] = chosen([row(0, "λ𝄞" * 5000, "dropped", "benchmark", {})])[1].to_pylist()
    assert own["src_text"] == "λ𝄞" * (EXCERPT_CHARS // 2)
    assert (own["src_chars"], own["tgt_chars"]) == (10_000, 10_003)


def test_tables_that_are_not_aligned_are_refused() -> None:
    pairs, measures, endings = tables([row(0, "a", "kept", None, {})])
    with pytest.raises(ValueError, match="1 pairs, 0 measures and 1 endings"):
        sample_pairs(pairs, measures.slice(1), endings, BOUNDS, FIRST)


def ledger_rows(count: int, rule: str, outcome: str = "failed") -> list[Row]:
    return [{"record_id": f"x:{number}", "language": "de-en", "outcome": outcome, "stage": "ingest", "rule": rule,
             "record_type": "pair", "warc_file": "x.tmx", "warc_offset": 0, "sequence": number,
             "detail": f"line {number}"} for number in range(count)]  # fmt: skip


def test_units_that_never_became_a_pair_come_from_the_ledger() -> None:
    rows = [*ledger_rows(5, "malformed_xml"), *ledger_rows(1, "blank_line", "skipped"), *ledger_rows(3, "", "kept")]
    ledger = pa.Table.from_pylist(rows, schema=LEDGER)
    examples = sample_ledger(ledger, FIRST)
    assert examples.schema == PAIR_EXAMPLES
    assert [own["rule"] for own in examples.to_pylist()] == ["malformed_xml"] * 2 + ["blank_line"]
    halves = [(PAIR_SAMPLE.empty_table(), sample_ledger(ledger.slice(*cut), FIRST)) for cut in ((4, 9), (0, 4))]
    assert merge(halves, FIRST)[1].equals(examples)
    found = collect(summary(), ("German", "English"), BOUNDS, PAIR_SAMPLE.empty_table(), examples, {}).others
    assert {(own.rule, own.source, own.src) for own in found} == {
        ("malformed_xml", "x.tmx", None), ("blank_line", "x.tmx", None)}  # fmt: skip
    assert all(own.detail == f"line {own.sequence}" for own in found)


def test_what_is_collected() -> None:
    rows = [
        *(row(number, f"t{number}", "kept", None, {"length_ratio": 1.1, "similarity": 0.1}) for number in range(3)),
        row(3, "over", "dropped", "length_ratio.max", {"length_ratio": 1.9, "similarity": math.nan}),
        row(4, "again", "duplicate", "equal_pair", {"length_ratio": 1.3, "similarity": 0.2}),
    ]
    config = PairReportConfig()
    sample, examples = merge([chosen(rows, config)], config)
    assert survivors(examples) == ["id a0"]
    data = collect(summary(), ("German", "English"), BOUNDS, sample, examples, {"id a0": ("ä" * 500, "x")})
    assert data.scores == []  # none was taken
    ratio, similarity = data.measures
    assert (sorted(ratio.kept), ratio.dropped, ratio.minimum, ratio.maximum) == ([1.1] * 3, (1.9,), 1.0, 1.8)
    assert (similarity.name, similarity.dropped) == ("similarity", ())
    assert [own.rule for own in data.near] == ["length_ratio.min", "length_ratio.max", "similarity.max",
                                               "score_laser_cosine.min"]  # fmt: skip
    assert [own.src for own in data.near[1].dropped] == [Excerpt("over", 4)]
    [duplicate] = data.duplicates
    assert (duplicate.stayed, duplicate.stayed_src) == ("id a0", Excerpt("ä" * EXCERPT_CHARS, 500))


# The page


def summary(**changes: object) -> dict[str, Any]:
    plain = {
        "pair": "de-en", "src_lang": "de", "tgt_lang": "en", "records": 1000, "ledger_rows": 1000, "pairs": 700,
        "characters": {"src": 70_000, "tgt": 65_000}, "words": {"src": 12_000, "tgt": 13_000},
        "stages": [stage("ingest", 1000, 990, failed=10), stage("rules", 990, 800, dropped=190),
                   stage("pair", 800, 700, duplicate=100), stage("laser", 700, 700)],
        "reasons": [{"stage": "ingest", "outcome": "failed", "rule": "malformed_xml", "count": 10},
                    {"stage": "rules", "outcome": "dropped", "rule": "length_ratio.max", "count": 190},
                    {"stage": "pair", "outcome": "duplicate", "rule": "equal_pair", "count": 100}],
        "inputs": [{"name": "x.tmx", "format": "tmx", "records": 1000, "kept": 700,
                    "files": [{"url": "/data/x.tmx", "bytes": 2 << 20, "checksum": "blake2b-128:00ff"}]}],
        "rules": {}, "laser": None, "seconds": {"read": 61.5, "output": 0.25}, "records_per_second": 16.2,
        "versions": {"numpy": "2.4.6"}, "config": {"stages": {"laser": None, "pair": {"case": True}}},
        "config_hash": "ab" * 32,
    }  # fmt: skip
    return {**plain, **changes}


KEPT = PairExample("kept", "", "length_ratio.max", "x.tmx", 4, 1.79, 1.8, Excerpt("Guten Tag", 9), Excerpt("Hello", 5))
DROPPED = replace(KEPT, outcome="dropped", stage="rules", sequence=7, value=1.81)
NEAR = NearThreshold("length_ratio.max", "longer by shorter", 1.8, (KEPT,), (DROPPED,))
TWICE = PairExample(
    "duplicate", "pair", "equal_pair", "x.tmx", 9, src=Excerpt("ein Haus", 8), tgt=Excerpt("one house", 9),
    stayed="id7", stayed_src=Excerpt("ein Haus", 8), stayed_tgt=Excerpt("a house", 7),
)  # fmt: skip
BAD = PairExample("failed", "ingest", "malformed_xml", "x.tmx", 11, detail="mismatched tag")
RATIO = MeasureSample("length_ratio", PAIR_MEASURES["length_ratio"].description, (1.0, 1.1, 1.2), (1.9, 2.0), None, 1.8)
LASER = {
    "model_sha256": "cd" * 32,
    "precision": "float16",
    "device": "cuda",
    "min_cosine": 0.4,
    "min_margin": None,
    "k": 4,
}


def report(**changes: Any) -> str:
    plain: dict[str, Any] = {
        "summary": summary(), "names": ("German", "English"), "measures": [RATIO], "near": [NEAR], "scores": [],
        "bounds": {"length_ratio": Bounds(max=1.8), "similarity": Bounds(max=0.9)}, "duplicates": [TWICE],
        "others": [BAD],
    }  # fmt: skip
    return render_pair_report(PairReportData(**{**plain, **changes}))


def words(source: str) -> str:
    """Return the text of a page, with a space between cells."""
    check_page(source)
    return " ".join(Page(re.sub("</t[hd]>|<span", r" \g<0>", source)).text.split())


def test_the_page_says_what_came_out() -> None:
    source = report()
    text = words(source)
    for sentence in (
        "German and English (de-en) parallel corpus report",
        "700 of 1,000 pairs (70%) in German and English are kept.",
        "The largest loss is 190 pairs at rules, most often for length_ratio.max (190).",
        "numpy 2.4.6",
        "x.tmx tmx 2 MiB 1,000 700 70%",
        "length_ratio.max rules dropped 1.8",
        "190 19.2%",  # of the 990 that entered
        "Nothing was taken by similarity.max (0.9)",
        "length_ratio.max: threshold 1.8, 190 dropped",
        "value 1.79, below the threshold 1.8; x.tmx, sequence 4",
        "value 1.81, above the threshold 1.8; x.tmx, sequence 7",
        "pair 100 12.5%",
        "mismatched tag; x.tmx, sequence 11",
        "stages.pair.case true",
        "stages.laser null",
        "1 min 01 s",
    ):
        assert sentence in text.replace("\u00a0", " "), sentence
    assert "kept: 3 pairs, median 1.1" in source
    assert source.index("<code>length_ratio.max</code></th>") < source.index("<code>equal_pair</code></th>")


def test_kept_and_dropped_stand_side_by_side_in_two_columns() -> None:
    source = report()
    tags = [attributes.get("class") for _, attributes in Page(source).tags if attributes.get("class")]
    near = source[source.index('id="near"') : source.index('id="duplicates"')]
    assert near.index('<div class="sides">') < near.index('<div class="kept">') < near.index('<div class="dropped">')
    assert near.count('<div class="couple">') == 2
    assert "multiples" in tags


def test_words_that_differ_in_duplicates_are_marked() -> None:
    source = report()
    assert ("<mark>one</mark>" in source, "<mark>a</mark>" in source) == (True, True)
    assert "id id7" in source


def test_a_pair_that_stayed_and_was_not_found_is_said_to_be() -> None:
    text = words(report(duplicates=[replace(TWICE, stayed_src=None, stayed_tgt=None)]))
    assert "The text of the pair that stayed, id7, is not at hand." in text


def test_without_laser_the_page_says_so() -> None:
    text = words(report())
    assert "LASER was off: no pair was compared by embeddings." in text
    assert "LASER was off: there is no cosine and no margin." in text
    assert "laser off" in text
    assert "How LASER was taken" not in text


def test_with_laser_its_settings_and_scores_are_shown() -> None:
    cosine = MeasureSample("score_laser_cosine", "cosine; of the two", (0.8, 0.9), (0.2, 0.3), 0.4, None)
    source = report(summary=summary(laser=LASER), scores=[cosine])
    text = words(source)
    assert "LASER was off" not in text
    assert "float16" in text
    assert "score_laser_cosine: kept 2 pairs, median 0.85; dropped 2 pairs, median 0.25; min 0.4" in source


def test_hostile_text_is_shown_and_never_runs() -> None:
    text = Excerpt(HOSTILE, len(HOSTILE))
    example = PairExample(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, 1.0, 2.0, text, text, HOSTILE)
    facts = summary(
        pair=HOSTILE, src_lang=HOSTILE, tgt_lang=HOSTILE, config={HOSTILE: {HOSTILE: HOSTILE}}, config_hash=HOSTILE,
        stages=[stage(HOSTILE, 10, 5, dropped=5, duplicate=1)], versions={HOSTILE: HOSTILE}, seconds={HOSTILE: 1.0},
        reasons=[{"stage": HOSTILE, "outcome": HOSTILE, "rule": HOSTILE, "count": 5}], laser={HOSTILE: HOSTILE},
        inputs=[{"name": HOSTILE, "format": HOSTILE, "records": 1, "kept": 1,
                 "files": [{"url": HOSTILE, "bytes": 1, "checksum": HOSTILE}]}],
    )  # fmt: skip
    page = check_page(
        report(
            summary=facts,
            names=(HOSTILE, HOSTILE),
            scores=[MeasureSample(HOSTILE, HOSTILE, (1.0, 2.0), (3.0,), 1.5, None)],
            near=[NearThreshold(HOSTILE, HOSTILE, 1.0, (example,), (example,))],
            duplicates=[replace(example, stayed=HOSTILE, stayed_src=text, stayed_tgt=Excerpt("other", 5))],
            others=[example],
        )
    )
    assert page.text.count("<script>alert(1)</script>") > 30
    assert "⟨U+202E⟩gpj.exe⟨U+2066⟩⟨U+0000⟩⟨U+D800⟩&lt;]]>{{ 7 * 7 }}" in page.text


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_makes_a_whole_page(one: str, other: str) -> None:
    texts = {"src": Excerpt(one, len(one)), "tgt": Excerpt(other, len(other) + 7)}
    stayed = {"stayed_src": Excerpt(other, len(other)), "stayed_tgt": Excerpt(one, len(one))}
    check_page(
        report(
            near=[NearThreshold(one, other, 1.0, (replace(KEPT, **texts),), ())],  # type: ignore[arg-type]
            duplicates=[replace(TWICE, **texts, **stayed)],  # type: ignore[arg-type]
            others=[replace(BAD, detail=one, source=other)],
        )
    )


def test_each_text_has_a_direction_of_its_own() -> None:
    texts = {"src": Excerpt("Hello", 5), "tgt": Excerpt("یہ اردو ہے", 10)}
    source = report(
        summary=summary(pair="en-ur", src_lang="en", tgt_lang="ur"),
        near=[NearThreshold("length_ratio.max", "x", 1.8, (replace(KEPT, **texts),), ())],  # type: ignore[arg-type]
        duplicates=[],
    )
    sides = [attributes for tag, attributes in Page(source).tags if attributes.get("class") == "text"]
    assert sides == [{"class": "text", "dir": "auto", "lang": "en"}, {"class": "text", "dir": "auto", "lang": "ur"}]
    assert "یہ اردو ہے" in source


def test_cut_texts_say_what_is_missing() -> None:
    cut = replace(KEPT, src=Excerpt("λ" * 400, 12_400))
    assert "[12,000 more characters]" in report(near=[replace(NEAR, kept=(cut,))])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pairs": 0}, "The corpus is empty. Read the pairs next to the thresholds"),
        ({"pairs": 0, "records": 0, "stages": [], "reasons": [], "inputs": [], "seconds": {}, "versions": {},
          "config": {}, "ledger_rows": 0}, "The inputs hold no pairs. Check under Run"),
    ],
)  # fmt: skip
def test_an_empty_corpus_says_what_to_do(changes: dict[str, object], sentence: str) -> None:
    empty = {"characters": {"src": 0, "tgt": 0}, "words": {"src": 0, "tgt": 0}, "records_per_second": 0.0}
    config = PairReportConfig()
    sample, examples = merge([], config)
    data = collect(summary(**empty, **changes), ("German", "English"), BOUNDS, sample, examples, {})
    text = words(render_pair_report(data))
    assert sentence in text
    assert "There are no pairs to show" in text
    assert "There are no duplicates to show" in text
    assert text.count("There are no values to draw; the funnel shows where the pairs ended.") == 2


def test_rules_that_dropped_nothing_are_put_together() -> None:
    quiet = [NearThreshold(f"quiet{number}.max", "x", 1.0, (KEPT,), ()) for number in range(3)]
    text = words(report(near=[*quiet, NEAR]))
    assert text.index("length_ratio.max: threshold 1.8") < text.index("Rules that dropped nothing: 3")
    assert text.index("Rules that dropped nothing: 3") < text.index("quiet0.max: threshold 1, 0 dropped")


def test_many_inputs_are_cut_and_said_to_be() -> None:
    item = summary()["inputs"][0]
    source = report(summary=summary(inputs=[{**item, "name": f"{number}.tmx"} for number in range(1500)]))
    assert source.count("The first 200 of 1,500") == 2
    assert "200.tmx" not in source


def test_the_page_is_declared_safe_and_the_same_data_gives_the_same_page() -> None:
    source = report()
    assert source == report()
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in source
    page = Page(source)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    drawings = [attributes for tag, attributes in page.tags if tag == "svg" and "aria-hidden" not in attributes]
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)


def pair_side(code: str) -> PairSide:
    known = next(language for language in load_languages().languages if language.code == code)
    return PairSide(code, known.segmentation, known.scripts)


def test_a_page_of_a_real_corpus(data_folder: Path) -> None:
    """From a zip of OPUS to the page, the rules being those of the pair."""
    path = data_folder / "opus" / "en-fr.txt.zip"
    if not path.is_file():
        pytest.skip(f"no corpus at {path}")
    pairs = [unit for unit in read_all(path, "en-fr") if isinstance(unit, Pair)]
    sides = pair_side("en"), pair_side("fr")
    columns = PairMeasurer(*sides).measure([pair.src_text for pair in pairs], [pair.tgt_text for pair in pairs])
    columns |= {name: np.full(len(pairs), math.nan) for name in SCORE_COLUMNS}
    columns["score_rules"] = pair_scores(columns)
    rules = {**PairRulesConfig().for_pair(*sides), "score_rules": Bounds(min=0.5)}
    broken, names = decide_columns(columns, rules, len(pairs))
    rows = [
        {"id": str(number), "src_lang": "en", "tgt_lang": "fr", "src_text": pair.src_text, "tgt_text": pair.tgt_text,
         "source": pair.source, "sequence": pair.sequence, "outcome": "kept" if rule < 0 else "dropped",
         "stage": None if rule < 0 else "rules", "rule": None if rule < 0 else names[rule]}
        for number, (pair, rule) in enumerate(zip(pairs, broken, strict=True))
    ]  # fmt: skip
    made = tables(rows)
    config = PairReportConfig()
    sample, examples = merge([sample_pairs(made[0], pa.table(columns), made[2], rules, config)], config)
    data = collect(summary(), ("English", "French"), rules, sample, examples, {})
    kept, dropped = int((broken < 0).sum()), int((broken >= 0).sum())
    assert kept > 10
    assert dropped > 3
    [score] = data.scores
    assert (len(score.kept), len(score.dropped)) == (kept, dropped)
    assert all(value >= 0.5 for value in score.kept)
    for own in data.near:
        sides_of_it = [
            own.value >= own.threshold if near.rule.endswith(".min") else own.value <= own.threshold
            for near in data.near
            for own in near.kept
            if own.value is not None and own.threshold is not None
        ]
        assert all(sides_of_it)
    check_page(render_pair_report(data))
