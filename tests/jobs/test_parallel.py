"""The parallel job as users run it: nothing lost, the same bytes whatever happens, and mistakes told in one line."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from curation.normalize import NormalizeConfig, normalize
from curation.parallel.config import OPTIONAL_PAIR_STAGES, PAIR_STAGES
from curation.parallel.schema import PAIR_DOCUMENTS, PAIRS, PUBLISHED_PAIR_MEASURES
from curation.record_schema import LEDGER
from curation.records import OUTCOMES
from tests.curation.parallel.made import lines, tmx, write_moses
from tests.jobs.conftest import ROOT, environment, read_rows
from tests.jobs.parallel_runs import Row, Run, Texts, finish, ray_session, run_parallel, run_tell, translations
from tests.jobs.test_restarts import kill_family


@pytest.fixture(autouse=True, scope="module")
def one_ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ray_session(tmp_path_factory.mktemp("ray")):
        yield


def config_file(folder: Path, stages: Mapping[str, object], name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({"stages": dict(stages)}), encoding="utf-8")
    return path


def by_id(rows: list[Row]) -> dict[str, Row]:
    return {str(row["id"]): row for row in rows}


def number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


# --- what holds of every job ------------------------------------------------------------------------------------------


def assert_complete(job: Run) -> None:
    """Every unit has its row, and the tables agree with each other."""
    ledger, pairs, measures, summary = job.rows("ledger"), job.rows("pairs"), job.rows("measures"), job.summary()
    places = Counter((row["warc_file"], row["sequence"]) for row in ledger)
    assert set(places.values()) == {1}
    for name in {str(row["warc_file"]) for row in ledger}:
        own = sorted(number(row["sequence"]) for row in ledger if row["warc_file"] == name)
        assert own == list(range(len(own)))
    assert {row["language"] for row in ledger} == {job.pair}
    for row in ledger:
        assert row["outcome"] in OUTCOMES
        if row["outcome"] == "kept":
            assert row["stage"] is None
            continue
        assert row["stage"] in PAIR_STAGES
        assert row["rule"]
        if row["stage"] in ("rules", "laser"):
            assert row["value"] is not None
            assert row["threshold"] is not None
    kept = {str(row["document_id"]) for row in ledger if row["outcome"] == "kept"}
    assert kept == set(by_id(pairs))
    assert len(pairs) == len(kept)
    read = {str(row["document_id"]): row for row in ledger if row["document_id"] is not None}
    assert len(measures) == len(read)
    ends = [(row["id"], row["outcome"], row["stage"], row["rule"]) for row in measures]
    assert sorted(map(str, ends)) == sorted(
        str((own, row["outcome"], row["stage"], row["rule"])) for own, row in read.items()
    )
    assert_clusters(job)
    assert_summary(summary, ledger)


def assert_clusters(job: Run) -> None:
    """Duplicates name a pair that was still there, and the sizes are what following these names gives."""
    ledger, measures = job.rows("ledger"), by_id(job.rows("measures"))
    ends = {str(row["document_id"]): row for row in ledger if row["document_id"] is not None}
    sizes = Counter[str]()
    for own, row in ends.items():
        while row["outcome"] == "duplicate":
            own = str(row["duplicate_of"])
            stays = ends[own]
            if stays["outcome"] != "kept":
                assert PAIR_STAGES.index(str(stays["stage"])) > PAIR_STAGES.index(str(row["stage"]))
            assert row["similarity"] == 1
            row = stays
        sizes[own] += 1
    for own, row in measures.items():
        assert row["cluster_size"] == sizes.get(own, 1)
    for row in job.rows("pairs"):
        assert row["cluster_size"] == sizes[str(row["id"])]
    assert sum(sizes.values()) == len(measures)


def assert_summary(summary: Row, ledger: list[Row]) -> None:
    assert summary["records"] == summary["ledger_rows"] == len(ledger)
    assert summary["pairs"] == sum(row["outcome"] == "kept" for row in ledger)
    stages, inputs, listed = summary["stages"], summary["inputs"], summary["reasons"]
    assert isinstance(stages, list)
    assert isinstance(inputs, list)
    assert isinstance(listed, list)
    assert [row["stage"] for row in stages] == list(PAIR_STAGES)
    for before, after in pairwise(stages):
        assert before["out"] == after["in"]
    assert (stages[0]["in"], stages[-1]["out"]) == (summary["records"], summary["pairs"])
    reasons = Counter((row["stage"], row["outcome"], row["rule"]) for row in ledger if row["outcome"] != "kept")
    assert {(row["stage"], row["outcome"], row["rule"]): row["count"] for row in listed} == reasons
    read, kept = Counter[object](), Counter[object]()
    for row in ledger:
        read[row["warc_file"]] += 1
        kept[row["warc_file"]] += row["outcome"] == "kept"
    for entry in inputs:
        assert (entry["records"], entry["kept"]) == (read[entry["name"]], kept[entry["name"]])
    assert set(read) <= {entry["name"] for entry in inputs}


def assert_told(job: Run) -> None:
    """Every kept pair is told exactly once, and its spans give its texts back."""
    pairs, told = by_id(job.rows("pairs")), Counter[str]()
    documents = job.rows("documents")
    for document in documents:
        text, spans = str(document["text"]), document["pairs"]
        assert isinstance(spans, list)
        assert document["language"] == job.pair
        assert "{source" not in text
        assert "{target" not in text
        assert {span["id"] for span in spans}
        names = set()
        for span in spans:
            own = pairs[span["id"]]
            told[span["id"]] += 1
            assert text[span["src_start"] : span["src_end"]] == own["src_text"]
            assert text[span["tgt_start"] : span["tgt_end"]] == own["tgt_text"]
            assert (span["src_start"] < span["tgt_start"]) == (span["direction"] == "forward")
            names.add(own["source"])
        assert document["source"] == (names.pop() if len(names) == 1 else None)
    assert told == Counter(pairs.keys())
    assert len({document["id"] for document in documents}) == len(documents)
    facts = json.loads((job.folder / "documents.json").read_text(encoding="utf-8"))
    assert (facts["pairs"], facts["documents"]) == (len(pairs), len(documents))
    assert facts["characters"] == sum(len(str(document["text"])) for document in documents)


# --- downloads as they come -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Real:
    """A job on a download, and the lines of its two sides."""

    job: Run
    sides: tuple[list[str], list[str]]


@pytest.fixture(scope="module", params=[("en-ru", "en-ru"), ("zh-en", "en-zh_health")], ids=lambda own: own[1])
def real(request: pytest.FixtureRequest, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    pair, name = request.param
    path = data_folder / "opus" / f"{name}.txt.zip"
    if not path.is_file():
        pytest.skip(f"no download at {path}")
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if "MACOSX" not in member]
        src, tgt = (
            archive.read(next(own for own in members if own.endswith(f".{code}"))).decode().split("\n")[:-1]
            for code in pair.split("-")
        )
    return Real(finish(pair, path, tmp_path_factory.mktemp("real"), "--laser", "off"), (src, tgt))


def test_no_line_of_a_download_is_lost(real: Real) -> None:
    assert_complete(real.job)
    assert len(real.job.rows("ledger")) == len(real.sides[0]) == len(real.sides[1])
    blank = sum(not (src + tgt).strip() for src, tgt in zip(*real.sides, strict=True))
    assert len(real.job.rows("measures")) == len(real.sides[0]) - blank
    assert 0.2 < len(real.job.rows("pairs")) / len(real.sides[0]) < 0.99


def test_kept_texts_are_the_normalised_lines(real: Real) -> None:
    settings = NormalizeConfig()
    for row in real.job.rows("pairs"):
        place = int(number(row["sequence"]))
        for text, side in zip((row["src_text"], row["tgt_text"]), real.sides, strict=True):
            assert text == normalize(side[place], settings)
            assert str(text).split() == str(text).split("\n")[0].split() or "\u2028" in side[place]
        assert f"{row['src_lang']}-{row['tgt_lang']}" == real.job.pair
        assert row["src_origin"]


@pytest.mark.parametrize("render", [None, "default", "paragraphs", "x_alma"])
def test_every_kept_pair_is_told_once(real: Real, render: str | None) -> None:
    if render is not None:
        path = ROOT / "configs" / "parallel" / "render" / f"{render}.yaml"
        told = run_tell(real.job.pair, real.job.out, "--render", path)
        assert told.code == 0, told.stderr
    assert_told(real.job)
    styles = {span["style"] for row in real.job.rows("documents") for span in row["pairs"]}  # type: ignore[attr-defined]
    assert styles == {"concatenation"} if render == "x_alma" else len(styles) > 2


def test_tables_are_as_their_schemas_say(real: Real) -> None:
    schemas = {
        "pairs": PAIRS, "ledger": LEDGER, "measures": PUBLISHED_PAIR_MEASURES, "documents": PAIR_DOCUMENTS,
    }  # fmt: skip
    for kind, schema in schemas.items():
        files = list((real.job.folder / kind).glob("*.parquet"))
        assert files
        assert all(pq.read_schema(file).remove_metadata().equals(schema) for file in files)


# --- LASER, and the same bytes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Laser:
    """Files of a tiny encoder with random weights."""

    model: Path
    pieces: Path

    def stage(self, **settings: object) -> dict[str, object]:
        """Return the configuration of the stage; without `thresholds` it drops nothing."""
        files = {"model": str(self.model), "pieces": str(self.pieces)}
        return {"laser": {"files": files, "thresholds": {"min_cosine": None}, "pool_pairs": 50, **settings}}


@pytest.fixture(scope="module")
def laser(tmp_path_factory: pytest.TempPathFactory) -> Laser:
    from tests.filters.parallel import test_laser as tiny  # skips where there is no torch

    folder = tmp_path_factory.mktemp("laser")
    pieces = tiny.train_pieces([text for row in translations(0, 400) for text in row], folder / "tiny.spm", 300)
    params: dict[str, object] = {**tiny.PARAMS, "num_embeddings": 320, "num_layers": 1}
    dictionary = {pieces.id_to_piece(i): 4 + i for i in range(3, pieces.get_piece_size())}
    content = {"params": params, "model": tiny.random_state(params, seed=3), "dictionary": dictionary}
    tiny.torch.save(content, folder / "tiny.pt")
    return Laser(folder / "tiny.pt", folder / "tiny.spm")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of four formats with copies of each other's pairs; one has two parts."""
    folder = tmp_path_factory.mktemp("inputs")
    shouting = [(src.upper(), tgt) for src, tgt in translations(10, 5)]
    write_moses(folder, [*translations(0, 60), ("", ""), *translations(20, 10), *shouting], stem="a.de-en")
    (folder / "b.tmx").write_text(tmx(translations(40, 50)), encoding="utf-8")
    rows = [("leer", "")] * 19_970 + translations(80, 60)
    (folder / "c.de-en.tsv").write_bytes(lines("\t".join(row) for row in rows))
    first, second = translations(0, 30), translations(500, 30)
    other = [(first[k][0], second[k][1]) for k in range(15)] + [(second[k][0], first[k][1]) for k in range(15, 30)]
    texts = [json.dumps({"translation": {"de": src, "en": tgt}}) for src, tgt in other]
    (folder / "d.jsonl").write_bytes(lines(texts))
    return folder


@pytest.fixture(scope="module")
def scored(inputs: Path, laser: Laser, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A job in which LASER scores and drops nothing."""
    folder = tmp_path_factory.mktemp("scored")
    return finish("de-en", inputs, folder / "out", "--config", config_file(folder, laser.stage()))


@pytest.fixture(scope="module")
def threshold(scored: Run) -> float:
    """A cosine that some pairs lie below."""
    cosines = sorted(cosine_of(row) for row in scored.rows("measures") if row["score_laser_cosine"] is not None)
    return cosines[len(cosines) // 4]


@pytest.fixture(scope="module")
def settings(laser: Laser, threshold: float, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the jobs that are compared."""
    stages = laser.stage(thresholds={"min_cosine": threshold})
    return config_file(tmp_path_factory.mktemp("settings"), stages)


@pytest.fixture(scope="module")
def reference(inputs: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The job with one worker; the others have to write the same bytes."""
    out = tmp_path_factory.mktemp("reference")
    return finish("de-en", inputs, out, "--config", settings, "--workers", 1)


def cosine_of(row: Row) -> float:
    return number(row["score_laser_cosine"])


def test_every_stage_has_something_to_do(reference: Run) -> None:
    assert_complete(reference)
    assert_told(reference)
    ended = Counter(row["stage"] for row in reference.rows("ledger"))
    assert ended["ingest"] == 19_971
    for stage in ("pair", "laser", "source", "target"):
        assert ended[stage] > 0, ended
    assert ended[None] > 50
    assert len(list((reference.folder / "pairs").glob("*.parquet"))) == 5


@pytest.mark.parametrize("given", ["a list in another order", "globs"])
def test_neither_workers_nor_the_order_of_inputs_change_a_byte(
    given: str, inputs: Path, settings: Path, reference: Run, tmp_path: Path
) -> None:
    files = sorted(inputs.iterdir(), reverse=True)
    pattern = ",".join(map(str, files)) if given.startswith("a list") else f"{inputs}/[cd]*,{inputs}/*"
    done = finish("de-en", pattern, tmp_path, "--config", settings, "--workers", 2)
    assert done.fingerprint() == reference.fingerprint()


@pytest.mark.slow
def test_killing_the_driver_and_resuming_changes_no_byte(
    inputs: Path, settings: Path, reference: Run, tmp_path: Path
) -> None:
    arguments = [
        "parallel",
        "--pair",
        "de-en",
        "--input",
        inputs,
        "--out",
        tmp_path,
        "--config",
        settings,
        "--workers",
        1,
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "curation", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        end = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < end and not any(tmp_path.glob(".work/*/measure/*")):
            time.sleep(0.02)
        assert process.poll() is None, "it ended before it could be killed"
        kill_family(process)
    assert not (tmp_path / "parallel" / "de-en" / "summary.json").exists()
    untold = run_tell("de-en", tmp_path)
    assert (untold.code, untold.stderr.count("\n")) == (2, 1)
    done = finish("de-en", inputs, tmp_path, "--config", settings)
    assert "read pairs: 4 shards done (4 finished before)" in done.stderr
    assert done.fingerprint() == reference.fingerprint()


def test_lost_intermediate_results_are_made_again(reference: Run, inputs: Path, settings: Path, tmp_path: Path) -> None:
    out = tmp_path / "moved"
    shutil.copytree(reference.out, out)
    folders = sorted(out.glob(".work/*/*/*"))
    for folder in random.Random(7).sample(folders, len(folders) // 2):
        shutil.rmtree(folder)
    for folder in sorted(out.glob(".work/*/measure/*"))[:1]:
        (folder / "manifest.json").write_text('{"identity": "half')
    done = finish("de-en", inputs, out, "--config", settings)
    assert done.fingerprint() == reference.fingerprint()


def test_a_finished_job_runs_nothing_again(reference: Run, inputs: Path, settings: Path) -> None:
    before = reference.fingerprint()
    again = finish("de-en", inputs, reference.out, "--config", settings)
    phases = again.stderr.count("shards done")
    assert phases > 12
    assert again.stderr.count("finished before") == phases
    assert "finished before" in run_tell("de-en", reference.out).stderr
    assert again.fingerprint() == before


def test_scores_are_published_for_every_pair_that_came_so_far(scored: Run) -> None:
    assert_complete(scored)
    measures = by_id(scored.rows("measures"))
    for row in scored.rows("ledger"):
        own = measures.get(str(row["document_id"]))
        if own is not None:
            came = row["stage"] in (None, "laser", "source", "target")
            assert (own["score_laser_cosine"] is not None) == came
            assert (own["score_laser_margin"] is not None) == came
    for row in scored.rows("pairs"):
        own, scores = measures[str(row["id"])], row["scores"]
        assert isinstance(scores, dict)
        assert scores == {name: own[f"score_{name}"] for name in ("rules", "laser_cosine", "laser_margin")}
        assert -1 <= scores["laser_cosine"] <= 1
        assert scores["laser_margin"] > 0
    assert "laser" not in {row["stage"] for row in scored.rows("ledger")}


def test_a_changed_threshold_encodes_nothing_anew(
    scored: Run, reference: Run, inputs: Path, settings: Path, threshold: float, tmp_path: Path
) -> None:
    def results() -> dict[str, tuple[int, int]]:
        found = (path for phase in ("read", "measure", "decide", "score") for path in (job.work / phase).glob("*/*"))
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}

    job = Run(0, "", "", tmp_path / "out", "de-en")
    shutil.copytree(scored.out, job.out)
    before = results()
    assert run_parallel("de-en", inputs, job.out, "--config", settings).code == 0
    assert results() == before
    assert not (job.folder / "documents").exists()  # what was told of other pairs is gone with them
    assert run_tell("de-en", job.out).code == 0
    assert job.fingerprint() == reference.fingerprint()
    cosines = {own: row["score_laser_cosine"] for own, row in by_id(scored.rows("measures")).items()}
    below = {own for own, cosine in cosines.items() if cosine is not None and number(cosine) < threshold}
    dropped = {str(row["document_id"]): row for row in job.rows("ledger") if row["stage"] == "laser"}
    assert set(dropped) == below
    for own, row in dropped.items():
        found = (row["outcome"], row["rule"], row["value"], row["threshold"])
        assert found == ("dropped", "score_laser_cosine.min", cosines[own], threshold)


def test_the_margin_has_a_threshold_of_its_own_and_pairs_have_exceptions(
    scored: Run, inputs: Path, laser: Laser, tmp_path: Path
) -> None:
    margins = {str(row["id"]): row["score_laser_margin"] for row in scored.rows("measures")}
    taken = sorted(number(own) for own in margins.values() if own is not None)
    bound = taken[len(taken) // 3]
    stage = laser.stage(thresholds={"min_cosine": 0.999}, by_pair={"en-de": {"min_cosine": None, "min_margin": bound}})
    shutil.copytree(scored.out, tmp_path / "out")
    done = finish("de-en", inputs, tmp_path / "out", "--config", config_file(tmp_path, stage))
    assert "score pairs (LASER): 5 shards done (5 finished before)" in done.stderr
    found = {
        (str(row["document_id"]), row["rule"], row["value"], row["threshold"])
        for row in done.rows("ledger")
        if row["stage"] == "laser"
    }
    below = {own for own, margin in margins.items() if margin is not None and number(margin) < bound}
    assert below
    assert found == {(own, "score_laser_margin.min", margins[own], bound) for own in below}
    facts = done.summary()["laser"]
    assert isinstance(facts, dict)
    assert (facts["min_cosine"], facts["min_margin"], facts["k"], facts["pool_pairs"]) == (None, bound, 4, 50)


def test_stored_embeddings_change_no_byte_and_are_not_made_twice(
    reference: Run, inputs: Path, laser: Laser, threshold: float, tmp_path: Path
) -> None:
    stage = laser.stage(thresholds={"min_cosine": threshold}, cache=True)
    out = tmp_path / "out"
    done = finish("de-en", inputs, out, "--config", config_file(tmp_path, stage))
    assert "embed pairs (LASER): 5 shards done\n" in done.stderr
    assert done.fingerprint() == reference.fingerprint()
    stage = laser.stage(thresholds={"min_cosine": threshold}, cache=True, neighbours=None)
    again = finish("de-en", inputs, out, "--config", config_file(tmp_path, stage))
    assert "embed pairs (LASER): 5 shards done (5 finished before)" in again.stderr
    assert "score pairs (LASER): 5 shards done\n" in again.stderr
    assert {row["score_laser_margin"] for row in again.rows("measures")} == {None}
    margins, cosines = set(), []
    for row in again.rows("pairs"):
        scores = row["scores"]
        assert isinstance(scores, dict)
        margins.add(scores["laser_margin"])
        cosines.append(scores["laser_cosine"])
    assert margins == {None}
    assert None not in cosines


def test_without_its_files_the_job_says_where_to_put_them(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUS_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for url in (None, "http://127.0.0.1:9/laser"):
        config = config_file(tmp_path, {"laser": {"files": {"url": url}}})
        done = run_parallel("de-en", inputs, tmp_path / "out", "--config", config)
        assert done.code == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        for wanted in ("laser2.pt", "laser2.spm", str(tmp_path / "cache" / "laser"), "LASER=off"):
            assert wanted in line
        assert done.stderr.count("\n") == (1 if url is None else 2)  # it says what it tries to fetch
        assert "Traceback" not in done.stderr
        assert not done.folder.exists()
    named = config_file(tmp_path, {"laser": {"files": {"model": "/nowhere/my.pt"}}})
    done = run_parallel("de-en", inputs, tmp_path / "out", "--config", named)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "/nowhere/my.pt" in done.stderr


# --- equal pairs ------------------------------------------------------------------------------------------------------


def equal_inputs(folder: Path) -> tuple[Texts, Texts]:
    """Return the lines of two files with every kind of equality; copies of unequal score stand in both orders."""
    good = translations(0, 12)
    first, second = list(good), translations(2000, 4)

    def add(where: Texts, *rows: tuple[str, str]) -> None:
        where.extend(rows)

    add(first, good[0])  # exact copies, in one file and in the other
    add(second, good[0])
    for k, where in ((1, second), (2, second)):  # case and white space
        src, tgt = good[k]
        add(where, (src.title() if k == 1 else src.replace(" ", " \u00a0\t"), tgt))
    for k in (3, 4):  # one source, several targets: numbers that nothing stands for
        add(second, (good[k][0], f"{good[k][1]} 1987 4711"), (good[k][0], f"In 1987 {good[k][1]}"))
    for k in (5, 6):  # one target, several sources
        add(second, (f"{good[k][0]} 1987 4711", good[k][1]))
    add(first, (f"{good[6][0]} Nummer 4711.", good[6][1]))
    add(first, (good[3][0], f"{good[3][1]} 1987 4711"))  # an equal pair before it is an equal source
    add(second, (good[7][0].replace("e", "E"), good[7][1]), (good[7][0], good[7][1].swapcase()))
    add(second, *((src, tgt[:2].swapcase() + tgt[2:]) for src, tgt in good[8:11]))  # other texts, of the same score
    return first, second


def key(text: object) -> str:
    return " ".join(str(text).casefold().split())


@pytest.mark.parametrize("keep", [1, 2])
def test_the_best_of_equal_pairs_stay_whatever_file_they_stand_in(keep: int, tmp_path: Path) -> None:
    sides = equal_inputs(tmp_path)
    stages: dict[str, object] = {name: {"keep": keep} for name in ("pair", "source", "target")}
    config = config_file(tmp_path, stages)
    kept = []
    for turn, files in enumerate((sides, (sides[1][::-1], sides[0][::-1]))):
        source = tmp_path / f"in-{turn}"
        source.mkdir()
        for stem, rows in zip(("a.de-en", "b.de-en"), files, strict=True):
            write_moses(source, rows, stem=stem)
        done = finish("de-en", source, tmp_path / f"out-{turn}", "--config", config, "--skip", "rules,laser")
        assert_complete(done)
        texts = {
            (row["warc_file"], row["sequence"]): files[str(row["warc_file"]).startswith("b")][
                int(number(row["sequence"]))
            ]
            for row in done.rows("ledger")
        }
        assert_best_stay(done, texts, keep)
        kept.append(sorted((str(row["src_text"]), str(row["tgt_text"])) for row in done.rows("pairs")))
    assert kept[0] == kept[1]
    if keep == 1:
        good = translations(0, 12)
        assert [own for own in kept[0] if "1987" in own[1] or "4711" in "".join(own)] == []
        assert {own for own in kept[0] if own[0].startswith(good[3][0])} == {good[3]}


def assert_best_stay(job: Run, texts: Mapping[tuple[object, object], tuple[str, str]], keep: int) -> None:
    """Compare every group of equal texts, stage after stage, with what the ledger says of it."""
    scores = {own: number(row["score_rules"]) for own, row in by_id(job.rows("measures")).items()}
    rows = {str(row["document_id"]): row for row in job.rows("ledger") if row["document_id"] is not None}
    there = set(rows)
    for stage in ("pair", "source", "target"):
        groups: defaultdict[object, set[str]] = defaultdict(set)
        for own in there:
            src, tgt = map(key, texts[rows[own]["warc_file"], rows[own]["sequence"]])
            groups[{"pair": (src, tgt), "source": src, "target": tgt}[stage]].add(own)
        ended = 0
        for group in groups.values():
            gone = {own for own in group if rows[own]["stage"] == stage}
            stay = group - gone
            assert len(stay) == min(keep, len(group))
            best = max(scores[own] for own in group)
            for own in gone:
                assert scores[own] <= min(scores[other] for other in stay) + 1e-9
                assert rows[own]["duplicate_of"] in stay
                assert scores[str(rows[own]["duplicate_of"])] == pytest.approx(best, abs=1e-9)
                assert rows[own]["rule"] == f"{stage}_duplicate"
            ended += len(gone)
            there -= gone
        assert ended == sum(row["stage"] == stage for row in rows.values())
        assert ended > 0 or keep > 1


# --- benchmarks -------------------------------------------------------------------------------------------------------


def test_pairs_of_a_benchmark_go_whichever_side_it_is_on(tmp_path: Path) -> None:
    rows = [translations(101 * k, 1)[0] for k in range(40)]
    write_moses(tmp_path, rows)
    bench = tmp_path / "bench.txt"
    german, english = {3, 8}, {5, 21}
    other = "Something else that stands in no corpus, as far as anybody knows today."
    items = [other, *(rows[k][0] for k in sorted(german)), *(rows[k][1].upper() for k in sorted(english))]
    bench.write_text("\n".join(items) + "\n", encoding="utf-8")
    config = config_file(tmp_path, {"contamination": {"benchmarks": [str(bench)]}})
    done = finish("de-en", tmp_path / "x.de-en.*", tmp_path / "out", "--config", config, "--laser", "off")
    assert_complete(done)
    found = {row["sequence"]: row for row in done.rows("ledger") if row["stage"] == "contamination"}
    assert set(found) == german | english
    for place, row in found.items():
        side, text = (
            ("src", rows[int(number(place))][0]) if place in german else ("tgt", rows[int(number(place))][1].upper())
        )
        assert row["detail"] == f"{side}: bench.txt:{items.index(text) + 1}"
        assert (row["outcome"], row["rule"], row["value"], row["threshold"]) == ("dropped", "contaminated", 1.0, 0.8)


# --- the user's mistakes: one clear line, exit code 2, no traceback ---------------------------------------------------

OPTIONAL = ", ".join(OPTIONAL_PAIR_STAGES)
RULES = {"rules": {"digit_ratio": {"min": 0.5}}}
MISTAKES: dict[str, tuple[dict[str, str], object, str]] = {
    "unknown codes": ({"--pair": "xx-yy"}, None, "names no two known languages"),
    "one code": ({"--pair": "de"}, None, "names no two known languages"),
    "one language twice": ({"--pair": "de-de"}, None, "names one language twice (de)"),
    "one language in two spellings": ({"--pair": "ger-de_DE"}, None, "names one language twice (de)"),
    "another pair": ({"--pair": "el-tr"}, None, "holds no el-tr, it holds: de-en, de, en"),
    "unknown stage": ({"--skip": "lasr"}, None, f"does not exist; those that can are: {OPTIONAL}"),
    "a stage that has to be": ({"--skip": "ingest"}, None, "'ingest' cannot be left out"),
    "neither on nor off": ({"--laser": "maybe"}, None, "LASER=maybe: it is on or off"),
    "no such input": ({"--input": "/nowhere/x.tmx"}, None, "no input at /nowhere/x.tmx"),
    "a missing side": ({"--input": "{folder}/x.de-en.de"}, None, "side of a corpus whose en side is missing"),
    "files of no known format": ({"--input": "{folder}/notes"}, None, "is a parallel corpus of a known format"),
    "unknown protocol": ({"--input": "nonsense://bucket/x.tmx"}, None, "cannot look up the input"),
    "no such configuration": ({"--config": "/nowhere.yaml"}, None, "cannot read the configuration"),
    "unknown stage in the configuration": ({}, {"minhash": {}}, "the valid ones are: contamination, ingest, langid"),
    "unknown key": ({}, {"pair": {"kep": 2}}, "did you mean 'keep'?; the valid ones are: keep"),
    "unknown measure": ({}, {"rules": {"rules": {"wrods": {"min": 3}}}}, "unknown measure 'wrods'; the measures are: "),
    "rules that contradict the defaults": ({}, {"rules": RULES}, "src_digit_ratio has min 0.5 above max 0.35"),
    "bounds in the wrong order": ({}, {"score": {"min": 0.5, "max": 0.1}}, "min 0.5 is above max 0.1"),
    "a margin that is not taken": (
        {"--laser": "on"},
        {"laser": {"neighbours": None, "thresholds": {"min_margin": 1}}},
        "the margin is not taken",
    ),
    "no such benchmark": ({}, {"contamination": {"benchmarks": ["/nowhere/*"]}}, "no benchmark at /nowhere/*"),
    "no such model": ({}, {"langid": {"model": "/nowhere.bin"}}, "no language identification model at /nowhere.bin"),
    "output below a file": ({"--out": "/dev/null/out"}, None, "cannot write to the output folder"),
    "input inside the output": ({"--input": "{folder}/out/parallel/de-en"}, None, "lies inside the output folder"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_with_one_clear_line(mistake: str, tmp_path: Path) -> None:
    changes, stages, message = MISTAKES[mistake]
    inside = tmp_path / "out" / "parallel" / "de-en"
    inside.mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("Nothing to read here.\n")
    for folder in (tmp_path, inside):
        write_moses(folder, translations(0, 3))
    options = {"--pair": "de-en", "--input": f"{tmp_path}/x.*", "--out": str(tmp_path / "out"), "--laser": "off"}
    if stages is not None:
        assert isinstance(stages, dict)
        options["--config"] = str(config_file(tmp_path, stages))
    options |= {name: value.format(folder=tmp_path) for name, value in changes.items()}
    pair, source, out = (options.pop(name) for name in ("--pair", "--input", "--out"))
    done = run_parallel(pair, source, Path(out), *(piece for option in options.items() for piece in option))
    assert done.code == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/parallel/*/summary.json"))


NO_LANGUAGES: dict[str, dict[str, object]] = {
    "thresholds of LASER": {"laser": {"by_pair": {"deen": {"min_cosine": 0.9}}}},
    "rules of a language": {"rules": {"by_language": {"ell": {"chars": {"min": 5}}}}},
    "rules of a pair": {"rules": {"by_pair": {"de-xx": {"chars": {"min": 5}}}}},
}


@pytest.mark.parametrize("place", NO_LANGUAGES)
def test_settings_for_no_language_are_refused(place: str, laser: Laser, tmp_path: Path) -> None:
    """As a corpus job does: they would never be used."""
    write_moses(tmp_path, translations(0, 3))
    stages: dict[str, object] = dict(NO_LANGUAGES[place])
    if "laser" in stages:
        stages = laser.stage(by_pair={"deen": {"min_cosine": 0.9}})
    off = () if "laser" in stages else ("--laser", "off")
    done = run_parallel("de-en", tmp_path / "x.*", tmp_path / "out", "--config", config_file(tmp_path, stages), *off)
    assert done.code == 2, done.stderr


def test_a_bound_that_no_score_can_keep_is_refused(tmp_path: Path) -> None:
    """As `digit_ratio: {min: 2}` is."""
    write_moses(tmp_path, translations(0, 3))
    config = config_file(tmp_path, {"score": {"min": 2}})
    done = run_parallel("de-en", tmp_path / "x.*", tmp_path / "out", "--config", config, "--laser", "off")
    assert done.code == 2, done.stderr


def test_a_bound_of_the_score_without_rules_is_used_or_refused(tmp_path: Path) -> None:
    write_moses(tmp_path, [*translations(0, 3), ("Ein ganz anderer Satz, ohne jede Zahl.", "1987 4711 12345")])
    config = config_file(tmp_path, {"rules": None, "score": {"min": 0.5}})
    done = run_parallel("de-en", tmp_path / "x.*", tmp_path / "out", "--config", config, "--laser", "off")
    assert done.code == 2 or "score_rules.min" in {row["rule"] for row in done.rows("ledger")}


def test_intermediate_results_are_kept_only_where_they_are_wanted(tmp_path: Path) -> None:
    write_moses(tmp_path, translations(0, 5))
    config = tmp_path / "job.yaml"
    config.write_text("keep_work: false\nstages: {laser: null}\n")
    done = run_parallel("de-en", tmp_path / "x.*", tmp_path / "out", "--config", config)
    assert done.code == 0, done.stderr
    assert not list(done.work.glob("*/*"))
    assert_complete(done)


def test_telling_before_there_are_pairs_is_a_mistake(tmp_path: Path) -> None:
    done = run_tell("de-en", tmp_path / "out")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "make parallel PAIR=de-en" in done.stderr


def test_a_mistake_leaves_the_corpus_that_stands_as_it_is(reference: Run, inputs: Path, settings: Path) -> None:
    before = reference.fingerprint()
    shorter = inputs.parent / "shorter"
    shutil.rmtree(shorter, ignore_errors=True)
    shorter.mkdir()
    for label, count in (("de", 3), ("en", 2)):
        (shorter / f"s.de-en.{label}").write_bytes(b"x\n" * count)
    done = run_parallel("de-en", f"{inputs},{shorter}", reference.out, "--config", settings)
    assert done.code == 2
    assert "are not aligned line by line" in done.stderr
    assert reference.fingerprint() == before
    assert_summary(reference.summary(), reference.rows("ledger"))


# --- make -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (ROOT / ".venv" / ".installed").exists(), reason="needs the environment of `make setup`")
@pytest.mark.slow
def test_make_parallel_reads_pairs_and_tells_them(tmp_path: Path) -> None:
    rows = translations(0, 20)
    write_moses(tmp_path, rows, suffix=".gz")
    names = ("LANG", "MAKEFLAGS", "MAKELEVEL")
    inherited = {name: value for name, value in environment().items() if name not in names}
    done = subprocess.run(
        # `-o`: a newer list of requirements is no reason to install anything now.
        ["make", "-o", ".venv/.installed", "parallel", "PAIR=de-en", f"INPUT={tmp_path}/x.*", f"OUT={tmp_path}/o u t",
         "LASER=off", "WORKERS=1"],
        cwd=ROOT, env=inherited, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = Run(0, done.stdout, done.stderr, tmp_path / "o u t", "de-en")
    assert_complete(job)
    assert_told(job)
    assert len(job.rows("pairs")) == len(rows)
    assert "20 pairs told" in done.stdout
    assert sorted(os.listdir(job.folder)) == [
        "documents", "documents.json", "ledger", "measures", "pairs", "report.html", "summary.json",
    ]  # fmt: skip
    assert read_rows(job.folder / "documents")


@pytest.mark.skipif(not (ROOT / ".venv" / ".installed").exists(), reason="needs the environment of `make setup`")
@pytest.mark.parametrize("given", [(), ("PAIR=de-en",), ("INPUT=x.tmx",)])
def test_make_says_what_is_missing(given: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["make", "-o", ".venv/.installed", "parallel", *given],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "usage: make parallel PAIR=" in done.stderr
