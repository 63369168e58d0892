"""The report of a run, `report.html` and `plot.svg`: from the run's logs alone."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import median

import yaml
from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from markupsafe import Markup

import curation.report
from curation.charts import compact, share
from curation.report import report_environment
from curation.store import write_text_atomically
from mixing.mixture.report_utilization import language_name, plan_words
from pretrain.run.history import HeldOutHistory, History, Row
from pretrain.run.plot import draw_run
from pretrain.run.run_setup import RunPlan

REPORT_FILE, PLOT_FILE = "report.html", "plot.svg"
_MAX_ROWS = 400
_EVERY_S = 300.0


class RunReport:
    """The report of a run, on the rank that writes it. Drawing takes as long as a few steps: not at each of them."""

    def __init__(self, plan: RunPlan, writes: bool) -> None:
        """Prepare; nothing is written yet."""
        self._plan, self._writes = plan, writes
        self._written_s = -math.inf

    def write(self, steps: History, held_out: HeldOutHistory, at_once: bool = False) -> None:
        """Write both files, from what is in the run's logs, unless that was done a moment ago.

        Args:
            steps: of the run.
            held_out: its evaluations.
            at_once: in any case, as nothing follows soon.
        """
        if not self._writes or not (at_once or time.monotonic() - self._written_s > _EVERY_S):
            return
        picture = draw_run(steps, held_out)
        write_text_atomically(self._plan.folder / PLOT_FILE, picture)
        write_text_atomically(self._plan.folder / REPORT_FILE, render_run(self._plan, steps, held_out, picture))
        self._written_s = time.monotonic()


def render_run(plan: RunPlan, steps: History, held_out: HeldOutHistory, picture: str) -> str:
    """Return the report as one HTML page that needs nothing else."""
    done = steps.last.get("tokens", 0)
    evaluation = held_out.last
    view = {
        "plan": plan,
        "lead": _lead(plan, int(done) if isinstance(done, int) else 0),
        "last": steps.last,
        "done": done,
        "typical": {name: _middle(steps.columns[name]) for name in ("tokens_per_s", "mfu", "data_wait", "memory_gib")},
        "skipped": steps.skipped,
        "picture": Markup('<img src="data:image/svg+xml;base64,{}" alt="Curves of the run">').format(
            base64.b64encode(picture.encode()).decode()
        ),
        "changes": _changes(evaluation),
        "sources": evaluation.get("sources", []),
        "evaluations": held_out.count,
        "first_step": held_out.first_step,
        "last_step": evaluation.get("step"),
        "warnings": evaluation.get("warnings", []),
        "stages": [(stage, plan_words(stage.learning_rate), share(stage.tokens, plan.tokens)) for stage in plan.stages],
        "config": yaml.safe_dump(plan.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100),
        "max_rows": _MAX_ROWS,
        "compact": compact,
        "language_name": language_name,
    }
    return _environment().get_template("run.html.j2").render(view)


def _lead(plan: RunPlan, done: int) -> str:
    stages = f"{len(plan.stages)} stage{'s' * (len(plan.stages) > 1)}"
    return f"{done:,} of {plan.tokens:,} tokens in {stages} of the mixture {plan.manifest.name}."


def _changes(evaluation: Row) -> list[Row]:
    """Return the rows of the last evaluation's table, with words for the change."""
    rows = evaluation.get("changes")
    found: list[Row] = []
    for row in rows if isinstance(rows, list) else []:
        rise = row.get("change")
        words = f"{rise:+.1%}" if isinstance(rise, int | float) else ""
        found.append({**row, "words": words, "worse": isinstance(rise, int | float) and rise > 0})
    return found


def _middle(column: Sequence[float]) -> float | None:
    values = [value for value in column if math.isfinite(value)]
    return float(median(values)) if values else None


@cache
def _environment() -> Environment:
    folders = [Path(__file__).parent, Path(curation.report.__file__).parent]
    return report_environment().overlay(loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]))
