"""A small byte-level BPE trained on the corpora at hand: a tokenizer where no model brings one.

Byte-level BPE (Radford et al. 2019, section 2.2) tells every text, so none of its tokens is an unknown one. Texts are
divided before as GPT-2's are, except that marks belong to letters, without which Indic and Thai words fall apart, and
that digits stand in groups of three at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import xxhash
from pydantic import Field
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from configs.load import StrictModel
from curation.stage import code_version
from curation.store import write_text_atomically
from mixing.tokens.corpus_folder import CorpusFolder, read_batches
from mixing.tokens.tokenizer_file import ABOUT_FILE, DEFAULT_EOD, TOKENIZER_FILE

_DIVIDE = r" ?[\p{L}\p{M}]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"
# A long text is learnt from in pieces: the library takes a hundred times their memory.
_PIECE_CHARS = 100_000
_BYTES = 256


class BpeConfig(StrictModel):
    """Training of a byte-level BPE.

    Attributes:
        vocabulary_size: tokens in all: the 256 bytes and the end of documents are among them.
        sample_bytes: text that is learnt from, in UTF-8, an equal part of it from each corpus.
        min_frequency: times that a pair of tokens occurs before it becomes a token.
        seed: of the sample.
    """

    vocabulary_size: int = Field(default=8_192, ge=_BYTES + 1, le=1 << 20)
    sample_bytes: int = Field(default=200_000_000, ge=1)
    min_frequency: int = Field(default=2, ge=1)
    seed: int = Field(default=1, ge=0, lt=1 << 64)


def train_byte_level_bpe(corpora: Sequence[CorpusFolder], config: BpeConfig, eod: str = DEFAULT_EOD) -> Tokenizer:
    """Return a tokenizer trained on a sample of the documents: the same one for the same documents, in any order.

    Raises:
        UserError: a file of documents is damaged.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_DIVIDE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size,
        min_frequency=config.min_frequency,
        special_tokens=[eod],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(corpora, config), trainer)
    return tokenizer


def save_tokenizer(folder: Path, tokenizer: Tokenizer, name: str, eod: str, facts: dict[str, object]) -> None:
    """Write `tokenizer.json`, and `about.json` with its name, its hash and where it came from."""
    folder.mkdir(parents=True, exist_ok=True)
    text = tokenizer.to_str(pretty=True)
    about = {"name": name, "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(), "eod": eod, **facts}
    (folder / ABOUT_FILE).unlink(missing_ok=True)
    write_text_atomically(folder / TOKENIZER_FILE, text)
    write_text_atomically(folder / ABOUT_FILE, json.dumps(about, indent=1, ensure_ascii=False))


def training_facts(corpora: Sequence[CorpusFolder], config: BpeConfig) -> dict[str, object]:
    """Return what a trained tokenizer came from, for its `about.json`."""
    return {
        "trained_on": {corpus.name: corpus.summary_sha256 for corpus in corpora},
        "config": config.model_dump(mode="json"),
        "code_version": code_version(__name__),
    }


def _sample(corpora: Sequence[CorpusFolder], config: BpeConfig) -> Iterator[str]:
    """Yield pieces of the sampled documents; whether one is in the sample depends on its text alone."""
    for corpus in corpora:
        size = corpus.utf8_bytes or sum(_stored_bytes(path) for path in corpus.files)
        limit = min(1.0, config.sample_bytes / len(corpora) / max(1, size)) * 2**64
        for path in corpus.files:
            for batch in read_batches(path, ["text"]):
                for text in batch.column("text").to_pylist():
                    if xxhash.xxh3_64_intdigest(text.encode("utf-8"), config.seed) < limit:
                        yield from (text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS))


def _stored_bytes(path: Path) -> int:
    """Return the bytes of a file's texts, before compression."""
    metadata = pq.read_metadata(path)
    column = next(n for n in range(metadata.num_columns) if metadata.schema.column(n).path == "text")
    return sum(
        metadata.row_group(group).column(column).total_uncompressed_size for group in range(metadata.num_row_groups)
    )
