"""`tokens/<source>/`: the token shards of one corpus, and `tokens.json`, which is written last and names every byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import xxhash
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from configs.errors import UserError
from mixing.tokens.indexed import IndexedReader, TokenType, index_bytes, shard_paths
from mixing.tokens.probe import file_probe
from mixing.tokens.source_facts import CorpusIdentity, Count, Fertility, OtherFile, TokenTotals

TOKENS_FILE = "tokens.json"
VALIDATION = "validation"
Split = Literal["train", "validation"]
# A name from a file becomes a path: it must not lead out of the folder.
SafeName = Annotated[str, StringConstraints(pattern=r"^(validation/)?[^./\\\x00][^/\\\x00]*$")]
FINGERPRINTS = "fingerprints"
LEFT_OUT_FILE = "left_out.parquet"
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
        documents_bytes: size of the table of documents; None where an earlier version has not written it.
        bin_probe, idx_probe, documents_probe: see `file_probe`; None where an earlier version has not written them.
    """

    name: SafeName
    split: Split
    sequences: Count
    tokens: Count
    bin_bytes: Count
    bin_checksum: str
    idx_checksum: str
    documents_checksum: str
    documents_bytes: Count | None = None
    bin_probe: str | None = None
    idx_probe: str | None = None
    documents_probe: str | None = None


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
        left_out: documents that are in neither split, by language: other sources hold out the same texts, or near
            duplicates of them. `left_out.parquet` names them.
        other_files: fingerprints of the documents of each split (`mixing/tokens/disjoint.py`), and `left_out.parquet`.
        compared_with: the sources that this one was compared with, by folder, and what `fingerprints` was of each.
        band_keys: settings that the band keys of the corpus were made with; None where it has none.
        identity: of all that the job depended on.
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
    left_out: dict[str, Count] = field(default_factory=dict)
    other_files: tuple[OtherFile, ...] = ()
    compared_with: dict[str, str] = field(default_factory=dict)
    band_keys: str | None = None
    identity: str | None = None

    def of_split(self, split: Split) -> tuple[TokenShard, ...]:
        """Return the shards of a split, in their order."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def prefix(self, shard: TokenShard) -> Path:
        """Return the path of a shard's files without their endings: what Megatron-LM calls a data path."""
        return self.folder / shard.name

    def documents_path(self, shard: TokenShard) -> Path:
        """Return the table of a shard's documents: row i tells of sequence i."""
        return documents_path(self.prefix(shard))

    @property
    def fingerprints(self) -> str | None:
        """Hash of the fingerprints of all its documents; None where an earlier version has not written them."""
        return fingerprints_hash({own.name: own.checksum for own in self.other_files})

    def fingerprint_paths(self, split: Split) -> list[Path]:
        """Return the files of the fingerprints of a split."""
        start = f"{FINGERPRINTS}/{split}/"
        return [self.folder / own.name for own in self.other_files if own.name.startswith(start)]

    def open(self, shard: TokenShard) -> IndexedReader:
        """Return the reader of a shard.

        Raises:
            UserError: it is damaged, or is another one than `tokens.json` tells of.
        """
        check_files(self, shards=[shard])
        reader = IndexedReader(self.prefix(shard))
        told = (shard.sequences, shard.tokens, self.tokenizer.dtype)
        if (len(reader), reader.tokens, reader.dtype.name) != told:
            raise _rewritten(shard_paths(self.prefix(shard))[1])
        return reader

    def verify(self, deep: bool) -> None:
        """Compare the files with what `tokens.json` tells of them, see `check_files`."""
        check_files(self, deep)


def check_files(source: TokenSource, deep: bool = False, shards: Sequence[TokenShard] | None = None) -> None:
    """Compare the files of a source with what `tokens.json` tells of them: their sizes and their probes.

    Args:
        source: whose files.
        deep: read every byte and compare checksums, too.
        shards: those that are looked at; None looks at all, and at the other files.

    Raises:
        UserError: a file is missing, or is not the one that the job wrote; the message names it.
    """
    for shard in source.shards if shards is None else shards:
        tokens, index = shard_paths(source.prefix(shard))
        _check_file(tokens, shard.bin_bytes, shard.bin_probe, shard.bin_checksum if deep else None)
        size = index_bytes(shard.sequences)
        _check_file(index, size, shard.idx_probe, shard.idx_checksum if deep else None)
        _check_file(
            source.documents_path(shard),
            shard.documents_bytes,
            shard.documents_probe,
            shard.documents_checksum if deep else None,
        )
    if shards is None:
        check_other_files(source, deep)


def check_other_files(source: TokenSource, deep: bool = False) -> None:
    """Compare fingerprints and `left_out.parquet` alone with what `tokens.json` tells of them, see `check_files`."""
    for own in source.other_files:
        _check_file(source.folder / own.name, None, own.probe, own.checksum if deep else None)


def _check_file(path: Path, size: int | None, probe: str | None, checksum: str | None) -> None:
    """Compare what is told of a file with what it is; None is not compared."""
    try:
        if (
            (size is not None and path.stat().st_size != size)
            or (probe is not None and file_probe(path) != probe)
            or (checksum is not None and file_checksum(path) != checksum)
        ):
            raise _rewritten(path)
        path.stat()  # it must be there, whatever is told of it
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


def fingerprints_hash(checksums: Mapping[str, str]) -> str | None:
    """Return the hash of all files of fingerprints, given the checksums of a source's files by name; None for none."""
    own = sorted((name, checksum) for name, checksum in checksums.items() if name.startswith(f"{FINGERPRINTS}/"))
    return xxhash.xxh3_128_hexdigest(json.dumps(own).encode()) if own else None


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
