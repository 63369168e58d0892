"""One decoder for Qwen2, Qwen2.5, Qwen3 and Llama: RMSNorm, rotary positions, grouped queries, SwiGLU.

What differs stands in `ModelConfig`: a bias of queries, keys and values (Qwen2), a norm of queries and keys (Qwen3),
the scaling of rotary frequencies (Llama 3), a head that is the embedding. Weights are held as Hugging Face's
checkpoints have them, under shorter names: see `hf_names.py`.

Norms, rotations and the gate have no kernels of their own: where layers are compiled, the compiler fuses what is
computed element by element.

Shape legend: B = sequences, L = tokens of a sequence, D = documents in it, E = hidden size, H = query heads, K = key
and value heads, d = head size, V = vocabulary.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.model.attention import Attention, Plan, Reference
from pretrain.model.loss import head_loss
from pretrain.model.model_config import ModelConfig as ModelConfig
from pretrain.model.rope import amplitude, frequencies, rotate, rotations
from pretrain.model.segments import find_segments
from pretrain.parallel.placed import copy_whole
from pretrain.parallel.sequence_share import SequenceShare


class RMSNorm(nn.Module):
    """Root mean square normalisation in float32 (B. Zhang and R. Sennrich, arXiv 1910.07467, equation 4)."""

    def __init__(self, size: int, eps: float) -> None:
        """Take the size of the last dimension and what keeps the root from 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return x, normalised over its last dimension and scaled."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class SelfAttention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig, attention: Attention) -> None:
        """Take the shape, and the kernel."""
        super().__init__()
        size, width = config.hidden_size, config.head_dim
        self.query = nn.Linear(size, config.heads * width, bias=config.qkv_bias)
        self.key = nn.Linear(size, config.kv_heads * width, bias=config.qkv_bias)
        self.value = nn.Linear(size, config.kv_heads * width, bias=config.qkv_bias)
        self.output = nn.Linear(config.heads * width, size, bias=False)
        self.query_norm = RMSNorm(width, config.norm_eps) if config.qk_norm else None
        self.key_norm = RMSNorm(width, config.norm_eps) if config.qk_norm else None
        self.attention, self.head_dim = attention, width

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], plan: Plan) -> Tensor:
        """Return (B, L, E) of x (B, L, E)."""
        # The number of heads is not the configuration's where tensor parallel ranks share them.
        query, key, value = (part(x).unflatten(-1, (-1, self.head_dim)) for part in (self.query, self.key, self.value))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        mixed = self.attention.attend(rotate(query, *turn), rotate(key, *turn), value, plan)
        return self.output(mixed.flatten(-2))  # type: ignore[no-any-return]


class SwiGLU(nn.Module):
    """The gated linear unit of N. Shazeer, arXiv 2002.05202, section 2, without biases."""

    def __init__(self, config: ModelConfig) -> None:
        """Take the shape."""
        super().__init__()
        self.gate = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, L, E) of x (B, L, E)."""
        return self.down(F.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A layer: attention and SwiGLU, each behind a norm and beside a residual."""

    def __init__(self, config: ModelConfig, attention: Attention) -> None:
        """Take the shape, and the kernel."""
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.attention = SelfAttention(config, attention)
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], plan: Plan) -> Tensor:
        """Return (B, L, E) of x (B, L, E)."""
        x = x + self.attention(self.attention_norm(x), turn, plan)
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """The model, or the layers of it that one stage of a pipeline holds."""

    last_nll: Tensor

    def __init__(
        self,
        config: ModelConfig,
        attention: Attention | None = None,
        layers: range | None = None,
        first: bool = True,
        last: bool = True,
        loss_chunk: int | None = None,
    ) -> None:
        """Take the shape.

        Args:
            config: the shape of the whole model.
            attention: the kernel; None is the reference.
            layers: the numbers of those held here; None is all.
            first: whether the embedding is held here.
            last: whether the last norm and the head are.
            loss_chunk: see `head_loss`.
        """
        super().__init__()
        self.config, self.loss_chunk = config, loss_chunk
        # See `head_loss`; on GPUs only, where memory is what it waits for.
        self.compiled_loss = False
        self.attention: Attention = attention or Reference()
        tied = config.tied_head and last
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size) if first or tied else None
        self.layers = nn.ModuleDict(
            {
                str(number): Block(config, self.attention)
                for number in (range(config.layers) if layers is None else layers)
            }
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps) if last else None
        own_head = last and not config.tied_head
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False) if own_head else None
        self.first = first
        self.share = SequenceShare()
        self._inverse: Tensor | None = None

    def forward(self, inputs: Tensor, starts: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return what this part of the model makes of its inputs.

        Args:
            inputs: tokens, int64 (B, L); of a later stage of a pipeline hidden states (B, L, E).
            starts: int32 (B, D + 1): where documents begin, padded with L.
            targets: int64 (B, L), IGNORED where there is none.

        Returns:
            Without the last norm, hidden states (B, L, E); else logits (B, L, V), or, with targets, the sum of the
            negative log likelihoods, a float32 scalar: `last_nll`, (B, L), then has those of the tokens, detached.
        """
        x = self.embed(inputs) if self.first and self.embed is not None else inputs
        # Inputs are this rank's tokens of the sequences, `starts` those of whole ones.
        segments = find_segments(starts, self.share.whole(inputs.shape[1]))
        turn = self.turn(self.share.of_context(segments.positions), x.dtype)
        plan = self.attention.prepare(segments)
        for block in self.layers.values():
            x = block(x, turn, plan)
        if self.norm is None:
            return x
        return self.predict(self.norm(x), targets)

    def turn(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the rotations of the positions (B, L)."""
        own = self.config
        # No buffer: that would be cast with the weights, and angles in bfloat16 are wrong from position 257 on. Kept,
        # as a copy to the device waits for all that the device has to do.
        if self._inverse is None or self._inverse.device != positions.device:
            self._inverse = frequencies(own.head_dim, own.rope_theta, own.rope_scaling).to(positions.device)
        return rotations(positions, self._inverse, amplitude(own.rope_scaling), dtype)

    def predict(self, x: Tensor, targets: Tensor | None) -> Tensor:
        """Return logits, or the loss, of the last hidden states (B, L, E)."""
        weight = self.head_weight
        if targets is None:
            return F.linear(x, weight)
        compiled = self.compiled_loss and x.is_cuda
        total, each = head_loss(x.flatten(0, 1), weight, targets.flatten(), self.loss_chunk, compiled)
        self.last_nll = each.view(targets.shape)
        return total

    @property
    def head_weight(self) -> Tensor:
        """The weight of the head, (V, E)."""
        part = self.head if self.head is not None else self.embed
        assert part is not None, "there is no head in this part of the model"
        return part.weight

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Set all weights anew: normal with `init_std`, norms 1, biases 0, the same whichever part is held here.

        Each weight is drawn from its own generator, seeded by its name.
        """
        for name, weight in self.named_parameters():
            if name.endswith("norm.weight"):
                weight.fill_(1.0)
            elif name.endswith("bias"):
                weight.zero_()
            else:
                number = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little", signed=True)
                whole = torch.empty(weight.shape, dtype=torch.float32, device="cpu")
                copy_whole(
                    weight, whole.normal_(0.0, self.config.init_std, generator=torch.Generator().manual_seed(number))
                )
