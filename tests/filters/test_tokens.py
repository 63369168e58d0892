"""Tokens against a naive tokeniser that looks at one character after the other."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import tokens
from filters.scripts import RANGES, code_points
from filters.tokens import find_tokens, token_length
from filters.words import Segmentation
from tests.strategies import ANY_TEXT

SEGMENTATIONS = st.sampled_from(["spaces", "none"])
# Pieces in which tokens of all kinds begin and end.
PIECES = st.lists(
    st.sampled_from(["Hello", "naïve", "x", "_", "12", "½", "Ⅷ", "中", "文", "ไ", "ที่", "é", "e\u0301", "\u0301", "कि"])
    | st.sampled_from([" ", "\n", "\u00a0", "\u3000", "\x1f", "\x00", ",", "…", "❤\ufe0f", "👩\u200d🚀", "-"]),
    max_size=40,
).map("".join)  # fmt: skip
TEXTS = st.one_of(PIECES, ANY_TEXT).map(lambda text: text.encode("utf-8", "replace").decode("utf-8"))


def split(text: str, segmentation: Segmentation) -> list[str]:
    starts = [*find_tokens(code_points(text), np.zeros(1, dtype=np.int64), segmentation).starts.tolist(), len(text)]
    pieces = [text[start:end] for start, end in pairwise(starts)]
    return [piece[: token_length(piece)] for piece in pieces]


def naive(text: str, segmentation: Segmentation) -> list[str]:
    """Runs of word characters and of one symbol; for `none` letters alone, with their marks."""
    found: list[list[str]] = []
    before = "space"
    for character in text:
        mark = unicodedata.category(character).startswith("M") and ord(character) < 0x10000
        word = character.isalnum() or character == "_" or mark
        latin = any(low <= ord(character) <= high for low, high in RANGES["Latn"])
        if character.isspace():
            kind = "space"
        elif segmentation == "spaces":
            kind = "run" if word else character
        elif mark:
            kind = "mark"
        else:
            kind = ("run" if latin or not character.isalpha() else "alone") if word else character
        if (kind == "mark" and before != "space") or (kind == before and kind not in ("space", "alone", "mark")):
            found[-1].append(character)
        elif kind != "space":
            found.append([character])
        before = kind
    return ["".join(own) for own in found]


@given(TEXTS, SEGMENTATIONS)
def test_tokens_are_those_of_the_naive_tokeniser(text: str, segmentation: Segmentation) -> None:
    assert split(text, segmentation) == naive(text, segmentation)


@pytest.mark.parametrize(
    ("text", "segmentation", "expected"),
    [
        ("I don't,  naïve_ 12.5!!", "spaces", ["I", "don", "'", "t", ",", "naïve_", "12", ".", "5", "!!"]),
        ("हिन्दी में", "spaces", ["हिन्दी", "में"]),
        ("ภาษาไทย 2024 ที่", "none", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย", "2024", "ที่"]),
        ("中文 GPT4，是", "none", ["中", "文", "GPT4", "，", "是"]),
        ("中文 是", "spaces", ["中文", "是"]),
        ("ok❤\ufe0f👍🏽", "none", ["ok", "❤\ufe0f", "👍", "🏽"]),
        ("a\u00a0b\u3000c\x1fd", "spaces", ["a", "b", "c", "d"]),
        ("a -- b ═══╪══ 哈哈", "spaces", ["a", "--", "b", "═══", "╪", "══", "哈哈"]),
        ("哈哈……ๆๆ", "none", ["哈", "哈", "……", "ๆ", "ๆ"]),
        ("", "spaces", []),
        (" \n\t", "none", []),
    ],
)  # fmt: skip
def test_examples(text: str, segmentation: Segmentation, expected: list[str]) -> None:
    assert split(text, segmentation) == expected


@given(TEXTS, SEGMENTATIONS)
def test_equal_tokens_and_no_others_have_equal_hashes(text: str, segmentation: Segmentation) -> None:
    hashes = find_tokens(code_points(text), np.zeros(1, dtype=np.int64), segmentation).hashes.tolist()
    pairs = set(zip(split(text, segmentation), hashes, strict=True))
    assert len(pairs) == len({token for token, _ in pairs}) == len({value for _, value in pairs})


def test_case_counts() -> None:
    hashes = find_tokens(code_points("Word word"), np.zeros(1, dtype=np.int64), "spaces").hashes
    assert hashes[0] != hashes[1]


@given(st.lists(TEXTS, max_size=6), SEGMENTATIONS)
def test_joined_texts_have_the_tokens_of_each(texts: list[str], segmentation: Segmentation) -> None:
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    joined = find_tokens(code_points("".join(texts)), np.cumsum(lengths) - lengths, segmentation)
    starts, hashes, position = [], [], 0
    for text in texts:
        own = find_tokens(code_points(text), np.zeros(1, dtype=np.int64), segmentation)
        starts += (own.starts + position).tolist()
        hashes += own.hashes.tolist()
        position += len(text)
    assert (joined.starts.tolist(), joined.hashes.tolist()) == (starts, hashes)


@given(TEXTS, SEGMENTATIONS, st.data())
def test_a_stretch_between_borders_has_the_same_tokens(
    text: str, segmentation: Segmentation, data: st.DataObject
) -> None:
    whole = find_tokens(code_points(text), np.zeros(1, dtype=np.int64), segmentation)
    borders = [*whole.starts.tolist(), len(text)]
    first = data.draw(st.integers(0, len(borders) - 1))
    last = data.draw(st.integers(first, len(borders) - 1))
    part = find_tokens(code_points(text[borders[first] : borders[last]]), np.zeros(1, dtype=np.int64), segmentation)
    assert part.hashes.tolist() == whole.hashes[first:last].tolist()
    assert (part.starts + borders[first]).tolist() == borders[first:last]


@given(
    st.lists(st.tuples(st.sampled_from("a中!ि"), st.integers(1, 23), st.sampled_from(["", " "])), max_size=5),
    SEGMENTATIONS,
)
def test_long_runs_are_cut_from_their_beginning(runs: list[tuple[str, int, str]], segmentation: Segmentation) -> None:
    text = "".join(letter * count + space for letter, count, space in runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "LONGEST", 7)
        found = split(text, segmentation)
    expected = [token[start : start + 7] for token in naive(text, segmentation) for start in range(0, len(token), 7)]
    assert found == expected


def test_a_text_of_one_endless_word_is_cut() -> None:
    assert [len(token) for token in split("x" * (2 * tokens.LONGEST + 1), "spaces")] == [tokens.LONGEST] * 2 + [1]
