"""Held-out texts of sources that a run does not draw from: measured as those of any other source."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from torch import Tensor

from configs.load import validate_config
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from pretrain.data.micro_batch import MicroBatch
from pretrain.evaluate.evaluate import Evaluator
from pretrain.evaluate.evaluation import Evaluation, change_table, compare
from pretrain.model.loss import IGNORED
from pretrain.run.journal import held_out_scalars
from tests.pretrain.evaluate.text_mixture import write_text_mixture


def uniform(micro: MicroBatch) -> Tensor:
    """Return the losses of a model that knows nothing."""
    return (micro.targets != IGNORED).double() * math.log(300)


def measure(folder: Path, drawn: list[str], validation: list[str] | None) -> Evaluation:
    """Return what is measured of a mixture that draws from some sources of `TEXTS`."""
    stage = {
        "name": "only",
        "tokens": 60,
        "learning_rate": {"schedule": "constant", "peak": 1e-5},
        "categories": {"drawn": {"share": 1, "sources": drawn}},
    }
    data = {"name": "own", "sequence_length": 32, "max_epochs": None, "stages": [stage], "validation": validation}
    write_mixture(validate_config(data, MixtureConfig, "m"), folder / "tokens", folder / "mixtures")
    found = Evaluator(folder / "mixtures" / "own", 48).run(uniform, 0)
    assert Evaluation.from_json(found.to_json(), "evaluations.jsonl") == found
    return found


def test_they_are_measured_and_have_no_category(tmp_path: Path) -> None:
    every = {own.source: own for own in Evaluator(write_text_mixture(tmp_path), 48).run(uniform, 0).sources}
    found = measure(tmp_path, ["en"], ["e*"])
    assert [(own.source, own.category) for own in found.sources] == [("el", None), ("el-news", None), ("en", "drawn")]
    for own in found.sources:
        told = every[own.source]
        assert (own.tokens, own.bytes) == (told.tokens, told.bytes)
        assert own.nll == pytest.approx(told.nll)
    scalars = held_out_scalars(found, compare(found, found, ["en"]))
    assert scalars["source_bits_per_byte"] == {own.source: own.bits_per_byte for own in found.sources}


def test_variants_of_a_corpus_are_measured_on_the_same_texts(tmp_path: Path) -> None:
    """Whichever of the two Greek sources is trained on, the loss of Greek is that on the texts of `el`."""
    write_text_mixture(tmp_path)
    first, second = (measure(tmp_path, [drawn, "en"], ["el", "en"]) for drawn in ("el", "el-news"))
    assert first.languages() == second.languages()
    assert [own.bits_per_byte is not None for own in first.languages()] == [True, True]
    assert [(own.source, own.category, own.tokens) for own in second.sources[2:]] == [("el-news", "drawn", 0)]
    lines = change_table(compare(second, first, ["en"])).splitlines()
    assert lines[1].split()[-1] == "+0.00%"  # the same tokens as of the other run: nothing is noted after it
    apart = [measure(tmp_path, [drawn], None).languages() for drawn in ("el", "el-news")]
    assert apart[0] != apart[1]
