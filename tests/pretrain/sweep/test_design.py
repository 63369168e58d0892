"""The design of a sweep on shipped and made-up base mixtures: what is tried, in which order, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.load import read_yaml, validate_config
from mixing.mixture.mixture import MixtureConfig, load_mixture
from pretrain.sweep.analysis.features import ShareBlock
from pretrain.sweep.design.design import base_point, check_design, design_points, features_of
from pretrain.sweep.sweep_config import Constraints, SweepConfig
from pretrain.sweep.trial import Point

ROOT = Path(__file__).resolve().parents[3]
MIXTURES = ROOT / "configs" / "mixtures"
CATEGORIES = ("English", "Chinese", "high-resource", "low-resource")


def tiny() -> MixtureConfig:
    return load_mixture(MIXTURES / "tiny.yaml")


def sweep(**design: object) -> SweepConfig:
    data = {"name": "s", "mixture": "m", "tokens": "t", "run": "r", "design": design}
    return validate_config(data, SweepConfig, "sweep.yaml")


def bounded(limits: Mapping[str, object], **design: object) -> SweepConfig:
    constraints = validate_config({"shares": limits}, Constraints, "sweep.yaml")
    return sweep(**design).model_copy(update={"constraints": constraints})


def mixture_of(shares: Mapping[str, object], stages: int = 1, **others: object) -> MixtureConfig:
    """Return a mixture whose stages all have these shares; each category has a source of its name in small letters."""
    stage = {
        "tokens": 1000,
        "learning_rate": {"schedule": "constant", "peak": 1e-3},
        "categories": {name: {"share": share, "sources": [name.lower()]} for name, share in shares.items()},
    }
    data = {"name": "m", "sequence_length": 8, "stages": [{"name": f"s{n + 1}", **stage} for n in range(stages)]}
    return validate_config(data | others, MixtureConfig, "m.yaml")


def block(points: list[Point], stage: str = "s1") -> list[tuple[Fraction, ...]]:
    return [tuple(point.shares[stage].values()) for point in points]


def assert_trains(points: list[Point], mixture: MixtureConfig) -> None:
    """Each point is a mixture that can be loaded, is read back as the same, and stands there once."""
    for point in points:
        assert Point.model_validate_json(point.model_dump_json()) == point
        data = mixture.model_dump(mode="json")
        for stage in data["stages"]:
            for name, share in json.loads(point.model_dump_json())["shares"].get(stage["name"], {}).items():
                stage["categories"][name]["share"] = share
        MixtureConfig.model_validate(data)
    assert len({point.model_dump_json() for point in points}) == len(points)


STAGE_1 = {"method": "dirichlet", "stages": ["stage-1"], "trials": 8}


def test_draws_around_a_shipped_mixture() -> None:
    config = sweep(shares={**STAGE_1, "bounds": {"English": {"min": "10%"}}})
    points = design_points(config, tiny())
    assert len(points) == 9
    assert points[0] == base_point(config, tiny())
    assert points[0].shares == {
        "stage-1": dict(zip(CATEGORIES, map(Fraction, ("0.3", "0.1", "0.3", "0.3")), strict=True))
    }
    assert all(point.shares["stage-1"]["English"] >= Fraction(1, 10) for point in points)
    assert all(own * 10_000 % 1 == 0 for shares in block(points, "stage-1") for own in shares)
    assert_trains(points, tiny())
    assert features_of(config, tiny()).blocks == (ShareBlock(("stage-1",), CATEGORIES, 1.0),)


def test_draws_of_two_stages_go_together_and_more_draws_begin_with_the_same() -> None:
    def axes(trials: int) -> SweepConfig:
        second = {
            "method": "dirichlet",
            "stages": ["stage-2"],
            "categories": ["low-resource", "English"],
            "trials": trials,
        }
        return sweep(shares=[{**STAGE_1, "trials": trials}, second], learning_rate=[1e-3, 2e-3, 4e-3], seeds=[1, 2])

    points = design_points(axes(5), tiny())
    assert len(points) == 2 + 5
    assert [point.seed for point in points[:2]] == [1, 2]
    assert points[0].mixture_key() == points[1].mixture_key()
    assert all(len(set(block(points, stage))) == 6 for stage in ("stage-1", "stage-2"))
    for point in points:
        shares = point.shares["stage-2"]
        assert (shares["Chinese"], shares["high-resource"]) == (Fraction(1, 10), Fraction(3, 10))
        assert shares["English"] + shares["low-resource"] == Fraction(6, 10)
    assert design_points(axes(40), tiny())[:7] == points
    assert_trains(points, tiny())
    features = features_of(axes(5), tiny())
    assert features.blocks[1] == ShareBlock(("stage-2",), ("English", "low-resource"), 0.6)
    assert features.learning_rate
    assert features.matrix(points).shape == (7, 4 + 2 + 1)


def test_stages_with_the_same_shares_vary_together() -> None:
    mixture = mixture_of({"A": "1/2", "B": "1/4", "C": "1/4"}, stages=2)
    config = sweep(shares={"method": "lattice", "categories": ["C", "A"], "levels": 3})
    points = design_points(config, mixture)
    assert all(point.shares["s1"] == point.shares["s2"] for point in points)
    assert sorted(block(points[1:])) == [(Fraction(n, 4), Fraction(1, 4), Fraction(3 - n, 4)) for n in (0, 1, 3)]
    assert block(points[:1]) == [(Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))]  # of the lattice, and not twice
    assert features_of(config, mixture).blocks == (ShareBlock(("s1", "s2"), ("A", "C"), 0.75),)
    assert_trains(points, mixture)


def test_a_lattice_comes_in_an_order_by_chance_that_the_seed_fixes() -> None:
    mixture = mixture_of({"A": "1/3", "B": "1/3", "C": "1/3"})
    axis = {"method": "lattice", "levels": 6}
    points = block(design_points(sweep(shares=axis), mixture))
    assert len(points) == 28
    assert points[0] == (Fraction(1, 3),) * 3
    assert points == block(design_points(sweep(shares=axis), mixture))
    other = block(design_points(sweep(shares=axis, seed=2), mixture))
    assert sorted(other) == sorted(points)
    assert other != points
    assert points[1:] != sorted(points[1:])


@settings(max_examples=60)
@given(st.data(), st.lists(st.integers(1, 20), min_size=3, max_size=5))
def test_a_grid_is_all_combinations_and_the_rest_keeps_its_proportions(data: st.DataObject, parts: list[int]) -> None:
    names = list("ABCDE")[: len(parts)]
    base = {name: Fraction(part, sum(parts)) for name, part in zip(names, parts, strict=True)}
    mixture = mixture_of({name: str(share) for name, share in base.items()})
    given_names = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names) - 1, unique=True))
    percents = st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True)
    values = {name: data.draw(percents) for name in given_names}
    axis = {"method": "grid", "values": {name: [f"{own}%" for own in given] for name, given in values.items()}}
    possible = {combination for combination in itertools.product(*values.values()) if sum(combination) <= 100}
    if not possible:
        with pytest.raises(UserError, match="no combination is within the bounds and leaves the other categories"):
            design_points(sweep(shares=axis), mixture)
        return
    if possible == {tuple(100 * base[name] for name in values)}:
        with pytest.raises(UserError, match="nothing varies"):
            design_points(sweep(shares=axis), mixture)
        return
    points = design_points(sweep(shares=axis), mixture)
    tried = [tuple(100 * point.shares["s1"][name] for name in values) for point in points]
    assert len(set(tried)) == len(tried)
    assert set(tried[1:]) | ({tried[0]} & possible) == possible
    rest = [name for name in names if name not in values]
    for point in points:
        shares = point.shares["s1"]
        assert sum(shares.values()) == 1
        assert all(shares[one] * base[other] == shares[other] * base[one] for one in rest for other in rest)
    assert_trains(points, mixture)


def test_bounds_leave_out_points_of_a_grid_and_axes_multiply() -> None:
    mixture = mixture_of({"A": "50%", "B": "25%", "C": "25%"}, stages=2)
    first = {
        "method": "grid",
        "stages": ["s1"],
        "values": {"A": ["20%", "40%", "90%"]},
        "bounds": {"B": {"min": "10%"}},
    }
    second = {"method": "lattice", "stages": ["s2"], "categories": ["B", "C"], "levels": 2}
    points = design_points(sweep(shares=[first, second]), mixture)
    found = {(point.shares["s1"]["A"], point.shares["s2"]["B"]) for point in points[1:]}
    assert found == set(itertools.product([Fraction(1, 5), Fraction(2, 5)], [0, Fraction(1, 4), Fraction(1, 2)]))
    assert len(points) == 1 + 6
    third = {"method": "dirichlet", "stages": ["s2"], "trials": 3}
    points = design_points(sweep(shares=[first, third]), mixture)
    assert len(points) == 1 + 6
    assert len(set(block(points[1:], "s2"))) == 3


def test_without_shares_the_other_axes_are_crossed() -> None:
    config = sweep(
        learning_rate=[1e-3, 4e-3], stage_split=[["60%", "40%"], ["80%", "20%"]], max_epochs=[4, 8], seeds=[7, 3]
    )
    points = design_points(config, tiny())
    assert points[0] == Point(
        learning_rate=4e-3, stage_split=(Fraction(3, 5), Fraction(2, 5)), max_epochs=Fraction(8), seed=7
    )
    assert points[1] == points[0].model_copy(update={"seed": 3})
    assert len(points) == 2**4
    assert all(not point.shares and point.variant is None for point in points)
    features = features_of(config, tiny())
    assert (features.blocks, features.learning_rate, features.splits, features.max_epochs) == ((), True, 1, True)
    assert_trains(points, tiny())
    features.matrix(points)


def test_a_base_mixture_besides_the_levels_is_one_more() -> None:
    config = sweep(learning_rate=[1e-5, 2e-5])
    points = design_points(config, tiny())
    assert [point.learning_rate for point in points] == [4e-3, 1e-5, 2e-5]
    assert design_points(sweep(learning_rate=[4e-3], seeds=[1, 2]), tiny())[1].seed == 2
    assert not features_of(sweep(learning_rate=[4e-3], seeds=[1, 2]), tiny()).learning_rate
    assert features_of(sweep(learning_rate=[1e-3]), tiny()).learning_rate


VARIANTS = {"clean": {}, "raw": {"el": "el-raw", "kk": "kk-raw"}}


def test_crossed_trials_differ_in_the_variant_alone_and_so_do_those_of_the_base_mixture() -> None:
    config = sweep(shares=STAGE_1, corpora=VARIANTS, seeds=[1, 2], combine="cross")
    points = design_points(config, tiny())
    assert len(points) == 4 * (8 + 1)
    assert [(point.variant, point.seed) for point in points[:4]] == [("clean", 1), ("clean", 2), ("raw", 1), ("raw", 2)]
    keys = Counter(point.model_copy(update={"variant": None}).model_dump_json() for point in points)
    assert set(keys.values()) == {2}
    assert features_of(config, tiny()).variants == ("raw",)
    assert_trains(points, tiny())


def test_balanced_trials_have_each_level_about_as_often_from_the_first_on() -> None:
    axes = {"learning_rate": [1e-3, 2e-3, 4e-3], "max_epochs": [4, 8], "corpora": VARIANTS, "seeds": [1, 2]}
    config = sweep(shares={**STAGE_1, "trials": 60}, **axes)
    points = design_points(config, tiny())
    assert len(points) == 2 + 60
    assert points[0].variant == "clean"
    drawn = points[2:]
    combinations = [(point.learning_rate, point.max_epochs, point.variant, point.seed) for point in drawn]
    assert [Counter(combinations[start : start + 24]) for start in (0, 24)] == [
        Counter(dict.fromkeys(combinations, 1))
    ] * 2
    for length in range(1, 61):
        for column, number in zip(zip(*combinations[:length], strict=True), (3, 2, 2, 2), strict=True):
            counts = Counter(column)
            assert max(counts.values()) - (min(counts.values()) if len(counts) == number else 0) <= 1
    # In the order by chance no level tells of when a trial came, nor of another axis.
    other = design_points(sweep(shares={**STAGE_1, "trials": 60}, **axes, seed=5), tiny())[2:]
    assert [point.variant for point in other] != [point.variant for point in drawn]
    pairs = Counter((point.learning_rate, point.variant) for point in drawn[:12])
    assert len(pairs) == 6
    assert max(pairs.values()) <= 3
    assert_trains(points, tiny())


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1 << 40))
def test_balanced_combinations_are_used_up_before_one_comes_again(
    trials: int, rates: int, seeds: int, seed: int
) -> None:
    axes = {"learning_rate": [0.001 * (n + 1) for n in range(rates)], "seeds": list(range(seeds)), "seed": seed}
    points = design_points(sweep(shares={**STAGE_1, "trials": trials}, **axes), tiny())
    counts = Counter((point.learning_rate, point.seed) for point in points[seeds:])
    assert counts.total() == trials
    assert max(counts.values()) - (min(counts.values()) if len(counts) == rates * seeds else 0) <= 1
    fewer = design_points(sweep(shares={**STAGE_1, "trials": max(1, trials // 2)}, **axes), tiny())
    assert points[: len(fewer)] == fewer


def test_levels_that_are_not_reached_do_not_vary() -> None:
    variants = {"clean": {}, **{name: {"el": f"el-{name}"} for name in "abcdef"}}
    config = sweep(shares={**STAGE_1, "trials": 2}, corpora=variants)
    tried = {point.variant for point in design_points(config, tiny())} - {"clean"}
    assert 1 <= len(tried) <= 2
    assert set(features_of(config, tiny()).variants) == tried


def test_points_are_the_same_in_another_process() -> None:
    config = sweep(
        shares=[
            STAGE_1,
            {"method": "lattice", "stages": ["stage-2"], "levels": 3, "bounds": {"Chinese": {"max": "1/3"}}},
        ],
        learning_rate=[1e-3, 2e-3],
        corpora=VARIANTS,
    )
    program = (
        "import sys; from pathlib import Path; from mixing.mixture.mixture import load_mixture\n"
        "from pretrain.sweep.design.design import design_points; from pretrain.sweep.sweep_config import SweepConfig\n"
        "config = SweepConfig.model_validate_json(sys.stdin.read())\n"
        "for point in design_points(config, load_mixture(Path(sys.argv[1]))): print(point.model_dump_json())\n"
    )
    expected = [point.model_dump_json() for point in design_points(config, tiny())]
    done = subprocess.run(
        [sys.executable, "-c", program, str(MIXTURES / "tiny.yaml")],
        input=config.model_dump_json(),
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == expected


DIRICHLET = {"method": "dirichlet", "trials": 2}
GRID = {"method": "grid", "stages": ["stage-1"]}
LATTICE = {"method": "lattice", "stages": ["stage-1"], "levels": 4}
WRONG: list[tuple[dict[str, object], str]] = [
    ({}, "nothing varies"),
    ({"learning_rate": [4e-3]}, "nothing varies"),
    ({"shares": {**GRID, "values": {"English": ["30%"]}}}, "nothing varies"),
    (
        {"shares": {**DIRICHLET, "stages": ["stage-3"]}},
        "no stage 'stage-3' - did you mean 'stage-2'?; the valid ones are",
    ),
    ({"shares": {**DIRICHLET, "stages": []}}, "design.shares, stages: there is none"),
    ({"shares": {**DIRICHLET, "stages": ["stage-1", "stage-1"]}}, "the same stands there twice: 'stage-1'"),
    ({"shares": {**STAGE_1, "categories": ["English", "Greek"]}}, "the stage 'stage-1' has no category 'Greek'"),
    ({"shares": {**STAGE_1, "categories": ["English"]}}, "the shares of English cannot vary; two are needed"),
    (
        {"shares": {**STAGE_1, "bounds": {"english": {"max": 1}}}},
        "bounds: no category varies that is called 'english' - did",
    ),
    (
        {"shares": {**STAGE_1, "categories": ["English", "Chinese"], "bounds": {"low-resource": {"max": 1}}}},
        "called 'low-resource'; the valid ones are: English, Chinese",
    ),
    ({"shares": {**GRID, "values": {"Greek": [0.1]}}}, "values: no category varies that is called 'Greek'; the valid"),
    ({"shares": {**GRID, "values": {"English": []}}}, "values: there is none for 'English'"),
    (
        {"shares": {**GRID, "values": {"English": ["10%", 0.1]}}},
        "values of 'English': the same stands there twice: 0.1",
    ),
    ({"shares": {**GRID, "values": {name: ["25%"] for name in CATEGORIES}}}, "leave one category out at least"),
    ({"shares": {**GRID, "values": {"English": ["120%"]}}}, "leaves the other categories a share of 0 or more of 100%"),
    (
        {"shares": {**GRID, "values": {name: [n / 1000 for n in range(50)] for name in CATEGORIES[:3]}}},
        "there are 125,000 combinations, more than 10,000",
    ),
    ({"shares": DIRICHLET}, "'stage-1' and 'stage-2' have different shares in the base mixture; give each an axis"),
    ({"shares": [STAGE_1, LATTICE]}, "axis 2: the stage 'stage-1' is in axis 1, too"),
    (
        {"shares": [STAGE_1, {**STAGE_1, "stages": ["stage-2"], "trials": 9}]},
        "give all of them the same number of `trials`",
    ),
    ({"shares": {**STAGE_1, "bounds": {name: {"max": "20%"} for name in CATEGORIES}}}, "the highest shares sum to 80%"),
    ({"shares": {**STAGE_1, "trials": 10_001}}, "the design has 10,001 trials, more than 10,000"),
    ({"shares": {**LATTICE, "levels": 1000}}, "the lattice has more than 10,000 mixtures"),
    ({"shares": {**LATTICE, "levels": 30}, "combine": "cross", "seeds": [1, 2]}, "the design has 10,912 trials"),
    ({"seeds": list(range(200)), "learning_rate": [n + 1 for n in range(100)]}, "the design has 20,000 trials"),
    ({"seeds": [1, 1]}, "design.seeds: the same stands there twice: 1"),
    ({"learning_rate": [1e-5, 0.00001]}, "design.learning_rate: the same stands there twice: 1e-05"),
    ({"max_epochs": [0]}, "under a cap of 0 no text is read"),
    ({"stage_split": [[1]]}, "design.stage_split: [1] has 1 shares, the base mixture 2 stages: stage-1, stage-2"),
    ({"stage_split": [["0.5", "0.6"]]}, "design.stage_split: [0.5, 0.6] sums to 1.1, not to 1"),
    ({"stage_split": [[1, 0]]}, "leaves the stage 'stage-2' without tokens"),
    ({"stage_split": [["1/2", "1/2"], [0.5, "50%"]]}, "the same stands there twice: [0.5, 0.5]"),
    (
        {"corpora": {"a": {}, "b": {"gr": "x"}}},
        "design.corpora.b: the base mixture has no source 'gr'; the valid ones are",
    ),
    ({"corpora": {"a": {}, "b": {"el": "kk"}}}, "b, stage 'stage-1': 'el' and 'kk' would both be the source 'kk'"),
    ({"corpora": {"a": {}, "b": {"el": "el"}}}, "design.corpora.b is the same as a"),
]


@pytest.mark.parametrize(("design", "message"), WRONG)
def test_mistakes_are_told_in_one_line(design: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_design(sweep(**design), tiny())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_that_only_another_base_mixture_has() -> None:
    data = read_yaml(MIXTURES / "tiny.yaml")
    for cap, word in ((None, "null"), (0, "0")):
        without = validate_config({**data, "max_epochs": cap}, MixtureConfig, "m.yaml")
        with pytest.raises(UserError, match=f"the base mixture has `max_epochs: {word}`"):
            check_design(sweep(max_epochs=[1, 2]), without)
    absent = mixture_of({"A": "60%", "B": "40%", "C": 0})
    with pytest.raises(UserError, match="'C' has no share in the base mixture, and draws are around these"):
        check_design(sweep(shares=DIRICHLET), absent)
    grid = {"method": "grid", "values": {"A": ["10%", "20%"]}}
    with pytest.raises(UserError, match="'C' has no share in the base mixture, and what is left is spread by these"):
        check_design(sweep(shares=grid), absent)
    points = design_points(sweep(shares={"method": "grid", "values": {"C": ["10%"]}}), absent)
    assert block(points[1:]) == [(Fraction(54, 100), Fraction(36, 100), Fraction(1, 10))]
    assert len(design_points(sweep(shares={"method": "lattice", "levels": 2}), absent)) == 7
    lattice = {"method": "lattice", "levels": 2, "categories": ["B", "C"]}
    with pytest.raises(UserError, match="B, C have no share in the base mixture"):
        check_design(sweep(shares=lattice), mixture_of({"A": 1, "B": 0, "C": 0}))
    tail = "1234567890123456789" * 2
    long = mixture_of({"A": f"0.{tail}", "B": "0.5", "C": f"0.{5 * 10**37 - int(tail)}"})
    with pytest.raises(UserError, match=r"the share of 'A' would be .*; write shares and values with fewer digits"):
        check_design(sweep(shares=DIRICHLET), long)


def test_stages_with_different_categories_need_axes_of_their_own() -> None:
    data = copy.deepcopy(mixture_of({"A": "50%", "B": "30%", "C": "20%"}, stages=2).model_dump(mode="json"))
    categories = data["stages"][1]["categories"]
    categories["D"] = categories.pop("C")
    mixture = MixtureConfig.model_validate(data)
    with pytest.raises(
        UserError, match="'s1' and 's2' have different categories in the base mixture; give each an axis"
    ):
        check_design(sweep(shares=DIRICHLET), mixture)
    # Those that vary are the same, and so is what they share.
    points = design_points(sweep(shares={**DIRICHLET, "categories": ["A", "B"]}), mixture)
    assert all(point.shares["s1"]["A"] == point.shares["s2"]["A"] for point in points)
    assert all(point.shares["s2"]["D"] == Fraction(1, 5) for point in points)
    assert_trains(points, mixture)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (
            {"Greek": {"max": 0.5}},
            "constraints.shares: no category varies that is called 'Greek'; the valid ones are: Eng",
        ),
        ({"English": {"min": 0.8}, "Chinese": {"min": 0.3}}, "constraints.shares: the lowest shares sum to 110%"),
    ],
)
def test_constraints_name_what_varies_and_can_be_met(shares: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_design(bounded(shares, shares=STAGE_1), tiny())
    assert message in str(caught.value)
    check_design(bounded({"English": {"min": 0.8}}, shares=STAGE_1), tiny())
    with pytest.raises(UserError, match=r"constraints\.shares: no shares vary"):
        check_design(bounded(shares, learning_rate=[1, 2]), tiny())


@pytest.mark.parametrize("name", sorted(path.name for path in MIXTURES.glob("*.yaml")))
def test_every_shipped_mixture_can_be_the_base(name: str) -> None:
    mixture = load_mixture(MIXTURES / name)
    stages = [stage.name for stage in mixture.stages if len(stage.categories) > 1]
    if not stages:
        alone = {**DIRICHLET, "stages": [mixture.stages[0].name]}
        with pytest.raises(UserError, match="cannot vary; two are needed"):
            check_design(sweep(shares=alone), mixture)
        return
    axes = [{"method": "dirichlet", "stages": [stage], "trials": 12} for stage in stages]
    points = design_points(sweep(shares=axes), mixture)
    assert len(points) == 13
    assert_trains(points, mixture)
