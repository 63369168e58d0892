"""Logs of a run: what a killed run left of later steps goes, half-written lines are no rows, all numbers are JSON."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.errors import UserError
from pretrain.evaluate.evaluation import Evaluation, SourceLoss, compare
from pretrain.run.journal import EVALUATIONS_FILE, LOG_FILE, Evaluations, Journal, read_rows


def write(folder: Path, after_step: int, steps: range, loss: float = 1.0) -> None:
    journal = Journal(folder, after_step, writes=True)
    for step in steps:
        journal.step(
            {"step": step, "loss": loss * step, "stage": "one", "shares": {"el": 0.25, "en": 0.75}, "mfu": None}
        )
    journal.close()


def losses(folder: Path, after_step: int) -> list[float]:
    """The last three, of a run that goes on."""
    journal = Journal(folder, after_step, writes=True)
    journal.close()
    return journal.history.recent_losses(3)


def test_a_log_goes_on_after_the_step_that_the_run_goes_on_after(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 8))
    write(tmp_path, 4, range(5, 7), loss=2.0)
    assert [(row["step"], row["loss"]) for row in read_rows(tmp_path / LOG_FILE)] == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 10.0), (6, 12.0),
    ]  # fmt: skip


def test_a_run_that_begins_anew_has_an_empty_log(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 8))
    write(tmp_path, 0, range(1, 2))
    assert [row["step"] for row in read_rows(tmp_path / LOG_FILE)] == [1]


def test_a_line_that_was_half_written_is_no_row(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 4))
    text = (tmp_path / LOG_FILE).read_text()
    (tmp_path / LOG_FILE).write_text(text[:-20])
    assert [row["step"] for row in read_rows(tmp_path / LOG_FILE)] == [1, 2]
    (tmp_path / LOG_FILE).write_text("{\n" + text)
    with pytest.raises(UserError, match="line 1 is not JSON"):
        list(read_rows(tmp_path / LOG_FILE))


def test_numbers_that_are_not_finite_are_told_by_name_and_are_no_losses(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 3), loss=math.nan)
    assert [row["loss"] for row in read_rows(tmp_path / LOG_FILE)] == ["nan", "nan"]
    assert losses(tmp_path, 2) == []
    write(tmp_path, 2, range(3, 9))
    assert losses(tmp_path, 8) == [6.0, 7.0, 8.0]


def test_what_a_crash_left_after_the_step_that_the_run_goes_on_after_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 5))
    with (tmp_path / LOG_FILE).open("ab") as file:
        file.write(bytes(3000) + b"\n" + bytes(100))
    write(tmp_path, 4, range(5, 6))
    assert [row["step"] for row in read_rows(tmp_path / LOG_FILE)] == [1, 2, 3, 4, 5]


def test_a_log_that_goes_on_without_a_step_is_not_written(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 5))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    journal = Journal(tmp_path, 4, writes=True)
    journal.close()
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_the_history_is_that_of_the_rows_however_often_the_run_went_on(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 8))
    write(tmp_path, 4, range(5, 9))
    journal = Journal(tmp_path, 8, writes=True)
    journal.close()
    assert list(journal.history.columns["loss"]) == [float(step) for step in range(1, 9)]
    assert all(math.isnan(own) for own in journal.history.columns["mfu"])
    assert journal.history.last["step"] == 8


def measured(step: int, nll: float) -> Evaluation:
    own = SourceLoss(source="a", language="el", category=None, tokens=10, bytes=20, nll=nll)
    return Evaluation(step=step, sources=(own,))


def test_an_evaluation_takes_the_place_of_one_of_the_same_step(tmp_path: Path) -> None:
    evaluations = Evaluations(tmp_path, 0, writes=True)
    for step, nll in ((0, 50.0), (10, 40.0), (10, 30.0), (20, 20.0)):
        found = measured(step, nll)
        evaluations.write(found, compare(found, measured(0, 50.0), ()), step * 100, "one", ())
    rows = list(read_rows(tmp_path / EVALUATIONS_FILE))
    assert [(row["step"], row["changes"][0]["now"]) for row in rows] == [  # type: ignore[index]
        (step, pytest.approx(nll / math.log(2) / 20)) for step, nll in ((0, 50.0), (10, 30.0), (20, 20.0))
    ]
    (curve,) = evaluations.history.curves.values()
    assert [tokens for tokens, _ in curve] == [0, 1000, 2000]
    again = Evaluations(tmp_path, 15, writes=True)
    assert again.last_step == 10
    assert [tokens for tokens, _ in again.history.curves["adaptation", "el"]] == [0, 1000]
    assert len(list(read_rows(tmp_path / EVALUATIONS_FILE))) == 2


def test_tensorboard_shows_numbers_by_step(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 4))
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(own.step, own.value) for own in board.Scalars("train/loss")] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert board.Scalars("train/shares/el")[0].value == 0.25
    assert "train/mfu" not in board.Tags()["scalars"]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, writes=False)
    journal.step({"step": 1})
    journal.close()
    assert not list(tmp_path.iterdir())
