"""Finished tasks -> `tokens/<source>/`, all of it at once: the folder is made aside and takes the old one's place."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from curation.published import link_or_copy
from curation.stage import code_version
from curation.store import Manifest, write_text_atomically
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.indexed import TokenType
from mixing.tokens.token_source import TOKENS_FILE, VALIDATION, CorpusIdentity, Split, TokenizerIdentity, TokenShard
from mixing.tokens.tokenize import SUMS
from mixing.tokens.tokenizer_file import TokenizerFile

_ENDINGS = (".bin", ".idx", ".documents.parquet")
_LIBRARIES = ("numpy", "pyarrow", "ray", "tokenizers")
_SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Made:
    """What the tasks of a job left behind.

    Attributes:
        corpus: what was tokenized.
        checksums: of its files, by name.
        tokenizer: with what.
        dtype: what tokens are stored as.
        tokenized: results by file.
        settled: what is held out; None for nothing.
        compared: whether all training documents could be compared with the held-out ones, by their band keys.
    """

    corpus: CorpusFolder
    checksums: dict[str, str]
    tokenizer: TokenizerFile
    dtype: TokenType
    tokenized: list[Manifest]
    settled: Manifest | None
    compared: bool


def publish(made: Made, folder: Path, aside: Path, config: TokensConfig, identity: str) -> None:
    """Write the folder of a source, `tokens.json` last.

    Args:
        made: what it is made of.
        folder: the folder; what is there is replaced.
        aside: a folder of the same file system for what is half-made and what is replaced.
        config: of the job.
        identity: of all that the job depends on.
    """
    shutil.rmtree(aside, ignore_errors=True)
    fresh, old = aside / "fresh", aside / "old"
    (fresh / VALIDATION).mkdir(parents=True)
    shards = _link_shards(made, fresh)
    content = tokens_json(made, folder.name, shards, config, identity)
    write_text_atomically(fresh / TOKENS_FILE, json.dumps(content, indent=1, ensure_ascii=False))
    if folder.exists():
        os.rename(folder, old)
    os.rename(fresh, folder)


def _link_shards(made: Made, fresh: Path) -> list[TokenShard]:
    shards = []
    for split in _SPLITS:
        for path, manifest in zip(made.corpus.files, made.tokenized, strict=True):
            facts = manifest.details["shards"]
            assert isinstance(facts, dict)
            if split not in facts:
                continue
            name = path.stem if split == "train" else f"{VALIDATION}/{path.stem}"
            for ending in _ENDINGS:
                link_or_copy(manifest.path(split + ending), fresh / f"{name}{ending}")
            checksums = (manifest.files[split + ending] for ending in _ENDINGS)
            own = facts[split]
            shards.append(TokenShard(name, split, own["sequences"], own["tokens"], own["bin_bytes"], *checksums))
    return shards


def tokens_json(
    made: Made, source: str, shards: list[TokenShard], config: TokensConfig, identity: str
) -> dict[str, object]:
    """Return the content of `tokens.json`; totals without a prefix are those of the training split."""
    sums: dict[str, Counter[str]] = {split: Counter() for split in _SPLITS}
    by_language: dict[str, Counter[str]] = {}
    for manifest in made.tokenized:
        rows = manifest.details["sums"]
        assert isinstance(rows, list)
        for split, language, name, count in rows:
            sums[split][name] += count
            by_language.setdefault(language, Counter())[name] += count
    totals = {split: {name: own[name] for name in SUMS if name != "unknown"} for split, own in sums.items()}
    tokenizer, plain = made.tokenizer, config.model_dump(mode="json")
    return {
        "source": source,
        "languages": sorted(by_language),
        "tokenizer": asdict(
            TokenizerIdentity(tokenizer.sha256, tokenizer.name, tokenizer.vocabulary_size, tokenizer.eod_id, made.dtype)
        ),
        "corpus": asdict(CorpusIdentity(str(made.corpus.folder), made.corpus.summary_sha256, made.checksums)),
        "shards": [asdict(shard) for shard in shards],
        **totals["train"],
        "validation": {**totals["validation"], **_held_out(made)},
        "fertility": {language: fertility(own) for language, own in sorted(by_language.items())},
        "config": plain,
        "config_hash": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "code_version": code_version(__name__),
        "identity": identity,
    }


def fertility(sums: Counter[str]) -> dict[str, float | None]:
    """Return tokens per word and per byte without those that end documents, and the share of unknown ones."""
    tokens = sums["tokens"] - sums["documents"]
    parts = {
        "tokens_per_word": (tokens, sums["words"]),
        "tokens_per_byte": (tokens, sums["utf8_bytes"]),
        "unknown_share": (sums["unknown"], tokens),
    }
    return {name: part / whole if whole else None for name, (part, whole) in parts.items()}


def _held_out(made: Made) -> dict[str, object]:
    """Return what is known of near duplicates of training documents among those that are held out."""
    if made.settled is None:
        return {"moved_to_training": {}, "not_compared": 0}
    counts = made.settled.counts
    not_compared = counts["without_keys"] if made.compared else counts["held_out"]
    return {"moved_to_training": made.settled.details["moved"], "not_compared": not_compared}
