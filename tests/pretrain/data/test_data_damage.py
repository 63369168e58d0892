"""Damage in token shards that sizes and samples of their bytes do not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.errors import UserError
from pretrain.data.data import StageBatches
from pretrain.evaluate.evaluate import Evaluator
from tests.pretrain.evaluate.text_mixture import write_text_mixture


@pytest.mark.parametrize("token", [300, 65_535])
def test_a_token_that_the_tokenizer_has_not_is_named(
    tmp_path: Path, token: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a GPU looks it up in an embedding that ends there."""
    mixture = write_text_mixture(tmp_path)
    with StageBatches(mixture, "only", 2, 1) as batches:
        assert len(next(batches).micro) == 2
    monkeypatch.setattr("mixing.tokens.token_source.TokenSource.verify", lambda *_: None)  # a byte between the samples
    for path in (tmp_path / "tokens").rglob("*.bin"):
        tokens = np.fromfile(path, np.uint16)
        tokens[:] = token
        tokens.tofile(path)
    told = (
        rf"^a token shard is damaged: it has token {token}, and the tokenizer small has 300; `make mixture CHECK=yes`"
    )
    with StageBatches(mixture, "only", 2, 1) as batches, pytest.raises(UserError, match=told):
        next(batches)
    with pytest.raises(UserError, match=told):
        list(Evaluator(mixture, 48).read())
