"""The hash of a document: blind to case and to how much white space there is, and to nothing else."""

import re

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dedup.exact import document_hash
from dedup.stretches import stretches
from tests.strategies import ANY_TEXT

NEAR = st.text("aAbB \n\t\u00a0.Σσςß", max_size=8)
SPACES = st.text(" \n\r\t\u00a0\u2003\u3000\u2028", min_size=1, max_size=4)


def plain(text: str) -> bytes:
    return re.sub(r"\s+", " ", text.casefold()).strip().encode("utf-8", "replace")


@given(st.one_of(st.tuples(NEAR, NEAR), st.tuples(ANY_TEXT, ANY_TEXT)))
def test_hashes_are_equal_where_the_plain_texts_are(texts: tuple[str, str]) -> None:
    first, second = texts
    assert (document_hash(first) == document_hash(second)) == (plain(first) == plain(second))


@given(ANY_TEXT)
def test_any_text_has_a_hash_of_sixteen_bytes(text: str) -> None:
    assert len(document_hash(text)) == 16
    assert document_hash(text) == document_hash(plain(text).decode())


@given(st.lists(st.text("abγδж中", min_size=1, max_size=5), min_size=1), st.lists(SPACES, min_size=1))
def test_white_space_between_words_does_not_count(words: list[str], spaces: list[str]) -> None:
    spaced = "".join(spaces[index % len(spaces)] + word for index, word in enumerate(words))
    assert document_hash(spaced + spaces[0]) == document_hash(" ".join(words))


@pytest.mark.parametrize(
    "texts",
    [
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ οδός", "οδος ΟΔΌΣ"),
        ("МОСКВА", "Москва"),
        ("a  b\n\nc", "A b c"),
        ("", " \n"),
    ],
)
def test_equal_texts(texts: tuple[str, str]) -> None:
    assert document_hash(texts[0]) == document_hash(texts[1])


@pytest.mark.parametrize("texts", [("ab", "a b"), ("a b.", "a b"), ("a b", "b a"), ("é", "e"), ("", "a")])
def test_different_texts(texts: tuple[str, str]) -> None:
    assert document_hash(texts[0]) != document_hash(texts[1])


@given(st.text("aß \n\u2003bΣς", max_size=60), st.integers(1, 20))
def test_stretches_are_the_text_and_cut_no_word(text: str, length: int) -> None:
    pieces = list(stretches(text, length))
    assert "".join(pieces) == text
    assert all(piece[0].isspace() for piece in pieces[1:])
    assert all(len(piece) >= length for piece in pieces[:-1])
    longest = max(map(len, text.split()), default=0)
    assert all(len(piece) <= length + longest for piece in pieces[:-1])


@pytest.mark.parametrize("word", ["Abc", "ß" * 1000, "x" * (1 << 19), " "])
def test_long_texts_have_the_hash_of_the_plain_text(word: str) -> None:
    text = (word + " \n") * ((1 << 20) // (len(word) + 2) + 3)
    assert document_hash(text) == xxhash.xxh3_128_digest(plain(text))
