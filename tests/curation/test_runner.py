"""Tasks on Ray: retries, failures that name their record, and mistakes that are not tried again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.errors import UserError
from curation.ledger import ConservationError, check_conservation
from curation.runner import Runner, ShardError
from curation.stage import Result, Task, code_version, make_task


def write_number(payload: object, out: Path, scratch: Path) -> Result:
    (out / "number").write_text(str(payload))
    return Result({"n": int(str(payload))})


def fail_at_first(payload: object, out: Path, scratch: Path) -> Result:
    seen = Path(str(payload))
    (out / "half").write_text("half")
    if not seen.exists():
        seen.write_text("tried")
        raise OSError("the network is down")
    return Result({"n": 7})


def die_at_first(payload: object, out: Path, scratch: Path) -> Result:
    seen = Path(str(payload))
    if not seen.exists():
        seen.write_text("tried")
        os._exit(137)
    return Result({"n": 8})


def always_fail(payload: object, out: Path, scratch: Path) -> Result:
    with Path(str(payload)).open("a") as file:
        file.write("tried\n")
    raise ValueError("x.warc.gz, record 12 at offset 345, https://example.org: broken")


def mistake(payload: object, out: Path, scratch: Path) -> Result:
    with Path(str(payload)).open("a") as file:
        file.write("tried\n")
    raise UserError("name the text column")


def lose_a_record(payload: object, out: Path, scratch: Path) -> Result:
    check_conservation("rules", 10, {"kept": 6, "dropped": 3})
    return Result()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(workers=2, retries=2) as started:
        yield started


def task(function: object, payload: object, work: Path, name: str = "0") -> Task:
    assert callable(function)
    return make_task("test", name, function, payload, {"payload": str(payload)}, work)


def test_results_come_in_the_order_of_the_tasks(runner: Runner, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    tasks = [task(write_number, number, tmp_path, str(number)) for number in range(20)]
    manifests = runner.run("test", tasks, lambda stage, done, total, resumed: seen.append((done, total, resumed)))
    assert [manifest.counts["n"] for manifest in manifests] == list(range(20))
    assert seen[0] == (0, 20, 0)
    assert seen[-1] == (20, 20, 0)
    again = [task(write_number, number, tmp_path, str(number)) for number in range(25)]
    runner.run("test", again, lambda stage, done, total, resumed: seen.append((done, total, resumed)))
    assert seen[-1] == (25, 25, 20)


@pytest.mark.parametrize("function", [fail_at_first, die_at_first])
def test_a_failing_shard_is_tried_again(runner: Runner, tmp_path: Path, function: object) -> None:
    (manifest,) = runner.run("test", [task(function, tmp_path / "seen", tmp_path)])
    assert manifest.counts["n"] in (7, 8)
    assert (tmp_path / "seen").exists()


def test_a_shard_that_fails_on_every_attempt_names_record_and_cause(runner: Runner, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    with pytest.raises(ShardError, match=r"failed 3 times: ValueError: x\.warc\.gz, record 12 at offset 345"):
        runner.run("test", [task(always_fail, tries, tmp_path)])
    assert len(tries.read_text().splitlines()) == 3
    assert not list((tmp_path / "test").glob("*"))


def test_a_mistake_is_not_tried_again(runner: Runner, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    with pytest.raises(UserError, match="name the text column"):
        runner.run("test", [task(mistake, tries, tmp_path)])
    assert len(tries.read_text().splitlines()) == 1


def test_counts_that_do_not_balance_fail_the_job(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="10 records went in, but 6 kept \\+ 3 dropped came out"):
        runner.run("test", [task(lose_a_record, None, tmp_path)])


def test_conservation_accepts_what_adds_up() -> None:
    check_conservation("x", 9, {"kept": 6, "dropped": 3})
    with pytest.raises(ConservationError):
        check_conservation("x", 8, {"kept": 6, "dropped": 3})


def test_identity_changes_with_settings_inputs_and_code(tmp_path: Path) -> None:
    one = make_task("s", "0", write_number, 1, {"threshold": 1}, tmp_path)
    assert one.identity == make_task("s", "0", write_number, 1, {"threshold": 1}, tmp_path / "elsewhere").identity
    assert one.identity != make_task("s", "0", write_number, 1, {"threshold": 2}, tmp_path).identity
    assert one.identity != make_task("t", "0", write_number, 1, {"threshold": 1}, tmp_path).identity
    assert code_version("curation.crawl") != code_version("curation.decide")


def test_code_version_follows_what_a_module_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change anywhere below a stage changes its version; a change elsewhere does not."""
    import curation.stage as stage

    sources = {"curation.crawl": "import filters.metrics", "filters.metrics": "x = 1", "curation.report": "y = 1"}

    class Spec:
        def __init__(self, name: str) -> None:
            self.origin = str(tmp_path / name)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec(name) if name in sources else None)

    def version() -> str:
        for name, text in sources.items():
            (tmp_path / name).write_text(text)
        stage.code_version.cache_clear()
        return stage.code_version("curation.crawl")

    first = version()
    sources["curation.report"] = "y = 2"
    assert version() == first
    sources["filters.metrics"] = "x = 2"
    assert version() != first
    stage.code_version.cache_clear()
