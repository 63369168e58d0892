"""The report of a sweep: one HTML page that needs nothing else, made from its trials and their analysis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml
from jinja2 import ChoiceLoader, Environment, FileSystemLoader

import curation.report
from curation.charts import compact, duration, number, share
from curation.report import report_environment
from mixing.mixture.report_utilization import language_name
from pretrain.sweep.analysis.analysis_schema import Analysis, FitQuality
from pretrain.sweep.analysis.features import Features
from pretrain.sweep.report.plot_parallel import MOST_LINES
from pretrain.sweep.report.report_advice import advice_view, objective_fit
from pretrain.sweep.report.report_cells import EffectCell
from pretrain.sweep.report.report_facts import Facts, bits_words, interval_words, order_words, signed
from pretrain.sweep.report.report_pictures import front, parallel, predicted, scaling_view, triangles
from pretrain.sweep.report.report_trials import (
    finished_words,
    heat_view,
    left_out_view,
    trials_view,
    versions_view,
)
from pretrain.sweep.sweep_config import SweepConfig
from pretrain.sweep.trial import Outcome, Trial


def render_sweep(
    config: SweepConfig,
    trials: Sequence[Trial],
    outcomes: Sequence[Outcome],
    analysis: Analysis,
    features: Features,
    commands: Sequence[str] = (),
) -> str:
    """Return the report as one HTML page. The same arguments give the same page.

    Args:
        config: of the sweep.
        trials: in any order.
        outcomes: of them, in any order; a trial without one was not run.
        analysis: of them.
        features: what varies.
        commands: lines that train the recommended mixture.
    """
    ordered = tuple(sorted(trials, key=lambda own: own.number))
    facts = Facts(config, ordered, {own.trial: own for own in outcomes}, analysis, features)
    view = {
        "name": config.name,
        "facts": facts,
        "analysis": analysis,
        "lead": _lead(facts),
        "tiles": _tiles(facts),
        "advice": advice_view(facts, tuple(commands)),
        "triangles": triangles(facts),
        "parallel": parallel(facts),
        "most_lines": MOST_LINES,
        "front": front(facts),
        "heat": heat_view(facts),
        "fits": _fits(facts),
        "predicted": predicted(facts),
        "scaling": scaling_view(facts),
        "effects": _effects(facts),
        "left_out": left_out_view(facts),
        "table": trials_view(facts),
        "versions": versions_view(facts),
        "config": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100),
        "language_name": language_name,
        "signed": signed,
        "bits": bits_words,
        "order": order_words,
    }
    return _environment().get_template("sweep.html.j2").render(view)


def _lead(facts: Facts) -> str:
    outcomes = facts.outcomes.values()
    tokens, seconds = sum(own.tokens for own in outcomes), sum(own.seconds for own in outcomes)
    return (
        f"{finished_words(facts)}, {compact(tokens)} tokens in {duration(seconds)} of trials. "
        f"Minimised is {'' if facts.analysis.objective.startswith('the ') else 'the '}{facts.analysis.objective}."
    )


def _tiles(facts: Facts) -> list[tuple[str, str, str]]:
    found, fit, best = facts.analysis.recommendation, objective_fit(facts), facts.best
    within = ", within the bound on forgetting" if facts.best_is_within else ""
    tiles = [
        ("Finished trials", number(len(facts.measured)), f"of {number(len(facts.design))} in the design"),
        (
            "Best trial",
            signed(facts.measured[best.id].adaptation) if best is not None else "–",
            f"objective of trial {best.number}{within}" if best is not None else "none finished",
        ),
    ]
    if found is not None:
        tiles += [
            ("Recommended", signed(found.objective.value), f"objective, predicted: {interval_words(found.objective)}"),
            ("Better than base", share(found.better_than_base, 1), "of the bootstrap samples"),
        ]
    if (confirmed := facts.analysis.confirmation) is not None:
        tiles.append(("Confirmed", signed(confirmed.objective), "objective, measured, of the recommended mixture"))
    if fit is not None and fit.rank_correlation is not None:
        tiles.append(("Rank correlation", order_words(fit.rank_correlation), "cross-validated, of the objective"))
    return tiles


def _fits(facts: Facts) -> dict[str, object]:
    """Return how well each response predicts: the objective in a row of its own, languages together and one by one."""
    by_response: dict[str, list[FitQuality]] = {}
    for own in facts.analysis.fits:
        by_response.setdefault(own.response, []).append(own)
    rows = []
    for name, fits in by_response.items():
        objective = next((own for own in fits if own.target == "objective"), None)
        orders = [own.rank_correlation for own in fits if own.target != "objective"]
        known = sorted(own for own in orders if own is not None)
        rows.append(
            {
                "name": name,
                "chosen": name == facts.analysis.chosen,
                "fit": objective,
                "part": objective.error / objective.spread if objective is not None and objective.spread > 0 else None,
                "lowest": known[0] if known else None,
                "middle": known[len(known) // 2] if known else None,
            }
        )
    targets = dict.fromkeys(own.target for own in facts.analysis.fits)
    cells = {(own.response, own.target): own.rank_correlation for own in facts.analysis.fits}
    table = [(target, [cells.get((name, target)) for name in by_response]) for target in targets]
    return {"rows": rows, "names": [*by_response], "table": table}


def _effects(facts: Facts) -> dict[str, object]:
    """Return the effects of variants, as rows with their intervals drawn."""
    effects = facts.analysis.effects
    scale = EffectCell.of([own.change for own in effects])
    groups: dict[str, list[dict[str, object]]] = {}
    for own in effects:
        row = {"effect": own, "bar": scale.draw(own.target, own.change, own.words), "range": interval_words(own.change)}
        groups.setdefault(f"{own.variant} against {own.against}", []).append(row)
    return {"groups": [*groups.items()], "axis": scale.axis(), "noise": facts.analysis.noise}


@cache
def _environment() -> Environment:
    folders = [Path(__file__).parent, Path(curation.report.__file__).parent]
    return report_environment().overlay(loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]))
