"""What a sweep leaves in its folder: outcomes of trials, their table, and the recommended mixture."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from curation.store import write_text_atomically
from mixing.mixture.amounts import decimal_text
from mixing.mixture.publish import write_mixture
from pretrain.sweep.analysis.analysis_schema import Analysis, Recommendation
from pretrain.sweep.plan import MIXTURES, TRIALS, SweepPlan
from pretrain.sweep.trial import Outcome, Trial
from pretrain.sweep.trial_files import target_mixture, write_yaml

OUTCOME, TABLE, ANALYSIS, REPORT = "outcome.json", "trials.csv", "analysis.json", "report.html"
RECOMMENDED = "recommended"


def read_outcome(folder: Path, trial: str) -> Outcome | None:
    """Return how a trial ended; None where that is not known, or damaged."""
    try:
        return Outcome.model_validate_json((folder / TRIALS / trial / OUTCOME).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # bytes that are no UTF-8, or no outcome
        return None


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write how a trial ended."""
    place = folder / TRIALS / outcome.trial
    place.mkdir(parents=True, exist_ok=True)
    write_text_atomically(place / OUTCOME, json.dumps(outcome.model_dump(mode="json"), ensure_ascii=False, indent=1))


def forget_trial(folder: Path, trial: str) -> None:
    """Remove what a trial left behind: its tokens are others now."""
    for place in (folder / TRIALS / trial / OUTCOME, folder / TRIALS / trial / "output.log"):
        place.unlink(missing_ok=True)
    shutil.rmtree(folder / "runs" / trial, ignore_errors=True)


def write_analysis(folder: Path, analysis: Analysis) -> None:
    """Write the analysis as JSON."""
    text = json.dumps(analysis.model_dump(mode="json"), ensure_ascii=False, indent=1)
    write_text_atomically(folder / ANALYSIS, text)


def write_table(folder: Path, trials: Sequence[Trial], outcomes: Mapping[str, Outcome], analysis: Analysis) -> None:
    """Write a row for each trial: what it varied, how it ended, and its bits per byte by language."""
    measured = {own.trial: own for own in analysis.measured}
    rows = []
    for trial in trials:
        outcome, own = outcomes.get(trial.id), measured.get(trial.id)
        row: dict[str, object] = {"number": trial.number, "trial": trial.id, "kind": trial.kind, **_factors(trial)}
        if outcome is not None:
            row |= outcome.model_dump(include={"status", "cause", "attempts", "seconds", "tokens"})
            row |= {f"bits_per_byte {name}": value for name, value in outcome.last.items()}
        if own is not None:
            row |= {"adaptation": own.adaptation, "forgetting": own.forgetting, "front": own.front}
        rows.append(row)
    names = sorted({name for row in rows for name in row}, key=_column_order)
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomically(folder / TABLE, file.getvalue())


def write_recommended(plan: SweepPlan, found: Recommendation) -> tuple[str, ...]:
    """Write the recommended mixture, ready for `make cpt`: its YAML, its manifest, and a run that trains it.

    Returns:
        Commands that train it.

    Raises:
        UserError: it cannot be made of the tokens any more.
    """
    name = recommended_name(plan)
    mixture = target_mixture(plan.base, found.point).model_copy(update={"name": name})
    heading = "\n".join((f"Found by the sweep {plan.config.name}.", *recommendation_lines(found)))
    write_yaml(plan.folder / f"{RECOMMENDED}.yaml", mixture, heading)
    write_mixture(mixture, plan.base.tokens, plan.folder / MIXTURES)
    run = plan.base.run.model_copy(update={"name": name, "mixture": plan.folder / MIXTURES / name})
    path = plan.folder / f"{RECOMMENDED}_run.yaml"
    write_yaml(path, run, "The proxy with the whole recommended mixture; FROM= of `make cpt` gives another model.")
    mixture_folder = plan.folder / MIXTURES / name
    return (
        f"make cpt RUN=my_run.yaml MIX={shlex.quote(str(mixture_folder))}",
        f"make cpt RUN={shlex.quote(str(path))}   # the proxy itself",
    )


def forget_results(plan: SweepPlan) -> None:
    """Remove what an earlier analysis left: trials are going to run, and until they have, nothing looks finished."""
    for name in (ANALYSIS, TABLE, REPORT):
        (plan.folder / name).unlink(missing_ok=True)
    forget_recommended(plan)


def forget_recommended(plan: SweepPlan) -> None:
    """Remove an earlier recommendation, which is none any more."""
    for name in (RECOMMENDED, f"{RECOMMENDED}_run"):
        (plan.folder / f"{name}.yaml").unlink(missing_ok=True)
    shutil.rmtree(plan.folder / MIXTURES / recommended_name(plan), ignore_errors=True)


def recommended_name(plan: SweepPlan) -> str:
    """Return the name of the recommended mixture, and of its run."""
    return f"{plan.config.name}-{RECOMMENDED}"


def recommendation_lines(found: Recommendation) -> list[str]:
    """Return the recommendation in a few lines of words."""
    lines: list[str] = []
    for stage, shares in found.shares.items():
        own = ", ".join(
            f"{name} {100 * one.value:.1f}% ({100 * one.low:.1f}-{100 * one.high:.1f})" for name, one in shares.items()
        )
        lines.append(f"{stage}: {own}")
    point = found.point
    if point.learning_rate is not None:
        lines.append(f"learning rate {point.learning_rate:g}")
    if point.stage_split is not None:
        lines.append("stages " + " : ".join(decimal_text(part) for part in point.stage_split))
    if point.max_epochs is not None:
        lines.append(f"at most {decimal_text(point.max_epochs)} epochs")
    if point.variant is not None:
        lines.append(f"corpora {point.variant}")
    score = found.objective
    lines.append(
        f"objective {score.value:+.4f} ({score.low:+.4f} to {score.high:+.4f}), base mixture "
        f"{found.base_objective:+.4f}; better than the base mixture in {100 * found.better_than_base:.0f}% of "
        "the bootstrap samples"
    )
    return [*lines, *found.bounds, *found.beyond]


def _factors(trial: Trial) -> dict[str, object]:
    point = trial.point
    found: dict[str, object] = {
        f"share {stage} {name}": float(value) for stage, own in point.shares.items() for name, value in own.items()
    }
    if point.stage_split is not None:
        found["stage_split"] = ":".join(decimal_text(part) for part in point.stage_split)
    if point.max_epochs is not None:
        found["max_epochs"] = float(point.max_epochs)
    return found | {"learning_rate": point.learning_rate, "variant": point.variant, "seed": point.seed}


def _column_order(name: str) -> tuple[int, str]:
    first = ("number", "trial", "kind", "status", "cause", "adaptation", "forgetting", "front", "share")
    word = name.partition(" ")[0]
    last = ("learning_rate", "max_epochs", "stage_split", "variant", "seed", "tokens", "seconds", "attempts")
    order = (*first, *last, "bits_per_byte")
    return (order.index(word), name)
