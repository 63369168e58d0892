"""The recommendation of a sweep, in words and in two tables."""

from __future__ import annotations

from curation.charts import number, share
from mixing.mixture.amounts import decimal_text
from mixing.mixture.report_utilization import language_name
from pretrain.sweep.analysis.analysis_schema import Confirmation, FitQuality, Recommendation
from pretrain.sweep.report.report_facts import Facts, interval_words, order_words, share_words, signed
from pretrain.sweep.report.report_tables import alike, axis_table, language_table, share_table
from pretrain.sweep.trial import Point

# From these parts of the samples on, and these rank correlations, a prediction is said to be sure, or likely.
_SURE, _LIKELY = 0.95, 0.8
_GOOD_ORDER, _FAIR_ORDER = 0.8, 0.5


def advice_view(facts: Facts, commands: tuple[str, ...]) -> dict[str, object]:
    """Return what the section of the recommendation shows."""
    found = facts.analysis.recommendation
    return {
        "found": found is not None,
        "shares": _shares_in_words(found) if found else [],
        "others": _others_in_words(found.point) if found else "",
        "paragraphs": _paragraphs(facts, found) if found else [_why_none(facts)],
        "bounds": found.bounds if found else (),
        "moved": _moved(found) if found else "",
        "beyond": found.beyond if found else (),
        "confirmed": _confirmed(facts, facts.analysis.confirmation),
        "commands": commands if found else (),
        "notes": facts.analysis.notes,
        "stages": share_table(facts, found),
        "axes": axis_table(facts, found),
        "languages": language_table(facts, found),
        "best": facts.best.number if facts.best is not None and facts.best is not facts.base else None,
    }


def objective_fit(facts: Facts) -> FitQuality | None:
    """Return how well the chosen response predicts the objective of trials that it was not fitted on."""
    chosen = facts.analysis.chosen
    return next((own for own in facts.analysis.fits if (own.response, own.target) == (chosen, "objective")), None)


def _shares_in_words(found: Recommendation) -> list[dict[str, object]]:
    """Return the stages, and of each category its share with its range; stages that are alike stand together."""
    rows: list[dict[str, object]] = []
    for stages in alike({stage: repr(own) for stage, own in found.shares.items()}):
        own = found.shares[stages[0]]
        # Whole permille, as the mixture has them.
        rest = 1000 - round(1000 * sum(one.value for one in own.values()))
        rows.append(
            {
                "stages": ", ".join(stages),
                "parts": [(name, share(one.value, 1), share_words(one)) for name, one in own.items()],
                "rest": share(rest, 1000) if rest > 0 else "",
            }
        )
    return rows


def _others_in_words(point: Point) -> str:
    parts = []
    if point.learning_rate is not None:
        parts.append(f"a peak learning rate of {point.learning_rate:g}")
    if point.stage_split is not None:
        parts.append(f"stages of {', '.join(share(float(own), 1) for own in point.stage_split)} of the tokens")
    if point.max_epochs is not None:
        parts.append(f"at most {decimal_text(point.max_epochs)} epoch{'s' * (point.max_epochs != 1)}")
    if point.variant is not None:
        parts.append(f"the corpora {point.variant}")
    return ", ".join(parts)


def _paragraphs(facts: Facts, found: Recommendation) -> list[str]:
    gain = found.base_objective - found.objective.value
    against = f"{abs(100 * gain):.2f} points {'below' if gain >= 0 else 'above'}" if gain else "the same as"
    paragraphs = [
        f"The response “{found.response}” predicts an objective of {signed(found.objective.value)} (90% of the "
        f"bootstrap samples: {interval_words(found.objective)}), {against} the {signed(found.base_objective)} that it "
        f"predicts of the base mixture. {_by_language(facts, found)}".strip(),
        f"In {share(found.better_than_base, 1)} of the bootstrap samples it is predicted to be better than the base "
        f"mixture: {_certainty(found.better_than_base)}. {_trust(objective_fit(facts))}",
    ]
    if noise := facts.analysis.noise:
        paragraphs.append(
            f"Seeds of one mixture differ by a standard deviation of {100 * noise:.2f} points of the objective"
            + (f"; the predicted gain is {number(gain / noise, 2)} times that." if gain > 0 else ".")
        )
    return paragraphs


def _by_language(facts: Facts, found: Recommendation) -> str:
    base = facts.last(facts.base)
    changes = sorted((own.value / base[name] - 1, name) for name, own in found.losses.items() if base.get(name))
    if len(changes) < 2:
        return ""
    (best, first), (worst, last) = changes[0], changes[-1]
    first, last = language_name(first) or first, language_name(last) or last
    return (
        "Against the base mixture's own trial, the bits per byte change most for the better in "
        f"{first} ({signed(best)}) and least in {last} ({signed(worst)})."
    )


def _certainty(part: float) -> str:
    if part >= _SURE:
        return "the trials agree on that"
    if part >= _LIKELY:
        return "likely, but not certain"
    return "it may be no better at all, and more trials or more seeds would tell"


def _trust(fit: FitQuality | None) -> str:
    if fit is None or fit.rank_correlation is None:
        return "How well the response orders trials that it was not fitted on is not known."
    order = fit.rank_correlation
    verdict = (
        "it orders mixtures well"
        if order >= _GOOD_ORDER
        else "it orders mixtures fairly"
        if order >= _FAIR_ORDER
        else "it orders mixtures badly, so take this as a guess"
    )
    return (
        f"Its predictions of {fit.trials:,} trials that it was not fitted on have a rank correlation of "
        f"{order_words(order)} with what was measured: {verdict}."
    )


def _moved(found: Recommendation) -> str:
    """Say what was best before the caps on epochs moved it."""
    if found.optimum is None:
        return ""
    parts = [
        f"{', '.join(stages)}: "
        + ", ".join(f"{name} {share(float(own), 1)}" for name, own in found.optimum.shares[stages[0]].items())
        for stages in alike({stage: repr(own) for stage, own in found.optimum.shares.items()})
    ]
    return f"Without the caps on epochs it would be {'; '.join(parts)}." if parts else ""


def _confirmed(facts: Facts, own: Confirmation | None) -> str:
    if own is None:
        return ""
    inside = own.predicted.low <= own.objective <= own.predicted.high
    place = "the best" if own.rank == 1 else f"number {own.rank:,}"
    base = facts.measured.get(facts.base.id) if facts.base is not None else None
    against = f", the base mixture {signed(base.adaptation)}" if base is not None else ""
    return (
        f"It was trained and measured: an objective of {signed(own.objective)}{against}. Predicted was "
        f"{signed(own.predicted.value)}, and the measurement is {'inside' if inside else 'outside'} the 90% range "
        f"of {interval_words(own.predicted)}. It is {place} of {own.trials:,} trials."
    )


def _why_none(facts: Facts) -> str:
    finished, planned = len(facts.analysis.measured), len(facts.design)
    if not finished:
        left = "; the causes are listed with the trials" if facts.analysis.left_out else ""
        return f"There is no recommendation: none of {planned:,} trials finished{left}."
    why = "The notes say why" if facts.analysis.notes else "That is too few to fit a response on"
    return f"There is no recommendation. {finished:,} of {planned:,} trials finished. {why}."
