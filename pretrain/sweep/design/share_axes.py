"""The axes of a sweep over shares, found in the base mixture, and the mixtures that they make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from configs.errors import UserError
from mixing.mixture.amounts import decimal_text
from mixing.mixture.mixture import MixtureConfig, StageConfig
from pretrain.sweep.design.refusals import refuse_too_many, refuse_twice, refuse_unknown
from pretrain.sweep.design.simplex import Shares, draw_around, lattice, outside, refuse_impossible
from pretrain.sweep.sweep_config import DesignConfig, ShareAxis

# Characters of a number that a mixture's YAML is read with.
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class VariedShares:
    """An axis over shares.

    Attributes:
        place: in the configuration, for messages.
        number: among the axes.
        axis: its configuration.
        stages: in which these shares are, in the mixture's order.
        base: shares of the base mixture, of the categories that vary, in the mixture's order.
    """

    place: str
    number: int
    axis: ShareAxis
    stages: tuple[str, ...]
    base: Shares

    @property
    def total(self) -> Fraction:
        """What the categories share."""
        return sum(self.base.values(), Fraction(0))


def varied_shares(design: DesignConfig, mixture: MixtureConfig) -> list[VariedShares]:
    """Return the axes over shares.

    Raises:
        UserError: an axis does not fit the base mixture, or two are over one stage.
    """
    found: list[VariedShares] = []
    for number, axis in enumerate(design.shares):
        place = "design.shares" if len(design.shares) == 1 else f"design.shares, axis {number + 1}"
        own = _varied(axis, mixture, place, number)
        for earlier in found:
            if both := set(own.stages) & set(earlier.stages):
                raise UserError(f"{place}: the stage {min(both)!r} is in axis {earlier.number + 1}, too; name `stages`")
        found.append(own)
    trials = {own.axis.trials for own in found if own.axis.method == "dirichlet"}
    if len(trials) > 1:
        raise UserError(
            "design.shares: the draws of all axes go together; give all of them the same number of `trials`"
        )
    return found


def share_mixtures(varied: Sequence[VariedShares], mixture: MixtureConfig, seed: int) -> list[dict[str, Shares]]:
    """Return the shares of all categories of the stages that vary, for each mixture; one without any if none varies.

    The draws of all axes go together; grids and lattices multiply, and their mixtures come in an order by chance, so
    that the first ones are from all over.

    Args:
        varied: the axes.
        mixture: the base mixture.
        seed: of draws and order.

    Raises:
        UserError: an axis makes no mixture, or all make too many.
    """
    drawn = [own for own in varied if own.axis.method == "dirichlet"]
    others = [own for own in varied if own.axis.method != "dirichlet"]
    refuse_too_many(own.axis.trials or 1 for own in drawn[:1])
    draws = [list(draw) for draw in zip(*(axis_shares(own, seed) for own in drawn), strict=True)] or [[]]
    blocks = [axis_shares(own, seed) for own in others]
    refuse_too_many([len(draws), *(len(block) for block in blocks)])
    crossed = [list(own) for own in itertools.product(*blocks)]
    order = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,)))).permutation(len(crossed))
    return [
        whole_stages([*drawn, *others], [*draw, *crossed[place]], mixture) for draw in draws for place in order.tolist()
    ]


def axis_shares(own: VariedShares, seed: int) -> list[Shares]:
    """Return the shares of an axis's categories, for each of its mixtures.

    Raises:
        UserError: there are none, or too many.
    """
    axis = own.axis
    if axis.method == "lattice":
        return lattice(own.base, axis.levels or 1, own.total, axis.bounds, own.place)
    if axis.method == "dirichlet":
        return draw_around(own.base, axis.strength, axis.trials or 1, axis.bounds, (seed, own.number), own.place)
    return _grid(own)


def whole_stages(varied: Sequence[VariedShares], blocks: Sequence[Shares], mixture: MixtureConfig) -> dict[str, Shares]:
    """Return the shares of all categories of the stages that vary, in the mixture's order.

    Args:
        varied: the axes.
        blocks: shares of the categories of each.
        mixture: the base mixture, whose shares the other categories keep.

    Raises:
        UserError: a share is a number that no mixture's YAML may hold.
    """
    chosen = {stage: block for own, block in zip(varied, blocks, strict=True) for stage in own.stages}
    found = {
        stage.name: {name: chosen[stage.name].get(name, own.share) for name, own in stage.categories.items()}
        for stage in mixture.stages
        if stage.name in chosen
    }
    for stage_name, shares in found.items():
        for name, share in shares.items():
            if len(decimal_text(share)) > _LONGEST:
                raise UserError(
                    f"stage {stage_name!r}: the share of {name!r} would be {decimal_text(share)[:_LONGEST]}...; write "
                    "shares and values with fewer digits"
                )
    return found


def _varied(axis: ShareAxis, mixture: MixtureConfig, place: str, number: int) -> VariedShares:
    stages = _stages(axis, mixture, place)
    first = stages[0]
    if axis.categories is not None:
        refuse_twice(axis.categories, f"{place}, categories")
        for stage in stages:
            valid = list(stage.categories)
            refuse_unknown(axis.categories, valid, f"{place}, categories: the stage {stage.name!r} has no category")
    chosen = set(first.categories if axis.categories is None else axis.categories)
    base = {name: category.share for name, category in first.categories.items() if name in chosen}
    for stage in stages[1:]:
        theirs = {
            name: own.share for name, own in stage.categories.items() if name in chosen or axis.categories is None
        }
        if theirs != base:
            what = "shares" if theirs.keys() == base.keys() else "categories"
            raise UserError(
                f"{place}: the stages {first.name!r} and {stage.name!r} have different {what} in the base mixture; "
                "give each an axis of its own, with `stages`"
            )
    own = VariedShares(place, number, axis, tuple(stage.name for stage in stages), base)
    _check_axis(own)
    return own


def _stages(axis: ShareAxis, mixture: MixtureConfig, place: str) -> list[StageConfig]:
    if axis.stages is None:
        return list(mixture.stages)
    if not axis.stages:
        raise UserError(f"{place}, stages: there is none; name one at least, or leave it out for all")
    refuse_twice(axis.stages, f"{place}, stages")
    refuse_unknown(axis.stages, (stage.name for stage in mixture.stages), f"{place}, stages: there is no stage")
    return [stage for stage in mixture.stages if stage.name in axis.stages]


def _check_axis(own: VariedShares) -> None:
    place, axis, names = own.place, own.axis, list(own.base)
    if len(names) < 2:
        raise UserError(f"{place}: the shares of {' and '.join(names) or 'no category'} cannot vary; two are needed")
    if not own.total:
        raise UserError(f"{place}: {', '.join(names)} have no share in the base mixture, so there is none to vary")
    for what, given in (("bounds", axis.bounds), ("values", axis.values)):
        refuse_unknown(given, names, f"{place}, {what}: no category varies that is called")
    refuse_impossible(axis.bounds, names, own.total, f"{place}, bounds")
    absent = [name for name, share in own.base.items() if not share and name not in axis.values]
    if absent and axis.method != "lattice":
        what = "draws are around" if axis.method == "dirichlet" else "what is left is spread by"
        raise UserError(
            f"{place}: {absent[0]!r} has no share in the base mixture, and {what} these; leave it out of `categories`"
            + (" or give it `values`" if axis.method == "grid" else "")
        )
    for name, values in axis.values.items():
        if not values:
            raise UserError(f"{place}, values: there is none for {name!r}")
        refuse_twice(values, f"{place}, values of {name!r}")
    if len(axis.values) == len(names):
        raise UserError(f"{place}, values: leave one category out at least, which takes what is left")


def _grid(own: VariedShares) -> list[Shares]:
    """Return all combinations of values, and of what they leave, within the bounds."""
    values = own.axis.values
    refuse_too_many((len(shares) for shares in values.values()), f"{own.place}, values: there are", "combinations")
    others = {name: share for name, share in own.base.items() if name not in values}
    whole = sum(others.values(), Fraction(0))
    found = []
    for combination in itertools.product(*values.values()):
        rest = own.total - sum(combination, Fraction(0))
        if rest < 0:
            continue
        shares = dict(zip(values, combination, strict=True))
        shares |= {name: share * rest / whole for name, share in others.items()}
        if not outside(shares, own.axis.bounds):
            found.append({name: shares[name] for name in own.base})
    if not found:
        raise UserError(
            f"{own.place}, values: no combination is within the bounds and leaves the other categories a share of 0 or "
            f"more of {float(100 * own.total):.6g}%"
        )
    return found
