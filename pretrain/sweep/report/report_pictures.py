"""What a sweep's report draws: trials and the recommendation as marks, lines and dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from curation.charts import compact
from pretrain.sweep.analysis.analysis_schema import Recommendation
from pretrain.sweep.analysis.features import Array, ShareBlock
from pretrain.sweep.report.plot_parallel import Coordinate, Line, draw_parallel
from pretrain.sweep.report.plot_scatter import Dot, Sign, draw_front, draw_predicted, draw_scaling
from pretrain.sweep.report.plot_ternary import Mark, Surface, Ternary, draw_ternary
from pretrain.sweep.report.report_facts import Facts, signed
from pretrain.sweep.trial import Trial

# More blocks of three categories are seen in the parallel coordinates only.
_MOST_TRIANGLES = 4


def triangles(facts: Facts) -> list[tuple[str, Markup]]:
    """Return a triangle for each block of three categories."""
    found = facts.analysis.recommendation
    pictures: list[tuple[str, Markup]] = []
    for number_, block in enumerate(facts.features.blocks):
        if len(block.categories) != 3 or len(pictures) == _MOST_TRIANGLES or not facts.design:
            continue

        def mark(trial: Trial | None, place: int = number_) -> Mark | None:
            if trial is None:
                return None
            own = facts.measured.get(trial.id)
            value = own.adaptation if own is not None else None
            return Mark(facts.shares(trial.point, place), value, facts.words_of(trial))

        recommended = None
        if found is not None:
            words = f"predicted objective {signed(found.objective.value)}"
            recommended = Mark(facts.shares(found.point, number_), found.objective.value, words)
        what = Ternary(
            name=f"triangle-{number_}",
            block=block,
            trials=[own for trial in facts.design if (own := mark(trial)) is not None],
            base=mark(facts.base),
            best=mark(facts.best),
            recommended=recommended,
            ranges=found.shares.get(block.stages[0], {}) if found is not None else {},
            cloud=_cloud(found, block),
            surface=_surface(found, block),
        )
        pictures.append((", ".join(block.stages), draw_ternary(what)))
    return pictures


def _cloud(found: Recommendation | None, block: ShareBlock) -> Array | None:
    """Return the best shares by each sample of the trials."""
    samples = found.samples.get(block.stages[0], ()) if found is not None else ()
    if found is None or not samples:
        return None
    names = [*found.shares[block.stages[0]]]
    return np.array(samples)[:, [names.index(name) for name in block.categories]]


def _surface(found: Recommendation | None, block: ShareBlock) -> Surface | None:
    around = found.around.get(block.stages[0]) if found is not None else None
    return None if around is None else Surface(np.array(around.shares), np.array(around.objective))


def parallel(facts: Facts) -> Markup | None:
    """Return the lines of the finished trials, where there are two at least and something varies."""
    if not facts.axes or len(facts.measured) < 2:
        return None
    forgets = bool(facts.analysis.forgetting)
    coordinates = [Coordinate(own.name, own.words, own.block, own.stages) for own in facts.axes]
    coordinates += [Coordinate("forgetting", signed)] * forgets + [Coordinate("objective", signed)]

    def line(values: Sequence[float], objective: float, forgetting: float | None, words: str) -> Line:
        shown: list[float | None] = [own.value(values) for own in facts.axes]
        return Line([*shown, *[forgetting] * forgets, objective], objective, words)

    lines = {
        trial.id: line(facts.vector(trial.point), own.adaptation, own.forgetting, facts.words_of(trial))
        for trial in facts.design
        if (own := facts.measured.get(trial.id)) is not None
    }
    named = {"base": facts.base, "best": facts.best}
    marked = {name: lines[own.id] for name, own in named.items() if own is not None and own.id in lines}
    if (found := facts.analysis.recommendation) is not None:
        losses = {name: own.value for name, own in found.losses.items()}
        words = f"recommended: predicted objective {signed(found.objective.value)}"
        marked["recommended"] = line(
            facts.vector(found.point), found.objective.value, facts.forgetting_of(losses), words
        )
    return draw_parallel(coordinates, [*lines.values()], marked)


def front(facts: Facts) -> Markup | None:
    """Return adaptation against forgetting; None where nothing can be forgotten, or nothing compared."""
    words = {own.id: facts.words_of(own) for own in facts.design}
    dots = [
        Dot(own.adaptation, own.forgetting, own.number, words.get(own.trial, ""), own.front)
        for own in facts.analysis.measured
        if own.forgetting is not None
    ]
    if len(dots) < 2:
        return None
    signs = []
    base = facts.measured.get(facts.base.id) if facts.base is not None else None
    if base is not None and base.forgetting is not None:
        signs.append(Sign(base.adaptation, base.forgetting, "base", words.get(base.trial, "")))
    if (found := facts.analysis.recommendation) is not None:
        forgetting = facts.forgetting_of({name: own.value for name, own in found.losses.items()})
        if forgetting is not None:
            said = f"recommended: predicted objective {signed(found.objective.value)}, forgetting {signed(forgetting)}"
            span = (found.objective.low, found.objective.high)
            signs.append(Sign(found.objective.value, forgetting, "recommended", said, span))
    if (confirmed := facts.analysis.confirmation) is not None:
        forgetting = facts.forgetting_of(confirmed.losses)
        if forgetting is not None:
            said = f"recommended: measured objective {signed(confirmed.objective)}, forgetting {signed(forgetting)}"
            signs.append(Sign(confirmed.objective, forgetting, "confirmed", said))
    return draw_front(dots, signs, facts.config.constraints.max_forgetting)


def predicted(facts: Facts) -> Markup | None:
    """Return predicted against measured objectives; None where there are no predictions."""
    words = {own.number: facts.words_of(own) for own in facts.design}
    dots = [
        Dot(
            own.adaptation, own.predicted, own.number, f"{words.get(own.number, '')}, predicted {signed(own.predicted)}"
        )
        for own in facts.analysis.measured
        if own.predicted is not None
    ]
    if not dots:
        return None
    signs = []
    if (own := facts.analysis.confirmation) is not None:
        said = f"recommended: measured {signed(own.objective)}, predicted {signed(own.predicted.value)}"
        signs.append(Sign(own.objective, own.predicted.value, "confirmed", said))
    return draw_predicted(dots, signs)


def scaling_view(facts: Facts) -> dict[str, object] | None:
    """Return the scaling check in words, drawn, and by language; None where there is none."""
    own = facts.analysis.scaling
    if own is None:
        return None
    small, large = (f"{compact(count)} parameters" for count in own.weights)
    dots = [
        Dot(x, y, at, f"trial {at}: {signed(x)} and {signed(y)}")
        for at, x, y in zip(own.numbers, own.small, own.large, strict=True)
    ]
    picture = draw_scaling(dots, (f"model of {small}", f"model of {large}")) if dots else None
    return {"words": own.words, "picture": picture, "languages": [*own.by_language.items()]}
