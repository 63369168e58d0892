"""How many UTF-8 bytes of text each token of a vocabulary stands for: what bits per byte are counted by.

The bytes of a text's tokens add up to those of the text, as the tokenizer's normalisation leaves it: also where a token
is a part of a character, which as a decoded string would be a replacement character of three bytes. So bytes are
counted token by token, and no text is decoded.

Shape legend: V = vocabulary.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, pre_tokenizers

from configs.errors import UserError
from mixing.mixture.manifest import manifest_path, token_folder
from mixing.mixture.manifest_schema import Manifest
from mixing.tokens.folder import TOKENIZER_FOLDER
from mixing.tokens.tokenizer_file import TOKENIZER_FILE, find_tokenizer, open_tokenizer

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def find_token_bytes(path: Path, manifest: Manifest) -> NDArray[np.int64]:
    """Return the bytes of each token of a mixture, by the tokenizer that is kept beside its sources, shape (V,).

    Args:
        path: of the manifest, or its folder.
        manifest: of the mixture, with held-out texts.

    Raises:
        UserError: the tokenizer is not there, or is another one.
    """
    told = manifest.tokenizer
    beside = [token_folder(manifest_path(path), own.folder).parent / TOKENIZER_FOLDER for own in manifest.validation]
    for folder in dict.fromkeys(beside):
        if (folder / TOKENIZER_FILE).is_file():
            found = find_tokenizer(folder, None)
            if found.sha256 == told.sha256:
                return token_bytes(open_tokenizer(found.path, told.sha256), told.vocabulary_size, found.unknown_id)
    raise UserError(
        f"{beside[0] / TOKENIZER_FILE} is not the tokenizer {told.name} (sha256 {told.sha256[:12]}) that the tokens "
        "were made with, and bits per byte are counted by it: put it there, or run `make tokens` again"
    )


def token_bytes(tokenizer: Tokenizer, vocabulary_size: int, unknown_id: int | None = None) -> NDArray[np.int64]:
    """Return the UTF-8 bytes that each token stands for, shape (V,).

    Special tokens stand for none, nor do unknown tokens and holes in the vocabulary. Tokens of a byte-level model are
    written with a character for each byte (A. Radford et al. 2019, section 2.2), those of byte fallback as `<0xE2>`; of
    others it is what one more of it adds to the decoded text.

    Args:
        tokenizer: of Hugging Face.
        vocabulary_size: V.
        unknown_id: token that stands for what the vocabulary cannot tell.
    """
    found = np.zeros(vocabulary_size, dtype=np.int64)
    added = tokenizer.get_added_tokens_decoder()
    plain = {number: token for token, number in tokenizer.get_vocab(with_added_tokens=False).items()}
    model = json.loads(tokenizer.to_str())
    byte_level = "ByteLevel" in _decoders(model["decoder"])
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    fallback = bool(model["model"].get("byte_fallback"))
    others = []
    for number, token in plain.items():
        if number in added or number >= vocabulary_size:
            continue
        if byte_level:
            found[number] = len(token) if alphabet.issuperset(token) else len(token.encode())
        elif fallback and _BYTE.fullmatch(token):
            found[number] = 1
        else:
            others.append(number)
    once = tokenizer.decode_batch([[number] for number in others], skip_special_tokens=False)
    twice = tokenizer.decode_batch([[number, number] for number in others], skip_special_tokens=False)
    for number, one, two in zip(others, once, twice, strict=True):
        found[number] = len(two.encode()) - len(one.encode())
    for number, told in added.items():
        if number < vocabulary_size:
            found[number] = 0 if told.special else len(told.content.encode())
    if unknown_id is not None:
        found[unknown_id] = 0
    return found


def _decoders(decoder: object) -> set[str]:
    """Return the types of a decoder and those that it is made of."""
    if not isinstance(decoder, dict):
        return set()
    inner = [own for part in decoder.get("decoders", ()) for own in _decoders(part)]
    return {str(decoder.get("type")), *inner}
