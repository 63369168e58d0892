"""The tasks of one corpus in a tokens job, and what its tokens depend on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from configs.errors import UserError
from curation.stage import Task, code_version, make_task
from curation.store import Manifest, file_version
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.disjoint import DivideShard, NearShard, divide_documents, find_near
from mixing.tokens.indexed import TokenType
from mixing.tokens.publish import Made
from mixing.tokens.token_source import TOKENS_FILE, TokenSource, check_files, file_checksum, load_token_source
from mixing.tokens.tokenize import TokenizeShard, tokenize_documents
from mixing.tokens.tokenizer_file import TokenizerFile
from mixing.tokens.validation import ChooseShard, ScanShard, choose_documents, scan_documents


class CorpusTasks:
    """Makes the tasks of a corpus; each stage takes what the stages before it left behind."""

    def __init__(
        self, corpus: CorpusFolder, tokenizer: TokenizerFile, dtype: TokenType, out: Path, config: TokensConfig
    ) -> None:
        """Prepare; nothing is read of the corpus.

        Raises:
            UserError: the folder of the source is another corpus'.
        """
        self.corpus = corpus
        self.folder, self.work = out / corpus.name, out / ".work" / corpus.name
        self._tokenizer, self._dtype, self._config = tokenizer, dtype, config
        self._numbered = list(enumerate(zip(corpus.files, corpus.indexes, strict=True)))
        self._refuse_other_corpus()

    def _refuse_other_corpus(self) -> None:
        if not (self.folder / TOKENS_FILE).exists():
            return
        folder = Path(load_token_source(self.folder).corpus.folder)
        if folder.resolve() != self.corpus.folder.resolve():
            raise UserError(
                f"{self.folder} holds the tokens of {folder}: {self.corpus.folder} has the same name; give it another "
                f"one (CORPUS={self.corpus.name}-2={self.corpus.folder}), give another TOKENS, or remove {self.folder}"
            )

    def is_current(self, source: TokenSource) -> bool:
        """Return whether a finished source is of this corpus, tokenizer, configuration and code, byte for byte."""
        checksums = {path.name: file_checksum(path) for path in self.corpus.files}
        indexes = {path.name: file_checksum(path) for path in self.corpus.indexes if path is not None}
        if source.identity != self._identity(checksums, indexes):
            return False
        try:
            check_files(source, deep=True)
        except UserError:  # it is damaged: made again
            return False
        return True

    def _identity(self, checksums: Mapping[str, str], indexes: Mapping[str, str]) -> str:
        """Return the hash of all that the tokens depend on, other sources left out: for these see `standing.py`."""
        corpus, tokenizer = self.corpus, self._tokenizer
        plain = [
            self._config.model_dump(mode="json"),
            [tokenizer.sha256, tokenizer.name, tokenizer.eod_id, tokenizer.unknown_id, self._dtype],
            [corpus.summary_sha256, corpus.language, corpus.segmentation, dict(checksums), dict(indexes)],
            code_version("mixing.tokens.job"),
        ]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def scan(self) -> list[Task]:
        """Return the tasks that read the texts, one a file."""
        config, tasks = self._config.validation, []
        for number, (path, index) in self._numbered:
            facts = {
                "config": config.model_dump() if config is not None else None,
                "language": self.corpus.language,
                "number": number,
                "input": file_version(path),
                "index": file_version(index) if index is not None else None,
            }
            payload = ScanShard(path, index, number, self.corpus.language, config)
            tasks.append(make_task("scan", path.stem, scan_documents, payload, facts, self.work))
        return tasks

    def choose(self, scanned: list[Manifest]) -> list[Task]:
        """Return the task that chooses what may be held out; none where nothing is to be."""
        config = self._config.validation
        if config is None:
            return []
        payload = ChooseShard(tuple(own.path("candidates.parquet") for own in scanned), config)
        facts = {"config": config.model_dump(), "input": [own.checksum for own in scanned]}
        return [make_task("choose", "all", choose_documents, payload, facts, self.work)]

    def near(self, scanned: list[Manifest], chosen: Manifest, gathered: Manifest) -> list[Task]:
        """Return the tasks that look among the training documents, one a file."""
        tasks = []
        for (number, (path, index)), own in zip(self._numbered, scanned, strict=True):
            payload = NearShard(
                hashes=own.path("hashes.npy"),
                index=index,
                number=number,
                chosen=chosen.path("chosen.parquet"),
                keys=gathered.path("keys.npy"),
                held_out=gathered.path("held_out.npy"),
            )
            facts = {"number": number, "input": [own.checksum, chosen.checksum, gathered.checksum]}
            tasks.append(make_task("near", path.stem, find_near, payload, facts, self.work))
        return tasks

    def divide(self, scanned: list[Manifest], settled: tuple[Manifest, str] | None, gathered: Manifest) -> list[Task]:
        """Return the tasks that divide the documents, one a file.

        Args:
            scanned: results of the scan.
            settled: result of the task that settles, and the name of this corpus' file in it; None where nothing is
                held out.
            gathered: result of the task that gathers.
        """
        tasks = []
        for (number, (path, index)), own in zip(self._numbered, scanned, strict=True):
            payload = DivideShard(
                hashes=own.path("hashes.npy"),
                index=index,
                number=number,
                settled=settled[0].path(settled[1]) if settled is not None else None,
                held_out=gathered.path("held_out.npy"),
            )
            facts = {
                "number": number,
                "input": own.checksum,
                "settled": settled[0].files[settled[1]] if settled is not None else None,
                "held_out": gathered.files["held_out.npy"],
            }
            tasks.append(make_task("divide", path.stem, divide_documents, payload, facts, self.work))
        return tasks

    def refuse_empty(self, divided: list[Manifest]) -> None:
        """Refuse a corpus of which nothing is left for training.

        Raises:
            UserError: naming it.
        """
        train, held_out, left_out = (sum(own.counts[n] for own in divided) for n in ("train", "validation", "left_out"))
        if train:
            return
        if not left_out:
            raise UserError(
                f"validation would take all {held_out:,} documents of {self.corpus.folder}: lower `validation` in "
                "CONFIG, or set it to null"
            )
        raise UserError(
            f"nothing of {self.corpus.folder} is left for training: {left_out:,} of its documents are, nearly or "
            f"exactly, what other sources in {self.folder.parent} hold out, and {held_out:,} are held out; leave "
            "it out of CORPUS, or give another TOKENS"
        )

    def tokenize(self, scanned: list[Manifest], divided: list[Manifest]) -> list[Task]:
        """Return the tasks that tokenize, one a file."""
        tokenizer, tasks = self._tokenizer, []
        for path, own, rows in zip(self.corpus.files, scanned, divided, strict=True):
            payload = TokenizeShard(
                documents=path,
                held_out=rows.path("held_out.npy"),
                left_out=rows.path("left_out.npy"),
                equal=rows.path("equal.npy"),
                language=self.corpus.language,
                segmentation=self.corpus.segmentation,
                tokenizer=tokenizer.path,
                sha256=tokenizer.sha256,
                eod_id=tokenizer.eod_id,
                unknown_id=tokenizer.unknown_id,
                dtype=self._dtype,
            )
            facts = {
                "tokenizer": [tokenizer.sha256, tokenizer.eod_id, tokenizer.unknown_id, self._dtype],
                "input": own.details["checksum"],
                "language": [payload.language, payload.segmentation],
                "rows": [rows.files[f"{name}.npy"] for name in ("held_out", "left_out", "equal")],
            }
            tasks.append(make_task("tokenize", path.stem, tokenize_documents, payload, facts, self.work))
        return tasks

    def made(
        self,
        scanned: list[Manifest],
        held_out: Mapping[str, object] | None,
        divided: list[Manifest],
        tokenized: list[Manifest],
    ) -> Made:
        """Return all that is published; `held_out` is what the task that settles reports of the corpus."""
        files = zip(self.corpus.files, scanned, strict=True)
        checksums = {path.name: str(own.details["checksum"]) for path, own in files}
        indexed = [(path, own) for path, own in zip(self.corpus.indexes, scanned, strict=True) if path is not None]
        indexes = {path.name: str(own.details["index"]) for path, own in indexed}
        return Made(
            corpus=self.corpus,
            checksums=checksums,
            indexes=indexes,
            tokenizer=self._tokenizer,
            dtype=self._dtype,
            divided=divided,
            tokenized=tokenized,
            held_out=held_out,
            config=self._config,
            identity=self._identity(checksums, indexes),
        )

    def remove_work(self) -> None:
        """Remove the intermediate results: the published files are the same ones."""
        shutil.rmtree(self.work, ignore_errors=True)
