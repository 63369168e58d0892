"""The audit of a real job: everything that it finds by brute force, MinHash had found as well."""

import pytest

from configs.languages import load_languages
from curation.audit import audit_corpus
from curation.audit_report import render_audit, with_section
from tests.jobs.conftest import Finished


@pytest.mark.parametrize("code", ["el", "th", "zh"])
def test_the_sample_crawl_holds_no_pair_that_was_missed(sample_job: Finished, code: str) -> None:
    audit = audit_corpus(sample_job.out, load_languages(), code, 1000, lambda done, total: None)
    near = [row for row in sample_job.ledger(code) if row["stage"] == "minhash"]
    assert audit.precision.part == audit.precision.whole == audit.dropped == len(near)
    assert audit.pair_recall.part == audit.pair_recall.whole >= len(near)
    # What the ledger tells of a pair is its true similarity, to the last bit.
    assert audit.largest_difference == 0
    assert audit.not_found == 0
    report = (sample_job.out / code / "report.html").read_text()
    filled = with_section(report, render_audit(audit))
    assert filled is not None
    assert f"make audit LANG={code}" in report
    assert f"make audit LANG={code}" not in filled
