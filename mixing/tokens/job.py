"""The tokens job, `make tokens CORPUS=corpora/el`: documents -> `tokens/el/`, one token shard a file. Read this first.

scan ... settle   which documents are held out for validation   (mixing/tokens/validation.py)
tokenize          one task a file: its shards                   (mixing/tokens/tokenize.py)
publish           here: the folder of the source, at once
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import UserError
from curation.runner import Progress, Runner
from curation.stage import Task, code_version, make_task
from curation.store import Manifest, file_version
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.indexed import TokenType, token_type
from mixing.tokens.publish import Made, publish
from mixing.tokens.token_source import TOKENS_FILE, TokenSource, file_checksum, load_token_source
from mixing.tokens.tokenize import TokenizeShard, tokenize_documents
from mixing.tokens.tokenizer_file import TokenizerFile
from mixing.tokens.validation import (
    ChooseShard,
    NearShard,
    ScanShard,
    SettleShard,
    choose_documents,
    find_near,
    scan_documents,
    settle_documents,
)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What was held out: the task's result, None where nothing was to be, and whether every file has band keys."""

    settled: Manifest | None
    compared: bool


class TokensJob:
    """Tokenizes one corpus with one tokenizer."""

    def __init__(
        self, corpus: CorpusFolder, tokenizer: TokenizerFile, out: Path, config: TokensConfig, runner: Runner
    ) -> None:
        """Prepare; nothing is read before `run`.

        Args:
            corpus: what is tokenized.
            tokenizer: with what; its file must stay where it is while the job runs.
            out: folder of token sources.
            config: the configuration.
            runner: runs the tasks.

        Raises:
            UserError: the vocabulary is too large for the token type, or the folder of the source is another corpus'.
        """
        self._corpus, self._tokenizer, self._config, self._runner = corpus, tokenizer, config, runner
        self._folder = out / corpus.name
        self._work = out / ".work" / corpus.name
        self._dtype = choose_dtype(tokenizer, config.dtype)
        self._progress: Progress | None = None
        self._refuse_other_corpus()

    def run(self, progress: Progress | None = None) -> tuple[TokenSource, bool]:
        """Run what is not finished yet; return the source, and whether it stood already.

        Raises:
            UserError: a user's mistake, such as a damaged file or a full disk.
            ShardError: a shard failed on every attempt.
            ConservationError: documents were lost or invented.
        """
        if (standing := self._standing()) is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            return standing, True
        self._progress = progress
        shutil.rmtree(self._work / "scratch", ignore_errors=True)  # what a killed job left half-written
        scanned = self._scan()
        held_out = self._hold_out(scanned)
        self._refuse_empty(scanned, held_out)
        tokenized = self._tokenize(scanned, held_out)
        checksums = {path.name: _checksum(own) for path, own in zip(self._corpus.files, scanned, strict=True)}
        made = Made(
            self._corpus, checksums, self._tokenizer, self._dtype, tokenized, held_out.settled, held_out.compared
        )
        publish(made, self._folder, self._work / "published", self._config, self._identity(checksums))
        shutil.rmtree(self._work, ignore_errors=True)  # the published files are the same ones
        return load_token_source(self._folder), False

    def _refuse_other_corpus(self) -> None:
        if not (self._folder / TOKENS_FILE).exists():
            return
        folder = load_token_source(self._folder).corpus.folder
        if folder != str(self._corpus.folder):
            raise UserError(
                f"{self._folder} holds the tokens of {folder}: {self._corpus.folder} has the same name; "
                f"give another TOKENS, or remove {self._folder}"
            )

    def _standing(self) -> TokenSource | None:
        """Return the finished source when it is what this job would make, byte for byte."""
        path = self._folder / TOKENS_FILE
        if not path.exists():
            return None
        checksums = {own.name: file_checksum(own) for own in self._corpus.files}
        try:
            if json.loads(path.read_text(encoding="utf-8")).get("identity") != self._identity(checksums):
                return None
            source = load_token_source(self._folder)
            source.verify(deep=True)
        except (UserError, ValueError):  # it is damaged: made again
            return None
        return source

    def _identity(self, checksums: dict[str, str]) -> str:
        plain = [
            self._config.model_dump(mode="json"),
            [self._tokenizer.sha256, self._tokenizer.name, self._tokenizer.eod_id, self._dtype],
            [self._corpus.summary_sha256, checksums],
            code_version(__name__),
        ]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def _run(self, phase: str, tasks: Sequence[Task]) -> list[Manifest]:
        return self._runner.run(phase, tasks, self._progress)

    def _scan(self) -> list[Manifest]:
        config = self._config.validation
        tasks = []
        for number, (path, index) in enumerate(zip(self._corpus.files, self._corpus.indexes, strict=True)):
            facts = {
                "config": config.model_dump() if config is not None else None,
                "language": self._corpus.language,
                "number": number,
                "input": file_version(path),
                "index": file_version(index) if index is not None else None,
            }
            payload = ScanShard(path, index, number, self._corpus.language, config)
            tasks.append(make_task("scan", path.stem, scan_documents, payload, facts, self._work))
        return self._run("scan", tasks)

    def _hold_out(self, scanned: list[Manifest]) -> HeldOut:
        """Return what is held out for validation."""
        config = self._config.validation
        if config is None:
            return HeldOut(None, False)
        inputs = [own.checksum for own in scanned]
        choose = ChooseShard(tuple(own.path("candidates.parquet") for own in scanned), config)
        facts: dict[str, object] = {"config": config.model_dump(), "input": inputs}
        (chosen,) = self._run("choose", [make_task("choose", "all", choose_documents, choose, facts, self._work)])
        files = chosen.path("chosen.parquet"), chosen.path("keys.npy")
        tasks = []
        for number, (path, index) in enumerate(zip(self._corpus.files, self._corpus.indexes, strict=True)):
            if index is not None:
                facts = {"number": number, "input": inputs[number], "chosen": chosen.checksum}
                near = NearShard(index, number, files)
                tasks.append(make_task("near", path.stem, find_near, near, facts, self._work))
        hits = self._run("near", tasks)
        settle = SettleShard(files[0], tuple(own.path("hits.npy") for own in hits))
        facts = {"chosen": chosen.checksum, "hits": [own.checksum for own in hits]}
        (settled,) = self._run("settle", [make_task("settle", "all", settle_documents, settle, facts, self._work)])
        return HeldOut(settled, len(hits) == len(scanned))

    def _refuse_empty(self, scanned: list[Manifest], held_out: HeldOut) -> None:
        documents = sum(own.counts["documents"] for own in scanned)
        if held_out.settled is not None and held_out.settled.counts["held_out"] == documents:
            raise UserError(
                f"validation would take all {documents:,} documents of {self._corpus.folder}: lower `validation` in "
                "CONFIG, or set it to null"
            )

    def _tokenize(self, scanned: list[Manifest], held_out: HeldOut) -> list[Manifest]:
        tokenizer, settled = self._tokenizer, held_out.settled
        tasks = []
        for number, (path, own) in enumerate(zip(self._corpus.files, scanned, strict=True)):
            payload = TokenizeShard(
                documents=path,
                number=number,
                held_out=settled.path("held_out.npy") if settled is not None else None,
                language=self._corpus.language,
                segmentation=self._corpus.segmentation,
                tokenizer=tokenizer.path,
                sha256=tokenizer.sha256,
                eod_id=tokenizer.eod_id,
                unknown_id=tokenizer.unknown_id,
                dtype=self._dtype,
            )
            facts = {
                "tokenizer": [tokenizer.sha256, tokenizer.eod_id, self._dtype],
                "input": _checksum(own),
                "number": number,
                "language": [payload.language, payload.segmentation],
                "held_out": settled.checksum if settled is not None else None,
            }
            tasks.append(make_task("tokenize", path.stem, tokenize_documents, payload, facts, self._work))
        return self._run("tokenize", tasks)


def choose_dtype(tokenizer: TokenizerFile, wanted: TokenType | None) -> TokenType:
    """Return what the tokens of a tokenizer are stored as.

    Raises:
        UserError: its vocabulary is too large for the type that is wanted.
    """
    dtype = wanted or token_type(tokenizer.vocabulary_size)
    largest = int(np.iinfo(dtype).max)
    if tokenizer.vocabulary_size - 1 > largest:
        raise UserError(
            f"{tokenizer.path} has tokens up to {tokenizer.vocabulary_size - 1:,}, and dtype {dtype} holds "
            f"{largest:,}: set dtype to int32 in CONFIG, or leave it out"
        )
    return dtype


def _checksum(scanned: Manifest) -> str:
    return str(scanned.details["checksum"])
