"""The extractor process: good pages, hostile pages, and what becomes of the page after a hostile one."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from curation.decode import decode_page
from curation.extract import ExtractConfig, ExtractorProcess
from curation.http import IngestConfig
from curation.warc import WarcReader

SENTENCES = [
    "The market in the old town opens early, and farmers bring what they grew.",
    "Nobody expected the bridge to be finished before the winter came.",
    "Her grandmother had kept the letters in a box under the stairs.",
    "When the ferry was late, the passengers played cards on their suitcases.",
]
GOOD = (
    "<html><head><title>News</title></head><body><nav><a href=/>Home</a> <a href=/x>About us</a></nav><article>"
    + "".join(f"<h2>Part {k}</h2><p>{sentence} {k} years passed.</p>" for k, sentence in enumerate(SENTENCES))
    + "</article><footer>Copyright and cookies</footer></body></html>"
)
HOSTILE = '<a href="' * 200_000 + "<p>" * 300_000
# The limit counts whole seconds of the process's life, so a page may get one more; then there are two extractors.
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def extractor() -> Iterator[ExtractorProcess]:
    with ExtractorProcess(ExtractConfig(cpu_s=1)) as process:
        yield process


def child() -> psutil.Process:
    """The newest extractor of this process: the one that was started last."""
    found = [process for process in psutil.Process().children() if "curation.extract_child" in process.cmdline()]
    return max(found, key=lambda process: process.create_time())


def assert_works(extractor: ExtractorProcess) -> None:
    result = extractor.extract(GOOD)
    assert all(sentence in result.text for sentence in SENTENCES)
    assert "cookies" not in result.text
    assert (result.extractor, result.error) == ("trafilatura", None)


def test_a_good_page_gives_its_main_text(extractor: ExtractorProcess) -> None:
    assert_works(extractor)


@pytest.mark.parametrize("mode", ["precision", "balanced", "recall", "fast"])
def test_every_mode_works(mode: str) -> None:
    with ExtractorProcess(ExtractConfig.model_validate({"mode": mode})) as process:
        assert_works(process)


def test_the_extractors_can_be_chosen() -> None:
    with ExtractorProcess(ExtractConfig(extractor="resiliparse", fallback=None)) as process:
        result = process.extract(GOOD)
    assert result.extractor == "resiliparse"
    assert all(sentence in result.text for sentence in SENTENCES)


def test_the_fallback_finds_what_the_first_does_not(extractor: ExtractorProcess) -> None:
    short = "just some words"
    with ExtractorProcess(ExtractConfig(fallback=None)) as alone:
        assert alone.extract(short).text == ""
    assert (extractor.extract(short).text, extractor.extract(short).extractor) == (short, "resiliparse")


@pytest.mark.parametrize("page", ["", " \n ", "<html></html>", "<!-- nothing -->", "\0" * 1000, "<script>x()</script>"])
def test_an_empty_page_has_no_text_and_no_error(page: str, extractor: ExtractorProcess) -> None:
    result = extractor.extract(page)
    assert (result.text.strip(), result.error) == ("", None)
    assert_works(extractor)


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 5_000 + GOOD + "</div>" * 5_000,
        "<table><tr><td>" * 5_000 + SENTENCES[0],
        "<p " + "a=b " * 300_000 + ">" + GOOD,
        "&lt;" * 300_000,
        "<!--" * 300_000,
        "\ud800" + GOOD,
        '<?xml version="1.0" encoding="utf-16"?>' + GOOD,
        "".join(map(chr, range(1, 60_000))),
    ],
    ids=["nested", "tables", "attributes", "entities", "comments", "surrogate", "declaration", "everything"],
)
def test_odd_pages_do_not_disturb(page: str, extractor: ExtractorProcess) -> None:
    start = time.monotonic()
    result = extractor.extract(page)
    assert time.monotonic() - start < PATIENCE_S
    result.text.encode()
    assert_works(extractor)


def test_deep_nesting_does_not_hide_the_text(extractor: ExtractorProcess) -> None:
    result = extractor.extract("<div>" * 5_000 + GOOD + "</div>" * 5_000)
    assert all(sentence in result.text for sentence in SENTENCES)


def test_a_page_over_its_budget_is_given_up_in_time(extractor: ExtractorProcess) -> None:
    start = time.monotonic()
    result = extractor.extract(HOSTILE)
    assert time.monotonic() - start < PATIENCE_S
    assert "trafilatura: TimeoutError" in (result.error or "")
    assert_works(extractor)


def test_a_page_over_the_memory_is_given_up() -> None:
    with ExtractorProcess(ExtractConfig(memory_bytes=256 << 20, cpu_s=5)) as process:
        result = process.extract("<p>word</p>" * 2_000_000)
        assert (result.text, result.error is None) == ("", False)
        assert_works(process)


def test_a_process_that_was_killed_while_idle_is_replaced() -> None:
    """And the next page has the text that it has in any case: by the extractor of choice, without an error."""
    with ExtractorProcess(ExtractConfig()) as process:
        assert_works(process)
        for number in (signal.SIGKILL, signal.SIGTERM):
            before = child()
            os.kill(before.pid, number)
            before.wait(timeout=10)
            assert_works(process)
            assert child().pid != before.pid


def test_a_process_that_sleeps_is_given_up() -> None:
    with ExtractorProcess(ExtractConfig(cpu_s=1, fallback=None)) as process:
        assert_works(process)
        os.kill(child().pid, signal.SIGSTOP)
        start = time.monotonic()
        result = process.extract(GOOD)
        assert time.monotonic() - start < PATIENCE_S
        assert "TimeoutError: asleep" in (result.error or "")
        assert_works(process)


def test_closing_ends_the_process_and_another_page_starts_one() -> None:
    process = ExtractorProcess(ExtractConfig())
    process.close()
    assert_works(process)
    pid = child().pid
    process.close()
    assert not psutil.pid_exists(pid)
    assert_works(process)
    process.close()
    process.close()


def test_what_an_extractor_prints_does_not_break_the_protocol(extractor: ExtractorProcess) -> None:
    """Pages that make the libraries warn; and the answers still belong to their pages."""
    pages = [GOOD.replace("News", f"News {k}").replace("years", f"years-{k}") for k in range(20)]
    for k, page in enumerate(["<html", "]]>", *pages]):
        result = extractor.extract(page)
        assert (f"years-{k - 2} " in result.text) == (k >= 2)


def test_the_order_of_pages_does_not_matter(data_folder: Path) -> None:
    """Each page has the same text in any order, repeated, and in a process of its own."""
    index = data_folder / "web" / "index.jsonl"
    if not index.is_file():
        pytest.skip(f"no index of web pages in {data_folder}")
    file = json.loads(index.read_text(encoding="utf-8").split("\n", 1)[0])["warc"]
    with (data_folder / "web" / "warc" / file).open("rb") as stream:
        bodies = [(r.body, r.charset) for r in WarcReader(stream, file, IngestConfig()) if r.body is not None]
    pages = [decode_page(body, charset).text for body, charset in bodies if len(body) < 50_000][:25]
    pages += [GOOD, GOOD.replace("Part", "Chapter")]
    with ExtractorProcess(ExtractConfig()) as first:
        expected = {page: first.extract(page) for page in pages}
    shuffled = pages * 2
    random.Random(4).shuffle(shuffled)
    with ExtractorProcess(ExtractConfig()) as second:
        changed = [page[:80] for page in shuffled if second.extract(page) != expected[page]]
    assert changed == []
    assert len({result.text for result in expected.values()}) > 15
