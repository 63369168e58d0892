"""What an audit leaves behind: `audit.json`, and the section of the report that it fills."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from configs.errors import UserError
from curation.audit import Audit, Band, ShownPair
from curation.charts_duplicates import found_bar
from curation.report import report_environment
from curation.report_pairs import DuplicatePair, pair_view
from curation.store import write_text_atomically
from dedup.shares import Share

_BEGIN, _END = "<!-- audit -->", "<!-- /audit -->"
# Of which pairs one document was dropped.
_DROPPED = ("wrong", "duplicate")


def write_audit(folder: Path, audit: Audit) -> None:
    """Write `audit.json`, and put the audit into `report.html` of a corpus.

    Raises:
        UserError: the report is not there, or was made by a version that had no audits.
    """
    path = folder / "report.html"
    try:
        report = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; run `make corpus` with the same OUT again") from error
    filled = with_section(report, render_audit(audit))
    if filled is None:
        raise UserError(f"{path} has no place for an audit: run `make corpus` with the same OUT again")
    write_text_atomically(path, filled)
    write_text_atomically(folder / "audit.json", json.dumps(audit_facts(audit), indent=1, ensure_ascii=False))


def with_section(report: str, section: str) -> str | None:
    """Return a report with another audit section; None where it has no place for one."""
    # Texts in the page are escaped: none of them holds a mark.
    begin, end = report.find(_BEGIN), report.find(_END)
    if not 0 <= begin < end:
        return None
    return report[:begin] + section + report[end + len(_END) :]


def render_audit(audit: Audit) -> str:
    """Return the section, from mark to mark. The same audit gives the same section."""
    pairs: dict[str, list[dict[str, object]]] = {}
    for pair in audit.pairs:
        pairs.setdefault(pair.kind, []).append(_pair_view(pair))
    view = {"audit": audit, "bands": [(band, _bar(band)) for band in audit.bands], "pairs": pairs}
    page = report_environment().get_template("audit.html.j2").render(view)
    return page[page.index(_BEGIN) :].rstrip("\n")


def _bar(band: Band) -> object:
    return found_bar(band.found, band.missed, band.expected) if band.found + band.missed else ""


def _pair_view(pair: ShownPair) -> dict[str, object]:
    shown = DuplicatePair(pair.kind, pair.similarity, pair.urls[0], pair.texts[0], pair.urls[1], pair.texts[1])
    return pair_view(shown, ("dropped" if pair.kind in _DROPPED else "kept", "kept"))


def audit_facts(audit: Audit) -> dict[str, object]:
    """Return the content of `audit.json`: everything but the texts."""
    names = ("language", "config_hash", "population", "base", "dropped", "sampled", "not_found")
    settings = ("bands", "rows", "ngram", "min_similarity", "seed")
    return {
        **{name: getattr(audit, name) for name in names},
        "minhash": {name: getattr(audit.config, name) for name in settings},
        "precision": _share(audit.precision),
        "largest_difference": round(audit.largest_difference, 6),
        "pair_recall": _share(audit.pair_recall),
        "document_recall": _share(audit.document_recall),
        "expected_recall": None if audit.expected_recall is None else round(audit.expected_recall, 6),
        "bands": [{**asdict(band), "expected": round(band.expected, 6)} for band in audit.bands],
        "pairs": [
            {"kind": pair.kind, "similarity": pair.similarity, "ids": pair.ids, "urls": pair.urls}
            for pair in audit.pairs
        ],
    }


def _share(own: Share) -> dict[str, object]:
    value = None if own.value is None else round(own.value, 6)
    return {"share": value, "low": round(own.low, 6), "high": round(own.high, 6), "part": own.part, "whole": own.whole}
