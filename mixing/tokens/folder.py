"""`tokens/`: token sources that share one tokenizer, which is kept with them in `tokens/tokenizer/`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from curation.store import write_text_atomically
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.indexed import TokenType
from mixing.tokens.token_source import TOKENS_FILE, load_token_source
from mixing.tokens.tokenizer_file import ABOUT_FILE, TOKENIZER_FILE, TokenizerFile, find_tokenizer

TOKENIZER_FOLDER = "tokenizer"


def kept_tokenizer(out: Path, eod: str | None) -> TokenizerFile | None:
    """Return the tokenizer of a folder of token sources, or None where it has none yet.

    Raises:
        UserError: it cannot be used, see `find_tokenizer`.
    """
    folder = out / TOKENIZER_FOLDER
    return find_tokenizer(folder, eod) if (folder / TOKENIZER_FILE).is_file() else None


def keep_tokenizer(out: Path, tokenizer: TokenizerFile, dtype: TokenType) -> TokenizerFile:
    """Put a copy of a tokenizer into a folder of token sources, and return it.

    Raises:
        UserError: a source there was made with another one, another end of documents or another token type.
    """
    for path in sorted(out.glob(f"*/{TOKENS_FILE}")):
        if path.parent.name.startswith("."):
            continue
        source = load_token_source(path.parent)
        own = (tokenizer.sha256, tokenizer.eod_id, dtype)
        other = (source.tokenizer.sha256, source.tokenizer.eod_id, source.tokenizer.dtype)
        if own != other:
            raise UserError(
                f"{path.parent} holds tokens of the tokenizer {source.tokenizer.name} ({_shown(*other)}), not of "
                f"{tokenizer.name} ({_shown(*own)}); all of {out} must share one: give another TOKENS, or remove what "
                "is there"
            )
    folder = out / TOKENIZER_FOLDER
    kept = folder / TOKENIZER_FILE
    if tokenizer.path.resolve() == kept.resolve():
        return tokenizer
    folder.mkdir(parents=True, exist_ok=True)
    about = {"name": tokenizer.name, "sha256": tokenizer.sha256, "eod": tokenizer.eod}
    aside = kept.with_name(f".{kept.name}")
    shutil.copyfile(tokenizer.path, aside)
    aside.replace(kept)
    write_text_atomically(folder / ABOUT_FILE, json.dumps(about, indent=1, ensure_ascii=False))
    return replace(tokenizer, path=kept)


def refuse_reserved_names(corpora: list[CorpusFolder]) -> None:
    """Refuse corpora whose folders would be hidden, or be taken for the tokenizer's.

    Raises:
        UserError: naming the corpus.
    """
    for corpus in corpora:
        if corpus.name == TOKENIZER_FOLDER or corpus.name.startswith("."):
            raise UserError(f"{corpus.folder}: no source may be called {corpus.name!r}; rename the folder")


def _shown(sha256: str, eod_id: int, dtype: str) -> str:
    return f"sha256 {sha256[:12]}, documents end with {eod_id}, {dtype}"
