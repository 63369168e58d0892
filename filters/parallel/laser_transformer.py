"""The network of LASER3: one transformer encoder a language, trained to embed it as LASER2 embeds its translations.

Heffernan, Çelebi and Schwenk (2022, arXiv 2205.12654). The network is fairseq's `TransformerEncoder`: that of Vaswani
et al. (2017, arXiv 1706.03762, section 3), in the form that the checkpoint's settings ask for. An embedding is the
state of the begin mark (`cls`), or the largest number of all states (`maxpool`).

Shape legend: B = texts of a batch, T = tokens of the longest, R = tokens of all that are no padding, D = numbers of an
embedding, H = heads, E = D / H.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch.nn import functional

from configs.errors import UserError
from filters.parallel.laser_checkpoint import check_tensors, read_tensors
from filters.parallel.laser_settings import read_shape
from filters.parallel.laser_vocabulary import PAD, read_vocabulary

# What a checkpoint may hold beside the encoder: the decoder that fairseq insists on, the head that fills in masked
# words in training, and what fairseq knows its formats by.
_BESIDE = ("decoder.", "project_vocabulary.", "lm_head_transform_weight.", "version", "embed_positions._float_tensor")
_PIECES, _POSITIONS, _LAST_NORM = "embed_tokens.weight", "embed_positions.weight", "layer_norm.weight"
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"relu": functional.relu, "gelu": functional.gelu}


class TransformerNetwork:
    """A transformer encoder, made of what a checkpoint and its vocabulary hold.

    Attributes:
        dimension: numbers of an embedding.
        dictionary: numbers of the pieces.
        begins: whether a text's tokens begin with a mark.
        most_tokens: tokens that a text may have, its marks included.
    """

    def __init__(
        self,
        checkpoint: Mapping[str, object],
        path: Path,
        vocabulary: Path,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        """Check `cfg` and `model` of a checkpoint against each other and the vocabulary, and load them onto a device.

        Raises:
            UserError: they contradict each other, or ask for what is not built here.
        """
        self._shape = shape = read_shape(checkpoint["cfg"], path)
        state = _encoder_tensors(read_tensors(checkpoint["model"], path))
        self.dictionary = read_vocabulary(vocabulary)
        if _LAST_NORM in state:  # how the reference knows an encoder that learned to fill in masked words
            self.dictionary.setdefault("<mask>", len(self.dictionary))
        pieces = len(self.dictionary)
        known = state.get(_PIECES)
        if isinstance(known, torch.Tensor) and known.dim() == 2 and len(known) != pieces:
            raise UserError(
                f"{vocabulary} gives away {pieces:,} numbers, marks included, and {path} knows {len(known):,}: it is "
                "the vocabulary of another checkpoint"
            )
        tensors = check_tensors(state, shape.tensors(pieces, _LAST_NORM in state), "settings", path)
        self.dimension, self.begins, self.most_tokens = shape.dimension, shape.begins, shape.most_tokens
        self._weights = {name: tensor.to(device=device, dtype=precision) for name, tensor in tensors.items()}
        if shape.positions == "waves":
            waves = _waves(shape.most_tokens, shape.dimension)
            self._weights[_POSITIONS] = waves.to(device=device, dtype=precision)

    def embed(self, tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return the embeddings of some texts, shape (B, D).

        Padding is there for attention alone: nothing else is computed of it, it has no position, nothing attends to it,
        and it is not pooled. So it changes nothing where it stands, and texts are padded at the end, whatever the
        checkpoint was trained with (`left_pad_source`).

        Args:
            tokens: of each text, padded at the end, shape (B, T).
            lengths: not looked at: padding is known by its number, and a text can hold it, too.
        """
        real = tokens != PAD  # (B, T)
        places = real.flatten().nonzero().squeeze(1)  # (R,)
        states = functional.embedding(tokens.flatten()[places], self._weights[_PIECES])
        if self._shape.scaled:
            states = states * math.sqrt(self.dimension)
        if self._shape.positions is not None:
            numbers = (real.cumsum(dim=1) + PAD).flatten()[places]
            states = states + functional.embedding(numbers, self._weights[_POSITIONS])
        if self._shape.norm_pieces:
            states = self._norm(states, "layernorm_embedding")
        for layer in range(self._shape.layers):
            states = self._layer(states, real, places, f"layers.{layer}")
        if _LAST_NORM in self._weights:
            states = self._norm(states, "layer_norm")
        padded = _pad(states.float(), places, real, fill=-torch.inf)
        return padded[:, 0] if self._shape.pooling == "cls" else padded.amax(dim=1)

    def _layer(self, states: torch.Tensor, real: torch.Tensor, places: torch.Tensor, name: str) -> torch.Tensor:
        """Return what a layer makes of its states, shape (R, D): attention, then two linear maps, each added."""
        first, norm = self._shape.norm_first, f"{name}.self_attn_layer_norm"
        attended = self._attend(self._norm(states, norm) if first else states, real, places, f"{name}.self_attn")
        states = states + attended if first else self._norm(states + attended, norm)
        norm = f"{name}.final_layer_norm"
        inner = self._map(self._norm(states, norm) if first else states, f"{name}.fc1")
        mapped = self._map(_ACTIVATIONS[self._shape.activation](inner), f"{name}.fc2")
        return states + mapped if first else self._norm(states + mapped, norm)

    def _attend(self, states: torch.Tensor, real: torch.Tensor, places: torch.Tensor, name: str) -> torch.Tensor:
        """Return what the heads make of the states, put together again, shape (R, D)."""
        query, key, value = (
            _pad(self._map(states, f"{name}.{kind}_proj"), places, real).view(*real.shape, self._shape.heads, -1)
            for kind in "qkv"
        )  # each (B, T, H, E)
        attended = functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=real[:, None, None, :]
        )
        return self._map(attended.transpose(1, 2).reshape(-1, self.dimension)[places], f"{name}.out_proj")

    def _map(self, states: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(states, (self.dimension,), weight, bias)


def _pad(rows: torch.Tensor, places: torch.Tensor, real: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Return the rows of real tokens, shape (R, D), at their places among the others, shape (B, T, D)."""
    padded = rows.new_full((real.numel(), rows.shape[1]), fill)
    return padded.index_copy_(0, places, rows).view(*real.shape, -1)


def _encoder_tensors(state: Mapping[str, object]) -> dict[str, object]:
    """Return the tensors of the encoder, without what stands before their names where there is a decoder, too."""
    prefix = "encoder." if f"encoder.{_PIECES}" in state else ""
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {name: tensor for name, tensor in own.items() if not name.startswith(_BESIDE)}


def _waves(most_tokens: int, dimension: int) -> torch.Tensor:
    """Return the vectors of positions by number, shape (`most_tokens` + 2, D): sines first, then cosines.

    In float32 from the angles on, as fairseq makes them: what is trained has learned their rounding.
    """
    half = dimension // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000) / (half - 1)))
    angles = torch.arange(most_tokens + PAD + 1, dtype=torch.float32).unsqueeze(1) * rates
    waves = torch.zeros(len(angles), dimension)  # of an odd dimension the last number stays 0
    waves[:, : 2 * half] = torch.cat([angles.sin(), angles.cos()], dim=1)
    return waves
