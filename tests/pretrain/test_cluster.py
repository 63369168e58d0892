"""A run on two workers of Ray: the same as on one process, and started again from its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import UserError
from configs.load import validate_config
from pretrain.cluster import train_on_cluster
from pretrain.run.run_setup import RunOptions
from tests.pretrain.small_runs import finish, small_run, steps_of, write_mixture

pytestmark = pytest.mark.slow


def test_two_workers_of_ray_train_as_one_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are those of the process that starts the workers, which have folders of their own."""
    write_mixture(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = small_run(Path("mixtures/m"), stages=["first"])
    options = validate_config({"runs": "ray"}, RunOptions, "the options")
    train_on_cluster(run, options, workers=2, gpus=False, retries=0)
    alone = steps_of(finish(run, tmp_path / "alone"))
    together = steps_of(tmp_path / "ray" / "small")
    assert [row["shares"] for row in together] == [row["shares"] for row in alone]
    for own, other in zip(together, alone, strict=True):
        assert own["loss"] == pytest.approx(other["loss"], rel=1e-4)
    with pytest.raises(UserError, match="asks for 4000"):
        train_on_cluster(run, options, workers=4000, gpus=False, retries=0)


def test_a_mistake_is_one_line_and_not_made_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = small_run(write_mixture(tmp_path), stages=["first", "third"])
    options = validate_config({"runs": str(tmp_path / "ray")}, RunOptions, "the options")
    with pytest.raises(UserError, match="has no stage 'third'; it has: first, second"):
        train_on_cluster(run, options, workers=1, gpus=False, retries=3)
    assert "workers were lost" not in capfd.readouterr().err
