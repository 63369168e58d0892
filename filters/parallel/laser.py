"""LASER2 sentence embeddings: sentences of like meaning lie close together, whatever their languages.

The encoder is the one of Artetxe and Schwenk (2019, arXiv 1812.10464, section 3) with the weights of NLLB's LASER2
(Heffernan et al. 2022, arXiv 2205.12654): a bidirectional LSTM over SentencePiece pieces whose states are max-pooled
over time. The public checkpoint is read in plain PyTorch, nothing of it is executed, and embeddings are those of the
package laser_encoders to 1e-5; `benchmarks/laser_speed.py` compares the two.

Shape legend: N = texts, D = numbers of an embedding (1,024 in the public checkpoint), B = texts of a batch, T = tokens.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from configs.errors import UserError
from configs.load import StrictModel
from filters.parallel.laser_text import TextNormalizer
from filters.perplexity import load_pieces

if TYPE_CHECKING:
    import torch

# The numbers that these tokens have whatever the checkpoint's dictionary says.
_BOS, _PAD, _EOS, _UNKNOWN = 0, 1, 2, 3
_RESERVED = {"<s>": _BOS, "<pad>": _PAD, "</s>": _EOS, "<unk>": _UNKNOWN}
# Characters that are read for each token a text may have: SentencePiece makes no longer pieces unless told to.
_CHARS_PER_TOKEN = 16
# What a checkpoint may claim of its own size; and it never holds more numbers than its file has room for.
_MOST = {"num_embeddings": 10_000_000, "embed_dim": 16_384, "hidden_size": 16_384, "num_layers": 64}
_DEFAULTS = {"embed_dim": 320, "hidden_size": 512, "num_layers": 1, "bidirectional": False}
# Padding never reaches the LSTM here, so where it would stand and what it would hold is of no account.
_IGNORED = {"left_pad", "padding_value"}


class LaserConfig(StrictModel):
    """How texts are encoded.

    Attributes:
        device: `cpu`, `cuda` or `cuda:0`, as PyTorch names it.
        precision: `float32` agrees with the reference to 1e-5. `bfloat16` is twice as fast on processors that multiply
            such numbers and on GPUs; its embeddings differ in the third digit, and a little with the batch.
        batch_tokens: tokens of a batch, padding included; a text that is longer than that is a batch of its own. A GPU
            wants 100,000 or more.
        max_tokens: tokens of a text that are read, its end mark included, and at most 16 characters for each; of a
            longer text the beginning counts.
    """

    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_tokens: int = Field(default=4096, ge=1)
    max_tokens: int = Field(default=1024, ge=2)


class LaserEncoder:
    """Makes embeddings of texts. Loaded once a process; `torch` is imported here and nowhere else."""

    def __init__(self, model: Path, pieces: Path, config: LaserConfig | None = None) -> None:
        """Load the checkpoint (`laser2.pt`) and the SentencePiece model (`laser2.spm`).

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
        device = self._device()
        shape, state, self._dictionary = _read_checkpoint(model)
        self.dimension = shape.dimension
        precision = getattr(torch, self.config.precision)
        self._embedding = state.pop("embed_tokens.weight").to(device=device, dtype=precision)
        # Made without memory and given the tensors themselves: no random numbers are drawn, nothing is held twice.
        self._lstm = torch.nn.LSTM(
            shape.embedding, shape.hidden, shape.layers, bidirectional=shape.bidirectional, device="meta"
        )
        self._lstm.load_state_dict({name.removeprefix("lstm."): tensor for name, tensor in state.items()}, assign=True)
        self._lstm.requires_grad_(False).eval().to(device=device, dtype=precision)
        self._lstm.flatten_parameters()

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
        """Yield the numbers of each text's tokens, the end mark last, at most `max_tokens`."""
        most = self.config.max_tokens - 1
        plain = [self._normalize(text[: _CHARS_PER_TOKEN * (most + 1)]) for text in texts]
        for pieces in self._pieces.encode(plain, out_type=str, num_threads=1):
            # The reference writes the pieces as a line and reads words from it: a piece may be white space.
            words = " ".join(pieces).split()[:most]
            known = self._dictionary
            yield np.array([*(known.get(word, _UNKNOWN) for word in words), _EOS], dtype=np.int32)

    def _encode_batch(self, batch: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Return the embeddings of texts from the longest to the shortest, shape (B, D)."""
        torch, rnn = self._torch, self._torch.nn.utils.rnn
        padded = np.full((len(batch[0]), len(batch)), _PAD, dtype=np.int32)  # (T, B)
        for column, ids in enumerate(batch):
            padded[: len(ids), column] = ids
        with torch.inference_mode():
            lengths = torch.tensor([len(ids) for ids in batch])
            # Packed: no step is computed that no text has, and both directions begin at a text's own ends.
            tokens = rnn.pack_padded_sequence(torch.from_numpy(padded).to(self._embedding.device), lengths)
            vectors = torch.nn.functional.embedding(tokens.data, self._embedding)
            states, _ = self._lstm(rnn.PackedSequence(vectors, tokens.batch_sizes))
            # A text can hold the padding token itself, which the reference does not pool either.
            pooled = states.data.float().masked_fill_((tokens.data == _PAD).unsqueeze(1), -torch.inf)
            steps, _ = rnn.pad_packed_sequence(rnn.PackedSequence(pooled, tokens.batch_sizes), padding_value=-torch.inf)
            return cast("NDArray[np.float32]", steps.amax(dim=0).cpu().numpy())

    def _device(self) -> torch.device:
        try:
            device = self._torch.device(self.config.device)
            self._torch.empty(1, device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise UserError(f"the device {self.config.device!r} is not there: {_brief(error)}") from error
        return device


def _batches(lengths: Sequence[int], budget: int) -> Iterator[tuple[int, int]]:
    """Yield where each batch begins and ends, of lengths that fall."""
    first = 0
    while first < len(lengths):
        end = min(len(lengths), first + max(1, budget // lengths[first]))
        yield first, end
        first = end


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


def _read_checkpoint(path: Path) -> tuple[_Shape, dict[str, torch.Tensor], dict[str, int]]:
    """Return sizes, tensors and dictionary of a checkpoint, checked against each other and the size of the file."""
    import torch

    _check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the file is anybody's, and so is what PyTorch raises on it
        raise UserError(f"{path} is no LASER2 checkpoint, or is damaged: {_load_fault(error)}") from error
    if not isinstance(checkpoint, dict) or not {"params", "model", "dictionary"} <= checkpoint.keys():
        raise UserError(
            f"{path} is no LASER2 checkpoint: it does not hold params, model and dictionary (transformer encoders, "
            "which is what LASER3 has, are not supported)"
        )
    shape = _read_shape(checkpoint["params"], path)
    _check_tensors(checkpoint["model"], shape, path)
    return shape, dict(checkpoint["model"]), _read_dictionary(checkpoint["dictionary"], shape, path)


def _check_archive(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"no LASER checkpoint at {path}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            # PyTorch stores tensors as they are; what is packed could be far larger than the file.
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise UserError(f"{path} is no LASER2 checkpoint: its tensors claim more than the file holds")
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path} is no LASER2 checkpoint, or is damaged: {_brief(error)}") from error


def _load_fault(error: Exception) -> str:
    if "Unsupported global" in str(error) or "Unsupported class" in str(error):
        return (
            "it holds objects other than tensors, as transformer encoders (LASER3) do; LSTM encoders alone (laser2.pt) "
            "are supported"
        )
    return _brief(error)


def _read_shape(params: object, path: Path) -> _Shape:
    if not isinstance(params, dict) or not {"num_embeddings", "padding_idx"} <= params.keys():
        raise UserError(f"{path}: params of the checkpoint must hold num_embeddings and padding_idx")
    if unknown := params.keys() - _MOST.keys() - _DEFAULTS.keys() - _IGNORED - {"padding_idx"}:
        raise UserError(f"{path}: params of the checkpoint hold {_brief(unknown)}, which no LASER2 encoder has")
    sizes = _DEFAULTS | {key: value for key, value in params.items() if key not in _IGNORED}
    for key, most in _MOST.items():
        if type(sizes[key]) is not int or not 1 <= sizes[key] <= most:
            raise UserError(f"{path}: {key} of the checkpoint is {_brief(sizes[key])}, not a number from 1 to {most:,}")
    if type(sizes["bidirectional"]) is not bool or sizes["padding_idx"] != _PAD:
        raise UserError(f"{path}: bidirectional of the checkpoint must be true or false, and padding_idx {_PAD}")
    tokens, embedding, hidden, layers = (sizes[key] for key in _MOST)
    return _Shape(tokens, embedding, hidden, layers, sizes["bidirectional"])


def _check_tensors(state: object, shape: _Shape, path: Path) -> None:
    import torch

    expected = shape.tensors()
    if not isinstance(state, dict) or state.keys() != expected.keys():
        odd = state.keys() ^ expected.keys() if isinstance(state, dict) else type(state).__name__
        raise UserError(f"{path}: the tensors of the checkpoint are not those its params speak of: {_brief(odd)}")
    for name, size in expected.items():
        tensor = state[name]
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or tuple(tensor.shape) != size:
            is_now = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise UserError(f"{path}: {name} of the checkpoint is {is_now}, but must be real numbers of shape {size}")
    # A few stored numbers can be spread over any shape, and one store be shared by many tensors.
    if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > path.stat().st_size:
        raise UserError(f"{path} is no LASER2 checkpoint: its tensors claim more than the file holds")
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} of the checkpoint holds numbers that are not finite")


def _read_dictionary(dictionary: object, shape: _Shape, path: Path) -> dict[str, int]:
    if not isinstance(dictionary, Mapping) or not all(
        isinstance(piece, str) and type(number) is int and 0 <= number < shape.tokens
        for piece, number in dictionary.items()
    ):
        raise UserError(f"{path}: the dictionary of the checkpoint must map pieces to numbers below {shape.tokens:,}")
    return {**dictionary, **_RESERVED}


def _brief(value: object) -> str:
    return " ".join(str(value).split())[:200]
