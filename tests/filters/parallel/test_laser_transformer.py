"""LASER3's encoder: embeddings are those of the definition in every form, and no file can do more than be refused.

The oracle computes the transformer in NumPy, a text at a time and without padding, from the equations.
"""

import argparse
import collections
import datetime
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import UserError
from filters.parallel.laser import LaserConfig, LaserEncoder
from filters.parallel.margin import cosine
from tests.filters.parallel.test_laser import SENTENCES, Harmful, Tiny, one_thread, train_pieces

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

__all__ = ["one_thread"]

Floats = NDArray[np.float64]
# What fairseq-train writes for the command line in LASER3's training notes, at a smaller size.
SETTINGS: dict[str, object] = {
    "arch": "laser_transformer",
    "sentemb_criterion": "cls",
    "prepend_bos": True,
    "left_pad_source": "False",
    "left_pad_target": "True",
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_normalize_before": False,
    "encoder_learned_pos": False,
    "encoder_layerdrop": 0,
    "max_source_positions": 64,
    "activation_fn": "relu",
    "dropout": 0.3,
    "adaptive_softmax_cutoff": None,
    "adam_betas": "(0.9,0.98)",
}
FORMS: list[dict[str, object]] = [
    {},
    {"sentemb_criterion": "maxpool"},
    {"sentemb_criterion": "maxpool", "prepend_bos": False},
    {"encoder_normalize_before": True},
    {"encoder_learned_pos": True, "left_pad_source": True},
    {"no_token_positional_embeddings": True},
    {"no_scale_embedding": True, "layernorm_embedding": True, "activation_fn": "gelu"},
    {"encoder_embed_dim": 15, "encoder_attention_heads": 3, "encoder_layers": 1},
]


class TinyTransformer:
    """A checkpoint of small sizes with random weights, its vocabulary, and what the oracle needs of them."""

    def __init__(self, folder: Path, masked: bool = False, **changes: object) -> None:
        self.settings = {**SETTINGS, **changes}
        self.masked = masked or bool(self.settings["encoder_normalize_before"])
        self.model, self.pieces, self.vocabulary = (folder / f"tiny.{end}" for end in ("pt", "spm", "cvocab"))
        self.processor = train_pieces(SENTENCES, self.pieces, 100)
        every = [self.processor.id_to_piece(i) for i in range(3, self.processor.get_piece_size())]
        self.known = [piece for i, piece in enumerate(every) if i % 10]  # some are left out: they are unknown
        self.vocabulary.write_text("".join(f"{piece} {7 + i}\n" for i, piece in enumerate(self.known)), "utf-8")
        self.state = self.random_state()
        torch.save(self.checkpoint(), self.model)

    def size(self, name: str) -> int:
        return int(str(self.settings[name]))

    def random_state(self) -> dict[str, Any]:
        """Return tensors of an encoder in fairseq's names."""
        size, inner = self.size("encoder_embed_dim"), self.size("encoder_ffn_embed_dim")
        made = torch.Generator().manual_seed(3)

        def draw(*shape: int, scale: float = 0.3, mean: float = 0.0) -> Any:
            return mean + scale * torch.randn(*shape, generator=made)

        def norm(name: str) -> dict[str, Any]:
            return {f"{name}.weight": draw(size, mean=1.0), f"{name}.bias": draw(size)}

        state = {"version": torch.tensor([3.0]), "embed_tokens.weight": draw(len(self.known) + 4 + self.masked, size)}
        if self.settings["encoder_learned_pos"]:
            state["embed_positions.weight"] = draw(self.size("max_source_positions") + 2, size)
        elif not self.settings.get("no_token_positional_embeddings"):
            state["embed_positions._float_tensor"] = torch.zeros(1)
        for layer in range(self.size("encoder_layers")):
            for kind in ("q_proj", "k_proj", "v_proj", "out_proj"):
                own = f"layers.{layer}.self_attn.{kind}"
                state |= {f"{own}.weight": draw(size, size), f"{own}.bias": draw(size)}
            state |= {f"layers.{layer}.fc1.weight": draw(inner, size), f"layers.{layer}.fc1.bias": draw(inner)}
            state |= {f"layers.{layer}.fc2.weight": draw(size, inner), f"layers.{layer}.fc2.bias": draw(size)}
            state |= norm(f"layers.{layer}.self_attn_layer_norm") | norm(f"layers.{layer}.final_layer_norm")
        if self.settings.get("layernorm_embedding"):
            state |= norm("layernorm_embedding")
        return state | norm("layer_norm") if self.masked else state

    def checkpoint(self) -> dict[str, Any]:
        return {
            "args": None,
            "cfg": {
                "_name": None,
                "common": {"seed": 1, "fp16": True, "user_dir": None},
                "model": argparse.Namespace(**self.settings),
                "task": argparse.Namespace(**self.settings),
            },
            "model": collections.OrderedDict(self.state),
            "optimizer_history": [{"criterion_name": "EncoderSimilarityCriterion", "num_updates": 3}],
            "extra_state": {"metrics": [(0, "loss", "AverageMeter", {"val": 1.5, "sum": torch.ones(())})]},
        }

    def encoder(self, **config: Any) -> LaserEncoder:
        return LaserEncoder(self.model, self.pieces, LaserConfig(**config), self.vocabulary)

    def ids(self, plain: str) -> list[int]:
        numbers = {piece: 4 + i for i, piece in enumerate(self.known)}
        words = [numbers.get(piece, 3) for piece in self.processor.encode(plain, out_type=str)]
        return [0] * bool(self.settings["prepend_bos"]) + words + [2]

    def oracle(self, ids: list[int]) -> Floats:
        """Embed a text by the equations of the transformer, in double precision."""
        weights = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in self.state.items()}
        size = self.size("encoder_embed_dim")

        def mapped(rows: Floats, name: str) -> Floats:
            return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

        def normed(rows: Floats, name: str) -> Floats:
            centred = rows - rows.mean(axis=1, keepdims=True)
            scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
            return np.asarray(centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"])

        rows = weights["embed_tokens.weight"][ids]
        rows = rows if self.settings.get("no_scale_embedding") else rows * math.sqrt(size)
        if self.settings["encoder_learned_pos"]:
            rows = rows + weights["embed_positions.weight"][2 : 2 + len(ids)]
        elif not self.settings.get("no_token_positional_embeddings"):
            rows = rows + waves(range(2, 2 + len(ids)), size)
        if self.settings.get("layernorm_embedding"):
            rows = normed(rows, "layernorm_embedding")
        first = bool(self.settings["encoder_normalize_before"])
        activate = relu if self.settings["activation_fn"] == "relu" else gelu
        for layer in range(self.size("encoder_layers")):
            own = f"layers.{layer}"
            given = normed(rows, f"{own}.self_attn_layer_norm") if first else rows
            query, key, value = (mapped(given, f"{own}.self_attn.{kind}_proj") for kind in "qkv")
            heads = self.size("encoder_attention_heads")
            parts = [
                attend(*parts) for parts in zip(*(np.split(x, heads, axis=1) for x in (query, key, value)), strict=True)
            ]
            rows = rows + mapped(np.concatenate(parts, axis=1), f"{own}.self_attn.out_proj")
            rows = rows if first else normed(rows, f"{own}.self_attn_layer_norm")
            given = normed(rows, f"{own}.final_layer_norm") if first else rows
            rows = rows + mapped(activate(mapped(given, f"{own}.fc1")), f"{own}.fc2")
            rows = rows if first else normed(rows, f"{own}.final_layer_norm")
        rows = normed(rows, "layer_norm") if self.masked else rows
        return np.asarray(rows[0] if self.settings["sentemb_criterion"] == "cls" else rows.max(axis=0))


def waves(places: Iterable[int], size: int) -> Floats:
    half = size // 2
    rates = 10_000.0 ** (-np.arange(half) / (half - 1))
    angles = np.array(list(places))[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles), np.zeros((len(angles), size % 2))], axis=1)


def attend(query: Floats, key: Floats, value: Floats) -> Floats:
    likeness = np.exp(query @ key.T / math.sqrt(query.shape[1]))
    return np.asarray(likeness / likeness.sum(axis=1, keepdims=True) @ value, dtype=np.float64)


def relu(rows: Floats) -> Floats:
    return np.maximum(rows, 0)


def gelu(rows: Floats) -> Floats:
    return np.asarray(np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)(rows))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyTransformer:
    return TinyTransformer(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def encoder(tiny: TinyTransformer) -> LaserEncoder:
    return tiny.encoder(batch_tokens=60)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("changes", FORMS, ids=lambda changes: " ".join(changes) or "default")
def test_embeddings_are_those_of_the_equations(changes: dict[str, object], masked: bool, tmp_path: Path) -> None:
    model = TinyTransformer(tmp_path, masked, **changes)
    encoder = model.encoder(batch_tokens=300)
    found = encoder.encode(SENTENCES[:60])
    assert found.dtype == np.float32
    assert found.shape == (60, encoder.dimension) == (60, model.size("encoder_embed_dim"))
    expected = np.array([model.oracle(model.ids(text)) for text in SENTENCES[:60]])
    assert found == pytest.approx(expected, abs=1e-5)
    assert expected.std(axis=0).min() > 1e-2  # the texts do differ


@settings(max_examples=25)
@given(st.lists(st.sampled_from(SENTENCES[:40]) | st.text(max_size=30), max_size=12), st.randoms(use_true_random=False))
def test_neither_the_texts_beside_it_nor_their_order_change_an_embedding(
    encoder: LaserEncoder, texts: list[str], shuffler: random.Random
) -> None:
    found = encoder.encode(texts)
    alone = [encoder.encode([text])[0] for text in texts]
    assert found == pytest.approx(np.array(alone).reshape(found.shape), abs=1e-5)
    order = shuffler.sample(range(len(texts)), len(texts))
    assert encoder.encode([texts[place] for place in order]).tobytes() == found[order].tobytes()


@pytest.mark.parametrize("pooling", ["cls", "maxpool"])
def test_texts_of_all_lengths_in_one_batch(pooling: str, tmp_path: Path) -> None:
    """Padding beside a text of one token is most of its row, and takes no part."""
    model = TinyTransformer(tmp_path, sentemb_criterion=pooling)
    texts = ["", *(" ".join(SENTENCES[:8])[:length] for length in range(1, 60, 4)), SENTENCES[0]]
    found = model.encoder(batch_tokens=10_000).encode(texts)
    expected = np.array([model.oracle(model.ids(text.rstrip())) for text in texts])
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("begins", [False, True])
def test_a_text_has_as_many_tokens_as_the_encoder_knows_places(learned: bool, begins: bool, tmp_path: Path) -> None:
    model = TinyTransformer(
        tmp_path, sentemb_criterion="maxpool", encoder_learned_pos=learned, prepend_bos=begins, max_source_positions=20
    )
    long = " ".join(SENTENCES)
    found = model.encoder().encode([long, long + " and more", "日" * 3_000_000])
    assert found[0] == pytest.approx(model.oracle([*model.ids(long)[:19], 2]), abs=1e-5)
    assert found[0].tobytes() == found[1].tobytes()
    assert np.isfinite(found).all()
    shorter = model.encoder(max_tokens=10).encode([long])
    assert shorter[0] == pytest.approx(model.oracle([*model.ids(long)[:9], 2]), abs=1e-5)


def test_padding_that_a_text_holds_is_as_if_it_were_not_there(tiny: TinyTransformer, tmp_path: Path) -> None:
    """As in fairseq: it has no place, nothing attends to it, and it is not pooled."""
    processor = train_pieces(SENTENCES, tmp_path / "marks.spm", 100, user_defined_symbols=["<pad>"])
    known = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    known = [piece for piece in known if piece != "<pad>"][: len(tiny.known)]
    (tmp_path / "marks.cvocab").write_text("".join(f"{piece} 1\n" for piece in known), encoding="utf-8")
    encoder = LaserEncoder(tiny.model, tmp_path / "marks.spm", None, tmp_path / "marks.cvocab")
    text = SENTENCES[0]
    pieces = processor.encode(text[:9] + "<pad>" + text[9:], out_type=str)
    assert "<pad>" in pieces
    numbers = {piece: 4 + i for i, piece in enumerate(known)}
    ids = [0, *(numbers.get(piece, 3) for piece in pieces if piece != "<pad>"), 2]
    found = encoder.encode([text[:9] + "<pad>" + text[9:], SENTENCES[1]])
    assert found[0] == pytest.approx(tiny.oracle(ids), abs=1e-5)


def test_what_training_leaves_in_a_checkpoint_changes_nothing(tmp_path: Path) -> None:
    """Of encoder and decoder, with the head that filled in masked words, the encoder alone is read."""
    model = TinyTransformer(tmp_path, masked=True)
    expected = model.encoder().encode(SENTENCES[:9])
    whole = {f"encoder.{name}": tensor for name, tensor in model.state.items()}
    whole["encoder.project_vocabulary.weight"] = whole["encoder.embed_tokens.weight"]
    whole["encoder.lm_head_transform_weight.bias"] = torch.ones(16)
    whole |= {"decoder.version": torch.ones(1), "decoder.layers.0.fc1.bias": torch.ones(1)}
    torch.save({**model.checkpoint(), "model": whole}, model.model)
    assert model.encoder().encode(SENTENCES[:9]).tobytes() == expected.tobytes()
    del whole["encoder.layer_norm.bias"]
    torch.save({**model.checkpoint(), "model": whole}, model.model)
    with pytest.raises(UserError, match=r"layer_norm\.bias"):
        model.encoder()


def test_half_precision_is_near(tiny: TinyTransformer, encoder: LaserEncoder) -> None:
    half = tiny.encoder(precision="bfloat16")
    assert cosine(half.encode(SENTENCES[:50]), encoder.encode(SENTENCES[:50])).min() > 0.999


def test_no_random_number_is_drawn(tiny: TinyTransformer) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    tiny.encoder().encode(SENTENCES[:3])
    assert torch.equal(before, torch.random.get_rng_state())


Change = Callable[[dict[str, Any]], object]


def with_settings(**changes: object) -> Change:
    return lambda c: {**c, "cfg": {"model": argparse.Namespace(**SETTINGS | changes)}}


def without_setting(name: str) -> Change:
    kept = {key: value for key, value in SETTINGS.items() if key != name}
    return lambda c: {**c, "cfg": {"model": argparse.Namespace(**kept)}}


def with_tensor(name: str, make: Callable[[Any], object]) -> Change:
    return lambda c: {**c, "model": {**c["model"], name: make(c["model"].get(name))}}


def doubled(times: int) -> list[object]:
    """Return a list of two that are one list of two and so on: small in a file, and without end when it is written."""
    values: list[object] = []
    for _ in range(times):
        values = [values, values]
    return values


PIECES = "embed_tokens.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"model": c["model"]}, "does not hold params, model and dictionary"),
        (lambda c: {**c, "params": {}}, "does not hold params, model and dictionary"),
        (lambda c: {**c, "cfg": [1]}, r"settings \(cfg.model\) must hold"),
        (lambda c: {**c, "cfg": {"model": "laser"}}, r"settings \(cfg.model\) must hold"),
        (without_setting("encoder_embed_dim"), "must hold encoder_embed_dim, prepend_bos, sentemb_criterion"),
        (without_setting("sentemb_criterion"), "must hold encoder_embed_dim, prepend_bos, sentemb_criterion"),
        (without_setting("encoder_layers"), "not those its settings speak of"),  # fairseq's default is 6
        (with_settings(encoder_layers=10**12), "encoder_layers of the checkpoint is 1000000000000"),
        (with_settings(encoder_layers=True), "encoder_layers of the checkpoint is True"),
        (with_settings(encoder_embed_dim=-16), "encoder_embed_dim of the checkpoint is -16"),
        (with_settings(max_source_positions=10**9), "max_source_positions"),
        (with_settings(max_source_positions=2), "no room for a piece and two marks"),
        (with_settings(max_source_positions=None), "max_source_positions"),
        (with_settings(encoder_attention_heads=3), "no multiple of 3 attention heads"),
        (with_settings(encoder_embed_dim=2, encoder_attention_heads=1), "too small for positions"),
        (with_settings(prepend_bos="True"), "prepend_bos of the checkpoint is True, not true or false"),
        (with_settings(prepend_bos=False), "cls, which needs prepend_bos"),
        (with_settings(sentemb_criterion="mean"), "sentemb_criterion of the checkpoint is mean, not cls or maxpool"),
        (with_settings(activation_fn="gelu_fast"), "activation_fn of the checkpoint is gelu_fast, not relu or gelu"),
        (with_settings(activation_fn=["relu"]), "activation_fn"),
        (with_settings(activation_fn=doubled(60)), "activation_fn"),
        (with_settings(encoder_layers=3), "not those its settings speak of"),
        (with_settings(encoder_normalize_before=True), r"not those its settings speak of.*layer_norm\.bias"),
        (with_settings(encoder_learned_pos=True), r"not those its settings speak of.*embed_positions\.weight"),
        (with_settings(encoder_ffn_embed_dim=25), "must be real numbers of shape"),
        (lambda c: {**c, "model": [1]}, "must map names to tensors"),
        (lambda c: {**c, "model": {3: c["model"][PIECES]}}, "must map names to tensors"),
        (with_tensor(PIECES, lambda t: t.int()), "must be real numbers"),
        (with_tensor(PIECES, lambda t: "weights"), "must be real numbers"),
        (with_tensor(PIECES, lambda t: t.flatten()), "must be real numbers of shape"),
        (with_tensor(PIECES, lambda t: t * math.inf), "not finite"),
        (with_tensor(PIECES, lambda t: t[1:]), "vocabulary of another checkpoint"),
        (with_tensor("quant_noise.weight", lambda t: torch.ones(16, 16)), r"quant_noise\.weight"),
        (with_tensor("layer_norm.weight", lambda t: torch.ones(16)), "vocabulary of another checkpoint"),  # <mask>
    ],
)
def test_a_checkpoint_that_is_none_is_refused(
    change: Change, message: str, tiny: TinyTransformer, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.pt"
    torch.save(change(tiny.checkpoint()), path)
    with pytest.raises(UserError, match=message) as error:
        LaserEncoder(path, tiny.pieces, None, tiny.vocabulary)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Path("x"), "pathlib"),
        (datetime.date(2022, 5, 25), "datetime.date"),
        (np.float64(0.5), "numpy"),
        (type("Config", (argparse.Namespace,), {"__module__": "argparse", "__qualname__": "FileType"})(), "argparse"),
    ],
)
def test_of_other_objects_none_is_made(
    value: object, named: str, tiny: TinyTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argparse, "FileType", type(value))  # so that the last of them can be written
    path = tmp_path / "objects.pt"
    torch.save({**tiny.checkpoint(), "cfg": {"model": argparse.Namespace(**SETTINGS, x=value)}}, path)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"objects.pt.*only tensors, plain values and argparse.Namespace") as error:
        LaserEncoder(path, tiny.pieces, None, tiny.vocabulary)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_of_a_checkpoint_is_run_and_what_is_allowed_stays_so(tiny: TinyTransformer, tmp_path: Path) -> None:
    mark, before = tmp_path / "was-run", torch.serialization.get_safe_globals()
    path = tmp_path / "harmful.pt"
    for new_format in (True, False):
        harmful = argparse.Namespace(**SETTINGS, x=Harmful(mark))
        checkpoint = {**tiny.checkpoint(), "cfg": {"model": harmful}}
        torch.save(checkpoint, path, _use_new_zipfile_serialization=new_format)
        with pytest.raises(UserError, match=r"harmful.pt"):
            LaserEncoder(path, tiny.pieces, None, tiny.vocabulary)
    assert not mark.exists()
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    assert torch.serialization.get_safe_globals() == before


def test_a_checkpoint_cannot_claim_more_than_its_file_holds(tiny: TinyTransformer, tmp_path: Path) -> None:
    """One stored number, spread over a layer of gigabytes."""
    path = tmp_path / "spread.pt"
    spread = {
        f"layers.0.{name}": torch.ones(1, 1).expand(*shape)
        for name, shape in (("fc1.weight", (65_536, 16)), ("fc2.weight", (16, 65_536)))
    }
    spread["layers.0.fc1.bias"] = torch.ones(1).expand(65_536)
    changed = with_settings(encoder_ffn_embed_dim=65_536, encoder_layers=1)(tiny.checkpoint())
    assert isinstance(changed, dict)
    first = {name: tensor for name, tensor in tiny.state.items() if not name.startswith("layers.1.")}
    torch.save({**changed, "model": {**first, **spread}}, path)
    with pytest.raises(UserError, match="claim more than the file holds"):
        LaserEncoder(path, tiny.pieces, None, tiny.vocabulary)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is ''"),
        (b"a 1\nb\n", "line 2 is 'b', not a piece and its count"),
        (b"a 1\n\nb 2\n", "line 2 is ''"),
        (b"a 1\nb -2\n", "line 2 is 'b -2'"),
        (b"a 1\nb 2 #fairseq:overwrite\n", "line 2"),
        (b"a 1\na 2\n", "line 2 has 'a', which has a number already"),
        (b"<unk> 1\n", "line 1 has '<unk>'"),
        (b"\xff 1\n", "not UTF-8"),
        (b"a 1\n", "vocabulary of another checkpoint"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(
    content: bytes, message: str, tiny: TinyTransformer, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.cvocab"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        LaserEncoder(tiny.model, tiny.pieces, None, path)
    assert str(path) in str(error.value)


def test_a_vocabulary_belongs_to_laser3_and_to_it_alone(tiny: TinyTransformer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiny.pt is a LASER3 checkpoint: it needs the vocabulary"):
        LaserEncoder(tiny.model, tiny.pieces)
    with pytest.raises(UserError, match=r"no vocabulary at .*laser2\.cvocab"):
        LaserEncoder(tiny.model, tiny.pieces, None, tmp_path / "laser2.cvocab")
    laser2 = Tiny(tmp_path)
    with pytest.raises(UserError, match=r"tiny.pt is a LASER2 checkpoint, which holds its own vocabulary"):
        LaserEncoder(laser2.model, laser2.pieces, None, tiny.vocabulary)


def test_damage_anywhere_is_an_error_or_harmless(tiny: TinyTransformer, tmp_path: Path) -> None:
    whole = tiny.model.read_bytes()
    generator = random.Random(3)
    damaged = [whole[: len(whole) * part // 8] for part in range(8)] + [
        b"not a model",
        b"\x80\x02cargparse\nNamespace\n.",
    ]
    for _ in range(40):
        place = generator.randrange(len(whole))
        damaged.append(whole[:place] + bytes(generator.choices(range(256), k=4)) + whole[place + 4 :])
    path = tmp_path / "damaged.pt"
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            LaserEncoder(path, tiny.pieces, None, tiny.vocabulary).encode(SENTENCES[:2])
        except UserError as error:
            refused += str(path) in str(error)
    assert refused >= 10  # all that is cut short or something else
