"""A manifest that somebody changed by hand: numbers that do not agree are one clear line."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.load import validate_config
from mixing.mixture.manifest import load_manifest, read_manifest
from mixing.mixture.mixture import MixtureConfig
from mixing.mixture.publish import write_mixture
from tests.mixing.mixture.token_folders import even_rows, write_source

# Numbers that other numbers of a manifest say again: none can be another one alone.
TOLD_TWICE = {"weight", "tokens", "available_tokens", "source_tokens", "epochs", "epochs_before", "documents"}
AGAIN = "the manifest was changed; run `make mixture` again"
Json = dict[str, object]


def stage(name: str, **settings: object) -> Json:
    high = {"share": 0.25, "sources": ["tr"], **settings}
    return {
        "name": name,
        "tokens": 1000,
        "learning_rate": {"schedule": "constant", "peak": 1e-5},
        "categories": {"low": {"share": 0.75, "sources": ["el", "kk"], "spread": "unimax"}, "high": high},
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the manifest of a mixture of two stages, with a slice in the second."""
    for name, count in (("el", 3000), ("kk", 400), ("tr", 8000)):
        write_source(tmp_path / "tokens", name, [even_rows(30, count), even_rows(5, 50)], validation=even_rows(2, 20))
    data = {"name": "m", "sequence_length": 16, "stages": [stage("one"), stage("two", min_tokens=100)], "max_epochs": 2}
    write_mixture(validate_config(data, MixtureConfig, "m"), tmp_path / "tokens", tmp_path / "mixtures")
    return tmp_path / "mixtures" / "m" / "manifest.json"


def at(data: object, place: str) -> object:
    """Return what stands at a dotted place."""
    for key in place.split("."):
        data = data[int(key)] if isinstance(data, list) else data[key]  # type: ignore[index]
    return data


def change(path: Path, place: str, value: object) -> None:
    """Put another value at a dotted place of a manifest."""
    data = json.loads(path.read_text())
    above, _, last = place.rpartition(".")
    holder = at(data, above) if above else data
    holder[int(last) if isinstance(holder, list) else last] = value  # type: ignore[index]
    path.write_text(json.dumps(data))


def refusal(path: Path) -> str:
    """Return the one line that a manifest is refused with, whoever reads it."""
    lines = []
    for read in (read_manifest, load_manifest):
        with pytest.raises(UserError) as raised:
            read(path)
        lines.append(str(raised.value))
    assert lines[0] == lines[1]
    assert len(lines[0].splitlines()) == 1
    assert lines[0].startswith(f"{path}: ")
    return lines[0]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("stages.0.sources.0.weight", 0.6, "stage 'one': weights sum to 1"),
        ("stages.0.sources.0.weight", math.nan, "stages.0.sources.0.weight: Input should be a finite number"),
        ("stages.0.sources.0.weight", -0.4, "stages.0.sources.0.weight: Input should be greater than or equal to 0"),
        ("stages.0.sources.0.weight", "much", "stages.0.sources.0.weight"),
        ("stages.0.sources.0.tokens", -1, "stages.0.sources.0.tokens: Input should be greater than or equal to 0"),
        ("stages.0.sources.0.tokens", math.inf, "stages.0.sources.0.tokens"),
        ("stages.0.sources.1.category", "high", "stage 'one': the category 'low' has 750 tokens, and its sources give"),
        ("stages.0.sources.1.category", "none", "stage 'one': 'kk' is in no category of the stage"),
        ("stages.0.sources.1.source", "el", "stage 'one': the source 'el' stands there twice"),
        ("stages.0.categories.1.name", "low", "stage 'one': the category 'low' stands there twice"),
        ("stages.1.name", "one", "two stages are called 'one'"),
        ("stages.0.sources.0.max_epochs", 0.01, "'el' is read 0.122950819672 times, and its cap is 0.01"),
        ("stages.1.sources.0.run_max_epochs", 0.2, "'el' is read 0.245901639344 times, and its cap is 0.2"),
        ("stages.1.sources.2.where.documents_by_shard.0", 31, "the slice of 'tr' has other documents than its shards"),
        ("stages.1.sources.2.where.documents_by_shard", [30], "the slice of 'tr' has other documents than its shards"),
        ("stages.1.sources.0.epochs_before", 0.2, "'two': the stages before read 'el' 0.122950819672 times, not 0.2"),
        ("stages.1.sources.2.where", None, "'tr' has 8,050 tokens, 8,000 of them to draw from"),
        ("validation.0.sequences", 3, "the validation texts of 'el' have 20 tokens in 3 sequences, its shards 20 in 2"),
        ("tokens", 2001, "tokens is 2,001, those of the stages sum to 2,000"),
        ("stages", [], "stages"),
    ],
)
def test_what_does_not_agree_is_named(path: Path, place: str, value: object, message: str) -> None:
    change(path, place, value)
    assert message in refusal(path)


def test_weights_that_sum_to_1_and_are_not_those_of_the_tokens(path: Path) -> None:
    first, second = (at(json.loads(path.read_text()), f"stages.0.sources.{place}.weight") for place in (0, 1))
    assert first == second == 0.375
    change(path, "stages.0.sources.0.weight", 0.5)
    change(path, "stages.0.sources.1.weight", 0.25)
    assert f"stage 'one': the weight of 'el' is 0.5, and it gives 375 of 1,000 tokens: {AGAIN}" in refusal(path)


def numbers(data: object, place: str = "") -> Iterator[str]:
    """Yield the places of all numbers that stand in a manifest more than once."""
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        own = f"{place}.{key}".lstrip(".")
        if key in TOLD_TWICE and isinstance(value, (int, float)):
            yield own
        elif key not in ("config", "learning_rate"):
            yield from numbers(value, own)


def test_no_number_of_tokens_can_be_changed_alone(path: Path) -> None:
    text = path.read_text()
    # What the second stage's slice was read before is in the order of documents alone.
    places = [place for place in numbers(json.loads(text)) if place != "stages.1.sources.2.epochs_before"]
    assert len(places) > 50
    for place in places:
        for other in (1, -1, 1e-6):
            value = at(json.loads(text), place)
            change(path, place, value + other)  # type: ignore[operator]
            assert refusal(path), place
            path.write_text(text)
    load_manifest(path, deep=True)


def test_a_manifest_that_agrees_is_read_whatever_its_rounding(path: Path) -> None:
    """Of weights the last digits may be another machine's."""
    text = json.loads(path.read_text())
    other = copy.deepcopy(text)
    for place in (0, 1):
        own = other["stages"][0]["sources"][place]
        own["weight"] = math.nextafter(own["weight"], place)
    path.write_text(json.dumps(other))
    assert read_manifest(path).stages[0].sources[0].weight != text["stages"][0]["sources"][0]["weight"]
