"""The parallel job, `make parallel PAIR=de-en`: from parallel inputs to filtered pairs and a complete ledger. Read this
first.

read       one task an input     units -> pairs, in parts                      (ingest.py; the readers: read.py)
measure    one task a part       56 measures of each pair, and their score     (measure.py)
decide     one task a part       measures x thresholds, benchmarks             (decide.py)
pair       parts, partitions     equal pairs                                   (equal.py)
laser      one task a part       cosine and margin of embeddings x thresholds  (laser.py)
source     parts, partitions     equal sources, then equal targets             (equal.py)
output     one task a part       final pairs and ledger                        (output.py)
publish    in the driver         folder, summary, report                       (publish.py)

The phases with several steps are in `phases.py`. Pairs are told as text afterwards, by `mixing`.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from configs.languages import SHIPPED, load_languages
from curation.benchmark_files import BenchmarkFile
from curation.contamination import load_benchmarks
from curation.duplicates.parts import DedupPart
from curation.duplicates.sizes import size_partition
from curation.ledger import check_conservation
from curation.models import lid_files
from curation.parallel.config import ParallelConfig
from curation.parallel.context import PairContext, PairJobResult, PairPart, parts_of
from curation.parallel.decide import DecidePairs, decide_pairs
from curation.parallel.ingest import IngestShard, ingest_input
from curation.parallel.inputs import ParallelInput
from curation.parallel.laser import check_encoders
from curation.parallel.laser_files import LaserFiles, laser_files
from curation.parallel.measure import MeasurePairs, measure_pairs
from curation.parallel.output import OutputPairs, write_pairs
from curation.parallel.phases import count_sizes, drop_equal, score_by_laser
from curation.parallel.profile import load_pair_profile
from curation.parallel.xces import sentence_files_version
from curation.profile import load_profile
from curation.runner import Progress, Runner
from curation.stage import Task, make_task, plain
from curation.stopwords import bundled_stop_words
from curation.store import Manifest, file_version
from dedup.decontaminate import ContaminationConfig
from filters.parallel.measures import PairSide
from filters.rules import Bounds, merge_bounds


class ParallelJob:
    """One pass over the inputs of a language pair."""

    def __init__(
        self,
        src: str,
        tgt: str,
        inputs: Sequence[ParallelInput],
        work: Path,
        config: ParallelConfig,
        runner: Runner,
        profiles: Path | None = None,
    ) -> None:
        """Prepare; no input is read before `run`.

        Args:
            src: code of the source language.
            tgt: of the target language.
            inputs: what to read.
            work: folder of intermediate results.
            config: the configuration.
            runner: runs the tasks.
            profiles: folder of what was derived for languages and pairs; None for no profiles.

        Raises:
            UserError: rules that contradict each other, or a profile that is not what it should be.
        """
        table = load_languages()
        self._languages = table.get(src), table.get(tgt)
        self._source, self._target = (
            PairSide(own.code, own.segmentation, own.scripts, _stop_words(profiles, own.code))
            for own in self._languages
        )
        self._profile = load_pair_profile(profiles, src, tgt)
        self._pair, self._inputs = f"{src}-{tgt}", list(inputs)
        self._work, self._config, self._runner = work, config, runner
        self._stages = config.stages
        langid = self._stages.langid
        self._langid = langid.identification() if langid is not None else None
        self._rules = self._rules_of()
        fitted = self._profile.score_bounds()
        self._judged = self._stages.laser.for_pair(src, tgt, fitted) if self._stages.laser is not None else {}
        self._laser: tuple[LaserFiles, ...] | None = None
        self._benchmarks: tuple[tuple[BenchmarkFile, ...], ContaminationConfig] | None = None
        self._seconds: dict[str, float] = {}
        self._tasks: list[Task] = []
        self._progress: Progress | None = None
        self._resumed = 0

    def run(
        self, progress: Progress | None = None, on_download: Callable[[str], None] = lambda line: None
    ) -> PairJobResult:
        """Run every stage that is not finished yet.

        Args:
            progress: told of every task that is finished.
            on_download: told of every file that is fetched.

        Raises:
            UserError: a user's mistake, such as sides of different lengths, a missing model or a full disk.
            ShardError: a shard failed on every attempt.
            ConservationError: pairs were lost or invented.
        """
        self._progress = progress
        shutil.rmtree(self._work / "scratch", ignore_errors=True)  # what a killed job left half-written
        self._find_models(on_download)
        read = self._read()
        parts = parts_of(read)
        measured = self._measure(parts)
        decided = self._decide(parts, measured)
        left = [
            DedupPart(part.number, part.name, part.pairs_path, own.path("kept.parquet"), part.checksum + own.checksum)
            for part, own in zip(parts, decided, strict=True)
        ]
        context = PairContext(self._pair, parts, left, measured, self._work, self._run)
        drop_equal(context, "pair", self._stages.pair)
        if self._stages.laser is not None and self._laser is not None:
            score_by_laser(context, self._stages.laser, self._laser, self._judged)
        drop_equal(context, "source", self._stages.source)
        drop_equal(context, "target", self._stages.target)
        outputs = self._output(parts, decided, context)
        records = sum(manifest.counts["records"] for manifest in read)
        check_conservation("the job", records, {"ledger rows": sum(own.counts["records"] for own in outputs)})
        return PairJobResult(
            self._inputs,
            [list(map(str, _list(manifest.details["checksums"]))) for manifest in read],
            parts,
            outputs,
            self._rules | self._judged,
            self._laser,
            self._profile,
            self._seconds,
            self._resumed > 0,
            self._tasks,
        )

    def _find_models(self, on_download: Callable[[str], None]) -> None:
        """Look for models and benchmarks: what is wrong with them is said before an input is read."""
        if self._langid is not None:
            lid_files(self._langid)
        if self._stages.contamination is not None:
            self._benchmarks = load_benchmarks(self._stages.contamination), self._stages.contamination
        if self._stages.laser is not None:
            codes = [own.code for own in self._languages]
            self._laser = laser_files(self._stages.laser.files, codes, on_download)
            check_encoders(self._laser, self._stages.laser.encoder)

    def _rules_of(self) -> dict[str, Bounds]:
        """Return the bounds of the rules by column, in the order in which they are tried."""
        if self._stages.rules is None:
            return {}
        rules = self._stages.rules.for_pair(self._source, self._target, self._profile.bounds())
        fitted = self._profile.score_bounds().get("score_rules", Bounds())
        return {**rules, "score_rules": merge_bounds("score_rules", fitted, self._stages.score)}

    def _run(self, phase: str, tasks: list[Task]) -> list[Manifest]:
        start = time.monotonic()
        manifests = self._runner.run(phase, tasks, self._watch)
        self._seconds[phase] = round(self._seconds.get(phase, 0) + time.monotonic() - start, 3)
        self._tasks += tasks
        return manifests

    def _watch(self, phase: str, finished: int, total: int, resumed: int) -> None:
        self._resumed += resumed
        if self._progress is not None:
            self._progress(phase, finished, total, resumed)

    def _read(self) -> list[Manifest]:
        settings = plain({"ingest": self._stages.ingest, "normalize": self._stages.normalize})
        # Labels of languages in the inputs mean what the language table says.
        labels = [own.model_dump() for own in self._languages]
        tasks = []
        for entry in self._inputs:
            files: list[object] = [[file.size_bytes, file.version] for file in entry.files]
            if entry.format == "xces":
                files.append(sentence_files_version(Path(entry.files[0].url)))
            facts = {
                "settings": settings,
                "languages": labels,
                "input": [entry.name, entry.format, entry.src, entry.tgt, entry.swapped],
            }
            payload = IngestShard(entry, self._stages.ingest, self._stages.normalize)
            # By the input's name and not by its number: a new one among the inputs must not rename the others.
            name = hashlib.sha256(entry.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
            tasks.append(make_task("read", name, ingest_input, payload, {**facts, "files": files}, self._work))
        return self._run("read", tasks)

    def _measure(self, parts: list[PairPart]) -> list[Manifest]:
        langid = self._langid
        lengths = self._profile.lengths
        facts = {
            "sides": [repr(side) for side in (self._source, self._target)],
            "lengths": repr(lengths),
            "langid": plain(langid),
            # What the identifier's labels mean: of every language, as any may be answered.
            "languages": hashlib.sha256(SHIPPED.read_bytes()).hexdigest(),
            "models": [file_version(path) for path in lid_files(langid)] if langid is not None else [],
        }
        tasks = []
        for part in parts:
            payload = MeasurePairs(part.pairs_path, self._source, self._target, langid, lengths)
            own = {**facts, "input": part.checksum}
            tasks.append(make_task("measure", part.label, measure_pairs, payload, own, self._work))
        return self._run("measure", tasks)

    def _decide(self, parts: list[PairPart], measured: list[Manifest]) -> list[Manifest]:
        first, second = ((own.code, own.segmentation) for own in self._languages)
        facts = {
            "rules": plain(self._rules),
            "languages": [first, second],
            "contamination": plain(self._stages.contamination),
            "benchmarks": [(own.name, own.sha256) for own in self._benchmarks[0]] if self._benchmarks else [],
        }
        tasks = []
        for part, manifest in zip(parts, measured, strict=True):
            measures = manifest.path("measures.parquet")
            payload = DecidePairs(part.pairs_path, measures, self._rules, self._benchmarks, (first, second))
            own = {**facts, "input": part.checksum, "measures": manifest.checksum}
            tasks.append(make_task("decide", part.name, decide_pairs, payload, own, self._work))
        return self._run("decide", tasks)

    def _output(self, parts: list[PairPart], decided: list[Manifest], context: PairContext) -> list[Manifest]:
        sizes, partitions = count_sizes(context)
        bounds, report, gone = self._rules | self._judged, self._config.report, context.gone_files
        facts = {"gone": context.gone_checksums(), "report": plain(report), "bounds": plain(bounds)}
        tasks = []
        for part in parts:
            before = [own[part.number] for own in (context.measured, decided, context.scored, context.judged) if own]
            judged = [own[part.number].path("ledger.parquet") for own in (decided, context.judged) if own]
            payload = OutputPairs(
                part=part.number,
                records=part.records,
                language=self._pair,
                pairs=part.pairs_path,
                measures=context.measured[part.number].path("measures.parquet"),
                laser=context.scored[part.number].path("scores.parquet") if context.scored else None,
                ledgers=(part.ledger_path, *judged),
                gone=gone,
                sizes=(sizes, int(size_partition(part.number, partitions, len(parts)))),
                bounds=bounds,
                report=report,
            )
            own = {**facts, "part": part.number, "input": part.checksum, "before": [b.checksum for b in before]}
            tasks.append(make_task("output", part.name, write_pairs, payload, own, self._work))
        return self._run("output", tasks)


def _stop_words(profiles: Path | None, code: str) -> tuple[str, ...] | None:
    """Return the function words of a language: its profile's, else the bundled ones."""
    own = load_profile(profiles, code).stop_words
    return own.words if own is not None else bundled_stop_words(code)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
