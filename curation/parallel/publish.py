"""Finished tasks -> `corpora/parallel/<src>-<tgt>/`: tables, report, and the summary last, which says all is there."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from configs.languages import load_languages
from curation.funnel import funnel, reasons
from curation.inputs import without_secrets
from curation.ledger import check_conservation
from curation.parallel.config import PAIR_STAGES, ParallelConfig
from curation.parallel.context import PairJobResult
from curation.parallel.report import render_pair_report
from curation.parallel.report_data import PairReportData, collect, merge, survivors
from curation.parallel.report_sample import PAIR_EXAMPLES, PAIR_SAMPLE
from curation.parallel.schema import PAIRS, PUBLISHED_PAIR_MEASURES
from curation.published import replace_tables
from curation.record_schema import LEDGER
from curation.stage import code_version
from curation.store import write_text_atomically

# What telling the pairs as text leaves in the folder (`mixing.telling.tell`): made anew from new pairs.
TOLD = ("documents", "documents.json")

_SCHEMAS = {"pairs": PAIRS, "ledger": LEDGER, "measures": PUBLISHED_PAIR_MEASURES}
_LIBRARIES = ("fasttext-numpy2-wheel", "ftfy", "numpy", "pyarrow", "ray", "sacremoses", "sentencepiece", "torch")


def pair_folder(out: Path, src: str, tgt: str) -> Path:
    """Return the folder of a language pair."""
    return out / "parallel" / f"{src}-{tgt}"


def publish_pairs(job: PairJobResult, src: str, tgt: str, out: Path, config: ParallelConfig) -> dict[str, object]:
    """Write the folder of the pair and return its summary.

    While it is being replaced it has no `summary.json`: a folder with one is complete.

    Raises:
        ConservationError: a published folder has not the rows that its tasks wrote.
    """
    folder = pair_folder(out, src, tgt)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").unlink(missing_ok=True)
    for name in reversed(TOLD):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    rows = {kind: _replace(job, folder, kind) for kind in _SCHEMAS}
    summary = _summary(job, src, tgt, config)
    check_conservation(f"{folder}/ledger", rows["ledger"], {"records read": int(str(summary["records"]))})
    check_conservation(f"{folder}/pairs", rows["pairs"], {"pairs kept": int(str(summary["pairs"]))})
    check_conservation(f"{folder}/measures", rows["measures"], {"pairs": sum(part.pairs for part in job.parts)})
    write_text_atomically(folder / "report.html", render_pair_report(_report_data(job, summary, config)))
    write_text_atomically(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return summary


def _replace(job: PairJobResult, folder: Path, kind: str) -> int:
    files = (
        (f"{part.name}.parquet", manifest.path(f"{kind}.parquet"))
        for part, manifest in zip(job.parts, job.outputs, strict=True)
    )
    return replace_tables(folder, kind, files, _SCHEMAS[kind])


def _summary(job: PairJobResult, src: str, tgt: str, config: ParallelConfig) -> dict[str, object]:
    counts: Counter[tuple[str, str, str]] = Counter()
    totals: Counter[str] = Counter()
    for manifest in job.outputs:
        own, sums = manifest.details["counts"], manifest.details["totals"]
        assert isinstance(own, list)
        assert isinstance(sums, dict)
        for stage, outcome, rule, count in own:
            counts[stage, outcome, rule] += count
        totals.update(sums)
    kept = counts["", "kept", ""]
    plain = config.model_dump(mode="json")
    records, seconds = sum(part.records for part in job.parts), sum(job.seconds.values())
    return {
        "pair": f"{src}-{tgt}",
        "src_lang": src,
        "tgt_lang": tgt,
        "records": records,
        "ledger_rows": sum(counts.values()),
        "pairs": kept,
        "characters": {side: totals[f"{side}_chars"] for side in ("src", "tgt")},
        "words": {side: totals[f"{side}_words"] for side in ("src", "tgt")},
        "stages": funnel(counts, PAIR_STAGES, kept, {}),
        "reasons": reasons(counts, PAIR_STAGES),
        "inputs": _inputs(job),
        "rules": {name: bounds.model_dump() for name, bounds in job.bounds.items()},
        "profile": _profile(job),
        "laser": _laser(job, config),
        "seconds": job.seconds,
        "records_per_second": round(records / seconds, 1) if seconds and not job.resumed else None,
        "config": plain,
        "config_hash": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(),
        "code_version": code_version("curation.cli"),
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _inputs(job: PairJobResult) -> list[dict[str, object]]:
    """Return what was read, and what is left of each input."""
    records, kept = Counter[int](), Counter[int]()
    for part, manifest in zip(job.parts, job.outputs, strict=True):
        records[part.entry] += part.records
        kept[part.entry] += manifest.counts["pairs"]
    return [
        {
            "name": entry.name,
            "format": entry.format,
            "files": [
                {"url": without_secrets(file.url), "bytes": file.size_bytes, "checksum": f"blake2b-128:{checksum}"}
                for file, checksum in zip(entry.files, checksums, strict=True)
            ],
            "records": records[number],
            "kept": kept[number],
        }
        for number, (entry, checksums) in enumerate(zip(job.inputs, job.checksums, strict=True))
    ]


def _report_data(job: PairJobResult, summary: dict[str, object], config: ParallelConfig) -> PairReportData:
    chosen = (
        (
            pq.read_table(own.path("sample.parquet"), schema=PAIR_SAMPLE, partitioning=None),
            pq.read_table(own.path("examples.parquet"), schema=PAIR_EXAMPLES, partitioning=None),
        )
        for own in job.outputs
    )
    sample, examples = merge(chosen, config.report)
    table = load_languages()
    names = table.get(str(summary["src_lang"])).name, table.get(str(summary["tgt_lang"])).name
    return collect(summary, names, job.bounds, sample, examples, _texts(job, survivors(examples)))


def _texts(job: PairJobResult, ids: list[str]) -> dict[str, tuple[str, str]]:
    """Return source and target of a few pairs, by id."""
    found: dict[str, tuple[str, str]] = {}
    for part in job.parts:
        if len(found) < len(ids):
            columns, wanted = ["id", "src_text", "tgt_text"], [("id", "in", ids)]
            rows = pq.read_table(part.pairs_path, columns=columns, filters=wanted, partitioning=None).to_pylist()
            found |= {row["id"]: (row["src_text"], row["tgt_text"]) for row in rows}
    return found


def _profile(job: PairJobResult) -> str | None:
    """Return which fitted thresholds the rules rest on; None for the defaults."""
    fitted = job.profile.thresholds
    return None if fitted is None else f"{fitted.pair}, fitted to {fitted.pairs:,} pairs, {fitted.date}"


def _laser(job: PairJobResult, config: ParallelConfig) -> dict[str, object] | None:
    """Return what LASER's scores were taken with; None where the stage was off."""
    stage = config.stages.laser
    if stage is None or job.laser is None:
        return None
    bounds = {name: job.bounds[name].min for name in ("score_laser_cosine", "score_laser_margin") if name in job.bounds}
    return {
        **{
            f"{side}_{name}": own
            for side, files in zip(("src", "tgt"), job.laser, strict=True)
            for name, own in files.checksums().items()
        },
        "precision": stage.encoder.precision,
        "device": stage.encoder.device,
        "min_cosine": bounds.get("score_laser_cosine"),
        "min_margin": bounds.get("score_laser_margin"),
        "k": stage.neighbours,
        "pool_pairs": stage.pool_pairs,
    }
