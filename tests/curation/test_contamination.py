"""Questions of benchmarks planted in documents are found, in any dress; other documents are left alone."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import UserError
from curation.contamination import BenchmarkFilter, load_benchmarks
from dedup.decontaminate import ContaminationConfig
from filters.words import Segmentation

QUESTION = "Which of the following planets has the longest day: Mercury, Venus, Earth's twin, or far-away Neptune?"
PROSE = "The garden was quiet that morning, and nobody had opened the shutters of the old house by the river yet. "


def judge_with(folder: Path, items: list[str], **settings: object) -> BenchmarkFilter:
    path = folder / "planets.jsonl"
    path.write_text("".join(json.dumps({"question": item, "id": n}) + "\n" for n, item in enumerate(items)))
    config = ContaminationConfig.model_validate({"benchmarks": (str(path),), **settings})
    return BenchmarkFilter(load_benchmarks(config), config)


DRESSES: list[Callable[[str], str]] = [
    str.upper,
    str.title,
    lambda text: text.replace(" ", "\n   "),
    lambda text: text.replace("'", "’").replace("-", " ").replace(",", ";"),
    lambda text: "".join(c for c in text if c.isalnum() or c in " '-"),
    lambda text: unicodedata.normalize("NFD", text),
]


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("question", [QUESTION, "Ποια από τις παρακάτω πόλεις είναι η μεγαλύτερη της Ελλάδας σήμερα;"])
def test_a_planted_question_is_found(tmp_path: Path, dress: Callable[[str], str], question: str) -> None:
    own = judge_with(tmp_path, ["Something else that is long enough to be a question of its own.", question])
    verdict = own.judge(PROSE * 5 + dress(question) + "\n" + PROSE * 5, "en", "spaces")
    assert verdict is not None
    assert (verdict.rule, verdict.value, verdict.threshold) == ("contaminated", 1.0, 0.8)
    assert verdict.detail == "planets.jsonl:2"


def test_turkish_capitals(tmp_path: Path) -> None:
    item = "Işık hızı saniyede kaç kilometredir ve bunu ilk kim ölçmüştür acaba"
    capitals = item.replace("i", "İ").replace("ı", "I").upper()
    assert judge_with(tmp_path, [item]).judge(capitals, "tr", "spaces") is not None


def test_the_share_decides(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(20)]
    for present, found in ((16, True), (15, False)):
        text = PROSE + " ".join(words[:present]) + ". " + PROSE
        assert (judge_with(tmp_path, [" ".join(words)]).judge(text, "en", "spaces") is not None) == found
    assert (
        judge_with(tmp_path, [" ".join(words)], min_share=0.5).judge(" ".join(words[:10]), "en", "spaces") is not None
    )


@pytest.mark.parametrize("text", ["", PROSE * 50, QUESTION[:50], "longest day " * 500, "\ud800 \x00 ñ"])
def test_other_documents_are_left_alone(tmp_path: Path, text: str) -> None:
    assert judge_with(tmp_path, [QUESTION]).judge(text, "en", "spaces") is None


CASES: list[tuple[str, str, str, Segmentation, str]] = [
    ("src.eng", "eng", "en", "spaces", "words"),
    ("ref.ell", "ell_monotonic", "el", "spaces", "words"),
    ("ref.arb", "arb", "ar", "spaces", "words"),
    ("ref.tha", "tha", "th", "none", "words"),
    ("ref.zho-CN", "cmn_hans", "zh", "none", "words"),
    ("ref.jpn", "jpn", "ja", "none", "words"),
    ("ref.tha", "tha", "th", "none", "characters"),
    ("ref.zho-CN", "cmn_hans", "zh", "none", "characters"),
    ("ref.jpn", "jpn", "ja", "none", "characters"),
]


@pytest.mark.parametrize(("name", "other", "language", "segmentation", "tokens"), CASES)
def test_a_test_set_in_real_documents(
    data_folder: Path,
    declaration: Callable[[str], str],
    tmp_path: Path,
    name: str,
    other: str,
    language: str,
    segmentation: Segmentation,
    tokens: str,
) -> None:
    path = data_folder / "ntrex" / "NTREX-128" / f"newstest2019-{name}.txt"
    if not path.is_file():
        pytest.skip(f"no test set at {path}")
    lines = path.read_text().splitlines()
    items = [line for line in lines if (len(line.split()) > 9 if segmentation == "spaces" else len(line) > 30)]
    own = judge_with(tmp_path, items, tokens=tokens)
    document = declaration(other)
    assert own.judge(document, language, segmentation) is None
    choose, found, right = random.Random(1), 0, 0
    for number, item in enumerate(items, 1):
        # In the middle of a sentence; between words, where there are spaces.
        at = choose.randrange(1000)
        if segmentation == "spaces":
            at = document.index(" ", at)
            item = f" {item} "
        verdict = own.judge(document[at - 300 : at] + item + document[at : at + 300], language, segmentation)
        found += verdict is not None
        right += verdict is not None and verdict.detail == f"planets.jsonl:{number}"
    assert len(items) > 400
    # Where words are found by dictionary, what stands around an item may change how its ends are split.
    assert found / len(items) > (0.999 if segmentation == "spaces" else 0.99)
    assert right / len(items) > 0.98  # some lines of the test set hold one another


def test_benchmarks_without_an_item_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no item of 8 words or more"):
        judge_with(tmp_path, ["none of the above", "A", ""])


def test_benchmarks_are_read_anew_when_they_change(tmp_path: Path) -> None:
    first = judge_with(tmp_path, [QUESTION])
    assert first.judge(QUESTION, "en", "spaces") is not None
    second = judge_with(tmp_path, [PROSE])
    assert second.judge(QUESTION, "en", "spaces") is None
    assert second.judge(PROSE, "en", "spaces") is not None
