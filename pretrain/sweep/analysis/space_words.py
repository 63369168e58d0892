"""Where a mixture stands in the space of those that may be recommended, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

from mixing.mixture.amounts import decimal_text
from pretrain.sweep.analysis.features import ShareBlock
from pretrain.sweep.analysis.space import UNIT, Space
from pretrain.sweep.analysis.space_limits import Limit, percent
from pretrain.sweep.trial import Point

Level = TypeVar("Level", float, Fraction)


def bounds_in_words(space: Space, point: Point) -> tuple[str, ...]:
    """Return the bounds that a mixture is at: those of shares, and the ends of what else was tried."""
    words = [
        text
        for block, limits in zip(space.features.blocks, space.limits, strict=True)
        for name, limit in zip(block.categories, limits, strict=True)
        if (text := _at_bound(_called(space, block, name), point.shares[block.stages[0]][name], limit))
    ]
    words += _at_end(
        "the learning rate", point.learning_rate, [own.learning_rate for own in space.others], "{:g}".format
    )
    words += _at_end("the cap on epochs", point.max_epochs, [own.max_epochs for own in space.others], decimal_text)
    return tuple(words)


def beyond_in_words(space: Space, point: Point, tried: Sequence[Point]) -> tuple[str, ...]:
    """Return the shares of a mixture that are outside of those of all trials."""
    words = []
    for block in space.features.blocks:
        stage = block.stages[0]
        for name in block.categories:
            share, others = point.shares[stage][name], [own.shares[stage][name] for own in tried]
            called = _called(space, block, name)
            if share > max(others):
                words.append(
                    f"{called} is at {percent(share)}, more than in any trial ({percent(max(others))} at most)"
                )
            elif share < min(others):
                words.append(
                    f"{called} is at {percent(share)}, less than in any trial ({percent(min(others))} at least)"
                )
    return tuple(words)


def _called(space: Space, block: ShareBlock, name: str) -> str:
    return name if len(space.features.blocks) == 1 else f"{name} in {', '.join(block.stages)}"


def _at_bound(called: str, share: Fraction, limit: Limit) -> str | None:
    if limit.low == limit.high:
        return f"{called} is held at {percent(share)}"
    for bound, given, side, most in (
        (limit.low, limit.low_given, "lower", "least"),
        (limit.high, limit.high_given, "upper", "most"),
    ):
        if abs(share - bound) < UNIT:
            if given:
                return f"{called} is at its {side} bound {percent(share)}"
            if not share:
                return f"{called} is at 0%"
            return f"{called} is at {percent(share)}, the {most} that was tried: a bound of its own lets it go further"
    return None


def _at_end(
    called: str, level: Level | None, levels: Sequence[Level | None], text: Callable[[Level], str]
) -> list[str]:
    there = {own for own in levels if own is not None}
    if level is None or len(there) < 2 or level not in (min(there), max(there)):
        return []
    return [f"{called} {text(level)} is the {'lowest' if level == min(there) else 'highest'} that was tried"]
