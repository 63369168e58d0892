"""The corpus job, `make corpus LANG=el`: from input files to curated documents and a complete ledger. Read this first.

crawl      one task an input file     records -> documents, in parts               (curation/crawl.py)
measure    one task a part            all measures of each document                (curation/measure.py)
decide     one task a part            measures x thresholds                        (curation/decide.py)
...        phases of deduplication      documents that go, stretches that are cut    (curation/duplicates/job.py)
output     one task a part            final documents and ledger                   (curation/output.py)
publish    here                       folders by language, summary, report         (curation/publish.py)
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from configs.errors import UserError
from configs.languages import Language
from curation.benchmark_files import BenchmarkFile
from curation.capacity import folder_bytes, free_disk_bytes
from curation.config import CorpusConfig
from curation.contamination import load_benchmarks
from curation.crawl import CrawlShard, crawl
from curation.decide import DecideShard, decide_part
from curation.duplicates.base import BaseCorpus, find_base
from curation.duplicates.context import Found
from curation.duplicates.job import Deduplication
from curation.duplicates.parts import DedupPart
from curation.duplicates.plan import Load, Plan, check_plan, make_plan
from curation.duplicates.semantic import load_encoder
from curation.inputs import InputFile
from curation.job_folder import work_folder
from curation.job_parts import JobResult, Part, identified_in, ledger_rows, parts_of
from curation.ledger import check_conservation
from curation.measure import MeasureShard, measure_part
from curation.models import lid_files, lid_model_path, prepare_url_lists
from curation.output import OutputShard, write_part
from curation.profile import Profile
from curation.resources import gather_resources
from curation.runner import Progress, Runner
from curation.stage import Task, make_task, plain
from curation.store import Manifest, file_version
from curation.url_lists import url_list_checksums
from dedup.decontaminate import ContaminationConfig
from filters.rules import Bounds


class CorpusJob:
    """One pass over a set of inputs for one or more languages."""

    def __init__(
        self,
        languages: Sequence[Language],
        inputs: Sequence[InputFile],
        out: Path,
        config: CorpusConfig,
        runner: Runner,
        profiles: Mapping[str, Profile] | None = None,
        against: Path | None = None,
    ) -> None:
        """Prepare; no input is read before `run`.

        Args:
            languages: the target languages.
            inputs: what to read.
            out: folder of the corpora.
            config: the configuration.
            runner: runs the tasks.
            profiles: what was derived for the languages, by code.
            against: folder of corpora that stand already, of which no document shall come again.

        Raises:
            UserError: rules that contradict each other, or a word list or model that is not there.
        """
        self._languages, self._inputs, self._out = tuple(languages), list(inputs), out
        self._config, self._stages, self._runner = config, config.stages, runner
        self._deduplication = config.stages.of_deduplication()
        self._segmentations = {own.code: own.segmentation for own in self._languages}
        self._work = work_folder(out, languages)
        self._profiles = {own.code: (profiles or {}).get(own.code, Profile(own.code)) for own in self._languages}
        self._rules = {own.code: self._rules_of(own) for own in self._languages if self._stages.rules is not None}
        self._resources = gather_resources(self._languages, self._stages.measure, self._profiles)
        self._against = against
        if against is not None:
            find_base(against, [own.code for own in self._languages], self._deduplication, 0)
        self._seconds: dict[str, float] = {}
        self._tasks: list[Task] = []
        self._benchmarks: tuple[tuple[BenchmarkFile, ...], ContaminationConfig] | None = None
        self._progress: Progress | None = None
        self._on_plan: Callable[[Plan], None] | None = None

    def run(self, progress: Progress | None = None, on_plan: Callable[[Plan], None] | None = None) -> JobResult:
        """Run every stage that is not finished yet.

        Args:
            progress: told of every task that is finished.
            on_plan: told what deduplication will take, before it starts.

        Raises:
            UserError: a user's mistake, such as a missing model or a full disk.
            ShardError: a shard failed on every attempt.
            ConservationError: records were lost or invented.
        """
        self._progress, self._on_plan = progress, on_plan
        shutil.rmtree(self._work / "scratch", ignore_errors=True)  # what a killed job left half-written
        lid_files(self._stages.langid)
        if self._stages.url is not None:
            prepare_url_lists(self._stages.url)
        # What is wrong with these is said before an archive is read.
        if self._stages.contamination is not None:
            self._benchmarks = load_benchmarks(self._stages.contamination), self._stages.contamination
        if self._stages.semantic is not None:
            load_encoder(self._stages.semantic.encoder)
        crawled = self._crawl()
        parts = parts_of(crawled)
        measured = self._measure(parts)
        decided = self._decide(parts, measured)
        found, base = self._deduplicate(parts, decided)
        outputs = self._output(parts, measured, decided, found)
        records = sum(manifest.counts["records"] for manifest in crawled)
        check_conservation("the job", records, {"ledger rows": sum(sum(ledger_rows(o).values()) for o in outputs)})
        checksums = {e.name: str(m.details["checksum"]) for e, m in zip(self._inputs, crawled, strict=True)}
        knowledge = (self._rules, self._resources, self._profiles, identified_in(crawled))
        base_documents = {part.number: part.documents for part in base.parts}
        return JobResult(
            self._inputs,
            parts,
            outputs,
            checksums,
            *knowledge,
            seconds=self._seconds,
            tasks=self._tasks,
            found=found,
            base_documents=base_documents,
            against=self._against,
        )

    def _rules_of(self, language: Language) -> dict[str, Bounds]:
        assert self._stages.rules is not None
        fitted = self._profiles[language.code].thresholds
        try:
            return self._stages.rules.for_language(
                language.code, language.segmentation, fitted.bounds() if fitted is not None else None
            )
        except UserError as error:
            if fitted is None:
                raise
            raise UserError(
                f"{language.code}: {error}; the profile's thresholds of {fitted.date} are among them"
            ) from error

    def _run(self, phase: str, tasks: list[Task]) -> list[Manifest]:
        start = time.monotonic()
        manifests = self._runner.run(phase, tasks, self._progress)
        self._seconds[phase] = round(self._seconds.get(phase, 0) + time.monotonic() - start, 3)
        self._tasks += tasks
        return manifests

    def _crawl(self) -> list[Manifest]:
        names = ("ingest", "text_corpus", "url", "glance", "extract", "normalize", "langid", "pii")
        settings = {name: plain(getattr(self._stages, name)) for name in names}
        languages = [language.model_dump() for language in self._languages]
        tasks = []
        for entry in self._inputs:
            facts = {
                "settings": settings,
                "languages": languages,
                "model": [file_version(path) for path in lid_files(self._stages.langid)],
                "url_lists": url_list_checksums(self._stages.url) if self._stages.url is not None else {},
                "input": [entry.name, entry.format, entry.size_bytes, entry.version],
            }
            payload = CrawlShard(entry, self._languages, self._stages.of_crawl())
            # By the file's name and not by its number: a new file among the inputs must not rename the others.
            name = hashlib.sha256(entry.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
            tasks.append(make_task("crawl", name, crawl, payload, facts, self._work))
        return self._run("crawl", tasks)

    def _measure(self, parts: list[Part]) -> list[Manifest]:
        model = lid_model_path(self._stages.langid.model)
        settings = plain(self._stages.measure)
        facts = {
            "settings": settings,
            "resources": {code: own.facts() for code, own in sorted(self._resources.items())},
            "model": file_version(model),
        }
        tasks = []
        for part in parts:
            payload = MeasureShard(part.documents_path, self._resources, self._stages.measure, model)
            tasks.append(
                make_task("measure", part.label, measure_part, payload, {**facts, "input": part.checksum}, self._work)
            )
        return self._run("measure", tasks)

    def _decide(self, parts: list[Part], measured: list[Manifest]) -> list[Manifest]:
        rules = {code: {name: plain(bounds) for name, bounds in own.items()} for code, own in self._rules.items()}
        contamination, benchmarks = self._stages.contamination, self._benchmarks
        facts = {
            "rules": rules,
            "segmentations": self._segmentations,
            "contamination": plain(contamination),
            "benchmarks": [(file.name, file.sha256) for file in benchmarks[0]] if benchmarks is not None else [],
        }
        tasks = [
            make_task(
                "decide",
                part.name,
                decide_part,
                DecideShard(
                    part.documents_path, manifest.path("measures.parquet"), self._rules, benchmarks, self._segmentations
                ),
                {**facts, "input": part.checksum, "measures": manifest.checksum},
                self._work,
            )
            for part, manifest in zip(parts, measured, strict=True)
        ]
        return self._run("decide", tasks)

    def _deduplicate(self, parts: list[Part], decided: list[Manifest]) -> tuple[Found, BaseCorpus]:
        own = [
            DedupPart(
                part.number, part.name, part.documents_path, manifest.path("kept.parquet"),
                part.checksum + manifest.checksum,
            )
            for part, manifest in zip(parts, decided, strict=True)
        ]  # fmt: skip
        config = self._deduplication
        base = BaseCorpus()
        if self._against is not None:
            base = find_base(self._against, [own.code for own in self._languages], config, len(parts))
        counts = {name: sum(manifest.counts[name] for manifest in decided) for name in ("kept", "words", "characters")}
        load = Load(
            counts["kept"] + base.documents,
            base.documents,
            counts["words"] + base.words,
            counts["characters"] + base.characters,
            len(parts) + len(base.parts),
        )
        plan = make_plan(load, config, self._runner.workers, self._runner.memory_bytes)
        if self._on_plan is not None:
            self._on_plan(plan)
        check_plan(plan, free_disk_bytes(self._out), self._written_before(), str(self._out))
        job = Deduplication(
            [*own, *base.parts], load.documents, config, self._segmentations, self._work, self._run, base.indexes, plan
        )
        return job.find(), base

    def _written_before(self) -> int:
        """Bytes that an interrupted run of this job has left of deduplication."""
        before = ("scratch", "crawl", "measure", "decide", "output")
        return sum(folder_bytes(folder) for folder in self._work.glob("*") if folder.name not in before)

    def _output(
        self, parts: list[Part], measured: list[Manifest], decided: list[Manifest], found: Found
    ) -> list[Manifest]:
        codes = tuple(language.code for language in self._languages)
        buckets = {code: own for code, profile in self._profiles.items() if (own := profile.perplexity_borders)}
        tasks = []
        for part, measures, manifest in zip(parts, measured, decided, strict=True):
            payload = OutputShard(
                part=part.number,
                records=part.records,
                documents=part.documents_path,
                measures=measures.path("measures.parquet"),
                ledgers=(part.ledger_path, manifest.path("ledger.parquet")),
                gone=found.gone,
                cuts=found.cuts.get(part.number),
                min_remaining=self._deduplication.min_remaining(),
                sizes=(found.sizes, found.size_partition(part.number)),
                index=found.index_files(part.number) if self._config.index else None,
                segmentations=self._segmentations,
                languages=codes,
                buckets=buckets,
                report=self._config.report,
            )
            facts = {"part": part.number, "input": part.checksum, "rules": manifest.checksum, "found": found.checksums}
            facts |= {"measures": measures.checksum, "buckets": buckets}
            facts |= {"languages": codes, "report": self._config.report.model_dump()}
            # The index has band keys of every document, also of those that decided nothing.
            facts |= {"index": self._config.index, "minhash": plain(self._stages.minhash)}
            facts |= {"segmentations": payload.segmentations, "min_remaining": payload.min_remaining}
            tasks.append(make_task("output", part.name, write_part, payload, facts, self._work))
        return self._run("output", tasks)
