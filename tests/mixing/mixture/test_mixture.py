"""The configuration of a mixture, and the mixtures that ship, resolved against corpora of their sizes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.errors import UserError
from configs.load import validate_config
from mixing.mixture.learning_rate import LearningRateConfig
from mixing.mixture.manifest import load_manifest
from mixing.mixture.manifest_schema import Manifest
from mixing.mixture.mixture import MixtureConfig, load_mixture
from mixing.mixture.publish import write_mixture
from mixing.mixture.utilization import usage_rows, utilization
from tests.mixing.mixture.token_folders import Row, even_rows, write_source

MIXTURES = sorted((Path(__file__).parents[3] / "configs" / "mixtures").glob("*.yaml"))
Data = dict[str, object]
# Marco-LLM, table 1: billions of tokens that there were, and billions that were used.
MARCO = {
    "en": (1459.7, 90.4), "zh": (214.7, 48.2), "ar": (45.8, 10.6), "de": (442.8, 10.6), "es": (397.8, 10.6),
    "fr": (320.8, 10.6), "ko": (41.8, 10.6), "ja": (224.2, 10.6), "pt": (145.3, 10.6), "tr": (80.6, 10.6),
    "bn": (6.5, 1.9), "he": (11.3, 1.9), "id": (23.8, 1.9), "it": (56.3, 1.9), "ms": (2.9, 1.9), "nl": (31.3, 1.9),
    "pl": (45.3, 1.9), "ru": (251.0, 1.9), "th": (8.3, 1.9), "uk": (18.4, 1.9), "ur": (8.7, 1.9), "vi": (24.4, 1.9),
    "cs": (270.2, 1.9), "el": (376.8, 1.9), "hu": (214.4, 1.9), "kk": (16.8, 1.9), "ro": (160.0, 1.9),
    "az": (19.4, 1.9), "ne": (22.6, 1.9),
}  # fmt: skip
MARCO_OTHERS = {"parallel": (103.0, 20.8), "knowledge": (65.0, 16.4), "synthetic": (6.0, 4.4)}


def plain() -> Data:
    """Return a mixture with every kind of setting."""
    return copy.deepcopy(
        {
            "name": "m",
            "sequence_length": 128,
            "max_epochs_of": {"el": 2},
            "stages": [
                {
                    "name": "one",
                    "tokens": "1k",
                    "learning_rate": {"schedule": "cosine", "peak": 1e-5, "final": 0, "warmup_tokens": 100},
                    "categories": {
                        "low": {"share": 0.4, "sources": ["el", {"name": "k*", "min_tokens": 3}], "spread": "unimax"},
                        "high": {"share": 0.6, "sources": ["tr"], "where": {"tokens": {"min": 1}}},
                    },
                }
            ],
        }
    )


def changed(place: str, value: object) -> Data:
    """Return the mixture with another value at a dotted place."""
    data: object = plain()
    whole, keys = data, place.split(".")
    for key in keys[:-1]:
        data = data[int(key)] if isinstance(data, list) else data[key]  # type: ignore[index]
    data[keys[-1]] = value  # type: ignore[index]
    assert isinstance(whole, dict)
    return whole


def test_a_configuration_is_the_same_after_a_manifest_kept_it() -> None:
    config = validate_config(plain(), MixtureConfig, "m.yaml")
    assert MixtureConfig.model_validate(config.model_dump(mode="json")) == config
    assert config.max_epochs == Fraction(1)
    assert config.stages[0].categories["low"].sources[1].min_tokens == 3


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("stages.0.categories.low.share", 0.5, "the categories' shares of tokens sum to 1.1, not to 1: 0.1 too much"),
        ("stages.0.categories.low.share", 0.3999999999, "sum to 0.9999999999, not to 1: 1e-10 are missing"),
        ("stages.0.categories.low.share", math.nan, "nan is not a number of 0 or more"),
        ("stages.0.categories.low.share", -0.4, "-0.4 is not a number of 0 or more"),
        ("stages.0.categories.low.spread", "unimx", "spread"),
        ("stages.0.categories.low.spread", {"temperature": 5}, "for a sampling temperature T it is 1/T"),
        ("stages.0.categories.low.spread", {"shares": {"el": 0.5}}, "shares of the spread of tokens sum to 0.5"),
        ("stages.0.categories.low.spread", ["el"], "a spread is uniform, proportional, unimax"),
        ("stages.0.categories.low.sources", [], "sources: there is none"),
        ("stages.0.categories.low.sources", [False], "put it in quotes"),
        ("stages.0.categories.low.epochs", 3, "unknown key 'epochs'"),
        ("stages.0.categories.low.where", {"words": {"least": 3}}, "unknown key 'least'"),
        ("stages.0.categories.low.where", {"words": {"min": math.nan}}, "a condition takes finite numbers"),
        ("stages.0.categories", {}, "categories: there is none"),
        ("stages.0.tokens", 0, "0 is not a number of tokens"),
        ("stages.0.tokens", "lots", "'lots' is not a number of tokens"),
        ("stages.0.packing", "tight", "packing"),
        ("stages.0.learning_rate.warmup_tokens", 2000, "warm-up and decay take 2,000 tokens, the stage has 1,000"),
        ("stages.0.learning_rate.final", None, "the schedule cosine needs final"),
        ("stages.0.learning_rate.final", 1e-4, "start and final are not above the peak"),
        ("stages.0.learning_rate.schedule", "constant", "the schedule constant has no final"),
        ("stages", [], "stages: there is none"),
        ("stages", [plain()["stages"][0]] * 2, "two stages are called 'one'"),  # type: ignore[index]
        ("name", "../m", "name"),
        ("max_epochs", "often", "'often' is not a number"),
        ("sequence_length", None, "sequence_length"),
    ],
)
def test_mistakes_are_one_line_that_says_where(place: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as raised:
        validate_config(changed(place, value), MixtureConfig, "m.yaml")
    assert message in str(raised.value)
    assert place.split(".")[0] in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_sources_take_from_their_category_what_they_do_not_say() -> None:
    data = changed(
        "stages.0.categories.high",
        {
            "share": 0.6,
            "max_epochs": 2,
            "where": {"words": {"min": 5}, "date": "2020"},
            "sources": ["tr", {"name": "en", "max_epochs": None, "where": {"words": {"min": 9}}}],
        },
    )
    category = validate_config(data, MixtureConfig, "m.yaml").stages[0].categories["high"]
    first, second = (category.choice(source) for source in category.sources)
    assert [first.max_epochs, first.where["words"].min] == [2, 5]
    assert [second.max_epochs, second.where["words"].min, second.where["date"].any_of] == [None, 9, ("2020",)]


@given(
    st.sampled_from(["constant", "cosine", "linear", "warmup_stable_decay"]),
    st.integers(0, 400),
    st.integers(1, 400),
    st.integers(0, 1000),
)
def test_learning_rates_warm_up_and_decay_as_they_are_called(name: str, warmup: int, decay: int, done: int) -> None:
    data: Data = {"schedule": name, "peak": 1.0, "warmup_tokens": warmup or None}
    data |= {} if name == "constant" else {"final": 0.1}
    data |= {"decay_tokens": decay} if name == "warmup_stable_decay" else {}
    plan = LearningRateConfig.model_validate(data)
    begin = 1000 - decay if name == "warmup_stable_decay" else warmup
    if done < warmup:
        expected = done / warmup
    elif name == "constant" or done <= begin:
        expected = 1.0
    elif name == "cosine":
        expected = 0.1 + 0.9 * math.cos(math.pi / 2 * (done - begin) / (1000 - begin)) ** 2
    else:
        expected = 1.0 - 0.9 * (done - begin) / (1000 - begin)
    assert plan.rate(done, 1000) == pytest.approx(expected)


def test_a_start_needs_a_warm_up() -> None:
    with pytest.raises(ValidationError, match="it needs warmup_tokens"):
        LearningRateConfig.model_validate({"schedule": "constant", "peak": 1, "start": 0.5})


def billions(name: str, count: float, tokens: Path, languages: list[str] | None = None) -> None:
    write_source(tokens, name, [even_rows(2, round(count * 1e9)), even_rows(1, 0)], languages)


def marco_tokens(tokens: Path) -> None:
    for name, (there, _) in MARCO.items():
        billions(name, there, tokens)
    for name in ("de-en", "el-en"):
        billions(name, MARCO_OTHERS["parallel"][0] / 2, tokens)
    billions("knowledge-stem", MARCO_OTHERS["knowledge"][0], tokens, ["en"])
    billions("synthetic-stories", MARCO_OTHERS["synthetic"][0], tokens, ["en"])


def x_alma_tokens(tokens: Path) -> None:
    config = load_mixture(next(path for path in MIXTURES if path.stem == "x_alma_three_stage"))
    for place, source in enumerate(config.stages[0].categories["monolingual"].sources):
        billions(source.name, 3 + place, tokens)
    for source in config.stages[2].categories["parallel"].sources:
        billions(source.name, 0.5, tokens)


def in2x_tokens(tokens: Path) -> None:
    for language in ("en", "ja", "zh"):
        for name, there in (("knowledge", 700), ("creative", 170)):
            rows: list[Row] = [
                {
                    "tokens": tokens_each,
                    "perplexity_bucket": bucket,
                    "metrics.duplicate_line_ratio": ratio,
                }
                for tokens_each, bucket, ratio in (
                    (8192, "head", 0.0),
                    (round(there * 0.6e9), "head", 0.05),
                    (round(there * 0.3e9), "tail", 0.0),
                    (round(there * 0.1e9), "head", 0.3),
                )
            ]
            write_source(tokens, f"{name}-{language}", [rows], [language])


def sample_tokens(tokens: Path) -> None:
    """Of about the size of the sample crawl's corpora."""
    for name, there in (("el", 12_000), ("kk", 4_000), ("tr", 7_000), ("el-en", 14_000)):
        rows: list[Row] = [{**row, "metrics.words": 150.0 + 5 * n} for n, row in enumerate(even_rows(20, there))]
        write_source(tokens, name, [rows])


def tiny_tokens(tokens: Path) -> None:
    """Of about the size of the sample crawl's corpora in all its languages."""
    sizes = {"de": 8_000, "el": 8_200, "en": 5_600, "kk": 3_300, "th": 2_500, "tr": 5_500, "zh": 2_700}
    for name, there in sizes.items():
        write_source(tokens, name, [even_rows(10, there)])


def four_tokens(tokens: Path) -> None:
    """Of a few hundred web pages each."""
    for name in ("de", "en", "ru", "zh"):
        write_source(tokens, name, [even_rows(300, 400_000)])


TOKENS: dict[str, Callable[[Path], None]] = {
    "marco_two_stage": marco_tokens,
    "x_alma_three_stage": x_alma_tokens,
    "in2x_three_phase": in2x_tokens,
    "sample": sample_tokens,
    "tiny": tiny_tokens,
    "tiny_sweep": tiny_tokens,
    "filter_ablation": tiny_tokens,
    "four_languages": four_tokens,
}


@pytest.fixture(params=MIXTURES, ids=lambda path: path.stem)
def shipped(request: pytest.FixtureRequest, tmp_path: Path) -> Manifest:
    """Return a shipped mixture, resolved, written, and read again."""
    path = request.param
    TOKENS[path.stem](tmp_path / "tokens")
    config = load_mixture(path)
    assert config.name == path.stem
    written = write_mixture(config, tmp_path / "tokens", tmp_path / "mixtures")
    assert load_manifest(tmp_path / "mixtures" / path.stem, deep=True) == written
    return written


def test_every_shipped_mixture_can_be_made(shipped: Manifest) -> None:
    config = yaml.safe_load(next(path for path in MIXTURES if path.stem == shipped.name).read_text())
    assert [stage.name for stage in shipped.stages] == [stage["name"] for stage in config["stages"]]
    for stage in shipped.stages:
        assert sum(source.tokens for source in stage.sources) == stage.tokens
        assert math.fsum(source.weight for source in stage.sources) == 1.0
        for source in stage.sources:
            assert source.run_max_epochs is not None
            assert source.epochs_before + source.epochs <= source.run_max_epochs + 1e-12


def test_there_is_a_test_for_every_shipped_mixture() -> None:
    assert {path.stem for path in MIXTURES} == TOKENS.keys()


def test_the_marco_mixture_has_the_figures_of_the_paper(tmp_path: Path) -> None:
    """Tables 2 and 3 give table 1: what was used of each language, and at which rate."""
    marco_tokens(tmp_path / "tokens")
    config = load_mixture(next(path for path in MIXTURES if path.stem == "marco_two_stage"))
    manifest = write_mixture(config, tmp_path / "tokens", tmp_path / "mixtures")
    table = utilization(manifest)
    found = {(kind, row.name): row for kind, row in usage_rows(table)}
    for name, (there, used) in (MARCO | MARCO_OTHERS).items():
        if name == "en":
            row = found["category", "English"]
        else:
            row = found["category" if name in MARCO_OTHERS else "language", name]
        assert row.available == round(there * 1e9)
        assert round(row.used / 1e9, 1) == pytest.approx(used, abs=0.051)
        assert 100 * row.rate == pytest.approx(100 * used / there, rel=0.03)
    assert 100 * table.whole.rate == pytest.approx(5.9, abs=0.05)
    rates = [stage.learning_rate for stage in manifest.stages]
    assert [(plan.peak, plan.warmup_tokens) for plan in rates] == [(1e-5, 10**10), (6e-6, 10**10)]
    assert all(plan.final == pytest.approx(plan.peak / 10) for plan in rates)


def test_in2x_draws_from_long_texts_and_then_from_the_best(tmp_path: Path) -> None:
    in2x_tokens(tmp_path / "tokens")
    config = load_mixture(next(path for path in MIXTURES if path.stem == "in2x_three_phase"))
    manifest = write_mixture(config, tmp_path / "tokens", tmp_path / "mixtures")
    chosen = [[own.where.documents if own.where else None for own in stage.sources] for stage in manifest.stages]
    assert chosen == [[None] * 6, [3] * 6, [2] * 6]
