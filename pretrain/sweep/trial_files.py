"""From a point of the design to files: a mixture and a run that `make cpt` would train without this sweep, too."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from configs.errors import UserError
from configs.load import StrictModel
from curation.report import visible
from curation.store import scratch_folder, write_text_atomically
from mixing.mixture.budget import round_to_sum
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.manifest import MANIFEST_FILE, read_manifest
from mixing.mixture.manifest_diff import compare_manifests
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import CategoryConfig, MixtureConfig, StageConfig
from mixing.mixture.publish import write_mixture
from mixing.mixture.resolve import resolve_mixture
from mixing.mixture.slices import Condition
from pretrain.run.run_config import RunConfig
from pretrain.sweep.trial import Point

# Document ids are hashes of 128 bits in hexadecimal digits: those up to a number are a part of the documents by chance.
ID_COLUMN, ID_DIGITS = "document_id", 32
# A folder of a mixture beside what it would be now: alike; alike, its tokens elsewhere; another, damaged or not there.
Standing = Literal["same", "moved", "other"]


class Base(NamedTuple):
    """What trials are made of.

    Attributes:
        mixture: the base mixture, its held-out texts named.
        run: configuration of the trials' runs.
        tokens: folder of the sources' tokens.
        variants: of the corpora.
        budget: tokens of a trial; None is the mixture's own.
        target: tokens of the run that is to be paid for.
        same_epochs: whether trials repeat texts as often as that would.
        constant_rate: whether trials stay at the peaks.
    """

    mixture: MixtureConfig
    run: RunConfig
    tokens: Path
    variants: Mapping[str, Mapping[str, str]]
    budget: int
    target: int
    same_epochs: bool = False
    constant_rate: bool = False


def target_mixture(base: Base, point: Point) -> MixtureConfig:
    """Return the mixture of a point for the run that is to be paid for.

    Raises:
        UserError: a stage would have no token.
    """
    return _point_mixture(base, point, base.target, Fraction(1), constant=False)


def trial_mixture(base: Base, point: Point) -> MixtureConfig:
    """Return the mixture of a point for a trial, with the point's seed.

    Raises:
        UserError: a stage would have no token.
    """
    kept = min(Fraction(1), Fraction(base.budget, base.target)) if base.same_epochs else Fraction(1)
    mixture = _point_mixture(base, point, base.budget, kept, base.constant_rate)
    return mixture.model_copy(update={"seed": point.seed})


def _point_mixture(base: Base, point: Point, total: int, kept: Fraction, constant: bool) -> MixtureConfig:
    old = [stage.tokens for stage in base.mixture.stages]
    parts = point.stage_split or [Fraction(tokens, sum(old)) for tokens in old]
    tokens = list(round_to_sum({str(place): Fraction(part) * total for place, part in enumerate(parts)}).values())
    if not all(tokens):
        raise UserError(f"a budget of {total:,} tokens leaves a stage without any; give more")
    factor = 1.0 if point.learning_rate is None else point.learning_rate / base.mixture.stages[0].learning_rate.peak
    names = {} if point.variant is None else base.variants[point.variant]
    stages = tuple(
        stage.model_copy(
            update={
                "tokens": count,
                "learning_rate": _learning_rate(stage.learning_rate, factor, Fraction(count, stage.tokens), constant),
                "categories": _categories(stage, point.shares.get(stage.name), names, kept),
            }
        )
        for stage, count in zip(base.mixture.stages, tokens, strict=True)
    )
    changes: dict[str, object] = {"stages": stages}
    if point.max_epochs is not None:
        changes["max_epochs"] = point.max_epochs
    if names:
        changes["max_epochs_of"] = {names.get(name, name): cap for name, cap in base.mixture.max_epochs_of.items()}
    return base.mixture.model_copy(update=changes)


def trial_configs(base: Base, point: Point, mixtures: Path) -> tuple[MixtureConfig, RunConfig]:
    """Return mixture and run of a trial, named by their content.

    Args:
        base: what trials are made of.
        point: what this one varies.
        mixtures: folder of mixtures.
    """
    mixture = trial_mixture(base, point)
    model = base.run.model.model_copy(update={"seed": point.seed})
    run = base.run.model_copy(update={"model": model})
    content = [own.model_dump(mode="json", exclude={"name", "mixture"}) for own in (mixture, run)]
    name = "t" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    return mixture.model_copy(update={"name": name}), run.model_copy(update={"name": name, "mixture": mixtures / name})


def mixture_problem(config: MixtureConfig, tokens: Path, scratch: Path) -> str | None:
    """Return why a mixture cannot be made of the tokens; None if it can."""
    with scratch_folder(scratch) as folder:
        try:
            resolve_mixture(config, tokens, folder, folder)
        except UserError as error:
            return str(error)
    return None


def place_mixture(
    config: MixtureConfig, tokens: Path, mixtures: Path, make_way: Callable[[Standing], None] = lambda standing: None
) -> Manifest:
    """Make a mixture's folder, unless there is one that trains alike and knows where its tokens are.

    Args:
        config: the mixture.
        tokens: folder of the sources' tokens.
        mixtures: folder of mixtures.
        make_way: called before a folder is made, with what stood there: what was trained on another mixture has to go
            first, or a kill between the two would leave it beside the new one.

    Raises:
        UserError: it cannot be made of these tokens.
    """
    folder = mixtures / config.name
    standing, manifest = _standing(config, tokens, mixtures)
    if manifest is not None and standing == "same":
        return manifest
    make_way(standing)
    if not (folder / MANIFEST_FILE).is_file():
        shutil.rmtree(folder, ignore_errors=True)  # what is left of one is no mixture
    return write_mixture(config, tokens, mixtures)


def write_yaml(path: Path, config: StrictModel, heading: str = "") -> None:
    """Write a configuration as YAML that reads as the same one; what is a default is left out.

    Args:
        path: of the file.
        config: it.
        heading: lines of a comment on top.
    """
    # Names may hold characters that YAML does not allow, not even in a comment.
    lines = "".join(f"# {visible(line, len(line))}\n" for line in heading.splitlines())
    plain = config.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, lines + text)


def _standing(config: MixtureConfig, tokens: Path, mixtures: Path) -> tuple[Standing, Manifest | None]:
    folder = mixtures / config.name
    try:
        earlier = read_manifest(folder)
    except UserError:
        return "other", None
    with scratch_folder(mixtures / ".compared") as scratch:
        found = resolve_mixture(config, tokens, scratch, folder)
    slices = [own.where.file for stage in earlier.stages for own in stage.sources if own.where is not None]
    whole = all((folder / file).is_file() for file in slices)
    if not whole or compare_manifests(earlier, found) or _shards(earlier) != _shards(found):
        return "other", earlier
    return ("same" if _folders(earlier) == _folders(found) else "moved"), earlier


def _folders(manifest: Manifest) -> list[str]:
    drawn = [own.folder for stage in manifest.stages for own in stage.sources]
    return [*drawn, *(own.folder for own in manifest.validation)]


def _shards(manifest: Manifest) -> list[object]:
    """Return the checksums of all that is read: held-out texts, too, whose change is no change of the training."""
    drawn = [own.shards for stage in manifest.stages for own in stage.sources]
    return [*drawn, *(own.shards for own in manifest.validation)]


def _learning_rate(plan: LearningRateConfig, factor: float, part: Fraction, constant: bool) -> LearningRateConfig:
    def shrunk(tokens: int | None) -> int | None:
        return None if tokens is None else max(1, int(tokens * part))

    changes: dict[str, object] = {
        "peak": plan.peak * factor,
        "start": plan.start * factor,
        "warmup_tokens": shrunk(plan.warmup_tokens),
        "final": None if plan.final is None else plan.final * factor,
        "decay_tokens": shrunk(plan.decay_tokens),
    }
    if constant:
        changes |= {"schedule": "constant", "final": None, "decay_tokens": None}
    return plan.model_copy(update=changes)


def _categories(
    stage: StageConfig, shares: Mapping[str, Fraction] | None, names: Mapping[str, str], kept: Fraction
) -> dict[str, CategoryConfig]:
    return {
        name: _category(own, own.share if shares is None else shares[name], names, kept)
        for name, own in stage.categories.items()
    }


def _category(own: CategoryConfig, share: Fraction, names: Mapping[str, str], kept: Fraction) -> CategoryConfig:
    changes: dict[str, object] = {"share": share}
    if names:
        changes["sources"] = tuple(
            source.model_copy(update={"name": names.get(source.name, source.name)}) for source in own.sources
        )
        if own.spread.shares is not None and own.spread.over == "sources":
            renamed = {names.get(name, name): part for name, part in own.spread.shares.items()}
            changes["spread"] = own.spread.model_copy(update={"shares": renamed})
    if kept < 1:
        last = f"{int(kept * 16**ID_DIGITS) - 1:0{ID_DIGITS}x}"
        changes["where"] = {**own.where, ID_COLUMN: Condition(max=last)}
    return own.model_copy(update=changes)
