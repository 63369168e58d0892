"""Every YAML that ships can be loaded, and the one that spells out the defaults is right about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.load import load_config, read_yaml
from curation.config import OPTIONAL_STAGES, CorpusConfig, StagesConfig
from curation.parallel.config import OPTIONAL_PAIR_STAGES, PairStagesConfig, ParallelConfig
from curation.records import STAGES
from filters.rules import Bounds
from mixing.mixture.mixture import load_mixture
from mixing.telling.render import RenderConfig
from mixing.tokens.config import TokensConfig
from pretrain.run.run_config import RunConfig
from pretrain.sweep.design.design import check_design, design_points
from pretrain.sweep.sweep_config import SweepConfig
from tests.jobs.conftest import ROOT

CORPUS = sorted((ROOT / "configs" / "corpus").glob("*.yaml"))
PARALLEL = sorted((ROOT / "configs" / "parallel" / "jobs").glob("*.yaml"))
MIXTURES = sorted((ROOT / "configs" / "mixtures").glob("*.yaml"))
TOKENS = sorted((ROOT / "configs" / "tokens").glob("*.yaml"))
PRETRAIN = sorted((ROOT / "configs" / "pretrain").glob("*.yaml"))
SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))
RENDER = sorted((ROOT / "configs" / "parallel" / "render").glob("*.yaml"))


def test_there_are_configurations() -> None:
    assert {path.name for path in CORPUS} >= {"default.yaml"}
    parallel = {ROOT / "configs" / "parallel" / f"{name}.yaml" for name in ("templates", "language_names")}
    shipped = {*CORPUS, *PARALLEL, *RENDER, *MIXTURES, *TOKENS, *PRETRAIN, *SWEEPS}
    known = {*shipped, *parallel, ROOT / "configs" / "languages.yaml"}
    assert set((ROOT / "configs").rglob("*.yaml")) == known


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load_config(path, CorpusConfig)
    assert path.name == "default.yaml" or config != CorpusConfig()


def test_the_defaults_are_spelt_out_truly() -> None:
    path = ROOT / "configs" / "corpus" / "default.yaml"
    assert load_config(path, CorpusConfig) == CorpusConfig()
    stages = read_yaml(path)["stages"]
    assert isinstance(stages, dict)
    assert set(stages) == {*STAGES, "pii", "measure"}


@pytest.mark.parametrize("path", PARALLEL, ids=lambda path: path.name)
def test_every_configuration_of_parallel_jobs_loads(path: Path) -> None:
    config = load_config(path, ParallelConfig)
    assert (path.name == "default.yaml") == (config == ParallelConfig())


@pytest.mark.parametrize("path", RENDER, ids=lambda path: path.name)
def test_every_configuration_of_telling_loads(path: Path) -> None:
    config = load_config(path, RenderConfig)
    assert (path.name == "default.yaml") == (config == RenderConfig())


@pytest.mark.parametrize("path", TOKENS, ids=lambda path: path.name)
def test_every_configuration_of_tokens_loads(path: Path) -> None:
    config = load_config(path, TokensConfig)
    assert (path.name == "default.yaml") == (config == TokensConfig())
    assert path.name != "default.yaml" or set(read_yaml(path)) == set(TokensConfig.model_fields)


@pytest.mark.parametrize("path", MIXTURES, ids=lambda path: path.name)
def test_every_mixture_loads(path: Path) -> None:
    assert load_mixture(path).name == path.stem


@pytest.mark.parametrize("path", PRETRAIN, ids=lambda path: path.name)
def test_every_run_loads(path: Path) -> None:
    """And its mixture is one that is shipped, made where `make mixture` puts it."""
    run = load_config(path, RunConfig)
    assert run.name == path.stem
    assert f"{run.mixture.name}.yaml" in {own.name for own in MIXTURES}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_loads(path: Path) -> None:
    """And its design fits its base mixture, which is shipped, as its runs are."""
    sweep = load_config(path, SweepConfig)
    assert sweep.name == path.stem
    mixture = load_mixture(ROOT / sweep.mixture)
    check_design(sweep, mixture)
    assert len(design_points(sweep, mixture)) > 6
    for run in (sweep.run, *([sweep.scaling.run] if sweep.scaling else [])):
        assert ROOT / run in PRETRAIN


def test_the_defaults_of_parallel_jobs_are_spelt_out() -> None:
    stages = read_yaml(ROOT / "configs" / "parallel" / "jobs" / "default.yaml")["stages"]
    assert isinstance(stages, dict)
    assert set(stages) == set(PairStagesConfig.model_fields)
    assert set(read_yaml(ROOT / "configs" / "parallel" / "render" / "default.yaml")) == set(RenderConfig.model_fields)
    for name in OPTIONAL_PAIR_STAGES:
        ParallelConfig.model_validate({"stages": {name: None}})


def test_the_spelt_out_defaults_leave_a_profile_its_say() -> None:
    fitted = {"score_laser_cosine": Bounds(min=0.7), "score_laser_margin": Bounds(min=1.01)}
    for config in (ParallelConfig(), load_config(PARALLEL[0].with_name("default.yaml"), ParallelConfig)):
        laser = config.stages.laser
        assert laser is not None
        assert laser.for_pair("de", "en", fitted) == fitted
        assert not config.stages.score.model_fields_set


def test_optional_stages_are_stages_that_may_be_null() -> None:
    for name in OPTIONAL_STAGES:
        assert name in StagesConfig.model_fields
        CorpusConfig.model_validate({"stages": {name: None}})
