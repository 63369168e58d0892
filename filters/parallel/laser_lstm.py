"""The network of LASER2: a bidirectional LSTM whose states are max-pooled over time.

As Artetxe and Schwenk (2019, arXiv 1812.10464, section 3) define it.

Shape legend: B = texts of a batch, T = tokens of the longest, D = numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.utils import rnn

from configs.errors import UserError
from filters.parallel.laser_checkpoint import brief, check_tensors, read_size, read_tensors
from filters.parallel.laser_vocabulary import PAD, RESERVED

# What a checkpoint may claim of its own size; and it never holds more numbers than its file has room for.
_MOST = {"num_embeddings": 10_000_000, "embed_dim": 16_384, "hidden_size": 16_384, "num_layers": 64}
_DEFAULTS = {"embed_dim": 320, "hidden_size": 512, "num_layers": 1, "bidirectional": False}
# Padding never reaches the LSTM here, so where it would stand and what it would hold is of no account.
_IGNORED = {"left_pad", "padding_value"}


class LstmNetwork:
    """An LSTM encoder, made of what a checkpoint holds.

    Attributes:
        dimension: numbers of an embedding.
        dictionary: numbers of the pieces.
        begins: whether a text's tokens begin with a mark; they do not.
        most_tokens: tokens that a text may have; no limit here.
    """

    begins = False
    most_tokens: int | None = None

    def __init__(
        self, checkpoint: Mapping[str, object], path: Path, device: torch.device, precision: torch.dtype
    ) -> None:
        """Check `params`, `model` and `dictionary` of a checkpoint against each other, and load them onto a device.

        Raises:
            UserError: they contradict each other.
        """
        shape = _read_shape(checkpoint["params"], path)
        state = check_tensors(read_tensors(checkpoint["model"], path), shape.tensors(), "params", path)
        self.dimension = shape.dimension
        self.dictionary = _read_dictionary(checkpoint["dictionary"], shape, path)
        self._embedding = state.pop("embed_tokens.weight").to(device=device, dtype=precision)
        # Made without memory and given the tensors themselves: no random numbers are drawn, nothing is held twice.
        self._lstm = torch.nn.LSTM(
            shape.embedding, shape.hidden, shape.layers, bidirectional=shape.bidirectional, device="meta"
        )
        self._lstm.load_state_dict({name.removeprefix("lstm."): tensor for name, tensor in state.items()}, assign=True)
        self._lstm.requires_grad_(False).eval().to(device=device, dtype=precision)
        self._lstm.flatten_parameters()

    def embed(self, tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return the embeddings of texts from the longest to the shortest, shape (B, D).

        Args:
            tokens: their tokens, padded at the end, shape (B, T).
            lengths: tokens of each.
        """
        # Packed: no step is computed that no text has, and both directions begin at a text's own ends.
        packed = rnn.pack_padded_sequence(tokens, torch.tensor(lengths), batch_first=True)
        vectors = torch.nn.functional.embedding(packed.data, self._embedding)
        states, _ = self._lstm(rnn.PackedSequence(vectors, packed.batch_sizes))
        # A text can hold the padding token itself, which the reference does not pool either.
        pooled = states.data.float().masked_fill_((packed.data == PAD).unsqueeze(1), -torch.inf)
        steps, _ = rnn.pad_packed_sequence(rnn.PackedSequence(pooled, packed.batch_sizes), padding_value=-torch.inf)
        return steps.amax(dim=0)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Sizes of an encoder, as a checkpoint states them."""

    tokens: int
    embedding: int
    hidden: int
    layers: int
    bidirectional: bool

    @property
    def dimension(self) -> int:
        return self.hidden * (1 + self.bidirectional)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors that belong to these sizes, in PyTorch's names."""
        shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (self.tokens, self.embedding)}
        for layer in range(self.layers):
            for end in ("", "_reverse")[: 1 + self.bidirectional]:
                inputs = self.dimension if layer else self.embedding
                shapes[f"lstm.weight_ih_l{layer}{end}"] = (4 * self.hidden, inputs)
                shapes[f"lstm.weight_hh_l{layer}{end}"] = (4 * self.hidden, self.hidden)
                shapes[f"lstm.bias_ih_l{layer}{end}"] = shapes[f"lstm.bias_hh_l{layer}{end}"] = (4 * self.hidden,)
        return shapes


def _read_shape(params: object, path: Path) -> _Shape:
    if not isinstance(params, dict) or not {"num_embeddings", "padding_idx"} <= params.keys():
        raise UserError(f"{path}: params of the checkpoint must hold num_embeddings and padding_idx")
    if unknown := params.keys() - _MOST.keys() - _DEFAULTS.keys() - _IGNORED - {"padding_idx"}:
        raise UserError(f"{path}: params of the checkpoint hold {brief(unknown)}, which no LASER2 encoder has")
    settings = _DEFAULTS | params
    tokens, embedding, hidden, layers = (read_size(settings, name, most, path) for name, most in _MOST.items())
    bidirectional = settings["bidirectional"]
    if type(bidirectional) is not bool or settings["padding_idx"] != PAD:
        raise UserError(f"{path}: bidirectional of the checkpoint must be true or false, and padding_idx {PAD}")
    return _Shape(tokens, embedding, hidden, layers, bidirectional)


def _read_dictionary(dictionary: object, shape: _Shape, path: Path) -> dict[str, int]:
    if not isinstance(dictionary, Mapping) or not all(
        isinstance(piece, str) and type(number) is int and 0 <= number < shape.tokens
        for piece, number in dictionary.items()
    ):
        raise UserError(f"{path}: the dictionary of the checkpoint must map pieces to numbers below {shape.tokens:,}")
    return {**dictionary, **RESERVED}
