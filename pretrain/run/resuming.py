"""What a run that goes on has to have in common with its last checkpoint, and what may be another than then."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch

from configs.errors import UserError
from pretrain.checkpoint.checkpoint import Checkpointer
from pretrain.checkpoint.checkpoint_files import RunState, read_record
from pretrain.model.model import Decoder
from pretrain.parallel.layout import Layout
from pretrain.run.run_setup import TOKENIZER, RunPlan, check_tokenizer, load_model

_KEPT = ("step", "tokens", "stage", "stage_tokens", "stage_end", "stream", "first_evaluation")
# Told elsewhere, or of no consequence.
_NOT_TOLD = ("name", "mixture", "log_every_steps")
# What a run begins with: a checkpoint has it already.
_BEGINNING = ("model.path", "model.seed")


class Trained(NamedTuple):
    """What is trained on this rank."""

    parts: list[Decoder]
    optimizer: torch.optim.Optimizer
    layout: Layout


def begin_or_resume(
    plan: RunPlan, trained: Trained, checkpointer: Checkpointer, changed_mixture: bool, tell: Callable[[str], None]
) -> RunState:
    """Go to the last checkpoint of the run, or to its beginning; return where it stands.

    Raises:
        UserError: the checkpoint is not of this run, or the weights to begin with cannot be read.
    """
    begin = begin_state(plan, trained.layout)
    path = checkpointer.latest()
    if path is None:
        load_model(plan, trained.parts)
        return begin
    found = read_record(path).state
    check_same_run(plan, found, changed_mixture)
    checkpointer.load(path, trained.parts, trained.optimizer, begin.layout)
    tell(f"goes on at {path}: step {found.step:,}, {found.tokens:,} tokens")
    for change in tell_changes(begin, found):
        tell(change)
    return go_on_state(plan, begin, found)


def begin_state(plan: RunPlan, layout: Layout) -> RunState:
    """Return where a run stands before its first step."""
    return RunState(
        step=0,
        tokens=0,
        stage=plan.stages[0].name,
        stage_index=0,
        stage_tokens=0,
        manifest=plan.checksum,
        config=plan.config.model_dump(mode="json"),
        model=plan.model,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            TOKENIZER: plan.manifest.tokenizer.sha256,
        },
        layout=layout.sizes._asdict(),
    )


def go_on_state(plan: RunPlan, begin: RunState, found: RunState) -> RunState:
    """Return where a run stands that goes on at a checkpoint, with what is configured now."""
    index = [stage.name for stage in plan.stages].index(found.stage)
    return begin.model_copy(update={name: getattr(found, name) for name in _KEPT} | {"stage_index": index})


def check_same_run(plan: RunPlan, found: RunState, changed_mixture: bool) -> None:
    """Check that a checkpoint is one of this run.

    Raises:
        UserError: it is of another model, tokenizer or mixture, or the stages before it are others.
    """
    if found.model != plan.model:
        raise UserError(
            f"the checkpoints in {plan.folder} are of a model of another shape: give the run another name, or move them"
        )
    check_tokenizer(plan.manifest, found, f"the run in {plan.folder}")
    if found.manifest != plan.checksum and not changed_mixture:
        raise UserError(
            f"the mixture {plan.mixture} is another one than at the last checkpoint in {plan.folder}: use the old one, "
            "or say CHANGED=yes (--changed-mixture): sources then go on where they stood, with the new shares"
        )
    names = [stage.name for stage in plan.stages]
    if found.stage not in names:
        raise UserError(
            f"the last checkpoint in {plan.folder} is of stage {found.stage!r}, which the run has not: "
            f"{', '.join(names)}"
        )
    before = names[: names.index(found.stage)]
    then = found.config.get("stages")
    if found.stage_index != len(before) or (isinstance(then, list) and then[: len(before)] != before):
        told = ", ".join(map(str, then)) if isinstance(then, list) else "all stages of the mixture"
        raise UserError(
            f"the run in {plan.folder} was begun with {told}, and stands in {found.stage!r}: the stages before it "
            f"cannot be others now ({', '.join(before) or 'none'}); give the run another name to begin anew"
        )


def tell_changes(begin: RunState, found: RunState) -> Iterator[str]:
    """Yield a line for each thing that is another one than at the checkpoint, `found`."""
    now, then = (dict(_flat(state.config)) for state in (begin, found))
    for name in sorted(now.keys() & then.keys()):
        if now[name] == then[name] or name in _NOT_TOLD:
            continue
        change = f"{name}: {json.dumps(now[name])} instead of {json.dumps(then[name])}"
        if name in _BEGINNING:
            yield f"{change} changes nothing: the run goes on with its own weights"
        else:
            yield f"from here on with {change}"
    for name, version in begin.versions.items():
        if (old := found.versions.get(name, version)) != version:
            yield f"from here on with {name} {version} instead of {old}"
    if begin.layout != found.layout:
        sizes = ("x".join(str(size) for size in state.layout.values()) for state in (begin, found))
        yield "from here on with {} ranks instead of {} ({})".format(*sizes, " x ".join(begin.layout))


def _flat(tree: Mapping[str, object], place: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield place + name, value
