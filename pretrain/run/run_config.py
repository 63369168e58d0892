"""What a training run is configured with; `configs/pretrain/` has those that are shipped.

What is trained on, for how many tokens, in sequences of which length and at which learning rate stands in the mixture's
manifest, by stage; here stands how.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from configs.load import StrictModel
from mixing.mixture.amounts import Tokens
from mixing.mixture.mixture import Name
from pretrain.model.attention import Kernel
from pretrain.model.model import ModelConfig

Size = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Language = Annotated[str, StringConstraints(min_length=1)]


class ModelSource(StrictModel):
    """What is trained: exactly one of the two.

    Attributes:
        path: folder of a Hugging Face checkpoint (config.json and safetensors), or of a checkpoint of a run.
        shape: of a model with new weights.
        seed: of new weights.
        max_positions: raises the longest sequence of the model, for a stage of longer ones; None is the model's own.
        rope_theta: of rotary positions, where a longer context asks for another one; None is the model's own.
    """

    path: Path | None = None
    shape: ModelConfig | None = None
    seed: Count = 0
    max_positions: Size | None = None
    rope_theta: Positive | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.path is None) == (self.shape is None):
            raise ValueError("give either the path of a model or the shape of a new one")
        return self


class BatchConfig(StrictModel):
    """What a step trains on.

    Attributes:
        tokens: of a step, over all ranks; in each stage rounded down to whole sequences that the ranks can share.
        micro_tokens: of a rank at once, rounded down to whole sequences, one at least.
        prefetch: steps that are read ahead.
    """

    tokens: Tokens
    micro_tokens: Tokens
    prefetch: Size = 2


class OptimizerConfig(StrictModel):
    """AdamW (I. Loshchilov and F. Hutter, arXiv 1711.05101).

    Attributes:
        betas, eps, weight_decay: of AdamW. Biases and norms do not decay.
        decay_embeddings: whether the embedding does, and a head of its own.
        clip: norm of all gradients at most; None is none.
        weights: `fp32` master weights, which a step reads in bfloat16, or `bf16` ones, rounded stochastically.
        states: bits of the moments: `fp32`, or `int8` by blocks (T. Dettmers et al., arXiv 2110.02861; needs torchao).
    """

    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.1
    decay_embeddings: bool = True
    clip: Positive | None = 1.0
    weights: Literal["fp32", "bf16"] = "fp32"
    states: Literal["fp32", "int8"] = "fp32"


class ParallelConfig(StrictModel):
    """How ranks share the work; their number is the product of all.

    Attributes:
        replicate: copies of the model (hybrid FSDP); each reads other data.
        shard: ranks that share weights, gradients and states of the optimizer (FSDP2), and read other data. None is
            what the others leave.
        tensor: ranks that share the heads and the hidden units of each layer, and the sequence between them.
        context: ranks that share the tokens of each sequence.
        pipeline: ranks that share the layers.
        schedule: of the pipeline.
        stages_per_rank: parts of the model on each rank of the pipeline, with `interleaved` and `zero_bubble`.
    """

    replicate: Size = 1
    shard: Size | None = None
    tensor: Size = 1
    context: Size = 1
    pipeline: Size = 1
    schedule: Literal["1f1b", "interleaved", "zero_bubble"] = "1f1b"
    stages_per_rank: Size = 2


class ComputeConfig(StrictModel):
    """How a step is computed.

    Attributes:
        dtype: of what layers compute in; the loss, norms and the optimizer compute in float32.
        attention: the kernel; `auto` is the fastest that the device has.
        loss_chunk: tokens of which there are logits at a time; None is as many as 1.25 GiB of them hold.
        compile: layers are compiled.
        recompute: which layers' activations are computed again in the backward pass: `none`, `all`, or `selective`, all
            but the outputs of attention and of matrix products.
        float8: matrix products in float8 (torchao; needs a GPU that has it).
    """

    dtype: Literal["bf16", "fp32"] = "bf16"
    attention: Literal["auto"] | Kernel = "auto"
    loss_chunk: Size | None = None
    compile: bool = True
    recompute: Literal["none", "selective", "all"] = "none"
    float8: bool = False


class CheckpointConfig(StrictModel):
    """When checkpoints are written.

    Attributes:
        every_steps: None is at the ends of stages only.
        keep: complete ones that stay; None is all. The last one of each stage stays in any case.
        background: written while training goes on.
    """

    every_steps: Size | None = 500
    keep: Size | None = 2
    background: bool = True


class EvaluationConfig(StrictModel):
    """When and on what the held-out loss is measured.

    Attributes:
        every_steps: None is before the first step and at the ends of stages only.
        max_tokens: of each source's held-out texts at most; None is all.
        sequence_length: None is the first stage's. It is the same in all stages, so that losses compare.
        forgetting: languages that the model knows already: what it loses there is forgetting. All others adapt.
        max_forgetting: how far their bits per byte may rise above those before the first step, as a part of them,
            before a warning; None is no warning.
    """

    every_steps: Size | None = 100
    max_tokens: Tokens | None = None
    sequence_length: Size | None = None
    forgetting: tuple[Language, ...] = ("en", "zh")
    max_forgetting: NotNegative | None = 0.02


class SpikeConfig(StrictModel):
    """What is done about steps that would do harm.

    Attributes:
        skip_not_finite: a step whose loss or gradient is not finite does not change the weights.
        max_not_finite: so many of them in a row end the run.
        loss_factor: a loss above this many times the median of the last `window` steps is told; None is never.
        window: steps.
    """

    skip_not_finite: bool = True
    max_not_finite: Size = 3
    loss_factor: Positive | None = 1.5
    window: Size = 50


class RunConfig(StrictModel):
    """A training run.

    Attributes:
        name: of the run, and of its folder.
        mixture: folder of the mixture, or its manifest.
        model: what is trained.
        stages: of the mixture, in this order; None is all.
        earlier: other mixtures that the run was trained with before, where slices were drawn from (`where:`).
        batch, optimizer, parallel, compute, checkpoint, evaluation, spikes: see their classes.
        export: whether the model is written for Hugging Face at the end of the run.
        log_every_steps: lines on the terminal; the log file has every step.
    """

    name: Name
    mixture: Path
    model: ModelSource
    stages: tuple[str, ...] | None = None
    earlier: tuple[Path, ...] = ()
    batch: BatchConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    parallel: ParallelConfig = ParallelConfig()
    compute: ComputeConfig = ComputeConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    spikes: SpikeConfig = SpikeConfig()
    export: bool = True
    log_every_steps: Size = 10

    @model_validator(mode="after")
    def _computes_in_what_weights_have(self) -> Self:
        if self.optimizer.weights == "bf16" and self.compute.dtype == "fp32":
            raise ValueError(
                "compute.dtype fp32 cannot be computed with bf16 weights: give bf16, or optimizer.weights fp32"
            )
        return self
