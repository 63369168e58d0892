"""Between which bounds a recommended mixture lies: the user's, and else those between which trials were."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from configs.errors import UserError
from mixing.mixture.amounts import decimal_text
from pretrain.sweep.analysis.features import Features, ShareBlock
from pretrain.sweep.sweep_config import Range
from pretrain.sweep.trial import Point


class Limit(NamedTuple):
    """Bounds of a share.

    Attributes:
        low, high: the share is within both.
        low_given, high_given: whether the user gave it, or it is the least or the most that was tried.
    """

    low: Fraction
    high: Fraction
    low_given: bool
    high_given: bool


def block_total(block: ShareBlock, base: Point) -> Fraction:
    """Return what the shares of a block sum to, exactly."""
    shares = base.shares[block.stages[0]]
    return sum((shares[name] for name in block.categories), Fraction(0))


def refuse_fixed_outside(features: Features, base: Point, bounds: Mapping[str, Range]) -> None:
    """Refuse bounds of a share that does not vary and is outside of them.

    Raises:
        UserError: there is one.
    """
    varied = {(stage, name) for block in features.blocks for stage in block.stages for name in block.categories}
    for stage, shares in base.shares.items():
        for name, share in shares.items():
            own = bounds.get(name, Range())
            outside = (own.min is not None and share < own.min) or (own.max is not None and share > own.max)
            if outside and (stage, name) not in varied:
                raise UserError(
                    f"constraints.shares: {name!r} has {percent(share)} in stage {stage!r} and does not vary there, so "
                    "its bounds cannot be met"
                )


def block_limits(
    block: ShareBlock, base: Point, tried: Sequence[Point], bounds: Mapping[str, Range]
) -> tuple[Limit, ...]:
    """Return the bounds of the categories of a block.

    Raises:
        UserError: no shares are within the user's bounds.
    """
    total = block_total(block, base)
    shares = [point.shares[block.stages[0]] for point in tried]
    limits, given = [], []
    for name in block.categories:
        own = bounds.get(name, Range())
        low, high = own.min or Fraction(0), total if own.max is None else min(own.max, total)
        least = min((share[name] for share in shares), default=low) if own.min is None else low
        most = max((share[name] for share in shares), default=high) if own.max is None else high
        limits.append(Limit(min(least, high), max(most, low), own.min is not None, own.max is not None))
        given.append(Limit(low, high, own.min is not None, own.max is not None))
    # The user's bounds may leave no mixture of those between which trials were: then only they count.
    for found in (limits, given):
        if sum(own.low for own in found) <= total <= sum(own.high for own in found) and all(
            own.low <= own.high for own in found
        ):
            return tuple(found)
    raise UserError(
        f"constraints.shares: no shares of {', '.join(block.categories)} within their bounds sum to {percent(total)} "
        f"in stage {block.stages[0]!r}"
    )


def other_levels(features: Features, base: Point, tried: Sequence[Point]) -> tuple[Point, ...]:
    """Return all combinations of the tried levels of what is no share, as points without shares."""
    varied = {
        "learning_rate": features.learning_rate,
        "stage_split": features.splits > 0,
        "max_epochs": features.max_epochs,
        "variant": bool(features.variants),
    }
    fixed = base.model_copy(update={"shares": {}})
    levels = {
        name: sorted({getattr(point, name) for point in tried}) if varies else [getattr(base, name)]
        for name, varies in varied.items()
    }
    return tuple(
        fixed.model_copy(update=dict(zip(levels, combination, strict=True)))
        for combination in itertools.product(*levels.values())
    )


def percent(share: Fraction) -> str:
    """Return a share as a text: `12.5%`; one without a short decimal is rounded."""
    exact = decimal_text(share * 100)
    return f"{float(share) * 100:.2f}%" if "/" in exact or len(exact) > 8 else f"{exact}%"
