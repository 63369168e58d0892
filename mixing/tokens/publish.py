"""Finished tasks -> `tokens/<source>/`, all of it at once: the folder is made aside and takes the old one's place."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.published import link_or_copy
from curation.stage import code_version
from curation.store import Manifest, write_text_atomically
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.indexed import TokenType
from mixing.tokens.probe import file_probe
from mixing.tokens.source_facts import CorpusIdentity, OtherFile
from mixing.tokens.token_source import (
    FINGERPRINTS,
    LEFT_OUT_FILE,
    TOKENS_FILE,
    VALIDATION,
    Split,
    TokenizerIdentity,
    TokenShard,
    file_checksum,
    fingerprints_hash,
)
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
        indexes: checksums of its files of band keys, by name.
        tokenizer: with what.
        dtype: what tokens are stored as.
        divided: which documents are in which split, by file.
        tokenized: results by file.
        held_out: what `settle_documents` reports of the corpus; None where nothing was to be held out.
        config: of the job.
        identity: of all that the job depends on.
    """

    corpus: CorpusFolder
    checksums: dict[str, str]
    indexes: dict[str, str]
    tokenizer: TokenizerFile
    dtype: TokenType
    divided: list[Manifest]
    tokenized: list[Manifest]
    held_out: Mapping[str, object] | None
    config: TokensConfig
    identity: str

    @property
    def fingerprints(self) -> str:
        """What `TokenSource.fingerprints` of the published source is going to be."""
        own = fingerprints_hash({name: checksum for name, (_, checksum) in _fingerprint_files(self).items()})
        assert own is not None  # a source has training documents
        return own


def publish(made: Made, compared_with: Mapping[str, str], folder: Path, aside: Path) -> None:
    """Write the folder of a source, `tokens.json` last.

    Args:
        made: what it is made of.
        compared_with: `TokenSource.fingerprints` of each source that it was compared with, by folder.
        folder: the folder; what is there is replaced.
        aside: a folder of the same file system for what is half-made and what is replaced.
    """
    shutil.rmtree(aside, ignore_errors=True)
    fresh, old = aside / "fresh", aside / "old"
    (fresh / VALIDATION).mkdir(parents=True)
    shards, others = _link_shards(made, fresh), _link_others(made, fresh)
    content = tokens_json(made, folder.name, shards, others, compared_with)
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
            own = facts[split]
            bin_path, idx_path, documents = (fresh / f"{name}{ending}" for ending in _ENDINGS)
            shards.append(
                TokenShard(
                    name=name,
                    split=split,
                    sequences=own["sequences"],
                    tokens=own["tokens"],
                    bin_bytes=own["bin_bytes"],
                    bin_checksum=manifest.files[f"{split}.bin"],
                    idx_checksum=manifest.files[f"{split}.idx"],
                    documents_checksum=manifest.files[f"{split}.documents.parquet"],
                    documents_bytes=documents.stat().st_size,
                    bin_probe=file_probe(bin_path),
                    idx_probe=file_probe(idx_path),
                    documents_probe=file_probe(documents),
                )
            )
    return shards


def _link_others(made: Made, fresh: Path) -> list[OtherFile]:
    for split in _SPLITS:
        (fresh / FINGERPRINTS / split).mkdir(parents=True)
    others = []
    for name, (path, checksum) in _fingerprint_files(made).items():
        link_or_copy(path, fresh / name)
        others.append(OtherFile(name, checksum, file_probe(fresh / name)))
    left_out = [own.path(LEFT_OUT_FILE) for own in made.tokenized if LEFT_OUT_FILE in own.files]
    if left_out:
        path = fresh / LEFT_OUT_FILE
        pq.write_table(pa.concat_tables([pq.read_table(own) for own in left_out]), path, compression="zstd")
        others.append(OtherFile(path.name, file_checksum(path), file_probe(path)))
    return others


def _fingerprint_files(made: Made) -> dict[str, tuple[Path, str]]:
    """Return files of fingerprints and their checksums, by name in the folder of the source."""
    return {
        f"{FINGERPRINTS}/{split}/{path.stem}.npy": (own.path(f"{split}.npy"), own.files[f"{split}.npy"])
        for split in _SPLITS
        for path, own in zip(made.corpus.files, made.divided, strict=True)
        if own.counts[split]
    }


def tokens_json(
    made: Made, source: str, shards: list[TokenShard], others: list[OtherFile], compared_with: Mapping[str, str]
) -> dict[str, object]:
    """Return the content of `tokens.json`; totals without a prefix are those of the training split."""
    sums: dict[str, Counter[str]] = {split: Counter() for split in _SPLITS}
    by_language: dict[str, Counter[str]] = {}
    left_out: Counter[str] = Counter()
    for manifest in made.tokenized:
        own_left_out = manifest.details["left_out"]
        assert isinstance(own_left_out, dict)
        left_out.update(own_left_out)
        rows = manifest.details["sums"]
        assert isinstance(rows, list)
        for split, language, name, count in rows:
            sums[split][name] += count
            by_language.setdefault(language, Counter())[name] += count
    totals = {split: {name: own[name] for name in SUMS if name != "unknown"} for split, own in sums.items()}
    tokenizer, plain = made.tokenizer, made.config.model_dump(mode="json")
    return {
        "source": source,
        "languages": sorted(by_language),
        "tokenizer": asdict(
            TokenizerIdentity(tokenizer.sha256, tokenizer.name, tokenizer.vocabulary_size, tokenizer.eod_id, made.dtype)
        ),
        "corpus": asdict(
            CorpusIdentity(str(made.corpus.folder), made.corpus.summary_sha256, made.checksums, made.indexes)
        ),
        "shards": [asdict(shard) for shard in shards],
        "other_files": [asdict(own) for own in others],
        **totals["train"],
        "validation": {**totals["validation"], **_held_out(made)},
        "left_out": dict(sorted(left_out.items())),
        "compared_with": dict(sorted(compared_with.items())),
        "band_keys": made.corpus.band_keys,
        "fertility": {language: fertility(own) for language, own in sorted(by_language.items())},
        "config": plain,
        "config_hash": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "code_version": code_version(__name__),
        "identity": made.identity,
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
    if made.held_out is None:
        return {"moved_to_training": {}, "not_compared": 0}
    all_indexed = len(made.indexes) == len(made.corpus.files)
    not_compared = made.held_out["without_keys"] if all_indexed else made.held_out["held_out"]
    return {"moved_to_training": made.held_out["moved"], "not_compared": not_compared}
