"""The report and the picture of a run: of no steps, of one, of losses that are no numbers, of hostile names."""

from __future__ import annotations

import math
import time
import warnings
from xml.etree import ElementTree

import pytest

from pretrain.run.history import HeldOutHistory, History
from pretrain.run.plot import draw_run
from pretrain.run.report_run import PLOT_FILE, REPORT_FILE, RunReport, render_run
from pretrain.run.run_setup import RunOptions, RunPlan, open_plan
from tests.pretrain.small_runs import small_run, write_mixture

HOSTILE = ("<script>alert(1)</script>", "$\\frac{", "_hidden", "a\u202eb\x00c\x1b[31m", "&amp;", "x" * 5000)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    folder = tmp_path_factory.mktemp("mixture")
    plan = open_plan(small_run(write_mixture(folder)), RunOptions(runs=folder / "runs"))
    plan.folder.mkdir(parents=True)
    return plan


def steps_of(count: int, loss: object = 2.5) -> History:
    history = History()
    for step in range(1, count + 1):
        row = {
            "step": step,
            "stage": "one" if step <= count // 2 else "two",
            "tokens": step * 100,
            "loss": loss,
            "learning_rate": 1e-3 / step,
            "tokens_per_s": 1000.0,
            "mfu": None,
            "data_wait": 0.01,
            "memory_gib": 1.5,
            "skipped": int(not isinstance(loss, float)),
            "shares": {"el": 1.0},
        }
        history.take(row)
    return history


def held_out_of(languages: tuple[str, ...], count: int) -> HeldOutHistory:
    history = HeldOutHistory()
    for number in range(count):
        changes = [
            {"language": own, "kind": "adaptation", "first": 2.0, "now": 2.0 - number / 10, "same": True,
             "change": -number / 20}
            for own in languages
        ]  # fmt: skip
        sources = [
            {"source": own, "category": own, "language": own, "tokens": 5, "bytes": 9, "loss": None,
             "bits_per_byte": None}
            for own in languages
        ]  # fmt: skip
        history.take(
            {"step": number, "tokens": number * 100, "changes": changes, "sources": sources, "warnings": [*languages]}
        )
    return history


def checked(plan: RunPlan, steps: History, held_out: HeldOutHistory) -> tuple[str, str]:
    """Return picture and page, of which the picture is sound XML and neither warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = draw_run(steps, held_out)
    ElementTree.fromstring(picture)
    return picture, render_run(plan, steps, held_out, picture)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("evaluations", [0, 1, 3])
def test_short_runs_have_a_report(plan: RunPlan, count: int, evaluations: int) -> None:
    picture, page = checked(plan, steps_of(count), held_out_of(("el", "en"), evaluations))
    assert ">el<" in picture.replace(" ", "") or not evaluations
    assert ("Nothing was evaluated yet" in page) == (not evaluations)


def test_losses_that_are_no_numbers_are_left_out_of_curves_and_counted(plan: RunPlan) -> None:
    history = steps_of(3, "nan")
    assert all(map(math.isnan, history.columns["loss"]))
    _, page = checked(plan, history, HeldOutHistory())
    assert "3 left the weights as they were" in page


def test_a_name_is_no_markup_and_no_formula(plan: RunPlan) -> None:
    picture, page = checked(plan, steps_of(4), held_out_of(HOSTILE, 2))
    assert "<script>" not in picture + page
    assert "$\\frac{" in picture
    assert "\x00" not in page
    assert "\x1b" not in page
    assert "\u202e" not in picture + page


def test_a_hundred_languages_have_sixteen_names_in_the_picture_and_all_in_the_page(plan: RunPlan) -> None:
    names = tuple(f"x{number:03}" for number in range(100))
    picture, page = checked(plan, steps_of(4), held_out_of(names, 3))
    assert [name for name in names if f">{name}<" in picture] == list(names[:16])
    assert "84 others" in picture
    assert all(name in page for name in names)


def test_the_same_history_gives_the_same_bytes(plan: RunPlan) -> None:
    assert draw_run(steps_of(5), held_out_of(("el",), 3)) == draw_run(steps_of(5), held_out_of(("el",), 3))


def test_a_report_of_a_hundred_thousand_steps_takes_seconds(plan: RunPlan) -> None:
    history = steps_of(100_000)
    begin = time.process_time()
    checked(plan, history, held_out_of(("el", "en"), 1000))
    assert time.process_time() - begin < 8


def test_it_is_not_drawn_again_and_again(plan: RunPlan) -> None:
    report = RunReport(plan, writes=True)
    report.write(steps_of(1), HeldOutHistory())
    first = (plan.folder / REPORT_FILE).read_text()
    report.write(steps_of(2), HeldOutHistory())
    assert (plan.folder / REPORT_FILE).read_text() == first
    report.write(steps_of(2), HeldOutHistory(), at_once=True)
    assert (plan.folder / REPORT_FILE).read_text() != first
    (plan.folder / PLOT_FILE).unlink()
    RunReport(plan, writes=False).write(steps_of(2), HeldOutHistory(), at_once=True)
    assert not (plan.folder / PLOT_FILE).exists()
