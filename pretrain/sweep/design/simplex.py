"""Shares that sum to exactly what there is to share: rounding, the simplex lattice, draws around base shares.

Shape legend: K = categories.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import numpy as np

from configs.errors import UserError
from mixing.mixture.budget import round_to_sum
from pretrain.sweep.design.refusals import MOST
from pretrain.sweep.sweep_config import Range

Shares = dict[str, Fraction]
# What shares are rounded to: hundredths of a percent.
UNIT = Fraction(1, 10_000)
# Draws for one mixture before the bounds count as too tight.
_TRIES = 10_000
# Far more than makes all draws the base shares, once they are rounded.
_STRONGEST = 1e15
_NAMED = 3


def round_shares(
    weights: Mapping[str, float | Fraction], total: Fraction = Fraction(1), unit: Fraction = UNIT
) -> Shares:
    """Spread `total` in proportion to weights, in whole units, by the largest remainders; ties go by name.

    What of `total` is less than a unit falls on the largest share, so that the sum is exact.

    Args:
        weights: by category, finite and not negative; in any scale.
        total: that the shares sum to.
        unit: that they are multiples of.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError(f"there are no shares in proportion to {[float(weight) for weight in weights.values()]}")
    exact = {name: Fraction(weight) for name, weight in weights.items()}
    units, rest = divmod(total, unit)
    whole = sum(exact.values(), Fraction(0))
    counts = round_to_sum({name: weight * units / whole for name, weight in exact.items()})
    shares = {name: count * unit for name, count in counts.items()}
    shares[min(shares, key=lambda name: (-shares[name], -exact[name], name))] += rest
    return shares


def outside(shares: Mapping[str, Fraction], bounds: Mapping[str, Range]) -> list[str]:
    """Return the categories whose shares are outside of their bounds."""
    return [name for name, own in bounds.items() if not _low(own) <= shares[name] <= _high(own, shares[name])]


def refuse_impossible(bounds: Mapping[str, Range], categories: Iterable[str], total: Fraction, place: str) -> None:
    """Refuse bounds that no shares of these categories are within.

    Raises:
        UserError: the lowest shares sum to more than `total`, or the highest to less.
    """
    own = {name: bounds.get(name, Range()) for name in categories}
    least = sum((_low(bound) for bound in own.values()), Fraction(0))
    most = sum((_high(bound, total) for bound in own.values()), Fraction(0))
    for sum_, what, wrong in ((least, "lowest", least > total), (most, "highest", most < total)):
        if wrong:
            bounded = ", ".join(f"{name} {described(bound)}" for name, bound in own.items() if bound != Range())
            raise UserError(
                f"{place}: the {what} shares sum to {_percent(sum_)}, there is {_percent(total)} to share; change the "
                f"bounds: {bounded}"
            )


def described(bound: Range) -> str:
    """Return bounds in words."""
    parts = [("at least", bound.min), ("at most", bound.max)]
    return " and ".join(f"{word} {_percent(limit)}" for word, limit in parts if limit is not None)


def lattice(
    categories: Iterable[str], levels: int, total: Fraction, bounds: Mapping[str, Range], place: str
) -> list[Shares]:
    """Return all shares that are multiples of `total` / `levels`, sum to `total` and are within the bounds.

    The {K, levels} simplex lattice of H. Scheffé, Experiments with Mixtures (J. R. Statist. Soc. B 20(2), 1958, section
    3), in the order of the shares.

    Raises:
        UserError: there are none, or more than `MOST`.
    """
    names, step = list(categories), total / levels
    limits = []
    for name in names:
        bound = bounds.get(name, Range())
        limits.append((math.ceil(_low(bound) / step), min(levels, _high(bound, total) // step)))
    found: list[Shares] = []
    for counts in _compositions(levels, limits):
        if len(found) == MOST:
            raise UserError(
                f"{place}: the lattice has more than {MOST:,} mixtures; take fewer levels, or tighter bounds"
            )
        found.append({name: count * step for name, count in zip(names, counts, strict=True)})
    if not found:
        raise UserError(
            f"{place}: no multiples of {_percent(step)} are within the bounds; take more levels, or loosen them"
        )
    return found


def _compositions(total: int, limits: list[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Yield all whole numbers within their limits that sum to `total`, in order."""
    if not limits:
        if total == 0:
            yield ()
        return
    (low, high), others = limits[0], limits[1:]
    if any(least > most for least, most in others):
        return
    # The others can take the rest of each of these, so that no branch ends without a result.
    first = max(low, total - sum(most for _, most in others))
    last = min(high, total - sum(least for least, _ in others))
    for count in range(first, last + 1):
        for rest in _compositions(total - count, others):
            yield (count, *rest)


def draw_around(
    base: Mapping[str, Fraction],
    strength: tuple[float, float],
    count: int,
    bounds: Mapping[str, Range],
    seed: tuple[int, int],
    place: str,
) -> list[Shares]:
    """Draw shares around base shares, each from a Dirichlet distribution of parameters strength * K * base / total.

    A draw depends on the seed, its number and the draws before it: the first ones of a larger design are the same.

    Args:
        base: shares by category, all above 0; they sum to what is shared.
        strength: lowest and highest; each draw has one between, evenly by its logarithm.
        count: how many, all different, none the base.
        bounds: of the shares; what is outside is drawn again.
        seed: of the design, and the number of the axis.
        place: in the configuration.

    Raises:
        UserError: the bounds, or rounding, leave none or next to none.
    """
    found: list[Shares] = []
    taken = {tuple(base.values())}
    for number in range(count):
        sequence = np.random.SeedSequence(seed[0], spawn_key=(0, seed[1], number))
        found.append(_draw(base, strength, bounds, taken, np.random.Generator(np.random.PCG64(sequence)), place))
        taken.add(tuple(found[-1].values()))
    return found


def _draw(
    base: Mapping[str, Fraction],
    strength: tuple[float, float],
    bounds: Mapping[str, Range],
    taken: set[tuple[Fraction, ...]],
    generator: np.random.Generator,
    place: str,
) -> Shares:
    total = sum(base.values(), Fraction(0))
    center = np.array([float(own / total) for own in base.values()]) * len(base)
    missed = Counter[str]()
    for _ in range(_TRIES):
        own = min(math.exp(generator.uniform(math.log(strength[0]), math.log(strength[1]))), _STRONGEST)
        drawn = generator.dirichlet(own * center)
        # Rounding moves a share by less than two units: what is further outside needs no exact look.
        if far := [
            name for name, share in zip(base, drawn * float(total), strict=True) if _is_far(share, bounds, name)
        ]:
            missed.update(far)
            continue
        shares = round_shares(dict(zip(base, drawn.tolist(), strict=True)), total)
        missed.update(beyond := outside(shares, bounds))
        if not beyond and tuple(shares.values()) not in taken:
            return shares
    raise UserError(_nothing_drawn(place, len(taken), missed, bounds))


def _is_far(share: float, bounds: Mapping[str, Range], name: str) -> bool:
    bound, slack = bounds.get(name), float(2 * UNIT)
    if bound is None:
        return False
    return (bound.min is not None and share < bound.min - slack) or (
        bound.max is not None and share > bound.max + slack
    )


def _nothing_drawn(place: str, number: int, missed: Counter[str], bounds: Mapping[str, Range]) -> str:
    start = f"{place}: none of {_TRIES:,} draws for mixture {number:,} is"
    if sum(missed.values()) < _TRIES // 2:
        return f"{start} another than those before it; ask for fewer trials, or a lower strength"
    ranked = sorted(missed.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
    often = ", ".join(f"{name} {described(bounds[name])} missed by {count:,}" for name, count in ranked)
    return f"{start} within the bounds: {often}; loosen these, or move the base mixture into them"


def _low(bound: Range) -> Fraction:
    return bound.min or Fraction(0)


def _high(bound: Range, otherwise: Fraction) -> Fraction:
    return otherwise if bound.max is None else bound.max


def _percent(share: Fraction) -> str:
    return f"{100 * float(share):.6g}%"
