"""What evaluations say: bits per byte by language, what changed since the first one, and when to warn."""

from __future__ import annotations

import json
import math

import pytest

from configs.errors import UserError
from pretrain.evaluate.evaluation import Evaluation, SourceLoss, change_table, compare, warnings
from pretrain.run.run_config import EvaluationConfig

CONFIG = EvaluationConfig(forgetting=("en", "zh"), max_forgetting=0.02)


def source(name: str, language: str, bits: float | None, octets: int = 1000, tokens: int = 400) -> SourceLoss:
    """Return a source with so many bits per byte."""
    nll = None if bits is None else bits * math.log(2) * octets
    return SourceLoss(source=name, category="all", language=language, tokens=tokens, bytes=octets, nll=nll)


def evaluation(step: int, *sources: SourceLoss) -> Evaluation:
    return Evaluation(step=step, sources=sources)


FIRST = evaluation(
    0, source("el", "el", 2.0), source("el-news", "el", 1.0, 3000), source("kk", "kk", 3.0), source("en", "en", 0.8)
)


def test_languages_are_sums_of_their_sources() -> None:
    greek = FIRST.languages()[0]
    assert (greek.language, greek.tokens, greek.bytes) == ("el", 800, 4000)
    assert greek.bits_per_byte == pytest.approx((2.0 * 1000 + 1.0 * 3000) / 4000)
    assert greek.loss == pytest.approx((2.0 * 1000 + 1.0 * 3000) * math.log(2) / 800)
    broken = evaluation(0, source("el", "el", None), source("el-news", "el", 1.0))
    assert broken.languages()[0].bits_per_byte is None


def test_adaptation_and_forgetting_are_told_apart() -> None:
    now = evaluation(
        100,
        source("el", "el", 1.6),
        source("el-news", "el", 0.8, 3000),
        source("kk", "kk", 3.3),
        source("en", "en", 0.82),
    )
    changes = compare(now, FIRST, CONFIG.forgetting)
    assert [(own.language, own.kind) for own in changes] == [
        ("el", "adaptation"), ("kk", "adaptation"), ("en", "forgetting"), ("zh", "forgetting"),
    ]  # fmt: skip
    assert changes[0].change == pytest.approx(1.0 / 1.25 - 1)
    assert changes[1].change == pytest.approx(0.1)
    assert changes[2].change == pytest.approx(0.025)
    assert changes[3].change is None
    assert warnings(changes, CONFIG) == (
        "forgetting: en rose from 0.8000 to 0.8200 bits per byte, +2.5%; max_forgetting is 2.0%: mix in more of it, or "
        "lower the learning rate",
    )
    for limit in (0.026, None):
        assert not warnings(changes, CONFIG.model_copy(update={"max_forgetting": limit}))
    assert not warnings(compare(FIRST, FIRST, CONFIG.forgetting), CONFIG)
    lines = change_table(changes).splitlines()
    assert lines[1].split() == ["adaptation", "el", "1.2500", "1.0000", "-20.00%"]
    assert lines[3].split() == ["forgetting", "en", "0.8000", "0.8200", "+2.50%"]
    assert lines[4].split() == ["forgetting", "zh", "-", "-", "-", "no", "held-out", "texts"]


def test_what_cannot_be_compared_is_said() -> None:
    now = evaluation(
        9, source("el", "el", 1.6), source("kk", "kk", 2.9, 900, 380), source("en", "en", None), source("tr", "tr", 1.0)
    )
    changes = compare(now, FIRST, CONFIG.forgetting)
    assert {own.language: own.same for own in changes} == {
        "el": False, "kk": False, "tr": False, "en": True, "zh": False,
    }  # fmt: skip
    assert warnings(changes, CONFIG) == ("forgetting: the held-out loss of en is not finite any more",)
    table = change_table(changes)
    assert "on other tokens than at step 0" in table
    assert table.splitlines()[3].split()[:4] == ["adaptation", "tr", "-", "1.0000"]


def test_json_holds_what_follows_and_gives_back_the_same() -> None:
    text = json.dumps(FIRST.to_json())
    data = json.loads(text)
    assert data["sources"][0]["bits_per_byte"] == pytest.approx(2.0)
    assert data["languages"][0]["bits_per_byte"] == pytest.approx(1.25)
    assert Evaluation.from_json(data, "evaluations.jsonl") == FIRST
    assert Evaluation.from_json(FIRST.model_dump(mode="json"), "run.json") == FIRST
    for wrong in ({}, {**data, "sources": None}, {**data, "sources": [3]}, {**data, "sources": [{"nll": "x"}]}):
        with pytest.raises(UserError, match=r"^evaluations\.jsonl: "):
            Evaluation.from_json(wrong, "evaluations.jsonl")
