"""The design of a sweep: which points are tried, in which order. Pure: no files.

The base mixture comes first, with each seed; then the mixtures of the axes over shares, each with one or all
combinations of the other axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from mixing.mixture.mixture import MixtureConfig
from pretrain.sweep.analysis.features import Features, ShareBlock
from pretrain.sweep.design.design_checks import check_constraints, check_other_axes
from pretrain.sweep.design.refusals import refuse_too_many
from pretrain.sweep.design.share_axes import share_mixtures, varied_shares, whole_stages
from pretrain.sweep.sweep_config import DesignConfig, SweepConfig
from pretrain.sweep.trial import Point


class _Combination(NamedTuple):
    """A level of each of the axes that are not over shares; None where there is no axis."""

    learning_rate: float | None
    stage_split: tuple[Fraction, ...] | None
    max_epochs: Fraction | None
    variant: str | None
    seed: int


def base_point(config: SweepConfig, mixture: MixtureConfig) -> Point:
    """Return the base mixture's point: the number of each axis as the base mixture has it, the first variant and seed.

    Raises:
        UserError: the design does not fit the base mixture.
    """
    varied = varied_shares(config.design, mixture)
    shares = whole_stages(varied, [own.base for own in varied], mixture)
    return Point(shares=shares, **_base_combination(config.design, mixture)._asdict())


def design_points(config: SweepConfig, mixture: MixtureConfig) -> list[Point]:
    """Return all points of the design in their order, none twice; the base mixture's is the first.

    Raises:
        UserError: the design does not fit the base mixture, has too many points, or nothing varies in it.
    """
    design = config.design
    check_other_axes(design, mixture)
    varied = varied_shares(design, mixture)
    check_constraints(config.constraints, varied)
    base = base_point(config, mixture)
    mixtures = share_mixtures(varied, mixture, design.seed)
    crosses = design.combine == "cross" or not varied
    combinations = _combinations(design)
    if crosses:
        refuse_too_many([len(mixtures), len(combinations)])
    variants: list[str | None] = [base.variant]
    if design.combine == "cross":
        variants += list(design.corpora)[1:]
    points = [
        base.model_copy(update={"variant": variant, "seed": seed})
        for variant, seed in itertools.product(variants, design.seeds)
    ]
    if crosses:
        pairs: Iterator[tuple[dict[str, dict[str, Fraction]], _Combination]] = itertools.product(mixtures, combinations)
    else:
        pairs = zip(mixtures, _balanced(combinations, len(mixtures), design.seed), strict=True)
    points += [Point(shares=shares, **combination._asdict()) for shares, combination in pairs]
    found: dict[tuple[str, int], Point] = {}
    for point in points:
        found.setdefault((point.mixture_key(), point.seed), point)
    if len(found) < 2:
        raise UserError(
            "design: nothing varies, the base mixture is the only trial; give it an axis, or several `seeds`"
        )
    return list(found.values())


def check_design(config: SweepConfig, mixture: MixtureConfig) -> None:
    """Check a design.

    Raises:
        UserError: it does not fit the base mixture, has too many points, or nothing varies in it.
    """
    design_points(config, mixture)


def features_of(config: SweepConfig, mixture: MixtureConfig) -> Features:
    """Return what varies: all that has more than one value among the points of the design.

    Raises:
        UserError: the design does not fit the base mixture.
    """
    points = design_points(config, mixture)
    varied = varied_shares(config.design, mixture)
    tried = {point.variant for point in points}
    return Features(
        blocks=tuple(
            ShareBlock(own.stages, tuple(own.base), float(own.total))
            for own in varied
            if any(point.shares[own.stages[0]] != points[0].shares[own.stages[0]] for point in points)
        ),
        learning_rate=len({point.learning_rate for point in points}) > 1,
        splits=len(mixture.stages) - 1 if len({point.stage_split for point in points}) > 1 else 0,
        max_epochs=len({point.max_epochs for point in points}) > 1,
        variants=tuple(name for name in list(config.design.corpora)[1:] if name in tried),
    )


def _base_combination(design: DesignConfig, mixture: MixtureConfig) -> _Combination:
    tokens = [stage.tokens for stage in mixture.stages]
    return _Combination(
        learning_rate=mixture.stages[0].learning_rate.peak if design.learning_rate else None,
        stage_split=tuple(Fraction(own, sum(tokens)) for own in tokens) if design.stage_split else None,
        max_epochs=mixture.max_epochs if design.max_epochs else None,
        variant=next(iter(design.corpora), None),
        seed=design.seeds[0],
    )


def _combinations(design: DesignConfig) -> list[_Combination]:
    """Return all combinations of the levels of the axes that are not over shares."""
    levels = (
        design.learning_rate or (None,),
        design.stage_split or (None,),
        design.max_epochs or (None,),
        tuple(design.corpora) or (None,),
        design.seeds,
    )
    refuse_too_many(len(own) for own in levels)
    return [_Combination(*own) for own in itertools.product(*levels)]


def _balanced(combinations: Sequence[_Combination], count: int, seed: int) -> Iterator[_Combination]:
    """Yield `count` combinations, all of them once before one comes again, in an order by chance.

    The next one is of those whose levels, then whose pairs of levels, came least often so far, so that a part of all
    combinations has each level about as often, too. The first ones do not depend on `count`.
    """
    axes = [_numbered(column) for column in zip(*combinations, strict=True)]
    pairs = [_numbered(zip(*pair, strict=True)) for pair in itertools.combinations([own.tolist() for own in axes], 2)]
    used = [np.zeros(len(combinations), dtype=np.int64) for _ in (*axes, *pairs)]
    left: list[int] = []
    for number in range(count):
        if not left:
            sequence = np.random.SeedSequence(seed, spawn_key=(2, number))
            left = np.random.Generator(np.random.PCG64(sequence)).permutation(len(combinations)).tolist()
        often = [counts[levels[left]] for levels, counts in zip((*axes, *pairs), used, strict=True)]
        # No pair came more often than there are points so far, so all pairs together weigh less than one level.
        score = sum(often[: len(axes)]) * (len(pairs) * count + 1) + sum(often[len(axes) :])
        chosen = left.pop(int(np.argmin(score)))
        for levels, counts in zip((*axes, *pairs), used, strict=True):
            counts[levels[chosen]] += 1
        yield combinations[chosen]


def _numbered(column: Iterable[object]) -> NDArray[np.int64]:
    """Return which of the different values each is, numbered as they come."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(own, len(numbers)) for own in column], dtype=np.int64)
