"""Parts of `tokens.json`, see `token_source.py`: the corpus, files beside the shards, sums and fertility."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, StringConstraints

Count = Annotated[int, Field(ge=0)]
# As with shards, a name from a file becomes a path.
OtherName = Annotated[
    str, StringConstraints(pattern=r"^(fingerprints/(train|validation)/[^./\\\x00][^/\\\x00]*\.npy|left_out\.parquet)$")
]


@dataclass(frozen=True, slots=True)
class CorpusIdentity:
    """Which corpus the tokens were made of.

    Attributes:
        folder: where it was.
        summary_sha256: of its `summary.json`.
        files: xxh3_128 of its Parquet files by name.
        indexes: xxh3_128 of the files of band keys beside them, by name; without those that have none.
    """

    folder: str
    summary_sha256: str
    files: dict[str, str]
    indexes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OtherFile:
    """A file beside the shards: its name below the source's folder, its xxh3_128, and its `file_probe`."""

    name: OtherName
    checksum: str
    probe: str


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
