"""Broken input never ends a job, never loses a record and never makes a partial file look finished."""

from __future__ import annotations

import contextlib
import os
import subprocess
import zlib
from collections import defaultdict
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT, Finished, Job
from tests.jobs.malformed import FILES, write_files

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def job(run_process: Job, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    source = tmp_path_factory.mktemp("malformed")
    write_files(source)
    config = source / "job.yaml"
    config.write_text("stages:\n  extract: {cpu_s: 2}\n  rules: null\n  minhash: null\n")
    done = run_process("el", source, tmp_path_factory.mktemp("out"), "--config", str(config))
    assert done.code == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def rows(job: Finished) -> Rows:
    found: Rows = defaultdict(list)
    for row in job.ledger("el"):
        found[str(row["warc_file"])].append(row)
    return found


def test_at_least_twenty_kinds_and_all_accounted(job: Finished, rows: Rows) -> None:
    assert len(FILES) >= 20
    inputs = job.summary("el")["inputs"]
    assert isinstance(inputs, list)
    assert {entry["name"] for entry in inputs} == set(FILES)
    assert set(rows) == set(FILES) - {"12-empty.warc.gz"}
    for own in rows.values():
        assert [row["sequence"] for row in own] == list(range(len(own)))
        for row in own:
            assert row["outcome"] == "kept" or row["rule"]
    assert not job.stderr.count("Traceback")


# file -> what became of its records, in order; `kept` also where a later stage may call it a duplicate
EXPECTED = {
    "01-truncated.warc.gz": ["kept", "failed:TruncatedRecord"],
    "02-bomb.warc.gz": ["dropped:record_bytes", "kept"],
    "03-content-bomb.warc": ["dropped:record_bytes", "kept"],
    "06-no-content-type.warc": ["kept", "kept"],
    "07-nul-bytes.warc": ["kept", "dropped:binary_body"],
    "08-page-of-200-mb.warc.gz": ["dropped:record_bytes", "kept"],
    "11-unknown-charset.warc": ["kept"],
    "13-garbage.warc": ["failed:UnreadableBytes"],
    "14-text-called-gzip.warc.gz": ["failed:UnreadableBytes"],
    "16-one-member.warc.gz": ["kept", "kept"],
    "18-bad-chunks.warc": ["failed:ContentDecodingError"],
    "19-bad-content-coding.warc": ["failed:ContentDecodingError", "kept"],
    "22-fake.parquet": ["failed:UnreadableBytes"],
    "24-huge-header.warc": ["failed:MalformedHttp", "kept"],
    "25-same-identifier.warc": ["kept", "kept"],
    "28-no-status-line.warc": ["failed:MalformedHttp"],
    "29-garbage-between.warc": ["kept", "failed:UnreadableBytes", "kept"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_outcomes(rows: Rows, name: str) -> None:
    found = [
        "kept" if row["outcome"] in ("kept", "duplicate") else f"{row['outcome']}:{row['rule']}" for row in rows[name]
    ]
    assert found == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(set(FILES) - {"10-regex-bait.warc"}))
def test_the_good_record_of_a_file_survives(rows: Rows, name: str) -> None:
    content = FILES[name]
    if name in ("02-bomb.warc.gz", "08-page-of-200-mb.warc.gz", "03-content-bomb.warc"):
        pytest.skip("its outcomes are asserted above; making it again takes long")
    plain = _plain(content())
    good = [n for n in range(100, 131) if f"{n:012d}".encode() in plain]
    for number in good:
        if name in ("01-truncated.warc.gz", "07-nul-bytes.warc", "25-same-identifier.warc"):
            continue  # there the second record is the broken one, or carries another number
        own = [row for row in rows[name] if str(row["record_id"]).endswith(f"{number:012d}>")]
        assert [row["outcome"] in ("kept", "duplicate") for row in own] == [True], (number, own)


def _plain(data: bytes) -> bytes:
    """What can be decompressed of a file, member by member."""
    out, position = b"", 0
    while (position := data.find(b"\x1f\x8b\x08", position)) >= 0:
        with contextlib.suppress(zlib.error):
            out += zlib.decompressobj(wbits=31).decompress(data[position:])
        position += 1
    return out + data


def test_hostile_pages_end_within_their_budget(rows: Rows) -> None:
    (bait,) = rows["10-regex-bait.warc"]
    assert bait["outcome"] in ("dropped", "failed")
    (nested, good) = rows["09-deep-nesting.warc"]
    assert nested["outcome"] in ("kept", "dropped", "failed", "duplicate")
    assert good["outcome"] in ("kept", "duplicate")


def test_lines_that_are_no_documents(rows: Rows) -> None:
    found = [f"{row['outcome']}:{row['rule']}" for row in rows["20-not-json.jsonl"]]
    assert found[:6] == [
        "failed:MalformedJson", "failed:MalformedJson", "failed:MalformedJson", "failed:MissingText",
        "failed:MissingText", "skipped:blank_line",
    ]  # fmt: skip
    assert len(found) == 7
    truncated = rows["21-truncated.jsonl.gz"]
    assert truncated[-1]["rule"] in ("UnreadableBytes", "MalformedJson")
    assert len(truncated) > 20


# --- the user's mistakes: one clear line, exit code 2, no traceback ---------------------------------------------------

MISTAKES = {
    "no such input": (("--input", "/nowhere/at/all.warc.gz"), "no input at"),
    "a folder without archives": (("--input", "{folder}"), "no input at"),
    "a folder of other files": (("--input", str(ROOT / "configs")), "none of the"),
    "unknown language": (("--lang", "xx"), "the known ones are: af, ar"),
    "empty language": (("--lang", ""), "language"),
    "unknown stage": (("--skip", "minhsh"), "rules, contamination, same_url, exact, minhash"),
    "a stage that has to be": (("--skip", "extract"), "cannot be left out"),
    "no such configuration": (("--config", "/nowhere.yaml"), "cannot read the configuration"),
    "unknown key": (("--config", "{config}"), "bands, giant_min_similarity, max_cluster, max_leaders"),
    "output below a file": (("--out", "/dev/null/out"), "cannot write to the output folder"),
    "output that cannot be made": (("--out", "/proc/out"), "cannot write to the output folder"),
    "a list for no language": (("--config", "{words}"), "stages.measure.stop_words: unknown language 'ell'"),
    "no such profiles": (("--profiles", "/nowhere"), "no folder of language profiles at /nowhere"),
    "no such model": (("--config", "{model}"), "no language identification model at /nowhere.bin"),
    "unknown protocol": (("--input", "nonsense://bucket/x.warc"), "cannot look up the input"),
    "no such cluster": (("--workers", "0"), "workers"),
}


def options_with(mistake: str, sample: Path, tmp_path: Path) -> dict[str, str]:
    """Return the options of a job, one of which is the mistake."""
    empty = tmp_path / "empty"
    empty.mkdir()
    config, model, words = (tmp_path / f"{name}.yaml" for name in "cmw")
    words.write_text("stages:\n  measure:\n    stop_words: {ell: words.txt}\n")
    config.write_text("stages:\n  minhash:\n    band: 3\n")
    model.write_text("stages:\n  langid:\n    model: /nowhere.bin\n")
    (name, value), _ = MISTAKES[mistake]
    chosen = value.format(folder=empty, config=config, model=model, words=words)
    return {"--lang": "el", "--input": str(sample), "--out": str(tmp_path / "out"), name: chosen}


def assert_one_clear_line(done: Finished, message: str) -> None:
    assert done.code == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(done.out.glob("*/summary.json"))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_with_one_clear_line(mistake: str, run_job: Job, sample: Path, tmp_path: Path) -> None:
    options = options_with(mistake, sample, tmp_path)
    lang, source, out = (options.pop(name) for name in ("--lang", "--input", "--out"))
    done = run_job(lang, source, Path(out), *(piece for option in options.items() for piece in option))
    assert_one_clear_line(done, MISTAKES[mistake][1])


def test_input_inside_output_is_refused(run_job: Job, sample: Path) -> None:
    done = run_job("el", sample, sample.parent)
    assert done.code == 2
    assert "inside the output folder" in done.stderr


def test_full_disk_is_named_and_the_job_resumes_on_a_larger_one(
    run_process: Job, run_job: Job, sample: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk]).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        full = run_process("el", sample, disk / "out")
        assert full.code == 2, full.stderr
        assert "no space left on the device" in full.stderr
        assert "Traceback" not in full.stderr
        assert not (disk / "out" / "el" / "summary.json").exists()
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        done = run_job("el", sample, disk / "out")
        assert done.code == 0, done.stderr
        assert len(done.ledger("el")) == done.summary("el")["records"]
    finally:
        subprocess.run(["umount", disk], check=False)
