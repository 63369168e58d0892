"""A mixture of texts, with held-out ones, tokenized by a byte-level BPE so small that characters fall apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mixing.tokens.byte_level_bpe import save_tokenizer
from mixing.tokens.encoder import Encoder
from mixing.tokens.indexed import IndexedWriter, shard_paths
from mixing.tokens.token_source import file_checksum
from mixing.tokens.tokenizer_file import find_tokenizer
from tests.mixing.mixture.token_folders import write_source
from tests.mixing.stream.real_tokens import make_mixture

EOD = "<|endoftext|>"
# By source: language, and held-out texts.
TEXTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "el": ("el", ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι.", "και ίσοι", "στην αξιοπρέπεια 😀 και τα δικαιώματα " * 3)),
    "el-news": ("el", ("Είναι προικισμένοι.",)),
    "en": (
        "en",
        ("All human beings are born free", "and equal in dignity and rights. " * 4, "They", "", "are endowed"),
    ),
}


def small_tokenizer() -> Tokenizer:
    """Return a byte-level BPE of 300 tokens that knows English better than Greek."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[EOD], initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator([*TEXTS["en"][1], TEXTS["el"][1][0]], trainer)
    return tokenizer


def write_text_mixture(folder: Path) -> Path:
    """Write the mixture of `TEXTS`, which are training texts, too, and return its folder."""
    tokens = folder / "tokens"
    save_tokenizer(tokens / "tokenizer", small_tokenizer(), "small", EOD, {})
    own = find_tokenizer(tokens / "tokenizer", None)
    told = {"sha256": own.sha256, "name": own.name, "vocabulary_size": own.vocabulary_size, "eod_id": own.eod_id}
    encoder = Encoder(own.path, own.sha256, own.eod_id, "uint16")
    for name, (language, texts) in TEXTS.items():
        _write(tokens, name, language, [list(each) for each in encoder.encode(texts)], {**told, "dtype": "uint16"})
    drawn = {"low": {"share": "1/2", "sources": ["el", "el-news"]}, "high": {"share": "1/2", "sources": ["en"]}}
    make_mixture(folder, only={"tokens": 60, "categories": drawn})
    return folder / "mixtures" / "m"


def _write(
    tokens: Path, name: str, language: str, documents: Sequence[Sequence[int]], tokenizer: Mapping[str, object]
) -> None:
    rows = [{"tokens": len(document)} for document in documents]
    source = write_source(tokens, name, [rows], [language], rows, tokenizer)
    facts = json.loads((source / "tokens.json").read_text())
    for shard in facts["shards"]:
        with IndexedWriter(source / shard["name"], "uint16") as writer:
            for document in documents:
                writer.add(np.array(document))
        binary, index = shard_paths(source / shard["name"])
        shard |= {"bin_bytes": binary.stat().st_size}
        shard |= {"bin_checksum": file_checksum(binary), "idx_checksum": file_checksum(index)}
    (source / "tokens.json").write_text(json.dumps(facts))
