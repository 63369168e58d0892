"""The report of a run, `report.html` and `plot.svg`: made anew at each evaluation, from the run's logs alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
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
from pretrain.run.journal import EVALUATIONS_FILE, LOG_FILE, read_rows
from pretrain.run.plot import Rows, draw_run
from pretrain.run.run_setup import RunPlan

REPORT_FILE, PLOT_FILE = "report.html", "plot.svg"
_MAX_ROWS = 400


def write_report(plan: RunPlan) -> None:
    """Write both files of a run, from what is in its folder."""
    steps = list(read_rows(plan.folder / LOG_FILE))
    evaluations = list(read_rows(plan.folder / EVALUATIONS_FILE))
    picture = draw_run(steps, evaluations)
    write_text_atomically(plan.folder / PLOT_FILE, picture)
    write_text_atomically(plan.folder / REPORT_FILE, render_run(plan, steps, evaluations, picture))


def render_run(plan: RunPlan, steps: Rows, evaluations: Rows, picture: str) -> str:
    """Return the report as one HTML page that needs nothing else."""
    last = steps[-1] if steps else {}
    done = last.get("tokens", 0)
    view = {
        "plan": plan,
        "lead": _lead(plan, int(done) if isinstance(done, int) else 0),
        "last": last,
        "done": done,
        "typical": {name: _middle(steps, name) for name in ("tokens_per_s", "mfu", "data_wait", "memory_gib")},
        "skipped": sum(bool(row.get("skipped")) for row in steps),
        "picture": Markup('<img src="data:image/svg+xml;base64,{}" alt="Curves of the run">').format(
            base64.b64encode(picture.encode()).decode()
        ),
        "changes": _changes(evaluations),
        "sources": evaluations[-1].get("sources", []) if evaluations else [],
        "evaluations": len(evaluations),
        "first_step": evaluations[0].get("step") if evaluations else None,
        "last_step": evaluations[-1].get("step") if evaluations else None,
        "warnings": evaluations[-1].get("warnings", []) if evaluations else [],
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


def _changes(evaluations: Rows) -> list[Mapping[str, object]]:
    """Return the rows of the last evaluation's table, with words for the change."""
    rows = evaluations[-1].get("changes") if evaluations else None
    found: list[Mapping[str, object]] = []
    for row in rows if isinstance(rows, list) else []:
        rise = row.get("change")
        words = "" if rise is None else f"{rise:+.1%}"
        found.append({**row, "words": words, "worse": isinstance(rise, int | float) and rise > 0})
    return found


def _middle(rows: Rows, name: str) -> float | None:
    values = [value for row in rows if isinstance(value := row.get(name), int | float)]
    return float(median(values)) if values else None


@cache
def _environment() -> Environment:
    folders = [Path(__file__).parent, Path(curation.report.__file__).parent]
    return report_environment().overlay(loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]))
