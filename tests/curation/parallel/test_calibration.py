"""Calibration of a language pair: thresholds with their provenance, the same whatever the files, in both directions."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from configs.errors import UserError
from configs.load import validate_config
from curation.parallel.calibration import PairCalibrationConfig, calibrate_pair
from curation.parallel.cli_calibrate import calibrate_pair_command
from curation.parallel.inputs import find_parallel_inputs
from curation.parallel.measured import open_pair_corpus, read_sample
from curation.parallel.pairs import Pair, PairIngestConfig
from curation.parallel.profile import (
    FittedLengths,
    PairProfile,
    PairThresholdsFile,
    load_pair_profile,
)
from curation.parallel.read import open_pairs
from curation.parallel.schema import PUBLISHED_PAIR_MEASURES
from curation.profile import FittedThreshold
from filters.decisions import decide_columns
from filters.parallel.calibrate import FITTED_MEASURES, PAIRS, SCORE_MEASURES
from filters.parallel.lengths import LengthModel, fit_lengths
from filters.parallel.measures import PAIR_MEASURES, PairMeasurer
from filters.parallel.rules import PairRulesConfig, swapped
from filters.parallel.score import pair_scores
from filters.rules import Bounds
from tests.filters.parallel.test_measures import side

Columns = dict[str, NDArray[np.float64]]
COUNT = 3000
RULES = {"length_ratio": Bounds(max=1.5), "src_language_score": Bounds(min=0.6)}
LASER = {"min_cosine": 0.5, "min_margin": 1.02, "precision": "float32"}


def made(seed: int = 1, laser: bool = False, count: int = COUNT) -> Columns:
    """Return measures of pairs whose targets are 1.3 times as long as the sources, one in ten with other lengths."""
    generator = np.random.default_rng(seed)
    columns: Columns = {name: generator.beta(2, 12, count) for name in PAIR_MEASURES}
    low = [name for name in PAIR_MEASURES if PAIR_MEASURES[name].bad == "low"]
    columns |= {name: 1 - columns[name] for name in low}
    source = np.round(np.exp(generator.normal(4.5, 0.6, count))) + 1
    target = np.round(1.3 * source + generator.normal(0, 1, count) * np.sqrt(3 * source))
    target[::10] = source[::10] * generator.uniform(0.2, 3, len(target[::10]))
    columns["src_chars"] = np.asarray(source, dtype=np.float64)
    columns["tgt_chars"] = np.asarray(np.maximum(1, np.round(target)), dtype=np.float64)
    columns |= LengthModel(1.0).measures(columns["src_chars"], columns["tgt_chars"])
    columns["score_rules"] = pair_scores(columns)
    nothing = np.full(count, np.nan)
    columns["score_laser_cosine"] = generator.beta(9, 2, count) if laser else nothing
    columns["score_laser_margin"] = generator.normal(1.2, 0.1, count) if laser else nothing
    return columns


def publish(
    out: Path,
    columns: Columns,
    pair: str = "de-en",
    files: int = 1,
    order: NDArray[np.int64] | None = None,
    rules: Mapping[str, Bounds] = RULES,
    laser: Mapping[str, object] | None = None,
) -> Path:
    """Write a finished parallel corpus as a job would have left it, and return its folder."""
    count = len(columns["src_chars"])
    plain: dict[str, object] = {"id": [f"{number:032x}" for number in range(count)], "outcome": ["kept"] * count}
    plain |= {"stage": [None] * count, "rule": [None] * count, "cluster_size": [1] * count}
    names = PUBLISHED_PAIR_MEASURES.names
    table = pa.table({name: plain.get(name, columns.get(name)) for name in names}, schema=PUBLISHED_PAIR_MEASURES)
    folder = out / "parallel" / pair
    (folder / "measures").mkdir(parents=True)
    parts = np.array_split(order if order is not None else np.arange(count), files)
    for number, rows in enumerate(parts):
        pq.write_table(table.take(rows), folder / "measures" / f"{number:05d}.parquet")
    src, tgt = pair.split("-")
    bounds = {name: own.model_dump() for name, own in rules.items()}
    summary = {"pair": pair, "src_lang": src, "tgt_lang": tgt, "rules": bounds, "laser": laser}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def config(**settings: object) -> PairCalibrationConfig:
    return PairCalibrationConfig.model_validate(settings)


def calibrate(out: Path, settings: PairCalibrationConfig | None = None, **more: Path) -> PairThresholdsFile:
    return calibrate_pair(out, "de", "en", out / "profiles", settings or config(), **more)


def fitted(content: PairThresholdsFile) -> dict[str, FittedThreshold]:
    return {f"{own.measure}.{own.side}": own for own in content.thresholds}


def judged(content: PairThresholdsFile) -> set[str]:
    return {own.measure for own in content.thresholds} | {own.measure for own in content.refused}


def with_lengths(columns: Columns) -> Columns:
    """Return the columns as a job will measure them that expects the lengths of these pairs."""
    model = LengthModel(fit_lengths(columns["src_chars"].astype(int), columns["tgt_chars"].astype(int)).ratio)
    own = columns | model.measures(columns["src_chars"], columns["tgt_chars"])
    return own | {"score_rules": pair_scores(own)}


def test_thresholds_say_what_they_rest_on(tmp_path: Path) -> None:
    columns = made()
    publish(tmp_path, columns)
    content = calibrate(tmp_path)
    path = tmp_path / "profiles" / "parallel" / "de-en" / "thresholds.yaml"
    assert validate_config(yaml.safe_load(path.read_text()), PairThresholdsFile, "") == content
    assert load_pair_profile(tmp_path / "profiles", "de", "en").thresholds == content
    assert (content.pair, content.pairs) == ("de-en", COUNT)
    assert content.input.startswith("sha256:")
    assert content.date.count("-") == 2
    expected = with_lengths(columns)
    values = {name: expected[name] for name in (*FITTED_MEASURES, "score_rules")}
    assert set(fitted(content)) == {f"{n}.{'min' if PAIRS.measures[n].bad == 'low' else 'max'}" for n in values}
    for own in content.thresholds:
        share = 0.05 if own.measure == "score_rules" else 0.005
        quantile = share if own.side == "min" else 1 - share
        assert own.value == pytest.approx(np.quantile(values[own.measure], quantile), rel=2e-3)
        assert own.interval[0] <= own.value <= own.interval[1]
        beyond = values[own.measure] < own.value if own.side == "min" else values[own.measure] > own.value
        assert own.removed == pytest.approx(beyond.mean(), abs=1e-4)
        assert own.documents == COUNT


def test_lengths_are_fitted_and_the_thresholds_go_with_them(tmp_path: Path) -> None:
    columns = made()
    publish(tmp_path, columns)
    content = calibrate(tmp_path)
    assert content.lengths is not None
    assert content.lengths.ratio == pytest.approx(1.3, rel=0.01)
    assert content.lengths.interval[0] <= 1.3 <= content.lengths.interval[1]
    assert content.lengths.variance == LengthModel(1.0).variance
    profile = load_pair_profile(tmp_path / "profiles", "de", "en")
    assert profile.lengths == LengthModel(content.lengths.ratio, content.lengths.variance)
    measured = profile.lengths.measures(columns["src_chars"], columns["tgt_chars"])["length_deviation"]
    limit = profile.bounds()["length_deviation"].max
    assert limit is not None
    assert (measured > limit).mean() == pytest.approx(0.005, abs=0.001)
    # As the measures stand, taken with another model, another share lies beyond.
    assert (columns["length_deviation"] > limit).mean() > 0.01


def test_lengths_with_their_variance_and_without(tmp_path: Path) -> None:
    publish(tmp_path, made())
    both = calibrate(tmp_path, config(lengths={"variance": True})).lengths
    assert both is not None
    assert both.variance == pytest.approx(3 / 1.3, rel=0.3)  # by character of the longer side, half-way between the two
    content = calibrate(tmp_path, config(lengths=None))
    assert content.lengths is None
    assert load_pair_profile(tmp_path / "profiles", "de", "en").lengths is None
    expected = float(np.quantile(made()["length_deviation"], 0.995))
    assert fitted(content)["length_deviation.max"].value == pytest.approx(expected, rel=2e-3)


@settings(max_examples=20)
@given(seed=st.integers(0, 99), files=st.integers(1, 6), limit=st.sampled_from([None, 500]))
def test_files_and_order_make_no_difference(
    tmp_path_factory: pytest.TempPathFactory, seed: int, files: int, limit: int | None
) -> None:
    columns = made(count=800)
    order = np.random.default_rng(seed).permutation(800)
    results = []
    for number, own in enumerate((None, order)):
        out = tmp_path_factory.mktemp("corpora")
        publish(out, columns, files=1 if own is None else files, order=own)
        corpus = open_pair_corpus(out / "parallel" / "de-en")
        results.append(read_sample(corpus, ["src_words", "similarity"], limit))
        assert len(results[number]) == (limit or 800)
    assert results[0].identity == results[1].identity
    for name in ("src_words", "similarity"):
        assert np.array_equal(results[0].columns[name], results[1].columns[name])


def test_equal_samples_give_equal_files(tmp_path: Path) -> None:
    contents = []
    for files in (1, 7):
        out = tmp_path / str(files)
        publish(out, made(laser=True), files=files, laser=LASER)
        own = config(rules={"method": "sigma"}, scores={"method": "fineweb2"}, sample=1000)
        contents.append(calibrate(out, own).model_copy(update={"source": ""}))
    assert contents[0] == contents[1]
    assert contents[0].pairs == 1000


def test_rows_that_were_never_measured_do_not_count(tmp_path: Path) -> None:
    columns = made()
    for name in columns:
        columns[name][:1000] = np.nan
    publish(tmp_path, columns)
    content = calibrate(tmp_path)
    assert content.pairs == COUNT - 1000
    # An empty corpus and one of failed rows alone.
    for number, rows in enumerate((0, 1000)):
        publish(tmp_path / str(number), {name: own[:rows] for name, own in columns.items()})
        with pytest.raises(UserError, match="nothing to calibrate on"):
            calibrate(tmp_path / str(number))


def test_scores_that_were_switched_off_get_no_threshold(tmp_path: Path) -> None:
    publish(tmp_path / "off", made())
    off = calibrate(tmp_path / "off")
    assert not any("laser" in name for name in judged(off))
    publish(tmp_path / "on", made(laser=True), laser=LASER)
    on = calibrate(tmp_path / "on")
    values = made(laser=True)
    for name in ("score_laser_cosine", "score_laser_margin"):
        assert fitted(on)[f"{name}.min"].value == pytest.approx(np.quantile(values[name], 0.05), rel=1e-3)
    none = calibrate(tmp_path / "on", config(scores=None))
    assert not judged(none) & set(SCORE_MEASURES)


def test_scores_by_the_confidence_of_language_identification(tmp_path: Path) -> None:
    columns = made(laser=True)
    columns["score_laser_cosine"][0] = -0.2
    publish(tmp_path, columns, laser=LASER)
    found = fitted(calibrate(tmp_path, config(scores={"method": "fineweb2"})))
    cosine = np.clip(columns["score_laser_cosine"], 0, 1)
    own = found["score_laser_cosine.min"]
    assert own.value == pytest.approx(max(0.3, min(0.9, np.median(cosine) - cosine.std())), abs=1e-4)
    assert own.interval[0] < own.value < own.interval[1]
    # The margin is above 1, where 0.9 would say nothing.
    margin = np.quantile(columns["score_laser_margin"], 0.05)
    assert found["score_laser_margin.min"].value == pytest.approx(margin, rel=1e-3)
    refused = calibrate(tmp_path, config(scores={"method": "fineweb2", "max_removed": 0.05})).refused
    assert any("of the pairs; at most 5.0% may go" in own.reason for own in refused if own.measure == "score_rules")


def test_useless_thresholds_are_refused_in_words(tmp_path: Path) -> None:
    columns = made() | {"mark_mismatch": np.zeros(COUNT), "upper_mismatch": np.full(COUNT, np.nan)}
    publish(tmp_path, columns)
    reasons = {own.measure: own.reason for own in calibrate(tmp_path).refused}
    assert "every pair that is not perfect would go" in reasons["mark_mismatch"]
    assert reasons["upper_mismatch"] == "no pair has a value"
    publish(tmp_path / "few", {name: own[:200] for name, own in made().items()})
    few = calibrate(tmp_path / "few")
    assert (few.thresholds, few.lengths) == ((), None)
    assert all("rests on 200 pairs; at least 300 are needed" in own.reason for own in few.refused)


def test_together_the_thresholds_remove_no_more_than_allowed(tmp_path: Path) -> None:
    publish(tmp_path, made())
    content = calibrate(tmp_path, config(rules={"percentile": 5, "max_removed_together": 0.1}))
    assert content.removed_together <= 0.1
    assert any("together the thresholds would remove" in own.reason for own in content.refused)


@pytest.mark.parametrize("method", ["quantile", "sigma"])
def test_thresholds_are_carried_over_from_another_pair(tmp_path: Path, method: str) -> None:
    columns, other = made(laser=True), made(2, laser=True)
    other["src_language_score"] = other["src_language_score"] * 0.5
    publish(tmp_path, columns, laser=LASER)
    rules = {"src_language_score": Bounds(min=0.3), "mark_mismatch": Bounds(max=0.4)}
    reference = publish(tmp_path, other, "de-fr", rules=rules, laser={"min_cosine": 0.6, "min_margin": None})
    settings = config(
        rules={"method": method, "sigmas": None, "max_removed": 0.5}, lengths=None, scores={"method": "rules"}
    )
    found = fitted(calibrate(tmp_path, settings, reference=reference))
    assert set(found) == {"src_language_score.min", "mark_mismatch.max", "score_laser_cosine.min"}
    assert found["src_language_score.min"].value == pytest.approx(0.6, rel=0.1)
    assert found["mark_mismatch.max"].value == pytest.approx(0.4, rel=0.1)
    assert found["score_laser_cosine.min"].value == pytest.approx(0.6, rel=0.1)
    with pytest.raises(UserError, match="needs a reference: REFERENCE=corpora/parallel/en-fr"):
        calibrate(tmp_path, settings)


@pytest.mark.parametrize(("pair", "side_of_english"), [("en-fr", "src"), ("fr-en", "tgt")])
def test_a_shared_language_is_compared_with_itself(tmp_path: Path, pair: str, side_of_english: str) -> None:
    publish(tmp_path, made())
    name = f"{side_of_english}_language_score"
    reference = publish(tmp_path, made(2), pair, rules={name: Bounds(min=0.5)})
    settings = config(rules={"method": "quantile", "max_removed": 0.5, "min_removed": 0}, scores=None)
    content = calibrate(tmp_path, settings, reference=reference)
    assert judged(content) == {"tgt_language_score"}


_NAMES = [name for name in PAIR_MEASURES if PAIR_MEASURES[name].highest == 1.0]


@given(
    st.dictionaries(st.sampled_from(_NAMES), st.floats(0.05, 0.95), max_size=8),
    st.floats(0.2, 5),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=20),
)
def test_the_other_direction_drops_the_same_pairs(
    limits: dict[str, float], ratio: float, chars: list[tuple[int, int]]
) -> None:
    sides = {name: "min" if PAIR_MEASURES[name].bad == "low" else "max" for name in limits}
    thresholds = [
        {"measure": name, "side": sides[name], "value": value, "interval": (0, 1), "documents": 1, "removed": 0.0}
        for name, value in limits.items()
    ]
    content = PairThresholdsFile.model_validate(
        {"pair": "de-en", "method": {}, "pairs": 1, "date": "", "input": "", "source": "", "removed_together": 0,
         "thresholds": thresholds,
         "lengths": FittedLengths(ratio=ratio, interval=(ratio, ratio), variance=4.0, pairs=1)}
    )  # fmt: skip
    there, back = PairProfile("de", "en", content), PairProfile("en", "de", content, turned=True)
    columns = {name: own[: len(chars)] for name, own in made(3, count=20).items()}
    source, target = (np.array([own[number] for own in chars], dtype=np.float64) for number in (0, 1))
    assert there.lengths is not None
    assert back.lengths is not None
    forth, turned = there.lengths.measures(source, target), back.lengths.measures(target, source)
    for name in forth:
        assert np.allclose(forth[name], turned[name])
    other = {swapped(name): values for name, values in columns.items()}
    first, second = (
        decide_columns(own, profile.bounds(), len(chars))[0] >= 0 for own, profile in ((columns, there), (other, back))
    )
    assert np.array_equal(first, second)
    rules = PairRulesConfig().for_pair(side("en"), side("de"), back.bounds())
    assert all(getattr(rules[swapped(name)], sides[name]) == value for name, value in limits.items())


def test_the_loader_takes_the_profile_of_either_direction(tmp_path: Path) -> None:
    publish(tmp_path, made())
    calibrate(tmp_path)
    there, back = (load_pair_profile(tmp_path / "profiles", *codes) for codes in (("de", "en"), ("en", "de")))
    assert (there.turned, back.turned) == (False, True)
    assert there.bounds()["src_language_score"] == back.bounds()["tgt_language_score"]
    assert there.score_bounds() == back.score_bounds()
    assert set(there.score_bounds()) == {"score_rules"}
    assert not set(there.bounds()) & set(SCORE_MEASURES)
    for profiles in (None, tmp_path / "profiles"):
        nothing = load_pair_profile(profiles, "de", "fr")
        assert (nothing.bounds(), nothing.score_bounds(), nothing.lengths) == ({}, {}, None)


def test_a_profile_that_is_none_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, made())
    calibrate(tmp_path)
    folder = tmp_path / "profiles" / "parallel"
    (folder / "de-en").rename(folder / "de-fr")
    with pytest.raises(UserError, match="is of the pair 'de-en': it was put into the wrong folder"):
        load_pair_profile(tmp_path / "profiles", "fr", "de")
    path = folder / "de-fr" / "thresholds.yaml"
    text = path.read_text()
    for old, new, message in (
        ("measure: mark_mismatch", "measure: mark_missmatch", "unknown measure 'mark_missmatch'"),
        ("ratio: 1.", "ratio: -1.", "lengths.ratio"),
        ("value: ", "value: -", "out of the measure's range"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=message):
            load_pair_profile(tmp_path / "profiles", "de", "fr")


def test_what_cannot_be_calibrated_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished parallel corpus in .*de-en: run `make parallel PAIR=de-en OUT="):
        calibrate(tmp_path)
    folder = publish(tmp_path, made(), "en-de")
    with pytest.raises(UserError, match="first; there is one of en-de"):
        calibrate(tmp_path)
    folder = folder.rename(folder.with_name("de-en"))
    with pytest.raises(UserError, match="unknown measure 'words'; the measures are: src_chars"):
        calibrate(tmp_path, config(rules={"measures": ["words"]}))
    (folder / "measures" / "00000.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"cannot read .*00000\.parquet: .*; remove it and run `make parallel"):
        calibrate(tmp_path)
    (folder / "summary.json").write_text('{"language": "el", "rules": {}}')
    with pytest.raises(UserError, match=r"is no parallel corpus: its summary\.json names no languages"):
        calibrate(tmp_path)
    assert not (tmp_path / "profiles").exists()


def test_the_command_shows_what_it_writes(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(calibrate_pair_command)
    publish(tmp_path, made(laser=True) | {"mark_mismatch": np.zeros(COUNT)}, laser=LASER)
    settings = tmp_path / "settings.yaml"
    settings.write_text("rules: {tail: 0.02}\n")
    arguments = ["--pair", "de-en", "--out", str(tmp_path), "--profiles", str(tmp_path / "p"), "--method", "tail"]
    done = CliRunner().invoke(app, [*arguments, "--config", str(settings)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "de-en: 3,000 pairs" in done.output
    assert "score_laser_margin.min" in done.output
    assert "refused: lies at the best value" in done.output
    assert "1.3" in done.output.partition("lengths to expect: ")[2]
    content = load_pair_profile(tmp_path / "p", "en", "de").thresholds
    assert content is not None
    assert fitted(content)["upper_mismatch.max"].removed == pytest.approx(0.02, abs=0.002)
    with pytest.raises(UserError, match="PAIR=german-en names no two known languages"):
        CliRunner().invoke(app, ["--pair", "german-en"], catch_exceptions=False)


def test_scores_are_columns_of_the_published_measures() -> None:
    columns = [name for name in PUBLISHED_PAIR_MEASURES.names if name.startswith("score_")]
    assert columns == list(SCORE_MEASURES)


def test_fitted_to_a_clean_corpus_the_rules_keep_it(tmp_path: Path, data_folder: Path) -> None:
    (entry,) = find_parallel_inputs(str(data_folder / "opus" / "bible-uedin-v1.de-en.*.gz"), "de", "en")
    with open_pairs(entry, tmp_path, PairIngestConfig()) as opened:
        pairs = [own for own, _ in zip(opened.units, range(6000), strict=False) if isinstance(own, Pair)]
    source, target = [own.src_text for own in pairs], [own.tgt_text for own in pairs]
    columns = PairMeasurer(side("de"), side("en")).measure(source, target)
    nothing = np.full(len(pairs), np.nan)
    scores = dict.fromkeys(SCORE_MEASURES, nothing) | {"score_rules": pair_scores(columns)}
    publish(tmp_path, columns | scores, files=3)
    content = calibrate(tmp_path)
    assert content.removed_together < 0.08
    profile = load_pair_profile(tmp_path / "profiles", "de", "en")
    assert profile.lengths is not None
    assert profile.lengths.ratio == pytest.approx(1.0, abs=0.05)
    # The prior for German and English is 1 / 1.12: with its own lengths more of the corpus is as expected.
    own, prior = (
        PairMeasurer(side("de"), side("en"), lengths=model).measure(source, target) for model in (profile.lengths, None)
    )
    assert np.median(own["length_deviation"]) < np.median(prior["length_deviation"])
    shuffled = PairMeasurer(side("de"), side("en"), lengths=profile.lengths).measure(source, target[1:] + target[:1])
    bounds = profile.score_bounds()["score_rules"]
    assert bounds.min is not None
    assert (pair_scores(own) < bounds.min).mean() < 0.06
    assert (pair_scores(shuffled) < bounds.min).mean() > 0.3
