"""The settings that fairseq saves with a LASER3 encoder: what sizes it has, and which of a transformer's forms.

Read from `cfg.model` of a checkpoint, an `argparse.Namespace`; what is not stated has fairseq's default
(`TransformerConfig`, version 0.12). The tensors that belong to the settings are named as fairseq names them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from filters.parallel.laser_checkpoint import brief, read_size
from filters.parallel.laser_vocabulary import PAD

# What a checkpoint may claim of its own size; and it never holds more numbers than its file has room for.
_MOST = {
    "encoder_embed_dim": 16_384,
    "encoder_ffn_embed_dim": 65_536,
    "encoder_layers": 128,
    "encoder_attention_heads": 1024,
    "max_source_positions": 16_384,
}
_NEEDED = {"encoder_embed_dim", "sentemb_criterion", "prepend_bos"}
_DEFAULTS: dict[str, object] = {
    "encoder_ffn_embed_dim": 2048,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "max_source_positions": 1024,
    "activation_fn": "relu",
    "encoder_normalize_before": False,
    "encoder_learned_pos": False,
    "no_token_positional_embeddings": False,
    "no_scale_embedding": False,
    "layernorm_embedding": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerShape:
    """Sizes and form of a transformer encoder.

    Attributes:
        dimension: numbers of a state, and of an embedding.
        inner: numbers between the two linear maps of a layer.
        layers: how many follow each other.
        heads: parts that attention splits a state into.
        most_tokens: tokens that a text may have, its marks included.
        activation: what stands between the two linear maps, `relu` or `gelu`.
        pooling: what an embedding is: `cls`, the state of the begin mark, or `maxpool`.
        begins: whether a text begins with a mark.
        norm_first: whether a layer normalises what it reads, and not what it gives.
        positions: how places in a text are told apart: `waves`, `learned`, or not at all.
        scaled: whether the embeddings of pieces are multiplied by the root of `dimension`.
        norm_pieces: whether pieces are normalised before the first layer.
    """

    dimension: int
    inner: int
    layers: int
    heads: int
    most_tokens: int
    activation: str
    pooling: str
    begins: bool
    norm_first: bool
    positions: str | None
    scaled: bool
    norm_pieces: bool

    def tensors(self, pieces: int, norm_last: bool) -> dict[str, tuple[int, ...]]:
        """Return names and shapes of the tensors of an encoder.

        Args:
            pieces: numbers that its dictionary gives away.
            norm_last: whether the checkpoint normalises what the last layer gives.
        """
        shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (pieces, self.dimension)}
        if self.positions == "learned":  # they are numbered from behind the padding's number on
            shapes["embed_positions.weight"] = (self.most_tokens + PAD + 1, self.dimension)
        norms = ["layernorm_embedding"] * self.norm_pieces + ["layer_norm"] * (norm_last or self.norm_first)
        maps: dict[str, tuple[int, int]] = {}
        for layer in range(self.layers):
            own = f"layers.{layer}"
            maps |= {f"{own}.self_attn.{kind}_proj": (self.dimension,) * 2 for kind in ("q", "k", "v", "out")}
            maps |= {f"{own}.fc1": (self.inner, self.dimension), f"{own}.fc2": (self.dimension, self.inner)}
            norms += [f"{own}.self_attn_layer_norm", f"{own}.final_layer_norm"]
        for name, size in maps.items():
            shapes |= {f"{name}.weight": size, f"{name}.bias": size[:1]}
        for name in norms:
            shapes |= {f"{name}.weight": (self.dimension,), f"{name}.bias": (self.dimension,)}
        return shapes


def read_shape(cfg: object, path: Path) -> TransformerShape:
    """Return sizes and form of the encoder in a checkpoint.

    Args:
        cfg: what the checkpoint calls so.
        path: of the checkpoint, for messages.

    Raises:
        UserError: a setting is missing, impossible, or one of a network that is not built here.
    """
    model = cfg.get("model") if isinstance(cfg, dict) else None
    stated = vars(model) if isinstance(model, argparse.Namespace) else model
    if not isinstance(stated, dict) or not stated.keys() >= _NEEDED:
        needed = ", ".join(sorted(_NEEDED))
        raise UserError(f"{path} is no LASER3 checkpoint: its settings (cfg.model) must hold {needed}")
    read = _Reader({**_DEFAULTS, **stated}, path)
    learned, placed = read.flag("encoder_learned_pos"), not read.flag("no_token_positional_embeddings")
    shape = TransformerShape(
        dimension=read.size("encoder_embed_dim"),
        inner=read.size("encoder_ffn_embed_dim"),
        layers=read.size("encoder_layers"),
        heads=read.size("encoder_attention_heads"),
        most_tokens=read.size("max_source_positions"),
        activation=read.choice("activation_fn", "relu", "gelu"),
        pooling=read.choice("sentemb_criterion", "cls", "maxpool"),
        begins=read.flag("prepend_bos"),
        norm_first=read.flag("encoder_normalize_before"),
        positions=("learned" if learned else "waves") if placed else None,
        scaled=not read.flag("no_scale_embedding"),
        norm_pieces=read.flag("layernorm_embedding"),
    )
    _check_shape(shape, path)
    return shape


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads settings of a checkpoint, each of which can be anything."""

    settings: Mapping[str, object]
    path: Path

    def size(self, name: str) -> int:
        return read_size(self.settings, name, _MOST[name], self.path)

    def flag(self, name: str) -> bool:
        value = self.settings[name]
        if type(value) is not bool:
            raise UserError(f"{self.path}: {name} of the checkpoint is {brief(value)}, not true or false")
        return value

    def choice(self, name: str, *choices: str) -> str:
        value = self.settings[name]
        if not isinstance(value, str) or value not in choices:
            raise UserError(f"{self.path}: {name} of the checkpoint is {brief(value)}, not {' or '.join(choices)}")
        return value


def _check_shape(shape: TransformerShape, path: Path) -> None:
    """Refuse settings that contradict each other."""
    if shape.pooling == "cls" and not shape.begins:
        raise UserError(f"{path}: sentemb_criterion of the checkpoint is cls, which needs prepend_bos")
    if shape.dimension % shape.heads:
        raise UserError(f"{path}: encoder_embed_dim {shape.dimension} is no multiple of {shape.heads} attention heads")
    if shape.positions == "waves" and shape.dimension < 4:
        raise UserError(f"{path}: encoder_embed_dim {shape.dimension} is too small for positions as waves")
    if shape.most_tokens < 3:
        raise UserError(f"{path}: max_source_positions {shape.most_tokens} has no room for a piece and two marks")
