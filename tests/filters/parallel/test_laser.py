"""LASER's encoder: embeddings are those of the definition, and no file can do more than be refused.

The oracle computes the LSTM in NumPy, a text at a time, from the equations.
"""

import argparse
import io
import math
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.errors import UserError
from filters.parallel.laser import LaserConfig, LaserEncoder
from filters.parallel.laser_text import TextNormalizer
from filters.parallel.margin import cosine, ratio_margin

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("sacremoses", reason="sacremoses is not installed")

WORDS = ["".join(random.Random(i).choices("abcdefghij", k=2 + i % 5)) for i in range(60)]
SENTENCES = [" ".join(random.Random(i).choices(WORDS, k=3 + i % 9)) + "." for i in range(300)]
PARAMS = {
    "num_embeddings": 120,
    "padding_idx": 1,
    "embed_dim": 12,
    "hidden_size": 8,
    "num_layers": 2,
    "bidirectional": True,
    "left_pad": False,
    "padding_value": -math.inf,
}


def train_pieces(lines: Sequence[str], path: Path, size: int, **options: Any) -> sentencepiece.SentencePieceProcessor:
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=buffer,
        vocab_size=size,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    path.write_bytes(buffer.getvalue())
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def random_state(params: dict[str, object], seed: int) -> dict[str, object]:
    """Return tensors of a checkpoint by PyTorch's own modules, so that names and shapes are not ours."""
    sizes = {key: int(str(params[key])) for key in ("num_embeddings", "embed_dim", "hidden_size", "num_layers")}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        embedding = torch.nn.Embedding(sizes["num_embeddings"], sizes["embed_dim"])
        lstm = torch.nn.LSTM(
            sizes["embed_dim"], sizes["hidden_size"], sizes["num_layers"], bidirectional=bool(params["bidirectional"])
        )
    state = {f"lstm.{name}": 2 * tensor.detach() for name, tensor in lstm.state_dict().items()}
    return {"embed_tokens.weight": embedding.weight.detach(), **state}


class Tiny:
    """A checkpoint of small sizes with random weights, and what the oracle needs of it."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.params = {**PARAMS, **changes}
        self.processor = train_pieces(SENTENCES, folder / "tiny.spm", 100)
        every = [self.processor.id_to_piece(i) for i in range(3, self.processor.get_piece_size())]
        # Some pieces are left out: they are unknown.
        self.dictionary = {piece: 4 + i for i, piece in enumerate(every) if i % 10}
        self.state = random_state(self.params, seed=1)
        self.model, self.pieces = folder / "tiny.pt", folder / "tiny.spm"
        torch.save(self.checkpoint(), self.model)

    def checkpoint(self) -> dict[str, object]:
        return {"params": self.params, "model": self.state, "dictionary": self.dictionary}

    def ids(self, plain: str) -> list[int]:
        return [self.dictionary.get(piece, 3) for piece in self.processor.encode(plain, out_type=str)] + [2]

    def oracle(self, ids: list[int]) -> NDArray[np.float64]:
        """Embed a text by the equations of the LSTM, in double precision."""
        weights = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in self.state.items()}
        rows = weights["embed_tokens.weight"][ids]
        ends = ("", "_reverse") if self.params["bidirectional"] else ("",)
        for layer in range(int(str(self.params["num_layers"]))):
            outputs = []
            for end in ends:
                names = (f"lstm.{kind}_l{layer}{end}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
                states = one_direction(rows[::-1] if end else rows, *(weights[name] for name in names))
                outputs.append(states[::-1] if end else states)
            rows = np.concatenate(outputs, axis=1)
        return np.asarray(rows.max(axis=0), dtype=np.float64)


def one_direction(rows: NDArray[np.float64], *weights: NDArray[np.float64]) -> NDArray[np.float64]:
    def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-x))

    of_input, of_state, bias_input, bias_state = weights
    state = cell = np.zeros(of_state.shape[1])
    states = []
    for row in rows:
        enter, forget, new, leave = np.split(of_input @ row + bias_input + of_state @ state + bias_state, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(cell)
        states.append(state)
    return np.array(states)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other are slower than one on models this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def encoder(tiny: Tiny) -> LaserEncoder:
    return LaserEncoder(tiny.model, tiny.pieces, LaserConfig(batch_tokens=40, max_tokens=20))


@pytest.mark.parametrize("changes", [{}, {"bidirectional": False}, {"num_layers": 1}, {"hidden_size": 5}])
def test_embeddings_are_those_of_the_equations(changes: dict[str, object], tmp_path: Path) -> None:
    model = Tiny(tmp_path, **changes)
    encoder = LaserEncoder(model.model, model.pieces)
    found = encoder.encode(SENTENCES[:60])
    assert found.dtype == np.float32
    assert found.shape == (60, encoder.dimension)
    for text, embedding in zip(SENTENCES, found, strict=False):
        assert embedding == pytest.approx(model.oracle(model.ids(text)), abs=1e-5)


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


def test_the_size_of_batches_changes_next_to_nothing(tiny: Tiny) -> None:
    found = [
        LaserEncoder(tiny.model, tiny.pieces, LaserConfig(batch_tokens=tokens)).encode(SENTENCES[:80])
        for tokens in (1, 33, 10_000)
    ]
    assert np.abs(found[0] - found[1]).max() < 1e-5
    assert np.abs(found[0] - found[2]).max() < 1e-5
    assert found[0].std(axis=0).min() > 1e-3  # the texts do differ


def test_a_text_without_pieces_has_the_embedding_of_the_end_mark(tiny: Tiny, encoder: LaserEncoder) -> None:
    found = encoder.encode(["", " \n", "\u200b\x00"])
    assert found == pytest.approx(np.tile(tiny.oracle([2]), (3, 1)), abs=1e-5)


def test_no_text_is_no_embedding(encoder: LaserEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_of_a_long_text_the_beginning_counts(tiny: Tiny, encoder: LaserEncoder) -> None:
    long = " ".join(SENTENCES)
    found = encoder.encode([long, long + " and more", "a " * 100_000, "日" * 3_000_000])
    assert found[0] == pytest.approx(tiny.oracle([*tiny.ids(long)[:19], 2]), abs=1e-5)
    assert found[0].tobytes() == found[1].tobytes()
    assert np.isfinite(found).all()


def test_a_text_that_names_reserved_tokens_does_no_harm(encoder: LaserEncoder) -> None:
    texts = ["<pad>", "<pad> <pad> <s> </s> <unk>", "</s>", "\ud800 lone", "\u2028\u2029", "\U0010ffff"]
    assert np.isfinite(encoder.encode(texts)).all()


def test_padding_that_a_text_holds_is_not_pooled(tiny: Tiny, tmp_path: Path) -> None:
    """As in the reference: where the dictionary has a piece for padding, its states do not count."""
    piece = "▁" + WORDS[0][:1]
    number = {**tiny.dictionary, tiny.processor.encode(SENTENCES[0], out_type=str)[0]: 1}
    torch.save({**tiny.checkpoint(), "dictionary": number}, tmp_path / "padded.pt")
    found = LaserEncoder(tmp_path / "padded.pt", tiny.pieces).encode([SENTENCES[0], piece])
    ids = [number.get(part, 3) for part in tiny.processor.encode(SENTENCES[0], out_type=str)] + [2]
    assert 1 in ids
    steps = [tiny.oracle(ids)]
    assert (found[0] <= steps[0] + 1e-5).all()
    assert (found[0] < steps[0] - 1e-4).any()


def test_no_random_number_is_drawn(tiny: Tiny) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    LaserEncoder(tiny.model, tiny.pieces).encode(SENTENCES[:3])
    assert torch.equal(before, torch.random.get_rng_state())


def test_half_precision_is_near(tiny: Tiny, encoder: LaserEncoder) -> None:
    half = LaserEncoder(tiny.model, tiny.pieces, LaserConfig(precision="bfloat16", max_tokens=20))
    assert cosine(half.encode(SENTENCES[:50]), encoder.encode(SENTENCES[:50])).min() > 0.999


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ΚΑΛΗΜΕΡΑ  Κόσμε ", "καλημερα κόσμε"),
        ("„Ja“, sagte er – nein…", '"ja," sagte er - nein...'),
        ("l’eau ‘x’ ‚y‘", 'l\'eau "x" "y"'),
        ("«\u00a0oui\u00a0» 5\u00a0000", '"oui" 5.000'),
        ("a\u200bb\x00c\ud800d\u00ade", "a b c d e"),
        ("``quote''", '"quote"'),
        ("( a ) , b", "(a), b"),
    ],
)
def test_text_is_brought_into_the_form_of_the_pieces(text: str, expected: str) -> None:
    assert TextNormalizer()(text).replace(" ,", ",").replace('" quote "', '"quote"') == expected


class Harmful:
    """What a pickle would run if it were allowed to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.path,))


Change = Callable[[dict[str, object]], object]


def with_params(**changes: object) -> Change:
    return lambda checkpoint: {**checkpoint, "params": {**PARAMS, **changes}}


def with_tensor(name: str, make: Callable[[Any], object]) -> Change:
    def change(checkpoint: dict[str, object]) -> object:
        state = dict(checkpoint["model"])  # type: ignore[call-overload]
        return {**checkpoint, "model": {**state, name: make(state[name])}}

    return change


EMBEDDING = "embed_tokens.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: list(c), "does not hold params, model and dictionary"),
        (lambda c: {"params": c["params"], "model": c["model"]}, "does not hold params, model and dictionary"),
        (lambda c: {"model": c["model"], "cfg": {"model": {}}}, "LASER3"),
        (lambda c: {"model": c["model"], "cfg": {"model": argparse.Namespace(arch="laser")}}, "LASER3"),
        (lambda c: {**c, "params": {"embed_dim": 12}}, "must hold num_embeddings and padding_idx"),
        (with_params(num_embeddings=10**12), "num_embeddings of the checkpoint is 1000000000000"),
        (with_params(hidden_size=-1), "hidden_size of the checkpoint is -1"),
        (with_params(num_layers="2"), "num_layers"),
        (with_params(bidirectional=3), "bidirectional"),
        (with_params(padding_idx=0), "padding_idx 1"),
        (with_params(attention=True), "attention"),
        (with_params(num_layers=3), "not those its params speak of"),
        (with_params(hidden_size=9), "must be real numbers of shape"),
        (with_tensor(EMBEDDING, lambda t: t.int()), "must be real numbers"),
        (with_tensor(EMBEDDING, lambda t: "weights"), "must be real numbers"),
        (with_tensor(EMBEDDING, lambda t: t * math.nan), "not finite"),
        (lambda c: {**c, "model": {**c["model"], "decoder.weight": c["model"][EMBEDDING]}}, "decoder.weight"),
        (lambda c: {**c, "dictionary": ["a", "b"]}, "dictionary"),
        (lambda c: {**c, "dictionary": {"a": 120}}, "dictionary"),
        (lambda c: {**c, "dictionary": {"a": -1}}, "dictionary"),
        (lambda c: {**c, "dictionary": {3: 4}}, "dictionary"),
    ],
)
def test_a_checkpoint_that_is_none_is_refused(change: Change, message: str, tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    torch.save(change(tiny.checkpoint()), path)
    with pytest.raises(UserError, match=message) as error:
        LaserEncoder(path, tiny.pieces)
    assert str(path) in str(error.value)


def test_a_checkpoint_cannot_claim_more_than_its_file_holds(tiny: Tiny, tmp_path: Path) -> None:
    """One stored number, spread over ten million rows: 480 MB if it were copied, 120 rows in the file."""
    path = tmp_path / "spread.pt"
    spread = with_tensor(EMBEDDING, lambda t: torch.ones(1, 1).expand(9_999_999, 12))
    torch.save({**spread(tiny.checkpoint()), "params": {**PARAMS, "num_embeddings": 9_999_999}}, path)  # type: ignore[dict-item]
    with pytest.raises(UserError, match="claim more than the file holds"):
        LaserEncoder(path, tiny.pieces)


def test_a_packed_archive_is_not_unpacked(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(tiny.model) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    with pytest.raises(UserError, match="claim more than the file holds"):
        LaserEncoder(path, tiny.pieces)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_of_a_checkpoint_is_run(tiny: Tiny, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    for number, write in enumerate((torch.save, lambda value, path: path.write_bytes(pickle.dumps(value)))):
        path = tmp_path / f"harmful-{number}.pt"
        write({**tiny.checkpoint(), "extra": Harmful(mark)}, path)
        with pytest.raises(UserError, match=r"harmful-\d.pt"):
            LaserEncoder(path, tiny.pieces)
    assert not mark.exists()


def test_damage_anywhere_is_an_error_or_harmless(tiny: Tiny, tmp_path: Path) -> None:
    whole = tiny.model.read_bytes()
    generator = random.Random(3)
    damaged = [whole[: len(whole) * part // 8] for part in range(8)] + [b"not a model", b"<html>", b"\x80\x02."]
    for _ in range(40):
        place = generator.randrange(len(whole))
        damaged.append(whole[:place] + bytes(generator.choices(range(256), k=4)) + whole[place + 4 :])
    path = tmp_path / "damaged.pt"
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            LaserEncoder(path, tiny.pieces).encode(SENTENCES[:2])
        except UserError as error:
            refused += str(path) in str(error)
    assert refused >= 11  # all that is cut short or something else


def test_what_is_missing_is_named(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no LASER checkpoint at .*laser2\.pt"):
        LaserEncoder(tmp_path / "laser2.pt", tiny.pieces)
    with pytest.raises(UserError, match=r"laser2\.spm"):
        LaserEncoder(tiny.model, tmp_path / "laser2.spm")
    (tmp_path / "laser2.spm").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"laser2\.spm is not a SentencePiece model"):
        LaserEncoder(tiny.model, tmp_path / "laser2.spm")
    with pytest.raises(UserError, match="device 'nowhere'"):
        LaserEncoder(tiny.model, tiny.pieces, LaserConfig(device="nowhere"))


def train_on_pairs(pairs: Sequence[tuple[str, str]], folder: Path, size: int = 6000) -> tuple[Path, Path]:
    """Train a small encoder so that the sides of a pair come close to each other; return checkpoint and pieces."""
    plain = TextNormalizer()
    sides = [[plain(text) for text in side] for side in zip(*pairs, strict=True)]
    processor = train_pieces([line for side in sides for line in side], folder / "trained.spm", size)
    dictionary = {processor.id_to_piece(i): i + 1 for i in range(3, processor.get_piece_size())}
    ids = [
        [
            torch.tensor([dictionary.get(piece, 3) for piece in row[:40]] + [2])
            for row in processor.encode(side, out_type=str)
        ]
        for side in sides
    ]
    params = {"num_embeddings": size + 4, "padding_idx": 1, "embed_dim": 64, "hidden_size": 64, "num_layers": 1}
    torch.manual_seed(0)
    generator = random.Random(0)
    embedding = torch.nn.Embedding(size + 4, 64, padding_idx=1)
    torch.nn.init.normal_(embedding.weight, std=0.2)  # a piece that was never seen says little
    lstm = torch.nn.LSTM(64, 64, bidirectional=True)
    optimizer = torch.optim.Adam([*embedding.parameters(), *lstm.parameters()], lr=1e-2)

    def embed(batch: Sequence[Any]) -> Any:
        padded = torch.nn.utils.rnn.pad_sequence(batch, padding_value=1)
        lengths = torch.tensor([len(row) for row in batch])
        vectors = torch.nn.functional.dropout(embedding(padded), 0.3)
        packed = torch.nn.utils.rnn.pack_padded_sequence(vectors, lengths, enforce_sorted=False)
        states, _ = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], padding_value=-math.inf)
        return torch.nn.functional.normalize(states.amax(dim=0), dim=1)

    for _ in range(6):
        order = generator.sample(range(len(pairs)), len(pairs))
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            logits = 20 * embed([ids[0][row] for row in rows]) @ embed([ids[1][row] for row in rows]).T
            target = torch.arange(len(rows))
            cross = torch.nn.functional.cross_entropy
            optimizer.zero_grad()
            (cross(logits, target) + cross(logits.T, target)).backward()
            optimizer.step()
    state = {"embed_tokens.weight": embedding.weight.detach()}
    state |= {f"lstm.{name}": tensor.detach() for name, tensor in lstm.state_dict().items()}
    checkpoint = {"params": {**params, "bidirectional": True}, "model": state, "dictionary": dictionary}
    torch.save(checkpoint, folder / "trained.pt")
    return folder / "trained.pt", folder / "trained.spm"


def area_under_curve(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """Return how often a good score is above a bad one, ties half."""
    above = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
    return float(above)


def ntrex_lines(folder: Path, code: str) -> list[str]:
    paths = sorted((folder / "ntrex" / "NTREX-128").glob(f"newstest2019-*.{code}.txt"))
    if not paths:
        pytest.skip(f"no NTREX lines of {code} in {folder}")
    return paths[0].read_text(encoding="utf-8").removesuffix("\n").split("\n")


def test_a_trained_encoder_tells_true_pairs_from_shuffled_ones(data_folder: Path, tmp_path: Path) -> None:
    """Trained on a part of NTREX for a few seconds, loaded from its checkpoint, and asked about another part."""
    source, target = ntrex_lines(data_folder, "deu"), ntrex_lines(data_folder, "eng")
    pairs = list(zip(source, target, strict=True))
    model, pieces = train_on_pairs(pairs[:750], tmp_path)
    for precision in ("float32", "bfloat16"):
        encoder = LaserEncoder(model, pieces, LaserConfig(precision=precision))
        a, b = (encoder.encode(side) for side in zip(*pairs[750:], strict=True))
        shuffled = np.roll(b, 7, axis=0)
        for score in (cosine, ratio_margin):
            assert area_under_curve(score(a, b), score(a, shuffled)) > 0.95, (precision, score.__name__)


def test_pytorch_is_not_loaded_before_an_encoder_is() -> None:
    """So that a job without LASER needs neither the package nor the seconds."""
    code = "import sys, filters.parallel.laser as laser; laser.LaserConfig(); sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
