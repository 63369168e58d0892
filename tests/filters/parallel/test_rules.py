"""Rules of pairs, their configuration, calibration and the score: reasons, refusals, directions."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.errors import UserError
from configs.load import validate_config
from filters.calibrate import CalibrateConfig, positions
from filters.decisions import decide_columns
from filters.parallel.calibrate import FITTED_MEASURES, PAIRS, SCORE_MEASURES, PairCalibrateConfig, fit_pair_thresholds
from filters.parallel.measures import PAIR_MEASURES, PairMeasurer, PairSide
from filters.parallel.rules import DEFAULT_PAIR_RULES, NAMES, PairRulesConfig
from filters.parallel.score import PENALTIES, pair_score, pair_scores
from filters.rules import Bounds, decide
from tests.filters.parallel.test_measures import side

GOOD = ("The ministers met on 12 May 2014 to discuss the budget of the union.",
        "Die Minister trafen sich am 12. Mai 2014, um den Haushalt der Union zu besprechen.")  # fmt: skip
EN_DE = PairMeasurer(side("en"), side("de"))


def reason(source: str, target: str, config: PairRulesConfig | None = None) -> str | None:
    rules = (config or PairRulesConfig()).for_pair(side("en"), side("de"))
    verdict = decide(EN_DE.measure_pair(source, target), rules)
    return verdict.rule if verdict else None


def test_a_translation_breaks_no_rule() -> None:
    assert reason(*GOOD) is None


@pytest.mark.parametrize(
    ("source", "target", "rule"),
    [
        ("", GOOD[1], "src_chars.min"),
        ("***", "---", "src_letter_ratio.min"),
        (GOOD[0], "Министры встретились 12 мая 2014 года", "tgt_script_ratio.min"),
        (GOOD[0], "Für 12 NebengebÃ¤ude 2014", "tgt_garbled_ratio.max"),
        (GOOD[0], "<b>Die Minister</b> trafen sich wieder im Mai 2014<br/>", "tgt_markup_ratio.max"),
        ("The ministers met.", GOOD[1], "length_ratio.max"),
        (GOOD[0], "Die Minister: 12, 2014", "length_ratio.max"),
        ("Terms and conditions", "TERMS AND CONDITIONS", "similarity.max"),
        (GOOD[0], GOOD[0], "tgt_stop_word_ratio.min"),
        ("Sold in 1999, painted in 1887", "Verkauft 2003, gemalt 1904", "number_mismatch.max"),
        ("What is it?", "Das ist es:", "terminal_mismatch.max"),
        ("READ ALL OF THIS", "lesen sie dies ganz", "upper_mismatch.max"),
    ],
)
def test_a_bad_pair_is_dropped_for_its_reason(source: str, target: str, rule: str) -> None:
    assert reason(source, target) == rule


def test_a_side_in_another_language_is_dropped() -> None:
    own = PairMeasurer(side("en"), side("de"), lambda text: {"fr": 0.99} if "les" in text else {"de": 0.5, "en": 0.5})
    rules = PairRulesConfig().for_pair(side("en"), side("de"))
    verdict = decide(
        own.measure_pair(
            "The ministers met to talk of it", "Ils se réunissent longuement pour les entendre, plusieurs ministres"
        ),
        rules,
    )
    assert verdict is not None
    assert verdict.rule == "tgt_language_score.min"


def test_none_switches_off_and_zero_is_a_value() -> None:
    numbers = ("Sold in 1999, painted in 1887", "Verkauft 2003, gemalt 1904")
    assert reason(*numbers, PairRulesConfig(rules={"number_mismatch": None})) is None
    assert reason(*numbers, PairRulesConfig(rules={"number_mismatch": Bounds(max=None)})) is None
    assert reason(*GOOD, PairRulesConfig(rules={"digit_ratio": Bounds(max=0)})) == "src_digit_ratio.max"
    assert reason(*GOOD, PairRulesConfig(rules={"tgt_digit_ratio": Bounds(max=0)})) == "tgt_digit_ratio.max"


def test_languages_and_pairs_overrule_in_either_direction() -> None:
    config = PairRulesConfig(
        rules={"digit_ratio": Bounds(max=0.5), "length_ratio": Bounds(max=3)},
        by_language={"de": {"digit_ratio": Bounds(max=0.2)}},
        by_pair={"de-en": {"length_ratio": Bounds(max=2), "src_symbol_ratio": Bounds(max=0.01)}},
    )
    there, back = config.for_pair(side("de"), side("en")), config.for_pair(side("en"), side("de"))
    assert there["src_digit_ratio"] == back["tgt_digit_ratio"] == Bounds(max=0.2)
    assert there["tgt_digit_ratio"] == back["src_digit_ratio"] == Bounds(max=0.5)
    assert there["length_ratio"] == back["length_ratio"] == Bounds(max=2)
    assert there["src_symbol_ratio"] == back["tgt_symbol_ratio"] == Bounds(max=0.01)
    assert config.for_pair(side("en"), side("el"))["length_ratio"] == Bounds(max=3)


def test_calibrated_thresholds_stand_between_defaults_and_configuration() -> None:
    calibrated = {"length_ratio": Bounds(max=1.4), "similarity": Bounds(max=0.5)}
    config = PairRulesConfig(rules={"similarity": Bounds(max=0.7)})
    rules = config.for_pair(side("en"), side("de"), calibrated)
    assert (rules["length_ratio"].max, rules["similarity"].max) == (1.4, 0.7)


def test_defaults_know_other_scripts_and_languages_that_are_alike() -> None:
    config = PairRulesConfig()
    longest = [config.for_pair(side("en"), side(code))["length_ratio"].max or 0.0 for code in ("de", "el", "zh", "ar")]
    assert longest[0] == longest[1] < longest[2] == longest[3]
    spanish, galician = (PairSide(code, "spaces", ("Latn",)) for code in ("es", "gl"))
    assert config.for_pair(spanish, galician)["untranslated_ratio"] == Bounds()
    assert list(config.for_pair(side("en"), side("zh"))) == [
        name for name in PAIR_MEASURES if name in config.for_pair(side("en"), side("zh"))
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rules": {"number_missmatch": {"max": 1}}}, "unknown measure 'number_missmatch'; the measures are: chars"),
        ({"by_pair": {"de-en": {"x": None}}}, "unknown measure 'x'"),
        ({"by_language": {"de": {"length_ratio": None}}}, "unknown measure 'length_ratio'; the measures are: chars"),
        ({"by_pair": {"deen": {}}}, "'deen' is no pair of languages"),
        ({"by_pair": {"de-de": {}}}, "'de-de' is no pair of languages"),
        ({"by_pair": {"de-en": {}, "en-de": {}}}, "same pair"),
        ({"rules": {"similarity": {"max": 1.5}}}, "max 1.5 of similarity is out of the measure's range"),
        ({"rules": {"src_words": {"min": -1}}}, "min -1 of src_words is out of the measure's range"),
        ({"rules": {"words": {"min": 3, "max": 2}}}, "min 3.0 is above max 2.0"),
        ({"rulez": {}}, "rulez"),
    ],
)
def test_a_wrong_configuration_is_refused_in_words(data: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        validate_config(data, PairRulesConfig, "pairs.yaml")
    assert message in str(error.value)


def test_a_minimum_above_the_maximum_of_another_place_is_refused() -> None:
    config = PairRulesConfig(by_pair={"de-en": {"similarity": Bounds(min=0.95)}})
    with pytest.raises(UserError, match=r"rule on similarity has min 0\.95 above max 0\.9"):
        config.for_pair(side("de"), side("en"))


def test_the_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        PairRulesConfig().rules = {}


def test_defaults_are_measures_with_bounds_on_their_bad_side() -> None:
    for name, bounds in DEFAULT_PAIR_RULES.items():
        about = PAIR_MEASURES.get(name) or PAIR_MEASURES[f"src_{name}"]
        assert name in NAMES
        assert (bounds.min is None) == (about.bad == "high")
        assert (bounds.max is None) == (about.bad == "low")


def measured(count: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    vocabulary = [f"w{number:02d}ord".replace("0", "o") for number in range(50)]
    texts = [" ".join(generator.choice(vocabulary, generator.integers(3, 30))) for _ in range(2 * count)]
    return EN_DE.measure(texts[:count], texts[count:])


@pytest.mark.parametrize("method", ["percentile", "tail", "sigma"])
def test_calibration_fits_measures_of_pairs(method: str) -> None:
    columns = measured(600)
    config = CalibrateConfig.model_validate({"method": method, "measures": ("length_ratio", "tgt_chars", "similarity")})
    fitted = {threshold.measure: threshold for threshold in fit_pair_thresholds(columns, config)}
    assert set(fitted) == {"length_ratio", "tgt_chars", "similarity"}
    assert fitted["length_ratio"].side == "max"
    assert fitted["tgt_chars"].side == "min"
    if method != "sigma":
        assert fitted["length_ratio"].removed == pytest.approx(0.02, abs=0.005)
        assert fitted["tgt_chars"].value == int(fitted["tgt_chars"].value)
        bounds = {"length_ratio": Bounds(max=fitted["length_ratio"].value)}
        broken, _ = decide_columns(columns, bounds, 600)
        assert (broken >= 0).mean() == pytest.approx(fitted["length_ratio"].removed)


def test_calibration_carries_positions_from_another_pair() -> None:
    columns = measured(600)
    reference = positions(columns, {"length_ratio": Bounds(max=float(np.quantile(columns["length_ratio"], 0.97)))})
    (threshold,) = fit_pair_thresholds(columns, CalibrateConfig(method="quantile"), reference)
    assert (threshold.measure, threshold.side) == ("length_ratio", "max")
    assert threshold.removed == pytest.approx(0.03, abs=0.005)


def test_calibration_names_what_is_wrong_by_its_own_names() -> None:
    with pytest.raises(ValueError, match="unknown measure 'chars'; the measures are: src_chars"):
        fit_pair_thresholds({}, CalibrateConfig(measures=("chars",)))
    (refused,) = fit_pair_thresholds({"similarity": np.zeros(500)}, CalibrateConfig(measures=("similarity",)))
    assert refused.refused == "lies at the best value of the measure: every pair that is not perfect would go"


def test_calibration_fits_what_depends_on_the_languages_and_the_scores() -> None:
    generator = np.random.default_rng(6)
    columns = {name: generator.beta(3, 3, 600) for name in PAIRS.measures}
    fitted = {(own.measure, own.side) for own in fit_pair_thresholds(columns, PairCalibrateConfig())}
    low = {"src_language_score", "tgt_language_score", *SCORE_MEASURES}
    assert fitted == {(name, "min" if name in low else "max") for name in (*FITTED_MEASURES, *SCORE_MEASURES)}


@pytest.mark.parametrize(
    ("name", "value", "share"), [("percentile", 5.0, 0.05), ("tail", 0.03, 0.03), ("sigmas", 1.0, 0.16)]
)
def test_the_settings_of_pairs_are_those_of_documents(name: str, value: float, share: float) -> None:
    values = np.random.default_rng(7).normal(2, 0.1, 3000)
    method = {"sigmas": "sigma"}.get(name, name)
    config = PairCalibrateConfig.model_validate({"method": method, name: value, "max_removed": 0.5})
    (threshold,) = fit_pair_thresholds({"length_ratio": values}, config)
    assert threshold.removed == pytest.approx(share, abs=0.01)
    assert threshold.value == pytest.approx(np.quantile(values, 1 - share), rel=0.01)


_VALUES = st.lists(st.floats(0, 5) | st.just(math.nan), min_size=len(PENALTIES), max_size=len(PENALTIES))


@given(_VALUES, st.sampled_from(sorted(PENALTIES)), st.floats(0, 3))
def test_the_score_never_rises_when_a_measure_gets_worse(values: list[float], name: str, change: float) -> None:
    measures = dict(zip(PENALTIES, values, strict=True))
    before = pair_score(measures)
    assert 0 <= before <= 1
    sign = 1 if PAIR_MEASURES[name].bad == "high" else -1
    assert pair_score(measures | {name: measures[name] + sign * change}) <= before + 1e-12 or math.isnan(measures[name])


@pytest.mark.parametrize("code", ["de:deu", "el:ell", "ru:rus", "ar:arb", "zh:zho-CN", "th:tha", "hi:hin"])
def test_real_translations_pass_and_rank_above_shuffled_ones(code: str, data_folder: Path) -> None:
    language, _, name = code.partition(":")
    folder = data_folder / "ntrex" / "NTREX-128"
    sources, targets = (
        (folder / f"newstest2019-{kind}.txt").read_text(encoding="utf-8").split("\n")[:300]
        for kind in ("src.eng", f"ref.{name}")
    )
    own = PairMeasurer(side("en"), side(language))
    columns = own.measure(sources, targets)
    broken, _ = decide_columns(columns, PairRulesConfig().for_pair(side("en"), side(language)), 300)
    assert (broken >= 0).mean() < 0.06
    true, shuffled = pair_scores(columns), pair_scores(own.measure(sources, targets[1:] + targets[:1]))
    assert (true[:, None] > shuffled[None, :]).mean() > 0.75


def test_penalties_point_to_the_bad_side_of_their_measures() -> None:
    for name, penalty in PENALTIES.items():
        assert (penalty.bad > penalty.good) == (PAIR_MEASURES[name].bad == "high")
        assert penalty.weight > 0


def test_the_score_ranks_a_translation_above_what_is_none() -> None:
    texts = [GOOD[1], GOOD[0], "", "Die Kommission traf sich am 3. Juni 2011.", "Impressum"]
    scores = pair_scores(EN_DE.measure([GOOD[0]] * 5, texts)).tolist()
    assert scores[0] == max(scores) > 0.7
    assert max(scores[1:]) < 0.5
    assert pair_score(EN_DE.measure_pair(*GOOD)) == pytest.approx(scores[0])
