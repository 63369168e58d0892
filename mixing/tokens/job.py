"""The tokens job, `make tokens CORPUS=corpora/el,corpora/tr`: documents -> `tokens/<source>/`. Read this first.

scan, choose       which documents of a corpus may be held out for validation             (validation.py)
gather ... divide  which of them are, so that no source trains on what another holds out  (disjoint.py)
tokenize           one task a file: its shards                                            (tokenize.py)
publish            the folder of each source, at once                                     (publish.py)

The corpora of a command are settled together; their order does not matter. A source that stands already is not made
again where it is of its corpus as that is now, and was compared with all that stand beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from configs.errors import UserError
from curation.runner import Progress, Runner
from curation.stage import Task, make_task
from curation.store import Manifest
from mixing.tokens.config import TokensConfig
from mixing.tokens.corpus_folder import CorpusFolder
from mixing.tokens.corpus_tasks import CorpusTasks
from mixing.tokens.disjoint import (
    GatherShard,
    SettleShard,
    StandingShard,
    find_in_standing,
    gather_fingerprints,
    settle_documents,
)
from mixing.tokens.indexed import TokenType, token_type
from mixing.tokens.publish import publish
from mixing.tokens.standing import finished_sources, settled_sources
from mixing.tokens.token_source import TokenSource, check_other_files, load_token_source
from mixing.tokens.tokenizer_file import TokenizerFile

# Of tasks on all corpora together; no source may be called so.
_TOGETHER = ".together"


class TokensJob:
    """Tokenizes one corpus with one tokenizer: `tokenize_corpora` of that one."""

    def __init__(
        self, corpus: CorpusFolder, tokenizer: TokenizerFile, out: Path, config: TokensConfig, runner: Runner
    ) -> None:
        """Prepare; see `tokenize_corpora`."""
        self._corpus, self._tokenizer, self._out, self._config, self._runner = corpus, tokenizer, out, config, runner

    def run(self, progress: Progress | None = None) -> tuple[TokenSource, bool]:
        """Run what is not finished yet; return the source, and whether it stood already."""
        own = [self._corpus]
        return tokenize_corpora(own, self._tokenizer, self._out, self._config, self._runner, progress)[0]


def tokenize_corpora(
    corpora: Sequence[CorpusFolder],
    tokenizer: TokenizerFile,
    out: Path,
    config: TokensConfig,
    runner: Runner,
    progress: Progress | None = None,
) -> list[tuple[TokenSource, bool]]:
    """Run what is not finished yet; return the source of each corpus, and whether it stood already.

    Args:
        corpora: what is tokenized, under different names.
        tokenizer: with what; its file must stay where it is while the job runs.
        out: folder of token sources.
        config: the configuration.
        runner: runs the tasks.
        progress: is told of finished tasks.

    Raises:
        UserError: a user's mistake, such as a damaged file, a full disk, a vocabulary that is too large for the token
            type, or a folder that is another corpus'.
        ShardError: a shard failed on every attempt.
        ConservationError: documents were lost or invented.
    """
    dtype = choose_dtype(tokenizer, config.dtype)
    wanted = sorted(corpora, key=lambda own: own.name)
    tasks = {own.name: CorpusTasks(own, tokenizer, dtype, out, config) for own in wanted}
    standing = finished_sources(out)
    current = {
        name: standing[name] for name, own in tasks.items() if name in standing and own.is_current(standing[name])
    }
    kept = settled_sources(current, standing, tasks)
    missing = [own for name, own in tasks.items() if name not in kept]
    if missing:
        beside = {name: own for name, own in standing.items() if name in kept or name not in tasks}
        _Making(missing, beside, out, runner, progress).run()
    for own in tasks.values():
        own.remove_work()
    shutil.rmtree(out / ".work" / _TOGETHER, ignore_errors=True)
    return [
        (kept[own.name], True) if own.name in kept else (load_token_source(out / own.name), False) for own in corpora
    ]


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


class _Making:
    """Makes sources of some corpora together, beside those that stay."""

    def __init__(
        self,
        tasks: Sequence[CorpusTasks],
        beside: Mapping[str, TokenSource],
        out: Path,
        runner: Runner,
        progress: Progress | None,
    ) -> None:
        self._corpora, self._out, self._runner, self._progress = tasks, out, runner, progress
        self._beside = {name: own for name, own in beside.items() if own.fingerprints is not None}
        self._work = out / ".work" / _TOGETHER

    def run(self) -> None:
        corpora = self._corpora
        for work in (self._work, *(own.work for own in corpora)):
            shutil.rmtree(work / "scratch", ignore_errors=True)  # what a killed job left half-written
        for source in self._beside.values():
            check_other_files(source)
        scanned = self._run("scan", [own.scan() for own in corpora])
        chosen = self._run("choose", [own.choose(files) for own, files in zip(corpora, scanned, strict=True)])
        gathered = self._gather(chosen)
        settled = self._settle(scanned, chosen, gathered) if all(chosen) else None
        tasks = []
        for number, (own, files) in enumerate(zip(corpora, scanned, strict=True)):
            place = (settled, f"held_out-{number}.npy") if settled is not None else None
            tasks.append(own.divide(files, place, gathered))
        divided = self._run("divide", tasks)
        for own, rows in zip(corpora, divided, strict=True):
            own.refuse_empty(rows)
        tasks = [own.tokenize(*files) for own, *files in zip(corpora, scanned, divided, strict=True)]
        tokenized = self._run("tokenize", tasks)
        self._publish(scanned, settled, divided, tokenized)

    def _publish(
        self,
        scanned: list[list[Manifest]],
        settled: Manifest | None,
        divided: list[list[Manifest]],
        tokenized: list[list[Manifest]],
    ) -> None:
        reports: list[Mapping[str, object] | None] = [None] * len(self._corpora)
        if settled is not None:
            listed = settled.details["corpora"]
            assert isinstance(listed, list)
            reports = listed
        results = zip(self._corpora, scanned, reports, divided, tokenized, strict=True)
        made = {own.corpus.name: own.made(read, told, rows, files) for own, read, told, rows, files in results}
        fingerprints = {name: own.fingerprints for name, own in made.items()}
        fingerprints |= {name: own.fingerprints or "" for name, own in self._beside.items()}
        for own in self._corpora:
            name = own.corpus.name
            others = {other: value for other, value in fingerprints.items() if other != name}
            publish(made[name], others, own.folder, own.work / "published")

    def _gather(self, chosen: list[list[Manifest]]) -> Manifest:
        keys = [manifest for own in chosen for manifest in own]
        held_out = [path for own in self._beside.values() for path in own.fingerprint_paths("validation")]
        payload = GatherShard(tuple(own.path("keys.npy") for own in keys), tuple(held_out))
        facts: dict[str, object] = {
            "keys": [own.files["keys.npy"] for own in keys],
            "beside": [own.fingerprints for own in self._beside.values()],
        }
        task = make_task("gather", "all", gather_fingerprints, payload, facts, self._work)
        return self._run("gather", [[task]])[0][0]

    def _settle(self, scanned: list[list[Manifest]], chosen: list[list[Manifest]], gathered: Manifest) -> Manifest:
        keys, tasks = gathered.path("keys.npy"), []
        for name, source in self._beside.items():
            payload = StandingShard(tuple(source.fingerprint_paths("train")), keys)
            facts: dict[str, object] = {"keys": gathered.files["keys.npy"], "fingerprints": source.fingerprints}
            tasks.append(make_task("standing", name, find_in_standing, payload, facts, self._work))
        hits = self._run("standing", [tasks])[0]
        files = zip(self._corpora, scanned, chosen, strict=True)
        near = self._run("near", [own.near(manifests, first, gathered) for own, manifests, (first,) in files])
        hits += [manifest for own in near for manifest in own]
        settle = SettleShard(
            chosen=tuple(own.path("chosen.parquet") for (own,) in chosen),
            hits=tuple(own.path("hits.npy") for own in hits),
            held_out=gathered.path("held_out.npy"),
        )
        facts = {
            "chosen": [own.checksum for (own,) in chosen],
            "hits": [own.files["hits.npy"] for own in hits],
            "held_out": gathered.files["held_out.npy"],
        }
        task = make_task("settle", "all", settle_documents, settle, facts, self._work)
        return self._run("settle", [[task]])[0][0]

    def _run(self, stage: str, tasks: Sequence[Sequence[Task]]) -> list[list[Manifest]]:
        """Run the tasks of all corpora, as one stage, and return the results of each."""
        done = iter(self._runner.run(stage, [task for own in tasks for task in own], self._progress))
        return [[next(done) for _ in own] for own in tasks]
