"""Cutting stretches out of texts, against what is promised of the text that is left."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dedup.cuts import Span, cut_text, merge_spans
from tests.strategies import ANY_TEXT

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=8)


@given(SPANS)
def test_merged_spans_cover_the_same_and_lie_apart(spans: list[Span]) -> None:
    merged = merge_spans(spans)
    assert {n for start, end in merged for n in range(start, end)} == {n for s, e in spans for n in range(s, e)}
    assert all(first[1] < second[0] for first, second in itertools.pairwise(merged))
    assert merge_spans(list(reversed(spans))) == merged


@given(ANY_TEXT, SPANS)
def test_all_that_is_not_cut_is_left_in_its_order(text: str, spans: list[Span]) -> None:
    merged = [(start, min(end, len(text))) for start, end in merge_spans(spans) if start < len(text)]
    gone = {n for start, end in merged for n in range(start, end)}
    left = "".join(character for n, character in enumerate(text) if n not in gone)
    assert "".join(cut_text(text, merged).split()) == "".join(left.split())


@given(st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=20), st.data())
def test_words_around_a_cut_stay_apart(words: list[str], data: st.DataObject) -> None:
    text, starts = " ".join(words), [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    cut = cut_text(text, [(starts[first], starts[last + 1] - 1)])
    assert cut.split() == words[:first] + words[last + 1 :]


def test_what_was_around_a_cut_becomes_lines_or_paragraphs() -> None:
    assert cut_text("One two three.", [(4, 8)]) == "One\nthree."
    assert cut_text("One.\n\nTwo.\n\nThree.", [(6, 10)]) == "One.\n\nThree."
    assert cut_text("One.\nTwo.\nThree.", [(5, 9)]) == "One.\nThree."
    assert cut_text("One.\n\nTwo. Three.", [(6, 10)]) == "One.\n\nThree."
    assert cut_text("北京大学很好", [(2, 4)]) == "北京\n很好"
    assert cut_text("all", [(0, 3)]) == ""
    assert cut_text("  as it is  ", []) == "  as it is  "
