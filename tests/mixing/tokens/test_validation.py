"""What is held out of a corpus: by the text alone, equal texts together, and nothing that is near a training text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.load import validate_config
from mixing.tokens.validation import ValidationConfig
from tests.mixing.tokens.divided import MadeCorpus, divide

Files = list[list[str]]
Keys = list[list[list[int] | None]]


def hold_out(
    folder: Path, files: Files, config: ValidationConfig, keys: Keys | None = None, languages: Files | None = None
) -> list[list[int]]:
    """Run all tasks, and return the rows of each file that are held out."""
    return divide(folder, [MadeCorpus("el", files, keys, languages)], config)["el"].held_out


TEXTS = st.sampled_from(["α β", "Α  β", "γ", "δ ε", "ζ", "η θ", "ι", ""]) | st.text(max_size=3)
FILES = st.lists(st.lists(TEXTS, max_size=8), min_size=1, max_size=3).map(
    lambda files: [[text.encode("utf-8", "replace").decode() for text in texts] for texts in files]
)
CONFIGS = st.builds(ValidationConfig, share=st.sampled_from([0.01, 0.3, 0.7]), seed=st.integers(0, 3)) | st.builds(
    ValidationConfig, documents=st.integers(1, 6), seed=st.integers(0, 3)
)


@settings(max_examples=25)
@given(FILES, CONFIGS)
def test_equal_texts_are_on_one_side(
    tmp_path_factory: pytest.TempPathFactory, files: Files, config: ValidationConfig
) -> None:
    rows = hold_out(tmp_path_factory.mktemp("out"), files, config)
    sides: dict[str, set[bool]] = {}
    for texts, own in zip(files, rows, strict=True):
        for row, text in enumerate(texts):
            sides.setdefault(" ".join(text.casefold().split()), set()).add(row in own)
    assert all(len(side) == 1 for side in sides.values())
    if config.documents is not None:
        wanted = min(config.documents, sum(map(len, files)))
        last = max((sum(" ".join(t.casefold().split()) == text for f in files for t in f) for text in sides), default=0)
        assert wanted <= sum(map(len, rows)) < wanted + max(last, 1)


@settings(max_examples=25)
@given(FILES, CONFIGS)
def test_files_and_their_order_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, files: Files, config: ValidationConfig
) -> None:
    one = [text for texts in files for text in texts]
    rows = hold_out(tmp_path_factory.mktemp("out"), files, config)
    together = hold_out(tmp_path_factory.mktemp("out"), [one[::-1]], config)
    split = sorted(files[number][row] for number, own in enumerate(rows) for row in own)
    assert split == sorted(one[::-1][row] for row in together[0])


BANDS = st.lists(
    st.lists(st.none() | st.lists(st.integers(0, 25), min_size=2, max_size=2), max_size=9), min_size=1, max_size=3
)


@settings(max_examples=30)
@given(BANDS, CONFIGS)
def test_no_held_out_document_shares_a_band_key_with_training(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, config: ValidationConfig
) -> None:
    files = [[f"{number} {row}" for row in range(len(own))] for number, own in enumerate(keys)]
    candidates = hold_out(tmp_path_factory.mktemp("out"), files, config)
    rows = hold_out(tmp_path_factory.mktemp("out"), files, config, keys)
    held_out = {(number, row) for number, own in enumerate(candidates) for row in own}
    by_place = {(n, row): set(own or ()) for n, file in enumerate(keys) for row, own in enumerate(file)}
    while moved := {
        place
        for place in held_out
        if any(by_place[place] & own for other, own in by_place.items() if other not in held_out)
    }:
        held_out -= moved
    assert {(number, row) for number, own in enumerate(rows) for row in own} == held_out


def test_a_share_is_about_that_of_each_language(tmp_path: Path) -> None:
    texts = [f"{number}" for number in range(4_000)]
    languages = [["el"] * 3_000 + ["tr"] * 1_000]
    (rows,) = hold_out(tmp_path, [texts], ValidationConfig(share=0.1), None, languages)
    greek = sum(row < 3_000 for row in rows)
    assert 250 < greek < 350
    assert 70 < len(rows) - greek < 130


def test_a_number_of_documents_is_that_of_each_language(tmp_path: Path) -> None:
    languages = [["el", "tr"] * 100]
    texts = [[f"{number}" for number in range(200)]]
    (rows,) = hold_out(tmp_path, texts, ValidationConfig(documents=7), None, languages)
    assert [sum(row % 2 == side for row in rows) for side in (0, 1)] == [7, 7]


def test_another_seed_holds_out_others(tmp_path: Path) -> None:
    texts = [[f"{number}" for number in range(200)]]
    found = [hold_out(tmp_path / str(n), texts, ValidationConfig(share=0.1, seed=n)) for n in (1, 2)]
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "either `share`"),
        ({"share": 0.1, "documents": 5}, "either `share`"),
        ({"share": 0}, "greater than 0"),
        ({"share": 1}, "less than 1"),
        ({"documents": 0}, "greater than or equal to 1"),
        ({"percent": 1}, "unknown key 'percent'"),
    ],
)
def test_what_cannot_be_held_out_is_refused(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate_config(wanted, ValidationConfig, "validation")
