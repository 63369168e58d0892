"""`make pivot PAIR=de-fr FROM=corpora/parallel/de-en,corpora/parallel/en-fr`: candidates for pairs of two languages of
which there are pairs with a third one, by exactly the same text in that one. Read this first.

keys, match    which pairs of the two corpora meet, by hashes            (curation/parallel/pivot_match.py)
texts, join    their texts, compared and written as candidates           (curation/parallel/pivot_join.py)
publish        here: `candidates/de-fr/pairs/*.parquet`, the summary last

Candidates are an input: `make parallel PAIR=de-fr INPUT=corpora/parallel/candidates/de-fr/pairs` decides on them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from configs.load import StrictModel
from curation.duplicates.context import RunTasks, numbered
from curation.ledger import check_conservation
from curation.parallel.pivot_corpora import SIDES, Pivot, PivotPart
from curation.parallel.pivot_join import CANDIDATES, CandidatesFile, TextsPart, pivot_join_file, pivot_texts_part
from curation.parallel.pivot_match import KeysPart, MatchPartition, pivot_keys_part, pivot_match_partition
from curation.published import replace_tables
from curation.stage import Task, TaskFunction, code_version, make_task
from curation.store import Manifest, file_version, write_text_atomically

# Measured with two million pairs: a partition takes 130 bytes of memory a pair where a tenth of the texts are shared,
# 180 where all are. A task takes this much at most, beside the 260 MiB of a worker that has read nothing.
_BYTES_PER_PAIR, _PARTITION_BYTES = 200, 256 << 20
# A file of candidates is closed at so many of them, or when their parts have so many bytes of text, on average.
_FILE_CANDIDATES, _FILE_BYTES = 200_000, 64 << 20


class PivotConfig(StrictModel):
    """A pivot job.

    Attributes:
        max_partners: pairs of one shared text that each corpus may send, different ones: those with the highest scores.
            A text such as "OK." makes at most the square of this number of candidates.
        partitions: of the hashes; None takes one for each 256 MiB of memory that they need, some 1.3 million pairs. It
            changes nothing in the candidates.
        retries: further attempts at a shard that fails.
        keep_work: keep the intermediate results, so that a later run with another `max_partners` starts from them.
    """

    max_partners: int = Field(default=4, ge=1, le=1000)
    partitions: int | None = Field(default=None, ge=1)
    retries: int = Field(default=2, ge=0)
    keep_work: bool = True


@dataclass(slots=True)
class Found:
    """What the tasks left behind, for publication: files of candidates, counts, and seconds by phase."""

    pivot: Pivot
    files: list[Path]
    counts: dict[str, int]
    seconds: dict[str, float]
    tasks: list[Task]


def candidates_folder(out: Path, pivot: Pivot) -> Path:
    """Return the folder that candidates are published in."""
    return out / "parallel" / "candidates" / f"{pivot.src}-{pivot.tgt}"


def pivot_work_folder(out: Path, pivot: Pivot) -> Path:
    """Return the folder of intermediate results."""
    return out / ".work" / f"pivot-{pivot.src}-{pivot.tgt}"


class PivotJob:
    """One join of two corpora."""

    def __init__(self, pivot: Pivot, work: Path, config: PivotConfig, run: RunTasks) -> None:
        """Prepare; no pair is read before `find`.

        Args:
            pivot: what is joined.
            work: folder of intermediate results.
            config: the configuration.
            run: runs tasks.
        """
        self._pivot, self._work, self._config, self._run_tasks = pivot, work, config, run
        self._parts = [
            [PivotPart(path, number, own.labels, own.own, pivot.score) for number, path in enumerate(own.files)]
            for own in pivot.corpora
        ]
        self._seconds: dict[str, float] = {}
        self._tasks: list[Task] = []

    def find(self) -> Found:
        """Find the candidates.

        Raises:
            UserError: a file is damaged or has other languages; a full disk.
            ShardError: a shard failed on every attempt.
            ConservationError: pairs that met were lost on their way.
        """
        shutil.rmtree(self._work / "scratch", ignore_errors=True)  # what a killed job left half-written
        matched = self._match()
        counts = {name: sum(own.counts[name] for own in matched) for name in matched[0].counts}
        # Neither number depends on how the hashes were cut into partitions, so the files do not.
        files = max(1, -(-counts["candidates"] // _FILE_CANDIDATES), -(-counts.pop("bytes") // _FILE_BYTES))
        joined = self._join(matched, files)
        written = {name: sum(own.counts[name] for own in joined) for name in joined[0].counts}
        check_conservation("the join", counts["candidates"], written)
        paths = [own.path("pairs.parquet") for own in joined]
        return Found(self._pivot, paths, {**counts, **written}, self._seconds, self._tasks)

    def _match(self) -> list[Manifest]:
        pairs = sum(own.pairs for own in self._pivot.corpora)
        count = self._config.partitions or max(1, -(-pairs * _BYTES_PER_PAIR // _PARTITION_BYTES))
        most = self._config.max_partners
        keys = self._on_parts("pivot_keys", pivot_keys_part, lambda side, part: KeysPart(part, count), {"n": count})
        paths = self._by_side(keys, "keys.arrow")
        facts = {"keys": [own.checksum for own in keys], "sides": list(map(len, self._parts)), "max_partners": most}
        payloads = [MatchPartition(paths, number, most) for number in range(count)]
        return self._run("pivot_match", pivot_match_partition, numbered(payloads), facts)

    def _join(self, matched: list[Manifest], files: int) -> list[Manifest]:
        rows = [tuple(own.path(f"matched-{name}.arrow") for own in matched) for name in SIDES]
        facts: dict[str, object] = {"matched": [own.checksum for own in matched], "files": files}
        texts = self._on_parts(
            "pivot_texts", pivot_texts_part, lambda side, part: TextsPart(part, rows[side], files), facts
        )
        paths = self._by_side(texts, "texts.arrow")
        languages = self._pivot.src, self._pivot.tgt, self._pivot.language
        facts = {"texts": [own.checksum for own in texts], "sides": list(map(len, self._parts)), "languages": languages}
        payloads = [CandidatesFile(paths, number, languages) for number in range(files)]
        return self._run("pivot_join", pivot_join_file, numbered(payloads), facts)

    def _by_side(self, manifests: list[Manifest], name: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        paths = tuple(own.path(name) for own in manifests)
        first = len(self._parts[0])
        return paths[:first], paths[first:]

    def _on_parts(
        self,
        phase: str,
        function: TaskFunction,
        payload: Callable[[int, PivotPart], object],
        facts: Mapping[str, object],
    ) -> list[Manifest]:
        """Run one task a file of pairs: those of the first corpus, then those of the second."""
        payloads, versions = dict[str, object](), dict[str, object]()
        for side, parts in enumerate(self._parts):
            for part in parts:
                name = f"{SIDES[side]}-{part.number:05d}"
                payloads[name] = payload(side, part)
                versions[name] = [file_version(part.path), part.labels, part.own, part.score]
        return self._run(phase, function, payloads, facts, versions)

    def _run(
        self,
        phase: str,
        function: TaskFunction,
        payloads: Mapping[str, object],
        facts: Mapping[str, object],
        versions: Mapping[str, object] | None = None,
    ) -> list[Manifest]:
        """Run one task for each payload, by name; `versions` are facts of single tasks."""
        start = time.monotonic()
        tasks = [
            make_task(phase, name, function, payload, {**facts, "input": (versions or {}).get(name)}, self._work)
            for name, payload in payloads.items()
        ]
        manifests = self._run_tasks(phase, tasks)
        self._seconds[phase] = round(time.monotonic() - start, 3)
        self._tasks += tasks
        return manifests


def publish_candidates(found: Found, out: Path, config: PivotConfig) -> dict[str, object]:
    """Write `candidates/<pair>/` and return its summary; while files are being replaced there is none."""
    folder = candidates_folder(out, found.pivot)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").unlink(missing_ok=True)
    files = ((f"{number:05d}.parquet", path) for number, path in enumerate(found.files))
    rows = replace_tables(folder, "pairs", files, CANDIDATES)
    check_conservation(f"{folder}/pairs", rows, {"candidates": found.counts["candidates"]})
    summary = _summary(found, config)
    write_text_atomically(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return summary


def _summary(found: Found, config: PivotConfig) -> dict[str, object]:
    """Return what was joined and what came of it; of each corpus pairs and texts in the shared language."""
    pivot, counts = found.pivot, found.counts
    plain = config.model_dump(mode="json")
    sides = []
    for name, own in zip(SIDES, pivot.corpora, strict=True):
        numbers = {kind: counts[f"{name}_{kind}"] for kind in ("texts", "matched", "repeated", "over_max")}
        sides.append({"pair": own.name, "folder": str(own.folder), "pairs": own.pairs, **numbers})
    return {
        "pair": f"{pivot.src}-{pivot.tgt}",
        "src_lang": pivot.src,
        "tgt_lang": pivot.tgt,
        "pivot_lang": pivot.language,
        "score": pivot.score,
        "from": sides,
        **{name: counts[name] for name in ("shared", "candidates", "left_out", "not_equal")},
        "seconds": found.seconds,
        "config": plain,
        "config_hash": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(),
        "code_version": code_version("curation.parallel.pivot"),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "pyarrow", "xxhash")},
    }
