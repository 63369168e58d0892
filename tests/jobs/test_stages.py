"""Every stage of deduplication in one job, each with a page that it alone has to find."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.jobs.conftest import Finished, Job, read_rows

WORDS = [
    "the", "river", "was", "wide", "and", "slow", "when", "they", "came", "down", "from", "hills", "with", "their",
    "horses", "before", "night", "fell", "over", "old", "bridge", "that", "stood", "there", "since", "war", "ended",
]  # fmt: skip
QUESTION = "Which of these metals is a liquid at the temperature of an ordinary room, mercury or bismuth?"
BANNER = "Subscribe to our newsletter and never miss another story about rivers!"


def prose(seed: int, length: int) -> str:
    return " ".join(f"{WORDS[(seed * k * k + 5 * k + seed) % len(WORDS)]} {WORDS[(seed + 3 * k) % 23]}{seed}"
                    for k in range(length))  # fmt: skip


PAGES: dict[str, tuple[str, str]] = {
    "http://a.org/first": (prose(1, 60), "2024-01-01T00:00:00Z"),
    "http://www.a.org/first?utm_source=x": (prose(2, 60), "2024-02-01T00:00:00Z"),
    "http://a.org/equal": (prose(3, 60), ""),
    "http://a.org/equal-too": (prose(3, 60).replace(" ", "  "), ""),
    "http://a.org/near": (prose(4, 60), ""),
    "http://a.org/near-too": (prose(4, 60).replace("bridge", "castle", 1) + " end", ""),
    "http://a.org/question": (f"{prose(5, 60)} {QUESTION.upper()} {prose(6, 10)}", ""),
    "http://a.org/short": ("the mill by the old river bank burned down in the long dry summer", ""),
    "http://a.org/short-too": ("the mill by that old river bank burned down in a long dry summer", ""),
    "http://a.org/line": (f"{prose(7, 40)}\n{BANNER}\n{prose(8, 40)}", ""),
    "http://a.org/line-too": (f"{prose(9, 40)}\n{BANNER}\n{prose(10, 40)}", ""),
    "http://a.org/passage": (f"{prose(11, 60)} {prose(12, 40)}", ""),
    "http://a.org/passage-too": (f"{prose(13, 50)} {prose(12, 40)} {prose(14, 50)}", ""),
    "http://a.org/quote": (f"{prose(15, 6)} {prose(11, 60)}", ""),
}
STAGES: dict[str, object] = {
    "rules": None,
    "url": None,
    "langid": {"min_score": None, "second_look": None},
    "same_url": {},
    "minhash": {"min_similarity": 0.8},
    "semantic": {"encoder": "dedup.hashed_encoder:hashed_encoder", "max_chars": 100, "min_similarity": 0.6},
    "lines": {},
    "substring": {"min_tokens": 40},
}


@pytest.fixture(scope="module")
def job(run_job: Job, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("stages")
    rows = [{"url": url, "text": text, "date": date} for url, (text, date) in PAGES.items()]
    (folder / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "benchmark.txt").write_text(f"{QUESTION}\nAn item that no page of these holds in any form at all.\n")
    stages = {**STAGES, "contamination": {"benchmarks": [str(folder / "benchmark.txt")]}}
    (folder / "all.yaml").write_text(yaml.safe_dump({"stages": stages}))
    done = run_job("en", folder / "pages.jsonl", folder / "out", "--config", str(folder / "all.yaml"))
    assert done.code == 0, done.stderr
    return done


def test_each_stage_finds_its_page_and_says_whose_it_is(job: Finished) -> None:
    rows = {str(row["url"]): row for row in job.ledger("en")}
    urls = {row["document_id"]: url for url, row in rows.items()}
    found = {
        url: (row["stage"], urls.get(row["duplicate_of"])) for url, row in rows.items() if row["outcome"] != "kept"
    }
    pair = {"http://a.org/equal", "http://a.org/equal-too"}
    (equal,) = pair & set(found)
    short = {"http://a.org/short", "http://a.org/short-too"}
    (similar,) = short & set(found)
    assert found == {
        "http://a.org/first": ("same_url", "http://www.a.org/first?utm_source=x"),
        equal: ("exact", (pair - {equal}).pop()),
        "http://a.org/near": ("minhash", "http://a.org/near-too"),
        "http://a.org/question": ("contamination", None),
        similar: ("semantic", (short - {similar}).pop()),
        "http://a.org/quote": ("substring", "http://a.org/passage"),
    }
    question = rows["http://a.org/question"]
    assert (question["outcome"], question["rule"], question["value"]) == ("dropped", "contaminated", 1.0)
    assert question["detail"] == "benchmark.txt:1"
    quote = rows["http://a.org/quote"]
    assert (quote["outcome"], quote["threshold"]) == ("duplicate", 200)
    assert 0.8 < float(str(quote["similarity"])) < 1


def test_what_is_cut_is_cut_from_one_of_two(job: Finished) -> None:
    documents = {str(row["url"]): row for row in job.documents("en")}
    texts = [str(documents[url]["text"]) for url in ("http://a.org/line", "http://a.org/line-too")]
    assert sum(BANNER in text for text in texts) == 1
    for text, (seed, next_seed) in zip(texts, ((7, 8), (9, 10)), strict=True):
        assert prose(seed, 40) in text
        assert prose(next_seed, 40) in text
    longer = documents["http://a.org/passage-too"]
    assert longer["text"] == PAGES["http://a.org/passage-too"][0]
    assert documents["http://a.org/passage"]["text"] == prose(11, 60)
    assert documents["http://a.org/passage"]["removed_chars"] == len(prose(12, 40))
    spans = {(row["url"], row["stage"]): row for row in read_rows(job.out / "en" / "spans")}
    cut = spans["http://a.org/passage", "substring"]
    assert cut["duplicate_of"] == longer["id"]
    assert PAGES["http://a.org/passage"][0][int(str(cut["start"])) : int(str(cut["end"]))] == prose(12, 40)
    assert sum(key[1] == "lines" for key in spans) == 1


def test_the_words_of_the_summary_are_those_that_are_left(job: Finished) -> None:
    texts = [str(row["text"]) for row in job.documents("en")]
    summary = job.summary("en")
    assert summary["characters"] == sum(map(len, texts))
    assert summary["words"] == sum(len(text.split()) for text in texts)
    assert summary["documents_cut"] == 2
    assert summary["removed_chars"] == sum(int(str(row["removed_chars"])) for row in job.documents("en"))
