"""Bytes of tokens: those of a text add up to the text, whatever the tokenizer makes of its characters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from configs.errors import UserError
from mixing.mixture.manifest import read_manifest
from mixing.tokens.tokenizer_file import open_tokenizer
from pretrain.evaluate.text_bytes import find_token_bytes, token_bytes
from tests.pretrain.evaluate.text_mixture import TEXTS, small_tokenizer, write_text_mixture

BYTE_LEVEL = small_tokenizer()
BYTE_LEVEL.encode_special_tokens = True
BYTES = token_bytes(BYTE_LEVEL, 300)


@given(st.text() | st.text(alphabet="αβ😀€語 a<|endoftext|>"))
def test_bytes_of_a_byte_level_model_add_up(text: str) -> None:
    assert BYTES[BYTE_LEVEL.encode(text).ids].sum() == len(text.encode())


def test_characters_fall_apart_so_that_decoded_tokens_would_not_add_up() -> None:
    text = "語 😀 Ω"
    ids = BYTE_LEVEL.encode(text).ids
    decoded = [BYTE_LEVEL.decode([number]) for number in ids]
    assert "\ufffd" in decoded
    assert sum(len(each.encode()) for each in decoded) > len(text.encode()) == BYTES[ids].sum()


def piece_model(unknown: bool = False) -> Tokenizer:
    """Return a tokenizer as Llama 2 has it: pieces with a mark for spaces, and bytes of what they cannot tell."""
    vocabulary = {"<unk>": 0, "<s>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)}
    for piece in ("▁", "a", "b", "▁a", "▁▁", "ε", "▁ε"):
        vocabulary[piece] = len(vocabulary)
    merges = [("▁", "a"), ("▁", "▁"), ("▁", "ε")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=not unknown))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>"])
    return tokenizer


FALLBACK = piece_model()
FALLBACK.encode_special_tokens = True
FALLBACK_BYTES = token_bytes(FALLBACK, 300, 0)


@given(st.text(min_size=1) | st.text(alphabet=" abε語😀", min_size=1))
def test_bytes_of_a_model_with_byte_fallback_add_up(text: str) -> None:
    # One more: the space that the tokenizer puts before a text.
    assert FALLBACK_BYTES[FALLBACK.encode(text).ids].sum() == len(text.encode()) + 1


def test_a_token_that_is_unknown_or_special_stands_for_nothing_and_an_added_word_for_itself() -> None:
    tokenizer = piece_model(unknown=True)
    tokenizer.add_tokens([AddedToken("λόγος", normalized=False)])
    tokenizer.add_special_tokens([AddedToken("<|ende|>", special=True)])
    size = tokenizer.get_vocab_size()
    table = token_bytes(tokenizer, size + 5, 0)
    assert table[tokenizer.token_to_id("λόγος")] == len("λόγος".encode())
    assert table[tokenizer.token_to_id("<|ende|>")] == table[0] == table[1] == 0
    assert table[size:].tolist() == [0] * 5
    ids = tokenizer.encode("a 語 b").ids
    assert 0 in ids
    assert table[ids].sum() == len("▁a  b".replace("▁", " "))


def test_pieces_of_words_count_what_they_add_to_a_text() -> None:
    vocabulary = {"[UNK]": 0, "un": 1, "##known": 2, "free": 3}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    table = token_bytes(tokenizer, 4, 0)
    assert table[tokenizer.encode("free unknown free").ids].sum() == len(" free unknown free")


def test_the_tokenizer_of_a_mixture_is_found_beside_its_tokens(tmp_path: Path) -> None:
    mixture = write_text_mixture(tmp_path)
    manifest = read_manifest(mixture)
    table = find_token_bytes(mixture, manifest)
    file = tmp_path / "tokens" / "tokenizer" / "tokenizer.json"
    tokenizer = open_tokenizer(file, manifest.tokenizer.sha256)
    for _, texts in TEXTS.values():
        for text in texts:
            assert table[tokenizer.encode(text).ids].sum() == len(text.encode())
    assert table[manifest.tokenizer.eod_id] == 0
    assert np.array_equal(find_token_bytes(mixture / "manifest.json", manifest), table)
    file.write_text(json.dumps(json.loads(file.read_text()), indent=3))
    with pytest.raises(UserError, match=r"tokenizer\.json is not the tokenizer small .*: put it there, or run"):
        find_token_bytes(mixture, manifest)
    file.unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json is not the tokenizer small"):
        find_token_bytes(mixture, manifest)
