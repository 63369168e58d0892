"""A run whose mixture changes between two of its stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import UserError
from pretrain.data.data import StageBatches
from tests.mixing.stream.real_tokens import make_mixture, write_tokens


def test_slices_of_the_mixture_before_are_known_where_it_is_named(tmp_path: Path) -> None:
    """Else their documents would be drawn again, which is refused."""
    lengths = [20, 5] * 60
    write_tokens(tmp_path / "tokens", "el", [lengths], words=lengths)
    long = {"share": 1, "sources": [{"name": "el", "where": {"words": {"min": 10}}}]}
    make_mixture(tmp_path, first={"tokens": 400, "categories": {"a": long}})
    before, after = tmp_path / "mixtures" / "before", tmp_path / "mixtures" / "m"
    after.rename(before)
    with StageBatches(before, "first", 4, 2) as batches:
        state = list(batches)[-1].state
    make_mixture(tmp_path, second={"tokens": 200, "categories": {"a": {"share": 1, "sources": ["el"]}}})
    with pytest.raises(UserError, match="were drawn from the slice"):
        StageBatches(after, "second", 4, 2, state=state)
    with StageBatches(after, "second", 4, 2, state=state, earlier=[before]) as batches:
        steps = list(batches)
    assert steps[0].stage_tokens == steps[0].source_tokens["el"] > 0
    assert steps[-1].stage_tokens >= 200
