"""`tokens/`: token sources that share one tokenizer, which is kept with them in `tokens/tokenizer/`."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from curation.store import write_text_atomically
from mixing.tokens.byte_level_bpe import BpeConfig
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.indexed import TokenType
from mixing.tokens.standing import finished_sources
from mixing.tokens.tokenizer_file import ABOUT_FILE, TOKENIZER_FILE, TokenizerFile, find_tokenizer, read_about

TOKENIZER_FOLDER = "tokenizer"


def kept_tokenizer(out: Path, eod: str | None) -> TokenizerFile | None:
    """Return the tokenizer of a folder of token sources, or None where it has none yet.

    Raises:
        UserError: it cannot be used, see `find_tokenizer`.
    """
    folder = out / TOKENIZER_FOLDER
    return find_tokenizer(folder, eod) if (folder / TOKENIZER_FILE).is_file() else None


def trained_otherwise(out: Path, config: BpeConfig, eod: str | None) -> bool:
    """Return whether the kept tokenizer was trained here, by other settings than these, and nothing uses it yet.

    Raises:
        UserError: it was, and a finished source uses it.
    """
    folder = out / TOKENIZER_FOLDER
    about = read_about(folder)
    told = about.get("config")
    if not isinstance(told, dict) or about.get("sha256") != _sha256(folder / TOKENIZER_FILE):
        return False  # it was given, or there is none
    wanted = {**config.model_dump(mode="json"), "eod": eod or about.get("eod")}
    told = {**told, "eod": about.get("eod")}
    changed = [f"{name} {told.get(name)!r}, not {value!r}" for name, value in wanted.items() if told.get(name) != value]
    if not changed:
        return False
    if users := [name for name, own in finished_sources(out).items() if own.tokenizer.sha256 == about.get("sha256")]:
        raise UserError(
            f"{folder} was trained with {'; '.join(changed)}, and {', '.join(users)} in {out} use it: go on with it "
            f"(TOKENIZER={folder}), give the CONFIG that it was trained with, or give another TOKENS"
        )
    return True


def keep_tokenizer(out: Path, tokenizer: TokenizerFile, dtype: TokenType) -> TokenizerFile:
    """Put a copy of a tokenizer into a folder of token sources, and return it.

    Raises:
        UserError: a source there was made with another one, another end of documents or another token type.
    """
    for source in finished_sources(out).values():
        own = (tokenizer.sha256, tokenizer.eod_id, dtype)
        other = (source.tokenizer.sha256, source.tokenizer.eod_id, source.tokenizer.dtype)
        if own != other:
            raise UserError(
                f"{source.folder} holds tokens of the tokenizer {source.tokenizer.name} ({_shown(*other)}), not of "
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
    """Refuse corpora whose sources would be hidden, or be taken for the tokenizer's.

    Raises:
        UserError: naming the corpus.
    """
    for corpus in corpora:
        if corpus.name == TOKENIZER_FOLDER or corpus.name.startswith("."):
            raise UserError(
                f"{corpus.folder}: no source may be called {corpus.name!r}; give it another name, as in "
                f"CORPUS=another={corpus.folder}"
            )


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _shown(sha256: str, eod_id: int, dtype: str) -> str:
    return f"sha256 {sha256[:12]}, documents end with {eod_id}, {dtype}"
