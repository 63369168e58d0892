"""The plan of a deduplication: memory is bounded by more partitions, and what cannot fit is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from curation.duplicates.config import DedupStages, ExactConfig
from curation.duplicates.plan import Load, check_plan, make_plan
from dedup.minhash import MinHashConfig

GIB = 1 << 30
CONFIG = DedupStages()


@given(st.integers(0, 10**9), st.integers(1, 64), st.integers(2 * GIB, 512 * GIB))
def test_more_documents_take_more_partitions_and_not_more_memory(documents: int, workers: int, memory: int) -> None:
    plan = make_plan(Load(documents, 0, documents * 500, documents * 3000), CONFIG, workers, memory)
    for step in plan.steps:
        assert step.partitions >= 1
        assert step.task_bytes <= 256 << 20
        assert step.task_bytes * step.partitions <= step.rows * 1000
    assert plan.needed_bytes <= (workers * 580 + 700) << 20
    most = ((memory - (700 << 20)) // workers - (260 << 20)) // 2
    if most >= 16 << 20:
        assert max(step.task_bytes for step in plan.steps) <= most


def test_a_small_job_fits_on_a_small_machine_whatever_its_workers() -> None:
    plan = make_plan(Load(3, 0, 900, 5000, parts=1), CONFIG, 64, 2 * GIB)
    check_plan(plan, 1 << 30, 0, "/out")
    nothing = DedupStages(exact=None, minhash=None, substring=None)
    check_plan(make_plan(Load(10**9, 0, 10**12, 10**13), nothing, 64, 1), 0, 0, "/out")


def test_time_grows_with_the_work_and_shrinks_with_the_workers() -> None:
    one = make_plan(Load(10**6, 0, 5 * 10**8, 3 * 10**9), CONFIG, 1).seconds
    assert 100 < one < 1000  # 10,000 documents of 500 words a second and core, passages at 30 MB/s
    assert make_plan(Load(10**7, 0, 5 * 10**9, 3 * 10**10), CONFIG, 1).seconds == pytest.approx(10 * one)
    assert make_plan(Load(10**6, 0, 5 * 10**8, 3 * 10**9), CONFIG, 4).seconds == pytest.approx(one / 4)


def test_partitions_that_are_configured_are_taken() -> None:
    config = CONFIG.model_copy(update={"exact": ExactConfig(partitions=7), "minhash": MinHashConfig(partitions=9)})
    plan = make_plan(Load(10), config, 1)
    assert (plan.partitions("exact"), plan.partitions("minhash")) == (7, 9)


def test_what_needs_more_memory_than_there_is_is_refused() -> None:
    load = Load(1_000_000, 0, 500_000_000, 3_000_000_000)
    plan = make_plan(load, CONFIG, 8, 2 * GIB)
    with pytest.raises(UserError, match=r"needs .* GiB of memory, 2\.0 GiB are available; .*WORKERS \(they are 8\)"):
        check_plan(plan, 10**15, 0, "/out")
    config = CONFIG.model_copy(update={"minhash": MinHashConfig(partitions=1)})
    crowded = make_plan(Load(10**9, 0, 1, 1), config, 1, 16 * GIB)
    with pytest.raises(UserError, match=r"minhash\.partitions is 1"):
        check_plan(crowded, 10**15, 0, "/out")


def test_what_needs_more_disk_than_there_is_is_refused() -> None:
    plan = make_plan(Load(10**6, 0, 5 * 10**8, 3 * 10**9), CONFIG, 1)
    with pytest.raises(UserError, match=r"writes up to .* GiB to /out, where 1\.0 GiB are free"):
        check_plan(plan, GIB, 0, "/out")
    check_plan(plan, GIB, plan.disk_bytes - GIB, "/out")  # an interrupted run has written the rest


def test_without_a_known_limit_nothing_is_refused() -> None:
    check_plan(make_plan(Load(10**9), CONFIG, 512), 10**15, 0, "/out")
