"""The held-out loss of a mixture, by source: every sequence once, on all ranks together.

Held-out documents are packed as whole as they fit: then what a token is predicted from does not depend on what stood
before its document by chance. The sequences, and how many there are, do not depend on the number of ranks. A rank that
has fewer than others computes rows without documents: layers that are sharded need all ranks.

Shape legend: B = sequences of a micro-batch, L = tokens of a sequence, V = vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from mixing.mixture.manifest import load_manifest
from mixing.mixture.manifest_schema import Manifest, ManifestSource
from mixing.stream.batch import IGNORED, Batch
from mixing.stream.stage_stream import validation_stream
from mixing.stream.state import StreamConfig
from mixing.stream.stream import TokenStream
from pretrain.data.micro_batch import MicroBatch, make_micro_batches, pinning_device
from pretrain.data.read_ahead import ReadAhead
from pretrain.evaluate.evaluation import Evaluation, SourceLoss
from pretrain.evaluate.text_bytes import find_token_bytes
from pretrain.parallel.distributed import total

# Micro-batches that are read ahead.
_AHEAD = 4


class HeldOutBatch(NamedTuple):
    """A micro-batch of held-out texts.

    Attributes:
        source: number of their source among those that are evaluated.
        micro: what the model reads.
        tokens: of this rank, that are predicted.
        bytes: that they stand for.
    """

    source: int
    micro: MicroBatch
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Texts:
    """The held-out texts of a source; `sequences` of them are read, None is all."""

    source: str
    language: str
    category: str | None
    stream: TokenStream
    begin: dict[str, object]
    sequences: int | None


class Evaluator:
    """Measures the held-out loss of a mixture as often as it is asked to."""

    def __init__(
        self,
        mixture: Path,
        sequence_length: int,
        micro_batch: int = 1,
        rank: int = 0,
        world: int = 1,
        max_tokens: int | None = None,
    ) -> None:
        """Open the held-out texts of all sources that have some.

        Args:
            mixture: its manifest, or its folder.
            sequence_length: L.
            micro_batch: B.
            rank: of this process among those that read other data.
            world: how many there are.
            max_tokens: of each source at most, in whole sequences, but one sequence at least; None is all.

        Raises:
            UserError: the held-out texts changed, or the tokenizer that their bytes are counted by is not there.
        """
        manifest = load_manifest(mixture)
        self._rank, self._world, self._micro_batch = rank, world, micro_batch
        self._tokenizer = manifest.tokenizer
        config = StreamConfig(sequence_length=sequence_length, packing="best_fit")
        names = [(own.source, own.language) for own in manifest.validation if own.sequences]
        self._bytes = find_token_bytes(mixture, manifest) if names else np.zeros(0, dtype=np.int64)
        drawn = _drawn_first(manifest)
        categories = {name: own.category for name, own in drawn.items()}
        # What is trained on and not measured is told of, too: nobody would know how the model does there.
        self._without = tuple(
            SourceLoss(source=name, language=own.language, category=own.category, tokens=0, bytes=0, nll=0.0)
            for name, own in drawn.items()
            if names and (name, own.language) not in names
        )
        self._texts = []
        for name, language in names:
            # Counted by one rank that reads all, so that it is the same number whatever the ranks.
            whole = None if max_tokens is None else validation_stream(mixture, manifest, name, config)
            most = None if whole is None or max_tokens is None else _sequences_within(whole, max_tokens)
            stream = validation_stream(mixture, manifest, name, config, micro_batch, rank, world)
            self._texts.append(_Texts(name, language, categories.get(name), stream, stream.state_dict(), most))

    def read(self) -> Iterator[HeldOutBatch]:
        """Yield the micro-batches of this rank, from the beginning: on all ranks as many, of the same sources.

        Raises:
            UserError: a source cannot be read.
        """
        pin = pinning_device()
        for number, texts in enumerate(self._texts):
            texts.stream.load_state_dict(texts.begin)
            passed = 0
            while texts.sequences is None or passed < texts.sequences:
                batch = next(texts.stream, None)
                if batch is None:
                    break
                batch = self._within(batch, passed, texts.sequences)
                passed += self._micro_batch * self._world
                yield self._held_out(number, batch, pin)

    @torch.no_grad()
    def run(
        self,
        nll: Callable[[MicroBatch], Tensor | None],
        step: int,
        device: torch.device | None = None,
        counts: bool = True,
    ) -> Evaluation:
        """Return the held-out losses; all ranks of the process group call this together, and all get the same.

        Args:
            nll: the model: from a micro-batch on the CPU to the negative log likelihood of each target, (B, L), 0 where
                it is IGNORED; None on a rank that does not get to know them, as in a pipeline.
            step: after which this is measured.
            device: that ranks exchange sums on; None is the CPU.
            counts: whether what `nll` returns here is counted. Of the ranks that read the same sequences, exactly one
                counts.

        Raises:
            UserError: a source cannot be read.
            ValueError: `nll` returned another shape.
        """
        if self._world > 1 and not dist.is_initialized():
            raise ValueError(f"{self._world} ranks share the held-out texts, but there is no process group")
        device = device or torch.device("cpu")
        losses = torch.zeros(len(self._texts), dtype=torch.float64, device=device)
        predicted = np.zeros((2, len(self._texts)))
        with ReadAhead(self.read(), _AHEAD) as batches:
            for batch in batches:
                found = nll(batch.micro)
                if found is None or not counts:
                    continue
                if found.shape != batch.micro.targets.shape:
                    raise ValueError(
                        f"losses of shape {tuple(found.shape)} for {tuple(batch.micro.targets.shape)} targets"
                    )
                losses[batch.source] += found.to(device, torch.float64).sum()
                predicted[:, batch.source] += batch.tokens, batch.bytes
        sums = [*losses.tolist(), *predicted.ravel().tolist()]
        if dist.is_initialized():
            sums = total(sums, device)
        return Evaluation(step=step, sources=self._rows(np.array(sums).reshape(3, -1)) + self._without)

    def _rows(self, sums: NDArray[np.float64]) -> tuple[SourceLoss, ...]:
        return tuple(
            SourceLoss(
                source=own.source,
                language=own.language,
                category=own.category,
                tokens=int(tokens),
                bytes=int(octets),
                nll=nll if math.isfinite(nll) else None,
            )
            for own, (nll, tokens, octets) in zip(self._texts, sums.T.tolist(), strict=True)
        )

    def _within(self, batch: Batch, passed: int, most: int | None) -> Batch:
        """Return a batch without what comes after the first `most` sequences of all ranks."""
        if most is None:
            return batch
        # Rank r has the sequences r, r + R, ... of those that all ranks get together.
        own = len(range(passed + self._rank, most, self._world))
        if own >= len(batch.sequences):
            return batch
        return replace(
            batch,
            tokens=batch.tokens[:own],
            boundaries=batch.boundaries[:own],
            sequences=batch.sequences[:own],
        )

    def _held_out(self, source: int, batch: Batch, pin: int | None) -> HeldOutBatch:
        (micro,) = make_micro_batches(batch, self._micro_batch, self._micro_batch, self._tokenizer, pin)
        targets = micro.targets.numpy()
        predicted = targets[targets != IGNORED]
        return HeldOutBatch(source, micro, len(predicted), int(self._bytes[predicted].sum()))


def _sequences_within(stream: TokenStream, max_tokens: int) -> int:
    """Return how many sequences of a stream have at most so many tokens together, but one at least."""
    passed = 0
    for number, batch in enumerate(stream):
        passed += batch.sequences[0].tokens
        if passed > max_tokens:
            return max(1, number)
    return max(1, number + 1)


def _drawn_first(manifest: Manifest) -> dict[str, ManifestSource]:
    """Return each source as the first stage has it that draws from it."""
    found: dict[str, ManifestSource] = {}
    for stage in manifest.stages:
        for source in stage.sources:
            found.setdefault(source.source, source)
    return found
