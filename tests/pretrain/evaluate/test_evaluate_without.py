"""Languages that are trained on, and of which no texts are held out: a small corpus may have none."""

from __future__ import annotations

import json
import math
from pathlib import Path

from torch import Tensor

from pretrain.data.micro_batch import MicroBatch
from pretrain.evaluate.evaluate import Evaluator
from pretrain.evaluate.evaluation import change_table, compare
from pretrain.model.loss import IGNORED
from tests.pretrain.evaluate.text_mixture import write_text_mixture


def uniform(micro: MicroBatch) -> Tensor:
    """Return the losses of a model that knows nothing."""
    return (micro.targets != IGNORED).double() * math.log(300)


def test_they_are_named(tmp_path: Path) -> None:
    """Else a table that is all good news would look as if it were of all languages."""
    mixture = write_text_mixture(tmp_path)
    before = Evaluator(mixture, 48).run(uniform, 0)
    file = mixture / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["validation"] = [own for own in manifest["validation"] if own["source"] == "en"]
    file.write_text(json.dumps(manifest))
    found = Evaluator(mixture, 48).run(uniform, 0)
    assert [own.source for own in found.sources] == ["en", "el", "el-news"]
    assert found.sources[0] in before.sources
    assert [(own.tokens, own.bits_per_byte, own.category) for own in found.sources[1:]] == [(0, None, "low")] * 2
    lines = change_table(compare(found, found, ["en"])).splitlines()
    assert lines[1].split() == ["adaptation", "el", "-", "-", "-", "no", "held-out", "texts"]
