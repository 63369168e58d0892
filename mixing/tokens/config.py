"""The configuration of a tokens job."""

from __future__ import annotations

from pydantic import Field

from configs.load import StrictModel
from mixing.tokens.byte_level_bpe import BpeConfig
from mixing.tokens.indexed import TokenType
from mixing.tokens.validation import ValidationConfig


class TokensConfig(StrictModel):
    """A tokens job.

    Attributes:
        eod: the special token that ends every document; None takes what the tokenizer came with, or `<|endoftext|>`.
        dtype: what tokens are stored as; None takes 16 bits for vocabularies below 65,500, as Megatron-LM does.
        validation: what is held out; None for nothing.
        bpe: training of the tokenizer that is made where none is given.
        retries: further attempts at a shard that fails.
    """

    eod: str | None = Field(default=None, min_length=1)
    dtype: TokenType | None = None
    validation: ValidationConfig | None = ValidationConfig(share=0.005)
    bpe: BpeConfig = BpeConfig()
    retries: int = Field(default=2, ge=0)
