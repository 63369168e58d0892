"""Logs of a run: what a killed run left of later steps goes, half-written lines are no rows, all numbers are JSON."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.errors import UserError
from pretrain.run.journal import LOG_FILE, Journal, read_rows, recent_losses


def write(folder: Path, after_step: int, steps: range, loss: float = 1.0) -> None:
    journal = Journal(folder, after_step, writes=True)
    for step in steps:
        journal.step(
            {"step": step, "loss": loss * step, "stage": "one", "shares": {"el": 0.25, "en": 0.75}, "mfu": None}
        )
    journal.close()


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
    assert recent_losses(tmp_path, 5) == []
    write(tmp_path, 2, range(3, 9))
    assert recent_losses(tmp_path, 3) == [6.0, 7.0, 8.0]


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
