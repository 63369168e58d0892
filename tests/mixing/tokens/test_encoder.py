"""Encoding in windows: the tokens are those of the whole text, and every token knows its characters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from mixing.tokens import encoder as module
from mixing.tokens.encoder import Encoder
from mixing.tokens.tokenizer_file import find_tokenizer, open_tokenizer
from tests.curation.peak import peak_growth_mb
from tests.strategies import WORDS

EOD = "<|endoftext|>"
_SENTENCE = (
    "Οι φαροφύλακες της Άνδρου, δύο οικογένειες· 1.234 σκαλιά — ένα φως. 😀🏽 The lamp   was lit,\n\n and don't! "
    "ไทยแลนด์ "
)
TEXT = "".join(f"{number} {_SENTENCE[number % 40 :]}" for number in range(120))


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[EOD], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=[EOD, "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def undivided_bpe() -> Tokenizer:
    """As Llama 2 and Gemma: no pre-tokenizer, so the whole text is one word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[EOD, "<unk>"], show_progress=False, max_token_length=8
    )
    divided = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    divided.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), behavior="merged_with_next")
    divided.train_from_iterator([TEXT.replace(" ", "▁")], trainer)
    tokenizer.model = divided.model
    tokenizer.add_special_tokens([EOD])
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        [TEXT], trainers.WordPieceTrainer(vocab_size=300, special_tokens=[EOD, "[UNK]"], show_progress=False)
    )
    return tokenizer


KINDS: list[Callable[[], Tokenizer]] = [byte_level, unigram, undivided_bpe, word_piece]


@pytest.fixture(scope="module", params=KINDS, ids=[kind.__name__ for kind in KINDS])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return make(request.param(), tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def bytes_encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return make(byte_level(), tmp_path_factory.mktemp("tokenizer"))


def make(tokenizer: Tokenizer, folder: Path) -> Encoder:
    tokenizer.save(str(folder / "tokenizer.json"))
    found = find_tokenizer(folder, EOD)
    return Encoder(found.path, found.sha256, found.eod_id, "uint16")


def encode(encoder: Encoder, text: str) -> list[int]:
    (tokens,) = encoder.encode([text])
    assert tokens.dtype == np.uint16
    listed: list[int] = tokens.tolist()
    return listed


@pytest.mark.parametrize(("window", "overlap"), [(2_000, 400), (1_111, 300), (650, 320)])
def test_windows_give_the_tokens_of_the_whole_text(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, window: int, overlap: int
) -> None:
    whole = encode(encoder, TEXT)
    monkeypatch.setattr(module, "WINDOW_CHARS", window)
    monkeypatch.setattr(module, "OVERLAP_CHARS", overlap)
    assert len(TEXT) > 5 * window
    assert encode(encoder, TEXT) == whole


@given(st.lists(WORDS, max_size=300).map(lambda lists: " ".join(word for words in lists for word in words)))
def test_any_words_in_windows(bytes_encoder: Encoder, text: str) -> None:
    whole = encode(bytes_encoder, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW_CHARS", 300)
        patch.setattr(module, "OVERLAP_CHARS", 160)
        assert encode(bytes_encoder, text) == whole


@pytest.mark.parametrize("text", ["a" * 9_000, " " * 9_000, "\n" * 9_000, "0" * 9_000, "αβ" * 4_500, "é́" * 4_500])
def test_a_run_without_borders_loses_no_character(
    bytes_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(module, "WINDOW_CHARS", 1_000)
    monkeypatch.setattr(module, "OVERLAP_CHARS", 100)
    tokens = encode(bytes_encoder, text)
    assert bytes_encoder._tokenizer.decode(tokens[:-1]) == text
    assert tokens[-1] == 0


def metaspace() -> Tokenizer:
    """As mT5 and XLM-R: `▁` stands for a space, and before every text."""
    tokenizer = unigram()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def prepending_bpe() -> Tokenizer:
    tokenizer = undivided_bpe()
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


@pytest.mark.parametrize("kind", [metaspace, prepending_bpe])
@pytest.mark.parametrize("text", ["a" * 4_000, "αβ" * 2_000, "a" * 2_500 + TEXT[:1_500].strip() + "e" * 2_500])
def test_nothing_is_put_behind_a_cut(
    kind: Callable[[], Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The whole text in one go is the oracle: it has the mark before its beginning, and nowhere else."""
    encoder = make(kind(), tmp_path)
    plain = encoder._tokenizer
    text = " ".join(text.split())
    known = plain.decode(encode(encoder, text)[:-1])
    monkeypatch.setattr(module, "WINDOW_CHARS", 1_000)
    monkeypatch.setattr(module, "OVERLAP_CHARS", 100)
    tokens = encode(encoder, text)
    assert plain.decode(tokens[:-1]) == known
    marks = sum((plain.id_to_token(token) or "").count("▁") for token in tokens)
    assert marks == 1 + text.count(" ")
    assert encoder.place(text, len(tokens) - 2)[1] == len(text)


@pytest.mark.parametrize(
    ("part", "step"),
    [
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}),
        (
            "pre_tokenizer",
            {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "WhitespaceSplit"},
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                ],
            },
        ),
        ("normalizer", {"type": "Prepend", "prepend": "▁"}),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}]}),
    ],
)
def test_a_text_that_goes_on_has_no_mark_before_it(tmp_path: Path, part: str, step: dict[str, object]) -> None:
    letters = {letter: number for number, letter in enumerate([EOD, "▁", "Ġ", "a", "b"])}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.add_special_tokens([EOD])
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(tokenizer.to_str()), part: step}))
    sha256 = find_tokenizer(path, EOD).sha256
    told = [
        open_tokenizer(path, sha256, inside).encode("ab", add_special_tokens=False).tokens for inside in (False, True)
    ]
    assert told[0][0] in "▁Ġ"
    assert told[0][1:] == told[1] == ["a", "b"]


def test_each_text_ends_once_whatever_the_batches(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", TEXT[:50], "", TEXT[:3000], TEXT[7:900], "x", ""]
    alone = [encode(encoder, text) for text in texts]
    assert alone[0] == [0]
    assert all(tokens[-1] == 0 and 0 not in tokens[:-1] for tokens in alone)
    for size in (1, 100, 10_000):
        monkeypatch.setattr(module, "_BATCH_CHARS", size)
        assert [tokens.tolist() for tokens in encoder.encode(texts)] == alone


@pytest.mark.parametrize("window", [100_000, 900])
def test_places_go_through_the_text_in_order(
    bytes_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(module, "WINDOW_CHARS", window)
    monkeypatch.setattr(module, "OVERLAP_CHARS", 300)
    text = TEXT[:3_000]
    tokens = encode(bytes_encoder, text)[:-1]
    places = [bytes_encoder.place(text, number) for number in range(len(tokens))]
    covered = 0
    for token, (start, end) in zip(tokens, places, strict=True):
        assert start <= covered <= end
        covered = end
        piece = bytes_encoder._tokenizer.decode([token])
        assert piece == text[start:end] or "\ufffd" in piece  # a part of a character
    assert covered == len(text)
    with pytest.raises(IndexError):
        bytes_encoder.place(text, len(tokens))


@pytest.mark.slow
def test_a_long_text_takes_little_memory(tmp_path: Path) -> None:
    """In one go the library takes some hundred times the text; in windows a few times its length and no more."""
    byte_level().save(str(tmp_path / "tokenizer.json"))
    code = "for tokens in encoder.encode([text]): pass"
    start = (
        "import sys, hashlib\nfrom pathlib import Path\nfrom mixing.tokens.encoder import Encoder\n"
        "path = Path(sys.argv[1])\n"
        "encoder = Encoder(path, hashlib.sha256(path.read_bytes()).hexdigest(), 0, 'uint16')\n"
        "text = 'The lamp was lit, and the sea was as black as ink. ' * int(sys.argv[2])\n"
        "for tokens in encoder.encode([text[:1_000_000]]): pass\n"
    )
    small, large = (peak_growth_mb(start, code, str(tmp_path / "tokenizer.json"), str(n)) for n in (20_000, 400_000))
    assert large < small + 150, (small, large)


def test_a_text_that_spells_the_end_token_ends_once(tmp_path: Path) -> None:
    """The model itself may have the token as a piece, as those made from SentencePiece models do."""
    pieces = [("<unk>", 0.0), (EOD, -1.0), ("▁a", -2.0), ("a", -3.0), ("▁b", -2.0), ("▁", -4.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens([EOD])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = find_tokenizer(tmp_path, EOD)
    encoder = Encoder(found.path, found.sha256, found.eod_id, "int32")
    text = f"a{EOD} b {EOD} a b"
    (tokens,) = encoder.encode([text])
    assert tokens.tolist().count(found.eod_id) == 1
    assert tokens[-1] == found.eod_id
    start, end = encoder.place(text, len(tokens) - 2)
    assert text[start:end].strip() == "b"
