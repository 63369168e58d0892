"""A stage of a mixture as arguments of Megatron-LM's `pretrain_gpt.py`, besides its blend of shards.

Megatron-LM's own name for a stage is a run: its iterations, samples and learning rate are counted from 0. A run that
finds no checkpoint in `--load` begins with the weights in `--pretrained-checkpoint`, and nothing else of it: that sets
`--finetune` for this one start. `--finetune` itself is not written, because a stage that is started again after a
crash would then begin anew, from its own last weights (`load_checkpoint` in its `megatron/training/checkpointing.py`).
"""

from __future__ import annotations

from mixing.export.stages import stage_name, stage_seed
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.manifest_schema import Manifest

Arguments = dict[str, str]
_STYLES = {"constant": "constant", "cosine": "cosine", "linear": "linear", "warmup_stable_decay": "WSD"}


def stage_arguments(manifest: Manifest, number: int, checkpoints: str) -> Arguments:
    """Return length, samples, seed, learning rate and checkpoints of a stage.

    Args:
        manifest: of the mixture.
        number: of the stage, counted from 1.
        checkpoints: folder of the stages' checkpoints; a relative one counts from where the trainer is started.
    """
    stage = manifest.stages[number - 1]
    samples = -(-stage.tokens // stage.sequence_length)
    own = _checkpoints_of(manifest, number, checkpoints)
    arguments = {
        "--seq-length": str(stage.sequence_length),
        "--train-samples": str(samples),
        "--seed": str(stage_seed(manifest, number)),
        **learning_rate_arguments(stage.learning_rate, stage.sequence_length, samples),
        "--load": own,
        "--save": own,
    }
    if number > 1:
        arguments["--pretrained-checkpoint"] = _checkpoints_of(manifest, number - 1, checkpoints)
    return arguments


def _checkpoints_of(manifest: Manifest, number: int, checkpoints: str) -> str:
    """Return the folder of a stage's checkpoints; what it is below may be an address, which no path may rewrite."""
    return f"{checkpoints.rstrip('/')}/{manifest.name}/{stage_name(number, manifest.stages[number - 1].name)}"


def learning_rate_arguments(plan: LearningRateConfig, sequence_length: int, samples: int) -> Arguments:
    """Return the plan of a stage's learning rate, its tokens rounded to samples.

    Args:
        plan: of the stage.
        sequence_length: tokens of a sample.
        samples: of the stage, 1 at least. Megatron-LM wants a warm-up that is shorter than that.
    """
    warmup = min(round((plan.warmup_tokens or 0) / sequence_length), samples - 1)
    arguments = {
        "--lr": repr(plan.peak),
        "--lr-decay-style": _STYLES[plan.schedule],
        "--lr-decay-samples": str(samples),
        "--lr-warmup-samples": str(warmup),
        "--lr-warmup-init": repr(plan.start),
    }
    if plan.final is not None:
        arguments["--min-lr"] = repr(plan.final)
    if plan.decay_tokens is not None:
        decay = min(max(1, round(plan.decay_tokens / sequence_length)), samples - warmup)
        arguments |= {"--lr-wsd-decay-style": "linear", "--lr-wsd-decay-samples": str(decay)}
    return arguments
