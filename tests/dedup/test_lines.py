"""Lines of a text and their keys, against plain Python on the lines themselves."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dedup.lines
from curation.duplicates.lines import normalised_table
from dedup.equal_keys import equal_keys
from dedup.lines import Lines, LinesConfig, find_lines
from tests.strategies import ANY_TEXT

TABLE = normalised_table()


def key(text: str, normalise: bool = True, language: str = "en") -> tuple[int, ...]:
    lines = find_lines(text, language, 1, TABLE if normalise else None)
    assert len(lines.keys) == 1
    return tuple(lines.keys[0].tolist())


def slices(text: str, lines: Lines) -> list[str]:
    return [text[start:end] for start, end in zip(lines.starts.tolist(), lines.ends.tolist(), strict=True)]


def letters_and_digits(line: str) -> str:
    """What of a line counts, said in another way than in the table: letters, marks and numbers of any script."""
    return "".join("0" if c.isdigit() else c for c in line.lower() if c.isalnum() or unicodedata.category(c)[0] == "M")


@given(ANY_TEXT, st.integers(1, 6))
def test_every_long_enough_line_is_found_where_it_is(text: str, min_chars: int) -> None:
    pieces = [piece + "\n" for piece in text.split("\n")[:-1]] + ([last] if (last := text.split("\n")[-1]) else [])
    long = [piece for piece in pieces if sum(not c.isspace() for c in piece) >= min_chars]
    assert slices(text, find_lines(text, "en", min_chars, None)) == long


@given(st.text("aA1, \n\u0301\u0e01\u0e31", max_size=60), st.integers(1, 4))
def test_normalised_lines_have_a_letter(text: str, min_chars: int) -> None:
    pieces = [piece + "\n" for piece in text.split("\n")[:-1]] + ([last] if (last := text.split("\n")[-1]) else [])
    wanted = [
        piece
        for piece in pieces
        if sum(not c.isspace() for c in piece) >= min_chars and letters_and_digits(piece).strip("0")
    ]
    assert slices(text, find_lines(text, "en", min_chars, TABLE)) == wanted


@given(st.lists(st.text("aAbB12, .\u0301\u0e01", min_size=1, max_size=6), max_size=12))
def test_keys_are_equal_as_the_normalised_lines_are(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = find_lines(text, "en", 1, TABLE)
    plain = [letters_and_digits(line) for line in slices(text, found)]
    keys = [tuple(own) for own in found.keys.tolist()]
    assert len(set(zip(plain, keys, strict=True))) == len(set(plain)) == len(set(keys))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Subscribe to our newsletter!", "  subscribe to OUR newsletter "),
        ("Published on 12 March 2024", "Published on 07 march 1999"),
        ("Όλα τα δικαιώματα - ©", "ΌΛΑ ΤΑ ΔΙΚΑΙΏΜΑΤΑ"),
        ("版权所有，翻印必究。", "版权所有 翻印必究"),
        ("a b-c", "ab c"),
    ],
)
def test_lines_that_are_equal_once_normalised(one: str, other: str) -> None:
    assert key(one) == key(other)
    assert key(one, normalise=False) != key(other, normalise=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [("résumé", "resume"), ("กา", "กี"), ("page 1", "page 12"), ("cat", "cats")],
)
def test_lines_that_differ_once_normalised(one: str, other: str) -> None:
    assert key(one) != key(other)


def test_white_space_around_a_line_never_counts() -> None:
    assert key("  a line\t\r", normalise=False) == key("a line\n", normalise=False) != key("a  line", normalise=False)


def test_languages_have_keys_of_their_own() -> None:
    assert key("radio video", language="es") != key("radio video", language="pt")


@pytest.mark.parametrize("line", ["12.03.2024 14:55", "-----------------", "....... 17", "★★★★★★★★★★"])
def test_a_line_without_a_letter_is_never_cut(line: str) -> None:
    assert not len(find_lines(line, "en", 5, TABLE).starts)
    assert len(find_lines(line, "en", 5, None).starts) == 1


@given(st.text("ab \n", max_size=80), st.booleans())
def test_stretches_change_nothing(text: str, normalise: bool) -> None:
    table = TABLE if normalise else None
    whole = find_lines(text, "en", 1, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup.lines, "_STRETCH", 3)
        cut = find_lines(text, "en", 1, table)
    assert cut.starts.tolist() == whole.starts.tolist()
    assert cut.ends.tolist() == whole.ends.tolist()
    assert cut.keys.tolist() == whole.keys.tolist()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30), st.integers(2, 4))
def test_equal_keys_are_counted(keys: list[tuple[int, int]], min_count: int) -> None:
    halves = np.array(keys, dtype=np.uint64).reshape(-1, 2)
    rows, numbers = equal_keys(halves[:, 0], halves[:, 1], min_count)
    often = sorted({own for own in keys if keys.count(own) >= min_count})
    assert sorted(rows.tolist()) == [row for row, own in enumerate(keys) if own in often]
    assert [often[number] for number in numbers.tolist()] == [keys[row] for row in rows.tolist()]
    assert numbers.tolist() == sorted(numbers.tolist())


def test_a_repeat_is_two_at_least() -> None:
    with pytest.raises(ValueError, match="min_count"):
        LinesConfig(min_count=1)
