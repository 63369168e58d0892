"""From a point to a mixture and a run: budgets, rates, variants, ids, and files that read as what was written."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import UserError
from configs.load import load_config, validate_config
from mixing.mixture.manifest import load_manifest, read_manifest
from mixing.mixture.mixture import MixtureConfig, load_mixture
from pretrain.run.run_config import RunConfig
from pretrain.sweep.trial import Point
from pretrain.sweep.trial_files import (
    Base,
    mixture_problem,
    place_mixture,
    target_mixture,
    trial_configs,
    trial_mixture,
    write_yaml,
)
from tests.mixing.mixture.token_folders import even_rows, write_source
from tests.pretrain.small_runs import SHAPE

MIXTURE = {
    "name": "base",
    "seed": 7,
    "sequence_length": 32,
    "max_epochs": 4,
    "max_epochs_of": {"el": 2},
    "stages": [
        {
            "name": "first",
            "tokens": 6000,
            "learning_rate": {"schedule": "cosine", "peak": 1e-3, "final": 1e-4, "warmup_tokens": 600},
            "categories": {
                "new": {"share": "70%", "sources": ["el"]},
                "known": {"share": "30%", "spread": {"shares": {"en": 1}, "over": "sources"}, "sources": ["en"]},
            },
        },
        {
            "name": "second",
            "tokens": 2000,
            "learning_rate": {"schedule": "warmup_stable_decay", "peak": 5e-4, "final": 0, "decay_tokens": 500},
            "categories": {"new": {"share": "50%", "sources": ["el"]}, "known": {"share": "50%", "sources": ["en"]}},
        },
    ],
}
RUN = {
    "name": "proxy",
    "mixture": "elsewhere",
    "model": {"shape": SHAPE, "seed": 5},
    "batch": {"tokens": 128, "micro_tokens": 64},
    "compute": {"dtype": "fp32", "compile": False},
}
SHARES = {"first": {"new": Fraction(1, 5), "known": Fraction(4, 5)}}


def base_of(
    tokens: Path = Path("tokens"), budget: int = 800, same_epochs: bool = False, constant_rate: bool = False
) -> Base:
    return Base(
        validate_config(MIXTURE, MixtureConfig, "base"),
        validate_config(RUN, RunConfig, "run"),
        tokens,
        {"filtered": {}, "raw": {"el": "el-raw", "en": "en-raw"}},
        budget,
        8000,
        same_epochs,
        constant_rate,
    )


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    for name in ("el", "el-raw", "en", "en-raw"):
        rows = [
            {**row, "document_id": f"{17 * place % 256:02x}" * 16} for place, row in enumerate(even_rows(256, 4096))
        ]
        write_source(tmp_path / "tokens", name, [rows], [name[:2]])
    return tmp_path / "tokens"


def test_a_budget_shrinks_stages_and_warm_ups_alike() -> None:
    mixture = trial_mixture(base_of(), Point())
    assert [stage.tokens for stage in mixture.stages] == [600, 200]
    assert mixture.stages[0].learning_rate.warmup_tokens == 60
    assert mixture.stages[1].learning_rate.decay_tokens == 50
    assert mixture.seed == 1


@given(st.integers(3, 100_000))
def test_stages_add_up_to_any_budget(budget: int) -> None:
    mixture = trial_mixture(base_of(budget=budget), Point(stage_split=(Fraction(1, 3), Fraction(2, 3))))
    assert sum(stage.tokens for stage in mixture.stages) == budget
    assert abs(mixture.stages[0].tokens - budget / 3) < 1


def test_a_budget_that_leaves_a_stage_without_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="leaves a stage without any"):
        trial_mixture(base_of(budget=1), Point())


def test_shares_rates_and_caps_are_those_of_the_point() -> None:
    point = Point(shares=SHARES, learning_rate=3e-3, max_epochs=Fraction(2), seed=9)
    mixture = trial_mixture(base_of(), point)
    assert {name: own.share for name, own in mixture.stages[0].categories.items()} == SHARES["first"]
    assert {name: own.share for name, own in mixture.stages[1].categories.items()} == dict.fromkeys(
        ("new", "known"), Fraction(1, 2)
    )
    assert [stage.learning_rate.peak for stage in mixture.stages] == pytest.approx([3e-3, 1.5e-3])
    assert [stage.learning_rate.final for stage in mixture.stages] == pytest.approx([3e-4, 0])
    assert mixture.max_epochs == Fraction(2)
    assert mixture.seed == 9


def test_a_variant_takes_the_place_of_its_sources_everywhere() -> None:
    mixture = trial_mixture(base_of(), Point(variant="raw"))
    names = [source.name for stage in mixture.stages for own in stage.categories.values() for source in own.sources]
    assert names == ["el-raw", "en-raw", "el-raw", "en-raw"]
    assert mixture.stages[0].categories["known"].spread.shares == {"en-raw": Fraction(1)}
    assert mixture.max_epochs_of == {"el-raw": Fraction(2)}


def test_a_constant_rate_is_of_the_trials_and_not_of_the_run_that_is_paid_for() -> None:
    base = base_of(constant_rate=True)
    assert {stage.learning_rate.schedule for stage in trial_mixture(base, Point()).stages} == {"constant"}
    assert target_mixture(base, Point()) == base.mixture


def test_the_whole_run_has_its_own_budget_seed_and_texts() -> None:
    mixture = target_mixture(base_of(same_epochs=True), Point(shares=SHARES, seed=4))
    assert [stage.tokens for stage in mixture.stages] == [6000, 2000]
    assert mixture.seed == 7
    assert all(not own.where for stage in mixture.stages for own in stage.categories.values())


def test_trials_can_repeat_texts_as_often_as_the_whole_run_does(tokens: Path, tmp_path: Path) -> None:
    base = base_of(tokens, same_epochs=True, budget=1000)
    whole = place_mixture(target_mixture(base, Point()), tokens, tmp_path / "mixtures")
    trial = place_mixture(trial_configs(base, Point(), tmp_path)[0], tokens, tmp_path / "mixtures")
    for stage, own in zip(whole.stages, trial.stages, strict=True):
        for one, other in zip(stage.sources, own.sources, strict=True):
            assert other.available_tokens == one.available_tokens // 8  # ids are spread evenly here
            assert other.epochs == pytest.approx(one.epochs, rel=0.01)


def test_an_id_is_of_what_is_trained_and_of_nothing_else(tmp_path: Path) -> None:
    base = base_of()
    name = trial_configs(base, Point(), tmp_path)[1].name
    moved = base._replace(mixture=base.mixture.model_copy(update={"name": "x"}), tokens=Path("other"))
    assert trial_configs(moved, Point(), tmp_path / "elsewhere")[1].name == name
    others = [Point(seed=2), Point(shares=SHARES), Point(learning_rate=2e-3)]
    changed = [base._replace(budget=900), base._replace(run=base.run.model_copy(update={"log_every_steps": 3}))]
    names = [trial_configs(base, point, tmp_path)[1].name for point in others]
    names += [trial_configs(own, Point(), tmp_path)[1].name for own in changed]
    assert len({name, *names}) == 6


@given(st.fractions(0, 1, max_denominator=10_000), st.floats(1e-6, 1), st.integers(1, 9))
def test_files_read_as_what_was_written(share: Fraction, rate: float, seed: int) -> None:
    shares = {"first": {"new": share, "known": 1 - share}}
    point = Point(shares=shares, learning_rate=rate, variant="raw", seed=seed)
    mixture, run = trial_configs(base_of(same_epochs=True), point, Path("/made"))
    with tempfile.TemporaryDirectory() as folder:
        write_yaml(Path(folder) / "mixture.yaml", mixture, "found\nby a sweep")
        write_yaml(Path(folder) / "run.yaml", run)
        assert load_mixture(Path(folder) / "mixture.yaml") == mixture
        assert load_config(Path(folder) / "run.yaml", RunConfig) == run


def test_a_mixture_stands_until_its_tokens_change(tokens: Path, tmp_path: Path) -> None:
    config = trial_configs(base_of(tokens), Point(), tmp_path)[0]
    found: list[str] = []
    first = place_mixture(config, tokens, tmp_path / "mixtures", found.append)
    assert found == ["other"]
    file = tmp_path / "mixtures" / config.name / "manifest.json"
    before = file.read_bytes()
    assert place_mixture(config, tokens, tmp_path / "mixtures", found.append) == first
    assert found == ["other"]
    assert file.read_bytes() == before
    write_source(tokens, "en", [even_rows(10, 4096)], ["en"])
    second = place_mixture(config, tokens, tmp_path / "mixtures", found.append)
    assert found == ["other", "other"]
    assert read_manifest(file.parent) == second != first


def test_a_mixture_whose_tokens_moved_is_told_where_they_are(tokens: Path, tmp_path: Path) -> None:
    config = trial_configs(base_of(tokens), Point(), tmp_path)[0]
    place_mixture(config, tokens, tmp_path / "mixtures")
    moved = tokens.rename(tokens.with_name("elsewhere"))
    found: list[str] = []
    place_mixture(config, moved, tmp_path / "mixtures", found.append)
    assert found == ["moved"]
    assert load_manifest(tmp_path / "mixtures" / config.name).name == config.name


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_mixture_is_made_again(damage: str, tokens: Path, tmp_path: Path) -> None:
    config = trial_configs(base_of(tokens), Point(), tmp_path)[0]
    first = place_mixture(config, tokens, tmp_path / "mixtures")
    file = tmp_path / "mixtures" / config.name / "manifest.json"
    if damage == "gone":
        file.unlink()
    else:
        file.write_text(file.read_text()[:200])
    assert place_mixture(config, tokens, tmp_path / "mixtures") == first == read_manifest(file.parent)


def test_a_heading_of_hostile_names_leaves_the_yaml_readable(tmp_path: Path) -> None:
    config = trial_configs(base_of(), Point(), tmp_path)[0]
    write_yaml(tmp_path / "x.yaml", config, "bell \u0007, escape \x1b[2J, line\u2028name: broken")
    assert load_mixture(tmp_path / "x.yaml") == config


def test_what_cannot_be_read_under_the_caps_is_said(tokens: Path, tmp_path: Path) -> None:
    base = base_of(tokens)
    assert mixture_problem(target_mixture(base, Point()), tokens, tmp_path / "scratch") is None
    problem = mixture_problem(target_mixture(base._replace(target=80_000), Point()), tokens, tmp_path / "scratch")
    assert problem is not None
    assert "el" in problem
    assert not list((tmp_path / "scratch").iterdir())
