"""LASER sentence embeddings: sentences of like meaning lie close together, whatever their languages.

Two encoders of NLLB (Heffernan et al. 2022, arXiv 2205.12654) are read in plain PyTorch: LASER2, one network for all
its languages (`laser_lstm`), and LASER3, a network for each language that comes close to LASER2 (`laser_transformer`),
so that one side of a pair can be encoded with the one and the other side with the other. Nothing of a checkpoint is
executed, and embeddings are those of the package laser_encoders to 1e-5; `benchmarks/laser_speed.py` compares the two.

Shape legend: N = texts, D = numbers of an embedding (1,024 in the public checkpoints), B = texts of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel
from filters.parallel.laser_text import TextNormalizer
from filters.parallel.laser_vocabulary import BOS, EOS, PAD, UNKNOWN
from filters.perplexity import load_pieces

if TYPE_CHECKING:
    import torch

    from filters.parallel.laser_lstm import LstmNetwork
    from filters.parallel.laser_transformer import TransformerNetwork

# Characters that are read for each token a text may have: SentencePiece makes no longer pieces unless told to.
_CHARS_PER_TOKEN = 16


class LaserConfig(StrictModel):
    """How texts are encoded.

    Attributes:
        device: `cpu`, `cuda` or `cuda:0`, as PyTorch names it.
        precision: `float32` agrees with the reference to 1e-5. `bfloat16` is twice as fast on processors that multiply
            such numbers and on GPUs; its embeddings differ in the third digit (LASER3: in the second), and a little
            with the batch.
        batch_tokens: tokens of a batch, padding included; a text that is longer than that is a batch of its own. A GPU
            wants 100,000 or more.
        max_tokens: tokens of a text that are read, its marks included, and at most 16 characters for each; of a longer
            text the beginning counts. A LASER3 encoder may know fewer places than that (1,024 in fairseq's default).
    """

    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_tokens: int = Field(default=4096, ge=1)
    max_tokens: int = Field(default=1024, ge=3)


class LaserEncoder:
    """Makes embeddings of texts. Loaded once a process, and PyTorch with it: what makes none needs no PyTorch."""

    def __init__(
        self, model: Path, pieces: Path, config: LaserConfig | None = None, vocabulary: Path | None = None
    ) -> None:
        """Load an encoder.

        Args:
            model: the checkpoint, such as `laser2.pt` or `laser3-npi_Deva.v1.pt`.
            pieces: the SentencePiece model, such as `laser2.spm`.
            config: how texts are encoded.
            vocabulary: numbers of the pieces, such as `laser2.cvocab`; LASER3 needs it, LASER2 has them in the
                checkpoint.

        Raises:
            UserError: a file is missing, damaged or something else, its sizes contradict each other, the device is not
                there, or a package is not installed.
        """
        self.config = config or LaserConfig()
        try:
            import torch
        except ImportError as error:
            raise UserError("LASER needs the package torch: run `make setup`, or turn it off") from error
        self._torch = torch
        self._pieces = load_pieces(pieces)
        self._normalize = TextNormalizer()
        self._device = self._find_device()
        self._network = _load_network(model, vocabulary, self._device, getattr(torch, self.config.precision))
        self.dimension = self._network.dimension
        self._most_tokens = min(self.config.max_tokens, self._network.most_tokens or self.config.max_tokens)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings of some texts in their order, not scaled, shape (N, D).

        Equal texts are encoded once, and the order of the texts changes nothing. Texts beside it move a text's
        embedding by less than 1e-5 in float32. A text without a piece has the embedding of the end mark alone, as in
        the reference. Memory: N embeddings, the tokens of the texts, and one batch.
        """
        tokens = [ids.tobytes() for ids in self._token_ids(texts)]
        distinct = sorted(set(tokens), key=lambda key: (-len(key), key))
        rows = {key: row for row, key in enumerate(distinct)}
        embeddings = np.empty((len(distinct), self.dimension), dtype=np.float32)
        batch = [np.frombuffer(key, dtype=np.int32) for key in distinct]
        for first, end in _batches([len(ids) for ids in batch], self.config.batch_tokens):
            embeddings[first:end] = self._encode_batch(batch[first:end])
        return embeddings[np.fromiter((rows[key] for key in tokens), dtype=np.intp, count=len(tokens))]

    def _token_ids(self, texts: Sequence[str]) -> Iterator[NDArray[np.int32]]:
        """Yield the numbers of each text's tokens, its marks included: at most as many as are read."""
        known, begin = self._network.dictionary, [BOS] * self._network.begins
        most = self._most_tokens - len(begin) - 1
        plain = [self._normalize(text[: _CHARS_PER_TOKEN * self._most_tokens]) for text in texts]
        for pieces in self._pieces.encode(plain, out_type=str, num_threads=1):
            # The reference writes the pieces as a line and reads words from it: a piece may be white space.
            words = " ".join(pieces).split()[:most]
            yield np.array([*begin, *(known.get(word, UNKNOWN) for word in words), EOS], dtype=np.int32)

    def _encode_batch(self, batch: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Return the embeddings of texts from the longest to the shortest, shape (B, D)."""
        padded = np.full((len(batch), len(batch[0])), PAD, dtype=np.int32)
        for row, ids in enumerate(batch):
            padded[row, : len(ids)] = ids
        with self._torch.inference_mode():
            tokens = self._torch.from_numpy(padded).to(self._device)
            embeddings = self._network.embed(tokens, [len(ids) for ids in batch])
            return cast("NDArray[np.float32]", embeddings.cpu().numpy())

    def _find_device(self) -> torch.device:
        try:
            device = self._torch.device(self.config.device)
            self._torch.empty(1, device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"the device {self.config.device!r} is not there: {reason}") from error
        return device


def _load_network(
    model: Path, vocabulary: Path | None, device: torch.device, precision: torch.dtype
) -> LstmNetwork | TransformerNetwork:
    """Return the network of a checkpoint, which says by what it holds of which kind it is."""
    from filters.parallel.laser_checkpoint import load_checkpoint
    from filters.parallel.laser_lstm import LstmNetwork
    from filters.parallel.laser_transformer import TransformerNetwork

    checkpoint = load_checkpoint(model)
    if {"params", "model", "dictionary"} <= checkpoint.keys():
        if vocabulary is not None:
            raise UserError(f"{model} is a LASER2 checkpoint, which holds its own vocabulary: {vocabulary} is not read")
        return LstmNetwork(checkpoint, model, device, precision)
    if "params" in checkpoint or not {"cfg", "model"} <= checkpoint.keys():
        raise UserError(
            f"{model} is no LASER checkpoint: it does not hold params, model and dictionary (LASER2), nor cfg and "
            "model (LASER3)"
        )
    if vocabulary is None:
        raise UserError(f"{model} is a LASER3 checkpoint: it needs the vocabulary that it was trained with (.cvocab)")
    return TransformerNetwork(checkpoint, model, vocabulary, device, precision)


def _batches(lengths: Sequence[int], budget: int) -> Iterator[tuple[int, int]]:
    """Yield where each batch begins and ends, of lengths that fall."""
    first = 0
    while first < len(lengths):
        end = min(len(lengths), first + max(1, budget // lengths[first]))
        yield first, end
        first = end
