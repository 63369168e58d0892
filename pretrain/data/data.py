"""From the token stream of a stage to what a training step eats: micro-batches of tensors, read ahead by a thread.

A stage ends with the first step that reaches its budget of tokens, padding not counted: less than a step is trained
beyond the budget.

Shape legend: B = sequences of a micro-batch, L = tokens of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel, validate_config
from mixing.mixture.manifest import read_manifest
from mixing.mixture.manifest_schema import ManifestStage
from mixing.stream.batch import IGNORED
from mixing.stream.stage_stream import open_stage, stage_of
from mixing.stream.state import MixtureState, StreamState
from mixing.stream.stream import TokenStream
from mixing.tokens.token_source import TokenizerIdentity
from pretrain.data.micro_batch import MicroBatch as MicroBatch
from pretrain.data.micro_batch import make_micro_batches, pinning_device
from pretrain.data.read_ahead import ReadAhead
from pretrain.run.run_config import BatchConfig


class StageState(StrictModel):
    """Where the data of a run stands: what a checkpoint keeps, the same on every rank.

    Attributes:
        stage: that the last step was of.
        stage_tokens: of that stage until then, on all ranks, padding not counted.
        stream: where the token stream stands.
    """

    stage: str
    stage_tokens: Annotated[int, Field(ge=0)]
    stream: StreamState


class StepBatch(NamedTuple):
    """What a rank trains on in a step.

    Attributes:
        micro: its micro-batches, all of one shape.
        valid_tokens: of this rank, that have a target.
        tokens: of this rank, padding not counted.
        source_tokens: of the step by source, on all ranks, padding not counted.
        stage_tokens: of the stage after this step, on all ranks, padding not counted.
        state: where the data stands after this step, as JSON can hold it: a `StageState`.
        wait_s: seconds that the trainer waited for it.
    """

    micro: tuple[MicroBatch, ...]
    valid_tokens: int
    tokens: int
    source_tokens: dict[str, int]
    stage_tokens: int
    state: dict[str, object]
    wait_s: float = 0.0

    def source_shares(self) -> dict[str, float]:
        """Return the shares of the sources in the step's tokens."""
        whole = max(1, sum(self.source_tokens.values()))
        return {name: tokens / whole for name, tokens in self.source_tokens.items()}


class StepPlan(NamedTuple):
    """How a stage is divided into steps.

    Attributes:
        sequences: of a rank in a step.
        micro_batch: B.
        tokens: of a step, on all ranks.
        steps: of the stage; at least so many where documents are packed, as padding is no token.
    """

    sequences: int
    micro_batch: int
    tokens: int
    steps: int


def plan_steps(batch: BatchConfig, stage: ManifestStage, data_world: int) -> StepPlan:
    """Return how a stage is divided into steps.

    Args:
        batch: tokens of a step, and of a micro-batch at most.
        stage: of the mixture.
        data_world: ranks that read other data.

    Raises:
        UserError: a step has not one sequence for each of these ranks.
    """
    length = stage.sequence_length
    sequences = batch.tokens // (length * data_world)
    if not sequences:
        raise UserError(
            f"batch.tokens is {batch.tokens:,}, but one sequence of {length:,} tokens (stage {stage.name!r}) for each "
            f"of {data_world:,} data ranks takes {length * data_world:,}: raise batch.tokens, or use fewer data ranks"
        )
    most = max(1, batch.micro_tokens // length)
    # As few micro-batches as can be, as even as can be: of 9 sequences, 8 at most at once, 5 and 4 (and an empty row).
    micro_batch = -(-sequences // -(-sequences // most))
    tokens = sequences * length * data_world
    return StepPlan(sequences, micro_batch, tokens, -(-stage.tokens // tokens))


class StageBatches:
    """The steps of a stage for one rank, until its budget of tokens is reached."""

    def __init__(
        self,
        manifest: Path,
        stage: str,
        batch: int,
        micro_batch: int,
        rank: int = 0,
        world: int = 1,
        state: Mapping[str, object] | None = None,
        prefetch: int = 2,
        earlier: Sequence[Path] = (),
    ) -> None:
        """Open a stage, and begin to read ahead.

        Args:
            manifest: of the mixture, or its folder.
            stage: its name.
            batch: sequences of a rank in a step.
            micro_batch: B.
            rank: of this process among those that read other data. Ranks that share the tokens of a sequence, its heads
                or the layers have the same one.
            world: how many there are.
            state: of a step of this stage, with any number of ranks: the next one follows; of an earlier stage: the
                stage begins, and its sources go on where they stood. None is the beginning.
            prefetch: steps that are read ahead.
            earlier: other mixtures that the run was trained with before, for the slices that they drew from.

        Raises:
            UserError: there is no such stage, its tokens changed, or the state is not of this mixture.
        """
        stream = open_stage(manifest, stage, None, batch, rank, world, earlier=earlier)
        mixture = read_manifest(manifest)
        own = stage_of(mixture, stage)
        done = 0
        if state is not None:
            saved = validate_config(state, StageState, "the state of the data")
            stream.load_state_dict(saved.stream.model_dump(mode="json"))
            done = saved.stage_tokens if saved.stage == stage else 0
        rows = -(-batch // micro_batch) * micro_batch
        self._steps = ReadAhead(
            _read(stream, own, done, rows, micro_batch, mixture.tokenizer, pinning_device()), prefetch
        )

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> StepBatch:
        """Return the next step.

        Raises:
            StopIteration: the stage has its tokens.
            UserError: a source cannot be read.
        """
        step = next(self._steps)
        return step._replace(wait_s=self._steps.wait_s)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the thread that reads ahead."""
        self._steps.close()


def _read(
    stream: TokenStream,
    stage: ManifestStage,
    done: int,
    rows: int,
    micro_batch: int,
    tokenizer: TokenizerIdentity,
    pin: int | None,
) -> Iterator[StepBatch]:
    """Yield the steps of a stage of which `done` tokens are trained on already."""
    names = [source.source for source in stage.sources]
    drawn = _drawn(stream.figures())
    while done < stage.tokens:
        batch = next(stream)  # a stage's stream has no end
        after = stream.state()
        now = _drawn(after.mixture)
        new, drawn = now - drawn, now
        done += int(new.sum())
        micro = make_micro_batches(batch, rows, micro_batch, tokenizer, pin)
        yield StepBatch(
            micro=micro,
            valid_tokens=sum(int(np.count_nonzero(own.targets.numpy() != IGNORED)) for own in micro),
            tokens=sum(sequence.tokens for sequence in batch.sequences),
            source_tokens=dict(zip(names, new.tolist(), strict=True)),
            stage_tokens=done,
            state=StageState.model_construct(stage=stage.name, stage_tokens=done, stream=after).model_dump(mode="json"),
        )


def _drawn(mixture: MixtureState) -> NDArray[np.int64]:
    return np.array([own.tokens for own in mixture.figures], dtype=np.int64)
