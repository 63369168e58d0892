"""From a run's configuration to what is trained: the mixture and its stages, the run's folder, the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import xxhash

from configs.errors import UserError
from configs.load import StrictModel
from mixing.mixture.manifest import load_manifest, manifest_path
from mixing.mixture.manifest_schema import Manifest, ManifestStage
from mixing.stream.stage_stream import stage_of
from mixing.tokens.tokenizer_file import TOKENIZER_FILE, find_tokenizer
from pretrain.checkpoint import checkpoint
from pretrain.checkpoint.checkpoint_files import RUN_FILE, RunState, read_record
from pretrain.data.data import plan_steps
from pretrain.hf import hf
from pretrain.hf.hf_config import read_config
from pretrain.model.attention import choose_attention
from pretrain.model.model import Decoder
from pretrain.model.model_config import ModelConfig
from pretrain.parallel.layout import Layout
from pretrain.parallel.parallel import DTYPES, build_parts
from pretrain.run.run_config import ModelSource, RunConfig

# Among the `versions` of a checkpoint: sha256 of the tokenizer that the tokens were made with.
TOKENIZER = "tokenizer"
# Of a run's folder.
CHECKPOINTS = "checkpoints"


class RunOptions(StrictModel):
    """What a command line says beside the file.

    Attributes:
        runs: folder of runs.
        mixture: in place of the file's.
        model: path of a model, in place of the file's.
        changed_mixture: go on although the mixture is another one than at the last checkpoint.
    """

    runs: Path = Path("runs")
    mixture: Path | None = None
    model: Path | None = None
    changed_mixture: bool = False


class RunPlan(NamedTuple):
    """What is to be done.

    Attributes:
        config: with what the command line says.
        folder: of the run.
        mixture: path of the manifest.
        checksum: of the manifest.
        manifest: of the mixture.
        stages: those that are trained, in their order.
        model: the shape.
    """

    config: RunConfig
    folder: Path
    mixture: Path
    checksum: str
    manifest: Manifest
    stages: tuple[ManifestStage, ...]
    model: ModelConfig

    @property
    def tokens(self) -> int:
        """Of all stages."""
        return sum(stage.tokens for stage in self.stages)


def open_plan(config: RunConfig, options: RunOptions) -> RunPlan:
    """Read the mixture and the shape of the model, and check that they fit.

    Raises:
        UserError: something is missing, or does not fit; the line says what.
    """
    config = config.model_copy(update={"model": _source(config.model, options.model)})
    path = manifest_path(options.mixture or config.mixture).expanduser().absolute()
    manifest = load_manifest(path)
    stages = tuple(manifest.stages if config.stages is None else (stage_of(manifest, name) for name in config.stages))
    if not stages or len({stage.name for stage in stages}) < len(stages):
        raise UserError("stages: name each stage of the run once, or leave `stages` out to train them all")
    model = _model_shape(config.model, manifest)
    _check_fit(model, manifest, stages, config)
    checksum = xxhash.xxh3_128_hexdigest(path.read_bytes())
    folder = options.runs.expanduser().absolute() / config.name
    return RunPlan(config.model_copy(update={"mixture": path}), folder, path, checksum, manifest, stages, model)


def check_stages(plan: RunPlan, layout: Layout) -> None:
    """Check that ranks can share the steps of each stage: a mistake about the last one is not told after days.

    Raises:
        UserError: they cannot.
    """
    for stage in plan.stages:
        layout.check_length(stage.sequence_length)
        steps = plan_steps(plan.config.batch, stage, layout.data_world)
        layout.check_micro_batches(-(-steps.sequences // steps.micro_batch))


def build_model(plan: RunPlan, layout: Layout, device: torch.device) -> list[Decoder]:
    """Return this rank's parts of the model, spread over the ranks, without weights."""
    compute = plan.config.compute
    kernel = choose_attention(compute.attention, device, DTYPES[compute.dtype], plan.model.head_dim)
    parts = build_parts(plan.model, layout, compute, kernel)
    for part in parts:
        if plan.config.optimizer.weights == "bf16":
            part.to(torch.bfloat16)
        part.to_empty(device=device)
    return parts


def load_model(plan: RunPlan, parts: Sequence[Decoder]) -> None:
    """Set the weights that the run begins with.

    Raises:
        UserError: they are missing, damaged, or those of another model.
    """
    source = plan.config.model
    if source.path is not None and _is_checkpoint(source.path):
        checkpoint.load_weights(source.path, parts)
        return
    for part in parts:
        if source.path is None:
            part.init_weights(source.seed)
        else:
            hf.load_weights(part, source.path)


def _source(source: ModelSource, path: Path | None) -> ModelSource:
    """Return what is trained: what the command line says, or else the file; a path is absolute."""
    if path is not None:
        source = source.model_copy(update={"shape": None})
    path = path or source.path
    return source.model_copy(update={"path": None if path is None else path.expanduser().absolute()})


def _model_shape(source: ModelSource, manifest: Manifest) -> ModelConfig:
    if source.path is None:
        assert source.shape is not None, "checked by ModelSource"
        shape = source.shape
    elif _is_checkpoint(source.path):
        try:
            found = read_record(source.path).state
        except ValueError as error:
            raise UserError(f"the checkpoint {source.path} cannot be read: {error}") from error
        check_tokenizer(manifest, found, f"the checkpoint {source.path}")
        shape = found.model
    elif (source.path / CHECKPOINTS).is_dir():
        raise UserError(
            f"{source.path} is the folder of a run: give one of {source.path / CHECKPOINTS}/step_*, or its hf/"
        )
    else:
        shape = read_config(source.path)
    changes = {"max_positions": source.max_positions, "rope_theta": source.rope_theta}
    return shape.model_copy(update={name: value for name, value in changes.items() if value is not None})


def _is_checkpoint(path: Path) -> bool:
    return (path / RUN_FILE).is_file()


def _check_fit(model: ModelConfig, manifest: Manifest, stages: Sequence[ManifestStage], config: RunConfig) -> None:
    own, source = manifest.tokenizer, config.model
    if own.vocabulary_size > model.vocab_size:
        raise UserError(
            f"the tokenizer {own.name} of the mixture {manifest.name} has {own.vocabulary_size:,} tokens, the model an "
            f"embedding of {model.vocab_size:,}: run `make tokens` with the model's tokenizer, or give `vocab_size`"
        )
    for stage in stages:
        if stage.sequence_length > model.max_positions:
            raise UserError(
                f"stage {stage.name!r} has sequences of {stage.sequence_length:,} tokens, the model is made for "
                f"{model.max_positions:,}: set model.max_positions (and model.rope_theta, if the rotary base is to "
                "change) to train it for longer ones, or make the mixture with shorter ones"
            )
    held_out = config.evaluation.sequence_length
    if held_out is not None and held_out > model.max_positions:
        raise UserError(
            f"evaluation.sequence_length is {held_out:,}, the model is made for {model.max_positions:,}: give at most "
            "so many, or leave it out for that of the first stage"
        )
    beside = source.path / TOKENIZER_FILE if source.path is not None else None
    if beside is not None and beside.is_file() and find_tokenizer(beside, None).sha256 != own.sha256:
        raise UserError(
            f"the tokens of the mixture {manifest.name} were made with the tokenizer {own.name} (sha256 "
            f"{own.sha256[:12]}), {beside} is another one: run `make tokens` with TOKENIZER={beside}"
        )


def check_tokenizer(manifest: Manifest, found: RunState, what: str) -> None:
    """Raise a UserError where a checkpoint, `what`, was trained on tokens of another tokenizer than the mixture's."""
    own = manifest.tokenizer
    then = found.versions.get(TOKENIZER, own.sha256)
    if then != own.sha256:
        raise UserError(
            f"{what} was trained on tokens of another tokenizer (sha256 {then[:12]}) than those of the mixture "
            f"{manifest.name} ({own.name}, sha256 {own.sha256[:12]}): make the mixture of tokens of the same one"
        )
