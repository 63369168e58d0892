"""`tokens/<source>/`: the token shards of one corpus, and `tokens.json`, which is written last and names every byte."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import xxhash
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from configs.errors import UserError
from mixing.tokens.indexed import IndexedReader, TokenType, index_bytes, shard_paths

TOKENS_FILE = "tokens.json"
VALIDATION = "validation"
Split = Literal["train", "validation"]
Count = Annotated[int, Field(ge=0)]
# A name from a file becomes a path: it must not lead out of the folder.
SafeName = Annotated[str, StringConstraints(pattern=r"^(validation/)?[^./\\\x00][^/\\\x00]*$")]
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class TokenizerIdentity:
    """Which tokenizer made the tokens.

    Attributes:
        sha256: of its `tokenizer.json`.
        name: what people call it.
        vocabulary_size: rows that an embedding needs: the largest token and one.
        eod_id: the token that ends every document.
        dtype: what tokens are stored as.
    """

    sha256: str
    name: str
    vocabulary_size: Annotated[int, Field(ge=1)]
    eod_id: Count
    dtype: TokenType


@dataclass(frozen=True, slots=True)
class CorpusIdentity:
    """Which corpus the tokens were made of.

    Attributes:
        folder: where it was.
        summary_sha256: of its `summary.json`.
        files: xxh3_128 of its Parquet files by name.
    """

    folder: str
    summary_sha256: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class TokenShard:
    """A shard.

    Attributes:
        name: of its files below the source's folder, without their endings; those of validation begin with
            `validation/`.
        split: `train` or `validation`.
        sequences: documents.
        tokens: of all documents, the one at each end among them.
        bin_bytes: size of `.bin`.
        bin_checksum, idx_checksum, documents_checksum: xxh3_128 of the three files.
    """

    name: SafeName
    split: Split
    sequences: Count
    tokens: Count
    bin_bytes: Count
    bin_checksum: str
    idx_checksum: str
    documents_checksum: str


@dataclass(frozen=True, slots=True)
class TokenTotals:
    """Sums over documents. Tokens count the one at each document's end; the others are of the texts."""

    documents: Count
    tokens: Count
    words: Count
    characters: Count
    utf8_bytes: Count


@dataclass(frozen=True, slots=True)
class Fertility:
    """What a tokenizer makes of a language's texts, the ends of documents left out; None where there is no text.

    Attributes:
        tokens_per_word, tokens_per_byte: by words and by UTF-8 bytes.
        unknown_share: tokens that stand for what the vocabulary cannot tell: with these a low number means nothing.
    """

    tokens_per_word: float | None
    tokens_per_byte: float | None
    unknown_share: float | None = None


@dataclass(frozen=True, slots=True)
class TokenSource:
    """The tokens of one corpus.

    Attributes:
        folder: where they are.
        source: its name in a mixture.
        languages: codes of its languages; a pair such as `de-en` stands for itself.
        tokenizer: which one.
        corpus: which one.
        shards: of both splits.
        totals: of the training split.
        validation: of the validation split.
        fertility: by language, over both splits.
        config_hash: of the job's configuration.
        moved_to_training: documents that were to be held out, by language, and may be near duplicates of training ones.
        not_compared: held-out documents of which that is not known: the corpus has no band keys.
    """

    folder: Path
    source: str
    languages: tuple[str, ...]
    tokenizer: TokenizerIdentity
    corpus: CorpusIdentity
    shards: tuple[TokenShard, ...]
    totals: TokenTotals
    validation: TokenTotals
    fertility: dict[str, Fertility]
    config_hash: str
    moved_to_training: dict[str, int]
    not_compared: int

    def of_split(self, split: Split) -> tuple[TokenShard, ...]:
        """Return the shards of a split, in their order."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def prefix(self, shard: TokenShard) -> Path:
        """Return the path of a shard's files without their endings: what Megatron-LM calls a data path."""
        return self.folder / shard.name

    def documents_path(self, shard: TokenShard) -> Path:
        """Return the table of a shard's documents: row i tells of sequence i."""
        return documents_path(self.prefix(shard))

    def open(self, shard: TokenShard) -> IndexedReader:
        """Return the reader of a shard.

        Raises:
            UserError: it is damaged, or is another one than `tokens.json` tells of.
        """
        reader = IndexedReader(self.prefix(shard))
        told = (shard.sequences, shard.tokens, self.tokenizer.dtype)
        if (len(reader), reader.tokens, reader.dtype.name) != told:
            raise _rewritten(shard_paths(self.prefix(shard))[1])
        return reader

    def verify(self, deep: bool) -> None:
        """Compare the files with what `tokens.json` tells of them.

        Args:
            deep: read every byte and compare checksums, too; sizes are compared in any case.

        Raises:
            UserError: a file is missing, or is not the one that the job wrote; the message names it.
        """
        for shard in self.shards:
            tokens, index = shard_paths(self.prefix(shard))
            expected = (
                (tokens, shard.bin_bytes, shard.bin_checksum),
                (index, index_bytes(shard.sequences), shard.idx_checksum),
                (self.documents_path(shard), None, shard.documents_checksum),
            )
            for path, size, checksum in expected:
                try:
                    found = path.stat().st_size
                    if (size is not None and found != size) or (deep and file_checksum(path) != checksum):
                        raise _rewritten(path)
                except OSError as error:
                    raise UserError(f"cannot read {path}: {error.strerror}; run `make tokens` again") from error


def load_token_source(folder: Path) -> TokenSource:
    """Return the token source in a folder, by its `tokens.json`; the shards are not looked at, see `verify`.

    Raises:
        UserError: there is no finished one, or its `tokens.json` is damaged.
    """
    path = folder / TOKENS_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"no finished tokens in {folder}: it has no readable {TOKENS_FILE}; run `make tokens`"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; run `make tokens` again") from error
    try:
        held_out = {"moved_to_training": {}, "not_compared": 0} | data["validation"]
        return _SOURCE.validate_python(held_out | data | {"totals": data, "folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is damaged: {place}: {first['msg']}; run `make tokens` again") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: it does not tell of tokens; run `make tokens` again") from error


def documents_path(prefix: Path) -> Path:
    """Return the path of the table of a shard's documents."""
    return prefix.with_name(f"{prefix.name}.documents.parquet")


def file_checksum(path: Path) -> str:
    """Return the xxh3_128 of a file, in hexadecimal digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _rewritten(path: Path) -> UserError:
    return UserError(
        f"{path} is not the file that `make tokens` wrote: it was changed or replaced since; run `make tokens` again"
    )


_SOURCE = TypeAdapter(TokenSource)
