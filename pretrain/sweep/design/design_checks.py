"""What a design may ask of a base mixture, besides its axes over shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from configs.errors import UserError
from mixing.mixture.amounts import decimal_text
from mixing.mixture.mixture import MixtureConfig
from pretrain.sweep.design.refusals import refuse_twice, refuse_unknown
from pretrain.sweep.design.share_axes import VariedShares
from pretrain.sweep.design.simplex import refuse_impossible
from pretrain.sweep.sweep_config import Constraints, DesignConfig


def check_other_axes(design: DesignConfig, mixture: MixtureConfig) -> None:
    """Check the axes that are not over shares.

    Raises:
        UserError: one does not fit the base mixture, or holds a value twice.
    """
    for name in ("learning_rate", "stage_split", "max_epochs", "seeds"):
        refuse_twice(getattr(design, name), f"design.{name}")
    for split in design.stage_split:
        _check_split(split, mixture)
    if design.max_epochs and not mixture.max_epochs:
        raise UserError(
            f"design.max_epochs: the base mixture has `max_epochs: {'null' if mixture.max_epochs is None else 0}`, and "
            "caps are compared with its own; give it one above 0"
        )
    if not all(design.max_epochs):
        raise UserError("design.max_epochs: under a cap of 0 no text is read; give numbers above 0")
    _check_variants(design.corpora, mixture)


def check_constraints(constraints: Constraints, varied: Sequence[VariedShares]) -> None:
    """Check the bounds of the recommended mixture's shares.

    Raises:
        UserError: a category is not there or does not vary, or no shares are within the bounds.
    """
    place = "constraints.shares"
    if constraints.shares and not varied:
        raise UserError(f"{place}: no shares vary; give design.shares, or leave it out")
    names = dict.fromkeys(name for own in varied for name in own.base)
    refuse_unknown(constraints.shares, names, f"{place}: no category varies that is called")
    for own in varied:
        bounds = {name: bound for name, bound in constraints.shares.items() if name in own.base}
        refuse_impossible(bounds, own.base, own.total, place)


def _check_split(split: Sequence[Fraction], mixture: MixtureConfig) -> None:
    shown = f"design.stage_split: [{', '.join(decimal_text(share) for share in split)}]"
    names = [stage.name for stage in mixture.stages]
    if len(split) != len(names):
        raise UserError(f"{shown} has {len(split)} shares, the base mixture {len(names)} stages: {', '.join(names)}")
    if not all(split):
        raise UserError(f"{shown} leaves the stage {names[split.index(0)]!r} without tokens; give shares above 0")
    if sum(split) != 1:
        raise UserError(f"{shown} sums to {float(sum(split)):.12g}, not to 1")


def _check_variants(variants: Mapping[str, Mapping[str, str]], mixture: MixtureConfig) -> None:
    stages = {
        stage.name: [source.name for category in stage.categories.values() for source in category.sources]
        for stage in mixture.stages
    }
    known = dict.fromkeys(name for names in stages.values() for name in names)
    changes: dict[str, dict[str, str]] = {}
    for variant, names in variants.items():
        place = f"design.corpora.{variant}"
        refuse_unknown(names, known, f"{place}: the base mixture has no source")
        for stage, sources in stages.items():
            _check_replaced([(name, names.get(name, name)) for name in sources], f"{place}, stage {stage!r}")
        changes[variant] = {name: other for name, other in names.items() if name != other}
        for earlier in list(changes)[:-1]:
            if changes[earlier] == changes[variant]:
                raise UserError(f"{place} is the same as {earlier}: they have the same sources")


def _check_replaced(sources: Sequence[tuple[str, str]], place: str) -> None:
    """Refuse a source that takes the place of one and stands there as another, too."""
    of: dict[str, str] = {}
    for name, other in sources:
        if of.setdefault(other, name) != name:
            raise UserError(f"{place}: {of[other]!r} and {name!r} would both be the source {other!r}")
