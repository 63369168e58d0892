"""The same bytes whatever happens: workers, kills of the driver and of workers, a cluster, other shard borders."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.jobs.conftest import ROOT, Finished, Job, command, environment, fingerprint

LANGUAGES = "el,de,tr"
# Where a job is killed: while its first shard is read, and when each of these phases has left its first results.
PHASES = ("scratch", "crawl", "measure", "decide", "identify", "sign", "edges", "survivors", "substring", "output")


@pytest.fixture(scope="module")
def reference(run_job: Job, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Fingerprint of an undisturbed job whose tasks ran one after the other in one process."""
    done = run_job(LANGUAGES, sample, tmp_path_factory.mktemp("reference"))
    assert done.code == 0, done.stderr
    return fingerprint(done.out)


@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_workers_change_no_byte(
    workers: str, run_process: Job, sample: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    done = run_process(LANGUAGES, sample, tmp_path / "out", "--workers", workers)
    assert done.code == 0, done.stderr
    assert fingerprint(done.out) == reference


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the driver alone, then wait until the processes that may still write are gone."""
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if is_worker(child)]
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, f"left behind: {alive}"


def is_worker(process: psutil.Process) -> bool:
    return "_run_remote" in worker_line(process) or "extract_child" in worker_line(process)


def worker_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def run_and_kill(sample: Path, out: Path, most_s: float, phase: str, delay_s: float = 0.0) -> bool:
    """Start a job and kill its driver; True when it was still running.

    It is killed some time after a phase has left its first results: how fast the machine is does not matter.
    """
    with subprocess.Popen(
        command(LANGUAGES, sample, out, "--workers", "2"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        end = time.monotonic() + most_s
        while process.poll() is None:
            if any(out.glob(f".work/*/{phase}/*")) or time.monotonic() > end:
                time.sleep(delay_s)
                kill_family(process)
                return True
            time.sleep(0.02)
    return False


def assert_nothing_half_written_looks_finished(out: Path) -> None:
    for folder in out.glob("*"):
        if (folder / "summary.json").exists():
            rows = json.loads((folder / "summary.json").read_text())["ledger_rows"]
            job = Finished(0, "", "", out)
            assert len(job.ledger(folder.name)) == rows


@pytest.mark.slow
def test_killing_the_driver_at_random_moments_changes_nothing(
    run_job: Job, sample: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    """Ten kills spread over the job's life, each in an output of its own, then a restart."""
    chance = random.Random(2026)
    killed = 0
    for number, phase in enumerate(PHASES):
        out = tmp_path / f"out-{number}"
        killed += run_and_kill(sample, out, 300, phase, chance.uniform(0, 0.5))
        assert_nothing_half_written_looks_finished(out)
        done = run_job(LANGUAGES, sample, out)
        assert done.code == 0, done.stderr
        assert fingerprint(done.out) == reference
    assert killed >= 8


@pytest.mark.parametrize("phase", ["sign"])
def test_killing_the_driver_once_and_resuming(
    phase: str, run_process: Job, sample: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    out = tmp_path / "out"
    assert run_and_kill(sample, out, 300, phase)
    done = run_process(LANGUAGES, sample, out, "--workers", "2")
    assert done.code == 0, done.stderr
    assert fingerprint(done.out) == reference


def test_killing_a_worker_costs_an_attempt_and_no_record(
    sample: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        command(LANGUAGES, sample, out, "--workers", "2"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        killed = 0
        while process.poll() is None and killed < 2:
            for child in psutil.Process(process.pid).children(recursive=True):
                if killed < 2 and "_run_remote" in worker_line(child):
                    child.kill()
                    killed += 1
            time.sleep(0.05)
        _, errors = process.communicate(timeout=300)
    assert killed == 2
    assert process.returncode == 0, errors
    assert fingerprint(out) == reference


@pytest.mark.slow
def test_two_node_cluster_gives_the_same_bytes(sample: Path, tmp_path: Path, reference: dict[str, str]) -> None:
    out = tmp_path / "out"
    script = f"""
import os, subprocess, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1, "object_store_memory": 100 << 20}})
cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
cluster.wait_for_nodes()
environment = {{**os.environ, "RAY_ADDRESS": cluster.address}}
code = subprocess.run({command(LANGUAGES, sample, out)!r}, env=environment).returncode
cluster.shutdown()
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert fingerprint(out) == reference


@pytest.fixture
def greek(greek_job: Finished, tmp_path: Path) -> Path:
    """The output of a finished job, to do with as a test likes."""
    out = tmp_path / "out"
    # Published files are stored results under another name, and stay so.
    subprocess.run(["cp", "-a", greek_job.out, out], check=True)
    return out


def test_a_finished_job_runs_nothing_again(run_process: Job, sample: Path, greek: Path) -> None:
    before = fingerprint(greek)
    start = time.monotonic()
    again = run_process("el", sample, greek)
    assert again.code == 0, again.stderr
    phases = again.stderr.count("shards done")
    assert phases > 15
    assert again.stderr.count("finished before") == phases
    assert time.monotonic() - start < 30
    assert fingerprint(greek) == before


def test_a_published_file_that_was_damaged_is_named(run_job: Job, sample: Path, greek: Path) -> None:
    """Published files are stored results under another name: what damages one damages both."""
    path = next((greek / "el" / "documents").glob("*.parquet"))
    path.write_bytes(b"no table")
    again = run_job("el", sample, greek)
    assert again.code == 2
    assert f"remove {greek / '.work'} and run" in again.stderr
    shutil.rmtree(greek / ".work")
    assert run_job("el", sample, greek).code == 0


def test_a_changed_threshold_runs_only_what_follows(run_job: Job, sample: Path, greek: Path, tmp_path: Path) -> None:
    config = tmp_path / "changed.yaml"
    config.write_text(yaml.safe_dump({"stages": {"rules": {"rules": {"words": {"min": 190}}}}}))
    done = run_job("el", sample, greek, "--config", str(config))
    assert done.code == 0, done.stderr
    assert "read, extract, identify: 3 shards done (3 finished before)" in done.stderr
    assert "measure: 3 shards done (3 finished before)" in done.stderr
    assert "apply the rules: 3 shards done\n" in done.stderr
    reasons = {(row["rule"], row["threshold"]) for row in done.ledger("el") if row["stage"] == "rules"}
    assert ("words.min", 190.0) in reasons


def test_another_list_of_words_measures_again_and_reads_nothing(run_job: Job, sample: Path, tmp_path: Path) -> None:
    out, config, words = tmp_path / "out", tmp_path / "words.yaml", tmp_path / "words.txt"
    config.write_text(yaml.safe_dump({"stages": {"measure": {"stop_words": {"el": str(words)}}}}))
    words.write_text("και\nτο\n")
    assert run_job("el", sample, out, "--config", str(config)).code == 0
    words.write_text("και\n")
    done = run_job("el", sample, out, "--config", str(config))
    assert done.code == 0, done.stderr
    assert "read, extract, identify: 3 shards done (3 finished before)" in done.stderr
    assert "measure: 3 shards done\n" in done.stderr
    assert "sign documents (MinHash): 3 shards done (3 finished before)" in done.stderr


@pytest.mark.slow
def test_a_new_input_file_runs_only_itself_in_the_crawl(run_job: Job, sample: Path, tmp_path: Path) -> None:
    files = sorted(sample.glob("*.warc.gz"))
    source = tmp_path / "in"
    source.mkdir()
    for file in files[1:]:
        os.link(file, source / file.name)
    assert run_job("el", source, tmp_path / "out").code == 0
    os.link(files[0], source / files[0].name)  # it comes before the others
    done = run_job("el", source, tmp_path / "out")
    assert "read, extract, identify: 3 shards done (2 finished before)" in done.stderr
    assert "measure: 3 shards done (2 finished before)" in done.stderr
    whole = run_job("el", sample, tmp_path / "whole")
    assert fingerprint(done.out) == fingerprint(whole.out)


def test_two_jobs_in_one_output_are_refused(run_job: Job, sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        command("el", sample, out), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        while not (out / ".lock").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        second = run_job("el", sample, out)
        assert first.poll() is None
        assert second.code == 2
        assert "another job" in second.stderr
        kill_family(first)
    assert not (out / "el" / "summary.json").exists()
