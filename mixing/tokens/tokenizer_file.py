"""Any Hugging Face `tokenizer.json`: found, checked, known by its hash, and the token that ends a document."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from configs.errors import UserError

TOKENIZER_FILE = "tokenizer.json"
# Beside a tokenizer that this project trained or copied: its name, its hash, the token that ends a document.
ABOUT_FILE = "about.json"
DEFAULT_EOD = "<|endoftext|>"
_MOST_LISTED = 20
_LARGEST_TOKEN = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """A tokenizer that can be used.

    Attributes:
        path: of its `tokenizer.json`.
        sha256: of that file.
        name: what people call it.
        vocabulary_size: the largest token and one.
        eod: the special token that ends every document.
        eod_id: its number.
        unknown_id: the token that stands for what the vocabulary cannot tell; None where it can tell everything.
    """

    path: Path
    sha256: str
    name: str
    vocabulary_size: int
    eod: str
    eod_id: int
    unknown_id: int | None


def find_tokenizer(path: Path, eod: str | None) -> TokenizerFile:
    """Return the tokenizer at a path, a `tokenizer.json` or a folder that has one.

    Args:
        path: the file or folder.
        eod: the special token that ends documents; None takes the one that `about.json` names, or `<|endoftext|>`.

    Raises:
        UserError: it is missing or damaged, has no such special token, or its tokens are drawn at random.
    """
    file = path / TOKENIZER_FILE if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"no tokenizer at {file}: {error.strerror}; TOKENIZER is a tokenizer.json or its folder"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        tokenizer = _parse(content)
    except Exception as error:  # the library raises plain Exception for everything
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} is no tokenizer.json of Hugging Face: {reason}") from error
    if getattr(tokenizer.model, "dropout", None):
        raise UserError(f"{file} has a dropout of {tokenizer.model.dropout}: tokens would be random; set it to null")
    about = {name: value for name, value in read_about(file.parent).items() if isinstance(value, str)}
    about = about if about.get("sha256") == sha256 else {}
    eod = eod or about.get("eod") or DEFAULT_EOD
    return TokenizerFile(
        path=file,
        sha256=sha256,
        name=about.get("name") or (file.absolute().parent.name if file.name == TOKENIZER_FILE else file.stem),
        vocabulary_size=_vocabulary_size(tokenizer, file),
        eod=eod,
        eod_id=_eod_id(tokenizer, eod, file),
        unknown_id=_unknown_id(tokenizer),
    )


def read_about(folder: Path) -> dict[str, object]:
    """Return what stands in `about.json` beside a tokenizer, its hash among it; nothing where it is not there."""
    try:
        about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def open_tokenizer(path: Path, sha256: str, inside: bool = False) -> Tokenizer:
    """Return the tokenizer in a file, read once a process, ready to encode texts of unknown origin.

    A text that spells a special token, `<|endoftext|>`, has none: it is encoded as the plain text that it is. What the
    file says of truncating and padding is ignored.

    Args:
        path: of its `tokenizer.json`.
        sha256: of that file.
        inside: for what does not stand at the beginning of a text: nothing is put before it.

    Raises:
        RuntimeError: the file is not the one of that hash.
    """
    return _open_once(path, sha256, inside)


@lru_cache(maxsize=4)
def _open_once(path: Path, sha256: str, inside: bool) -> Tokenizer:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RuntimeError(f"{path} was replaced while the job ran")
    return _parse(_without_prefix(content) if inside else content)


def _without_prefix(content: bytes) -> bytes:
    """Return a `tokenizer.json` without what puts a space, or the mark that stands for one, before a text."""
    data = json.loads(content)
    for step in _steps(data.get("normalizer"), "normalizers"):
        if step.get("type") == "Prepend":
            step["prepend"] = ""
    for step in _steps(data.get("pre_tokenizer"), "pretokenizers"):
        if step.get("type") == "Metaspace":
            step.pop("add_prefix_space", None)  # as files of older versions say it
            step["prepend_scheme"] = "never"
        elif step.get("type") == "ByteLevel":
            step["add_prefix_space"] = False
    return json.dumps(data).encode()


def _steps(step: object, within: str) -> list[dict[str, object]]:
    """Return a step of a tokenizer, or those of a sequence of them."""
    if not isinstance(step, dict):
        return []
    inner = step.get(within)
    return [own for part in inner for own in _steps(part, within)] if isinstance(inner, list) else [step]


def _parse(content: bytes) -> Tokenizer:
    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _vocabulary_size(tokenizer: Tokenizer, file: Path) -> int:
    # There may be holes: special tokens are often put far behind the others.
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if not 0 <= largest < _LARGEST_TOKEN:
        raise UserError(f"{file} has no vocabulary that a token shard can hold: its largest token is {largest}")
    return int(largest) + 1


def _eod_id(tokenizer: Tokenizer, eod: str, file: Path) -> int:
    special = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    if eod not in special:
        listed = ", ".join(repr(content) for content in list(special)[:_MOST_LISTED]) or "none"
        more = f" and {len(special) - _MOST_LISTED} more" if len(special) > _MOST_LISTED else ""
        raise UserError(
            f"{file} has no special token {eod!r} to end documents with; name one of its own as `eod` in CONFIG: "
            f"{listed}{more}"
        )
    return int(special[eod])


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    number, token = model.get("unk_id"), model.get("unk_token")
    if isinstance(token, str):
        number = tokenizer.token_to_id(token)
    return number if isinstance(number, int) else None
