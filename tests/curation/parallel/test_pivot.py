"""Pairs of two corpora that share a text: against a join by dictionary, and as an input of the parallel job."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from configs.errors import UserError
from curation import published as published_room
from curation.ledger import ConservationError
from curation.parallel import cli_pivot, pivot_join, pivot_match
from curation.parallel import pivot as pivot_room
from curation.parallel.cli_pivot import pivot_command
from curation.parallel.pairs import Pair
from curation.parallel.pivot import (
    PivotConfig,
    PivotJob,
    pivot_work_folder,
    publish_candidates,
)
from curation.parallel.pivot_corpora import open_pivot
from curation.parallel.pivot_join import CANDIDATES
from curation.parallel.schema import PAIRS
from curation.runner import Progress
from curation.stage import Task, run_task
from curation.store import Manifest
from tests.curation.parallel.made import read_all, texts

Row = dict[str, object]


@dataclass(frozen=True)
class Made:
    """A pair of a made corpus; `pivot` is its text in the shared language."""

    pivot: str
    text: str
    id: str
    rules: float | None = 0.5
    cosine: float | None = None
    origin: str | None = None

    def score(self, name: object) -> float | None:
        score = self.cosine if name == "laser_cosine" else self.rules
        return score if score is not None and math.isfinite(score) else None


def write_corpus(folder: Path, name: str, pairs: Sequence[Made], pivot: str = "en", per_file: int = 8) -> Path:
    """Write what `make parallel` leaves: `name` is `de-en` or `en-de`, the pivot on its own side."""
    src, tgt = name.split("-")
    path = folder / name
    shutil.rmtree(path, ignore_errors=True)
    (path / "pairs").mkdir(parents=True)
    for number in range(max(1, -(-len(pairs) // per_file))):
        own = pairs[number * per_file : (number + 1) * per_file]
        rows = [row(src, tgt, pair, pivot, number * per_file + place) for place, pair in enumerate(own)]
        pq.write_table(pa.Table.from_pylist(rows, schema=PAIRS), path / "pairs" / f"00000-{number:05d}.parquet")
    write_summary(path, src, tgt)
    return path


def write_summary(path: Path, src: str, tgt: str) -> None:
    (path / "summary.json").write_text(json.dumps({"pair": f"{src}-{tgt}", "src_lang": src, "tgt_lang": tgt}))


def row(src: str, tgt: str, pair: Made, pivot: str, sequence: int) -> Row:
    own, other = ("tgt", "src") if src == pivot else ("src", "tgt")
    return {
        "id": pair.id, "src_lang": src, "tgt_lang": tgt, f"{own}_text": pair.text, f"{other}_text": pair.pivot,
        "source": f"{own}.{src}-{tgt}", "sequence": sequence, f"{own}_origin": pair.origin,
        f"{other}_origin": "of the pivot", "cluster_size": 1,
        "scores": {"rules": pair.rules, "laser_cosine": pair.cosine, "laser_margin": None},
    }  # fmt: skip


def run_here(phase: str, tasks: list[Task]) -> list[Manifest]:
    return [run_task(task) for task in tasks]


Run = Callable[[str, list[Task]], list[Manifest]]


def join(
    folders: Sequence[Path], out: Path, pair: str = "de-fr", config: PivotConfig | None = None, run: Run = run_here
) -> Row:
    """Run a job in this process and return its summary."""
    config = config or PivotConfig()
    src, tgt = pair.split("-")
    pivot = open_pivot(",".join(map(str, folders)), src, tgt)
    found = PivotJob(pivot, pivot_work_folder(out, pivot), config, run).find()
    return publish_candidates(found, out, config)


def published(out: Path, pair: str = "de-fr") -> Path:
    return out / "parallel" / "candidates" / pair


def candidates(out: Path, pair: str = "de-fr") -> list[Row]:
    tables = [pq.read_table(path) for path in sorted((published(out, pair) / "pairs").glob("*.parquet"))]
    assert all(table.schema == CANDIDATES for table in tables)
    rows: list[Row] = pa.concat_tables(tables).to_pylist()
    return rows


def file_bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (published(out) / "pairs").iterdir()}


def expected(src: Sequence[Made], tgt: Sequence[Made]) -> list[tuple[str, str, str]]:
    """Return shared text, source and target of every candidate: a join by dictionary."""
    sides = [defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)]
    for by_pivot, pairs in zip(sides, (src, tgt), strict=True):
        for pair in pairs:
            by_pivot[pair.pivot].add(pair.text)
    return sorted(
        (pivot, own, other) for pivot, owns in sides[0].items() for own in owns for other in sides[1].get(pivot, ())
    )


few_texts = st.sampled_from(
    ["OK.", "ok.", "OK. ", " ", "Yes", "No", "é", "e\u0301", "中", "a\nb", "a\0b", "\U0001f600"]
)
scores = st.sampled_from([None, 0.0, 0.25, 0.5, 1.0, math.inf, math.nan])


@st.composite
def corpora(draw: st.DrawFn, max_size: int = 14) -> list[Made]:
    drawn = draw(st.lists(st.tuples(few_texts, few_texts, scores, scores), max_size=max_size))
    return [Made(*own[:2], f"{number:03d}", *own[2:], origin=own[1]) for number, own in enumerate(drawn)]


@pytest.fixture
def few_rows_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pivot_room, "_FILE_CANDIDATES", 5)
    monkeypatch.setattr(pivot_join, "_GROUP_ROWS", 2)


ANY_NUMBER = PivotConfig(max_partners=1000)


@pytest.mark.usefixtures("few_rows_a_file")
@settings(max_examples=30)
@given(src=corpora(), tgt=corpora(), partitions=st.integers(1, 4), turned=st.booleans())
def test_the_join_finds_what_a_dictionary_finds(
    tmp_path_factory: pytest.TempPathFactory, src: list[Made], tgt: list[Made], partitions: int, turned: bool
) -> None:
    folder = tmp_path_factory.mktemp("join")
    # The shared language on either side of either corpus; the corpora in either order.
    folders = [
        write_corpus(folder, "en-de" if turned else "de-en", src),
        write_corpus(folder, "en-fr", tgt, per_file=4),
    ]
    config = PivotConfig(max_partners=1000, partitions=partitions)
    summary = join(folders[::-1] if turned else folders, folder, config=config)
    rows = candidates(folder)
    assert sorted((row["pivot_text"], row["src_text"], row["tgt_text"]) for row in rows) == expected(src, tgt)
    assert summary["candidates"] == len(rows)
    assert (summary["left_out"], summary["not_equal"]) == (0, 0)
    by_id = [{pair.id: pair for pair in pairs} for pairs in (src, tgt)]
    for row in rows:
        own, other = by_id[0][str(row["src_pair"])], by_id[1][str(row["tgt_pair"])]
        assert (own.pivot, own.text, own.origin) == (row["pivot_text"], row["src_text"], row["src_origin"])
        assert (other.pivot, other.text, other.origin) == (row["pivot_text"], row["tgt_text"], row["tgt_origin"])
        assert (row["src_lang"], row["tgt_lang"], row["pivot_lang"]) == ("de", "fr", "en")
        both = [pair.score(summary["score"]) for pair in (own, other)]
        assert row["score"] == (None if None in both else min(score for score in both if score is not None))
    assert len({row["id"] for row in rows}) == len(rows)


@given(src=corpora(30), tgt=corpora(30), most=st.integers(1, 3))
@settings(max_examples=30)
def test_the_best_partners_are_taken(
    tmp_path_factory: pytest.TempPathFactory, src: list[Made], tgt: list[Made], most: int
) -> None:
    """Whatever was left out of a text's partners has no better score than what was taken, and is counted."""
    folder = tmp_path_factory.mktemp("best")
    folders = [write_corpus(folder, "de-en", src), write_corpus(folder, "en-fr", tgt)]
    summary = join(folders, folder, config=PivotConfig(max_partners=most))
    rows = candidates(folder)
    everything = expected(src, tgt)
    ranked_by = summary["score"]
    assert ranked_by == ("rules" if any(pair.cosine is None for pair in [*src, *tgt]) else "laser_cosine")
    for text in {pivot for pivot, _, _ in everything}:
        taken = [row for row in rows if row["pivot_text"] == text]
        sizes = []
        for side, pairs in (("src", src), ("tgt", tgt)):
            scored = defaultdict[str, float](lambda: -1.0)
            for pair in (own for own in pairs if own.pivot == text):
                score = pair.score(ranked_by)
                scored[pair.text] = max(scored[pair.text], -1.0 if score is None else score)
            chosen = {str(row[f"{side}_text"]) for row in taken}
            sizes.append(min(most, len(scored)))
            assert len(chosen) == sizes[-1]
            worst = min(scored[own] for own in chosen)
            assert all(scored[own] <= worst for own in scored.keys() - chosen)
        assert len(taken) == sizes[0] * sizes[1]
    assert summary["left_out"] == len(everything) - len(rows)


def test_too_many_partners_are_counted(tmp_path: Path) -> None:
    src = [Made("OK.", f"d{k}", f"s{k}", rules=k / 10) for k in range(6)] + [Made("OK.", "d5", "again", rules=0.1)]
    tgt = [Made("OK.", f"f{k}", f"t{k}", rules=0.45) for k in range(3)] + [Made("No", "non", "t9")]
    summary = join([write_corpus(tmp_path, "de-en", src), write_corpus(tmp_path, "en-fr", tgt)], tmp_path)
    rows = candidates(tmp_path)
    assert {row["src_pair"] for row in rows} == {"s2", "s3", "s4", "s5"}
    assert {(row["src_pair"], row["score"]) for row in rows if row["tgt_pair"] == "t0"} == {
        ("s2", 0.2), ("s3", 0.3), ("s4", 0.4), ("s5", 0.45),
    }  # fmt: skip
    assert (summary["shared"], summary["candidates"], summary["left_out"]) == (1, 12, 6)
    sides = summary["from"]
    assert isinstance(sides, list)
    counted = ("pairs", "texts", "matched", "repeated", "over_max")
    assert [[own[name] for name in counted] for own in sides] == [[7, 1, 7, 1, 2], [4, 2, 3, 0, 0]]


def test_equal_hashes_are_no_equal_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weak: Callable[[bytes], bytes] = lambda text: bytes(15) + bytes([len(text) % 2])  # noqa: E731
    monkeypatch.setattr(pivot_match, "pivot_hash", weak)
    src = [Made(f"{'x' * (k % 5)}{k}", f"d{k % 3}", f"s{k}") for k in range(20)]
    tgt = [Made(f"{'x' * (k % 5)}{k}", f"f{k % 4}", f"t{k}") for k in range(5, 30)]
    folders = [write_corpus(tmp_path, "de-en", src), write_corpus(tmp_path, "en-fr", tgt)]
    summary = join(folders, tmp_path, config=ANY_NUMBER)
    found = sorted((row["pivot_text"], row["src_text"], row["tgt_text"]) for row in candidates(tmp_path))
    assert found == expected(src, tgt)
    assert len(found) == 15
    assert int(str(summary["not_equal"])) > 100


# Several partners a text, some of them twice, most of them with equal scores.
MANY = (
    [Made(f"text {k % 20}", f"de {k % 30}", f"s{k}", rules=k % 2) for k in range(90)],
    [Made(f"text {k % 25}", f"fr {k % 75}", f"t{k}", rules=k % 3 / 3) for k in range(100)],
)


@pytest.mark.usefixtures("few_rows_a_file")
def test_the_bytes_depend_on_the_pairs_alone(tmp_path: Path) -> None:
    """Neither partitions, nor the order of tasks, nor the order of pairs and their files is to be seen in them."""

    def backwards(phase: str, tasks: list[Task]) -> list[Manifest]:
        done = {task.name: run_task(task) for task in reversed(tasks)}
        return [done[task.name] for task in tasks]

    made = []
    for number, (partitions, per_file, run, turn) in enumerate(
        ((1, 100, run_here, 1), (3, 7, backwards, 1), (8, 30, run_here, -1))
    ):
        out = tmp_path / str(number)
        folders = [write_corpus(out, "de-en", MANY[0][::turn], per_file=per_file), write_corpus(out, "en-fr", MANY[1])]
        join(folders, out, config=PivotConfig(partitions=partitions, max_partners=2), run=run)
        made.append(file_bytes(out))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 10
    hashes = [pivot_match.pivot_hash(str(row["pivot_text"]).encode()) for row in candidates(tmp_path / "0")]
    assert hashes == sorted(hashes)


def test_a_job_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folders = [write_corpus(tmp_path, "de-en", MANY[0]), write_corpus(tmp_path, "en-fr", MANY[1])]
    whole = tmp_path / "whole"
    join(folders, whole)
    run: list[str] = []

    def until(last: str) -> Run:
        def run_some(phase: str, tasks: list[Task]) -> list[Manifest]:
            waiting = [task for task in tasks if task.finished() is None]
            for task in waiting[: len(waiting) // 2 if phase == last else None]:
                run.append(f"{phase} {task.name}")
                run_task(task)
            if phase == last:
                raise KeyboardInterrupt
            return [task.finished() or pytest.fail(task.name) for task in tasks]

        return run_some

    out = tmp_path / "out"
    for last in ("pivot_keys", "pivot_match", "pivot_texts", "pivot_join"):
        with pytest.raises(KeyboardInterrupt):
            join(folders, out, run=until(last))
        assert not published(out).exists()
    join(folders, out, run=until("none"))
    assert len(run) == len(set(run))
    assert file_bytes(out) == file_bytes(whole)
    # A finished job runs nothing again; other settings start from what does not depend on them.
    run.clear()
    join(folders, out, run=until("none"))
    assert run == []
    join(folders, out, config=PivotConfig(max_partners=1), run=until("none"))
    assert {name.split()[0] for name in run} == {"pivot_match", "pivot_texts", "pivot_join"}


def test_there_is_no_summary_beside_old_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_corpus(tmp_path, "de-en", MANY[0]), write_corpus(tmp_path, "en-fr", MANY[1])]
    join(folders, tmp_path)
    assert (published(tmp_path) / "summary.json").exists()

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(published_room, "link_or_copy", full)
    with pytest.raises(OSError, match="No space"):
        join(folders, tmp_path, config=PivotConfig(max_partners=1))
    assert [path.name for path in published(tmp_path).iterdir()] == ["pairs"]


def test_candidates_that_get_lost_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_corpus(tmp_path, "de-en", MANY[0]), write_corpus(tmp_path, "en-fr", MANY[1])]

    def changing(phase: str, tasks: list[Task]) -> list[Manifest]:
        if phase == "pivot_texts":
            write_corpus(tmp_path, "de-en", [Made(f"new {k}", "x", f"n{k}") for k in range(90)])
        return run_here(phase, tasks)

    with pytest.raises(ConservationError, match="the join"):
        join(folders, tmp_path, config=PivotConfig(max_partners=1), run=changing)
    assert not published(tmp_path).exists()


NEWS = [
    Made("The weather is fine today.", "Das Wetter ist heute schön.", "d1", 0.9, 0.8, "http://de/1"),
    Made("Where is the station?", "Wo ist der Bahnhof?", "d2", 0.8, 0.9, "http://de/2"),
    Made("Only here.", "Nur hier.", "d3", 0.7, 0.7, "http://de/3"),
]
NOUVELLES = [
    Made("Where is the station?", "Où est la gare ?", "f1", 0.6, 0.7, "http://fr/1"),
    Made("The weather is fine today.", "Il fait beau aujourd’hui.", "f2", 0.5, 0.95, None),
]


@pytest.mark.parametrize("pair", ["de-fr", "fr-de"])
def test_candidates_are_an_input(tmp_path: Path, pair: str) -> None:
    folders = [write_corpus(tmp_path, "de-en", NEWS), write_corpus(tmp_path, "en-fr", NOUVELLES)]
    join(folders, tmp_path)
    units = read_all(published(tmp_path) / "pairs", pair)
    turn = 1 if pair == "de-fr" else -1
    made = {
        (own.text, other.text): (own.origin, other.origin, min(own.cosine or 0, other.cosine or 0))
        for own in NEWS for other in NOUVELLES if own.pivot == other.pivot
    }  # fmt: skip
    found = {
        (unit.src_text, unit.tgt_text)[::turn]: (*(unit.src_origin, unit.tgt_origin)[::turn], unit.score)
        for unit in units
        if isinstance(unit, Pair)
    }
    assert found == made
    assert len(units) == 2


def test_news_in_three_languages(data_folder: Path, tmp_path: Path) -> None:
    """English lines that people translated into German and French: the candidates are the lines side by side."""
    folder = data_folder / "ntrex" / "NTREX-128"
    names = ("newstest2019-src.eng.txt", "newstest2019-ref.deu.txt", "newstest2019-ref.fra.txt")
    rows = list(zip(*((folder / name).read_text("utf-8").split("\n") for name in names), strict=True))
    made = {(de, fr) for en, de, _ in rows for other, _, fr in rows if en == other}
    de = [Made(own[0], own[1], f"s{number}") for number, own in enumerate(rows)]
    fr = [Made(own[0], own[2], f"t{number}") for number, own in enumerate(rows[::-1])]
    folders = [write_corpus(tmp_path, name, own, per_file=300) for name, own in (("de-en", de), ("fr-en", fr))]
    join(folders, tmp_path)
    assert set(texts(read_all(published(tmp_path) / "pairs", "de-fr"))) == made
    assert len(made) >= 1000


def test_an_input_without_candidates(tmp_path: Path) -> None:
    folders = [write_corpus(tmp_path, "de-en", NEWS), write_corpus(tmp_path, "en-fr", [])]
    summary = join(folders, tmp_path)
    assert (summary["shared"], summary["candidates"]) == (0, 0)
    assert texts(read_all(published(tmp_path) / "pairs", "de-fr")) == []


def test_another_language_in_the_middle(tmp_path: Path) -> None:
    folders = [
        write_corpus(tmp_path, name, pairs, pivot="el") for name, pairs in (("de-el", NEWS), ("el-fr", NOUVELLES))
    ]
    assert join(folders, tmp_path)["pivot_lang"] == "el"
    assert {row["src_text"] for row in candidates(tmp_path)} == {NEWS[0].text, NEWS[1].text}


def refused(folders: Sequence[Path | str], message: str, pair: str = "de-fr") -> None:
    with pytest.raises(UserError, match=message) as error:
        join([Path(own) for own in folders], Path("/nonexistent"), pair)
    assert "\n" not in str(error.value)


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    de, fr = write_corpus(tmp_path, "de-en", NEWS), write_corpus(tmp_path, "en-fr", NOUVELLES)
    ru, el = write_corpus(tmp_path, "ru-zh", NEWS, "zh"), write_corpus(tmp_path, "en-de", NEWS)
    refused([de], "names 1 folders")
    refused([de, fr, ru], "names 3 folders")
    refused([de, ru], "de-en and ru-zh share no language")
    refused([de, el], "share the same two languages")
    refused([de, de], "share the same two languages")
    refused([de, fr], "share en and give de-fr, not de-el", "de-el")
    refused([de, fr], "share en and give de-fr, not de-en", "de-en")
    refused([de, tmp_path / "fr-en"], "no finished parallel corpus in .*fr-en")
    (fr / "summary.json").write_text('{"pair": "en-fr"')
    refused([de, fr], "no finished parallel corpus")
    (fr / "summary.json").write_text('{"language": "fr", "src_lang": 3, "tgt_lang": "klingon"}')
    refused([de, fr], "names no two languages")
    write_summary(fr, "fr", "fra")
    refused([de, fr], "names no two languages")
    write_summary(fr, "en", "it")
    refused([de, fr], r"pairs of other languages than its summary.json says \(en-it\)", "de-it")
    write_summary(fr, "en", "fr")
    (fr / "pairs" / "00000-00000.parquet").write_bytes(b"PAR1 no more")
    refused([de, fr], "cannot read .*00000-00000.parquet")
    shutil.rmtree(fr / "pairs")
    refused([de, fr], r"holds no pairs/\*.parquet")


def test_candidates_are_no_finished_corpus(tmp_path: Path) -> None:
    de, fr = write_corpus(tmp_path, "de-en", NEWS), write_corpus(tmp_path, "en-fr", NOUVELLES)
    join([de, fr], tmp_path)
    el = write_corpus(tmp_path, "fr-el", NOUVELLES, "fr")
    refused([published(tmp_path), el], "lacks the columns of finished pairs", "de-el")


@pytest.mark.parametrize("fault", ["cut", "not_utf8", "null"])
def test_a_damaged_file_is_named(tmp_path: Path, fault: str) -> None:
    de, fr = write_corpus(tmp_path, "de-en", NEWS), write_corpus(tmp_path, "en-fr", NOUVELLES)
    path = fr / "pairs" / "00000-00000.parquet"
    table = pq.read_table(path)
    if fault == "cut":
        data = bytearray(path.read_bytes())
        data[4:200] = bytes(196)
        path.write_bytes(data)
    else:
        place = table.schema.get_field_index("src_text")
        value = (
            pa.array([b"\xff"] * 2, pa.binary()).view(pa.string()) if fault == "not_utf8" else pa.nulls(2, pa.string())
        )
        pq.write_table(table.set_column(place, pa.field("src_text", pa.string()), value), path)
    refused([de, fr], "cannot read .*00000-00000.parquet: .*; run its `make parallel` again")


class RunnerHere:
    """Runs tasks in this process, in the place of the runner."""

    def __init__(self, workers: int | None, retries: int) -> None:
        assert (workers, retries) == (1, 2)

    def __enter__(self) -> RunnerHere:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, phase: str, tasks: list[Task], progress: Progress) -> list[Manifest]:
        progress(phase, 0, len(tasks), 0)
        manifests = run_here(phase, tasks)
        progress(phase, len(tasks), len(tasks), 0)
        return manifests


def command(folders: Sequence[Path], out: Path, *options: str) -> Result:
    app = typer.Typer()
    app.command("pivot")(pivot_command)
    arguments = ["--pair", "de-fr", "--from", ",".join(map(str, folders)), "--out", str(out), *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_pivot, "Runner", RunnerHere)
    monkeypatch.setenv("COLUMNS", "140")
    folders = [
        write_corpus(tmp_path / "parallel", "de-en", NEWS),
        write_corpus(tmp_path / "parallel", "en-fr", NOUVELLES),
    ]
    (tmp_path / "c.yaml").write_text("max_partners: 2\nkeep_work: false\n")
    result = command(folders, tmp_path, "--workers", "1", "--config", str(tmp_path / "c.yaml"))
    assert result.exit_code == 0
    assert "find shared texts: 1 shards done" in result.output
    assert "2 shared English texts give 2 candidates" in result.output
    assert f"make parallel PAIR=de-fr INPUT={published(tmp_path)}/pairs" in result.output
    assert len(read_all(published(tmp_path) / "pairs", "de-fr")) == 2
    summary = json.loads((published(tmp_path) / "summary.json").read_text())
    assert (summary["candidates"], summary["config"]["max_partners"]) == (2, 2)
    assert not list((tmp_path / ".work").glob("*/*/*"))
    (tmp_path / "c.yaml").write_text("max_partner: 2\n")
    with pytest.raises(UserError, match="did you mean 'max_partners'"):
        command(folders, tmp_path, "--config", str(tmp_path / "c.yaml"))


@pytest.mark.slow
def test_the_command_on_ray(tmp_path: Path) -> None:
    """As many workers as a user wants, the same bytes; what is finished is not run again."""
    folders = [write_corpus(tmp_path, "de-en", MANY[0]), write_corpus(tmp_path, "en-fr", MANY[1])]
    join(folders, tmp_path / "here")
    for _ in range(2):
        result = command(folders, tmp_path / "ray", "--workers", "2")
        assert result.exit_code == 0
        assert file_bytes(tmp_path / "ray") == file_bytes(tmp_path / "here")
    assert "write candidates: 1 shards done (1 finished before)" in result.output
