"""A new crawl against a corpus that stands already."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.jobs.conftest import Finished, Job, read_rows

RULES_OFF: dict[str, dict[str, None]] = {"stages": {"rules": None, "url": None, "glance": None, "substring": None}}


@pytest.fixture(scope="module")
def crawl() -> list[dict[str, str]]:
    """Texts of Greek law, as it were: 60 of them, each of 120 words of its own."""
    words = ["το", "τα", "της", "των", "και", "που", "για", "από", "με", "στην", "νόμος", "πολίτης", "χώρα", "δικαίωμα"]
    words += ["ελευθερία", "άνθρωπος", "εργασία"]
    return [
        {"text": " ".join(f"{words[(n * 7 + k * k) % 17]}{n * k % 91}" for k in range(120)), "url": f"http://a.gr/{n}"}
        for n in range(60)
    ]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def changed(row: dict[str, str]) -> dict[str, str]:
    """The same text with one word changed."""
    words = row["text"].split()
    words[60] = "αλλαγμένο"
    return {"text": " ".join(words), "url": row["url"] + "/again"}


def config(path: Path, **extra: object) -> Path:
    data: dict[str, object] = {**RULES_OFF, **extra}
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture(scope="module")
def base(run_job: Job, crawl: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("base")
    source = write(folder / "old.jsonl", crawl[:40])
    done = run_job("el", source, folder / "out", "--config", str(config(folder / "c.yaml")), "--workers", "1")
    assert done.code == 0, done.stderr
    assert len(done.documents("el")) == 40
    return done


def test_only_what_is_new_is_kept(run_job: Job, base: Finished, crawl: list[dict[str, str]], tmp_path: Path) -> None:
    new = [crawl[3], changed(crawl[5]), crawl[45], crawl[50], changed(crawl[50])]
    source = write(tmp_path / "new.jsonl", new)
    options = ("--config", str(config(tmp_path / "c.yaml")), "--workers", "1", "--against", str(base.out))
    done = run_job("el", source, tmp_path / "out", *options)
    assert done.code == 0, done.stderr
    ids = {str(row["url"]): str(row["id"]) for row in base.documents("el")}
    rows = {str(row["url"]): row for row in done.ledger("el")}
    exact, near = rows["http://a.gr/3"], rows["http://a.gr/5/again"]
    assert (exact["stage"], exact["duplicate_of"], exact["similarity"]) == ("exact", ids["http://a.gr/3"], 1.0)
    assert (near["stage"], near["duplicate_of"]) == ("minhash", ids["http://a.gr/5"])
    assert {row["url"] for row in done.documents("el")} in (
        {"http://a.gr/45", "http://a.gr/50"},
        {"http://a.gr/45", "http://a.gr/50/again"},
    )
    assert len(rows) == len(new)
    # Nothing of the corpus that stands was signed anew: its texts were read for the candidate alone.
    assert "http://a.gr/5/again" in (done.out / "el" / "report.html").read_text()


def test_a_crawl_in_two_halves_gives_what_the_whole_gives(
    run_job: Job, base: Finished, crawl: list[dict[str, str]], tmp_path: Path
) -> None:
    """Where the older half has the better documents, too."""
    newer = [*crawl[40:], *(changed(row) for row in crawl[:10])]
    settings = config(tmp_path / "c.yaml")
    second = run_job("el", write(tmp_path / "new.jsonl", newer), tmp_path / "half", "--config", str(settings),
                     "--against", str(base.out))  # fmt: skip
    assert second.code == 0, second.stderr
    whole = run_job("el", write(tmp_path / "all.jsonl", [*crawl[:40], *newer]), tmp_path / "whole", "--config",
                    str(settings))  # fmt: skip
    assert whole.code == 0, whole.stderr
    halves = len(base.documents("el")) + len(second.documents("el"))
    assert halves == len(whole.documents("el")) == 60


def test_substrings_of_the_corpus_are_cut_from_the_new_crawl(
    run_job: Job, base: Finished, crawl: list[dict[str, str]], tmp_path: Path
) -> None:
    quoted = {"text": f"{crawl[45]['text']}\n{crawl[2]['text']}\n{crawl[46]['text']}", "url": "http://b.gr/quote"}
    stages: dict[str, object] = {**RULES_OFF["stages"], "substring": {}}
    options = ("--config", str(config(tmp_path / "c.yaml", stages=stages)), "--against", str(base.out))
    done = run_job("el", write(tmp_path / "new.jsonl", [quoted]), tmp_path / "out", *options)
    assert done.code == 0, done.stderr
    (document,) = done.documents("el")
    assert document["text"] == f"{crawl[45]['text']}\n{crawl[46]['text']}"
    (span,) = read_rows(done.out / "el" / "spans")
    assert crawl[2]["text"].startswith(str(span["text"]))
    assert span["duplicate_of"] in {row["id"] for row in base.documents("el") if row["url"] == "http://a.gr/2"}


def test_an_index_is_made_when_it_is_asked_for_later(run_job: Job, crawl: list[dict[str, str]], tmp_path: Path) -> None:
    """Results of a job without one are at hand, and must not be taken for those of a job with one."""
    source = write(tmp_path / "old.jsonl", crawl[:5])
    without = config(tmp_path / "without.yaml", index=False)
    assert run_job("el", source, tmp_path / "out", "--config", str(without)).code == 0
    again = run_job("el", source, tmp_path / "new", "--config", str(without), "--against", str(tmp_path / "out"))
    assert again.code == 2
    assert "has no index" in again.stderr
    for seed in (1, 2):
        stages = {**RULES_OFF["stages"], "minhash": {"seed": seed}}
        with_index = config(tmp_path / f"{seed}.yaml", stages=stages)
        assert run_job("el", source, tmp_path / "out", "--config", str(with_index)).code == 0
        near = write(tmp_path / "near.jsonl", [changed(row) for row in crawl[:5]])
        options = ("--config", str(with_index), "--against", str(tmp_path / "out"))
        done = run_job("el", near, tmp_path / f"new-{seed}", *options)
        assert done.code == 0, done.stderr
        assert done.documents("el") == []


def test_crawls_of_files_of_one_name_have_documents_of_different_names(
    run_job: Job, base: Finished, crawl: list[dict[str, str]], tmp_path: Path
) -> None:
    settings = ("--config", str(config(tmp_path / "c.yaml")))
    done = run_job("el", write(tmp_path / "old.jsonl", crawl[40:]), tmp_path / "out", *settings)
    assert done.code == 0, done.stderr
    assert not {row["id"] for row in done.documents("el")} & {row["id"] for row in base.documents("el")}


def test_what_cannot_be_compared_with_is_named(run_job: Job, base: Finished, sample: Path, tmp_path: Path) -> None:
    def message(*options: str) -> str:
        done = run_job("el", sample, tmp_path / "out", *options)
        assert done.code == 2, done.stderr
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert "holds no corpus of el" in message("--against", str(tmp_path / "nothing"))
    other = config(tmp_path / "other.yaml", stages={"minhash": {"bands": 10}})
    assert "minhash.bands: 14, this job has 10" in message("--config", str(other), "--against", str(base.out))
    unfinished = shutil.copytree(base.out / "el", tmp_path / "unfinished" / "el").parent
    (unfinished / "el" / "summary.json").unlink()
    assert "not a finished corpus" in message("--against", str(unfinished))
    assert "cannot be replaced" in message("--against", str(tmp_path / "unfinished" / ".." / "out"))
