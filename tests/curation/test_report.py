"""The report against hostile texts, empty jobs and odd numbers: what a reader sees, and what a browser could run."""

import math
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.charts import LogScale, compact, duration, histogram, number, share, size
from curation.records import STAGES
from curation.report import Example, MeasureSample, ReportData, render_report, visible
from curation.report_pairs import DuplicatePair
from tests.strategies import ANY_TEXT

CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
EXAMPLE = Example("rules", "dropped", "chars.min", "https://a.example/1", 148.0, 200.0, None, "Η Αθήνα")
PAIR = DuplicatePair("minhash", 0.871, "https://a.example/1", "one two three", "https://a.example/2", "one too three")
MEASURE = MeasureSample("chars", "characters", (300.0, 400.0, 900.0), (10.0, 20.0), 200.0, None)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egpj.exe\u2066\x00\ud800&lt;]]>{{ 7 * 7 }}"


def stage(name: str, entered: int, left: int, **lost: int) -> dict[str, object]:
    return {"stage": name, "in": entered, "out": left, "skipped": 0, "dropped": 0, "duplicate": 0, "failed": 0} | lost


def summary(**changes: object) -> dict[str, Any]:
    kept = [stage(name, 50, 50) for name in STAGES[2:]]
    plain = {
        "language": "el", "languages": ["el"], "records": 5000, "ledger_rows": 5000,
        "record_types": {"response": 4000, "request": 1000}, "documents": 50, "characters": 81_000, "words": 12_000,
        "utf8_bytes": 150_000, "seconds": {"ingest": 61.5, "output": 0.25},
        "stages": [stage("ingest", 5000, 4000, skipped=1000), stage("url", 4000, 50, dropped=3949, failed=1), *kept],
        "reasons": [
            {"stage": "url", "outcome": "dropped", "rule": "domain", "count": 3949},
            {"stage": "ingest", "outcome": "skipped", "rule": "record_type", "count": 1000},
            {"stage": "url", "outcome": "failed", "rule": "ValueError", "count": 1},
        ],
        "config": {"stages": {"url": {"soft_words": 2}}}, "config_hash": "ab" * 32,
        "inputs": [{"name": "a.warc.gz", "bytes": 2 << 20, "checksum": "blake2b-128:00ff"}], "versions": {"a": "2"},
    }  # fmt: skip
    return {**plain, **changes}


def report(**changes: Any) -> str:
    plain: dict[str, Any] = {
        "language_name": "Greek",
        "examples": [EXAMPLE],
        "duplicates": [PAIR],
        "measures": [MEASURE],
    }
    facts = changes.pop("summary", summary())
    return render_report(ReportData(summary=facts, **{**plain, **changes}))


class Page(HTMLParser):
    """Elements, attributes and text of a page, and a complaint for each end tag that fits no start tag."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "title"}:
            self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def check_page(source: str) -> Page:
    """A whole page that loads nothing and runs nothing."""
    page = Page(source)
    assert page.open == []
    assert not page.names() & {"script", "img", "iframe", "object", "form", "base", "b"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert all(
            (value or "").startswith(("#", "data:")) for name, value in attributes.items() if name in {"href", "src"}
        )
    assert not re.search(r"url\(|@import|[\x00-\x08\u202a-\u202e\u2066-\u2069]", source)
    source.encode("utf-8")
    return page


def test_the_page_says_what_came_out() -> None:
    source = report()
    page = check_page(source)
    text = " ".join(page.text.split())
    assert "Greek (el) corpus report" in text
    assert "50 of 5,000 records (1%) are kept as documents in Greek." in text
    assert "The largest loss is 3,950 records at url, most often for the rule domain (3,949)." in text
    assert "of which 4,000 response, 1,000 request" in text
    assert "3,949 dropped, 1 failed" in text
    assert "nothing lost" in text
    assert "log scale" in text
    assert "value 148, below the threshold 200" in text
    assert "similarity 0.871" in text
    assert "a.warc.gz2 MiBblake2b-128:00ff" in text
    assert "1 min 01 s" in text
    assert "soft_words: 2" in text
    assert source.index("record_type") < source.index("<code>domain") < source.index("ValueError")


def test_it_is_declared_safe_and_readable() -> None:
    source = report()
    page = Page(source)
    meta = [attributes for tag, attributes in page.tags if tag == "meta"]
    assert {"charset": "utf-8"} in meta
    assert {"http-equiv": "Content-Security-Policy", "content": CSP} in meta
    assert source.index("<meta charset") < 200
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source
    drawings = [attributes for tag, attributes in page.tags if tag == "svg" and "aria-hidden" not in attributes]
    assert len(drawings) == 1 + len(STAGES) + 1
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")


def test_the_same_data_gives_the_same_page() -> None:
    assert report() == report()


def test_hostile_text_is_shown_and_never_runs() -> None:
    facts = summary(
        config={"stages": {HOSTILE: HOSTILE}}, inputs=[{"name": HOSTILE, "bytes": 1, "checksum": HOSTILE}],
        versions={HOSTILE: HOSTILE}, record_types={HOSTILE: 5000}, seconds={HOSTILE: 1.0},
        reasons=[{"stage": HOSTILE, "outcome": "dropped", "rule": HOSTILE, "count": 1}],
        stages=[stage(HOSTILE, 5000, 50, dropped=4950)], languages=[HOSTILE], language=HOSTILE,
    )  # fmt: skip
    source = report(
        summary=facts,
        language_name=HOSTILE,
        examples=[Example(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1.0, 2.0, HOSTILE, HOSTILE)],
        duplicates=[DuplicatePair(HOSTILE, 1.0, HOSTILE, HOSTILE, HOSTILE, "")],
        measures=[MeasureSample(HOSTILE, HOSTILE, (1.0, 2.0), (3.0,), 1.5, None)],
    )
    page = check_page(source)
    assert page.text.count("<script>alert(1)</script>") > 15
    assert "⟨U+202E⟩gpj.exe⟨U+2066⟩⟨U+0000⟩⟨U+D800⟩&lt;]]>{{ 7 * 7 }}" in page.text


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_makes_a_whole_page(one: str, other: str) -> None:
    check_page(
        report(
            examples=[replace(EXAMPLE, url=one, excerpt=other, detail=one)],
            duplicates=[replace(PAIR, dropped_text=one, kept_text=other)],
            measures=[replace(MEASURE, name=one, description=other)],
        )
    )


def test_long_texts_are_cut() -> None:
    long = "λ" * 100_000
    source = report(
        examples=[Example("rules", "dropped", long, long, None, None, long, long)],
        duplicates=[DuplicatePair("exact", 1.0, long, long, long, long + "x")],
        measures=[replace(MEASURE, name=long, description=long)],
    )
    assert len(source) < 60_000
    assert "[98,500 more characters]" in source


def test_right_to_left_text_and_urls_keep_to_themselves() -> None:
    page = Page(report(examples=[replace(EXAMPLE, excerpt="القاهرة هي عاصمة")]))
    assert ("blockquote", {"class": "text", "dir": "auto"}) in page.tags
    assert "bdi" in page.names()
    assert visible("می\u200cخواهم \u200fא") == "می\u200cخواهم \u200fא"


def test_urls_are_no_links() -> None:
    assert 'href="http' not in report(examples=[replace(EXAMPLE, url="http://a.example/")])


def marks(source: str) -> list[str]:
    return re.findall(r"<mark>(.*?)</mark>", source, re.DOTALL)


@pytest.mark.parametrize(
    ("dropped", "kept", "expected"),
    [
        ("one two three", "one too three", ["two", "too"]),
        ("one\n\ntwo", "one two", []),
        ("a " * 5000 + "here end", "a " * 5000 + "there end", ["here", "there"]),
        ("ที่นี่มีสามคน", "ที่นี่มีสี่คน", ["สาม", "สี่"]),
        ("", "new", ["", "new"]),
    ],
)
def test_differing_words_are_marked(dropped: str, kept: str, expected: list[str]) -> None:
    source = report(duplicates=[replace(PAIR, dropped_text=dropped, kept_text=kept)])
    assert marks(source) == expected
    assert ("No word differs" in source) == (not expected)


def test_long_equal_passages_are_left_out() -> None:
    same = " ".join(str(index) for index in range(1000))
    source = report(duplicates=[replace(PAIR, dropped_text=f"{same} x", kept_text=f"{same} y")])
    assert "[960 equal words]" in source


def test_comparing_is_bounded() -> None:
    start = time.monotonic()
    report(duplicates=[replace(PAIR, dropped_text="a b " * 250_000, kept_text="b b a " * 200_000)])
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("value", "threshold", "expected"),
    [
        (0.9000412, 0.9, "value 0.90004, above the threshold 0.9"),
        (math.nan, 0.9, "value not a number, threshold 0.9"),
        (0.97, None, "value 0.97, no threshold"),
        (3.0, 3.0, "value 3, equal to the threshold 3"),
        (math.inf, 1.0, "value infinite, above the threshold 1"),
    ],
)
def test_values_stand_beside_their_thresholds(value: float, threshold: float | None, expected: str) -> None:
    assert expected in report(examples=[replace(EXAMPLE, value=value, threshold=threshold)])


def test_examples_are_grouped_by_stage_and_rule() -> None:
    others = [replace(EXAMPLE, stage="url", rule="domain"), EXAMPLE]
    source = report(examples=[EXAMPLE, *others])
    assert source.count("<details>") == 3
    assert "<code>domain</code>: dropped, 1 of 3,949" in source
    assert "<code>chars.min</code>: dropped, 2</summary>" in source
    assert source.index("<h3>url</h3>") < source.index("<h3>rules</h3>")


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"documents": 0}, ["The corpus is empty.", "loosen its rule", "the inputs hold too little Greek"]),
        ({"records": 0, "documents": 0, "stages": [], "reasons": [], "seconds": {}, "inputs": [], "versions": {},
          "record_types": {}, "config": {}}, ["The inputs hold no records.", "No inputs are recorded", "all defaults"]),
        ({"language": "und", "documents": 0}, ["no target language claimed"]),
    ],
)  # fmt: skip
def test_an_empty_corpus_says_what_to_do(changes: dict[str, object], sentences: list[str]) -> None:
    empty = {"characters": 0, "words": 0, "utf8_bytes": 0}
    page = check_page(report(summary=summary(**empty, **changes), examples=[], duplicates=[], measures=[]))
    for sentence in [*sentences, "There are no examples", "There are no pairs", "There are no distributions"]:
        assert sentence in page.text


def test_records_of_other_languages_are_accounted_for() -> None:
    stages = [stage("ingest", 4000, 3000, dropped=1000), stage("rules", 2500, 2500)]
    text = Page(report(summary=summary(languages=["el", "th"], stages=stages))).text
    assert "1,000 dropped, 1,000 went on in other languages" in text
    assert "500 went on in other languages" in text


def test_many_inputs_are_cut_and_said_to_be() -> None:
    files = [{"name": f"{index}.warc.gz", "bytes": 1, "checksum": "x"} for index in range(1500)]
    source = report(summary=summary(inputs=files))
    assert "The first 200 of 1,500" in source
    assert "200.warc.gz" not in source


def test_nan_in_the_facts_is_named() -> None:
    source = report(summary=summary(seconds={"ingest": math.nan}), duplicates=[replace(PAIR, similarity=math.nan)])
    assert "similarity not a number" in source
    assert "nan" not in Page(source).text.lower().split()


def rectangles(svg: str, group: str) -> list[ElementTree.Element]:
    return [item for item in ElementTree.fromstring(svg).iter("rect") if item.get("class") == group]


def test_a_histogram_is_labelled() -> None:
    chart = histogram("chars", "characters", (300.0, 400.0, 900.0), (10.0, 20.0), 200.0, 5000.0)
    assert chart.svg is not None
    words = [text.text for text in ElementTree.fromstring(chart.svg).iter("text")]
    assert {"characters", "% of the group", "min 200", "max 5,000 →", "dropped: 2 documents, median 15"} <= set(words)
    assert "kept 3 documents, median 400; dropped 2 documents, median 15; min 200; max 5,000" in chart.svg
    assert chart.notes == ()


def test_outliers_are_clipped_and_said_to_be() -> None:
    values = [float(value) for value in range(1000)]
    chart = histogram("chars", "characters", [*values, 1e9], [], None, None)
    assert chart.svg is not None
    assert len(rectangles(chart.svg, "kept")) == 24
    assert chart.notes == ("Clipped at 1,007 (99th percentile or above). Not drawn: 1 larger value, 1,000,000,000.",)


def test_bars_of_whole_numbers_do_not_alternate() -> None:
    chart = histogram("lines", "lines", [float(value) for value in range(100)], [], None, None)
    assert chart.svg is not None
    assert len({bar.get("height") for bar in rectangles(chart.svg, "kept")}) == 1


@pytest.mark.parametrize(
    ("kept", "dropped", "notes"),
    [
        ((), (), ("There are no values to draw; the funnel shows where the documents ended.",)),
        ((0.0, 0.0), (0.0,), ("All 3 values are 0. The most allowed is 0.3.",)),
        ((0.5,), (), ("The only value is 0.5. The most allowed is 0.3.",)),
        ((math.nan, 1.0, math.inf), (1.0,),
         ("2 values are not a number, or beyond 1e15, and left out.", "All 2 values are 1. The most allowed is 0.3.")),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(
    kept: tuple[float, ...], dropped: tuple[float, ...], notes: tuple[str, ...]
) -> None:
    chart = histogram("x", "share", kept, dropped, None, 0.3)
    assert chart.svg is None
    assert chart.notes == notes


VALUES = st.lists(st.one_of(st.floats(), st.floats(0, 1), st.integers(0, 10**6).map(float)), max_size=60)
BOUND = st.none() | st.floats()


@given(VALUES, VALUES, BOUND, BOUND)
def test_any_values_can_be_drawn(
    kept: list[float], dropped: list[float], minimum: float | None, maximum: float | None
) -> None:
    chart = histogram("x", "y", kept, dropped, minimum, maximum)
    assert chart.svg or chart.notes
    if chart.svg:
        for item in ElementTree.fromstring(chart.svg).iter():
            for name in ("x", "x1", "x2"):
                if item.tag != "text":
                    assert 0 <= float(item.get(name, 0)) <= 360
        assert "nan" not in chart.svg


def test_a_logarithmic_axis_keeps_small_counts_visible() -> None:
    scale = LogScale(5_000_000)
    assert scale.percent(5_000_000) == pytest.approx(100)
    assert scale.percent(5) > 10
    assert scale.percent(1) > 0 == scale.percent(0)
    assert scale.ticks() == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    assert LogScale(3 * 10**9).ticks() == [1, 100, 10_000, 1_000_000, 100_000_000]
    assert LogScale(0).ticks() == [1]


def test_numbers_are_written_for_readers() -> None:
    assert [number(value) for value in (None, 0.0, 1234567.0, 0.123456, 12.5, 1e-9, math.nan)] == [
        "–", "0", "1,234,567", "0.1235", "12.5", "1.000e-09", "not a number"]  # fmt: skip
    assert [compact(value) for value in (0.05, 900, 20_000, 1_500_000, 3e9)] == ["0.05", "900", "20k", "1.5M", "3B"]
    assert [share(part, 10_000) for part in (0, 0.5, 5, 123, 9_999, 10_000)] == [
        "0%", "<0.01%", "0.05%", "1.2%", ">99.9%", "100%"]  # fmt: skip
    assert share(1, 0) == "–"
    assert [size(count) for count in (0, 1023, 2048, 5 << 40)] == ["0 bytes", "1,023 bytes", "2 KiB", "5 TiB"]
    assert [duration(value) for value in (0.4, 59, 61.5, 7325)] == ["0.4 s", "59 s", "1 min 01 s", "2 h 02 min"]
