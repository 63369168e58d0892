"""An input file larger than a part is cut, and nothing of its records shows where."""

from __future__ import annotations

from pathlib import Path

import pytest

import curation.crawl
from configs.languages import load_languages
from curation.config import CorpusConfig
from curation.corpus import CorpusJob
from curation.inputs import find_inputs
from curation.publish import publish
from tests.jobs.conftest import Finished
from tests.jobs.in_process import InProcessRunner


def curate(sample: Path, out: Path) -> tuple[Finished, int]:
    languages, config = load_languages().parse("el,th"), CorpusConfig()
    job = CorpusJob(languages, find_inputs(str(sample)), out, config, InProcessRunner(1, 0)).run()
    publish(job, languages, out, config)
    return Finished(0, "", "", out), len(job.parts)


def test_small_parts_give_the_same_rows(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, few = curate(sample, tmp_path / "whole")
    monkeypatch.setattr(curation.crawl, "PART_RECORDS", 10)
    cut, many = curate(sample, tmp_path / "cut")
    assert few == 3
    assert many == 30
    for code in ("el", "th", "und"):
        assert cut.ledger(code) == whole.ledger(code)
        assert repr(cut.documents(code)) == repr(whole.documents(code))  # NaN is not equal to itself
    small, medium = whole.summary("el"), cut.summary("el")
    for name in ("stages", "reasons", "documents", "words", "characters"):
        assert small[name] == medium[name]
